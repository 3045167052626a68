"""What becomes of an account whose repository could not be read: tried again, given up for now, or hidden."""

import random
from collections import Counter
from collections.abc import Callable

from playhouse.apsw_ext import APSWDatabase

from firehose.actors import Actor
from firehose.index import Index
from firehose.ops import Scope
from models.database import Connection, writing
from models.repos import DESYNCHRONIZED, ERROR, UNRESOLVABLE

TRIES = 20
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0
"""Seconds."""


class Failures:
    """Writes each failure beside its account. `counts` are of outcomes."""

    def __init__(
        self,
        database: APSWDatabase,
        index: Index,
        scope: Scope,
        counts: Counter[str],
        *,
        patience: float,
        clock: Callable[[], int],
    ) -> None:
        """`patience`: by what waits are multiplied. `clock` gives microseconds."""
        self.counts = counts
        self._database = database
        self._index = index
        self._scope = scope
        self._patience = patience
        self._clock = clock

    def later(self, did: str, why: str, seconds: float | None, *, failed: bool, lasting: bool = False) -> None:
        """Try again after so many seconds; None: after longer each time. `failed`: whether that was one of TRIES;
        `lasting`: whether another try soon is of no use.
        """
        self._index.buffers.pop(did, None)
        self.counts["repositories refused"] += 1
        with writing(self._database) as connection:
            actor = self._index.intern(did)
            row = connection.execute("SELECT tries FROM repo WHERE actor = ?", (actor.id,)).fetchone()
            tries = (row[0] if row else 0) + failed
            if seconds is None:
                seconds = LONGEST_DELAY if lasting else _delay(tries)
            due = self._due(seconds)
            state = ERROR if tries >= TRIES or lasting else DESYNCHRONIZED
            connection.execute(
                "UPDATE repo SET state = ?, why = ?, tries = ?, due_at = ? WHERE actor = ?",
                (state, why[:500], tries, due, actor.id),
            )
            actor.state = state
            if tries > TRIES:
                self._let_go(connection, did, actor)

    def unresolvable(self, did: str) -> None:
        """No document, no key or no host: an `#identity` may change that, and may have come while it was looked up."""
        self._index.buffers.pop(did, None)
        with writing(self._database) as connection:
            actor = self._index.intern(did)
            (tries,) = connection.execute("SELECT tries FROM repo WHERE actor = ?", (actor.id,)).fetchone() or (0,)
            due = self._due(_delay(tries))
            connection.execute(
                "UPDATE repo SET state = ?, why = ?, due_at = ?, tries = ? WHERE actor = ?",
                (UNRESOLVABLE, "its DID document is missing or names no host", due, tries + 1, actor.id),
            )
            actor.state = UNRESOLVABLE
            if tries >= TRIES:
                self._let_go(connection, did, actor)
        self.counts["accounts unresolvable"] += 1

    def _due(self, seconds: float) -> int:
        """When so many seconds are over, with jitter."""
        return self._clock() + int(random.uniform(1.0, 1.5) * seconds * self._patience * 1_000_000)

    def _let_go(self, connection: Connection, did: str, actor: Actor) -> None:
        """An account that is not followed and has nothing here is not tried for ever: anybody can name any number."""
        if did in self._scope.full:
            return
        gone = connection.execute(
            "DELETE FROM repo WHERE actor = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM post WHERE actor = ?1) AND NOT EXISTS (SELECT 1 FROM engagement WHERE actor = ?1)"
            " RETURNING 1",
            (actor.id,),
        ).fetchall()
        if gone:
            actor.state = ""
            self.counts["accounts let go"] += 1

    def inactive(self, did: str, status: str) -> None:
        """Its own host says that it is not active: hide it, and read it when it comes back."""
        self._index.buffers.pop(did, None)
        with writing(self._database) as connection:
            actor = self._index.intern(did)
            connection.execute(
                "UPDATE repo SET state = ?, why = ? WHERE actor = ?",
                (DESYNCHRONIZED, f"its host says: {status}", actor.id),
            )
            self._index.overlay(did, False, status)
        self.counts["accounts not active"] += 1


def _delay(tries: int) -> float:
    """Seconds until the next try after so many."""
    return min(FIRST_DELAY * 2.0 ** min(tries, 16), LONGEST_DELAY)
