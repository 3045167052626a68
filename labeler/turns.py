"""Turns of the event loop: work that is done there at once, but only so much of it in one turn.

Whoever else waits for the loop (the feeds do) comes between two turns, so that a crowd of costly ones holds nobody up
for longer than the budget and the one that exceeds it. Cheap ones pay nothing for that.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

BUDGET = 0.002
"""Seconds of one turn."""

T = TypeVar("T")


class Turns:
    """The turns of one kind of work, on one event loop. `budget`: seconds; `clock` gives seconds."""

    def __init__(self, budget: float = BUDGET, clock: Callable[[], float] = time.perf_counter) -> None:
        self._budget = budget
        self._clock = clock
        self._spent = 0.0
        self._asked = False
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives or raises: at once while this turn has time left and nobody waits, otherwise in a later
        turn, those that came first before the others. Who is cancelled meanwhile has no work done.
        """
        if self._spent < self._budget and not self._waiting:
            return self._timed(work)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        return await done

    async def take(self, seconds: float) -> None:
        """Wait for a turn with time left, and take so much of it: for work that is not one function."""
        await self.run(lambda: self._spend(seconds))

    def _spend(self, seconds: float) -> None:
        self._spent += seconds

    def _timed(self, work: Callable[[], T]) -> T:
        began = self._clock()
        try:
            return work()
        finally:
            self._spent += self._clock() - began
            if not self._asked:
                self._asked = True
                asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._asked, self._spent = False, 0.0
        while self._waiting and self._spent < self._budget:
            work, done = self._waiting.popleft()
            if done.done():
                continue
            try:
                done.set_result(self._timed(work))
            except Exception as fault:
                done.set_exception(fault)
