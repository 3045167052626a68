"""A token bucket per key, in bounded memory, and what callers are told of a limit."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple


class Quota(NamedTuple):
    """So many calls (`most`) within so many seconds, as it is said to callers."""

    most: int
    seconds: float


class RateLimit:
    """`burst` calls at once and `rate` calls a second, for each key apart.

    Kept as one number per key, the time at which its bucket is full again (the generic cell rate algorithm of
    ITU-T I.371). At most `capacity` keys are held; the one unused for longest is forgotten, which only ever
    helps the caller behind it.
    """

    def __init__(
        self, rate: float, burst: int, *, capacity: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if rate <= 0 or burst < 1 or capacity < 1:
            raise ValueError("rate, burst and capacity must be positive")
        self.quota = Quota(burst, burst / rate)
        """A full bucket, and the time that an empty one takes to fill."""
        self._interval = 1 / rate
        self._window = burst / rate
        self._capacity = capacity
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def allow(self, key: str) -> float | None:
        """Take one call: None when it may go ahead, else the seconds until the next one may."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._interval
        # A billionth of tolerance, so that sums of intervals do not refuse the call at the very edge.
        if full_at - now > self._window * (1 + 1e-9):
            return full_at - now - self._window
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)
        return None
