"""What moderators are shown of subjects, of how they stand, and of events, as the lexicon has it.

Source: tools.ozone.moderation.defs#subjectStatusView, #modEventView.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from communities.deeds import subject_key
from communities.mod_event import Kind
from communities.review import State
from models import mod_events, subject_statuses
from models.database import Connection
from models.mod_events import EventRow, SubjectKey
from models.subject_statuses import StatusRow
from ozone.visit import Answer, Visit, moment
from xrpc.syntax import is_did

DEFS = "tools.ozone.moderation.defs#"
ACCOUNT, RECORD = "com.atproto.admin.defs#repoRef", "com.atproto.repo.strongRef"
CONVO = "chat.bsky.convo.defs#convoRef"
NO_CID = "bafkqaaa"
"""The CID of nothing: where the lexicon wants a version of a record, and all of them are meant."""
STATES = {
    State.NONE: f"{DEFS}reviewNone",
    State.OPEN: f"{DEFS}reviewOpen",
    State.ESCALATED: f"{DEFS}reviewEscalated",
    State.CLOSED: f"{DEFS}reviewClosed",
}
COMMUNITY_TAG = "community:"
"""Every subject is shown with the tags of the community whose matter it is: the web app can filter by them."""


class Stands(NamedTuple):
    """How a subject stands in a scope: the row's number, whose matter it is, the subject, and the row."""

    id: int
    scope: int
    key: SubjectKey
    row: StatusRow


class Told(NamedTuple):
    """An event with its number, and its subject."""

    id: int
    key: SubjectKey
    row: EventRow


def subject(key: SubjectKey, cid: str = "") -> Answer:
    """What an event or a status is about."""
    if key.convo:
        return {"$type": CONVO, "did": key.did, "convoId": key.convo}
    if key.path:
        return {"$type": RECORD, "uri": key.uri, "cid": cid or NO_CID}
    return {"$type": ACCOUNT, "did": key.did}


def slugs(connection: Connection, scopes: Iterable[int]) -> dict[int, str]:
    """The slugs of the communities among some scopes."""
    numbers = json.dumps([scope for scope in set(scopes) if scope > 0])
    query = "SELECT id, slug FROM community WHERE id IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (numbers,)).fetchall())


def statuses(visit: Visit, found: list[Stands]) -> list[Answer]:
    """How subjects stand."""
    names = slugs(visit.connection, (one.scope for one in found))
    # What is said of an account is said of all that is of it.
    accounts = _accounts(visit.connection, [one for one in found if one.scope in visit.scopes.whole], visit.now)
    return [_status(one, names, accounts.get((one.scope, one.key.did), {})) for one in found]


def status_of(visit: Visit, uri: str) -> Answer | None:
    """How a subject stands, by its DID or at-uri, where it is most urgent of all that the caller looks into."""
    subject = mod_events.find_subject(visit.connection, subject_key(uri))
    known = subject_statuses.scopes(visit.connection, subject) if subject is not None else []
    scopes = [scope for scope in known if visit.scopes.sums.shows(scope, subject_key(uri).about)]
    rows = [subject_statuses.find(visit.connection, scope, subject) for scope in scopes if subject is not None]
    found = [Stands(row[0], scope, subject_key(uri), row[1]) for scope, row in zip(scopes, rows, strict=True) if row]
    if not found:
        return None
    order = (State.ESCALATED, State.OPEN, State.CLOSED, State.NONE)
    return statuses(visit, [min(found, key=lambda one: (order.index(State(one.row.state)), one.scope))])[0]


def _status(one: Stands, names: dict[int, str], account: Answer) -> Answer:
    row, key = one.row, one.key
    tags = json.loads(row.tags) + ([COMMUNITY_TAG + names[one.scope]] if one.scope in names else [])
    view: Answer = {
        "id": one.id,
        "subject": subject(key, row.cid),
        "subjectBlobCids": row.blobs.split(),
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
        "reviewState": STATES[State(row.state)],
        "takendown": bool(row.takendown),
        "priorityScore": row.priority,
        "tags": sorted(tags),
        **account,
    }
    times = {
        "muteUntil": row.mute_until,
        "muteReportingUntil": row.mute_reporting_until,
        "lastReviewedAt": row.reviewed_at,
        "lastReportedAt": row.reported_at,
        "lastAppealedAt": row.appealed_at,
        "suspendUntil": row.suspend_until,
    }
    view |= {name: moment(at) for name, at in times.items() if at is not None}
    if row.comment:
        view["comment"] = row.comment
    if is_did(row.reviewed_by):
        view["lastReviewedBy"] = row.reviewed_by
    if row.appealed is not None:
        view["appealed"] = bool(row.appealed)
    if row.hosting:
        view["hosting"] = _hosting(key, row)
    return view


