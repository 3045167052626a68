"""The cursors of lists: where a page ended, signed for the list that it is of: whole numbers, or a number and a name.
They never expire.
"""

import struct
from hashlib import blake2b
from hmac import compare_digest

from xrpc.errors import Refused

_MAC = 8
MAX_LENGTH = 128
MOST_NAMED = 2 * (8 + 600 + _MAC)
"""Characters of a cursor with a name: room for every path of a record of ours."""


def encode(key: bytes, scope: str, *numbers: int) -> str:
    """The cursor that continues behind `numbers` in the list `scope`: its method and all that selects and orders it."""
    return _sign(key, scope, struct.pack(f">{len(numbers)}q", *numbers))


def decode(key: bytes, scope: str, cursor: str, count: int) -> tuple[int, ...]:
    """The `count` numbers that `cursor` stands for. Raises Refused (InvalidCursor) unless it was made here for this
    list (S51).
    """
    fields = _read(key, scope, cursor, MAX_LENGTH)
    if len(fields) != 8 * count:
        raise Refused("InvalidCursor", "The cursor does not belong to this list.")
    return struct.unpack(f">{count}q", fields)


def encode_named(key: bytes, scope: str, number: int, name: str) -> str:
    """As `encode`, of a number and a name."""
    return _sign(key, scope, struct.pack(">q", number) + name.encode())


def decode_named(key: bytes, scope: str, cursor: str) -> tuple[int, str]:
    """As `decode`, of a cursor that `encode_named` has made for this list."""
    fields = _read(key, scope, cursor, MOST_NAMED)
    (number,) = struct.unpack(">q", fields[:8])
    return number, fields[8:].decode()


def _sign(key: bytes, scope: str, fields: bytes) -> str:
    return (fields + _mac(key, scope, fields)).hex()


def _read(key: bytes, scope: str, cursor: str, most: int) -> bytes:
    """What a cursor of this list was made of. Raises Refused (InvalidCursor)."""
    try:
        data = bytes.fromhex(cursor) if len(cursor) <= most else b""
    except ValueError:
        data = b""
    fields, mac = data[:-_MAC], data[-_MAC:]
    # The decoder takes spaces and capital letters too: only the one spelling that we gave is ours.
    if not fields or data.hex() != cursor or not compare_digest(mac, _mac(key, scope, fields)):
        raise Refused("InvalidCursor", "The cursor does not belong to this list.")
    return fields


def _mac(key: bytes, scope: str, fields: bytes) -> bytes:
    return blake2b(fields + scope.encode(), key=key, digest_size=_MAC, person=b"civic").digest()
