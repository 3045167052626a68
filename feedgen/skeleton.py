"""`app.bsky.feed.getFeedSkeleton`: one page of a feed, newest first, as the bytes of its JSON body.

A page is one range scan of `feed_item` by (sort_at, post), both integers, compared as one row value: posts with equal
times are neither lost nor repeated, and inserts or deletions elsewhere do not move a page. Pinned posts come first on
page one, inside the limit, and are left out of all that follows. First pages are kept until another process commits
something. Where other communities are part of a feed's, their scans are merged (feedgen/merge.py).
"""

import re

from feedgen import cursor
from feedgen.feeds import Feed
from feedgen.merge import Stream, merge, rendered
from models.database import Connection

_ITEM = """'{"post":"' || uri || '","feedContext":"' || context || '"}'"""
"""URIs and short codes need no escapes."""
_PINNED = b'{"post":"%b","reason":{"$type":"app.bsky.feed.defs#skeletonReasonPin"}}'


def _queries(but: str = "") -> tuple[str, str]:
    """Two ways to read a page, which leaves out what `but` says.

    The first gives the items joined as the body has them, beside the last of a full page and the one behind it: no
    object for each row, and one statement, so one moment. It gives less than two rows where no page follows; then the
    second gives the rows.
    """
    items = f"FROM feed_item WHERE community = ?1 AND hidden = 0 AND (sort_at, post) < (?2, ?3){but}"
    items += " ORDER BY sort_at DESC, post DESC"
    joined = f"SELECT group_concat({_ITEM}) FROM (SELECT uri, context {items} LIMIT ?4)"
    return (
        f"SELECT CAST(({joined}) AS BLOB), sort_at, post {items} LIMIT 2 OFFSET ?4 - 1",
        f"SELECT {_ITEM} {items} LIMIT ?4",
    )


FULL_PAGE, LAST_PAGE = _queries()
_PINS = (
    "SELECT 'at://' || a.did || '/app.bsky.feed.post/' || n.rkey, (SELECT p.id FROM post p WHERE p.actor = n.actor AND"
    " p.rkey = n.rkey) FROM pin n JOIN actor a ON a.id = n.actor WHERE n.community = ?1 AND n.gone = 0 AND a.shown = 1"
    # What moderators pin must be in the community; what its declaration pins need not, but may not be removed.
    " AND coalesce((SELECT i.hidden = 0 FROM post p JOIN feed_item i ON i.post = p.id AND i.community = ?1"
    " WHERE p.actor = n.actor AND p.rkey = n.rkey), n.moderator = 0) AND NOT EXISTS (SELECT 1 FROM decided d"
    " WHERE d.community = ?1 AND d.actor = n.actor AND d.rkey = n.rkey AND d.verdict = 'removed')"
    " ORDER BY n.position LIMIT ?2"
)
_GOOD_URI = re.compile(r"at://did:[a-z]+:[A-Za-z0-9._:%-]+/app\.bsky\.feed\.post/[A-Za-z0-9._~:-]+")
_CACHED_PAGES = 10_000
_CACHED_BYTES = 64 * 1024 * 1024


class Skeletons:
    """Renders pages; `version` tells when first pages are stale (see `Feeds.refresh`)."""

    def __init__(self, connection: Connection, key: bytes) -> None:
        """`key` signs cursors."""
        self._connection = connection
        self._execute = connection.cursor().execute
        self._key = key
        self._first: dict[tuple[str, int], tuple[int, bytes]] = {}
        self._first_bytes = 0

    def page(self, feed: Feed, limit: int, after: str | None, version: int) -> bytes:
        """The body of a page of at most `limit` items behind the cursor `after`. Raises CursorError."""
        if after is not None:
            return self._render(feed, limit, cursor.decode(self._key, feed.uri, after), [])
        key = (feed.uri, limit)
        cached = self._first.get(key)
        if cached is not None and cached[0] == version:
            return cached[1]
        # Clients peek at one item to see whether there are new posts: a pin would always hide them.
        pins = self.pins(feed, limit - 1) if feed.pinned and limit > 1 else []
        sent = tuple(post for _, post in pins if post is not None)
        body = self._render(feed, limit - len(pins), cursor.FIRST._replace(pins=sent), [uri for uri, _ in pins])
        if len(self._first) >= _CACHED_PAGES or self._first_bytes >= _CACHED_BYTES:
            self._first.clear()
            self._first_bytes = 0
        self._first_bytes += len(body) - (len(self._first[key][1]) if key in self._first else 0)
        self._first[key] = (version, body)
        return body

    def pins(self, feed: Feed, most: int) -> list[tuple[str, int | None]]:
        """The URIs of the first pins that are shown, and their ids where they are indexed."""
        rows = self._connection.execute(_PINS, (feed.community, most))
        # A post can be pinned by a moderator and by the declaration.
        return list({uri: post for uri, post in rows if _GOOD_URI.fullmatch(uri)}.items())

    def _render(self, feed: Feed, limit: int, start: cursor.Position, pins: list[str]) -> bytes:
        items, last = self._union(feed, limit, start) if len(feed.union) > 1 else self._own(feed, limit, start)
        end = b"]}"
        if last is not None:
            following = cursor.encode(self._key, feed.uri, cursor.Position(*last, start.pins))
            end = b'],"cursor":"%b"}' % following.encode()
        parts = [_PINNED % uri.encode() for uri in pins]
        if items:
            parts.append(items)
        return b'{"feed":[%b%b' % (b",".join(parts), end)

    def _union(self, feed: Feed, limit: int, start: cursor.Position) -> tuple[bytes, tuple[int, int] | None]:
        """As `_own`, of several communities."""
        streams = [Stream(one, above=feed.community if one != feed.community else 0) for one in feed.union]
        items = merge(self._execute, streams, start, limit + 1, start.pins)
        last = items[limit - 1][:2] if len(items) > limit else None
        return rendered(items[:limit]).encode(), last

    def _own(self, feed: Feed, limit: int, start: cursor.Position) -> tuple[bytes, tuple[int, int] | None]:
        """The items of a page as the body has them, and the last item's place if another page follows."""
        full, rest = FULL_PAGE, LAST_PAGE
        if start.pins:
            full, rest = _queries(f" AND post NOT IN ({','.join(map(str, start.pins))})")
        bindings = (feed.community, start.sort_at, start.post, limit)
        rows = self._execute(full, bindings).fetchall()
        if len(rows) == 2:
            (page, sort_at, post), _ = rows
            return page, (sort_at, post)
        return ",".join([item for (item,) in self._execute(rest, bindings)]).encode(), None
