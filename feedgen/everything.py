"""`everything`: the posts of the viewer's communities in one feed, newest first, each as loud as its member wants it.

At volume 5 a community shows all of its posts, at 4 the better 80 %, and so on to the best 20 % at 1: those with at
least the engagement that so many of its last posts have. These thresholds are made once an hour for each community, for
all its members, and a page sequence keeps those of its beginning: the minute of page one travels in the cursor.
"""

from math import ceil
from typing import NamedTuple

from feedgen import cursor
from feedgen.feeds import Feed
from feedgen.merge import Stream, merge, rendered
from models.database import Connection

LOUDEST = 5
MOST_JOINED = 1000
"""Communities of one viewer (ours); of more, those that have been here longest."""
SAMPLE, SAMPLE_DAYS = 200, 7
"""Of how many posts a threshold is made: the last ones, and no older ones."""
_MINUTE, _DAY = 60_000_000, 86_400_000_000
_PERIOD = 60
"""Minutes for which a threshold holds."""
_KEPT_PERIODS = 4
_CACHED = 100_000
JOINED = (
    "SELECT m.community, m.volume FROM actor a CROSS JOIN membership m INDEXED BY membership_actor ON m.actor = a.id"
    " CROSS JOIN community c ON c.id = m.community WHERE a.did = ? AND m.status = 'member' AND c.declared = 1 LIMIT ?"
)
_WEIGHTS = "SELECT " + ", ".join(
    f"coalesce(json_extract(rule, '$.ranking.{kind}'), 1)" for kind in ("likes", "reposts", "replies", "quotes")
)
_WEIGHTS += " FROM community WHERE id = ?"
LAST_POSTS = (
    "SELECT p.likes * ? + p.reposts * ? + p.replies * ? + p.quotes * ? FROM feed_item i CROSS JOIN post p"
    " ON p.id = i.post WHERE i.community = ? AND i.hidden = 0 AND i.sort_at >= ?"
    " ORDER BY i.sort_at DESC, i.post DESC LIMIT ?"
)


class Thresholds(NamedTuple):
    """Of a community: the weights of its engagement, and how much of it a post needs at volume 1, 2, 3 and 4."""

    weights: tuple[int, int, int, int]
    least: tuple[int, ...]


def thresholds(weights: tuple[int, int, int, int], engagement: list[int]) -> Thresholds:
    """Made of the engagement of a community's posts: at volume v, the best v of 5 parts of them pass, and all that are
    equal to the last of these.
    """
    best = sorted(engagement, reverse=True)
    return Thresholds(
        weights, tuple(best[ceil(len(best) * volume / LOUDEST) - 1] if best else 0 for volume in range(1, LOUDEST))
    )


class Everything:
    """Renders its pages."""

    def __init__(self, connection: Connection, key: bytes) -> None:
        """`key` signs cursors."""
        self._execute = connection.cursor().execute
        self._key = key
        self._made: dict[int, dict[int, Thresholds]] = {}

    def page(self, feed: Feed, viewer: str, limit: int, after: str | None, now: int) -> bytes:
        """The body of a page of at most `limit` items for `viewer` (DID); `now`: microseconds. Raises CursorError."""
        start, began = cursor.FIRST, now // _MINUTE
        if after is not None:
            start = cursor.decode(self._key, feed.uri, after, cursor.EVERYTHING)
            (began,) = start.pins
        items = merge(self._execute, self._streams(viewer, began, now), start, limit + 1)
        body = f'{{"feed":[{rendered(items[:limit])}]'
        if len(items) > limit:
            sort_at, post, *_ = items[limit - 1]
            end = cursor.Position(sort_at, post, (began,))
            body += f',"cursor":"{cursor.encode(self._key, feed.uri, end, cursor.EVERYTHING)}"'
        return f"{body}}}".encode()

    def _streams(self, viewer: str, began: int, now: int) -> list[Stream]:
        streams = []
        for community, volume in self._execute(JOINED, (viewer, MOST_JOINED)).fetchall():
            if volume >= LOUDEST:
                streams.append(Stream(community))
            else:
                made = self._of(community, began, now)
                streams.append(Stream(community, made.weights, made.least[max(1, volume) - 1]))
        return streams

    def _of(self, community: int, began: int, now: int) -> Thresholds:
        """The thresholds of a community for a sequence of pages that began in that minute."""
        # Not those of all communities end with the same minute: making them would then hold up whoever comes first.
        period = (began + community % _PERIOD) // _PERIOD
        periods = self._made.get(community)
        if periods is None:
            if len(self._made) >= _CACHED:
                self._made.clear()
            periods = self._made[community] = {}
        made = periods.get(period)
        if made is None:
            (weights,) = self._execute(_WEIGHTS, (community,)).fetchall()
            since = now - SAMPLE_DAYS * _DAY
            rows = self._execute(LAST_POSTS, (*weights, community, since, SAMPLE)).fetchall()
            if len(periods) >= _KEPT_PERIODS:
                del periods[min(periods)]
            made = periods[period] = thresholds(tuple(weights), [engagement for (engagement,) in rows])
        return made
