"""tools.ozone.report.queryReports, getReport, getLatestReport, closeReports: what was reported to those whose matters
the caller looks into, and how it stands. Of all else they learn nothing, not even that it is there.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from communities.log import Acting
from communities.queue_match import ACCOUNT, CONVERSATION, MESSAGE, RECORD
from communities.report_actions import close_reports
from communities.report_state import State
from models import mod_events, report_cases, report_queries
from models.report_queries import Order, Wanted
from ozone.report_views import NUMBER, reports, seen, subject_key
from ozone.visit import Answer, Procedure, Query, Visit
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import BoolParam, DidParam, IntParam, ListParam, Params, StringParam
from xrpc.syntax import MAX_DATETIME, MAX_NSID, parse_datetime

MOST_TYPES, LONGEST_TYPE = 100, 200
"""Reasons that are named in a call (ours): there are 47."""
MOST_NOTE = 10_000
"""Characters of a note (ours)."""
MILLISECOND = 1000
QUEUE = IntParam(-1, 10**18 - 1)
TYPES = ListParam(StringParam(max_length=LONGEST_TYPE), max_items=MOST_TYPES)


def query_reports(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of reports. Raises Refused (InvalidCursor), InvalidRequest."""
    wanted = _wanted(visit, params)
    order = Order(params["sortField"] == "updatedAt", params["sortDirection"] == "desc")
    scope, limit = visit.scope("reports", wanted, order, params.get("subject")), params["limit"]
    behind = cursor.decode(visit.key, scope, params["cursor"], 2) if "cursor" in params else None
    if wanted.subject is None and "subject" in params:
        return {"reports": []}
    found = report_queries.page(
        visit.connection, visit.scopes, wanted, order, (behind[0], behind[1]) if behind else None, limit + 1
    )
    answer: Answer = {"reports": reports(visit, [number for _, number in found[:limit]])}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, *found[limit - 1])
    return answer


def get_report(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A report. Raises Refused (NotFound)."""
    if seen(visit, params["id"]) is None:
        raise Refused("NotFound", "There is no such report.")
    return reports(visit, [params["id"]])[0]


def get_latest_report(visit: Visit, _: Mapping[str, Any]) -> Answer:
    """The report that came last. Raises Refused (NotFound)."""
    found = report_queries.page(visit.connection, visit.scopes, Wanted(), Order(), None, 1)
    if not found:
        raise Refused("NotFound", "There is no report.")
    return {"report": reports(visit, [found[0][1]])[0]}


def close(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """The reports of a subject are closed, wherever the caller may do that. Raises InvalidRequest."""
    visit.work("close reports")
    note = checked_note(body, "internalNote")
    types, automated = tuple(body.get("reportTypes", ())), body.get("isAutomated", False)
    subject = mod_events.find_subject(visit.connection, subject_key(body["subject"]))
    scopes = report_cases.scopes_waiting(visit.connection, subject) if subject is not None else []
    closed: list[int] = []
    role = Acting.AUTOMATION if automated else Acting.SITE if visit.caller.team else Acting.MODERATOR
    for scope in scopes if "reportTypes" not in body or types else ():
        if subject is not None:
            closed += close_reports(
                visit.connection, scope, subject, types, visit.caller.did, role, note, visit.now,
                automated=automated, theirs=visit.works_on,
            )  # fmt: skip
    return {"closedCount": len(closed), "reportIds": sorted(closed)}


def checked_note(body: Mapping[str, Any], name: str) -> str:
    """A note of a body. Raises InvalidRequest."""
    note = str(body.get(name, ""))
    if len(note) > MOST_NOTE or "\0" in note:
        raise InvalidRequest(f"{name} may have {MOST_NOTE} characters, and no NUL")
    return note


def moment_of(params: Mapping[str, Any], name: str) -> int | None:
    """The beginning of the millisecond that the parameters name, for that is how exactly clients are told times; None:
    they name none. What was before 1970 is 1970.
    """
    return (parse_datetime(params[name]) or 0) // MILLISECOND * MILLISECOND if name in params else None


def _wanted(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    """What is asked for. A subject of which nothing was ever said stays None."""
    after = moment_of(params, "reportedAfter")
    wanted = Wanted(
        muted=params["isMuted"],
        queue=params.get("queueId"),
        reason_types=tuple(sorted(set(params["reportTypes"]))),
        did=params.get("did", ""),
        after=None if after is None else after + MILLISECOND - 1,
        before=moment_of(params, "reportedBefore"),
        assignee=params.get("assignedTo", ""),
    )
    if "status" in params:
        if params["status"] not in set(State):
            raise InvalidRequest(f"status must be one of {', '.join(State)}")
        wanted = replace(wanted, states=(params["status"],))
    if "subject" in params:
        wanted = replace(wanted, subject=mod_events.find_subject(visit.connection, subject_key(params["subject"])))
    kind, collections = params.get("subjectType"), tuple(sorted(set(params["collections"])))
    if kind in (ACCOUNT, CONVERSATION, MESSAGE):
        return replace(wanted, abouts=(kind,))  # what is no record is in no collection
    if kind not in (None, RECORD):
        raise InvalidRequest(f"subjectType must be one of {ACCOUNT}, {RECORD}, {MESSAGE}, {CONVERSATION}")
    return replace(wanted, abouts=collections, records=kind == RECORD)


_TIME = StringParam(max_length=MAX_DATETIME)
QUERIES = (
    Query(
        "report.queryReports",
        Params(
            {
                "queueId": QUEUE,
                "reportTypes": TYPES,
                "status": StringParam(max_length=20),
                "subject": StringParam(max_length=8000),
                "did": DidParam(),
                "subjectType": StringParam(max_length=20),
                "collections": ListParam(StringParam(max_length=MAX_NSID), max_items=20),
                "reportedAfter": _TIME,
                "reportedBefore": _TIME,
                "isMuted": BoolParam(default=False),
                "assignedTo": DidParam(),
                "sortField": StringParam(max_length=20, default="createdAt"),
                "sortDirection": StringParam(max_length=4, default="desc"),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        query_reports,
        {"status": "open"},
    ),
    Query("report.getReport", Params({"id": NUMBER}), get_report),
    Query("report.getLatestReport", Params(), get_latest_report),
)
PROCEDURES = (Procedure("report.closeReports", close),)
