"""A history and the faults that strike while it happens; at every rest the whole index is held against the oracle."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from peewee import OperationalError

from firehose.ingest import Ingest
from models.database import writing
from tests.fault_catalogue import CATALOGUE
from tests.history import History, declaration, rules
from tests.ingest_rows import seen
from tests.ingest_site import QUICK, Site
from tests.oracle import Verdict

PACE = replace(QUICK, silence=0.3)
PATIENCE = 20
"""How often a fault is laid down again that did not come about."""


def stepping(start: int | None = None) -> Callable[[], int]:
    """A clock that gives the same times in every run that begins at the same time (default: an hour ago)."""
    clock = itertools.count(start or (time.time_ns() // 1_000_000 - 3_600_000) * 1000, 1000)
    return lambda: next(clock)


@dataclass
class Outcome:
    """What came of a run. `verdict` is the first that is not clean, or the last."""

    seed: int
    verdict: Verdict
    fired: Counter[str]
    events: int
    connections: int
    posts: int
    deeds: dict[str, int]


class FaultRun:
    """One history with its faults; all of it follows from the seed, but for the moments at which the ingest acts."""

    def __init__(self, folder: Path, seed: int, kinds: Sequence[str] = tuple(CATALOGUE)) -> None:
        self.seed = seed
        self.kinds = list(kinds)
        self.rng = random.Random(f"faults {seed}")
        self.site = Site(folder, declaration(rules(seed)), seed=seed, now=stepping(), pace=PACE)
        self.world = self.site.world
        self.world.tombstones = False
        self.history: History
        self._operated: tuple[Ingest, int] | None = None

    async def run(self, rounds: int = 4, events: int = 60, at_once: int = 6) -> Outcome:
        """Let people do `events` things and `at_once` faults happen in each of the rounds, and each kind in the end."""
        # A document is looked up anew at most once a minute, which here would be a wait.
        with patch("xrpc.resolver._REFRESH_COOLDOWN", 0.05):
            return await self._run(rounds, events, at_once)

    async def _run(self, rounds: int, events: int, at_once: int) -> Outcome:
        async with self.site:
            self.history = History(self.world, self.seed)
            await self.settle()
            verdict = Verdict()
            waiting = [*self.kinds]
            self.rng.shuffle(waiting)
            for number in itertools.count():
                if number >= rounds:
                    waiting = [kind for kind in self.kinds if not self.world.fired[kind]]
                    if not waiting:
                        break
                    assert number < rounds + PATIENCE, f"did not come about: {waiting}"
                laid = [waiting.pop() if waiting else self.rng.choice(self.kinds) for _ in range(at_once)]
                await self._strike(laid, events)
                verdict = await self.judge()
                if not verdict.clean:
                    break
                await self._change_list(number)
            return Outcome(
                self.seed,
                verdict,
                self.world.fired,
                self.world.relay.head,
                len(self.world.relay.sessions),
                len(self.history.oracle.posts),
                self.history.deeds,
            )

    async def _strike(self, kinds: Sequence[str], events: int) -> None:
        for kind in kinds:
            done = CATALOGUE[kind](self)
            if done is not None:
                await done
            self.history.run(self.rng.randrange(1, 1 + 2 * events // len(kinds)))
        await self.play_out()

    async def play_out(self) -> None:
        """Let connections come and go until every fault that was laid down has had its chance."""
        relay = self.world.relay
        while relay.faults.waiting:
            before = len(relay.sessions)
            await relay.drop()
            await self.reach("a connection", lambda before=before: len(relay.sessions) > before)  # type: ignore[misc]
            self.history.run(8)
            session, last = relay.sessions[-1], self.history.curator.identity()
            await self.reach("its end", lambda s=session, last=last: not s.open or s.last_seq >= last)  # type: ignore[misc]

    async def reach(self, what: str, check: Callable[[], object]) -> None:
        """Wait for something, while an operator looks after a source that stands still."""

        def looked_after() -> bool:
            self._operate()
            return bool(check())

        await self.site.until(what, looked_after)

    def earlier(self) -> int:
        """A position a little before the cursor."""
        return max(0, (self.site.cursor or 0) - self.rng.randrange(1, 200))

    def _operate(self) -> None:
        """What `communities cursor reset --to` does, once each time when nothing is read any more."""
        site = self.site
        stops = site.ingest, sum(site.closes.get(cause, 0) for cause in ("FutureCursor", "stream rewound"))
        stands_still = site.ingest.subscription.state.startswith("stopped")
        if stands_still and stops != self._operated and site.cursor == site.ingest.pipeline.received:
            try:
                with writing(site.ingest.database) as connection:
                    connection.execute("UPDATE source SET cursor = ?", (self.earlier(),))
                    connection.execute("UPDATE actor SET account_seq = 0")
            except OperationalError:
                return  # another process is in the middle of a write: later
            self._operated = stops
            self.world.fired["operator acted"] += 1

    async def settle(self) -> None:
        """Everything that was sent is stored, and nothing is left to be done."""
        last = self.history.curator.identity()
        await self.reach(f"cursor {last}", lambda: (self.site.cursor or 0) >= last)
        await self.site.settled()

    async def judge(self) -> Verdict:
        """The whole index, and what readers get, held against what people did; repeated while lists are taken over."""
        await self.settle()
        oracle, verdict = self.history.oracle, Verdict()

        def clean() -> bool:
            nonlocal verdict
            verdict = oracle.verdict(seen(self.site.connection))
            return verdict.clean

        try:
            await self.site.until("a clean index", clean, deadline=3)
        except AssertionError:
            return verdict
        await self.site.settled()
        found = seen(self.site.connection)
        for slug, feed in found.feeds.items():
            assert await self.site.feed(slug) == feed[:100]
        return oracle.verdict(found)

    async def _change_list(self, number: int) -> None:
        if number % 2 == 0 or (farewell := self.history.farewell_post()) is None:
            self.history.befriend()
            return
        await self.settle()
        self.history.unfriend(farewell)
        await self.reach("the removal", lambda: farewell.uri not in seen(self.site.connection).posts)
