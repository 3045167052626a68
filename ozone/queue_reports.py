"""tools.ozone.queue.routeReports, tools.ozone.report.reassignQueue: reports are put into queues, by what they are or by
whoever works on them.

A report of a community may concern the teams of several labelers: each puts it into its own queues, and takes it out of
any. Source: the reference server.
"""

from collections.abc import Mapping
from typing import Any

from communities.queue_routing import move, route
from models import queued_cases
from models.queues import NO_QUEUE
from models.report_cases import CLOSED
from ozone.queues import live_queue
from ozone.report_views import reports, seen
from ozone.roles import Role
from ozone.visit import Answer, Procedure, Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest, Refused

MOST_ROUTED = 5000
"""Numbers of reports that one call looks at."""
MOST_OF_COMMENT = 10_000
"""Bytes (ours)."""


def route_reports(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Reports with these numbers that are in no queue wait in the one that is for them, if there is one. Doing it again
    changes nothing. Raises Refused (OutOfRange).
    """
    visit.moderate("route reports")
    start, end = body["startReportId"], body["endReportId"]
    if not 0 <= end - start < MOST_ROUTED:
        message = f"endReportId must not be below startReportId, nor above it by {MOST_ROUTED} or more."
        raise Refused("OutOfRange", message)
    done = route(visit.connection, visit.labeler, visit.scopes, (start, end), visit.caller.did, visit.now)
    return {"assigned": done.assigned, "unmatched": done.unmatched}


def reassign_queue(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A report waits in another queue from now on, or (-1) in none. Raises InvalidRequest, Refused (ReportNotFound,
    ReportClosed, AlreadyInTargetQueue, QueueNotFound, QueueDisabled).
    """
    if visit.caller.team is None or visit.caller.team < Role.TRIAGE:
        raise AuthenticationRequired("Must be of the team, and work on reports, to put a report into a queue")
    if len(body.get("comment", "").encode()) > MOST_OF_COMMENT:
        raise InvalidRequest(f"comment may have {MOST_OF_COMMENT} bytes")
    number, target = body["reportId"], body["queueId"]
    case = queued_cases.find(visit.connection, number)
    if case is None or seen(visit, number) is None:
        raise Refused("ReportNotFound", "There is no report with that id.")
    if case.state == CLOSED:
        raise Refused("ReportClosed", "The report is closed: open it again first.")
    if case.queue == target:
        raise Refused("AlreadyInTargetQueue", "The report is in that queue already.")
    if target != NO_QUEUE:
        queue = live_queue(visit, target)
        if queue is None:
            raise Refused("QueueNotFound", "There is no queue with that id.")
        if not queue.enabled:
            raise Refused("QueueDisabled", "The queue is disabled, and takes no reports.")
    note = body.get("comment", "")
    move(visit.connection, [(case.id, case.state)], target, visit.caller.did, visit.now, note=note)
    return {"report": reports(visit, [number])[0]}


PROCEDURES = (
    Procedure("queue.routeReports", route_reports),
    Procedure("report.reassignQueue", reassign_queue),
)
