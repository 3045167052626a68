"""A community's queue as a feed, for its moderators alone: the posts that wait for approval, and those that were
reported and are shown until somebody decides, what has waited longest first.

In this feed "show more" approves a post and "show less" removes it, as the account that pressed, and for UNDO_MICROS
the opposite button takes that back. `feedContext` says of each item which queue it is from, which version of the post,
its short code (communities/short_code.py) and why it waits:

    queue:chess bafyrei... h:chess;p every post waits for approval here
    queue:chess bafyrei... h:chess reported 3 times, first as harassment troll

It comes back with what is pressed, and is believed nothing but what the moderator has seen, and where: a version that
was changed since is not decided about. Whose role is limited to some reasons is shown reports for these alone, and what
waits for approval (feedgen/flagged.py).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from communities import logbook
from communities.access import Action, Posting, Site, may_decide
from communities.admission import PENDING, Verdict
from communities.directory import Directory, Settings, owners_above
from communities.limits import Limits
from communities.members import find_actor, held, standing_by
from communities.membership import Membership, RefusedError
from communities.post_decisions import PostDecision, decide_post
from communities.ranking import QUEUE, record_key
from communities.reasons import reason_name
from communities.refs import cid_text, read_cid, read_post_uri
from communities.relatives import Relatives
from communities.short_code import short_code
from communities.stored import find_decided, find_item, find_post
from feedgen import cursor
from feedgen.feeds import Feed
from feedgen.flagged import is_flagged, limited, texts
from feedgen.interactions import Interaction
from models import reports
from models.database import Connection
from xrpc.errors import Forbidden

UNDO_MICROS = 10 * 60_000_000
MORE, LESS = "app.bsky.feed.defs#requestMore", "app.bsky.feed.defs#requestLess"
_OPPOSITE = {MORE: LESS, LESS: MORE}
_OLDEST = cursor.Position(-1 << 63, 0)
"""Before every item. A position is since when an item waits, and twice the id of its post; of one that was reported,
twice the id of its flag and one, so that no two items have the same.
"""
_SHOWN = " i.uri, i.evidence, i.hidden, p.cid, d.cid, f.reports, f.reason_type"
_DECIDED = " LEFT JOIN decided d ON d.community = i.community AND d.actor = p.actor AND d.rkey = p.rkey"
WAITING = (
    f"SELECT i.sort_at, 2 * i.post, {_SHOWN} FROM feed_item i CROSS JOIN post p ON p.id = i.post{_DECIDED}"
    " LEFT JOIN flag f ON f.community = i.community AND f.post = i.post"
    f" WHERE i.community = ?1 AND i.hidden = {PENDING} AND (i.sort_at, i.post) > (?2, ?3 >> 1)"
    " ORDER BY i.sort_at, i.post LIMIT ?4"
)
FLAGGED = (
    f"SELECT f.at, 2 * f.id + 1, {_SHOWN} FROM flag f CROSS JOIN feed_item i ON i.post = f.post"
    f" AND i.community = f.community CROSS JOIN post p ON p.id = i.post{_DECIDED}"
    " WHERE f.community = ?1 AND i.hidden = 0 AND d.cid IS NOT p.cid AND (f.at, f.id) > (?2, ?3 - 1 >> 1)"
    " ORDER BY f.at, f.id LIMIT ?4"
)
BOTH = f"SELECT * FROM ({WAITING}) UNION ALL SELECT * FROM ({FLAGGED}) ORDER BY 1, 2 LIMIT ?4"
OF_REASONS = limited(BOTH)
"""The same, of reports for some reasons alone."""
_PRESSED = "SELECT 1 FROM interaction WHERE viewer = ? AND item = ? AND event = ? AND at >= ?"


class _Seen(NamedTuple):
    """What a feedContext says: the community's slug, and the version of the post."""

    slug: str
    cid: bytes | None


class _Place(NamedTuple):
    """A community whose queue is open to somebody, and what they are limited to there."""

    directory: Directory
    settings: Settings
    limits: Limits


