"""Rows of reports as moderators work on them, one for each scope that a report reaches (`report_case`). Plain functions
over a connection; what changes anything is called inside a write. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection

OPEN, QUEUED, ASSIGNED, ESCALATED, CLOSED = "open", "queued", "assigned", "escalated", "closed"
"""The states of a report."""


class CaseRow(NamedTuple):
    """A report in a scope; the columns of `report_case` behind `id`. See there."""

    report: int
    scope: int
    subject: int
    at: int
    changed_at: int
    state: str
    queue: int = -1
    queued_at: int | None = None
    closed_at: int | None = None
    muted: int = 0
    note: str = ""
    actions: str = "[]"


COLUMNS = ", ".join(CaseRow._fields)
_INSERT = f"INSERT INTO report_case (id, {COLUMNS}) VALUES (?, {', '.join('?' * len(CaseRow._fields))})"


def put(connection: Connection, number: int, row: CaseRow) -> None:
    """Keep a report for those whom it reaches; `number`: of the event by which it does."""
    connection.execute(_INSERT, (number, *row))


def scopes(connection: Connection, report: int) -> set[int]:
    """The scopes that a report has reached."""
    return {scope for (scope,) in connection.execute("SELECT scope FROM report_case WHERE report = ?", (report,))}


def touch(connection: Connection, report: int, now: int) -> None:
    """A report was made again, while it waits."""
    connection.execute(
        "UPDATE report_case SET changed_at = ? WHERE report = ? AND state != 'closed'",
        (now, report),
    )
