"""What repositories say of posts that are not here yet: noted when they are read, and counted when the post comes.

A repository may be read before the stream has brought a post that it likes or answers, or before the repository was
read that has the post; the account's own event may have gone by already, or be lost. What the account changes or
deletes after its repository was read is noted no longer. Whatever no post has come for in a week goes (`Housekeeping`).
Everything here runs inside the caller's transaction.
"""

from typing import Any

from firehose.actors import Actor

_ABOUT = "SELECT l.kind, l.rkey, l.noted_at, a.counted FROM late l JOIN actor a ON a.id = l.actor WHERE l.subject = ?"
_TAKE = (
    "INSERT OR IGNORE INTO engagement (actor, kind, rkey, post) SELECT actor, kind, rkey, ? FROM late WHERE subject = ?"
)


class Late:
    """The notes, one a like, repost, reply or quote; `actor.late` says whether there may be any of an account."""

    def __init__(self, sql: Any) -> None:
        """`sql`: executes statements."""
        self._sql = sql

    def note(self, actor: Actor, kind: int, rkey: str, subject: str, now: int) -> None:
        """Note that a record is about a post which is not here; no engagement of this record may be. `now`:
        microseconds.
        """
        self._sql("INSERT OR REPLACE INTO late VALUES (?, ?, ?, ?, ?)", (actor.id, kind, rkey, subject, now))
        actor.late = True

    def about(self, subject: str) -> list[tuple[int, str, int, int]]:
        """What is noted about a post: kind, record key, when it was noted, and whether its account is counted."""
        found: list[tuple[int, str, int, int]] = self._sql(_ABOUT, (subject,)).fetchall()
        return found

    def take(self, subject: str, post: int) -> None:
        """Make engagement of all that is noted about a post that has come."""
        self._sql(_TAKE, (post, subject))
        self._sql("DELETE FROM late WHERE subject = ?", (subject,))

    def drop(self, actor: Actor, kind: int, rkey: str, still: str = "") -> bool:
        """The account has deleted or changed a record: whether it was noted, and is no longer. `still`: what it is
        about now.
        """
        query = "DELETE FROM late WHERE actor = ? AND kind = ? AND rkey = ? AND subject != ? RETURNING 1"
        return bool(self._sql(query, (actor.id, kind, rkey, still)).get)

    def drop_all(self, actor: Actor) -> None:
        """Note nothing any more of an account."""
        self._sql("DELETE FROM late WHERE actor = ?", (actor.id,))
        actor.late = False
