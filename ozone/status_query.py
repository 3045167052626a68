"""tools.ozone.moderation.queryStatuses: how subjects stand, in the order in which somebody works through them.

A subject stands for itself in each scope, so it may be several items; a caller sees those of what is theirs to look
into (`visit.scopes`), where they see all reports. What is said of its account (records, suspensions, strikes) is
counted in the same scope, and is not there for whom not all is that it is counted from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from communities.review import MOST_SCORE
from models import status_query
from models.database import Connection
from models.scopes import Scopes
from models.status_conditions import Between, Queue, Sought, Tagged
from models.status_query import Order
from ozone import sought as asked
from ozone.sought import COLLECTIONS, KINDS, SUBJECT, TEXT, TEXTS, TIME
from ozone.views import COMMUNITY_TAG, STATES, Stands, statuses
from ozone.visit import Answer, Query, Visit
from xrpc import cursor
from xrpc.params import BoolParam, DidParam, IntParam, ListParam, Params, StringParam

MOST_QUEUES = 1_000
"""Into which all accounts are divided (ours)."""
_MOST = 1_000_000_000
_SORTS = {
    "lastReportedAt": "reported_at",
    "lastReviewedAt": "reviewed_at",
    "priorityScore": "priority",
    "reportedRecordsCount": "reported",
    "takendownRecordsCount": "takendown",
}
_TIMES = {
    "reported": "reported_at",
    "reviewed": "reviewed_at",
    "hostingDeleted": "hosting_deleted_at",
    "hostingUpdated": "hosting_changed_at",
}
_STATES = {token: state for state, token in STATES.items()}


def query_statuses(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of statuses. Raises InvalidRequest, Refused (InvalidCursor)."""
    scope, behind = asked.behind(visit, params, "statuses", 4)
    wanted = sought(visit, params)
    if wanted is None:
        return {"subjectStatuses": []}
    connection, limit = visit.connection, params["limit"]
    order = Order(_SORTS[params["sortField"]], params["sortDirection"] == "desc")
    start = None
    if behind is not None:
        *numbers, ceiling = behind
        order = replace(order, ceiling=ceiling)
        start = status_query.place(connection, order, *numbers)
    elif not order.descending and order.by in _TIMES.values():
        order = replace(order, ceiling=status_query.highest(connection, wanted, order))
    found, last = status_query.page(connection, wanted, order, start, limit)
    answer: Answer = {"subjectStatuses": statuses(visit, [Stands(*one) for one in found])}
    if last is not None:
        answer["cursor"] = cursor.encode(visit.key, scope, last.last, last.value, last.id, order.ceiling)
    return answer


def sought(visit: Visit, params: Mapping[str, Any]) -> Sought | None:
    """What the parameters ask for; None: nothing is like that. Raises InvalidRequest."""
    about, state = params.get("subject"), params.get("reviewState")
    kind = "" if about else params.get("subjectType", "")
    ignored = tuple(asked.subject(text, "ignoreSubjects") for text in params["ignoreSubjects"])
    subject = asked.subject(about) if about else None
    if (kind and kind not in KINDS) or (state is not None and state not in _STATES):
        return None
    if params.get("ageAssuranceState") is not None:
        return None
    tagged, untagged, outside = _tags(visit, params)
    if params["tags"] and not tagged:
        return None
    only_muted, with_muted = params.get("onlyMuted", False), params.get("includeMuted", False)
    times = ((column, asked.between(params, name)) for name, column in _TIMES.items())
    return Sought(
        _narrowed(visit.scopes.sums, tagged),
        visit.now,
        state=None if state is None else _STATES[state].value,
        subject=subject,
        whole_account=params.get("includeAllUserRecords", False),
        kind=kind,
        collections=() if params.get("subjectType") == "account" else tuple(params["collections"]),
        between=tuple(Between(column, *ends) for column, ends in times if ends is not None),
        hosting=tuple(params["hostingStatuses"]),
        muted=True if only_muted else (None if with_muted else False),
        ignored=ignored,
        reviewed_by=params.get("lastReviewedBy", ""),
        takendown=params.get("takendown", False),
        appealed=params.get("appealed"),
        tagged=tagged,
        untagged=untagged,
        outside=outside,
        words=asked.words(params),
        queue=None if about else _queue(params),
        priority=params.get("minPriorityScore", 0),
        suspensions=params.get("minAccountSuspendCount", 0),
        reported_records=params.get("minReportedRecordsCount", 0),
        takendown_records=params.get("minTakendownRecordsCount", 0),
        strikes=params.get("minStrikeCount", 0),
    )


