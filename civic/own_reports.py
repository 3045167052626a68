"""social.communities.listOwnReports: what the caller has reported, and what became of it. Nobody is shown anybody
else's.
"""

from collections.abc import Mapping
from typing import Any

from civic.people import PAGE
from civic.visit import Answer, Query, Visit
from communities.access import discoverable
from communities.decision_view import moment
from communities.own_reports import Told, told
from models import labelers, own_reports
from models.mod_events import SERVICE
from models.own_reports import OwnRow
from xrpc import cursor
from xrpc.params import Params

_LAST = (1 << 63) - 1


def list_own_reports(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of them, the newest first."""
    did, limit = visit.signed(), params["limit"]
    scope = f"listOwnReports {did}"
    before = (_LAST, _LAST)
    if "cursor" in params:
        at, number = cursor.decode(visit.key, scope, params["cursor"], 2)
        before = (at, number)
    found = own_reports.page(visit.connection, did, before, limit + 1)
    answer: Answer = {"reports": [_view(visit, report) for report in found[:limit]]}
    if len(found) <= limit:
        return answer
    last = found[limit - 1]
    return answer | {"cursor": cursor.encode(visit.key, scope, last.at, last.id)}


def _view(visit: Visit, report: OwnRow) -> dict[str, Any]:
    """#ownReportView."""
    places = (_place(visit, one) for one in told(visit.connection, report))
    optional = {"reason": report.reason, "cid": report.cid, "convoId": report.convo}
    return {
        "id": report.id,
        "createdAt": moment(report.at),
        "lastAt": moment(report.last_at),
        "reasonType": report.reason_type,
        "subject": report.uri or report.did,
        **{name: value for name, value in optional.items() if value},
        "places": [place for place in places if place is not None],
    }


def _place(visit: Visit, one: Told) -> dict[str, Any] | None:
    """#reportPlaceView; None for a community of which the caller may not know."""
    view: dict[str, Any] = {"state": one.state.value}
    if one.scope > SERVICE:
        settings = visit.town.places.get(one.scope)
        if settings is None or not discoverable(settings.kind, visit.standing(settings)):
            return None
        view["community"] = settings.slug
    elif one.scope < SERVICE:
        view["labeler"] = labelers.did_of(visit.connection, -one.scope)
    if one.outcome is not None:
        view["outcome"] = one.outcome.value
    if one.note:
        view["note"] = one.note
    return view | ({"closedAt": moment(one.closed_at)} if one.closed_at is not None else {})


QUERIES = (Query("listOwnReports", Params({**PAGE}), list_own_reports),)
