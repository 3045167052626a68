"""The `blocks` of a commit: a CAR v1 file (https://ipld.io/specs/transport/car/carv1/).

Only the wanted blocks are taken out, and each is checked against its hash. The commit signature and the tree around the
records are not looked at here.
"""

from collections.abc import Collection
from hashlib import sha256
from mmap import mmap

import libipld

MAX_BLOCKS = 2_000_000
"""Bytes; com.atproto.sync.subscribeRepos#commit blocks."""
MAX_RECORD = 1_000_000
"""Bytes of one record block."""

MAX_HEADER = 10_000
"""Bytes of the header."""
MOST = 10_000
"""Blocks of a commit; 200 operations in a large repository need a third of that."""

CID_LENGTH = 36
_LONG_SEARCH = 2 * MAX_BLOCKS
"""Bytes to search through for all wanted blocks, above which one pass over the file is cheaper."""
_CID_PREFIX = b"\x01\x71\x12\x20"  # CIDv1, dag-cbor, sha-256, 32 bytes
_RAW_PREFIX = b"\x01\x55\x12\x20"
_HEADER_START = b"\x3a\xa2eroots\x81\xd8\x2a\x58\x25\x00"
_HEADER_END = b"gversion\x01"


class CarError(Exception):
    """The event's blocks cannot be trusted; the message is the reason."""


def is_record_cid(cid: object) -> bool:
    """Whether `cid` is the only kind of CID that records and commits have."""
    return type(cid) is bytes and len(cid) == CID_LENGTH and cid.startswith(_CID_PREFIX)


def read_blocks(car: bytes, root: bytes, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """The blocks of the `wanted` CIDs, each checked against its hash.

    `root` is the commit CID that the event names: it must be the one root of the file. Raises CarError.
    """
    if len(car) > MAX_BLOCKS:
        raise CarError("blocks too large")
    header = _HEADER_START + root + _HEADER_END
    at = len(header) if len(root) == CID_LENGTH and car.startswith(header) else _read_header(car, root)
    if len(wanted) * len(car) > _LONG_SEARCH:
        return _scan(car, at, wanted)
    found = {}
    for cid in wanted:
        block = likely_block(car, cid)
        if sha256(block).digest() != cid[4:]:
            return _scan(car, at, wanted)
        found[cid] = block
    return found


def likely_block(car: bytes, cid: bytes) -> bytes:
    """What stands behind the last place that names `cid`: nearly always its block, since records stand behind the tree.

    It proves nothing; it is something else, or empty, where `cid` stands elsewhere or its block has 16 KiB or more.
    """
    at = car.rfind(cid)
    if at < 2:
        return b""
    size = car[at - 1]
    if size == 0:
        return b""  # a length that was not written in the shortest way
    if car[at - 2] >= 0x80:
        size = size << 7 | car[at - 2] & 0x7F
    return car[at + CID_LENGTH : at + size]


def is_block_cid(cid: object) -> bool:
    """Whether `cid` is one of the two kinds that a CAR may hold: of DAG-CBOR, or of raw bytes."""
    return type(cid) is bytes and len(cid) == CID_LENGTH and cid.startswith((_CID_PREFIX, _RAW_PREFIX))


def read_all_blocks(car: bytes, *, most: int = MOST) -> tuple[bytes, dict[bytes, bytes]]:
    """The one root of the file and all its blocks by CID, each checked against its hash.

    They may come in any order, twice, and in excess, but not more than `most` of them. Raises CarError.
    """
    if len(car) > MAX_BLOCKS:
        raise CarError("blocks too large")
    root, at = read_root(car)
    end = len(car)
    found: dict[bytes, bytes] = {}
    count = 0
    try:
        while at < end:
            size, at = read_varint(car, at)
            cid, block = car[at : at + CID_LENGTH], car[at + CID_LENGTH : at + size]
            at += size
            if at > end:
                raise CarError("blocks cut short")
            if size < CID_LENGTH or not cid.startswith((_CID_PREFIX, _RAW_PREFIX)):
                raise CarError("block without a CID")
            if len(block) > MAX_RECORD:
                raise CarError("record too large")
            if sha256(block).digest() != cid[4:]:
                raise CarError("block does not match its hash")
            count += 1
            if count > most:
                raise CarError("too many blocks")
            found[cid] = block
    except IndexError:
        raise CarError("blocks cut short") from None
    return root, found


def _scan(car: bytes, at: int, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """The wanted blocks, looked for from one block to the next from offset `at` on."""
    end = len(car)
    found: dict[bytes, bytes] = {}
    missing = len(wanted)
    try:
        while at < end and missing:
            size, at = read_varint(car, at)
            if size < CID_LENGTH:
                # Also what bounds the number of turns: two million blocks of nothing would take a second.
                raise CarError("block without a CID")
            cid = car[at : at + CID_LENGTH]
            if cid in wanted and cid not in found:
                block = car[at + CID_LENGTH : at + size]
                if len(block) != size - CID_LENGTH:
                    raise CarError("blocks cut short")
                if len(block) > MAX_RECORD:
                    raise CarError("record too large")
                if sha256(block).digest() != cid[4:]:
                    raise CarError("block does not match its hash")
                found[cid] = block
                missing -= 1
            at += size
    except IndexError:
        raise CarError("blocks cut short") from None
    if missing:
        raise CarError("record block missing")
    return found


def _read_header(car: bytes, root: bytes) -> int:
    """The offset of the first block behind a header that is not the usual one. Raises CarError."""
    named, at = read_root(car)
    if named != root:
        raise CarError("CAR root is not the commit")
    return at


def read_root(car: bytes | memoryview | mmap) -> tuple[bytes, int]:
    """The one root that the header names, and the offset of the first block. Raises CarError."""
    try:
        size, at = read_varint(car, 0)
        if size > MAX_HEADER:
            raise CarError("CAR header too large")
        header = libipld.decode_dag_cbor(bytes(car[at : at + size]))
    except (IndexError, ValueError, RecursionError) as error:
        raise CarError("CAR header unreadable") from error
    if type(header) is not dict or type(version := header.get("version")) is not int or version != 1:
        raise CarError("CAR version is not 1")
    roots = header.get("roots")
    if type(roots) is not list or len(roots) != 1 or type(roots[0]) is not bytes:
        raise CarError("CAR has not one root")
    return roots[0], at + size


def read_varint(data: bytes | memoryview | mmap, at: int) -> tuple[int, int]:
    """The unsigned varint at `at` and the offset behind it; raises CarError when it is longer than any block could
    need.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise CarError("varint not minimal")
            return value, at
        shift += 7
        if shift > 28:
            raise CarError("varint too long")
