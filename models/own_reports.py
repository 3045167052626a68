"""Rows of somebody's own reports and of what was decided since. Plain functions over a connection. Times are
microseconds.
"""

from typing import NamedTuple

from models.database import Connection

MOST_EVENTS = 100
"""Decisions about one subject behind a report that are looked at, the first."""


class OwnRow(NamedTuple):
    """A report as its reporter made it; the columns of `report`."""

    id: int
    at: int
    last_at: int
    reason_type: str
    reason: str
    did: str
    uri: str
    cid: str
    convo: str
    labeler: str


class ReachedRow(NamedTuple):
    """A report where it came to; the columns of `report_case`."""

    id: int
    scope: int
    subject: int
    state: str
    closed_at: int | None
    note: str


class Decided(NamedTuple):
    """An event by which something was decided. `said`: JSON."""

    type: str
    at: int
    said: str


_PAGE = (
    f"SELECT {', '.join(OwnRow._fields)} FROM report WHERE reporter = ? AND (at, id) < (?, ?)"
    " ORDER BY at DESC, id DESC LIMIT ?"
)
_REACHED = f"SELECT {', '.join(ReachedRow._fields)} FROM report_case WHERE report = ? ORDER BY scope"
_SINCE = (
    "SELECT type, at, said FROM mod_event INDEXED BY mod_event_decided WHERE subject = ? AND scope = ? AND id > ?"
    " AND at >= ? AND type IN ('modEventTakedown', 'modEventReverseTakedown', 'modEventLabel', 'modEventAcknowledge')"
    f" ORDER BY id LIMIT {MOST_EVENTS}"
)


def page(connection: Connection, reporter: str, before: tuple[int, int], limit: int) -> list[OwnRow]:
    """Reports that an account has made, the newest first: those before a time and number."""
    return [OwnRow._make(row) for row in connection.execute(_PAGE, (reporter, *before, limit)).fetchall()]


def reached(connection: Connection, report: int) -> list[ReachedRow]:
    """Where a report came to, by scope."""
    return [ReachedRow._make(row) for row in connection.execute(_REACHED, (report,)).fetchall()]


def decided_since(connection: Connection, row: ReachedRow, since: int) -> list[Decided]:
    """What was decided there about the subject behind the report, at `since` or later, in order."""
    rows = connection.execute(_SINCE, (row.subject, row.scope, row.id, since)).fetchall()
    return [Decided._make(one) for one in rows]
