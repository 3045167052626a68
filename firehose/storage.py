"""Faults of the storage: what can be tried again, and what cannot."""

import apsw

from models.database import MACHINE_FAULTS


class StorageError(Exception):
    """The batch could not be stored; nothing of it was. Ask the stream again from the stored cursor."""


STORAGE_FAULTS = (StorageError, *MACHINE_FAULTS)

CORRUPTION = (apsw.CorruptError, apsw.NotADBError)
"""The file is broken. That is no event's fault, and none may be taken for done: the process ends."""
