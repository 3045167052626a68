"""The real `communities ingest` process, stopped and killed at random moments: the rows of an undisturbed run."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from models.database import DatabaseError, open_database, sql
from tests.history import History, declaration, rules
from tests.ingest_rows import dump_file
from tests.ingest_site import Site
from tests.service_process import PATIENCE, Service
from tests.world import World

ROUNDS = 8
EVENTS = 60
RULES = declaration(rules(1))


def stepping(start: int) -> Callable[[], int]:
    """A clock that gives the same times in every run."""
    clock = itertools.count(start, 1000)
    return lambda: next(clock)


async def until(check: Callable[[], object], service: Service) -> None:
    """Wait in the event loop, which the relay runs in as well."""
    end = time.monotonic() + 30 * PATIENCE
    while not check():
        service.alive()
        assert time.monotonic() < end, service.log_tail()
        await asyncio.sleep(0.005)


def cursor(service: Service) -> int:
    """The stored cursor, 0 while there is none."""
    try:
        with closing(open_database(service.database, readonly=True)) as database:
            row = sql(database).execute("SELECT cursor FROM source").fetchone()
    except DatabaseError:
        return 0
    return row[0] if row else 0


async def undisturbed(folder: Path, start: int) -> dict[str, list[tuple[Any, ...]]]:
    """What an ingest makes of the same history that nobody disturbs."""
    async with Site(folder, RULES, now=stepping(start)) as site:
        history = History(site.world, 5, leave=False)
        await site.caught_up()
        for _ in range(ROUNDS):
            history.run(EVENTS)
        await site.settled()
        return site.dump()


async def test_r3_f1_stopped_and_killed_at_random_moments(
    tmp_path: Path, start_service: Callable[..., Service]
) -> None:
    start = (time.time_ns() // 1_000_000 - 3_600_000) * 1000
    (tmp_path / "calm").mkdir()
    expected = await undisturbed(tmp_path / "calm", start)
    rng = random.Random(5)
    async with World(1, stepping(start)) as world:
        service = start_service(
            RULES,
            "ingest",
            source=world.relay_url,
            plc_url=world.plc_url,
            egress_allow="127.0.0.1",
            verify="none",
        )
        await until(lambda: world.relay.sessions, service)
        history = History(world, 5, leave=False)
        await until(lambda: cursor(service) == world.relay.head, service)
        for number in range(ROUNDS):
            history.run(EVENTS)
            session = world.relay.sessions[-1]
            moment = session.sent + rng.randrange(EVENTS)
            await until(lambda session=session, moment=moment: session.sent >= moment, service)  # type: ignore[misc]
            before = cursor(service)
            await asyncio.to_thread(service.kill if number % 3 else service.stop)
            # Invariant 1, and no step back.
            assert before <= cursor(service) <= world.relay.head
            sessions = len(world.relay.sessions)
            service.start()
            await until(lambda sessions=sessions: len(world.relay.sessions) > sessions, service)  # type: ignore[misc]
            assert world.relay.connections[-1] == cursor(service) or cursor(service) > world.relay.connections[-1]  # type: ignore[operator]
        await until(lambda: cursor(service) == world.relay.head, service)
        await asyncio.to_thread(service.stop)
        assert dump_file(service.database) == expected
    assert len(expected["items"]) > 20
