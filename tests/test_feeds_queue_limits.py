"""The queue of a community for moderators whose role is limited: to other collections than posts nothing, to some
reasons what was reported for these alone, as if nothing else had been reported.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.report_cases import begin
from feedgen.queue import LESS, MORE
from models import reports
from models.database import writing
from models.reports import Said
from tests.didnet import Account, plc
from tests.feed_site import INTERACTIONS, NOW, Reply, Site, Writer, feed_uri, site_and_writer, token

OWNER, MODERATOR = 30, 40
QUEUE = feed_uri("chess.queue", OWNER)
SPAM, RUDE, SEXUAL = (f"com.atproto.moderation.defs#reason{name}" for name in ("Spam", "Rude", "Sexual"))
POST = "app.bsky.feed.post"
FORBIDDEN = 403


class Chess:
    """The community, its limited moderator, and the clock."""

    def __init__(self, door: Site, writer: Writer, now: list[float]) -> None:
        self.door, self.writer, self.now = door, writer, now
        self.moderator: Account = door.account(MODERATOR)
        (self.id,) = writer.sql("SELECT id FROM community WHERE slug = 'chess'")[0]

    def limit(self, until: int | None = None, **limits: list[str]) -> None:
        self.writer.sql("DELETE FROM membership WHERE community = ? AND role = 2", self.id)
        self.writer.member(MODERATOR, "chess", role=2, until=until, limits=json.dumps(limits))

    def read(self, **params: object) -> Reply:
        return self.door.page(QUEUE, f"Bearer {token(self.moderator)}", **params)

    def waits(self) -> list[tuple[str, str]]:
        """The posts of the queue, each with why it waits."""
        page = self.read(limit=100)
        assert page.status == 200, page.body
        return [(item["post"], item["feedContext"].split(" ", 3)[3]) for item in page.json["feed"]]

    def press(self, event: str, uri: str) -> Reply:
        one = {"item": uri, "event": event, "feedContext": "", "reqId": ""}
        return self.door.send({"interactions": [one], "feed": QUEUE}, token(self.moderator, INTERACTIONS))

    def shown(self, number: int) -> str:
        uri = self.writer.post(number, tags=["chess"])
        self.writer.sql("UPDATE feed_item SET hidden = 0 WHERE uri = ?", uri)
        return uri

    def report(self, uri: str, reason: str, reporter: int) -> None:
        """As createReport leaves it."""
        self.now[0] += 1
        now = int(self.now[0] * 1_000_000)
        did = uri.split("/")[2]
        said = Said(plc(reporter), reason, "", did, uri, "")
        (post,) = self.writer.sql("SELECT post FROM feed_item WHERE uri = ?", uri)[0]
        with writing(self.writer.database) as connection:
            reports.flag(connection, self.id, post, reason, now, said)
            begin(connection, said, [self.id], now)


@pytest.fixture
def chess(tmp_path: Path) -> Iterator[Chess]:
    now = [NOW / 1_000_000]
    with site_and_writer(tmp_path, clock=lambda: now[0]) as (door, writer):
        writer.declare_record(OWNER, "chess", posting="approval", queue_feed=True)
        for number in range(8):
            writer.member(number, "chess")
        yield Chess(door, writer, now)


def test_who_does_not_work_on_posts_has_no_queue(chess: Chess) -> None:
    uri = chess.writer.post(1, tags=["chess"])
    for limits, status in (({"collections": ["account"]}, FORBIDDEN), ({"collections": []}, FORBIDDEN),
                           ({"collections": [POST]}, 200), ({"reasons": []}, 200), ({"labels": []}, 200)):  # fmt: skip
        chess.limit(**limits)
        assert chess.read().status == status
        assert status != 200 or [post for post, _ in chess.waits()] == [uri]
        assert status == 200 or chess.press(MORE, uri).status == FORBIDDEN


def test_the_queue_closes_when_the_role_ends(chess: Chess) -> None:
    chess.limit(until=int(chess.now[0] * 1_000_000) + 1_000_000, reasons=[SPAM], collections=[POST])
    assert chess.read().status == 200
    chess.now[0] += 1
    assert chess.read().status == FORBIDDEN


def test_reports_for_other_reasons_are_not_there(chess: Chess) -> None:
    spam, rude, both = chess.shown(1), chess.shown(2), chess.shown(3)
    waiting = chess.writer.post(4, tags=["chess"])
    chess.report(both, RUDE, 60)
    chess.report(rude, RUDE, 60)
    chess.report(spam, SPAM, 60)
    chess.report(both, SPAM, 61)
    chess.report(both, SPAM, 62)
    chess.report(waiting, RUDE, 60)
    chess.limit(reasons=[SPAM])
    assert chess.waits() == [
        (waiting, "every post waits for approval here"), (spam, "reported as spam"),
        (both, "reported 2 times, first as spam"),
    ]  # fmt: skip
    chess.limit(reasons=[RUDE])
    assert chess.waits() == [
        (waiting, "every post waits for approval here; reported as rude"), (both, "reported as rude"),
        (rude, "reported as rude"),
    ]  # fmt: skip
    chess.limit(reasons=[])
    assert [post for post, _ in chess.waits()] == [waiting]
    chess.limit()
    assert (both, "reported 3 times, first as rude") in chess.waits() and len(chess.waits()) == 4


def test_what_is_not_there_is_not_decided_by_a_button(chess: Chess) -> None:
    uri = chess.shown(1)
    chess.report(uri, RUDE, 60)
    chess.limit(reasons=[SPAM])
    for event in (LESS, MORE):
        assert chess.press(event, uri).status == 200
    assert chess.writer.sql("SELECT count(*) FROM decision")[0][0] == 0
    chess.limit(reasons=[RUDE])
    assert chess.press(LESS, uri).status == 200
    assert chess.writer.sql("SELECT action FROM decision") == [("remove",)] and chess.waits() == []


@pytest.mark.parametrize("seed", range(6))
def test_it_is_as_if_nothing_else_had_been_reported(chess: Chess, seed: int) -> None:
    """Against a list in memory, over decisions in between: what was reported before one counts no more."""
    choose = random.Random(seed)
    posts = [chess.shown(number) for number in range(6)]
    told: list[tuple[str, str, int]] = []
    mine = choose.sample((SPAM, RUDE, SEXUAL), 2)
    chess.limit(reasons=mine)
    for _ in range(60):
        uri = choose.choice(posts)
        if choose.random() < 0.1 and uri in dict(chess.waits()):
            assert chess.press(MORE, uri).status == 200
            told = [one for one in told if one[0] != uri]
            posts.remove(uri)  # this version waits no more
            if not posts:
                break
        else:
            one = (uri, choose.choice((SPAM, RUDE, SEXUAL)), choose.randrange(60, 64))
            chess.report(*one)
            told.append(one)
        wanted: dict[str, list[Any]] = {}
        for uri, reason, reporter in told:
            if reason in mine:
                wanted.setdefault(uri, [reason, set()])[1].add(reporter)
        assert [post for post, _ in chess.waits()] == list(wanted)
        for post, why in chess.waits():
            first, reporters = wanted[post]
            name = first.rpartition("reason")[2].lower()
            many = f"reported {len(reporters)} times, first as {name}"
            assert why == (many if len(reporters) > 1 else f"reported as {name}")
    pages, cursor = list[str](), None
    while True:
        page = chess.read(limit=2, cursor=cursor)
        pages, cursor = pages + page.posts, page.cursor
        if cursor is None:
            break
    assert pages == [post for post, _ in chess.waits()]
