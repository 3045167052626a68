"""What moderators are shown of reports, as the lexicon has it: each with how its subject and its reporter stand in the
scope that it has reached.

Source: tools.ozone.report.defs#reportView, tools.ozone.moderation.defs#subjectView.
"""

from collections.abc import Iterable
from typing import Any

from models import mod_events, report_assignments, report_cases, subject_statuses
from models.mod_events import SubjectKey
from models.report_cases import CaseRow, Told
from ozone import views
from ozone.callers import team_role
from ozone.queues import view_of
from ozone.team import member
from ozone.views import Stands
from ozone.visit import Answer, Visit, moment
from xrpc.errors import InvalidRequest, MemberDisabled
from xrpc.params import IntParam
from xrpc.syntax import is_did, parse_at_uri

DEFS = "tools.ozone.report.defs#"
NUMBER = IntParam(0, 10**18 - 1, required=True)
"""The number of a report, as a parameter."""
_Place = tuple[int, SubjectKey]


def seen(visit: Visit, number: int) -> CaseRow | None:
    """A report that the caller looks into; None: there is none for them."""
    row = report_cases.find(visit.connection, number)
    return row if row is not None and visit.scopes.shows(row.scope, row.about, row.reason_type) else None


def subject_key(text: str) -> SubjectKey:
    """A subject by its DID or at-uri. Raises InvalidRequest."""
    if is_did(text):
        return SubjectKey(text)
    parts = parse_at_uri(text)
    if parts is None or not parts.rkey or not is_did(parts.authority):
        raise InvalidRequest("subject must be a DID, or the at-uri of a record under a DID")
    return mod_events.key_of(parts.authority, text)


def moderator(visit: Visit, did: str) -> Answer:
    """Who of the team somebody is, as a field of a view; empty where they are nobody of it, and for whoever is here by
    a community alone: for them there is no team.
    """
    found = member(visit, did) if visit.caller.team is not None else None
    return {"moderator": found} if found is not None else {}


def reports(visit: Visit, numbers: Iterable[int]) -> list[Answer]:
    """Reports, in the order of their numbers."""
    found = report_cases.told(visit.connection, numbers)
    places = {place: None for one in found for place in ((one.row.scope, one.key), _reporter(one))}
    standing = _standing(visit, places)
    waiting: dict[tuple[int, int], int] = {}
    automates: dict[str, bool] = {}
    queues = {number: view_of(visit, number) for number in {one.row.queue for one in found}}
    views = []
    for one in found:
        place = (one.row.scope, one.row.subject)
        if place not in waiting:
            waiting[place] = report_cases.count_waiting(visit.connection, visit.scopes, *place)
        if one.tool and one.reporter not in automates:
            automates[one.reporter] = _is_of_team(visit, one.reporter)
        automated = bool(one.tool) and automates[one.reporter]
        view = _report(visit, one, standing, waiting[place] - (one.row.state != "closed"), automated)
        queue = queues[one.row.queue]
        views.append(view | ({"queue": queue} if queue is not None else {}))
    return views


def _report(visit: Visit, one: Told, standing: dict[_Place, Answer], related: int, automated: bool) -> Answer:
    row, actions = one.row, _actions(visit, one.row)
    view: Answer = {
        "id": one.id,
        "eventId": one.id,
        "status": row.state,
        "subject": _subject(one.key, standing.get((row.scope, one.key))),
        "reportType": row.reason_type,
        "reportedBy": one.reporter,
        "reporter": _subject(SubjectKey(one.reporter), standing.get(_reporter(one))),
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
        "actionEventIds": [action["id"] for action in actions],
        "actions": actions,
        "relatedReportCount": related,
        "isMuted": bool(row.muted),
        "isAutomated": automated,
    }
    if one.reason:
        view["comment"] = one.reason
    if row.queued_at is not None:
        view["queuedAt"] = moment(row.queued_at)
    if row.note:
        view["actionNote"] = row.note
    if "status" in view["subject"]:
        view["subjectStatus"] = view["subject"]["status"]
    if row.assignee:
        held = report_assignments.last_held(visit.connection, one.id, row.assignee)
        if held is not None:
            view["assignment"] = {
                "did": row.assignee,
                "assignedAt": moment(held[1].at),
                **moderator(visit, row.assignee),
            }
    return view


def _reporter(one: Told) -> _Place:
    return one.row.scope, SubjectKey(one.reporter)


def _subject(key: SubjectKey, status: Answer | None) -> dict[str, Any]:
    kind = "chat" if key.convo else "record" if key.path else "account"
    return {"type": kind, "subject": key.uri} | ({"status": status} if status is not None else {})


def _standing(visit: Visit, places: Iterable[_Place]) -> dict[_Place, Answer]:
    """How subjects stand in scopes, where anything was said of them."""
    found = []
    for scope, key in places:
        if not visit.scopes.sums.shows(scope, key.about):
            continue
        subject = mod_events.find_subject(visit.connection, key)
        row = subject_statuses.find(visit.connection, scope, subject) if subject is not None else None
        if row is not None:
            found.append(Stands(row[0], scope, key, row[1]))
    shown = views.statuses(visit, found)
    return {(one.scope, one.key): view for one, view in zip(found, shown, strict=True)}


def _actions(visit: Visit, row: CaseRow) -> list[Answer]:
    """The events by which a report was closed or escalated, the newest first."""
    told = (action(visit, number) for number in row.events[::-1])
    return [views.event(visit, one) for one in told if one is not None]


def action(visit: Visit, number: int) -> views.Told | None:
    """An event by which a report was closed or escalated; None: there is none for the caller. It may be of another
    scope than the report, where whoever did both decides as well.
    """
    row = mod_events.find(visit.connection, number)
    key = mod_events.subject(visit.connection, row.subject) if row is not None else None
    if row is None or key is None or not visit.scopes.shows(row.scope, key.about):
        return None
    return views.Told(number, key, row)


def _is_of_team(visit: Visit, did: str) -> bool:
    """Whether a program of somebody's is one of the team's."""
    try:
        return team_role(visit.connection, visit.labeler, visit.site, did) is not None
    except MemberDisabled:
        return False
