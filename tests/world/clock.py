"""Time as the simulated network sees it, and the identifiers made of it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"


def wall() -> int:
    """Microseconds since 1970 on this machine."""
    return time.time_ns() // 1000


def iso(micros: int) -> str:
    """A datetime as records and events carry it: milliseconds, `Z`."""
    moment = datetime.fromtimestamp(micros // 1000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tid(micros: int, clock_id: int = 0) -> str:
    """A timestamp identifier: 13 characters that sort like the time (atproto.com/specs/tid)."""
    number = micros << 10 | clock_id
    return "".join(SORTABLE[number >> shift & 31] for shift in range(60, -1, -5))


class Clock:
    """Hands out the time and strictly rising TIDs; `source` gives microseconds since 1970."""

    def __init__(self, source: Callable[[], int] = wall) -> None:
        self._source = source
        self._last = 0

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._source()

    def iso(self) -> str:
        """The time now as text."""
        return iso(self.now())

    def tid(self) -> str:
        """A TID above every one before."""
        self._last = max(self._last + 1, self.now())
        return tid(self._last)
