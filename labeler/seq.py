"""Who gives out the numbers of published labels, and that none comes twice, also when the database is an older copy.

The next number stands in the database (`label_head`). Beside it lies a small file that says which numbers may have
been given out: a block is reserved there, on the disk, before the first of it is. A publisher that stops in good order
writes the exact number. Whoever begins and does not find that number in the database (it is a copy that was put back,
the process was killed, the file is gone) goes on 1,000,000 above all that may have been given.

A publisher takes a turn, which has a number. Who was not the last to take one may not publish any more.
"""

import os
from pathlib import Path
from typing import NamedTuple

from playhouse.apsw_ext import APSWDatabase

from models.database import Connection, writing

JUMP = 1_000_000
BLOCK = 10_000
HIGHEST = (1 << 53) - 1
"""Programs in JavaScript tell no larger numbers apart."""
FILE = "labels.seq"
_EXACT, _RESERVED = "next", "reserved"


class SeqError(Exception):
    """No number can be given out; the message says why and what to do."""


class TurnLostError(Exception):
    """Another publisher has taken the turn: this one has to stop."""


class SeqFile:
    """The file beside the database. It is replaced as a whole."""

    def __init__(self, database: APSWDatabase) -> None:
        self.path = Path(str(database.database)).with_name(FILE)

    def read(self) -> tuple[int, bool] | None:
        """A number below which all may have been given out, and whether it is exactly the next; None without a file.

        Raises SeqError or OSError.
        """
        try:
            words = self.path.read_text(encoding="ascii", errors="replace").split()
        except FileNotFoundError:
            return None
        if len(words) != 2 or words[0] not in (_EXACT, _RESERVED) or not (words[1].isascii() and words[1].isdigit()):
            raise SeqError(
                f"{self.path} is damaged; compare the highest seq that subscribers have seen with table label_head,"
                f" then delete the file: numbering goes on {JUMP:,} above label_head"
            )
        return int(words[1]), words[0] == _EXACT

    def write(self, number: int, *, exact: bool) -> None:
        """Replace it, on the disk before this returns. Raises OSError."""
        beside = self.path.with_suffix(".new")
        with open(beside, "w", encoding="ascii", opener=_private) as file:
            file.write(f"{_EXACT if exact else _RESERVED} {number}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class _Head(NamedTuple):
    next: int
    turn: int


def head(connection: Connection) -> _Head:
    """The next number, and whose turn it is."""
    return _Head._make(connection.execute("SELECT next, turn FROM label_head").fetchone())


class Turn:
    """The right to give out numbers. One begins with `Turn(database)`, in a transaction of its own."""

    def __init__(self, database: APSWDatabase, *, above: int = 0) -> None:
        """Take it from whoever has it. `above`: a number that was given out, as others know.

        Raises SeqError, OSError, or an error of the database.
        """
        self._file = SeqFile(database)
        with writing(database) as connection:
            start, last = head(connection)
            known = self._file.read()
            if known is None:
                known = start, start == 1  # a service that never published anything
            if above:
                start = max(start, known[0], above + 1) + JUMP
            elif known != (start, True):
                start = max(start, known[0]) + JUMP
            self._number = last + 1
            self._reserve(start)
            connection.execute("UPDATE label_head SET next = ?, turn = ?", (start, self._number))

    def _reserve(self, start: int) -> None:
        if start + BLOCK > HIGHEST:
            raise SeqError(f"the numbers of labels are used up at {start}")
        self._file.write(start + BLOCK, exact=False)
        self._reserved = start + BLOCK

    def take(self, connection: Connection, count: int) -> int:
        """The first of `count` numbers (at most a block), which are given out with this transaction.

        Call inside a write. Raises TurnLostError when somebody else has the turn, SeqError, OSError.
        """
        start = self.check(connection)
        if start + count > self._reserved:
            self._reserve(start + count)
        connection.execute("UPDATE label_head SET next = ?", (start + count,))
        return start

    def check(self, connection: Connection) -> int:
        """The next number. Raises TurnLostError when somebody else has the turn."""
        start, number = head(connection)
        if number != self._number:
            raise TurnLostError("another process publishes labels from this database now")
        return start

    def end(self, database: APSWDatabase) -> None:
        """Leave in good order: the next to take the turn goes on with the next number. Raises OSError."""
        with writing(database) as connection:
            try:
                self._file.write(self.check(connection), exact=True)
            except TurnLostError:
                return


def jump(database: APSWDatabase, above: int) -> int:
    """For an operator who has lost the data folder: go on 1,000,000 above a number that subscribers have seen.

    Whoever publishes has to stop. Returns the next number. Raises SeqError, OSError, or an error of the database.
    """
    turn = Turn(database, above=above)
    with writing(database) as connection:
        start = turn.check(connection)
    turn.end(database)
    return start
