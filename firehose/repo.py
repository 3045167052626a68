"""Reading a whole repository, as com.atproto.sync.getRepo exports it: a CAR of a commit, the tree and the records.

It is read once to hold every block against its hash and once along the tree; what is then kept is the path of each
record and where in the file it is. Pure.
"""

from array import array
from collections.abc import Iterator, Mapping
from hashlib import sha256
from mmap import mmap

from firehose.car import CID_LENGTH, MAX_RECORD, CarError, is_block_cid, read_root, read_varint
from firehose.commit import CommitError, read_signed_commit
from firehose.mst import MissingNodeError, walk
from firehose.mst_node import MstError
from xrpc.key import PublicKey

MOST_BLOCKS = 4_000_000
"""Nodes and records; each costs some 200 bytes of memory."""
MOST_PATHS = 1 << 28
"""Bytes of all paths together."""

Car = bytes | memoryview | mmap

_SIZE_BITS = 32
"""A place is offset and size of a block in one number of 64 bits."""
_SIZES = (1 << _SIZE_BITS) - 1


class RepoError(Exception):
    """It cannot be used; the message is the reason. `transient`: it may be whole another time."""

    def __init__(self, reason: str, *, transient: bool) -> None:
        super().__init__(reason)
        self.transient = transient


class _Places(Mapping[bytes, bytes]):
    """The blocks of a file by CID. `places`: offset and size of each, as one number."""

    def __init__(self, car: Car, places: dict[bytes, int]) -> None:
        self._car = car
        self.places = places

    def __getitem__(self, cid: bytes) -> bytes:
        return _block(self._car, self.places[cid])

    def __contains__(self, cid: object) -> bool:
        return cid in self.places

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class Repo:
    """A repository that is whole and signed. `data`: root of its tree. It reads from the file as long as it is used."""

    def __init__(self, did: str, rev: str, data: bytes, car: Car) -> None:
        self.did = did
        self.rev = rev
        self.data = data
        self._car = car
        # Of every record: where its block is, and its path, all of them in one piece.
        self._places = array("Q")
        self._paths = bytearray()
        self._lengths = array("H")

    def add(self, path: str, place: int) -> None:
        """Note the next record, whose block is at `place`. Raises RepoError when there are too many."""
        name = path.encode()
        self._paths += name
        self._lengths.append(len(name))
        self._places.append(place)
        if len(self._paths) > MOST_PATHS:
            raise RepoError("too many records", transient=False)

    def records(self) -> Iterator[tuple[str, bytes, bytes | None]]:
        """Path, CID and block of every record, in the order of the tree.

        What a block holds was not looked at: one that cannot be decoded concerns itself alone (A72). Blocks larger
        than any record may be are left out (None).
        """
        at = 0
        for length, place in zip(self._lengths, self._places, strict=True):
            path = self._paths[at : at + length].decode()
            at += length
            start = place >> _SIZE_BITS
            small = place & _SIZES <= MAX_RECORD
            yield path, bytes(self._car[start - CID_LENGTH : start]), _block(self._car, place) if small else None


def read_repo(car: Car, did: str, key: PublicKey, latest_rev: str) -> Repo:
    """The repository of `did` in a CAR, signed by `key`, with no node and no record missing.

    A rev above `latest_rev` is from the future. Raises RepoError.
    """
    try:
        root, places = _read_places(car)
    except CarError as error:
        raise RepoError(str(error), transient=True) from error
    if root not in places:
        raise RepoError("commit block missing", transient=True)
    blocks = _Places(car, places)
    try:
        commit = read_signed_commit(blocks[root])
    except CommitError as error:
        raise RepoError(str(error), transient=False) from error
    if commit.did != did:
        raise RepoError("commit is of another account", transient=False)
    if commit.rev > latest_rev:
        raise RepoError("rev in the future", transient=False)
    if not commit.is_signed_by(key):
        raise RepoError("signature is not the account's", transient=False)
    repo = Repo(did, commit.rev, commit.data, car)
    try:
        for path, cid in walk(commit.data, blocks):
            repo.add(path, places[cid])
    except KeyError as error:
        raise RepoError("record block missing", transient=True) from error
    except MissingNodeError as error:
        raise RepoError(str(error), transient=True) from error
    except MstError as error:
        raise RepoError(str(error), transient=False) from error
    return repo


def _block(car: Car, place: int) -> bytes:
    at = place >> _SIZE_BITS
    return bytes(car[at : at + (place & _SIZES)])


def _read_places(car: Car) -> tuple[bytes, dict[bytes, int]]:
    """The root, and where each block stands, every one held against its hash. Raises CarError or RepoError."""
    root, at = read_root(car)
    end = len(car)
    if end >> _SIZE_BITS:
        raise RepoError("file too large", transient=False)
    places: dict[bytes, int] = {}
    try:
        while at < end:
            size, at = read_varint(car, at)
            start = at + CID_LENGTH
            cid = bytes(car[at:start])
            at += size
            if at > end:
                raise CarError("blocks cut short")
            if size < CID_LENGTH or not is_block_cid(cid):
                raise CarError("block without a CID")
            if sha256(car[start:at]).digest() != cid[4:]:
                raise CarError("block does not match its hash")
            if len(places) >= MOST_BLOCKS:
                raise RepoError("too many blocks", transient=False)
            places[cid] = start << _SIZE_BITS | size - CID_LENGTH
    except IndexError:
        raise CarError("blocks cut short") from None
    return root, places
