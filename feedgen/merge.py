"""Posts of several communities as one sequence, newest first, each post once, with its short code in one of them.

Every community is one range scan of `feed_item` in the order (sort_at, post); the scans are merged as they go, and each
is read only as far as the page needs it. A post has the same place in every community, so its copies stand side by side
and a cursor means the same as in the feed of one.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from feedgen.cursor import Position
from models.database import Rows

ITEMS = (
    "SELECT sort_at, post, uri, context FROM feed_item WHERE community = ? AND hidden = 0 AND (sort_at, post) < (?, ?)"
    " ORDER BY sort_at DESC, post DESC LIMIT ?"
)
NOT_REMOVED = (
    " AND NOT EXISTS (SELECT 1 FROM feed_item o INDEXED BY feed_item_post WHERE o.post = i.post AND o.community = ?{}"
    " AND o.hidden & 4)"
)
"""What a community has removed is in no feed of it, wherever else it is."""
ITEMS_BELOW = (
    "SELECT i.sort_at, i.post, i.uri, i.context FROM feed_item i WHERE i.community = ?1 AND i.hidden = 0"
    f" AND (i.sort_at, i.post) < (?2, ?3){NOT_REMOVED.format(4)} ORDER BY i.sort_at DESC, i.post DESC LIMIT ?5"
)
LOUD_ITEMS = (
    "SELECT i.sort_at, i.post, i.uri, i.context FROM feed_item i CROSS JOIN post p ON p.id = i.post"
    " WHERE i.community = ? AND i.hidden = 0 AND (i.sort_at, i.post) < (?, ?)"
    " AND p.likes * ? + p.reposts * ? + p.replies * ? + p.quotes * ? >= ?"
    " ORDER BY i.sort_at DESC, i.post DESC LIMIT ?"
)

Execute = Callable[[str, Sequence[int]], Rows]
Item = tuple[int, int, str, str]
"""Sort time (microseconds), post id, URI, short code."""


class Stream(NamedTuple):
    """The posts of a community whose engagement by these weights (likes, reposts, replies, quotes) is at least `least`;
    0: all. `above`: the community in whose feed they are shown, which may have removed some; 0: none.
    """

    community: int
    weights: tuple[int, int, int, int] = (1, 1, 1, 1)
    least: int = 0
    above: int = 0


def merge(
    execute: Execute, streams: Collection[Stream], start: Position, limit: int, but: Collection[int] = ()
) -> list[Item]:
    """The first `limit` items behind `start`, without the posts `but`. `execute` runs a statement at the moment."""
    # Of many communities each gives a few; of few, each may have to give the whole page.
    chunk = 2 + 2 * limit // max(1, len(streams))
    found: list[Item] = []
    last = -1
    for item in heapq.merge(*(_scan(execute, stream, start, chunk) for stream in streams), reverse=True):
        if item[1] == last or item[1] in but:
            continue
        last = item[1]
        found.append(item)
        if len(found) == limit:
            break
    return found


def _scan(execute: Execute, stream: Stream, start: Position, chunk: int) -> Iterator[Item]:
    query: str = ITEMS
    filtered: tuple[int, ...] = ()
    if stream.least > 0:
        query, filtered = LOUD_ITEMS, (*stream.weights, stream.least)
    elif stream.above:
        query, filtered = ITEMS_BELOW, (stream.above,)
    sort_at, post = start.sort_at, start.post
    while True:
        rows = execute(query, (stream.community, sort_at, post, *filtered, chunk)).fetchall()
        yield from rows
        if len(rows) < chunk:
            return
        sort_at, post, *_ = rows[-1]


def rendered(items: Iterable[Item]) -> str:
    """The items as the JSON of a page has them, without the brackets around. URIs and short codes need no escapes."""
    return ",".join([f'{{"post":"{uri}","feedContext":"{context}"}}' for _, _, uri, context in items])
