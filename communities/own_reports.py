"""What became of somebody's own reports, for the reporter: where each is received, looked at or closed, and with what
outcome.

It goes by what was decided about the subject since the report, in each place by itself. Nothing of it says who decided,
who else has reported the subject, or how often. Of an appeal the outcome is that of the appeal.
"""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from communities.casebook import standing
from communities.mod_event import Kind
from communities.reasons import APPEALS
from models import appeals, own_reports
from models.database import Connection
from models.mod_events import key_of
from models.own_reports import Decided, OwnRow, ReachedRow
from models.report_cases import ASSIGNED, CLOSED, ESCALATED


class State(StrEnum):
    """How a report stands in a place."""

    RECEIVED = "received"
    IN_REVIEW = "inReview"
    CLOSED = "closed"


class Outcome(StrEnum):
    """What came of a report. DUPLICATE: it was taken out before this report came. REVERSED: what was done was taken
    back. The last two are of appeals.
    """

    NO_ACTION = "noAction"
    LABELLED = "labelled"
    REMOVED = "removed"
    REVERSED = "reversed"
    DUPLICATE = "duplicate"
    GRANTED = "granted"
    DENIED = "denied"


class Told(NamedTuple):
    """How a report stands in a scope. `note`: what those who decided say of it; times are microseconds."""

    scope: int
    state: State
    outcome: Outcome | None = None
    note: str = ""
    closed_at: int | None = None


_CLOSING = frozenset((Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN, Kind.ACKNOWLEDGE))


def told(connection: Connection, report: OwnRow) -> list[Told]:
    """How a report stands in each scope that it has reached."""
    of_appeal = report.reason_type in APPEALS
    return [
        _of_appeal(connection, report, row) if of_appeal else _of_report(connection, report, row)
        for row in own_reports.reached(connection, report.id)
    ]


def _of_report(connection: Connection, report: OwnRow, row: ReachedRow) -> Told:
    since = own_reports.decided_since(connection, row, report.last_at)
    closing = next((one.at for one in since if one.type in _CLOSING), None)
    if row.state != CLOSED and closing is None:
        return Told(row.scope, _waits(row))
    found = outcome(since)
    if found is Outcome.NO_ACTION:
        found = _by_others(connection, report, row)
    return Told(row.scope, State.CLOSED, found, row.note, row.closed_at or closing)


def _by_others(connection: Connection, report: OwnRow, row: ReachedRow) -> Outcome:
    """The outcome where nothing was done since the report: it may have been done before, or by the site."""
    status = standing(connection, row.scope, key_of(report.did, report.uri, report.convo))
    if status is not None and status.takendown:
        return Outcome.DUPLICATE
    if report.convo:
        return Outcome.NO_ACTION
    for uri in {report.uri, ""}:
        if appeals.is_down(connection, report.did, uri):
            since = appeals.last_takedown(connection, report.did, uri)
            return Outcome.REMOVED if since is None or since >= report.last_at else Outcome.DUPLICATE
    return Outcome.NO_ACTION


def _of_appeal(connection: Connection, report: OwnRow, row: ReachedRow) -> Told:
    found = [
        one
        for one in appeals.newest_about(connection, report.did, report.uri, max(row.scope, 0))
        if one.labeler == report.labeler and one.last_at >= report.at
    ]
    # The one that it began or was merged with.
    mine = min(found, default=None)
    if mine is not None and mine.closed_at is not None:
        return Told(row.scope, State.CLOSED, Outcome(mine.state), mine.note, mine.closed_at)
    return Told(row.scope, State.IN_REVIEW if mine is None and row.state == CLOSED else _waits(row))


def _waits(row: ReachedRow) -> State:
    return State.IN_REVIEW if row.state in (ASSIGNED, ESCALATED) else State.RECEIVED


def outcome(since: Iterable[Decided]) -> Outcome:
    """What decisions about a subject come to, in their order. Pure."""
    found = Outcome.NO_ACTION
    for one in since:
        if one.type == Kind.TAKEDOWN:
            found = Outcome.REMOVED
        elif one.type == Kind.REVERSE_TAKEDOWN and found is Outcome.REMOVED:
            found = Outcome.REVERSED
        elif one.type == Kind.LABEL and found is not Outcome.REMOVED:
            said = json.loads(one.said)
            if said.get("createLabelVals"):
                found = Outcome.LABELLED
            elif found is Outcome.LABELLED:
                found = Outcome.REVERSED
    return found
