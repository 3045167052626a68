"""What others have answered, kept for some seconds in bounded memory; what many ask for at once is asked for once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by key. What is kept for longest goes first when there is too much."""

    def __init__(
        self, seconds: float, most: int, clock: Callable[[], float], weigh: Callable[[V], int] = lambda _: 1
    ) -> None:
        """`seconds`: how long a value is good; `most`: what all of them may weigh."""
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._weigh = weigh
        self._weight = 0
        self._entries: OrderedDict[K, tuple[float, int, V]] = OrderedDict()
        self._flights: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Whether there is a value that is good."""
        entry = self._entries.get(key)
        return entry is not None and 0 <= self._clock() - entry[0] < self._seconds

    def get(self, key: K) -> V | None:
        """The value, while it is good."""
        return self._entries[key][2] if key in self else None

    def put(self, key: K, value: V) -> None:
        """Keep a value from now on."""
        before = self._entries.pop(key, None)
        weight = self._weigh(value)
        self._entries[key] = self._clock(), weight, value
        self._weight += weight - (before[1] if before else 0)
        while self._weight > self._most:
            self._weight -= self._entries.popitem(last=False)[1][1]

    async def fetch(self, key: K, ask: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The value: as it is kept, or as `ask` gives it, once for all who want it meanwhile. What `ask` raises is not
        kept.
        """
        if key in self:
            return self._entries[key][2]
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(ask())
            flight.add_done_callback(lambda done: self._landed(key, done))
        # Shielded: a caller that gives up must not take the others' answer away.
        return await asyncio.shield(flight)

    def _landed(self, key: K, flight: asyncio.Task[V]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled() and flight.exception() is None:
            self.put(key, flight.result())

    async def close(self) -> None:
        """Give up what is being asked for."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
