"""`communities labeler status` and the canary."""

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labeler.issue import Wanted, issue
from labeler.label import Label, sign
from labeler.labels_file import read_labels
from models import labelers
from models.database import DatabaseError, open_database, sql, writing
from service import labeler_canary
from service.cli import CommandError, main
from service.labeler_canary import Sight, missing, watch
from tests import labeler_site
from tests.labeler_site import Site, insert, told

site = labeler_site.site
Capture = pytest.CaptureFixture[str]
POST = f"at://did:plc:{'b' * 24}/app.bsky.feed.post/3kabc"
RULES = f"""
[[rule]]
name = "words"
value = "spoiler"
keywords = ["buy now"]

[[input]]
did = "did:plc:{"c" * 24}"
hide = ["porn"]
"""


async def test_how_a_labeler_stands(site: Site, capsys: Capture) -> None:
    with pytest.raises(DatabaseError, match="no such database"):
        await site.run("status")
    await site.set_up()
    site.publish(12)
    now = int(time.time() * 1000)
    reader = {"labeler": site.account.did, "client": "192.0.2.7", "format": "cbor", "cursor": 9, "lag": 3, "since": 0}
    database = open_database(site.folder / "data" / "communities.db")
    with writing(database) as connection:
        labeler = labelers.find(connection, site.account.did)
        for priority, age in ((0, 1), (2, 90), (2, 30)):
            connection.execute(
                "INSERT INTO label_outbox (labeler, uri, val, neg, cts, priority, event)"
                " VALUES (?, ?, 'test', 0, ?, ?, 1)",
                (labeler, f"{POST}{age}", now - age * 1000, priority),
            )
        report = json.dumps({"subscribers": [reader, reader | {"labeler": "did:web:other.example"}]})
        connection.execute("INSERT INTO process VALUES ('serve', ?, ?)", (now * 1000, report))
    database.close()
    capsys.readouterr()
    assert await site.run("status", "--json") == 0
    (one,) = told(capsys)
    assert (one["did"], one["endpoint"], one["values"], one["seq"]) == (site.account.did, site.url, 2, 12)
    assert one["key"] == site.label_keys()[0][1] and not one["paused"] and one["signedWithOlderKeys"] == 0
    assert [(row["priority"], row["labels"]) for row in one["waiting"]] == [(0, 1), (2, 2)]
    assert 90 <= one["waiting"][1]["oldestSeconds"] < 120 and one["subscribers"] == [reader]
    assert await site.run("status") == 0
    said = capsys.readouterr().out
    assert (
        "waiting      2 of priority 2, the oldest for 9" in said and "subscribers  1\n  192.0.2.7 (cbor) of did" in said
    )


async def test_without_a_key_the_code_is_1(site: Site, capsys: Capture) -> None:
    open_database(site.folder / "data" / "communities.db").close()
    assert await site.run("status") == 1
    assert "none in use: run `communities labeler init`" in capsys.readouterr().out


def test_the_console_command_takes_common_flags_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.env").write_text("COMMUNITIES_LABELS=other.toml\n")
    for words in (["--env-file", "my.env", "status"], ["status", "--json", "--env-file", "my.env"]):
        assert main(["labeler", *words]) == 2
        assert "other.toml: declares no labeler" in capsys.readouterr().err
    assert main(["labeler"]) == 2 and main(["labeler", "dance"]) == 2


async def test_rules_and_inputs_in_the_file_are_no_obstacle(site: Site) -> None:
    await site.set_up()
    site.declare(extra=RULES)
    assert await site.run("publish") == 0
    assert await site.run("status") == 0
    assert await site.run("doctor", "--only", "vocabulary", "key", "record") == 0


# The canary


class Publisher:
    """Does at once what the outbox and the publisher do; `mute`: only the negation or the label is lost."""

    def __init__(self, site: Site) -> None:
        self.site, self.mute, self.decisions = site, "", list[bool]()

    def decide(self, add: bool) -> None:
        self.decisions.append(add)
        if self.mute == ("label" if add else "negation"):
            return
        signer = self.site.signer()
        database = open_database(self.site.folder / "data" / "communities.db")
        with writing(database) as connection:
            seq = labelers.last_seq(connection, signer.labeler) + 1
            connection.execute("DELETE FROM label WHERE uri = ?", (POST,))
            label = Label(signer.src, POST, "", "test", neg=not add, cts=1_700_000_000_000 + seq)
            insert(connection, seq, signer.labeler, signer.key_id, label, sign(signer.key, label))
        database.close()


