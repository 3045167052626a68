"""Rows of the logs of decisions, one log a community. The database holds that they are only appended to.

What the rows mean, and how their hashes come about, is in `communities.log`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from models.database import Connection

_BATCH = 500
_LAST = (1 << 63) - 1


class DecisionRow(NamedTuple):
    """A decision, in the order of the table's columns. Times are microseconds."""

    community: int
    seq: int
    at: int
    actor: str
    role: str
    action: str
    subject: str | None
    cid: str | None
    reason: str | None
    rule: str | None
    until: int | None
    salts: bytes
    prev: bytes
    hash: bytes


_SELECT = f"SELECT {', '.join(DecisionRow._fields)} FROM decision"
_INSERT = f"INSERT INTO decision VALUES ({', '.join('?' * len(DecisionRow._fields))})"


def head(connection: Connection, community: int) -> tuple[int, bytes] | None:
    """Number and hash of the last decision of a community (its row's id); None before the first."""
    row = connection.execute(
        "SELECT seq, hash FROM decision WHERE community = ? ORDER BY seq DESC LIMIT 1", (community,)
    ).fetchone()
    return (row[0], row[1]) if row else None


def append(connection: Connection, row: DecisionRow) -> None:
    """Add a decision inside the caller's transaction, in which `head` was read. Raises apsw.ConstraintError when it
    does not follow the last one.
    """
    connection.execute(_INSERT, row)


def newest(
    connection: Connection, community: int, limit: int, before: int | None = None, subject: str | None = None
) -> list[DecisionRow]:
    """At most `limit` decisions, the newest first: those below the number `before`, those about `subject` alone."""
    # Without being told, SQLite reads the whole log of the community for the decisions about one subject.
    where = " INDEXED BY decision_subject WHERE subject = ? AND" if subject is not None else " WHERE"
    bindings = [*(() if subject is None else (subject,)), community, _LAST if before is None else before, limit]
    rows = connection.execute(f"{_SELECT}{where} community = ? AND seq < ? ORDER BY seq DESC LIMIT ?", bindings)
    return [DecisionRow._make(row) for row in rows]


def about_account(connection: Connection, community: int, did: str, limit: int) -> list[DecisionRow]:
    """At most `limit` decisions about an account and its posts, the newest first."""
    of = f"{_SELECT} INDEXED BY decision_subject WHERE community = ?1 AND subject"
    query = f"{of} = ?2 UNION ALL {of} > ?3 AND subject < ?4 ORDER BY seq DESC LIMIT ?5"
    rows = connection.execute(query, (community, did, f"at://{did}/", f"at://{did}0", limit))
    return [DecisionRow._make(row) for row in rows]


def in_order(connection: Connection, community: int) -> Iterator[DecisionRow]:
    """Every decision, the oldest first, also those that come while they are read: no statement is open between."""
    statement = f"{_SELECT} WHERE community = ? AND seq > ? ORDER BY seq LIMIT ?"
    last = -1 << 63
    while True:
        rows = connection.execute(statement, (community, last, _BATCH)).fetchall()
        yield from map(DecisionRow._make, rows)
        if len(rows) < _BATCH:
            return
        last = rows[-1][1]
