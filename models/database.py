"""The database: one SQLite file in WAL mode, through the SQLite that apsw brings (never the system's: versions 3.7.0 to
3.51.2 can corrupt a WAL database on checkpoint).

A connection belongs to one thread. Functions that use it are plain `def`: an `await` inside a transaction, which
would let another task write into it, cannot be written. Every write goes through `writing`.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import apsw
import peewee
from playhouse.apsw_ext import APSWDatabase

from models import migrations

OLDEST_SQLITE = (3, 51, 3)
BUSY_SECONDS = 10


MACHINE_FAULTS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    peewee.OperationalError,
)
"""Faults of the machine under the database: the same may go well the next time."""


class Rows(Protocol):
    """The rows of a statement, as tuples."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    @property
    def get(self) -> Any:
        """All rows that are left, with the least structure: None, the one value, the one row, or the list of rows."""


class Cursor(Rows, Protocol):
    """What runs one statement after the other; the next one ends the last."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Rows:
        """Run a statement; it is prepared once and kept."""


class Connection(Protocol):
    """The part of `apsw.Connection` that queries need. What a column holds is known by the schema, not by the type."""

    def execute(self, statements: str, bindings: Sequence[Any] = ()) -> Rows:
        """Run a statement; it is prepared once and kept."""

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]]) -> Rows:
        """Run a statement for each of the bindings."""

    def cursor(self) -> Cursor:
        """A cursor for many statements: `execute` makes one each time, which is a third of the cost of a small one."""


class DatabaseError(Exception):
    """The database cannot be used; the message says which file, why, and what to do."""


class DatabaseMovedError(DatabaseError):
    """The file was deleted or replaced while it was in use."""


class DatabaseMixedError(DatabaseMovedError):
    """And what SQLite wrote beside the old file still lies there: it would be taken for a part of the new one."""


class Identity(NamedTuple):
    """Which files the names of a database stand for, by device and inode; None: there is none. `wal_index`: of
    `*-shm`, which is there from the first connection to the last.
    """

    file: tuple[int, int] | None
    wal_index: tuple[int, int] | None


class _InPlace(APSWDatabase):  # type: ignore[misc]
    """A database whose later connections, those of other threads, are to the file that was opened first, or fail."""

    identity: Identity | None = None

    def connect(self, *given: Any, **more: Any) -> Any:
        """Raises DatabaseMovedError; from inside it would come out as peewee's error with a similar name."""
        if self.identity is not None:
            check_in_place(self, self.identity)
        return super().connect(*given, **more)


def open_database(path: Path, *, readonly: bool = False) -> APSWDatabase:
    """Open the SQLite file at `path`, creating and migrating it unless `readonly`.

    `readonly` also refuses a file whose schema is not this version's. Raises DatabaseError.
    """
    if APSWDatabase.server_version < OLDEST_SQLITE:
        version = ".".join(map(str, APSWDatabase.server_version))
        raise DatabaseError(f"SQLite {version} is too old (its WAL can corrupt data); update the package apsw")
    try:
        missing = readonly and not path.exists()
    except OSError as error:  # of a folder that may not be entered nobody knows
        raise DatabaseError(f"{path}: the database cannot be opened: {error}{advice(error)}") from error
    if missing:
        raise DatabaseError(f"{path}: no such database; start `communities run` (or `ingest`) first")
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    database = _InPlace(
        str(path),
        timeout=BUSY_SECONDS,
        flags=flags,
        statementcachesize=200,
        pragmas={
            "foreign_keys": 0,
            # What may not be deleted may not be replaced either: INSERT OR REPLACE fires no trigger otherwise.
            "recursive_triggers": 1,
            "temp_store": "memory",
            "mmap_size": 0x7FFF0000,
            "cache_size": -65536,
            "journal_size_limit": 1 << 26,
        },
    )
    try:
        if not readonly:
            # Only the service's user: the file holds the key of the cursors and what viewers sent.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.connect()
        # Other threads connect later, when the file may have been deleted: they never make a new, empty one.
        database.connect_params["flags"] = flags & ~apsw.SQLITE_OPEN_CREATE
        connection = database.connection()
        # Plans that look at the values bound would be made anew for each: a parse for every page.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if readonly:
            migrations.check(connection)
        else:
            _use_wal(connection)
            # Of this connection alone: by it ingest writes what the network can give again. Those of other threads keep
            # SQLite's "full", so that what moderators decide over HTTP outlives a loss of power.
            connection.execute("PRAGMA synchronous = normal")
            # Pages that many batches touch are copied from the log (16 MB at most, then) once for all of them.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            with writing(database):
                migrations.migrate(connection)
            database.identity = file_identity(database)
    except Exception as error:  # OSError, apsw.Error, SchemaError, and what peewee makes of them while it connects
        database.close()
        raise DatabaseError(f"{path}: the database cannot be opened: {error}{advice(error)}") from error
    return database


def advice(error: Exception) -> str:
    """What to do about a database that cannot be used, to stand behind the reason; empty when that says it all."""
    causes = (error, error.__cause__, error.__context__)  # peewee's own exception stands before SQLite's
    if any(isinstance(cause, (apsw.NotADBError, apsw.CorruptError)) for cause in causes):
        return "; put back a backup, or move the file away to begin anew"
    if any(isinstance(cause, (apsw.ReadOnlyError, apsw.CantOpenError, PermissionError)) for cause in causes):
        return "; the folder and the file must be writable for the user who runs this"
    if any(isinstance(cause, apsw.FullError) for cause in causes):
        return "; make room"
    if any(isinstance(cause, apsw.BusyError) for cause in causes):
        return "; another process writes for long, as after an update, when it brings the schema up to date: try again"
    return ""


def _use_wal(connection: apsw.Connection) -> None:
    """Switch to WAL. SQLite's own waiting does not cover this step, which two processes may take at once at first
    start.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = wal")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def sql(database: APSWDatabase) -> Connection:
    """The apsw connection below peewee, for the hot paths: prepared statements, no object per row."""
    return cast(Connection, database.connection())


@contextmanager
def writing(database: APSWDatabase) -> Iterator[Connection]:
    """An immediate transaction, the only way to write: committed at the end, rolled back by any exception."""
    with database.atomic("IMMEDIATE"):
        yield sql(database)


def file_identity(database: APSWDatabase | Path) -> Identity:
    """As the names of a database stand now."""
    path = database if isinstance(database, Path) else Path(database.database)
    return Identity(_inode(path), _inode(Path(f"{path}-shm")))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_in_place(database: APSWDatabase | Path, identity: Identity) -> None:
    """Raise DatabaseMovedError when the file was deleted or replaced: what is written would go to a file without a
    name, and what is read is what nobody else sees. DatabaseMixedError: it must not be opened as it is.
    """
    now = file_identity(database)
    if now.file == identity.file:
        return
    path = database if isinstance(database, Path) else Path(database.database)
    said = f"{path}: the file was deleted or replaced while it was in use"
    if now.wal_index is None or now.wal_index != identity.wal_index:
        raise DatabaseMovedError(f"{said}; start again to go on with what is there now")
    raise DatabaseMixedError(
        f"{said}, and {path.name}-wal beside it is still that of the old file: whoever opens them together mixes the"
        f" two. Stop the service, remove {path}, {path}-wal and {path}-shm, put the copy there, and start"
    )
