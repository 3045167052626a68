"""Whether anything was committed since the last look.

The question has a connection of its own: one that keeps a moment open would not see what came after it. It costs a few
system calls, 3 µs. The WAL index (`*-shm`) could be read for less, but whoever opens that file beside SQLite and closes
it again ends all locks that this process holds on it (https://sqlite.org/howtocorrupt.html, 2.2), and then the next
process that comes or goes takes the log away from under this one.
"""

from pathlib import Path

import apsw

from models.database import BUSY_SECONDS, Cursor


class CommitWatch:
    """Watches one database. To be closed before the connections that write, of which the last empties the log."""

    def __init__(self, database: Path) -> None:
        """`database`: the main file, in WAL mode. Raises apsw.Error."""
        self._connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.set_busy_timeout(BUSY_SECONDS * 1000)
        self._look: Cursor = self._connection.cursor()
        self._seen: int | None = None

    def any(self) -> bool:
        """Whether anything was committed, by whomever, since the last call; the first says yes."""
        (version,) = self._look.execute("PRAGMA data_version").fetchone()
        if version == self._seen:
            return False
        self._seen = version
        return True

    def close(self) -> None:
        """End the watch."""
        self._connection.close()
