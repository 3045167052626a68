"""tools.ozone.report.assignModerator, unassignModerator, getAssignments: who looks at a report just now, and whose it
is.
"""

from collections.abc import Mapping
from typing import Any

from communities.report_activities import Doing
from communities.report_assignments import (
    AlreadyAssignedError,
    NotAssignableError,
    give_back,
    hold,
    look,
    stop_looking,
)
from communities.report_state import Act
from models import report_assignments as rows
from models.queues import NO_QUEUE
from models.report_assignments import Numbered
from models.report_cases import CaseRow
from ozone.callers import caller
from ozone.queues import live_queue, view_of
from ozone.report_views import NUMBER, moderator, seen
from ozone.roles import Role
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import MemberDisabled, Refused
from xrpc.params import BoolParam, DidParam, IntParam, ListParam, Params, StringParam

MOST_NAMED = 50


def assign_moderator(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Somebody looks at a report, or holds it (`isPermanent`). Raises Refused: AlreadyAssigned, InvalidAssignment."""
    visit.work("assign reports")
    number, did = body["reportId"], body.get("did", visit.caller.did)
    row = _row(visit, number)
    if did != visit.caller.did:
        visit.administer("assign a report to somebody else")
        if not _works_on(visit, did, row):
            raise Refused("InvalidAssignment", "The account does not moderate what this report is about.")
    queue = _queue(visit, row, body.get("queueId"))
    if not body.get("isPermanent", False):
        return _view(visit, look(visit.connection, number, did, visit.caller.did, queue, visit.now))
    try:
        doing = Doing(Act.ASSIGNMENT, visit.caller.did)
        return _view(visit, hold(visit.connection, number, did, doing, queue, visit.now))
    except AlreadyAssignedError as error:
        raise Refused("AlreadyAssigned", str(error)) from error
    except NotAssignableError as error:
        raise Refused("InvalidAssignment", str(error)) from error


def unassign_moderator(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A report is nobody's; if it is nobody's already, the caller does not look at it any more.

    Raises Refused (InvalidAssignment), AuthenticationRequired where it is somebody else's.
    """
    visit.work("assign reports")
    number = body["reportId"]
    _row(visit, number)
    held = rows.held(visit.connection, number)
    if held is None:
        ended = stop_looking(visit.connection, number, visit.caller.did, visit.now)
        if ended is None:
            raise Refused("InvalidAssignment", "The report is assigned to nobody.")
        return _view(visit, ended)
    if held[1].did != visit.caller.did:
        visit.administer("take a report from somebody else")
    return _view(visit, give_back(visit.connection, number, visit.caller.did, visit.now))


def get_assignments(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of who looks at reports or holds them, the newest first. Raises Refused (InvalidCursor)."""
    active, limit = params["onlyActive"], params["limit"]
    cases, dids = sorted(set(params["reportIds"])), sorted(set(params["dids"]))
    scope = visit.scope("assignments", active, cases, dids)
    before = cursor.decode(visit.key, scope, params["cursor"], 1)[0] if "cursor" in params else None
    found = rows.page(
        visit.connection, visit.scopes, visit.now if active else None, cases, dids, before, limit + 1
    )  # fmt: skip
    answer: Answer = {"assignments": [_view(visit, one) for one in found[:limit]]}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, found[limit - 1][0])
    return answer


def _row(visit: Visit, number: int) -> CaseRow:
    """A report that the caller may work on. Raises Refused (InvalidAssignment), AuthenticationRequired."""
    row = seen(visit, number)
    if row is None:
        raise Refused("InvalidAssignment", "There is no such report.")
    visit.work("assign this report", row)
    return row


def _queue(visit: Visit, row: CaseRow, wanted: int | None) -> int:
    """By which queue a report comes to somebody. Raises Refused (InvalidAssignment)."""
    queue = row.queue if wanted is None else wanted
    if queue not in (NO_QUEUE, row.queue) and (visit.caller.team is None or live_queue(visit, queue) is None):
        raise Refused("InvalidAssignment", "There is no such queue.")
    return queue


def _works_on(visit: Visit, did: str, row: CaseRow) -> bool:
    """Whether somebody else may work on a report."""
    try:
        somebody = caller(visit.connection, visit.labeler, visit.declared, visit.site, did, visit.now)
    except MemberDisabled:
        return False
    role = somebody.role_in(row.scope, row.about, (row.reason_type,))
    return role is not None and role >= Role.TRIAGE


def _view(visit: Visit, one: Numbered) -> Answer:
    number, row = one
    view: Answer = {"id": number, "did": row.did, "reportId": row.report_case, "startAt": moment(row.at)}
    if row.until is not None:
        view["endAt"] = moment(row.until)
    queue = view_of(visit, row.queue)
    return view | moderator(visit, row.did) | ({"queue": queue} if queue is not None else {})


QUERIES = (
    Query(
        "report.getAssignments",
        Params(
            {
                "onlyActive": BoolParam(default=True),
                "reportIds": ListParam(IntParam(0, NUMBER.high), max_items=MOST_NAMED),
                "dids": ListParam(DidParam(), max_items=MOST_NAMED),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        get_assignments,
    ),
)
PROCEDURES = (
    Procedure("report.assignModerator", assign_moderator),
    Procedure("report.unassignModerator", unassign_moderator),
)
