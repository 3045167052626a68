"""The real ingest process ends at named points, at random moments, for want of room: nothing lost, nothing doubled.

F1, F3, F4 of security.md 12; A40-A42 of ingest.md; invariant 1.
"""

import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from models import migrations
from models.steps_context import context_of_evidence
from tests.crash_points import POINTS, READING, Point
from tests.crashing import CalmRun, CrashRun, Deeds, Dump, random_kills
from tests.trust_stream import GET_REPO
from tests.world import outages

ROWS = ("posts", "items", "engagement", "lists")
"""What must be the same; which accounts were ever heard of depends on what a host took back meanwhile."""


def an_hour_ago() -> int:
    return (time.time_ns() // 1_000_000 - 3_600_000) * 1000


def deeds(run: CrashRun | CalmRun, name: str) -> Deeds:
    """What leads to a point; the same in every run."""

    def do() -> None:
        run.history.run(25)
        if "quarantine" in name:
            run.world.emit(b"poison", fault="poison frame")
        if name in ("a list was changed", "rules to be applied again"):
            run.history.befriend()
        if name in ("in housekeeping", "a deletion is confirmed"):
            run.history.move_out(newcomer)
        run.history.run(10)

    newcomer = run.history.move_in()
    return do


async def history(run: CrashRun | CalmRun) -> Dump:
    async with run:
        for number, point in enumerate(POINTS, 1):
            await run.die_at(point, deeds(run, point.name))
            if number % 4 == 0:
                verdict = await run.judge()
                assert verdict.clean, f"{point.name}: {verdict}"
        verdict, rows = await run.finish()
        assert verdict.clean, verdict
        assert not verdict.early, verdict
        return rows


async def test_f1_killed_at_every_named_point_it_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    start = an_hour_ago()
    calm = await history(CalmRun(tmp_path / "calm", 1, start))
    run = CrashRun(tmp_path / "crashes", 1, start, quick=True)
    rows = await history(run)
    assert all(run.world.fired[point.name] == 1 for point in POINTS)
    assert len(calm["items"]) > 20
    assert {name: rows[name] for name in ROWS} == {name: calm[name] for name in ROWS}


def missed(run: CrashRun | CalmRun, name: str) -> Deeds:
    """What leads to a point at which a repository is read; the same in every run."""
    history, pds = run.history, run.world.pds

    async def do() -> None:
        history.run(15)
        member = history.member()
        history.withheld(member)
        if name == "a repository was not to be had":
            pds.outages.add(GET_REPO, outages.refuse(503))
        held = pds.hold(member.did) if "meanwhile" in name else None
        member.sync()
        if held is not None:
            await run.until("the repository to be asked for", held.asked.is_set)
            for write in history.say(member):
                history._tell(member, write)
            last = history.curator.identity()
            await run.until(f"cursor {last}", lambda: run.cursor >= last)
            held.release()

    return do


async def reading(run: CrashRun | CalmRun) -> Dump:
    async with run:
        for number, point in enumerate(READING, 1):
            await run.die_at(point, missed(run, point.name))
            if number % 3 == 0:
                verdict = await run.judge()
                assert verdict.clean, f"{point.name}: {verdict}"
        verdict, rows = await run.finish()
        assert verdict.clean, verdict
        return rows


async def test_f1_killed_while_a_repository_is_read_it_is_read_again(tmp_path: Path) -> None:
    start = an_hour_ago()
    calm = await reading(CalmRun(tmp_path / "calm", 1, start, members=3))
    run = CrashRun(tmp_path / "crashes", 1, start, quick=True, members=3)
    rows = await reading(run)
    assert all(run.world.fired[point.name] == 1 for point in READING)
    assert len(calm["items"]) > 20
    assert {name: rows[name] for name in ROWS} == {name: calm[name] for name in ROWS}


@pytest.mark.parametrize("members", [0, 3])
async def test_f1_killed_at_random_moments(tmp_path: Path, members: int) -> None:
    verdict = await random_kills(tmp_path, 7, 5, members=members)
    assert verdict.clean, verdict


@pytest.mark.parametrize("limit", [("--more-pages", "8"), ("--file-size", "")])
async def test_f3_a_disk_that_is_full_loses_nothing(tmp_path: Path, limit: tuple[str, str]) -> None:
    async with CrashRun(tmp_path, 3) as run:
        option, value = limit
        largest = max(path.stat().st_size for path in run.service.database.parent.iterdir())
        await run.restart(option, value or str(largest + 65536))
        before = run.cursor
        run.history.flood(240)
        await run.until("a refusal", lambda: "the database refused a write" in run.service.log_tail(400))
        assert before <= run.cursor < run.world.relay.head  # invariant 1
        run.history.run(20)
        await run.restart()
        verdict, _ = await run.finish()
        assert verdict.clean, verdict


async def test_f4_a_database_that_another_process_holds_for_longer_than_it_is_waited_for(tmp_path: Path) -> None:
    async with CrashRun(tmp_path, 4) as run:
        await run.restart("--busy", "0.2")
        run.history.run(10)
        await run.settled()
        with closing(apsw.Connection(str(run.service.database))) as other:
            other.execute("BEGIN IMMEDIATE")
            run.history.run(40)
            await run.until("a refusal", lambda: "database is locked" in run.service.log_tail(400))
            other.execute("ROLLBACK")
        run.history.run(20)
        verdict, _ = await run.finish()
        assert verdict.clean, verdict


@pytest.mark.parametrize("when", ["before", "after"])
async def test_f1_killed_in_a_migration_the_file_is_of_one_version_or_the_other(tmp_path: Path, when: str) -> None:
    point = Point(f"in a migration, {when}", "models.migrations:migrate", when)
    path = tmp_path / "data" / "communities.db"
    path.parent.mkdir(mode=0o700)
    older = len(migrations.STEPS) - 1
    with closing(apsw.Connection(str(path))) as file:
        file.execute("PRAGMA journal_mode = wal")
        file.create_scalar_function(context_of_evidence.__name__, context_of_evidence, 1)
        for step in migrations.STEPS[:older]:
            file.execute(step)
        file.execute("INSERT INTO meta VALUES ('kept', 'yes')")
        file.execute(f"PRAGMA user_version = {older}")

    def found() -> tuple[int, str]:
        with closing(apsw.Connection(str(path))) as file:
            row = file.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone()
            version = file.execute("PRAGMA user_version").fetchone()
            assert row and version
            return version[0], row[0]

    async with CrashRun(tmp_path, 2, begin=False) as run:
        await run.die_at(point, None)
        assert found() == (older, "yes")
        await run.begin()
        run.history.run(40)
        verdict, _ = await run.finish()
        assert verdict.clean, verdict
    assert found() == (older + 1, "yes")
