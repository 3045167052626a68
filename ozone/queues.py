"""tools.ozone.queue.*: where reports of a kind wait for those of a labeler's team who look after them.

They are the whole team's. Who moderates by a community alone may be anybody who has founded one: for them there are
none. What comes into a queue never changes, so that what is in it is of one kind. Source: the reference server; bounds
are ours.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from communities.queue_match import RECORD, SUBJECT_TYPES, criteria, overlap
from communities.queue_routing import clear
from communities.reasons import APPEALS, REASONS
from models import queue_assignments, settings
from models import queues as rows
from models.queued_cases import Counts
from models.queues import NO_QUEUE, QueueRow
from ozone.queue_stats import view as stats_view
from ozone.setting_rules import POLICIES
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import BoolParam, IntParam, ListParam, Params, StringParam
from xrpc.syntax import MAX_NSID

MOST_QUEUES = 200
"""Of a team (ours): every report that comes is held against all of them."""
MOST_POLICIES = 50
MOST_BYTES = {"name": 128, "description": 2048}
"""Of each field (ours)."""
MOST_ASKED = 10


def list_queues(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of the queues in the order in which they were made. Raises Refused (InvalidCursor)."""
    enabled, kind, collection = params.get("enabled"), params.get("subjectType"), params.get("collection")
    reasons, limit = sorted(set(params["reportTypes"])), params["limit"]
    scope = visit.scope("queues", enabled, kind, collection, reasons)
    (after,) = cursor.decode(visit.key, scope, params["cursor"], 1) if "cursor" in params else (0,)
    if visit.caller.team is None:
        return {"queues": []}
    found = [
        row
        for row in rows.live(visit.connection, visit.labeler)
        if row.id > after
        and (enabled is None or row.enabled is enabled)
        and (kind is None or kind in row.subject_types)
        and (collection is None or collection == row.collection)
        and (not reasons or set(reasons) & set(row.report_types))
    ]
    answer: Answer = {"queues": views(visit, found[:limit])}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, found[limit - 1].id)
    return answer


