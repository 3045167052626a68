"""The standing canary, and what the canary asks of the labeler, through the real outbox and publisher."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import apsw
import pytest

from labeler.labels_file import read_labels
from labeler.pacing import PER_DAY, PER_HOUR, PER_SECOND, Pace
from labeler.publishing import Publishing
from labeler.vocabulary import Declared
from models import labelers
from models.database import open_database, sql, writing
from models.lock import LockError, only_one
from service import canary
from service.cli import CommandError, main
from service.labeler_canary import issue_or_take_back
from tests import labeler_site
from tests.labeler_site import Site
from tests.service_process import PATIENCE

site = labeler_site.site
Capture = pytest.CaptureFixture[str]
POST = f"at://did:plc:{'b' * 24}/app.bsky.feed.post/3kabc"


def only(site: Site) -> Declared:
    (declared,) = read_labels(site.folder / "labels.toml").labelers
    return declared


def rows(site: Site, query: str) -> list[Any]:
    database = open_database(site.folder / "data" / "communities.db", readonly=True)
    try:
        return [tuple(row) for row in sql(database).execute(query)]
    finally:
        database.close()


@asynccontextmanager
async def publishing(site: Site) -> AsyncIterator[None]:
    """What the service does with what is decided."""
    signer, stop = site.signer(), threading.Event()
    path = site.folder / "data" / "communities.db"
    publisher = Publishing(path, lambda _: {signer.labeler: signer}, lambda _: (), pace=Pace.unlimited())
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)


async def test_the_canary_decides_as_anybody_does(site: Site) -> None:
    await site.set_up()
    issue_or_take_back(site.config(), only(site), POST, "test", True)
    assert rows(site, "SELECT uri, val, neg FROM label_outbox") == [(POST, "test", 0)]
    issue_or_take_back(site.config(), only(site), POST, "test", False)
    assert rows(site, "SELECT * FROM label_outbox") == []
    events = rows(site, "SELECT actor, role, reason, added, removed FROM label_event ORDER BY id")
    assert events == [("cli", "operator", "canary", "test", ""), ("cli", "operator", "canary", "", "test")]
    with pytest.raises(CommandError, match="declare"):
        issue_or_take_back(site.config(), only(site), POST, "unheard-of", True)


async def test_the_standing_canary_tries_and_tells(site: Site) -> None:
    await site.set_up()
    assert await site.run("publish") == 0
    config = site.config(canary_post=POST)
    async with publishing(site):
        watching = asyncio.create_task(canary.keep_watching(config, lambda: [only(site)], first=0))
        try:
            async with asyncio.timeout(30 * PATIENCE):
                while not (found := rows(site, "SELECT report FROM process WHERE name = 'canary'")):
                    await asyncio.sleep(0.02)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    (outcome,) = json.loads(found[0][0])
    assert (outcome["labeler"], outcome["post"], outcome["missing"]) == (site.account.did, POST, "")
    assert outcome["shown_seconds"] is not None and outcome["gone_seconds"] is not None
    text = canary.render_canary([outcome])
    assert f'communities_label_canary_up{{labeler="{site.account.did}"}} 1' in text and 'step="shown"' in text
    assert canary.render_canary([outcome | {"missing": "x", "shown_seconds": None}]).count("} 0\n") == 1


async def test_a_canary_that_does_not_come_through_is_told_of(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.set_up()
    outcome = await canary.try_once(site.config(canary_post=POST), only(site), seconds=0.1)
    assert "queryLabels does not have the label" in outcome.missing and outcome.missing in caplog.text
    assert rows(site, "SELECT * FROM label_outbox") == [], "it is taken back"


async def test_a_fault_of_the_machine_does_not_end_the_standing_canary(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await site.set_up()
    tries: list[int] = []
    again = asyncio.Event()

    async def busy(*_: Any) -> Any:
        tries.append(1)
        if len(tries) == 2:
            again.set()
        raise apsw.BusyError("database is locked")

    monkeypatch.setattr(canary, "try_once", busy)
    config = replace(site.config(canary_post=POST), canary_hours=0)
    watching = asyncio.create_task(canary.keep_watching(config, lambda: [only(site)], first=0))
    await asyncio.wait_for(again.wait(), 10 * PATIENCE)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert "database is locked" in caplog.text


async def test_without_a_post_nothing_is_tried(site: Site) -> None:
    await site.set_up()
    await asyncio.wait_for(canary.keep_watching(site.config(), lambda: [only(site)], first=0), 10 * PATIENCE)
    assert rows(site, "SELECT * FROM label_event") == []


async def test_jump_goes_on_above_what_subscribers_have_seen(site: Site, capsys: Capture) -> None:
    await site.set_up()
    capsys.readouterr()
    assert await site.run("jump", "5000000", "--json") == 0
    following = json.loads(capsys.readouterr().out)["next"]
    assert following > 5_000_000 + 999_999
    issue_or_take_back(site.config(), only(site), POST, "test", True)
    async with publishing(site), asyncio.timeout(30 * PATIENCE):
        while not (found := rows(site, "SELECT seq FROM label")):
            await asyncio.sleep(0.02)
    assert found[0][0] >= following
    with only_one(site.folder / "data" / "labels.lock", "x"), pytest.raises(LockError, match="stop the service"):
        await site.run("jump", "1")


@pytest.mark.parametrize("above", ["-1", "x", "1e3", "9007199254740992", "\u0661"])
def test_a_number_that_is_none_is_refused(above: str) -> None:
    assert main(["labeler", "jump", above]) == 2


async def test_the_pace_is_a_multiple_of_the_usual(site: Site) -> None:
    await site.set_up()
    database = open_database(site.folder / "data" / "communities.db")
    with writing(database) as connection:
        labeler = labelers.find(connection, site.account.did)
        assert labeler is not None
        budget = Pace.times(10).budget(connection, labeler, 1)
    database.close()
    assert budget.singles == 10 * PER_SECOND < PER_HOUR < PER_DAY
