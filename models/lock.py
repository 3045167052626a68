"""One ingest process per database: two would double the work, and each would trust a fence that the other moves. And
one that publishes labels.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockError(Exception):
    """The lock cannot be had; the message says which file and why."""


INGEST = "another `communities run` or `ingest` writes this database"


@contextmanager
def only_one(path: Path, holder: str = INGEST) -> Iterator[None]:
    """Hold the lock file `path` until the end. The system frees it whenever the process ends. Raises LockError, which
    says that `holder` has it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockError(f"{path} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockError(f"{path} is held: {holder}") from error
        yield
    finally:
        os.close(file)
