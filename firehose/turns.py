"""Whose host is asked next: each reason to look at an account has its turn, and goes its own round."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playhouse.apsw_ext import APSWDatabase

from firehose.accounts import CONFIRM
from firehose.index import Index
from firehose.pace import Pace
from models.database import sql, writing
from models.repos import SYNCED, UNRESOLVABLE

EVERY = 3_600_000_000
"""Microseconds between two looks at an account whose repository is followed, or that its host has called inactive."""
RETRY = 60.0
"""Seconds between two questions whether an account is gone."""


@dataclass(slots=True)
class _Round:
    """How far a round through accounts has come, by id (0: it is over), and when it began."""

    after: int = 0
    began: float = float("-inf")


class Turns:
    """Call `next` for the next account to look at, and `unresolvable` for the next to look up."""

    def __init__(self, database: APSWDatabase, index: Index, *, pace: Pace, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds."""
        self._database = database
        self._index = index
        self._pace = pace
        self._clock = clock
        self._turns = deque((self._doubted, self._said_to_be_gone, self._ahead, self._followed, self._author))
        self._gone, self._hidden = _Round(), _Round()
        self._author_after = 0
        self._authors_at: float | None = None

    def next(self) -> str | None:
        """The next account. Whoever makes those of one reason many, or has a host that never answers, must not keep
        the others waiting.
        """
        for _ in range(len(self._turns)):
            turn = self._turns[0]
            self._turns.rotate(-1)
            if (did := turn()) is not None:
                return did
        return None

    def begin_round(self) -> None:
        """Let the next round through all authors begin now."""
        self._author_after, self._authors_at = 0, 0.0

    def _doubted(self) -> str | None:
        """An account of which the stream has just said something that only its host can know."""
        did = next(iter(self._index.doubts), None)
        if did is not None:
            del self._index.doubts[did]
        return did

    def _said_to_be_gone(self) -> str | None:
        """The next of those that are to be purged; a round of them begins RETRY seconds after the last one."""
        now = asyncio.get_running_loop().time()
        return self._in_rounds(self._gone, f"purge = {CONFIRM}", now, RETRY * self._pace.patience)

    def _ahead(self) -> str | None:
        """The next of those that their hosts alone have called inactive; a round of them begins EVERY after the last
        one. The host may have been wrong, or the event that says that they are back be lost.
        """
        return self._in_rounds(self._hidden, "ahead = 1", self._clock(), EVERY)

    def _in_rounds(self, round_: _Round, which: str, now: float, pause: float) -> str | None:
        """The next of the accounts for which `which` holds. `pause`: from one round's beginning to the next one's."""
        if not round_.after and now - round_.began < pause:
            return None
        query = f"SELECT id, did FROM actor WHERE {which} AND id > ? ORDER BY id LIMIT 1"
        row = sql(self._database).execute(query, (round_.after,)).fetchone()
        if row is None:
            round_.after = 0
            return None
        if not round_.after:
            round_.began = now
        round_.after = row[0]
        return str(row[1])

    def _followed(self) -> str | None:
        """The account of a followed repository that was looked at the longest time ago. Or one that is not active: it
        may be again, and the event that said so be lost.
        """
        return self._longest_ago(f"r.state = '{SYNCED}' OR a.active = 0")

    def unresolvable(self) -> str | None:
        """The account without a usable document that was looked up the longest time ago."""
        return self._longest_ago(f"r.state = '{UNRESOLVABLE}'")

    def _longest_ago(self, which: str) -> str | None:
        """The account with a repository to follow or read, for which `which` holds, that was looked at the longest
        time ago, if that is EVERY or more. It is noted that it is looked at now.
        """
        now = self._clock()
        row: Any = (
            sql(self._database)
            .execute(
                "SELECT a.did, a.id FROM repo r JOIN actor a ON a.id = r.actor"
                f" WHERE ({which}) AND r.checked_at < ? ORDER BY r.checked_at LIMIT 1",
                (now - EVERY,),
            )
            .fetchone()
        )
        if row is None:
            return None
        with writing(self._database) as connection:
            connection.execute("UPDATE repo SET checked_at = ? WHERE actor = ?", (now, row[1]))
        return str(row[0])

    def _author(self) -> str | None:
        """The next of all authors of posts; each once a round."""
        now = asyncio.get_running_loop().time()
        if self._authors_at is None:
            self._authors_at = now + self._pace.sweep_after
        if not self._author_after and now < self._authors_at:
            return None
        execute = sql(self._database).execute
        (author,) = execute("SELECT min(actor) FROM post WHERE actor > ?", (self._author_after,)).fetchone()
        if author is None:
            self._author_after, self._authors_at = 0, now + self._pace.round
            return None
        self._author_after = author
        row = execute("SELECT did FROM actor WHERE id = ?", (author,)).fetchone()
        return str(row[0]) if row else None