def _queue(params: Mapping[str, Any]) -> Queue | None:
    count, index = params.get("queueCount", 0), params.get("queueIndex")
    return Queue(count, index, params.get("queueSeed", "")) if count and index is not None else None


def _tags(visit: Visit, params: Mapping[str, Any]) -> tuple[tuple[Tagged, ...], tuple[str, ...], tuple[int, ...]]:
    """Which tags one of must be there, which none of, and of which scopes nothing may be. That a subject is shown with
    its community as a tag means that it is asked for by its scope; one that the caller does not see is none.
    """
    items = [[tag.strip() for tag in item.split("&&") if tag.strip()] for item in params["tags"]]
    known = _seen(
        visit.connection, visit.scopes.sums, [tag for item in (*items, params["excludeTags"]) for tag in item]
    )
    tagged = []
    for item in items:
        scopes = {known.get(tag) for tag in item if tag.startswith(COMMUNITY_TAG)}
        tags = tuple(tag for tag in item if not tag.startswith(COMMUNITY_TAG))
        if not item or None in scopes or len(scopes) > 1:
            continue  # an item that nothing can fulfil
        tagged.append(Tagged(tags, min(filter(None, scopes), default=None)))
    untagged = tuple(tag for tag in params["excludeTags"] if not tag.startswith(COMMUNITY_TAG))
    return tuple(tagged), untagged, tuple(known[tag] for tag in params["excludeTags"] if tag in known)


def _seen(connection: Connection, scopes: Scopes, tags: Sequence[str]) -> dict[str, int]:
    """The communities that the caller sees, by the tags that name them."""
    found = {}
    for tag in {tag for tag in tags if tag.startswith(COMMUNITY_TAG)}:
        slug = tag.removeprefix(COMMUNITY_TAG)
        row = connection.execute("SELECT id FROM community WHERE slug = ?", (slug,)).fetchone()
        if row is not None and row[0] in scopes:
            found[tag] = row[0]
    return found


def _narrowed(scopes: Scopes, tagged: tuple[Tagged, ...]) -> Scopes:
    """Only the communities that are asked for by name, if all that is asked for is."""
    named = {one.scope for one in tagged if one.scope is not None}
    return scopes.narrowed(named) if tagged and all(one.scope is not None for one in tagged) else scopes


QUERIES = (
    Query(
        "moderation.queryStatuses",
        Params(
            {
                "queueCount": IntParam(0, MOST_QUEUES),
                "queueIndex": IntParam(0, MOST_QUEUES),
                "queueSeed": TEXT,
                "includeAllUserRecords": BoolParam(),
                "subject": SUBJECT,
                "comment": TEXT,
                "reportedAfter": TIME,
                "reportedBefore": TIME,
                "reviewedAfter": TIME,
                "reviewedBefore": TIME,
                "hostingDeletedAfter": TIME,
                "hostingDeletedBefore": TIME,
                "hostingUpdatedAfter": TIME,
                "hostingUpdatedBefore": TIME,
                "hostingStatuses": TEXTS,
                "includeMuted": BoolParam(),
                "onlyMuted": BoolParam(),
                "reviewState": TEXT,
                "ignoreSubjects": ListParam(SUBJECT, asked.MOST_VALUES),
                "lastReviewedBy": DidParam(),
                "sortField": StringParam(default="lastReportedAt"),
                "sortDirection": StringParam(default="desc"),
                "takendown": BoolParam(),
                "appealed": BoolParam(),
                "limit": IntParam(1, 100, default=50),
                "tags": ListParam(TEXT, 25),
                "excludeTags": TEXTS,
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
                "collections": COLLECTIONS,
                "subjectType": TEXT,
                "minAccountSuspendCount": IntParam(0, _MOST),
                "minReportedRecordsCount": IntParam(0, _MOST),
                "minTakendownRecordsCount": IntParam(0, _MOST),
                "minPriorityScore": IntParam(0, MOST_SCORE),
                "minStrikeCount": IntParam(1, _MOST),
                "ageAssuranceState": TEXT,
            }
        ),
        query_statuses,
    ),
)
PROCEDURES = ()
