"""com.atproto.label.queryLabels: published labels by subject, in the order of `seq`.

A pattern is a subject, or the beginning of subjects with one `*` behind it. Subjects in an index stand by name, and the
answer goes by `seq`, so the way to it depends on how many subjects begin so:

- all: the labels are read by `seq`;
- very many: the next 128 labels, or 512, which are looked through first, fill the page;
- few (FEW at most): they are read by name and put in order. Where one is among the next ones nobody asks;
- many: labels are walked in blocks of 4,096 `seq`s, within each of which an index has the subjects by name, up to the
  end of the block that fills the page. A million labels are 244 blocks, a look-up each.

So no pattern and no cursor makes a page cost more than some thousand rows (`make bench ARGS=labels_serve`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from labeler.frames import Rows
from labeler.label import all_to_json
from models.database import Connection, Cursor
from xrpc.errors import InvalidRequest
from xrpc.params import DidParam, IntParam, ListParam, Params, StringParam

NSID = "com.atproto.label.queryLabels"
MOST_PATTERNS = 50
MOST_SOURCES = 50
LARGEST_SEQ = 2**53 - 1
FEW = 1000
LOOKED = (128, 512)
BLOCK_BITS = 12
"""As in the index `label_block`."""
_LAST = "\U0010ffff"
"""No subject has it; behind a prefix it is greater than everything that begins with the prefix."""

PARAMS = Params(
    {
        "uriPatterns": ListParam(StringParam(max_length=8190), MOST_PATTERNS, required=True),
        "sources": ListParam(DidParam(), MOST_SOURCES),
        "limit": IntParam(1, 250, default=50),
        "cursor": IntParam(0, LARGEST_SEQ, default=0),
    }
)

Range = tuple[str, str]
"""From the first subject to before the second."""


def read_patterns(patterns: Sequence[str]) -> tuple[list[str], list[Range] | None]:
    """The subjects that are named, and the ranges of those that begin as is said; None for the ranges: all subjects.

    Nothing is named twice: what a prefix covers is left out. Raises InvalidRequest.
    """
    prefixes: list[str] = []
    exact: set[str] = set()
    for pattern in patterns:
        prefix, star, rest = pattern.partition("*")
        if rest:
            raise InvalidRequest('"uriPatterns" may have a * at the end only')
        if star:
            prefixes.append(prefix)
        elif pattern:
            exact.add(pattern)
        else:
            raise InvalidRequest('"uriPatterns" must not be empty')
    # In order, what begins with another stands right behind it.
    widest: list[str] = []
    for prefix in sorted(prefixes):
        if not widest or not prefix.startswith(widest[-1]):
            widest.append(prefix)
    if widest == [""]:
        return [], None
    covered = tuple(widest)
    return sorted(uri for uri in exact if not uri.startswith(covered)), [(one, one + _LAST) for one in widest]


def find(connection: Connection, labeler: int, patterns: Sequence[str], after: int, limit: int) -> Rows:
    """The labels that match, behind the `seq` `after`, in order, `limit` at most. Raises InvalidRequest."""
    exact, ranges = read_patterns(patterns)
    cursor = connection.cursor()
    if ranges is None:
        return cursor.execute(STREAM, (labeler, after, limit)).fetchall()
    # What is found by several statements is of one moment: meanwhile a label may be replaced.
    cursor.execute("BEGIN")
    try:
        found: list[tuple[int, bytes]] = []
        for uri in exact:
            found += cursor.execute(NAMED, (labeler, uri, after)).fetchall()
        if ranges:
            found += _begin_so(cursor, labeler, ranges, after, limit)
        return sorted(found)[:limit]
    finally:
        cursor.execute("COMMIT")


def _begin_so(cursor: Cursor, labeler: int, ranges: Sequence[Range], after: int, limit: int) -> Rows:
    """The first labels behind `after` of subjects in one of the ranges: `limit` if there are so many."""
    near: Rows = ()
    said = _said(ranges)
    for looked in LOOKED:
        near = cursor.execute(said.next, (labeler, after, *said.ranges, looked, limit)).fetchall()
        if len(near) >= limit:
            return near
        if 4 * len(near) < limit:
            break  # so it would be among four times as many
    if near:
        # So many whole blocks have enough, if it goes on so; what is left of the first one is none.
        blocks = 1 + (limit * looked // len(near) >> BLOCK_BITS)
        found = _near(cursor, labeler, said, after, blocks, limit)
        return found if len(found) >= limit else _walk(cursor, labeler, ranges, after, limit)
    found = []
    wide: list[Range] = []
    most = FEW // len(ranges)
    for one in ranges:
        if cursor.execute(MORE, (labeler, *one, most)).fetchone():
            wide.append(one)
        else:
            found += cursor.execute(BY_NAME, (labeler, *one, after, limit)).fetchall()
    if wide:
        found += _walk(cursor, labeler, wide, after, limit)
    return found


def _near(cursor: Cursor, labeler: int, said: "_Said", after: int, blocks: int, limit: int) -> list[tuple[int, bytes]]:
    """The same, of the next blocks, and of one more if they have not enough."""
    found: list[tuple[int, bytes]] = cursor.execute(said.near, (labeler, after, *said.ranges, blocks, limit)).fetchall()
    if found and len(found) < limit:
        # Nothing of the block in which the last one stands is left.
        after = ((max(found)[0] >> BLOCK_BITS) + 1 << BLOCK_BITS) - 1
        found += cursor.execute(said.near, (labeler, after, *said.ranges, 1, limit - len(found))).fetchall()
    return found


def _walk(cursor: Cursor, labeler: int, ranges: Sequence[Range], after: int, limit: int) -> Rows:
    """The same, block by block as far as it takes."""
    said = _said(ranges)
    found: list[int] = []
    filled = LARGEST_SEQ
    for (seq,) in cursor.execute(said.blocks, (labeler, after, *said.ranges)):
        if seq >> BLOCK_BITS > filled:
            break
        found.append(seq)
        if len(found) == limit:
            filled = seq >> BLOCK_BITS  # the rest of this block may stand before what was found
    first = sorted(found)[:limit]
    return cursor.execute(SIGNED, (orjson.dumps(first).decode(),)).fetchall() if first else ()


class _Said(NamedTuple):
    """The statements that look for ranges, and the ranges as their third and fourth binding."""

    next: str
    near: str
    blocks: str
    ranges: tuple[str, str | None]


def _said(ranges: Sequence[Range]) -> _Said:
    if len(ranges) == 1:
        return _Said(NEXT_OF_ONE, NEAR_OF_ONE, BLOCKS_OF_ONE, ranges[0])  # a third less work
    return _Said(NEXT, NEAR, BLOCKS, (orjson.dumps(ranges).decode(), None))


def answer(rows: Rows) -> bytes:
    """The page as it is sent. Without a label it has no cursor: that is the end."""
    said: dict[str, Any] = {"labels": all_to_json([signed for _, signed in rows])}
    return orjson.dumps({"cursor": str(rows[-1][0]), **said} if rows else said)


STREAM = "SELECT seq, signed FROM label WHERE labeler = ? AND seq > ? ORDER BY seq LIMIT ?"
NAMED = "SELECT seq, signed FROM label WHERE labeler = ? AND uri = ? AND +seq > ?"
SIGNED = "SELECT seq, signed FROM json_each(?) CROSS JOIN label ON seq = value"
MORE = "SELECT 1 FROM label WHERE labeler = ? AND uri >= ? AND uri < ? LIMIT 1 OFFSET ?"
_FOUND = "SELECT label.seq, label.signed FROM ({}) AS found CROSS JOIN label ON label.seq = found.seq"
"""Only what is given is read as a whole."""
_FIRST = "ORDER BY +seq LIMIT"
BY_NAME = _FOUND.format(
    f"SELECT seq FROM label WHERE labeler = ?1 AND uri >= ?2 AND uri < ?3 AND +seq > ?4 {_FIRST} ?5"
)
_LOOK = "SELECT seq FROM (SELECT seq, uri FROM label WHERE labeler = ?1 AND seq > ?2 ORDER BY seq LIMIT ?5)"
_RANGE = "range(low, high) AS MATERIALIZED (SELECT value ->> 0, value ->> 1 FROM json_each(?3))"
# They come as they are looked through, by `seq`.
NEXT = f"WITH {_RANGE} " + _FOUND.format(f"{_LOOK} CROSS JOIN range WHERE uri >= low AND uri < high LIMIT ?6")
NEXT_OF_ONE = _FOUND.format(f"{_LOOK} WHERE uri >= ?3 AND uri < ?4 LIMIT ?6")
# The blocks are those in which there is anything, so that a leap of the numbers costs nothing.
_BLOCK = f"""
WITH RECURSIVE block(b) AS (
  SELECT (SELECT seq >> {BLOCK_BITS} FROM label WHERE labeler = ?1 AND seq > ?2 ORDER BY seq LIMIT 1)
  UNION ALL
  SELECT (SELECT seq >> {BLOCK_BITS} FROM label WHERE labeler = ?1 AND seq >= (b + 1) << {BLOCK_BITS}
          ORDER BY seq LIMIT 1)
  FROM block WHERE b IS NOT NULL"""
_IN_BLOCK = f"labeler = ?1 AND seq >> {BLOCK_BITS} = b AND +seq > ?2"
_OF_SOME = f"SELECT seq FROM block CROSS JOIN range CROSS JOIN label WHERE {_IN_BLOCK} AND uri >= low AND uri < high"
_OF_ONE = f"SELECT seq FROM block CROSS JOIN label WHERE {_IN_BLOCK} AND uri >= ?3 AND uri < ?4"
NEAR = f"{_BLOCK} LIMIT ?5), {_RANGE} " + _FOUND.format(f"{_OF_SOME} {_FIRST} ?6")
NEAR_OF_ONE = f"{_BLOCK} LIMIT ?5) " + _FOUND.format(f"{_OF_ONE} {_FIRST} ?6")
BLOCKS = f"{_BLOCK}), {_RANGE} {_OF_SOME} AND ?4 IS NULL"
BLOCKS_OF_ONE = f"{_BLOCK}) {_OF_ONE}"
