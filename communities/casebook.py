"""Where events of moderation are written: each is appended, and how its subject stands is moved on with it, in the same
transaction. Everything that is decided here passes through `append`, whoever decides it, and by what door.

A subject stands for itself in each scope: what one community decides changes nothing in another.
"""

import json
from dataclasses import replace
from typing import Any, NamedTuple

from communities.mod_event import Kind, ModEvent
from communities.review import Hosting, State, Status, fold
from models import labelers, mod_events, subject_statuses
from models.database import Connection
from models.mod_events import SERVICE, EventRow, SubjectKey
from models.subject_statuses import StatusRow, Sums
from xrpc.syntax import parse_datetime


class Appended(NamedTuple):
    """What came of an event. `id`: its number; `subject`: that of its subject; `at`: when it was."""

    id: int
    subject: int
    at: int
    status: Status


def scope_of(connection: Connection, community: int, labeler: str = "") -> int:
    """The scope of a community, or (0) of the site: of the labeler with this DID, or of the service itself."""
    if community or not labeler:
        return community
    return -(labelers.find(connection, labeler) or SERVICE)


def standing(connection: Connection, scope: int, key: SubjectKey) -> Status | None:
    """How a subject stands in a scope; None: nothing was ever said of it there."""
    subject = mod_events.find_subject(connection, key)
    found = subject_statuses.find(connection, scope, subject) if subject is not None else None
    return _status(connection, *found) if found else None


def append(connection: Connection, scope: int, key: SubjectKey, event: ModEvent) -> Appended:
    """Append an event about a subject. Call inside a write.

    Its time is that of the last event at least, so that the order of numbers is that of times.
    """
    at = max(event.at, mod_events.last_moment(connection))
    event = event if at == event.at else replace(event, at=at)
    subject = mod_events.enter_subject(connection, key)
    number = mod_events.add(connection, _event_row(scope, subject, event), event.values())
    found = subject_statuses.find(connection, scope, subject)
    before = _status(connection, *found) if found else None
    after = fold(before, event)
    if before is None or after != before:
        began = found[1].at if found else at
        status = subject_statuses.put(connection, scope, subject, _status_row(after, began, at))
        if after.tags != (before.tags if before else {}):
            subject_statuses.put_tags(connection, status, after.tags)
        if key.path:
            _add_up(connection, scope, key.did, before, after)
    if strikes := int(event.said.get("strikeCount") or 0):
        given = -strikes if event.kind is Kind.REVERSE_TAKEDOWN else strikes
        until = event.said.get("strikeExpiresAt")
        ends = parse_datetime(until) if until else None
        mod_events.add_strikes(connection, number, scope, key.did, at, given, ends)
    return Appended(number, subject, at, after)


def sums(status: Status | None) -> Sums:
    """What one record adds to what an account's records make together."""
    if status is None:
        return Sums()
    return Sums(
        reports=status.reports,
        reported=int(status.reports > 0),
        escalated=int(status.escalations > 0),
        appealed=int(status.appeals > 0),
        subjects=1,
        pending=int(status.waits),
        takendown=int(status.takendown),
    )


def _add_up(connection: Connection, scope: int, did: str, before: Status | None, after: Status) -> None:
    change = Sums._make(new - old for new, old in zip(sums(after), sums(before), strict=True))
    if any(change):
        subject_statuses.add_sums(connection, scope, did, change)


def _event_row(scope: int, subject: int, event: ModEvent) -> EventRow:
    return EventRow(
        event.at,
        scope,
        subject,
        event.kind,
        event.actor,
        event.role,
        event.cid,
        " ".join(event.blobs),
        event.comment,
        _json(event.said),
        event.tool,
        _json(event.tool_meta) if event.tool_meta else "",
        event.batch,
        event.external,
        event.until,
        event.decision,
        event.label_event,
        event.undoes,
    )


def read_event(row: EventRow) -> ModEvent:
    """An event as it was appended."""
    return ModEvent(
        Kind(row.type),
        row.at,
        row.actor,
        row.role,
        row.comment,
        json.loads(row.said),
        row.cid,
        tuple(row.blobs.split()),
        row.tool,
        json.loads(row.tool_meta) if row.tool_meta else {},
        row.batch,
        row.external,
        row.until,
        row.decision,
        row.label_event,
        row.undoes,
    )


def _status_row(status: Status, at: int, changed_at: int) -> StatusRow:
    return StatusRow(
        state=status.state,
        at=at,
        changed_at=changed_at,
        cid=status.cid,
        blobs=" ".join(status.blobs),
        comment=status.comment,
        priority=status.priority,
        mute_until=status.mute_until,
        mute_reporting_until=status.mute_reporting_until,
        reviewed_by=status.reviewed_by,
        reviewed_at=status.reviewed_at,
        reported_at=status.reported_at,
        appealed_at=status.appealed_at,
        appealed=None if status.appealed is None else int(status.appealed),
        takendown=int(status.takendown),
        suspend_until=status.suspend_until,
        tags=_json(list(status.tags)),
        hosting=status.hosting.status,
        hosting_changed_at=status.hosting.changed_at,
        hosting_deleted_at=status.hosting.deleted_at,
        hosting_deactivated_at=status.hosting.deactivated_at,
        hosting_reactivated_at=status.hosting.reactivated_at,
        reports=status.reports,
        appeals=status.appeals,
        suspensions=status.suspensions,
        escalations=status.escalations,
        takedowns=status.takedowns,
    )


def _status(connection: Connection, number: int, row: StatusRow) -> Status:
    return Status(
        state=State(row.state),
        cid=row.cid,
        blobs=tuple(row.blobs.split()),
        comment=row.comment,
        priority=row.priority,
        mute_until=row.mute_until,
        mute_reporting_until=row.mute_reporting_until,
        reviewed_by=row.reviewed_by,
        reviewed_at=row.reviewed_at,
        reported_at=row.reported_at,
        appealed_at=row.appealed_at,
        appealed=None if row.appealed is None else bool(row.appealed),
        takendown=bool(row.takendown),
        suspend_until=row.suspend_until,
        tags=subject_statuses.tags(connection, number) if row.tags != "[]" else {},
        hosting=Hosting(
            row.hosting,
            row.hosting_changed_at,
            row.hosting_deleted_at,
            row.hosting_deactivated_at,
            row.hosting_reactivated_at,
        ),
        reports=row.reports,
        appeals=row.appeals,
        suspensions=row.suspensions,
        escalations=row.escalations,
        takedowns=row.takedowns,
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