async def try_it(site: Site, publisher: Publisher) -> labeler_canary.Outcome:
    (declared,) = read_labels(site.folder / "labels.toml").labelers
    return await watch(site.config(), declared, POST, "test", publisher.decide, 0.2, 0.01)


async def test_the_canary_comes_and_goes(site: Site) -> None:
    await site.set_up()
    assert await site.run("publish") == 0
    publisher = Publisher(site)
    outcome = await try_it(site, publisher)
    assert outcome.missing == "" and publisher.decisions == [True, False]
    assert None not in (outcome.sent_seconds, outcome.shown_seconds, outcome.gone_seconds)


async def test_the_canary_says_which_link_is_missing_and_takes_the_label_back(site: Site) -> None:
    await site.set_up()
    publisher = Publisher(site)
    publisher.mute = "label"
    assert "the publisher has not signed it" in (await try_it(site, publisher)).missing
    publisher.mute = ""
    assert "does not know that the labeler says this" in (await try_it(site, publisher)).missing
    assert await site.run("publish") == 0
    site.accepting = False
    assert "does not take the labeler into account" in (await try_it(site, publisher)).missing
    site.accepting = True
    publisher.mute = "negation"
    lost = await try_it(site, publisher)
    assert lost.gone_seconds is None and "does not have the negation" in lost.missing
    assert "has test already" in (await try_it(site, publisher)).missing
    assert publisher.decisions == [True, False] * 4
    assert "is not connected to subscribeLabels" in missing(Sight(True, True, True, False), "https://a", there=True)


async def test_the_canary_does_not_set_out_while_labels_wait_for_a_key(site: Site) -> None:
    with pytest.raises(CommandError, match="has no key in use"):
        await site.run("canary", "--post", POST)
    await site.set_up()
    await site.run("rotate-key", "--pause")
    with pytest.raises(CommandError, match="is being replaced; go on with"):
        await site.run("canary", "--post", POST)


async def test_an_interrupted_canary_takes_the_label_back(site: Site) -> None:
    await site.set_up()
    publisher = Publisher(site)
    site.accepting = False
    (declared,) = read_labels(site.folder / "labels.toml").labelers
    running = asyncio.create_task(watch(site.config(), declared, POST, "test", publisher.decide, 60, 60))
    while not publisher.decisions or not site.stored():
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert publisher.decisions == [True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--post", "https://bsky.app/x"], "is no at-uri of a post with a DID"),
        (["--post", "at://alice.test/app.bsky.feed.post/3k"], "is no at-uri of a post with a DID"),
        (["--post", POST, "--value", "nothing"], "nothing is not declared; there is spoiler, test"),
    ],
)
async def test_what_a_canary_cannot_be(site: Site, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        await site.run("canary", *words)
    own = f"at://{site.account.did}/app.bsky.feed.post/3k"
    with pytest.raises(CommandError, match="count as the author's own"):
        await site.run("canary", "--post", own)


async def test_the_canary_goes_through_the_verb_and_takes_only_its_own_back(site: Site) -> None:
    await site.set_up()
    config = site.config()
    (declared,) = read_labels(config.labels).labelers

    def events() -> list[Any]:
        with closing(open_database(config.database)) as database:
            return sql(database).execute("SELECT actor, reason, uri, added, removed FROM label_event").fetchall()

    for add in (True, False):
        labeler_canary.issue_or_take_back(config, declared, POST, "test", add)
    canary = [("cli", "canary", POST, "test", ""), ("cli", "canary", POST, "", "test")]
    assert events() == canary
    with closing(open_database(config.database)) as database, writing(database) as connection:
        labeler = labelers.enter(connection, declared.did)
        own = Wanted(labeler, declared.did, POST, add=("test",), actor=declared.did, reason="meant")
        assert issue(connection, declared, own, int(time.time() * 1000)).event
    sight = Sight(sent=False, declared=True, honoured=True, there=False)  # the AppView has not heard of it yet

    async def look(*_: Any, **__: Any) -> Sight:
        return sight

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labeler_canary, "look", look)
        with pytest.raises(CommandError, match="has test already"):
            await site.run("canary", "--post", POST)
    assert events() == [*canary, (declared.did, "meant", POST, "test", "")]
