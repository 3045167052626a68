"""Pages of ranked feeds: what is left of a generation, in its order.

A cursor names the generation and how many of its posts are behind. Posts that were deleted, hidden or taken out of the
community since are passed over, and the page is filled from behind them. Pinned posts come first on page one and travel
in the cursor, as in feeds that show the newest first (feedgen/skeleton.py). Within a generation a viewer may have an
order of their own (feedgen/preference.py).
"""

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from communities.ranking import VIDEO
from feedgen import cursor
from feedgen.feeds import Feed
from feedgen.merge import NOT_REMOVED
from feedgen.preference import SETTLED_MICROS, in_order, seen_items
from models.database import Connection

LEAST_LOOKED_UP = 50
_POSTS = "SELECT posts, languages, marks FROM generation WHERE id = ? AND community = ? AND sort = ?"
STILL_THERE = (
    "SELECT i.post, i.uri, i.context FROM json_each(?1) j CROSS JOIN feed_item i INDEXED BY feed_item_post"
    " ON i.post = j.value WHERE i.community = ?2 AND i.hidden = 0"
)
STILL_SOMEWHERE = (
    "SELECT i.post, i.uri, i.context FROM json_each(?1) j CROSS JOIN feed_item i INDEXED BY feed_item_post"
    " ON i.post = j.value WHERE i.community IN (SELECT value FROM json_each(?2)) AND i.hidden = 0"
    f"{NOT_REMOVED.format(3)}"
)
_VIDEO = " AND (SELECT p.video FROM post p WHERE p.id = i.post)"
_PIN = {"$type": "app.bsky.feed.defs#skeletonReasonPin"}


class _Item(NamedTuple):
    """An item of a feed. `context`: its short code."""

    uri: str
    context: str


class RankedPages:
    """Renders pages of generations."""

    def __init__(
        self,
        connection: Connection,
        key: bytes,
        pins: Callable[[Feed, int], list[tuple[str, int | None]]],
        damp_hours: int = 0,
    ) -> None:
        """`key` signs cursors; `pins` gives the URIs and ids of a feed's pins, at most so many. `damp_hours`: for how
        long what a viewer has seen comes last; 0: not at all.
        """
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._key = key
        self._pins = pins
        self._damp_hours = damp_hours

    def first(
        self,
        feed: Feed,
        limit: int,
        generation: int,
        languages: tuple[str, ...] = (),
        viewer: str | None = None,
        now: int = 0,
    ) -> bytes:
        """The body of page one of at most `limit` items, those in `languages` first, what the viewer (DID) has seen
        last. `now`: microseconds.
        """
        # Clients peek at one item to see whether there is anything new: a pin would always hide that.
        pins = self._pins(feed, limit - 1) if feed.pinned and limit > 1 else []
        sent = tuple(post for _, post in pins if post is not None)
        items = [{"post": uri, "reason": _PIN} for uri, _ in pins]
        until = now - SETTLED_MICROS
        seen = seen_items(self._cursor, viewer, until, self._damp_hours)
        view = cursor.View(languages, until if seen else 0)
        return self._render(feed, limit - len(pins), cursor.Position(generation, 0, sent), view, seen, items)

    def after(self, feed: Feed, limit: int, after: str, viewer: str | None = None) -> bytes:
        """The body of the page behind a cursor; the last one, and empty, when its generation is gone.

        Raises CursorError.
        """
        start, view = cursor.decode_viewed(self._key, feed.uri, after)
        seen = seen_items(self._cursor, viewer, view.seen_until, self._damp_hours)
        return self._render(feed, limit, start, view, seen, [])

    def _render(
        self,
        feed: Feed,
        limit: int,
        start: cursor.Position,
        view: cursor.View,
        seen: frozenset[str],
        items: list[dict[str, Any]],
    ) -> bytes:
        generation, behind, sent = start
        # All rows: a statement that is not at its end would hold on to the moment.
        rows = self._execute(_POSTS, (generation, feed.community, feed.sort)).fetchall()
        packed, languages, marks = rows[0] if rows else (b"", "", None)
        posts: Sequence[int] = struct.unpack(f"<{len(packed) // 8}q", packed)
        ordered = in_order(posts, languages, marks, view.languages)
        if ordered is posts:
            view = view._replace(languages=())
        found: list[tuple[bool, int, _Item]] = []
        # One more than the page holds says whether another follows.
        for last in (False, True) if view.seen_until and not view.last else (view.last,):
            looked = behind if last == view.last else 0
            while len(found) <= limit and looked < len(ordered):
                ids = ordered[looked : looked + max(LEAST_LOOKED_UP, limit + 1 - len(found))]
                there = self._still_there(feed, ids)
                for post in sent:
                    there.pop(post, None)
                found += [
                    (last, looked + place, there[post])
                    for place, post in enumerate(ids, 1)
                    if post in there and (there[post].uri in seen) == last
                ]
                looked += len(ids)
        shown = [{"post": item.uri, "feedContext": item.context} for *_, item in found[:limit]]
        body: dict[str, Any] = {"feed": items + shown}
        if len(found) > limit:
            last, place, _ = found[limit - 1]
            end = cursor.Position(generation, place, sent)
            if view.languages or view.seen_until:
                body["cursor"] = cursor.encode_viewed(self._key, feed.uri, end, view._replace(last=last))
            else:
                body["cursor"] = cursor.encode(self._key, feed.uri, end, cursor.RANKED)
        return orjson.dumps(body)

    def _still_there(self, feed: Feed, posts: Sequence[int]) -> dict[int, _Item]:
        """Of these posts those that are in the feed now."""
        alone = len(feed.union) == 1
        query = (STILL_THERE if alone else STILL_SOMEWHERE) + (_VIDEO if feed.sort == VIDEO else "")
        where = (feed.community,) if alone else (json.dumps(feed.union), feed.community)
        return {post: _Item(*item) for post, *item in self._execute(query, (json.dumps(posts), *where)).fetchall()}
