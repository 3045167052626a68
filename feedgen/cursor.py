"""The `cursor` of getFeedSkeleton: opaque to clients, exact for us.

It names the last item sent by its whole sort key (time and post id, both integers), and the pinned posts that were sent
first, so that they are left out of every later page even when the pins change meanwhile. It is signed for one feed: a
cursor that was altered, cut, or taken from another feed is refused. Nothing in it expires, and it survives restarts.

In a ranked feed it names a generation (feedgen/generations.py) and how many of its posts are behind instead. In the
feed of everything, which has no pins, the minute of page one stands in their place.
"""

import struct
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

VERSION, RANKED, EVERYTHING, QUEUED = 1, 2, 3, 4
MAX_LENGTH = 512
MOST_PINS = 8
_FIELDS = struct.Struct(">Bqq")
_MAC = 8


class CursorError(ValueError):
    """The cursor was not made here for this feed."""


class Position(NamedTuple):
    """The last item sent: its sort time (microseconds) and post id, and the ids of the pinned posts sent before it. Of
    a ranked feed: its generation, and how many of the posts are behind.
    """

    sort_at: int
    post: int
    pins: tuple[int, ...] = ()


FIRST = Position((1 << 63) - 1, (1 << 63) - 1)
"""Before every item."""


def encode(key: bytes, feed: str, position: Position, version: int = VERSION) -> str:
    """The cursor that continues behind `position` in `feed` (its URI)."""
    fields = _FIELDS.pack(version, position.sort_at, position.post)
    if position.pins:
        fields += struct.pack(f">{len(position.pins)}q", *position.pins)
    return (fields + _mac(key, feed, fields)).hex()


def decode(key: bytes, feed: str, cursor: str, version: int = VERSION) -> Position:
    """The position that `cursor` stands for. Raises CursorError."""
    if len(cursor) > MAX_LENGTH:
        raise CursorError("malformed cursor")
    try:
        data = bytes.fromhex(cursor)
    except ValueError as error:
        raise CursorError("malformed cursor") from error
    fields, mac = data[:-_MAC], data[-_MAC:]
    # The decoder takes spaces and capital letters too: only the one spelling that we gave is ours.
    if data.hex() != cursor or not compare_digest(mac, _mac(key, feed, fields)):
        raise CursorError("this cursor does not belong to this feed")
    more = len(fields) - _FIELDS.size
    if more < 0 or more % 8 or more > 8 * MOST_PINS or fields[0] != version:
        raise CursorError("malformed cursor")
    _, sort_at, post = _FIELDS.unpack_from(fields)
    return Position(sort_at, post, struct.unpack_from(f">{more // 8}q", fields, _FIELDS.size))


def _mac(key: bytes, feed: str, fields: bytes) -> bytes:
    return blake2b(fields + feed.encode(), key=key, digest_size=_MAC).digest()
