"""Pages of ranked feeds: what is left of a generation, in its order.

A cursor names the generation and how many of its posts are behind. Posts that were deleted, hidden or taken out of the
community since are passed over, and the page is filled from behind them. Pinned posts come first on page one and travel
in the cursor, as in feeds that show the newest first (feedgen/skeleton.py).
"""

import json
import struct
from collections.abc import Callable
from typing import Any

import orjson

from communities.ranking import VIDEO
from feedgen import cursor
from feedgen.feeds import Feed
from models.database import Connection

LEAST_LOOKED_UP = 50
_POSTS = "SELECT posts FROM generation WHERE id = ? AND community = ? AND sort = ?"
STILL_THERE = (
    "SELECT i.post, i.uri FROM json_each(?1) j CROSS JOIN feed_item i INDEXED BY feed_item_post ON i.post = j.value"
    " WHERE i.community = ?2 AND i.hidden = 0"
)
STILL_SOMEWHERE = (
    "SELECT i.post, i.uri FROM json_each(?1) j CROSS JOIN feed_item i INDEXED BY feed_item_post ON i.post = j.value"
    " WHERE i.community IN (SELECT value FROM json_each(?2)) AND i.hidden = 0"
)
_VIDEO = " AND (SELECT p.video FROM post p WHERE p.id = i.post)"
_PIN = {"$type": "app.bsky.feed.defs#skeletonReasonPin"}


class RankedPages:
    """Renders pages of generations."""

    def __init__(
        self, connection: Connection, key: bytes, pins: Callable[[Feed, int], list[tuple[str, int | None]]]
    ) -> None:
        """`key` signs cursors; `pins` gives the URIs and ids of a feed's pins, at most so many."""
        self._execute = connection.cursor().execute
        self._key = key
        self._pins = pins

    def first(self, feed: Feed, limit: int, generation: int) -> bytes:
        """The body of page one of at most `limit` items."""
        # Clients peek at one item to see whether there is anything new: a pin would always hide that.
        pins = self._pins(feed, limit - 1) if feed.pinned and limit > 1 else []
        sent = tuple(post for _, post in pins if post is not None)
        items = [{"post": uri, "reason": _PIN} for uri, _ in pins]
        return self._render(feed, limit - len(pins), cursor.Position(generation, 0, sent), items)

    def after(self, feed: Feed, limit: int, after: str) -> bytes:
        """The body of the page behind a cursor; the last one, and empty, when its generation is gone.

        Raises CursorError.
        """
        return self._render(feed, limit, cursor.decode(self._key, feed.uri, after, cursor.RANKED), [])

    def _render(self, feed: Feed, limit: int, start: cursor.Position, items: list[dict[str, Any]]) -> bytes:
        generation, behind, sent = start
        packed = self._execute(_POSTS, (generation, feed.community, feed.sort)).get or b""
        posts = struct.unpack_from(f"<{max(0, len(packed) // 8 - behind)}q", packed, min(8 * behind, len(packed)))
        found: list[tuple[int, str]] = []
        looked = 0
        # One more than the page holds says whether another follows.
        while len(found) <= limit and looked < len(posts):
            ids = posts[looked : looked + max(LEAST_LOOKED_UP, limit + 1 - len(found))]
            there = self._still_there(feed, ids)
            for post in sent:
                there.pop(post, None)
            found += [(looked + place, there[post]) for place, post in enumerate(ids, 1) if post in there]
            looked += len(ids)
        body: dict[str, Any] = {"feed": items + [{"post": uri} for _, uri in found[:limit]]}
        if len(found) > limit:
            end = cursor.Position(generation, behind + found[limit - 1][0], sent)
            body["cursor"] = cursor.encode(self._key, feed.uri, end, cursor.RANKED)
        return orjson.dumps(body)

    def _still_there(self, feed: Feed, posts: tuple[int, ...]) -> dict[int, str]:
        """Of these posts those that are in the feed now, with their URIs."""
        alone = len(feed.union) == 1
        query = (STILL_THERE if alone else STILL_SOMEWHERE) + (_VIDEO if feed.sort == VIDEO else "")
        where = feed.community if alone else json.dumps(feed.union)
        return dict(self._execute(query, (json.dumps(posts), where)).fetchall())
