"""tools.ozone.report.createActivity, listActivities, queryActivities: what is done with reports, step by step."""

import json
from collections.abc import Mapping
from typing import Any

from communities.report_activities import Doing, do
from communities.report_assignments import hold
from communities.report_state import Act, ReportStateError, State, after
from models import report_activities as rows
from models.report_activities import Numbered
from ozone.report_views import DEFS, NUMBER, action, moderator, reports, seen
from ozone.reports import MILLISECOND, checked_note, moment_of
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import IntParam, ListParam, Params, StringParam
from xrpc.syntax import MAX_DATETIME, is_did

_BY_TYPE = {DEFS + act: act for act in Act} | {act.value: act for act in Act}
_ALWAYS = (1 << 63) - 1
_LIMIT = IntParam(1, 100, default=50)


def create_activity(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Do something with a report; whoever says that it is assigned holds it from then on.

    Raises InvalidRequest, and Refused: ReportNotFound, InvalidStateTransition, AlreadyInTargetState.
    """
    visit.work("do something with reports")
    named = [body[name] for name in ("reportId", "eventId") if name in body]
    if len(named) != 1:
        raise InvalidRequest("Exactly one of reportId and eventId must be given")
    number = named[0]
    row = seen(visit, number)
    if row is None:
        raise Refused("ReportNotFound", "There is no such report.")
    visit.work("do something with this report", row)
    doing = _doing(visit, body)
    try:
        target = after(State(row.state), doing.act)
        if target is State.ASSIGNED and doing.act is Act.ASSIGNMENT:
            hold(visit.connection, number, visit.caller.did, doing, row.queue, visit.now)
            activity = rows.of_case(visit.connection, number, None, 1)[0]
        else:
            activity = do(visit.connection, number, doing, visit.now)
    except ReportStateError as error:
        raise Refused(error.name, str(error)) from error
    return {"activity": _with_reports(visit, [activity])[0]}


def list_activities(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of what was done with a report, the newest first. Raises Refused (NotFound, InvalidCursor)."""
    number, limit = params["reportId"], params["limit"]
    scope = visit.scope("activities of", number)
    before = cursor.decode(visit.key, scope, params["cursor"], 1)[0] if "cursor" in params else None
    if seen(visit, number) is None:
        raise Refused("NotFound", "There is no such report.")
    found = rows.of_case(visit.connection, number, before, limit + 1)
    answer: Answer = {"activities": [_view(visit, one) for one in found[:limit]]}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, found[limit - 1][0])
    return answer


def query_activities(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of what was done with all reports, in the order of time. Raises Refused (InvalidCursor),
    InvalidRequest.
    """
    unknown = sorted(name for name in params["activityTypes"] if name not in _BY_TYPE)
    if unknown:
        raise InvalidRequest(f"activityTypes must be of {', '.join(Act)}")
    acts = tuple(sorted({_BY_TYPE[name] for name in params["activityTypes"]} or set(Act)))
    since, until = moment_of(params, "createdAfter") or 0, moment_of(params, "createdBefore")
    until = _ALWAYS if until is None else until + MILLISECOND - 1
    descending, limit = params["sortDirection"] == "desc", params["limit"]
    scope = visit.scope("activities", acts, since, until, descending)
    behind = cursor.decode(visit.key, scope, params["cursor"], 2) if "cursor" in params else None
    place = (behind[0], behind[1]) if behind else None
    found = rows.page(
        visit.connection, visit.scopes, acts, since, until, place, limit + 1, descending=descending
    )  # fmt: skip
    answer: Answer = {"activities": _with_reports(visit, found[:limit])}
    if len(found) > limit:
        last = found[limit - 1]
        answer["cursor"] = cursor.encode(visit.key, scope, last[1].at, last[0])
    return answer


def _doing(visit: Visit, body: Mapping[str, Any]) -> Doing:
    """What a body says is to be done. Raises InvalidRequest."""
    act = _BY_TYPE.get(body["activity"]["$type"]) if body["activity"]["$type"].startswith(DEFS) else None
    if act is None:
        raise InvalidRequest(f"activity must be one of {', '.join(DEFS + one for one in Act)}")
    internal, public = checked_note(body, "internalNote"), checked_note(body, "publicNote")
    if act is Act.NOTE and not internal and not public:
        raise InvalidRequest("A note says something: internalNote, publicNote or both")
    return Doing(act, visit.caller.did, internal, public, body.get("isAutomated", False))


def _with_reports(visit: Visit, found: list[Numbered]) -> list[Answer]:
    """Activities, each with the report as it stands now."""
    numbers = list(dict.fromkeys(row.report_case for _, row in found))
    shown = dict(zip(numbers, reports(visit, numbers), strict=True))
    return [_view(visit, one) | {"report": shown[one[1].report_case]} for one in found]


def _view(visit: Visit, one: Numbered) -> Answer:
    """An activity. What no account did (a rule, the command line) is the labeler's."""
    number, row = one
    activity = {"$type": DEFS + row.type} | ({} if row.type == Act.NOTE else {"previousStatus": row.previous})
    view: Answer = {
        "id": number,
        "reportId": row.report_case,
        "activity": activity,
        "isAutomated": bool(row.automated),
        "createdBy": row.actor if is_did(row.actor) else visit.did,
        "createdAt": moment(row.at),
    }
    meta = json.loads(row.meta)
    if "actionEventId" in meta and action(visit, meta["actionEventId"]) is None:
        del meta["actionEventId"]
    said = {"internalNote": row.internal_note, "publicNote": row.public_note, "meta": meta}
    return view | moderator(visit, row.actor) | {name: value for name, value in said.items() if value}


QUERIES = (
    Query(
        "report.listActivities",
        Params({"reportId": NUMBER, "limit": _LIMIT, "cursor": StringParam(max_length=cursor.MAX_LENGTH)}),
        list_activities,
    ),
    Query(
        "report.queryActivities",
        Params(
            {
                "activityTypes": ListParam(StringParam(max_length=100), max_items=2 * len(Act)),
                "createdAfter": StringParam(max_length=MAX_DATETIME),
                "createdBefore": StringParam(max_length=MAX_DATETIME),
                "sortDirection": StringParam(max_length=4, default="desc"),
                "limit": _LIMIT,
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        query_activities,
    ),
)
PROCEDURES = (Procedure("report.createActivity", create_activity),)
