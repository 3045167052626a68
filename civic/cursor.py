"""The cursors of lists: where a page ended, as whole numbers, signed for the list that it is of. They never expire."""

import struct
from hashlib import blake2b
from hmac import compare_digest

from xrpc.errors import Refused

_MAC = 8
MAX_LENGTH = 128


def encode(key: bytes, scope: str, *numbers: int) -> str:
    """The cursor that continues behind `numbers` in the list `scope`: its method and all that selects and orders it."""
    fields = struct.pack(f">{len(numbers)}q", *numbers)
    return (fields + _mac(key, scope, fields)).hex()


def decode(key: bytes, scope: str, cursor: str, count: int) -> tuple[int, ...]:
    """The `count` numbers that `cursor` stands for. Raises Refused (InvalidCursor) unless it was made here for this
    list (S51).
    """
    try:
        data = bytes.fromhex(cursor) if len(cursor) <= MAX_LENGTH else b""
    except ValueError:
        data = b""
    fields, mac = data[:-_MAC], data[-_MAC:]
    # The decoder takes spaces and capital letters too: only the one spelling that we gave is ours.
    if len(fields) != 8 * count or data.hex() != cursor or not compare_digest(mac, _mac(key, scope, fields)):
        raise Refused("InvalidCursor", "The cursor does not belong to this list.")
    return struct.unpack(f">{count}q", fields)


def _mac(key: bytes, scope: str, fields: bytes) -> bytes:
    return blake2b(fields + scope.encode(), key=key, digest_size=_MAC, person=b"civic").digest()
