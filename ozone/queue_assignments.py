"""tools.ozone.queue.*: who of the team looks after which queue.

Moderators take queues themselves, admins give them to others of the team. Nothing is forbidden to who looks after none:
it says whose work it is. Source: the reference server; bounds are ours.
"""

from collections.abc import Mapping
from typing import Any

from models import queue_assignments as rows
from models.queue_assignments import AssignmentRow
from models.queues import QueueRow
from models.queues import find as find_queue
from ozone.callers import team_role
from ozone.queues import live_queue, views
from ozone.roles import Role
from ozone.team import member
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import InvalidRequest, MemberDisabled, Refused
from xrpc.params import BoolParam, DidParam, IntParam, ListParam, Params, StringParam
from xrpc.syntax import is_did

MOST_OF_QUEUE = 100
"""Who look after one queue (ours)."""
MOST_ASKED = 100
_LAST = (1 << 63) - 1
_MOST_DIGITS = 10**18 - 1


def get_assignments(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of who looks after which queue, the newest first; also who did, unless `onlyActive`. Raises Refused
    (InvalidCursor).
    """
    active, limit = params["onlyActive"], params["limit"]
    queues, dids = sorted(set(params["queueIds"])), sorted(set(params["dids"]))
    scope = visit.scope("queue assignments", active, queues, dids)
    (before,) = cursor.decode(visit.key, scope, params["cursor"], 1) if "cursor" in params else (_LAST,)
    if visit.caller.team is None:
        return {"assignments": []}
    found = rows.page(visit.connection, visit.labeler, before, limit + 1, active=active, queues=queues, dids=dids)
    answer: Answer = {"assignments": _views(visit, found[:limit])}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, found[limit - 1].id)
    return answer


def assign_moderator(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Somebody of the team looks after a queue from now on; if they do already, that stays as it is. Raises Refused
    (InvalidAssignment), InvalidRequest.
    """
    did, queue = body["did"], live_queue(visit, body["queueId"])
    _may(visit, did)
    if queue is None or not queue.enabled:
        raise Refused("InvalidAssignment", "There is no queue with that id, or it is disabled.")
    if not is_did(did) or not _works(visit, did):
        raise Refused("InvalidAssignment", "The account is nobody of the team who works on reports.")
    row = rows.find(visit.connection, queue.id, did)
    if row is None:
        if rows.count(visit.connection, queue.id) >= MOST_OF_QUEUE:
            raise InvalidRequest(f"{MOST_OF_QUEUE} may look after a queue; take somebody off first")
        row = rows.add(visit.connection, visit.labeler, queue.id, did, visit.now, visit.caller.did)
    return _views(visit, [row])[0]


def unassign_moderator(visit: Visit, body: Mapping[str, Any]) -> None:
    """Somebody looks after a queue no more. Raises Refused (InvalidAssignment)."""
    did, queue = body["did"], live_queue(visit, body["queueId"])
    _may(visit, did)
    if queue is None or not rows.end(visit.connection, queue.id, did, visit.now, visit.caller.did):
        raise Refused("InvalidAssignment", "The account does not look after a queue with that id.")


def _may(visit: Visit, did: str) -> None:
    """Raise AuthenticationRequired unless the caller may say whether this account looks after a queue."""
    visit.moderate("assign somebody to a queue")
    if did != visit.caller.did:
        visit.administer("assign others to a queue")


def _works(visit: Visit, did: str) -> bool:
    """Whether an account is of the team, and does more there than to read."""
    try:
        role = team_role(visit.connection, visit.labeler, visit.site, did)
    except MemberDisabled:
        return False
    return role is not None and role >= Role.TRIAGE


def _views(visit: Visit, found: list[AssignmentRow]) -> list[Answer]:
    rows_of = {number: find_queue(visit.connection, visit.labeler, number) for number in {row.queue for row in found}}
    queues: list[QueueRow] = [row for row in rows_of.values() if row is not None]
    shown = {view["id"]: view for view in views(visit, queues)}
    return [_view(visit, row, shown[row.queue]) for row in found]


def _view(visit: Visit, row: AssignmentRow, queue: Answer) -> Answer:
    view: Answer = {"id": row.id, "did": row.did, "queue": queue, "startAt": moment(row.at)}
    who = member(visit, row.did)
    if who is not None:
        view["moderator"] = who
    if row.ended_at is not None:
        view["endAt"] = moment(row.ended_at)
    return view


QUERIES = (
    Query(
        "queue.getAssignments",
        Params(
            {
                "onlyActive": BoolParam(default=True),
                "queueIds": ListParam(IntParam(0, _MOST_DIGITS), max_items=MOST_ASKED),
                "dids": ListParam(DidParam(), max_items=MOST_ASKED),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        get_assignments,
    ),
)
PROCEDURES = (
    Procedure("queue.assignModerator", assign_moderator),
    Procedure("queue.unassignModerator", unassign_moderator),
)
