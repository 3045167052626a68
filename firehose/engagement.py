"""Likes, reposts, replies and quotes: their rows, and the counts of the posts that they are about. Everything here runs
inside the caller's transaction.

Each function may be called again with what it was already given and then changes nothing.
"""

from collections import Counter
from typing import Any

import apsw

from communities.shown import COUNTERS
from firehose.actors import Actors
from firehose.late import Late
from firehose.ops import POST_URI
from firehose.times import tid_micros
from models.repos import AWAITED

_COUNT = {
    kind: f"UPDATE post SET {column} = {column} + ?, active_at = max(active_at, ?) WHERE id = ?"
    for kind, column in COUNTERS.items()
}
_RECOUNT = {
    kind: f"UPDATE post SET active_at = max(active_at, ?2), {column} = (SELECT count(DISTINCT e.actor)"
    " FROM engagement e JOIN actor a ON a.id = e.actor"
    f" WHERE e.post = ?1 AND e.kind = {kind} AND a.counted = 1) WHERE id = ?1"
    for kind, column in COUNTERS.items()
}
_PUT = "INSERT INTO engagement (actor, kind, rkey, post) VALUES (?, ?, ?, ?)"
_YOUNGER = (
    "SELECT a.did, e.kind, e.rkey FROM engagement e JOIN actor a ON a.id = e.actor WHERE e.post = ? AND e.rkey > ?"
    " AND length(e.rkey) = 13 AND NOT e.rkey GLOB '*[^2-7a-z]*' LIMIT 1000"
)


class Engagement:
    """Puts and takes away what accounts do with posts. However many records of one kind an account has for a post, it
    counts once.
    """

    def __init__(self, actors: Actors, sql: Any, counts: Counter[str]) -> None:
        """`sql`: executes statements; `counts`: of what was done, for people."""
        self.late = Late(sql)
        self._actor, self._intern = actors.actor, actors.intern
        self._sql = sql
        self._counts = counts

    def put(self, did: str, kind: int, rkey: str, subject: str, at: int) -> bool:
        """A record of an account is about a post (its URI); whether that concerns the index. `at`: when it was done,
        microseconds.
        """
        post = self.find_post(subject)
        if post is None:
            removed = self.remove(did, kind, rkey, subject)
            return self._note_awaited(did, kind, rkey, subject, at) or removed
        actor = self._intern(did)
        if actor.late:
            self.late.drop(actor, kind, rkey)
        held = self._engaged(post, kind, actor.id)
        if (rkey,) in held:
            return True
        try:
            self._sql(_PUT, (actor.id, kind, rkey, post))
        except apsw.ConstraintError:
            # The record was there before, and named another post.
            self.remove(did, kind, rkey)
            self._sql(_PUT, (actor.id, kind, rkey, post))
        if not held and actor.counted:
            self._count(post, kind, 1, at)
        self._counts[COUNTERS[kind]] += 1
        return True

    def _note_awaited(self, did: str, kind: int, rkey: str, subject: str, at: int) -> bool:
        """A post that was heard of is not here, but its author's repository is to be read: then it may come."""
        parts = POST_URI.fullmatch(subject)
        author = self._actor(parts[1]) if parts and parts[1] != did else None
        if author is None or author.state not in AWAITED:
            return False
        self.late.note(self._intern(did), kind, rkey, subject, at)
        return True

    def remove(self, did: str, kind: int, rkey: str, about: str = "") -> bool:
        """A record is no engagement of any post here (any more). `about`: what it is about; empty if it is gone."""
        actor = self._actor(did)
        if actor is None:
            return False
        noted = actor.late and self.late.drop(actor, kind, rkey, about)
        query = "DELETE FROM engagement WHERE actor = ? AND kind = ? AND rkey = ? RETURNING post"
        post = self._sql(query, (actor.id, kind, rkey)).get
        if post is None:
            return noted
        # Two like records of one account count once: the count falls with the last of them.
        if actor.counted and not self._engaged(post, kind, actor.id):
            self._count(post, kind, -1)
        self._counts[COUNTERS[kind] + " undone"] += 1
        return True

    def _engaged(self, post: int, kind: int, actor: int) -> list[tuple[str]]:
        """The record keys of what the account has of this kind for the post."""
        query = "SELECT rkey FROM engagement WHERE post = ? AND kind = ? AND actor = ?"
        found: list[tuple[str]] = self._sql(query, (post, kind, actor)).fetchall()
        return found

    def _count(self, post: int, kind: int, by: int, at: int = 0) -> None:
        """`at`: when it was done, microseconds; what is undone does not move the post's last activity."""
        self._sql(_COUNT[kind], (by, at, post))

    def find_post(self, uri: str) -> int | None:
        """The id of the indexed post with this URI."""
        parts = POST_URI.fullmatch(uri)
        actor = self._actor(parts[1]) if parts else None
        if not parts or actor is None:
            return None
        post: int | None = self._sql("SELECT id FROM post WHERE actor = ? AND rkey = ?", (actor.id, parts[2])).get
        return post

    def expect(self, did: str, kind: int, rkey: str, subject: str, now: int) -> None:
        """A repository speaks of a post of somebody else, which may come if it is not here. `now`: microseconds."""
        if not subject.startswith(f"at://{did}/") and self.find_post(subject) is None:
            self.late.note(self._intern(did), kind, rkey, subject, now)

    def take_late(self, uri: str, post: int) -> None:
        """A post has come: what repositories were found to say of it counts from now on."""
        said = self.late.about(uri)
        if not said:
            return
        self.late.take(uri, post)
        # Very many may have waited for the same post: they are counted all at once.
        for kind in {kind for kind, *_ in said}:
            done = [min(tid_micros(rkey), noted) for one, rkey, noted, counted in said if one == kind and counted]
            self._sql(_RECOUNT[kind], (post, max(done, default=0)))
        for kind, *_ in said:
            self._counts[COUNTERS[kind]] += 1

    def remove_all(self, post: int) -> None:
        """A post goes, and with it whatever anybody did with it."""
        self._sql("DELETE FROM engagement WHERE post = ?", (post,))

    def read_ahead(self, post: int, rev: str) -> list[tuple[str, int, str]]:
        """What was done with a post by records that are younger than `rev`: account, kind and record key."""
        found: list[tuple[str, int, str]] = self._sql(_YOUNGER, (post, rev)).fetchall()
        return found

    def keep(self, ahead: list[tuple[str, int, str]], uri: str, rev: str) -> None:
        """The post at `uri` was deleted in `rev`: what was read ahead of the stream is about what will stand there
        next.
        """
        for did, kind, rkey in ahead:
            self.late.note(self._intern(did), kind, rkey, uri, tid_micros(rev))
