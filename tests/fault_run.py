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
from tests.fault_catalogue import CATALOGUE, Lay
from tests.followed import FollowedHistory
from tests.history import declaration, rules
from tests.ingest_rows import seen
from tests.ingest_site import QUICK, Site
from tests.oracle import Verdict
from tests.trust_catalogue import TRUST
from tests.world import Account
from tests.world.pds import Pds

PACE = replace(QUICK, silence=0.3)
PATIENCE = 20
"""How often a fault is laid down again that did not come about."""


def stepping(start: int | None = None) -> Callable[[], int]:
    """A clock that gives the same times in every run that begins at the same time (default: an hour ago)."""
    clock = itertools.count(start or (time.time_ns() // 1_000_000 - 3_600_000) * 1000, 1000)
    return lambda: next(clock)


@dataclass
class Outcome:
    """What came of a run. `verdict` is the first that is not clean, or the last; `noticed` what the service counted."""

    seed: int
    verdict: Verdict
    fired: Counter[str]
    events: int
    connections: int
    posts: int
    deeds: dict[str, int]
    noticed: Counter[str]


class FaultRun:
    """One history with its faults; all of it follows from the seed, but for the moments at which the ingest acts."""

    def __init__(self, folder: Path, seed: int, kinds: Sequence[str] | None = None, *, trust: bool = False) -> None:
        """`kinds`: of faults (None: all). With `trust` three people are members: what they write must be proven, and
        their repositories are followed.
        """
        self.seed = seed
        self.catalogue: dict[str, Lay] = CATALOGUE | TRUST if trust else CATALOGUE
        self.kinds = list(self.catalogue if kinds is None else kinds)
        self.rng = random.Random(f"faults {seed}")
        self.members = 3 if trust else 0
        self.site = Site(
            folder,
            declaration(rules(seed, self.members)),
            seed=seed,
            now=stepping(),
            pace=PACE,
            verify="members" if trust else "none",
        )
        self.world = self.site.world
        self.world.tombstones = False
        self.history: FollowedHistory
        self._operated: tuple[Ingest, int] | None = None

    async def run(self, rounds: int = 4, events: int = 60, at_once: int = 6) -> Outcome:
        """Let people do `events` things and `at_once` faults happen in each of the rounds, and each kind in the end."""
        # A document is looked up anew at most once a minute, which here would be a wait.
        with patch("xrpc.resolver._REFRESH_COOLDOWN", 0.05):
            return await self._run(rounds, events, at_once)

    async def _run(self, rounds: int, events: int, at_once: int) -> Outcome:
        async with self.site:
            self.history = FollowedHistory(self.world, self.seed, members=self.members)
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
                self._counts(),
            )

    async def _strike(self, kinds: Sequence[str], events: int) -> None:
        for kind in kinds:
            done = self.catalogue[kind](self)
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

    # Members

    def host(self, member: Account) -> Pds:
        """The server where an account lives."""
        return self.world.pds if member.pds_url == self.world.pds.url else self.world.second

    def rev(self, member: Account) -> str | None:
        """The rev of the repository that is followed; None while it has still to be read."""
        query = "SELECT a.rev FROM repo r JOIN actor a ON a.id = r.actor WHERE r.state = 'synced' AND a.did = ?"
        rows = self.site.rows(query, member.did)
        return rows[0][0] if rows else None

    async def followed(self, member: Account) -> None:
        """Until the repository of a member is followed as it is now."""
        await self.reach(f"{member.did} to be read", lambda: self.rev(member) == member.repo.rev)

    async def read_unread(self) -> None:
        """Until the repositories of members who were not heard are followed as they are now; the oracle is told."""
        for member in self.history.members():
            if member.did in self.history.unread:
                await self.followed(member)
                self.history.reread(member)

    def hours_later(self) -> None:
        """Let it be so long since hosts were last asked that they are asked again."""
        with writing(self.site.ingest.database) as connection:
            connection.execute("UPDATE repo SET checked_at = 0")

    def noticed(self, what: str) -> int:
        """How often the service, since its last start, has counted something."""
        return self._counts()[what]

    def _counts(self) -> Counter[str]:
        site = self.site
        counters = site.ingest.index.counts, site.resync.counts, site.sweep.counts, site.ingest.pipeline.gaps.counts
        return sum(counters, Counter(site.dropped))

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
        marked = self.site.rows("SELECT a.did FROM repo r JOIN actor a ON a.id = r.actor WHERE r.state != 'synced'")
        self.history.come_back({did for (did,) in marked})
        await self.settle()
        await self.read_unread()
        oracle, verdict = self.history.oracle, Verdict()

        def clean() -> bool:
            nonlocal verdict
            verdict = oracle.verdict(seen(self.site.connection))
            return verdict.clean

        try:
            # A repository that cannot be read is tried again after up to some seconds, here.
            await self.site.until("a clean index", clean, deadline=15 if self.members else 3)
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
