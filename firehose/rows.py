"""The rows of posts and feed items. Everything here runs inside the caller's transaction.

Each function may be called again with what it was already given and then changes nothing: puts and deletes are
idempotent by (did, collection, rkey).
"""

from collections import Counter
from collections.abc import Collection, Mapping

from communities.admission import BY_HAND, HIDDEN_AUTHOR
from communities.matching import Match
from communities.post import Post
from communities.records import SHAPING
from communities.short_code import code_of
from firehose.admissions import Admissions, Item, Written
from firehose.engagement import Engagement
from firehose.list_rows import ListRows
from firehose.ops import (
    ENGAGEMENTS,
    LISTS,
    POST,
    QUOTE,
    REPLY,
    Commit,
    Delete,
    PutEngagement,
    PutListItem,
    PutPost,
)
from firehose.records import read_facts
from firehose.times import event_micros, sort_micros
from models import reports
from models.database import Connection

_PUT_ITEM = (
    "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence, context)"
    " SELECT ?1, 1 - a.shown | ?4, p.sort_at, p.id, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey, ?2, ?5"
    " FROM post p JOIN actor a ON a.id = p.actor WHERE p.id = ?3"
    " ON CONFLICT DO UPDATE SET evidence = excluded.evidence, context = excluded.context"
)
_STORED = "SELECT id, sort_at, cid FROM post WHERE actor = ? AND rkey = ?"
_WRITTEN = "SELECT p.record, p.rkey, p.cid, p.actor, a.did FROM post p JOIN actor a ON a.id = p.actor WHERE p.id = ?"
_HELD = "SELECT community, hidden FROM feed_item WHERE post = ?"


