"""A history of moderation in several scopes, appended to a real site's database, and kept beside it as plain Python
values: what lists must show, told again in the simplest way.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from communities.casebook import append
from communities.mod_event import HOUR, Kind, ModEvent
from communities.review import State, Status, fold
from models import labelers
from models.database import writing
from models.mod_events import SERVICE, SubjectKey
from ozone.roles import Role
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import Desk, desk

CID = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
SPAM, RUDE, APPEAL = (f"com.atproto.moderation.defs#reason{name}" for name in ("Spam", "Rude", "Appeal"))
POST, LIST = "app.bsky.feed.post", "app.bsky.graph.list"
ACCOUNTS = tuple(plc(number) for number in (1, 2, 3, 4))
REPORTERS = tuple(plc(number) for number in (61, 62))
MODERATORS = tuple(plc(number) for number in (51, 52))
ACTORS = (*MODERATORS, "rule:greens", "cli")
LABELS, TAGS, POLICIES, TOOLS = ("spam", "rude"), ("vip", "lang:en", "x y"), ("p1", "p2"), ("automod", "ozone/ui")
KEYS = tuple(
    key
    for did in ACCOUNTS
    for key in (
        SubjectKey(did),
        SubjectKey(did, f"{POST}/3k"),
        SubjectKey(did, f"{POST}/3l"),
        SubjectKey(did, f"{LIST}/a_b"),
        SubjectKey(did, "", "convo1"),
    )
) + (SubjectKey(plc(5)), SubjectKey(plc(5), "", "convo1"))
"""All that moderators are concerned with; of the last account there is no record."""
COMMENTS = ("", "", "needs a LOOK", "straße 50% off", "look_again", "ÉTÉ")


@dataclass
class Entry:
    """An event as it was appended."""

    id: int
    scope: int
    key: SubjectKey
    event: ModEvent


@dataclass
class Standing:
    """How a subject stands in a scope."""

    id: int
    scope: int
    key: SubjectKey
    status: Status


class History:
    """All that was appended. `scopes`: by name: python, rust, service, team, other."""

    def __init__(self, place: Desk, scopes: dict[str, int]) -> None:
        self.place = place
        self.scopes = scopes
        self.entries: list[Entry] = []
        self.standings: dict[tuple[int, SubjectKey], Standing] = {}
        self.strikes: list[tuple[int, str, int]] = []

    def add(self, scope: int, key: SubjectKey, event: ModEvent) -> Entry:
        """Append an event a moment later."""
        self.place.place.clock.now += 0.5
        event = replace(event, at=self.place.place.clock.micros(), cid=CID if key.path else "")
        with writing(self.place.place.writer.database) as connection:
            done = append(connection, scope, key, event)
        query = "SELECT id FROM subject_status WHERE scope = ? AND subject = ?"
        number = self.place.place.writer.sql(query, scope, done.subject)[0][0]
        before = self.standings.get((scope, key))
        status = fold(before.status if before else None, replace(event, at=done.at))
        self.standings[scope, key] = Standing(number, scope, key, status)
        entry = Entry(done.id, scope, key, replace(event, at=done.at))
        self.entries.append(entry)
        if count := event.said.get("strikeCount"):
            self.strikes.append((scope, key.did, count))
        return entry

    def anything(self, choose: random.Random, *, kinds: tuple[Kind, ...] = tuple(Kind)) -> Entry:
        """Append anything, about anything, anywhere."""
        scope = choose.choice(list(self.scopes.values()))
        key = choose.choice(KEYS)
        kind = choose.choice(kinds)
        if kind in (Kind.MUTE_REPORTER, Kind.UNMUTE_REPORTER):
            key = key.account
        return self.add(scope, key, an_event(choose, kind))

    def account(self, scope: int, did: str) -> list[Standing]:
        """How the records of an account stand."""
        return [one for one in self.standings.values() if one.scope == scope and one.key.did == did and one.key.path]


def an_event(choose: random.Random, kind: Kind) -> ModEvent:
    """An event of a kind, with all that may be said in it."""

    def some(values: tuple[str, ...]) -> list[str]:
        return [one for one in values if choose.random() < 0.5]

    said: dict[Kind, Callable[[], dict[str, Any]]] = {
        Kind.REPORT: lambda: {"reportType": choose.choice((SPAM, SPAM, RUDE, APPEAL))},
        Kind.LABEL: lambda: {"createLabelVals": some(LABELS), "negateLabelVals": some(LABELS)},
        Kind.TAG: lambda: {"add": some(TAGS), "remove": some(TAGS[:1])},
        Kind.MUTE: lambda: {"durationInHours": choose.choice((1, 1000))},
        Kind.MUTE_REPORTER: lambda: {"durationInHours": 1000},
        Kind.TAKEDOWN: lambda: {
            "policies": some(POLICIES),
            **choose.choice(({}, {"durationInHours": 5}, {"strikeCount": 2})),
        },
        Kind.EMAIL: lambda: {"subjectLine": "hello", **choose.choice(({}, {"policies": ["p2"], "strikeCount": 1}))},
        Kind.COMMENT: lambda: {"sticky": choose.random() < 0.7},
        Kind.PRIORITY_SCORE: lambda: {"score": choose.choice((5, 5, 40, 100))},
        Kind.ACCOUNT: lambda: {
            "active": False, "status": choose.choice(("deactivated", "deleted")), "timestamp": "2026-01-01T00:00:00Z",
        },
        Kind.IDENTITY: lambda: {"timestamp": "2026-01-01T00:00:00Z"},
        Kind.RECORD: lambda: {"op": choose.choice(("update", "delete")), "timestamp": "2026-01-01T00:00:00Z"},
    }  # fmt: skip
    by_whom = REPORTERS if kind is Kind.REPORT else ACTORS
    return ModEvent(
        kind,
        0,
        choose.choice(by_whom),
        comment=choose.choice(COMMENTS),
        said=said.get(kind, dict)(),
        tool=choose.choice(("", "", *TOOLS)),
        batch=choose.choice(("", "", "b1", "b2")),
    )


@dataclass(frozen=True)
class Person:
    """Somebody who asks: at which labeler, and which scopes are theirs to look into, by name."""

    who: Account
    sees: tuple[str, ...]
    aud: str = LABELER


def people(place: Desk) -> dict[str, Person]:
    """The team of LABELER, moderators of communities, and the team of the other labeler, which serves `rust` alone."""
    both = place.place.moderator("python")
    place.place.put("rust", both, role=Member.MODERATOR)
    return {
        "admin": Person(place.staff(), ("python", "rust", "service", "team")),
        "triage": Person(place.member(Role.TRIAGE), ("python", "rust", "service", "team")),
        "python": Person(place.place.moderator("python"), ("python",)),
        "rust": Person(place.place.moderator("rust"), ("rust",)),
        "both": Person(both, ("python", "rust")),
        "other": Person(place.member(Role.TRIAGE, labeler=OTHER), ("rust", "other"), OTHER),
    }


@contextmanager
def history(folder: Path, seed: int, count: int) -> Iterator[History]:
    """A site with so many events, from which accounts may read as often as they like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.moderating.READS_BURST", 1_000_000)
        with desk(folder) as place:
            with writing(place.place.writer.database) as connection:
                numbers = [labelers.enter(connection, did) for did in (LABELER, OTHER)]
            scopes = {"python": place.place.id("python"), "rust": place.place.id("rust"), "service": SERVICE}
            found = History(place, scopes | {"team": -numbers[0], "other": -numbers[1]})
            choose = random.Random(seed)
            weighted = (
                *Kind,
                *[Kind.REPORT] * 8,
                *[Kind.COMMENT, Kind.TAG, Kind.LABEL, Kind.ACKNOWLEDGE, Kind.TAKEDOWN] * 2,
            )
            for _ in range(count):
                found.anything(choose, kinds=weighted)
            # Some mutes are over by now, and others are not.
            place.place.clock.now += 2 * HOUR / 1_000_000
            yield found


def pages(found: History, method: str, person: Person, limit: int, params: dict[str, Any]) -> list[dict[str, Any]]:
    """All items that paging gives. Every page but the last has as many as it may."""
    return [item for page in _pages(found, method, person, limit, params) for item in page]


def _pages(
    found: History, method: str, person: Person, limit: int, params: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        reply = found.place.ask(method, person.who, aud=person.aud, **params, limit=limit, cursor=cursor)
        assert reply.status == 200, reply.body
        (page,) = (value for name, value in reply.json.items() if name != "cursor")
        cursor = reply.cursor
        assert len(page) == limit or (cursor is None and len(page) <= limit)
        yield page
        if cursor is None:
            return


STATES = {state: f"tools.ozone.moderation.defs#review{state.name.title()}" for state in State}
