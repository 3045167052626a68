"""The outbox: labels that are to be signed and published, in the transaction of what decided them.

Of one subject, version and value at most one row waits: what is said anew takes its place under a new number. Rows of
one subject and value go out in the order of their numbers, which is that of their times, because they all have one
priority. Call these functions inside a write; times are milliseconds.
"""

from collections.abc import Iterable
from typing import NamedTuple

from labeler.standing import Fact, Slot
from models.database import Connection

URGENT, URGENT_BATCH, SINGLE, BATCH = range(4)
"""Negations and what hides; then the rest. In both, what was done for itself goes before what was done in a batch."""

_PUT = (
    "INSERT OR REPLACE INTO label_outbox (labeler, uri, cid, val, neg, cts, exp, priority, event)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEXT = (
    "SELECT id, labeler, uri, cid, val, neg, cts, exp, event FROM label_outbox WHERE labeler = ? AND priority = ?"
    " AND (exp IS NULL OR neg OR exp > ?) ORDER BY id LIMIT ?"
)


class Waiting(NamedTuple):
    """A row that waits, in the order of the columns."""

    id: int
    labeler: int
    uri: str
    cid: str
    val: str
    neg: int
    cts: int
    exp: int | None
    event: int


def priority(*, urgent: bool, batch: bool) -> int:
    """Where a label stands among those that wait; the smallest goes first."""
    return (URGENT if urgent else SINGLE) + batch


class Outbox:
    """Writes to the outbox, in order. What is put stays here until something else is done, or `flush`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._put: list[tuple[object, ...]] = []

    def put(self, row: tuple[object, ...]) -> None:
        """A row, in place of what waits of the same."""
        self._put.append(row)

    def do(self, statement: str, bindings: tuple[object, ...]) -> None:
        """Anything else."""
        self.flush()
        self._connection.execute(statement, bindings)

    def flush(self) -> None:
        """Write what was put; call at the end."""
        if self._put:
            self._connection.executemany(_PUT, self._put)
            self._put.clear()


class Sayer:
    """Says one thing after the other of a subject and value, each later than all that was said of it before."""

    def __init__(self, outbox: Outbox, labeler: int, uri: str, slots: Iterable[Slot], level: int, now: int) -> None:
        """`slots`: all versions of the value that are known. `level`: the priority of what is said now."""
        self._outbox = outbox
        self._labeler, self._uri = labeler, uri
        self._cts = now
        levels = [level]
        for slot in slots:
            for fact in (slot.published, slot.waiting):
                if fact is not None:
                    self._cts = max(self._cts, fact.cts + 1)
                    if fact.priority is not None:
                        levels.append(fact.priority)
        self._level = level
        if len(levels) > 1:
            # As soon as the most urgent one, and as one that was done for itself if any of them was.
            self._level = min(levels) & ~1 | min(one & 1 for one in levels)

    def put(self, slot: Slot, *, neg: bool, exp: int | None, event: int) -> None:
        """Say it of a version, in place of what waits of that version."""
        self._outbox.put((self._labeler, self._uri, slot.cid, slot.val, neg, self._cts, exp, self._level, event))
        slot.waiting = Fact(neg, self._cts, exp, event, self._level)
        self._cts += 1

    def negate(self, slot: Slot, event: int) -> None:
        """End a version: what waits is not published any more, and what was published is negated."""
        if slot.waiting is not None and slot.waiting.neg:
            return
        if slot.published is not None and not slot.published.neg:
            self.put(slot, neg=True, exp=None, event=event)
        elif slot.waiting is not None:
            self._outbox.do(
                "DELETE FROM label_outbox WHERE labeler = ? AND uri = ? AND cid = ? AND val = ?",
                (self._labeler, self._uri, slot.cid, slot.val),
            )
            slot.waiting = None

    def settle(self, slots: Iterable[Slot]) -> None:
        """Let what waits of the value already go out no later than what was said now; call at the end."""
        for slot in slots:
            if slot.waiting is not None and slot.waiting.priority != self._level:
                self._outbox.do(
                    "UPDATE label_outbox SET priority = ? WHERE labeler = ? AND uri = ? AND cid = ? AND val = ?",
                    (self._level, self._labeler, self._uri, slot.cid, slot.val),
                )


def following(connection: Connection, labeler: int, now: int, singles: int, batched: int) -> list[Waiting]:
    """What goes out next of a labeler: at most `singles`, and of them at most `batched` that were done in a batch.
    What has expired meanwhile stays.
    """
    rows: list[Waiting] = []
    for level in (URGENT, URGENT_BATCH, SINGLE, BATCH):
        in_batch = level & 1
        limit = min(singles - len(rows), batched) if in_batch else singles - len(rows)
        if limit > 0:
            found = connection.execute(_NEXT, (labeler, level, now, limit)).fetchall()
            batched -= len(found) if in_batch else 0
            rows.extend(map(Waiting._make, found))
    return rows


def labelers_waiting(connection: Connection) -> list[int]:
    """The labelers of which anything waits."""
    # One step of the index for each, however much waits.
    query = (
        "WITH RECURSIVE one (labeler) AS (SELECT min(labeler) FROM label_outbox UNION ALL SELECT"
        " (SELECT min(labeler) FROM label_outbox WHERE labeler > one.labeler) FROM one WHERE one.labeler IS NOT NULL)"
        " SELECT labeler FROM one WHERE labeler IS NOT NULL"
    )
    return [labeler for (labeler,) in connection.execute(query)]