class Rows(ListRows):
    """Puts and takes away what operations say, whatever was applied before."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection)
        self.admissions = Admissions(self._sql)
        self._max_age = max_age
        self.counts: Counter[str] = Counter()
        self.engagement = Engagement(self, self._sql, self.counts)

    def apply(self, commit: Commit, received_at: int) -> bool:
        """Apply the operations, whatever was applied before; whether any concerned the index."""
        applied = False
        for op in commit.ops:
            if type(op) is PutPost:
                applied |= self._put_post(commit.did, op, event_micros(commit.time, received_at), received_at)
            elif type(op) is PutEngagement:
                at = event_micros(commit.time, received_at)
                applied |= self.engagement.put(commit.did, op.kind, op.rkey, op.subject, at)
            elif type(op) is PutListItem:
                applied |= self._put_list_item(commit.did, op)
            elif type(op) is Delete and op.collection not in SHAPING:
                applied |= self._delete(commit.did, op, commit.rev)
        return applied

    def _put_post(self, did: str, op: PutPost, event_at: int, now: int, latest: int | None = None) -> bool:
        """A post stands in a repository. `event_at`: since when; `latest`: or since some time up to that."""
        known = self.actor(did)
        row = known and self._sql(_STORED, (known.id, op.rkey)).get
        held = dict(self._sql(_HELD, (row[0],))) if row else {}
        # A submission, a membership or a decision may speak for it even if nothing in it does.
        items: dict[int, Item] = {}
        matches = self.matches(did, op)
        if matches or op.stands or row:
            items = self.admissions.items(
                known.id if known else 0,
                Written(did, op.rkey, op.cid, self._written(op)),
                matches,
                held,
                row[2] if row else b"",
                now,
            )
        sort_at = row[1] if row else sort_micros(op.post.created_at, event_at, latest)
        if not row and items and sort_at < event_at - self._max_age:
            self.counts["post too old to admit"] += 1
            items = {community: item for community, item in items.items() if BY_HAND in item.evidence.split("\n")}
        applied = False
        if items and row:
            self._sql(
                "UPDATE post SET cid = ?, record = ?, video = ? WHERE id = ?",
                (op.cid, op.block, int(op.post.is_video), row[0]),
            )
            self.admit(row[0], items)
            self.counts["post changed"] += 1
            applied = True
        elif items:
            actor = self.intern(did)
            post = self._sql(
                "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at, active_at, video)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7) RETURNING id",
                (actor.id, op.rkey, op.cid, op.block, sort_at, event_at, int(op.post.is_video)),
            ).get
            self.admit(post, items)
            # Whoever takes a post out and in again does not end what it was reported for.
            reports.flag_again(self._connection, post, actor.id, did, op.rkey, f"at://{did}/{POST}/{op.rkey}")
            self._sql("UPDATE pin SET gone = 0 WHERE actor = ? AND rkey = ?", (actor.id, op.rkey))
            self.engagement.take_late(f"at://{did}/{POST}/{op.rkey}", post)
            self.counts["post admitted"] += 1
            applied = True
        elif row:
            self.remove_post(row[0])
            self.counts["post no longer matches"] += 1
            applied = True
        for kind, subject, said in ((REPLY, op.parent, op.post.parent), (QUOTE, op.quote, op.post.quote)):
            if subject is not None:
                applied |= self.engagement.put(did, kind, op.rkey, subject, event_at)
            elif known is not None:
                # It may have answered or quoted something before it was changed.
                applied |= self.engagement.remove(did, kind, op.rkey, said or "")
        return applied

    @staticmethod
    def _written(op: PutPost) -> Post:
        """What rules look at in a post that was put."""
        return op.post if op.post.record else read_facts(op.block) or op.post

    def matches(self, did: str, op: PutPost) -> list[Match]:
        """What the words of a post say by the rules as they are now, whatever it was held against when it came."""
        matcher = self.admissions.matcher
        if op.revision != matcher.revision:
            op.matches, op.revision = matcher.match(did, self._written(op)), matcher.revision
        return op.matches

    def admit(self, post: int, items: Mapping[int, Item], judged: Collection[int] | None = None) -> bool:
        """Make the feed items of a post equal to `items`, by community; returns whether any came or went.

        `judged`: the communities whose items may go (None: all).
        """
        query = "SELECT community, evidence, hidden & ~? FROM feed_item WHERE post = ?"
        rows = self._sql(query, (HIDDEN_AUTHOR, post)).fetchall()
        held = {community: Item(evidence, hidden) for community, evidence, hidden in rows}
        for community, item in held.items():
            wanted = items.get(community)
            if wanted is None and judged is not None and community not in judged:
                continue
            if wanted is None or wanted.hidden != item.hidden:
                self._sql("DELETE FROM feed_item WHERE post = ? AND community = ?", (post, community))
        for community, item in items.items():
            if held.get(community) != item:
                self._sql(_PUT_ITEM, (community, item.evidence, post, item.hidden, code_of(item.evidence)))
        return held.keys() != items.keys()

    def judge_stored(self, post: int, now: int, judged: Collection[int] | None = None) -> bool:
        """Judge a stored post anew, by what holds now; returns whether it is still in any community.

        `judged`: the communities whose items may go (None: all).
        """
        record, rkey, cid, actor, did = self._sql(_WRITTEN, (post,)).fetchall()[0]
        post_facts = read_facts(record)
        items: dict[int, Item] = {}
        if post_facts is not None:
            held = dict(self._sql(_HELD, (post,)))
            matches = self.admissions.matcher.match(did, post_facts)
            items = self.admissions.items(actor, Written(did, rkey, cid, post_facts), matches, held, cid, now)
        video = int(post_facts is not None and post_facts.is_video)
        self._sql("UPDATE post SET video = ? WHERE id = ? AND video != ?", (video, post, video))
        self.admit(post, items, judged)
        if items or self._sql("SELECT 1 FROM feed_item WHERE post = ? LIMIT 1", (post,)).get:
            return True
        self.remove_post(post)
        return False

    def remove_post(self, post: int) -> None:
        """Take a post out, with its items and the engagement of others with it."""
        self._sql("DELETE FROM feed_item WHERE post = ?", (post,))
        self.engagement.remove_all(post)
        self._sql("DELETE FROM post WHERE id = ?", (post,))

    def _delete(self, did: str, op: Delete, rev: str) -> bool:
        if op.collection == POST:
            return self._delete_post(did, op.rkey, rev)
        if op.collection in LISTS:
            return self._delete_of_list(did, op)
        return self.engagement.remove(did, ENGAGEMENTS[op.collection], op.rkey)

    def _delete_post(self, did: str, rkey: str, rev: str) -> bool:
        actor = self.actor(did)
        if actor is None:
            return False
        applied = self.engagement.remove(did, REPLY, rkey) | self.engagement.remove(did, QUOTE, rkey)
        pinned = self._sql(
            "UPDATE pin SET gone = 1 WHERE actor = ? AND rkey = ? AND gone = 0 RETURNING 1", (actor.id, rkey)
        ).fetchall()
        post = self._sql("SELECT id FROM post WHERE actor = ? AND rkey = ?", (actor.id, rkey)).get
        if post is not None:
            ahead = self.engagement.read_ahead(post, rev)
            self.remove_post(post)
            self.engagement.keep(ahead, f"at://{did}/{POST}/{rkey}", rev)
            self.counts["post deleted"] += 1
        return applied or bool(pinned) or post is not None
