"""Frames that nobody can get past: noticed at their third sight, kept as they came, then passed over alone.

A frame that cannot be read has no known position, so the connection is dropped and the stream asked again from the same
cursor: perhaps it was cut on the way. The same bytes at the same place for the third time are not an accident.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from models.database import Connection

SIGHTS = 3
MOST_ROWS = 200
MOST_BYTES = 1 << 20
MOST_SIGHTED = 20_000
"""Unreadable frames in a row, without one that can be read between them."""


class Sightings:
    """How often the same unreadable bytes came behind the same event."""

    def __init__(self) -> None:
        self._after = 0
        self._seen: Counter[bytes] = Counter()

    def seen(self, after: int, data: bytes) -> bool:
        """Note the frame `data`, which came after event `after`; whether it was seen often enough to be passed over."""
        if after != self._after or len(self._seen) > MOST_SIGHTED:
            self._after = after
            self._seen.clear()
        key = sha256(data).digest()
        self._seen[key] += 1
        return self._seen[key] >= SIGHTS


def put(connection: Connection, source: str, seq: int, reason: str, frame: bytes, at: int) -> bool:
    """Keep a frame (its first MiB), unless it is kept already: one without a position of its own comes again with every
    connection until something readable follows. Returns whether it is new.

    The oldest rows leave beyond the newest 200. Call inside a write. `at`: microseconds.
    """
    new = connection.execute(
        "INSERT INTO quarantine (source, seq, reason, frame, at) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"
        " (SELECT 1 FROM quarantine WHERE source = ?1 AND seq = ?2 AND frame = ?4) RETURNING 1",
        (source, seq, reason[:500], frame[:MOST_BYTES], at),
    ).fetchone()
    connection.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
        (MOST_ROWS,),
    )
    return new is not None


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame in quarantine. `seq`: its own if it could be read so far, else that of the event which it came behind.
    `at`: microseconds. `size`: bytes that are kept.
    """

    id: int
    source: str
    seq: int
    reason: str
    at: int
    size: int


_KEPT = "SELECT id, source, seq, reason, at, length(frame) FROM quarantine"


def newest(connection: Connection, limit: int) -> list[Kept]:
    """The frames that were kept last, newest first."""
    return [Kept(*row) for row in connection.execute(f"{_KEPT} ORDER BY id DESC LIMIT ?", (limit,)).fetchall()]


def find(connection: Connection, number: int) -> tuple[Kept, bytes] | None:
    """One of them, and its bytes; None if there is none of this id."""
    row = connection.execute(f"{_KEPT} WHERE id = ?", (number,)).fetchone()
    if row is None:
        return None
    (frame,) = connection.execute("SELECT frame FROM quarantine WHERE id = ?", (number,)).fetchone()
    return Kept(*row), frame


def clear(connection: Connection, numbers: Sequence[int] = ()) -> list[int]:
    """Delete these, or all if none are named; the ids of those that were there. Call inside a write."""
    if not numbers:
        return [row[0] for row in connection.execute("DELETE FROM quarantine RETURNING id").fetchall()]
    delete = "DELETE FROM quarantine WHERE id = ? RETURNING id"
    return [row[0] for number in numbers for row in connection.execute(delete, (number,)).fetchall()]
