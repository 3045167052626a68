"""tools.ozone.moderation.queryEvents: what was done, newest or oldest first, by whatever it can be sought by.

A caller sees events of what is theirs to look into (`visit.scopes`), and of nothing else even that it is there.
"""

from collections.abc import Mapping
from typing import Any

from communities.mod_event import Kind
from models import mod_event_query
from models.looking import LAST
from models.mod_event_query import Place, Sought
from ozone import sought as asked
from ozone.sought import COLLECTIONS, KINDS, SUBJECT, TEXT, TEXTS, TIME
from ozone.views import DEFS, Told, events
from ozone.visit import Answer, Query, Visit
from xrpc import cursor
from xrpc.params import BoolParam, DidParam, IntParam, Params, StringParam

_VALUES = {
    "addedLabels": ("+label", Kind.LABEL),
    "removedLabels": ("-label", Kind.LABEL),
    "addedTags": ("+tag", Kind.TAG),
    "removedTags": ("-tag", Kind.TAG),
}
"""Parameters of what an event is found by, all of which it must have, and the type that alone can have it."""


def query_events(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of events. Raises InvalidRequest, Refused (InvalidCursor)."""
    scope, behind = asked.behind(visit, params, "events", 2)
    wanted = sought(visit, params)
    if wanted is None:
        return {"events": []}
    limit = params["limit"]
    found, last = mod_event_query.page(visit.connection, wanted, Place(*behind) if behind else None, limit)
    answer: Answer = {"events": events(visit, [Told(*one) for one in found])}
    if last is not None:
        answer["cursor"] = cursor.encode(visit.key, scope, *last)
    return answer


def sought(visit: Visit, params: Mapping[str, Any]) -> Sought | None:
    """What the parameters ask for; None: nothing is like that. Raises InvalidRequest."""
    about = params.get("subject")
    kind = "" if about else params.get("subjectType", "")
    types = _types(params)
    if (kind and kind not in KINDS) or types == () or params.get("ageAssuranceState") is not None:
        return None
    after, before = asked.between(params, "created") or (-1, LAST)
    actor = params.get("createdBy", "")
    return Sought(
        visit.scopes,
        descending=params["sortDirection"] == "desc",
        after=after,
        before=before,
        subject=asked.subject(about) if about else None,
        whole_account=params["includeAllUserRecords"],
        kind=kind,
        collections=() if params.get("subjectType") == "account" else tuple(params["collections"]),
        types=types,
        actor=actor,
        nobody=actor == visit.did,  # as what no account did is shown
        has_comment=params.get("hasComment", False),
        words=asked.words(params),
        values=tuple((kind, value) for name, (kind, _) in _VALUES.items() for value in params[name]),
        report_types=tuple(params["reportTypes"]),
        policies=tuple(params["policies"]),
        tools=tuple(params["modTool"]),
        batch=params.get("batchId", ""),
        strikes=params.get("withStrike", False),
    )


def _types(params: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The types that what is asked for can have; None: any."""
    types = set(Kind)
    if params["types"]:
        types &= {kind for kind in Kind if DEFS + kind in params["types"]}
    for name, (_, kind) in _VALUES.items():
        if params[name]:
            types &= {kind}
    if params["reportTypes"]:
        types &= {Kind.REPORT}
    return None if len(types) == len(Kind) else tuple(sorted(types))


QUERIES = (
    Query(
        "moderation.queryEvents",
        Params(
            {
                "types": TEXTS,
                "createdBy": DidParam(),
                "sortDirection": StringParam(default="desc"),
                "createdAfter": TIME,
                "createdBefore": TIME,
                "subject": SUBJECT,
                "collections": COLLECTIONS,
                "subjectType": TEXT,
                "includeAllUserRecords": BoolParam(default=False),
                "limit": IntParam(1, 100, default=50),
                "hasComment": BoolParam(),
                "comment": TEXT,
                "addedLabels": TEXTS,
                "removedLabels": TEXTS,
                "addedTags": TEXTS,
                "removedTags": TEXTS,
                "reportTypes": TEXTS,
                "policies": TEXTS,
                "modTool": TEXTS,
                "batchId": TEXT,
                "ageAssuranceState": TEXT,
                "withStrike": BoolParam(),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        query_events,
    ),
)
PROCEDURES = ()
