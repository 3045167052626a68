"""A real `communities ingest` that dies at named points, at random moments or for want of room, and what is left then.

The simulated network runs in this process, the ingest in a child. Every deed of people follows from the seed, so the
rows can be held against those of an ingest that nobody disturbed.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from models.database import DatabaseError, open_database, sql
from tests.crash_points import Point
from tests.fault_run import stepping
from tests.followed import FollowedHistory
from tests.history import declaration, rules
from tests.ingest_rows import dump_file, seen
from tests.ingest_site import Site
from tests.oracle import Verdict
from tests.service_process import PATIENCE, Service
from tests.world import World
from tests.world.relay import Relay

ROOT = Path(__file__).parents[1]
DEADLINE = 40.0

Dump = dict[str, list[tuple[Any, ...]]]
Deeds = Callable[[], Awaitable[None] | None]
REV = "SELECT a.rev FROM repo r JOIN actor a ON a.id = r.actor WHERE r.state = 'synced' AND a.did = ?"


class CrashRun:
    """A network with a history, and an ingest process on a database of its own."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        start: int | None = None,
        *,
        begin: bool = True,
        quick: bool = False,
        members: int = 0,
    ) -> None:
        """With `begin` the process reads when the block is entered; otherwise once `begin` was called. `quick`: at the
        pace of tests. With `members` their repositories are followed.
        """
        self.folder = folder
        self.seed = seed
        self.world = World(seed, stepping(start))
        self.world.tombstones = False
        self.rng = random.Random(f"crashes {seed}")
        self.history: FollowedHistory
        self.service: Service
        self.quick = quick
        self.members = members
        self._begin = begin

    async def __aenter__(self) -> "CrashRun":
        await self.world.__aenter__()
        self.service = Service(
            self.folder,
            declaration(rules(self.seed, self.members)),
            "ingest",
            source=self.world.relay_url,
            plc_url=self.world.plc_url,
            egress_allow="127.0.0.1",
            verify="members" if self.members else "none",
        )
        self.service.environ["PYTHONPATH"] = str(ROOT)
        self._command = self.service.command
        self.history = FollowedHistory(self.world, self.seed, members=self.members)
        if self._begin:
            try:
                await self.begin()
            except BaseException:
                await self.__aexit__()
                raise
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self.service.process is not None:
            await asyncio.to_thread(self.service.kill)
        await self.world.__aexit__(*error)

    # The process

    async def begin(self) -> None:
        """Start to read; what people did before is not known."""
        self._start()
        await self.until("the connection", lambda: self.world.relay.sessions)
        await self.settled()
        # From now on nobody but the stream changes the list.
        await self.until("the list", lambda: self.ask("SELECT read_at FROM list"))

    async def restart(self, *options: str) -> None:
        """Stop it if it runs, and start it with other options of tests.crash_child."""
        await asyncio.to_thread(self.service.stop)
        self._start(*options)

    def _start(self, *options: str) -> None:
        if self.quick:
            options = "--quick", *options
        child = [sys.executable, "-m", "tests.crash_child", *options, "ingest"]
        self.service.command = child if options else self._command
        self.service.start()

    async def die_at(self, point: Point, deeds: Deeds | None) -> None:
        """Start it, let people do what leads to a point once all of before is stored, and see it end there. Without
        `deeds` the start itself leads there.
        """
        if self.service.process is not None:
            await self.kill()
        mark = self.folder / "mark"
        if deeds is None:
            mark.touch()
        self._start("--point", point.function, "--when", point.when, "--call", str(point.call), "--mark", str(mark))
        if deeds is not None:
            await self.settled()
            mark.touch()
            await _done(deeds)
        await self.until(f"the end at {point.name}", self._ended, alive=False)
        assert not mark.exists(), f"{point.name} was not reached\n{self.service.log_tail()}"
        assert await asyncio.to_thread(self.service.wait_exit) == -signal.SIGKILL
        self.world.fired[point.name] += 1

    def _ended(self) -> bool:
        assert self.service.process is not None
        return self.service.process.poll() is not None

    async def kill(self) -> None:
        """End it now."""
        await asyncio.to_thread(self.service.kill)
        self.world.fired["SIGKILL at a random moment"] += 1

    async def until(self, what: str, check: Callable[[], object], *, alive: bool = True) -> None:
        """Wait in the event loop, which the network runs in as well."""
        end = time.monotonic() + DEADLINE * PATIENCE
        while not check():
            if alive:
                self.service.alive()
            assert time.monotonic() < end, f"waited in vain for {what}\n{self.service.log_tail()}"
            await asyncio.sleep(0.01)

    # What is in its database

    def ask(self, query: str, *values: str) -> Any:
        """The number or text that a query gives; 0 where there is none."""
        try:
            with closing(open_database(self.service.database, readonly=True)) as database:
                row = sql(database).execute(query, values).fetchone()
        except DatabaseError:
            return 0
        return row[0] if row else 0

    @property
    def cursor(self) -> int:
        """The stored cursor, 0 while there is none."""
        return int(self.ask("SELECT cursor FROM source"))

    async def settled(self) -> None:
        """Everything that was sent is stored, what follows is done, and members are followed as they are now."""
        self.history.come_back()
        last = self.history.curator.identity()
        await self.until(f"cursor {last}", lambda: self.cursor >= last)
        waiting = (
            "SELECT (SELECT count(*) FROM actor WHERE purge != 0)"
            " + (SELECT count(*) FROM meta WHERE key IN ('lists_changed', 'reapply_after'))"
            " + (SELECT count(*) FROM reapply)"
        )
        await self.until("rest", lambda: not self.ask(waiting))
        for member in self.history.members():
            await self.until(f"{member.did} to be read", lambda one=member: self.ask(REV, one.did) == one.repo.rev)  # type: ignore[misc]
            if member.did in self.history.unread:
                self.history.reread(member)

    async def judge(self) -> Verdict:
        """Let it come to rest, undisturbed, and hold the index against what people did."""
        if self.service.process is None:
            self._start()
        await self.settled()
        with closing(open_database(self.service.database, readonly=True)) as database:
            return self.history.oracle.verdict(seen(sql(database)))

    async def finish(self) -> tuple[Verdict, Dump]:
        """`judge`, stop, and look at what is left."""
        verdict = await self.judge()
        await asyncio.to_thread(self.service.stop)
        return verdict, dump_file(self.service.database)


