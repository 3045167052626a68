"""Who works on a report: somebody is just looking at it, which ends of itself, or it is theirs until it is closed or
given back. Any number may look; one holds it. Source: tools.ozone.report.assignModerator, unassignModerator.
"""

from communities.report_activities import Doing, do
from communities.report_state import Act, State, may_become
from models import report_assignments, report_cases
from models.database import Connection
from models.queues import NO_QUEUE
from models.report_assignments import AssignmentRow, Numbered
from models.report_cases import CaseRow

LOOKING_MICROS = 5 * 60 * 1_000_000
"""For how long somebody is looking at a report who says so."""


class AlreadyAssignedError(Exception):
    """Somebody else holds the report."""


class NotAssignableError(Exception):
    """A report that is closed is nobody's; and who holds none cannot give it back."""


def look(connection: Connection, number: int, did: str, made_by: str, queue: int, now: int) -> Numbered:
    """Somebody looks at a report, also at one that is closed; whoever holds it does so anyway. Call inside a write."""
    row = _row(connection, number)
    held = report_assignments.held(connection, number)
    if held is not None and held[1].did == did:
        return held
    until = now + LOOKING_MICROS
    last = report_assignments.looking(connection, number, did)
    if last is not None:
        since = last[1].at if _lasts(last[1], now) else now
        again = last[1]._replace(at=since, until=until, queue=queue)
        report_assignments.change(connection, last[0], again)
        return last[0], again
    found = AssignmentRow(number, row.scope, did, now, until, 0, queue, made_by)
    return report_assignments.add(connection, found), found


def hold(connection: Connection, number: int, did: str, doing: Doing, queue: int, now: int) -> Numbered:
    """A report is somebody's; what is escalated stays so. Call inside a write. `doing`: as an activity.

    Raises AlreadyAssignedError, NotAssignableError.
    """
    row = _row(connection, number)
    held = report_assignments.held(connection, number)
    if held is not None:
        if held[1].did != did:
            raise AlreadyAssignedError("The report is assigned to another moderator.")
        return held
    state = State(row.state)
    if state is State.CLOSED:
        raise NotAssignableError("The report is closed.")
    stop_looking(connection, number, did, now)
    begun = AssignmentRow(number, row.scope, did, now, None, 1, queue, doing.actor)
    assignment = report_assignments.add(connection, begun)
    report_cases.change(connection, number, row._replace(assignee=did))
    target = State.ASSIGNED if may_become(state, State.ASSIGNED) else state
    do(connection, number, _with(doing, assignment, did), now, target=target)
    return assignment, begun


def give_back(connection: Connection, number: int, actor: str, now: int) -> Numbered:
    """A report is nobody's: it is in its queue again, or open; what is escalated stays so. Call inside a write.

    Raises NotAssignableError.
    """
    row = _row(connection, number)
    held = report_assignments.held(connection, number)
    if held is None:
        raise NotAssignableError("The report is assigned to nobody.")
    assignment, begun = held
    if State(row.state) is State.ASSIGNED:
        target = State.OPEN if row.queue == NO_QUEUE else State.QUEUED
        doing = Doing(Act.QUEUE, actor, meta={"queueId": row.queue})
    else:
        target, doing = State(row.state), Doing(Act.NOTE, actor)
    _, activity = do(connection, number, _with(doing, assignment, begun.did), now, target=target)
    ended = begun._replace(until=activity.at)
    report_assignments.change(connection, assignment, ended)
    report_cases.change(connection, number, _row(connection, number)._replace(assignee=""))
    return assignment, ended


def stop_looking(connection: Connection, number: int, did: str, now: int) -> Numbered | None:
    """Somebody does not look at a report any more; None if they did not. Call inside a write."""
    last = report_assignments.looking(connection, number, did)
    if last is None or not _lasts(last[1], now):
        return None
    ended = last[1]._replace(until=now)
    report_assignments.change(connection, last[0], ended)
    return last[0], ended


def _lasts(row: AssignmentRow, now: int) -> bool:
    return row.until is None or row.until > now


def _with(doing: Doing, assignment: int, did: str) -> Doing:
    """The activity with which assignment it belongs to, and whose that is."""
    meta = {**doing.meta, "assignmentId": assignment, "moderatorDid": did}
    return Doing(doing.act, doing.actor, doing.internal_note, doing.public_note, doing.automated, meta)


def _row(connection: Connection, number: int) -> CaseRow:
    row = report_cases.find(connection, number)
    if row is None:
        raise ValueError(f"there is no report {number}")
    return row
