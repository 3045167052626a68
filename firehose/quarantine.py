"""Frames that nobody can get past: noticed at their third sight, kept as they came, then passed over alone.

A frame that cannot be read has no known position, so the connection is dropped and the stream asked again from the same
cursor: perhaps it was cut on the way. The same bytes at the same place for the third time are not an accident.
"""

from collections import Counter
from hashlib import sha256

from models.database import Connection

SIGHTS = 3
MOST_ROWS = 200
MOST_BYTES = 1 << 20


class Sightings:
    """How often the same unreadable bytes came behind the same event."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[int, bytes]] = Counter()

    def seen(self, after: int, data: bytes) -> bool:
        """Note the frame `data`, which came after event `after`; whether it was seen often enough to be passed over."""
        if len(self._seen) > MOST_ROWS:
            self._seen.clear()
        key = (after, sha256(data).digest())
        self._seen[key] += 1
        return self._seen[key] >= SIGHTS


def put(connection: Connection, source: str, seq: int, reason: str, frame: bytes, at: int) -> None:
    """Keep a frame (its first MiB); the oldest rows leave beyond the newest 200. Call inside a write. `at`:
    microseconds.
    """
    connection.execute(
        "INSERT INTO quarantine (source, seq, reason, frame, at) VALUES (?, ?, ?, ?, ?)",
        (source, seq, reason[:500], frame[:MOST_BYTES], at),
    )
    connection.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
        (MOST_ROWS,),
    )
