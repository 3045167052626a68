"""Reading a whole repository."""

from collections.abc import Iterator
from mmap import mmap

from xrpc.key import PublicKey


class RepoError(Exception):
    """It cannot be used; `transient`: it may be whole another time."""

    transient = True


class Repo:
    """A verified repository."""

    did: str
    rev: str
    data: bytes

    def records(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Path, CID and block of every record."""
        raise NotImplementedError


def read_repo(car: bytes | memoryview | mmap, did: str, key: PublicKey, latest_rev: str) -> Repo:
    """Read."""
    raise NotImplementedError
