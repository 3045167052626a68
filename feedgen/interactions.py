"""`app.bsky.feed.sendInteractions`: what viewers did with, or said of, items of our feeds. Each is kept once, for two
days.

All of it comes from clients: `feedContext` and `reqId` are returned to us by anybody, and are believed nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feedgen.feeds import Feeds
from models import tokens
from models.database import Connection
from xrpc.auth import Token
from xrpc.errors import AccountInactive, InvalidRequest, JwtReplayed, UnknownFeed
from xrpc.syntax import is_at_uri

MOST = 500
"""Interactions in one call (ours; the lexicon sets no limit)."""
MOST_KEPT = 5000
"""Of one viewer, at a time; a day of heavy reading makes about 1,500. Later ones are not kept (ours)."""
LONGEST_ITEM = 1200
"""Bytes; no item of our feeds has a longer URI, so a longer one is about none of them."""
_DEFS = "app.bsky.feed.defs#"
EVENTS = frozenset(
    _DEFS + name
    for name in (
        "requestLess requestMore clickthroughItem clickthroughAuthor clickthroughReposter clickthroughEmbed"
        " interactionSeen interactionLike interactionRepost interactionReply interactionQuote interactionShare"
    ).split()
)


class Interaction(NamedTuple):
    """One interaction; texts that the client left out are empty."""

    item: str
    event: str
    req_id: str
    feed: str
    feed_context: str


def read_interactions(body: Mapping[str, Any], feeds: Feeds) -> list[Interaction]:
    """The interactions of a request body that are about an item and of a known kind. Raises InvalidRequest,
    UnknownFeed.
    """
    feed = body.get("feed", "")
    if "feed" in body:
        if not isinstance(feed, str) or not is_at_uri(feed):
            raise InvalidRequest("feed must be an at-uri")
        if feeds.find(feed) is None:
            raise UnknownFeed(f"Unknown feed: {feed[:200]}")
    given = body.get("interactions")
    if not isinstance(given, list):
        raise InvalidRequest("interactions must be an array")
    if len(given) > MOST:
        raise InvalidRequest(f"interactions must not have more than {MOST} elements")
    found = [_read(entry, index, feed) for index, entry in enumerate(given)]
    return [one for one in found if one.item and len(one.item) <= LONGEST_ITEM and one.event in EVENTS]


def _read(entry: Any, index: int, feed: str) -> Interaction:
    where = f"interactions/{index}"
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{where} must be an object")
    item = _text(entry, "item", where, 8192)
    if item and not is_at_uri(item):
        raise InvalidRequest(f"{where}/item must be an at-uri")
    return Interaction(
        item=item,
        event=_text(entry, "event", where, 1000),
        req_id=_text(entry, "reqId", where, 100),
        feed=feed,
        feed_context=_text(entry, "feedContext", where, 2000),
    )


def _text(entry: dict[str, Any], key: str, where: str, longest: int) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}/{key} must be a string")
    if len(value.encode()) > longest:
        raise InvalidRequest(f"{where}/{key} must not be longer than {longest} bytes")
    if "\0" in value:
        raise InvalidRequest(f"{where}/{key} must not have NUL characters")  # text that not every database can hold
    return value


def store(connection: Connection, token: Token, interactions: Sequence[Interaction], now: int) -> None:
    """Keep the interactions and use up the token, together; call inside a write. `now`: microseconds.

    Raises JwtReplayed when the token was used before, AccountInactive when the viewer's account is hidden
    (S41): then nothing may be kept.
    """
    if not tokens.is_shown(connection, token.iss):
        raise AccountInactive("Your account is not active.")
    if not tokens.use_up(connection, token.iss, token.jti_key, token.exp):
        raise JwtReplayed()
    kept = connection.execute("SELECT count(*) FROM interaction WHERE viewer = ?", (token.iss,)).fetchone()[0]
    connection.executemany(
        "INSERT INTO interaction (viewer, item, event, req_id, feed, feed_context, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [
            (token.iss, i.item, i.event, i.req_id, i.feed, i.feed_context, now)
            for i in interactions[: max(0, MOST_KEPT - kept)]
        ],
    )
