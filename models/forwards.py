"""Rows of what moderators forward to other labelers (`forward`). Plain functions over a connection; what changes
anything is called inside a write. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection

WAITING, SENT, FAILED, WITHDRAWN = "waiting", "sent", "failed", "withdrawn"


class ForwardRow(NamedTuple):
    """One subject, one scope, one labeler; see the table."""

    id: int
    scope: int
    subject: int
    recipient: str
    asked_by: str
    comment: str
    reason_type: str
    cid: str
    at: int
    state: str
    tries: int
    next_at: int
    fault: str = ""
    remote: int | None = None
    done_at: int | None = None


_COLUMNS = ", ".join(ForwardRow._fields)
_PUT = (
    "INSERT INTO forward (scope, subject, recipient, asked_by, comment, reason_type, cid, at, next_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, subject, recipient) DO UPDATE SET"
    " asked_by = excluded.asked_by, comment = excluded.comment, reason_type = excluded.reason_type,"
    " cid = excluded.cid, at = excluded.at, state = 'waiting', tries = 0, next_at = excluded.next_at, fault = '',"
    " remote = NULL, done_at = NULL WHERE state IN ('failed', 'withdrawn')"
)


def put(
    connection: Connection,
    place: tuple[int, int, str],
    asked_by: str,
    comment: str,
    reason_type: str,
    cid: str,
    now: int,
) -> None:
    """Let it wait; again, if it has failed or was withdrawn. `place`: scope, subject and labeler."""
    connection.execute(_PUT, (*place, asked_by, comment, reason_type, cid, now, now))


def find(connection: Connection, number: int) -> ForwardRow | None:
    """One by its number."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM forward WHERE id = ?", (number,)).fetchone()
    return ForwardRow(*row) if row else None


def find_at(connection: Connection, place: tuple[int, int, str]) -> ForwardRow | None:
    """That of a scope, a subject and a labeler."""
    query = f"SELECT {_COLUMNS} FROM forward WHERE scope = ? AND subject = ? AND recipient = ?"
    row = connection.execute(query, place).fetchone()
    return ForwardRow(*row) if row else None


def due(connection: Connection, now: int) -> ForwardRow | None:
    """That which waits for the longest time of those that are to be sent now."""
    query = f"SELECT {_COLUMNS} FROM forward WHERE state = 'waiting' AND next_at <= ? ORDER BY next_at, id LIMIT 1"
    row = connection.execute(query, (now,)).fetchone()
    return ForwardRow(*row) if row else None


def tried(connection: Connection, number: int, tries: int, next_at: int) -> None:
    """It is about to be sent, for the so manieth time."""
    connection.execute("UPDATE forward SET tries = ?, next_at = ? WHERE id = ?", (tries, next_at, number))


def blame(connection: Connection, number: int, fault: str) -> None:
    """Note what the last try came to; it goes on waiting."""
    connection.execute("UPDATE forward SET fault = ? WHERE id = ?", (fault, number))


def settle(
    connection: Connection, number: int, state: str, now: int, fault: str = "", remote: int | None = None
) -> None:
    """Let that have become of it."""
    connection.execute(
        "UPDATE forward SET state = ?, done_at = ?, fault = ?, remote = ? WHERE id = ?",
        (state, now, fault, remote, number),
    )


def count_waiting(connection: Connection) -> int:
    """How many wait."""
    return int(connection.execute("SELECT count(*) FROM forward WHERE state = 'waiting'").fetchone()[0])


def count_since(connection: Connection, state: str, since: int) -> int:
    """How many have come to such an end since a moment."""
    query = "SELECT count(*) FROM forward WHERE state = ? AND state != 'waiting' AND done_at >= ?"
    return int(connection.execute(query, (state, since)).fetchone()[0])
