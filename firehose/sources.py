"""Several sources in order of preference: which one is read, when the next one is, and where reading it begins.

The cursors of one source say nothing about another (A3). What they have in common is the time of events, which is
informal, so the stretches that are read of two sources overlap; what comes twice falls to the rev fence of the index
(A9).
"""

import asyncio
from collections.abc import Awaitable, Callable

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from firehose.dialect import Dialect, SubscribeRepos
from firehose.source import Source
from firehose.websocket import looking

OVERLAP = 60 * 1_000_000
"""Microseconds of the stream that are read of two sources."""
FAILURES = 3
"""After so many connections in a row that came to nothing, the next source is tried."""
HEALTHY_WITHIN = 60.0
"""Seconds after which it is tried, too, when no connection was good in all that time."""
FIRST_STEP = 1000
"""Seqs to go back from the tip at first."""
STEEPER = 4

Place = tuple[int, int]
"""The seq and the time (microseconds) of an event."""


class Order:
    """Which of `count` sources is read: the first that works. `now` is in seconds, of any clock."""

    def __init__(self, count: int, now: float) -> None:
        self.current = 0
        self._count = count
        self._failures = 0
        self._good_at = now
        self._turns = 0
        self._stopped: set[int] = set()

    @property
    def exhausted(self) -> bool:
        """Whether every source was tried since the last good connection."""
        return self._turns > 0 and self._turns % self._count == 0

    def better(self) -> list[int]:
        """Sources that are preferred to the one that is read."""
        return [index for index in range(self.current) if index not in self._stopped]

    def good(self, now: float) -> None:
        """A connection was good."""
        self._failures = self._turns = 0
        self._good_at = now

    def failed(self, now: float) -> bool:
        """A connection came to nothing; whether it is time for another source."""
        self._failures += 1
        return self._failures >= FAILURES or now - self._good_at >= HEALTHY_WITHIN

    def next(self, now: float) -> int | None:
        """Go on to the next source, the first behind the last; None when there is no other."""
        for step in range(1, self._count):
            index = (self.current + step) % self._count
            if index not in self._stopped:
                self._turns += step
                self.choose(index, now)
                return index
        return None

    def choose(self, index: int, now: float) -> None:
        """Go on with this source."""
        self.current = index
        self._failures = 0
        self._good_at = now

    def stop(self) -> None:
        """Let the current source be until an operator has acted."""
        self._stopped.add(self.current)

    def start(self) -> None:
        """An operator has acted."""
        self._stopped.clear()


async def find_start(ask: Callable[[int | None], Awaitable[Place]], since: int, floor: int | None) -> tuple[int, bool]:
    """The cursor from which a stream of seqs brings all that happened from `since` on; whether it reaches so far back.

    `ask` answers the first event behind a cursor, None for the next that happens. From there it is gone back in growing
    steps, never behind `floor`, up to which this stream was read. Seqs may leave gaps of any size, so that nothing is
    concluded from them.
    """
    tip, _ = await ask(None)
    back = FIRST_STEP
    while True:
        cursor = max(tip - back, floor or 0, 0)
        seq, time = await ask(cursor)
        if time < since or cursor == floor:
            return cursor, True
        if cursor == 0:
            return 0, seq == 1
        back *= STEEPER


async def first_event(
    source: Source, dialect: SubscribeRepos, cursor: int | None, user_agent: str, patience: float
) -> Place:
    """Connect to see the first event behind `cursor`, or the next that happens (None).

    Raises OSError, TimeoutError (after `patience` seconds), InvalidHandshake, ConnectionClosed, FrameError or
    StreamError.
    """
    async with looking(source, dialect, cursor, user_agent) as socket, asyncio.timeout(patience):
        while True:
            data = await socket.recv()
            place = dialect.place(data) if isinstance(data, bytes) else None
            if place is not None:
                return place


async def answers(source: Source, dialect: Dialect, user_agent: str, patience: float) -> bool:
    """Whether a source lets us connect, and brings an event within `patience` seconds."""
    try:
        async with looking(source, dialect, None, user_agent) as socket:
            if dialect.kind != "none":  # what Tap has nothing to say of, was all acknowledged
                await asyncio.wait_for(socket.recv(), patience)
            return True
    except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
        return False