class Queues:
    """Renders pages of queues, and decides by what is pressed in them; one for each connection."""

    def __init__(self, connection: Connection, key: bytes, site: Mapping[str, Site]) -> None:
        """`key` signs cursors; `site`: who has a role for the whole site."""
        self._connection = connection
        self._key = key
        self._site = site
        self._relatives = Relatives(connection)

    def page(self, feed: Feed, viewer: str, limit: int, after: str | None, now: int) -> bytes:
        """The body of a page for `viewer` (DID); `now`: microseconds. Raises Forbidden, CursorError."""
        _, settings, limits = self._enter(feed.slug, viewer, now)
        start = _OLDEST if after is None else cursor.decode(self._key, feed.uri, after, cursor.QUEUED)
        bindings = (settings.id, start.sort_at, start.post, limit + 1)
        if limits.reasons is None:
            rows = self._connection.execute(BOTH, bindings).fetchall()
        else:
            rows = self._connection.execute(OF_REASONS, (*bindings, texts(limits.reasons))).fetchall()
        body: dict[str, object] = {
            "feed": [{"post": uri, "feedContext": _context(settings, *why)} for _, _, uri, *why in rows[:limit]]
        }
        if len(rows) > limit:
            sort_at, post, *_ = rows[limit - 1]
            body["cursor"] = cursor.encode(self._key, feed.uri, cursor.Position(sort_at, post), cursor.QUEUED)
        return orjson.dumps(body)

    def press(self, viewer: str, interactions: Sequence[Interaction], now: int) -> int:
        """Decide what was pressed in queues; returns how many decisions were made. Call inside a write, behind what
        keeps the interactions. Raises Forbidden when somebody else than a moderator pressed.
        """
        made = 0
        for one in interactions:
            seen = _queue_of(one) if one.event in _OPPOSITE else None
            if seen is not None:
                place = self._enter(seen.slug, viewer, now)
                made += self._decide(place, viewer, one, seen.cid, now)
        return made

    def _enter(self, slug: str, viewer: str, now: int) -> _Place:
        """The community, if the viewer may decide there about posts. Raises Forbidden."""
        one = self._relatives.find(slug)
        if one is not None and one.community.queue_feed:
            directory = self._relatives.above(one, now)
            settings = directory.by_id[one.id]
            actor = find_actor(self._connection, viewer)
            of: dict[int, Membership] = {}
            for number in (settings.id, *settings.above):
                if membership := held(self._connection, number, actor):
                    of[number] = membership
            owners = owners_above(directory, settings)
            who = standing_by(settings, viewer, of, owners, now, self._site.get(viewer, Site.NOBODY))
            if may_decide(Action.APPROVE, who):
                return _Place(directory, settings, who.bounds)
        raise Forbidden("This feed is for the moderators of its community.")

    def _decide(self, place: _Place, viewer: str, one: Interaction, cid: bytes | None, now: int) -> bool:
        directory, settings, limits = place
        ref = read_post_uri(one.item)
        post = find_post(self._connection, ref) if ref else None
        item = find_item(self._connection, settings.id, post.id) if post else None
        if ref is None or post is None or item is None:
            return False
        action = Action.APPROVE if one.event == MORE else Action.REMOVE
        flagged = item.hidden == 0 and self._is_flagged(settings.id, post.id, limits)
        if item.hidden != PENDING and not flagged:
            pressed = (viewer, one.item, _OPPOSITE[one.event], now - UNDO_MICROS)
            decided = find_decided(self._connection, settings.id, post.actor, ref.rkey)
            takes_back = Verdict.REMOVED if one.event == MORE else Verdict.APPROVED
            if decided is None or decided.verdict is not takes_back:
                return False
            last = logbook.event(self._connection, settings.id, decided.decision)
            if last is None or last.get("actor") != viewer:
                return False  # somebody else has decided since: that is not taken back by a button
            if self._connection.execute(_PRESSED, pressed).fetchone() is None:
                return False
            action = Action.RESTORE if one.event == MORE else Action.REMOVE
        try:
            wanted = PostDecision(action, ref, cid)
            decide_post(self._connection, directory, settings, viewer, wanted, now, self._site)
        except RefusedError:
            return False  # edited since, or withdrawn by its author: nobody is to learn of it by an error
        return True

    def _is_flagged(self, community: int, post: int, limits: Limits) -> bool:
        if limits.reasons is None:
            return reports.is_flagged(self._connection, community, post)
        return is_flagged(self._connection, community, post, limits.reasons)


def _context(
    settings: Settings,
    evidence: str,
    hidden: int,
    cid: bytes,
    approved: bytes | None,
    reported: int | None,
    reason_type: str | None,
) -> str:
    why = []
    if hidden & PENDING:
        if approved is not None and approved != cid:
            why.append("it was edited after a moderator approved it")
        elif settings.posting is Posting.APPROVAL:
            why.append("every post waits for approval here")
        else:
            why.append("it waits for approval")
    if reported and reason_type:
        name = reason_name(reason_type)
        why.append(f"reported as {name}" if reported == 1 else f"reported {reported} times, first as {name}")
    code = short_code(filter(None, evidence.split("\n")), hidden)
    return f"{QUEUE}:{settings.slug} {cid_text(cid)} {code} {'; '.join(why)}"


def _queue_of(one: Interaction) -> _Seen | None:
    """From which queue something was pressed: what the client says of the feed counts, or else the item's context."""
    place, _, rest = one.feed_context.partition(" ")
    slug = place.removeprefix(f"{QUEUE}:") if place.startswith(f"{QUEUE}:") else ""
    cid = read_cid(rest.partition(" ")[0])
    if one.feed:
        key = one.feed.rpartition("/")[2]
        named, _, sort = key.partition(".")
        if sort != QUEUE or record_key(named, sort) != key or slug not in ("", named):
            return None
        return _Seen(named, cid if slug else None)
    return _Seen(slug, cid) if slug else None
