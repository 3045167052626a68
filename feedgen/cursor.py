"""The `cursor` of getFeedSkeleton: opaque to clients, exact for us.

It names the last item sent by its whole sort key (time and post id, both integers), and the pinned posts that were sent
first, so that they are left out of every later page even when the pins change meanwhile. It is signed for one feed: a
cursor that was altered, cut, or taken from another feed is refused. Nothing in it expires, and it survives restarts.

In a ranked feed it names a generation (feedgen/generations.py) and how many of its posts are behind instead. In the
feed of everything, which has no pins, the minute of page one stands in their place. Where a ranked feed is ordered for
its viewer, it also holds what it was ordered by (feedgen/preference.py).
"""

import struct
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

VERSION, RANKED, EVERYTHING, VIEWED, QUEUED = 1, 2, 3, 5, 6
MAX_LENGTH = 512
MOST_PINS = 10
MOST_LANGUAGES = 8
LANGUAGE_LETTERS = 3
_FIELDS = struct.Struct(">Bqq")
_VIEW = struct.Struct(">BqB")
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


class View(NamedTuple):
    """How a sequence of pages is ordered for its viewer, apart from its generation.

    `languages`: those that come first, at most MOST_LANGUAGES, each of at most LANGUAGE_LETTERS letters; none: all.
    `seen_until`: what was seen before that moment (microseconds) comes last; 0: nothing. `last`: whether that is now.
    """

    languages: tuple[str, ...] = ()
    seen_until: int = 0
    last: bool = False


def encode(key: bytes, feed: str, position: Position, version: int = VERSION) -> str:
    """The cursor that continues behind `position` in `feed` (its URI)."""
    return _seal(key, feed, _FIELDS.pack(version, position.sort_at, position.post) + _pack(position.pins))


def decode(key: bytes, feed: str, cursor: str, version: int = VERSION) -> Position:
    """The position that `cursor` stands for. Raises CursorError."""
    fields = _open(key, feed, cursor, version)
    _, sort_at, post = _FIELDS.unpack_from(fields)
    return Position(sort_at, post, _unpack(fields[_FIELDS.size :]))


def encode_viewed(key: bytes, feed: str, position: Position, view: View) -> str:
    """As `encode`, with the view that the pages continue in."""
    fields = _FIELDS.pack(VIEWED, position.sort_at, position.post)
    fields += _VIEW.pack(view.last, view.seen_until, len(view.languages))
    fields += b"".join(language.encode().ljust(LANGUAGE_LETTERS) for language in view.languages)
    return _seal(key, feed, fields + _pack(position.pins))


def decode_viewed(key: bytes, feed: str, cursor: str) -> tuple[Position, View]:
    """The position and the view of a cursor of a ranked feed, with a view or without. Raises CursorError."""
    if cursor.startswith(f"{RANKED:02x}"):
        return decode(key, feed, cursor, RANKED), View()
    fields = _open(key, feed, cursor, VIEWED)
    head = _FIELDS.size + _VIEW.size
    if len(fields) < head:
        raise CursorError("malformed cursor")
    _, sort_at, post = _FIELDS.unpack_from(fields)
    last, seen_until, count = _VIEW.unpack_from(fields, _FIELDS.size)
    end = head + count * LANGUAGE_LETTERS
    text = fields[head:end]
    languages = tuple(
        text[at : at + LANGUAGE_LETTERS].decode("ascii", "replace").rstrip()
        for at in range(0, len(text), LANGUAGE_LETTERS)
    )
    return Position(sort_at, post, _unpack(fields[end:])), View(languages, seen_until, bool(last))


def _pack(pins: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(pins)}q", *pins) if pins else b""


def _unpack(fields: bytes) -> tuple[int, ...]:
    if not fields:
        return ()
    if len(fields) % 8 or len(fields) > 8 * MOST_PINS:
        raise CursorError("malformed cursor")
    return struct.unpack(f">{len(fields) // 8}q", fields)


def _seal(key: bytes, feed: str, fields: bytes) -> str:
    return (fields + _mac(key, feed, fields)).hex()


def _open(key: bytes, feed: str, cursor: str, version: int) -> bytes:
    """The fields of a cursor. Raises CursorError unless it was made here, for this feed, in this version."""
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
    if len(fields) < _FIELDS.size or fields[0] != version:
        raise CursorError("malformed cursor")
    return fields


def _mac(key: bytes, feed: str, fields: bytes) -> bytes:
    return blake2b(fields + feed.encode(), key=key, digest_size=_MAC).digest()
