"""Events that the source no longer has: noticed, said, and followed by a reading of the repositories (A7, A25)."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.database import writing
from service.cli import main
from tests.ingest_site import QUICK, Site, write_lock
from tests.trust_site import TrustSite
from tests.world import Account
from tests.world.clock import wall
from tests.world.faults import Script

LATER = 3600 * 1_000_000
GAP, SUSPECTED = {"gap": 1, "gap suspected": 0}, {"gap": 0, "gap suspected": 1}
STATES = {
    "synced": "desynchronized",
    "resyncing": "desynchronized",
    "pending": "pending",
    "error": "error",
    "unresolvable": "unresolvable",
    "desynchronized": "desynchronized",
}


class Slow:
    """A clock of the network that a test moves on."""

    def __init__(self) -> None:
        self.ahead = -10 * LATER

    def __call__(self) -> int:
        return wall() + self.ahead


@pytest.fixture
def clock() -> Slow:
    return Slow()


@pytest.fixture
def site(tmp_path: Path, clock: Slow) -> Site:
    # Marked accounts stay marked: repositories that are due are looked for at the start only, and no host is asked.
    return Site(tmp_path, now=clock, pace=replace(QUICK, resync=3600.0))


async def followed(site: Site) -> list[Account]:
    """An account in each state, caught up with."""
    people = site.people(*STATES)
    for one in people:
        one.post("#python")
    await site.caught_up()
    with writing(site.ingest.database) as connection:
        for one, state in zip(people, STATES, strict=True):
            connection.execute(
                "INSERT INTO repo (actor, state, data, why, due_at, checked_at)"
                " SELECT id, ?, x'00', 'before', ?, ? FROM actor WHERE did = ?",
                (state, 0 if state == "synced" else wall() + LATER, wall() + LATER, one.did),
            )
    site.ingest.index.forget()
    return people


def states(site: Site) -> dict[str, str]:
    rows = site.rows("SELECT a.did, r.state FROM repo r JOIN actor a ON a.id = r.actor")
    names = {account.did: name for name, account in zip(STATES, site.world.accounts.values(), strict=False)}
    return {names[did]: state for did, state in rows}


def missed(site: Site) -> list[Any]:
    return site.rows("SELECT why, data, due_at > 0 FROM repo WHERE state = 'desynchronized' AND why != 'before'")


async def away(site: Site, clock: Slow, events: int, seconds: float = 3600) -> None:
    """The service stops, and events go by, of which the relay keeps the last two."""
    await site.stop()
    clock.ahead += int(seconds * 1_000_000)
    site.world.relay.retention = 2
    (alice, *_) = site.world.accounts.values()
    for _ in range(events):
        alice.post("meanwhile #python")
    site.open()
    await site.start()
    await site.caught_up()


@pytest.mark.parametrize("manners", ["pds", "relay"])
async def test_a7_what_no_cursor_can_fill_marks_the_accounts(
    site: Site, clock: Slow, manners: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site.world.relay.manners = manners
    async with site:
        await followed(site)
        assert states(site) == {state: state for state in STATES}
        cursor = site.cursor
        caplog.clear()
        await away(site, clock, events=6)
        assert site.world.relay.connections[-1] == cursor
        assert states(site) == STATES
        assert missed(site) == [("events were missed", None, 1)]  # the start had broken off the one under way
        assert site.ingest.pipeline.gaps.counts == GAP
        assert site.ingest.index.counts["account desynchronized"] == 1
        (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert f"events behind {cursor}, from 20" in said and said.count("Z") == 2
        assert "1 repositories are read anew" in said
        assert await site.feed()  # what the relay still had was read


async def test_numbers_that_are_left_out_are_a_suspicion(site: Site, clock: Slow) -> None:
    async with site:
        await followed(site)
        site.world.relay.jump(100)
        await away(site, clock, events=1, seconds=30)
        assert site.ingest.pipeline.gaps.counts == SUSPECTED
        assert missed(site) == [] and states(site)["synced"] == "synced"


async def test_a_long_pause_without_numbers_left_out_is_none(site: Site, clock: Slow) -> None:
    async with site:
        await followed(site)
        await away(site, clock, events=2)
        assert not site.ingest.pipeline.gaps.counts.total() and missed(site) == []


async def test_the_first_start_and_numbers_left_out_while_reading_are_none(site: Site, clock: Slow) -> None:
    site.world.relay.jump(1000)
    async with site:
        (alice, *_) = await followed(site)
        clock.ahead += LATER
        site.world.relay.jump(1000)
        alice.post("#python")
        await site.caught_up()
        assert not site.ingest.pipeline.gaps.counts.total() and missed(site) == []


async def test_a_pds_that_has_nothing_any_more_is_believed_at_once_and_once(site: Site, clock: Slow) -> None:
    """No event follows the word; and the host says it again at each connection."""
    async with site:
        await followed(site)
        await site.stop()
        clock.ahead += LATER
        site.world.relay.rebuild(site.world.relay.head + 50)
        site.open()
        await site.start()
        await site.until("the marks", lambda: site.ingest.pipeline.gaps.counts["gap"])
        assert states(site) == STATES
        with writing(site.ingest.database) as connection:
            connection.execute("UPDATE repo SET state = 'synced', why = 'read'")
        site.ingest.index.forget()
        await site.world.relay.drop()
        await site.until("the connection", lambda: len(site.world.relay.sessions) == 3)
        said = site.ingest.pipeline.kinds
        await site.until("the word", lambda: said["#info"] == 2)
        for _ in range(3):
            site.ingest.pipeline.tick()
        assert site.ingest.pipeline.gaps.counts == GAP
        assert set(states(site).values()) == {"synced"}


async def test_a_gap_that_cannot_be_stored_is_found_again(site: Site, clock: Slow) -> None:
    site.world.relay.manners = "relay"
    async with site:
        (alice, *_) = await followed(site)
        cursor = site.cursor
        site.world.relay.retention = 2
        with write_lock(site):
            site.world.relay.faults.close_after(0)  # it comes back when all has gone by
            await site.world.relay.drop()
            clock.ahead += LATER
            for _ in range(6):
                alice.post("meanwhile #python")
            await site.until("the refusal", lambda: site.closes.get("events could not be stored"))
            assert site.cursor == cursor and missed(site) == []
        await site.caught_up()
        assert site.ingest.pipeline.gaps.counts == GAP
        assert states(site) == STATES
        assert missed(site) == [("events were missed", None, 1)] * 2  # a reading under way is of no use either


async def test_a25_a_backlog_that_was_given_up_is_a_gap(site: Site) -> None:
    too_large = Script(edits={1: lambda frame: (bytes(9 << 20),)})
    async with site:
        (alice, *_) = await followed(site)
        for _ in range(3 + 16):
            site.world.relay.faults.add(too_large)
        await site.world.relay.drop()
        for _ in range(40):
            alice.post("lost #python")
        await site.until("the marks", lambda: site.ingest.pipeline.gaps.counts["gap"], deadline=60)
        assert site.world.relay.connections[-1] is None and states(site) == STATES


async def test_a4_moving_the_position_by_hand_has_the_repositories_read_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site:
        await followed(site)
        await site.stop()
        monkeypatch.setenv("COMMUNITIES_DATA", str(site.path.parent))
        monkeypatch.setenv("COMMUNITIES_SOURCE", site.world.relay_url)
        monkeypatch.chdir(site.folder)
        assert await asyncio.to_thread(main, ["cursor", "reset", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []
        assert states(site) == STATES
        assert missed(site) == [("the position in the stream was moved", None, 1)] * 2
        site.open()
        await site.start()


@pytest.mark.parametrize("manners", ["pds", "relay"])
async def test_what_members_did_in_a_gap_is_made_up_for(tmp_path: Path, clock: Slow, manners: Any) -> None:
    """Nothing that comes later is of the account: only the gap says that its repository has to be read."""
    site = TrustSite(tmp_path, now=clock)
    site.world.relay.manners = manners
    alice, bob, carol = site.people("alice", "bob", "carol")
    async with site:
        gone, kept, other = alice.post("gone"), alice.post("kept"), bob.post("other")
        await site.synced(alice, bob)
        assert set(await site.feed("club")) == {gone.uri, kept.uri, other.uri}
        await site.stop()
        clock.ahead += LATER
        alice.delete(gone)
        missed = alice.post("missed")
        site.world.relay.retention = 2
        for _ in range(4):
            carol.post("meanwhile #python")
        site.open()
        await site.start()
        await site.synced(alice, bob)
        assert set(await site.feed("club")) == {missed.uri, kept.uri, other.uri}
        assert site.ingest.pipeline.gaps.counts == GAP
        assert (site.count("repositories read"), site.count("accounts behind")) == (2, 0)