def create_queue(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A queue is there from now on, and takes what comes from now on. Raises InvalidRequest, Refused (ConflictingQueue,
    InvalidRecommendedPolicies).
    """
    visit.moderate("create a queue")
    did = visit.caller.did
    row = QueueRow(
        0,
        visit.labeler,
        _name(body["name"]),
        _subject_types(body),
        body.get("collection", ""),
        _report_types(body),
        _policies(visit, body.get("recommendedPolicies", [])),
        _description(body),
        True,
        visit.now,
        did,
        visit.now,
        did,
    )
    if bool(row.subject_types) is not bool(row.report_types):
        raise InvalidRequest("subjectTypes and reportTypes go together: with one alone nothing would come in")
    if (RECORD in row.subject_types) is not bool(row.collection):
        raise InvalidRequest("collection must be given where subjectTypes has record, and only there")
    others = rows.live(visit.connection, visit.labeler)
    if len(others) >= MOST_QUEUES:
        raise InvalidRequest(f"There may be {MOST_QUEUES} queues; delete one first")
    _check_name(row, others)
    for other in others:
        if overlap(criteria(row), criteria(other)):
            raise Refused("ConflictingQueue", f"The queue {other.name!r} ({other.id}) takes some of these reports.")
    return _put(visit, row)


def update_queue(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """What is given is so from now on, and the rest as it was. One that is disabled keeps what is in it, and takes no
    more. Raises InvalidRequest, Refused (ConflictingQueue, InvalidRecommendedPolicies).
    """
    visit.moderate("update a queue")
    row = _queue(visit, body["queueId"])
    given: dict[str, Any] = {}
    if "name" in body:
        given["name"] = _name(body["name"])
    if "enabled" in body:
        given["enabled"] = body["enabled"]
    if "description" in body:
        given["description"] = _description(body)
    if "recommendedPolicies" in body:
        given["policies"] = _policies(visit, body["recommendedPolicies"])
    row = row._replace(**given, changed_at=visit.now, changed_by=visit.caller.did)
    _check_name(row, rows.live(visit.connection, visit.labeler))
    return _put(visit, row)


def delete_queue(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A queue is there no more. What waits in it waits in another one from now on, or is open; what was escalated stays
    so, and what was closed still names it. Nobody looks after it any more. Raises InvalidRequest.
    """
    visit.moderate("delete a queue")
    row, target = _queue(visit, body["queueId"]), body.get("migrateToQueueId", NO_QUEUE)
    if target != NO_QUEUE:
        if target == row.id:
            raise InvalidRequest("migrateToQueueId must be another queue")
        if not _queue(visit, target).enabled:
            raise InvalidRequest("The queue migrateToQueueId is disabled, and takes nothing")
    moved = clear(visit.connection, row.id, target, visit.caller.did, visit.now)
    queue_assignments.end_all_of_queue(visit.connection, row.id, visit.now, visit.caller.did)
    rows.put(visit.connection, row._replace(changed_at=visit.now, changed_by=visit.caller.did, deleted_at=visit.now))
    return {"deleted": True, "reportsMigrated": moved}


def live_queue(visit: Visit, number: int) -> QueueRow | None:
    """The queue of this team with that number, unless it was deleted."""
    row = rows.find(visit.connection, visit.labeler, number)
    return row if row and row.deleted_at is None else None


def view_of(visit: Visit, number: int) -> Answer | None:
    """A queue by its number, also one that was deleted, for whoever sees what the team shares; None: there is none, or
    it is another team's.
    """
    if number == NO_QUEUE or visit.caller.team is None:
        return None
    row = rows.find(visit.connection, visit.labeler, number)
    return views(visit, [row])[0] if row else None


def views(visit: Visit, found: Sequence[QueueRow]) -> list[Answer]:
    """Queues as the lexicon has them, with how much is in them."""
    stats = visit.queue_stats.of(visit.connection, [row.id for row in found], visit.now)
    return [_view(row) | {"stats": _stats(*stats[row.id])} for row in found]


def _stats(counted_at: int, counts: Counts) -> Answer:
    return stats_view(counts) | {"lastUpdated": moment(counted_at)}


def _view(row: QueueRow) -> Answer:
    view: Answer = {
        "id": row.id,
        "name": row.name,
        "subjectTypes": list(row.subject_types),
        "reportTypes": list(row.report_types),
        "recommendedPolicies": list(row.policies),
        "createdBy": row.made_by,
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
        "enabled": row.enabled,
    }
    if row.collection:
        view["collection"] = row.collection
    if row.description:
        view["description"] = row.description
    if row.deleted_at is not None:
        view["deletedAt"] = moment(row.deleted_at)
    return view


def _queue(visit: Visit, number: int) -> QueueRow:
    """The one that is meant. Raises InvalidRequest, for the lexicon has no name for this."""
    row = live_queue(visit, number)
    if row is None:
        raise InvalidRequest(f"There is no queue with the id {number}")
    return row


def _put(visit: Visit, row: QueueRow) -> Answer:
    return {"queue": views(visit, [rows.put(visit.connection, row)])[0]}


def _name(name: str) -> str:
    if not name or name != name.strip() or not name.isprintable():
        raise InvalidRequest("name must be printable, and not blank, with no spaces at its ends")
    return _short("name", name)


def _description(body: Mapping[str, Any]) -> str:
    return _short("description", body.get("description", ""))


def _short(field: str, text: str) -> str:
    if len(text.encode()) > MOST_BYTES[field]:
        raise InvalidRequest(f"{field} may have {MOST_BYTES[field]} bytes")
    return text


def _check_name(row: QueueRow, others: Sequence[QueueRow]) -> None:
    """Raise Refused (ConflictingQueue) if another of these queues has this name."""
    if any(other.name == row.name and other.id != row.id for other in others):
        raise Refused("ConflictingQueue", "There is a queue of that name already.")


def _subject_types(body: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(body.get("subjectTypes", [])))
    if not set(found) <= set(SUBJECT_TYPES):
        raise InvalidRequest(f"subjectTypes must be of {', '.join(SUBJECT_TYPES)}")
    return found


def _report_types(body: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(body.get("reportTypes", [])))
    for reason in found:
        if reason not in REASONS | APPEALS:
            raise InvalidRequest(f"reportTypes has {reason[:100]!r}, for which nothing can be reported here")
    return found


def _policies(visit: Visit, keys: Sequence[str]) -> tuple[str, ...]:
    """Keys of the policies that are advised, each once. Raises Refused (InvalidRecommendedPolicies)."""
    if len(keys) > MOST_POLICIES:
        raise InvalidRequest(f"recommendedPolicies may have {MOST_POLICIES} keys")
    setting = settings.find(visit.connection, visit.labeler, "", POLICIES) if keys else None
    known = json.loads(setting.value) if setting else {}
    for key in keys:
        if key not in known:
            raise Refused("InvalidRecommendedPolicies", f"The setting {POLICIES} has no policy {key[:100]!r}.")
    return tuple(dict.fromkeys(keys))


QUERIES = (
    Query(
        "queue.listQueues",
        Params(
            {
                "enabled": BoolParam(),
                "subjectType": StringParam(max_length=100),
                "collection": StringParam(max_length=MAX_NSID),
                "reportTypes": ListParam(StringParam(max_length=200), max_items=MOST_ASKED),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        list_queues,
    ),
)
PROCEDURES = (
    Procedure("queue.createQueue", create_queue),
    Procedure("queue.updateQueue", update_queue),
    Procedure("queue.deleteQueue", delete_queue),
)
