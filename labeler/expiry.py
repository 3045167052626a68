"""The end of labels: what has expired is negated, for there are clients that do not mind `exp`.

It is found by an index of what ends, in pieces; each is a short transaction that leaves nothing to be done twice, so it
does not matter where it was stopped.
"""

from collections.abc import Collection
from typing import NamedTuple

from playhouse.apsw_ext import APSWDatabase

from labeler.issue import Wanted, take_back
from labeler.standing import slots_of
from models.database import Connection, sql, writing

PIECE = 100
"""Labels that are looked at in one transaction."""
ACTOR, ROLE, REASON = "expiry", "service", "expired"
"""How the event says that nobody in person did it."""


class _Ended(NamedTuple):
    exp: int
    seq: int
    labeler: int
    uri: str
    event: int


_PUBLISHED = (
    "SELECT exp, seq, labeler, uri, event FROM label WHERE exp IS NOT NULL AND neg = 0 AND (exp, seq) > (?, ?)"
    " AND exp <= ? ORDER BY exp, seq LIMIT ?"
)
_WAITING = (
    "SELECT exp, 0, labeler, uri, event FROM label_outbox WHERE exp IS NOT NULL AND neg = 0 AND exp <= ?"
    " ORDER BY exp LIMIT ?"
)
_NEXT = (
    "SELECT min(exp) FROM (SELECT min(exp) AS exp FROM label WHERE exp IS NOT NULL AND neg = 0 AND exp > ?1 UNION ALL"
    " SELECT min(exp) FROM label_outbox WHERE exp IS NOT NULL AND neg = 0)"
)


class Expiry:
    """Ends what has expired. Times are milliseconds."""

    def __init__(self, database: APSWDatabase) -> None:
        self._database = database
        self._after = (0, 0)
        self._at = 0

    def step(self, now: int, negating: Collection[int]) -> int | None:
        """End one piece of what has expired; how many labels were looked at, None when there was none.

        `negating`: the rows of the labelers whose labels are negated when they expire. What expires before it was
        published is not published, whoever wanted it.
        """
        if now < self._at:
            self._after = (0, 0)  # the clock was set back: something may end at a moment that was thought to be over
        self._at = now
        connection = sql(self._database)
        waiting = list(map(_Ended._make, connection.execute(_WAITING, (now, PIECE))))
        if waiting:
            self._end(waiting, now)
            return len(waiting)
        published = list(map(_Ended._make, connection.execute(_PUBLISHED, (*self._after, now, PIECE))))
        if not published:
            return None
        due = [row for row in published if row.labeler in negating]
        if due:
            self._end(due, now)
        self._after = published[-1][:2]
        return len(published)

    def next(self) -> int | None:
        """When something ends that was not looked at; it may be over already."""
        found: int | None = sql(self._database).execute(_NEXT, (self._at,)).fetchone()[0]
        return found

    def _end(self, rows: list[_Ended], now: int) -> None:
        with writing(self._database) as connection:
            for labeler, uri, event in dict.fromkeys((row.labeler, row.uri, row.event) for row in rows):
                _end(connection, labeler, uri, event, now)


def _end(connection: Connection, labeler: int, uri: str, event: int, now: int) -> None:
    """Take back what an event has issued and what has expired, if nothing was said of it since."""
    ended = [
        slot
        for versions in slots_of(connection, labeler, uri).values()
        for slot in versions.values()
        if slot.newest.event == event and not slot.newest.neg and not slot.holds(now)
    ]
    if not ended:
        return
    row = connection.execute("SELECT community FROM label_event WHERE id = ?", (event,)).fetchone()
    community = row[0] if row else 0
    wanted = Wanted(
        labeler,
        "",
        uri,
        actor=ACTOR,
        role=ROLE,
        community=community,
        reason=REASON,
        batch=ACTOR,
        undoes=event,
    )
    take_back(connection, wanted, ended, now)
