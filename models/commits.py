"""Whether anything was committed since the last look, without asking SQLite: a question costs system calls, a look
none.

In WAL mode every commit, by whichever process, changes the header of the WAL index, which all connections share as
the file `*-shm` (https://sqlite.org/walformat.html, "The WAL-Index File Format": 96 bytes, two copies of 48). The
first look, and any after a change, says yes; then the caller asks SQLite what is new. While the header is being
written the two copies differ from what was seen, which also says yes.
"""

import mmap
import os
from pathlib import Path

HEADER = 96


class CommitWatch:
    """Watches one database in WAL mode that this process has open for as long as it looks."""

    def __init__(self, database: Path) -> None:
        """`database`: the main file; a connection to it must be open and have read. Raises OSError."""
        file = os.open(f"{database}-shm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._index = mmap.mmap(file, HEADER, access=mmap.ACCESS_READ)
        finally:
            os.close(file)
        self._seen = b""

    def any(self) -> bool:
        """Whether anything may have been committed since the last call."""
        header = self._index[:HEADER]
        if header == self._seen:
            return False
        self._seen = header
        return True
