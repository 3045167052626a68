"""Faults of the storage: what can be tried again, and what cannot."""

import apsw
import peewee


class StorageError(Exception):
    """The batch could not be stored; nothing of it was. Ask the stream again from the stored cursor."""


STORAGE_FAULTS = (
    StorageError,
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    peewee.OperationalError,
)


CORRUPTION = (apsw.CorruptError, apsw.NotADBError)
"""The file is broken. That is no event's fault, and none may be taken for done: the process ends."""
