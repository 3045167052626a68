"""Stored posts are held against rules that have changed since: all of them, or for a few communities alone.

In small steps, each in the caller's transaction; how far it has come is in the rows, so a stop loses nothing.
"""

import time
from collections.abc import Callable

from communities.matching import Matcher
from communities.records import SUBMISSION
from firehose.index import Index
from firehose.ops import POST
from firehose.records import read_facts
from firehose.rules import REAPPLY
from models import meta
from models.database import Connection

STEP_ROWS = 200
REST = 10
"""A look at the stored posts, for communities that were changed, is followed by a rest of so many times what it took:
whoever changes theirs for ever has a tenth of the time at most.
"""
_CONCERNED = (
    "SELECT community FROM feed_item WHERE post = ?1"
    " UNION ALL SELECT community FROM decided WHERE actor = ?2 AND rkey = ?3"
    " UNION ALL SELECT c.id FROM declaration d JOIN community c ON c.uri = d.about WHERE d.subject = ?4"
    f" AND d.collection = '{SUBMISSION}'"
)
"""The communities of a post, but for those that only its words, or its author, speak for."""


class Reapply:
    """Call `step` when there is time."""

    def __init__(self, index: Index, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds."""
        self._index = index
        self._clock = clock
        self._looked = 0.0
        self._rest_until = 0.0

    def step(self, connection: Connection, matcher: Matcher) -> Callable[[], None] | None:
        """What is to be done next, inside a write; None: nothing now."""
        return self._all(connection, matcher) or self._look_again(connection, matcher)

    def _all(self, connection: Connection, matcher: Matcher) -> Callable[[], None] | None:
        """Hold stored posts against the rules in force: exclusions reach what was admitted before them.

        A community that is not declared at present has no rules to be held against: its items stay, until retention.
        """
        after = meta.get(connection, REAPPLY)
        if after is None:
            return None

        def work() -> None:
            query = "SELECT id FROM post WHERE id > ? ORDER BY id LIMIT ?"
            rows = connection.execute(query, (int(after), STEP_ROWS)).fetchall()
            for (post,) in rows:
                if not self._index.judge_stored(post, self._clock(), matcher.rules):
                    self._index.counts["posts no longer matching"] += 1
            if rows:
                meta.put(connection, REAPPLY, str(rows[-1][0]))
            else:
                connection.execute("DELETE FROM meta WHERE key = ?", (REAPPLY,))

        return work

    def _look_again(self, connection: Connection, matcher: Matcher) -> Callable[[], None] | None:
        """Hold stored posts against the communities of the table `reapply`, all of them at once: those that have a
        post, or may have it by its words. Communities that are changed meanwhile wait for the next look.
        """
        if time.monotonic() < self._rest_until:
            return None
        if connection.execute("SELECT 1 FROM reapply LIMIT 1").fetchone() is None:
            return None

        def work() -> None:
            began = time.monotonic()
            row = connection.execute("SELECT max(after) FROM reapply").fetchone()
            if row[0] is None:
                connection.execute("UPDATE reapply SET after = 0")
            after = row[0] or 0
            rows = connection.execute(
                "SELECT p.id, p.record, p.actor, p.rkey, a.did FROM post p JOIN actor a ON a.id = p.actor"
                " WHERE p.id > ? ORDER BY p.id LIMIT ?",
                (after, STEP_ROWS),
            ).fetchall()
            if rows:
                query = "SELECT community FROM reapply WHERE after IS NOT NULL"
                judged = {number for (number,) in connection.execute(query) if number in matcher.rules}
                for post, *written in rows if judged else ():
                    if self._concerns(connection, matcher, judged, post, *written):
                        kept = self._index.judge_stored(post, self._clock(), judged)
                        self._index.counts["posts no longer matching"] += not kept
                connection.execute("UPDATE reapply SET after = ? WHERE after IS NOT NULL", (rows[-1][0],))
            else:
                connection.execute("DELETE FROM reapply WHERE after IS NOT NULL")
            self._looked += time.monotonic() - began
            if not rows:
                self._rest_until, self._looked = time.monotonic() + REST * self._looked, 0.0

        return work

    @staticmethod
    def _concerns(
        connection: Connection, matcher: Matcher, judged: set[int], post: int, record: bytes, actor: int, rkey: str,
        did: str
    ) -> bool:  # fmt: skip
        """Whether a stored post is, or may be, in any of these communities."""
        there = connection.execute(_CONCERNED, (post, actor, rkey, f"at://{did}/{POST}/{rkey}"))
        if not judged.isdisjoint([number for (number,) in there]):
            return True
        facts = read_facts(record)
        return facts is not None and not judged.isdisjoint(match.community for match in matcher.match(did, facts))