class CalmRun:
    """The same deeds at the same times with an ingest in this process that nobody disturbs."""

    def __init__(self, folder: Path, seed: int, start: int, *, members: int = 0) -> None:
        folder.mkdir(parents=True)
        verify = "members" if members else "none"
        self.site = Site(folder, declaration(rules(seed, members)), seed=seed, now=stepping(start), verify=verify)
        self.world = self.site.world
        self.world.tombstones = False
        self.history = FollowedHistory(self.world, seed, members=members)

    async def __aenter__(self) -> "CalmRun":
        await self.site.__aenter__()
        await self.settled()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.site.__aexit__(*error)

    async def settled(self) -> None:
        """See CrashRun."""
        self.history.come_back()
        await self.site.caught_up(self.history.curator.identity())
        await self.site.settled()
        for member in self.history.members():
            await self.until(
                f"{member.did} to be read",
                lambda one=member: self.site.rows(REV, one.did) == [(one.repo.rev,)],  # type: ignore[misc]
            )
            if member.did in self.history.unread:
                self.history.reread(member)

    async def die_at(self, point: Point, deeds: Deeds) -> None:
        """The deeds only."""
        await self.settled()
        await _done(deeds)

    async def until(self, what: str, check: Callable[[], object], *, alive: bool = True) -> None:
        """See CrashRun."""
        await self.site.until(what, check)

    @property
    def cursor(self) -> int:
        """See CrashRun."""
        return self.site.cursor or 0

    async def judge(self) -> Verdict:
        """See CrashRun."""
        await self.settled()
        return self.history.oracle.verdict(seen(self.site.connection))

    async def finish(self) -> tuple[Verdict, Dump]:
        """See CrashRun."""
        return await self.judge(), self.site.dump()


async def _done(deeds: Deeds) -> None:
    doing = deeds()
    if doing is not None:
        await doing


async def random_kills(folder: Path, seed: int, count: int, *, members: int = 0) -> Verdict:
    """One history while the process is killed so often, each time when some frames of a piece were sent; with `members`
    one of their repositories has to be read then.
    """
    async with CrashRun(folder, seed, quick=members > 0, members=members) as run:
        relay = run.world.relay
        for _ in range(count):
            if members:
                await run.settled()
            before = run.cursor
            sessions = len(relay.sessions)
            run.history.run(run.rng.randrange(10, 60))
            if members:
                member = run.history.member()
                run.history.withheld(member)
                member.sync()
            await run.until("a connection", lambda: relay.sessions[-1].open)
            moment = relay.sessions[-1].sent + run.rng.randrange(60)
            await run.until("the moment", lambda at=moment: _reached(relay, at))  # type: ignore[misc]
            await asyncio.sleep(run.rng.random() * 0.3)
            await run.kill()
            assert before <= run.cursor <= relay.head, "the cursor went back, or beyond what was sent"
            run.service.start()
            await run.until("the next connection", lambda n=sessions: len(relay.sessions) > n)  # type: ignore[misc]
        verdict, _ = await run.finish()
        return verdict


def _reached(relay: Relay, moment: int) -> bool:
    """Whether the last connection was sent so many frames, or all there are."""
    session = relay.sessions[-1]
    return session.sent >= moment or session.last_seq >= relay.head
