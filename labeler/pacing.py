"""How fast labels are published: what the network takes of one labeler, with headroom.

An AppView reads 5 labels a second of a labeler, 10,000 an hour and 100,000 a day; what it does with more is not
written anywhere. How many went in each minute stands in the database, so that a new start does not begin anew. What is
done in a batch leaves a tenth of the hour and of the day to single actions.
"""

from typing import NamedTuple

from models.database import Connection

PER_SECOND, PER_HOUR, PER_DAY = 4, 9_000, 90_000
MINUTE = 60_000
_HOUR, _DAY = 60, 24 * 60
UNLIMITED = 1 << 40


class Budget(NamedTuple):
    """How many labels may go now, and how many of these that were done in a batch."""

    singles: int
    batched: int


class Pace:
    """The limits of each labeler. Times are milliseconds since 1970. Used by one thread."""

    def __init__(self, per_second: int = PER_SECOND, per_hour: int = PER_HOUR, per_day: int = PER_DAY) -> None:
        self._per_second, self._per_hour, self._per_day = per_second, per_hour, per_day
        self._seconds: dict[int, list[tuple[int, int]]] = {}
        self._swept: dict[int, int] = {}

    @classmethod
    def times(cls, factor: int) -> "Pace":
        """So many times the usual limits, as the network may grant."""
        return cls(factor * PER_SECOND, factor * PER_HOUR, factor * PER_DAY)

    @classmethod
    def unlimited(cls) -> "Pace":
        """No limits, and nothing is counted: for tests and benchmarks."""
        return cls(UNLIMITED, UNLIMITED, UNLIMITED)

    def budget(self, connection: Connection, labeler: int, now: int) -> Budget:
        """What may go of a labeler now."""
        if self._per_day == UNLIMITED:
            return Budget(UNLIMITED, UNLIMITED)
        hour, day = _counts(connection, labeler, now)
        second = self._per_second - sum(count for _, count in self._second(connection, labeler, now))
        singles = max(min(second, self._per_hour - hour, self._per_day - day), 0)
        tenth_hour, tenth_day = self._per_hour // 10, self._per_day // 10
        batched = min(singles, self._per_hour - tenth_hour - hour, self._per_day - tenth_day - day)
        return Budget(singles, max(batched, 0))

    def count(self, connection: Connection, labeler: int, count: int, now: int) -> None:
        """So many labels go with this transaction. Call inside a write."""
        if self._per_day == UNLIMITED:
            return
        minute = now // MINUTE
        connection.execute(
            "INSERT INTO label_sent (labeler, minute, count) VALUES (?, ?, ?)"
            " ON CONFLICT (labeler, minute) DO UPDATE SET count = count + excluded.count",
            (labeler, minute, count),
        )
        if self._swept.get(labeler) == minute:
            return
        self._swept[labeler] = minute
        connection.execute(
            "DELETE FROM label_sent WHERE labeler = ? AND (minute < ? OR minute > ?)",
            (labeler, minute - _DAY, minute + _DAY),
        )

    def sent(self, labeler: int, count: int, now: int) -> None:
        """So many labels of a labeler went now; call behind the transaction."""
        if self._per_day != UNLIMITED:
            self._seconds.setdefault(labeler, []).append((now, count))

    def wait(self, connection: Connection, labeler: int, now: int) -> int:
        """In how many milliseconds the next label of a labeler may go, at the latest; it is asked again then."""
        sent = self._second(connection, labeler, now)
        if sent and sum(count for _, count in sent) >= self._per_second:
            return max(sent[0][0] + 1000 - now, 1)
        return MINUTE - now % MINUTE

    def _second(self, connection: Connection, labeler: int, now: int) -> list[tuple[int, int]]:
        """When labels of a labeler went in the last second, and how many."""
        sent = self._seconds.get(labeler)
        if sent is None:
            # What went just before this process began is not known to the second.
            recent, _ = _counts(connection, labeler, now, minutes=1)
            sent = [(now, self._per_second)] if recent else []
        # A clock that was set back must not stop everything until it is there again.
        sent = [(min(at, now), count) for at, count in sent if at > now - 1000]
        self._seconds[labeler] = sent
        return sent


def _counts(connection: Connection, labeler: int, now: int, minutes: int = _HOUR) -> tuple[int, int]:
    """How many went in the last `minutes` and in the last day, whole minutes, and what a clock that was set back says
    of the future.
    """
    minute = now // MINUTE
    query = (
        "SELECT coalesce(sum(CASE WHEN minute >= ? AND minute <= ? THEN count END), 0), coalesce(sum(count), 0)"
        " FROM label_sent WHERE labeler = ? AND minute >= ? AND minute <= ?"
    )
    bindings = (minute - minutes, minute + minutes, labeler, minute - _DAY, minute + _DAY)
    row = connection.execute(query, bindings).fetchone()
    return int(row[0]), int(row[1])