def _hosting(key: SubjectKey, row: StatusRow) -> Answer:
    times = {"updatedAt": row.hosting_changed_at, "deletedAt": row.hosting_deleted_at}
    if not key.path:
        times |= {"deactivatedAt": row.hosting_deactivated_at, "reactivatedAt": row.hosting_reactivated_at}
    kind = "recordHosting" if key.path else "accountHosting"
    told = {name: moment(at) for name, at in times.items() if at is not None}
    return {"$type": DEFS + kind, "status": row.hosting, **told}


_PAIRS = "json_each(?1) k CROSS JOIN {} WHERE x.scope = k.value ->> 0 AND x.did = k.value ->> 1"
_ACCOUNTS = (
    "SELECT k.key, t.reports, t.appeals, t.suspensions, t.escalations, t.takedowns FROM json_each(?1) k"
    " CROSS JOIN subject s ON s.did = k.value ->> 1 AND s.path = '' AND s.convo = ''"
    " CROSS JOIN subject_status t ON t.subject = s.id AND t.scope = k.value ->> 0"
)
_RECORDS = (
    "SELECT k.key, reports, reported, escalated, appealed, subjects, pending, subjects - pending, takendown FROM "
    + _PAIRS.format("account_records x")
)
_STRIKES = (
    "SELECT k.key, coalesce(sum(count) FILTER (WHERE until IS NULL OR until > ?2), 0),"
    " coalesce(sum(count) FILTER (WHERE count > 0), 0), min(at), max(at) FROM "
    + _PAIRS.format("strike x")
    + " GROUP BY k.key"
)
_ACCOUNT_STATS = ("reportCount", "appealCount", "suspendCount", "escalateCount", "takedownCount")
_RECORDS_STATS = (
    "totalReports", "reportedCount", "escalatedCount", "appealedCount", "subjectCount", "pendingCount",
    "processedCount", "takendownCount",
)  # fmt: skip


def _accounts(connection: Connection, found: list[Stands], now: int) -> dict[tuple[int, str], Answer]:
    """What is known in each scope of the accounts whose the subjects are; for the whole page at once."""
    pairs = list(dict.fromkeys((one.scope, one.key.did) for one in found))
    named, views = json.dumps(pairs), [Answer() for _ in pairs]
    for at, *stats in connection.execute(_ACCOUNTS, (named,)):
        views[at]["accountStats"] = dict(zip(_ACCOUNT_STATS, stats, strict=True))
    for at, *stats in connection.execute(_RECORDS, (named,)):
        views[at]["recordsStats"] = dict(zip(_RECORDS_STATS, stats, strict=True))
    for at, active, total, first, last in connection.execute(_STRIKES, (named, now)):
        views[at]["accountStrike"] = {
            "activeStrikeCount": max(active, 0),
            "totalStrikeCount": total,
            "firstStrikeAt": moment(first),
            "lastStrikeAt": moment(last),
        }
    return dict(zip(pairs, views, strict=True))


def events(visit: Visit, found: list[Told]) -> list[Answer]:
    """Events, as lists show them."""
    return [event(visit, one) for one in found]


def event(visit: Visit, one: Told) -> Answer:
    """An event, as lists show it. What no account did (a rule, the command line) is the labeler's."""
    row = one.row
    view: Answer = {
        "id": one.id,
        "event": said(row),
        "subject": subject(one.key, row.cid),
        "subjectBlobCids": row.blobs.split(),
        "createdBy": row.actor if is_did(row.actor) else visit.did,
        "createdAt": moment(row.at),
    }
    if tool := row.tool or ("" if is_did(row.actor) else row.actor):
        meta = json.loads(row.tool_meta) if row.tool_meta else {}
        meta |= {"batchId": row.batch} if row.batch else {}
        view["modTool"] = {"name": tool, **({"meta": meta} if meta else {})}
    return view


def said(row: EventRow) -> Answer:
    """What an event says, as the lexicon has it."""
    told: Answer = {"$type": DEFS + Kind(row.type), **json.loads(row.said)}
    return told | ({"comment": row.comment} if row.comment else {})
