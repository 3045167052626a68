"""Reports as moderators work on them: one for each scope that a report reaches, and each with a state of its own.

The number of one is that of the event by which it came. Source: tools.ozone.report.defs.
"""

from collections.abc import Iterable

import orjson

from communities import queue_routing
from communities.casebook import append, standing
from communities.deeds import Deed
from communities.mod_event import Kind, ModEvent
from communities.queue_match import reported
from communities.reasons import APPEALS
from models import report_cases, report_tagging, reports, subject_statuses
from models.database import Connection
from models.mod_events import SubjectKey, find_subject, key_of
from models.report_cases import ESCALATED, OPEN, CaseRow
from models.reports import Kept, Said


def begin(connection: Connection, said: Said, scopes: Iterable[int], now: int, deed: Deed | None = None) -> Kept:
    """Keep a report that was not made before, and let it reach these scopes. Call inside a write. `deed`: what a
    moderator's program calls it.

    Its number is that of the event by which it reaches the first of them.
    """
    kept: Kept | None = None
    for scope in scopes:
        event, row = _reach(connection, scope, said, now, deed or Deed())
        kept = kept or reports.put(connection, event, said, row.at)
        _enter(connection, event, row._replace(report=kept.id), said, now)
    if kept is None:
        raise ValueError("a report reaches somebody")
    return kept


def again(connection: Connection, kept: Kept, said: Said, scopes: Iterable[int], now: int) -> None:
    """A report was made again: it may reach more scopes now. Call inside a write."""
    reports.repeat(connection, kept, now)
    reached = report_cases.scopes(connection, kept.id)
    subject = find_subject(connection, key_of(said.did, said.uri, said.convo))
    for scope in scopes:
        if scope not in reached:
            event, row = _reach(connection, scope, said, now, Deed())
            _enter(connection, event, row._replace(report=kept.id), said, now)
        elif subject is not None and not _is_unheard(connection, scope, said, now):
            subject_statuses.touch(connection, scope, subject, now, appeal=said.reason_type in APPEALS)
    report_cases.touch(connection, kept.id, now)


def _enter(connection: Connection, number: int, row: CaseRow, said: Said, now: int) -> None:
    """A report is to be worked on, and its subject to be tagged, unless its reporter moves nothing there."""
    report_cases.put(connection, number, row)
    queue_routing.arrive(connection, number, said.labeler, now)
    if not row.muted:
        report_tagging.put(connection, number, now)


def _reach(connection: Connection, scope: int, said: Said, now: int, deed: Deed) -> tuple[int, CaseRow]:
    """The event by which a report comes to a scope, and what is to be worked on there."""
    muted = _is_unheard(connection, scope, said, now)
    event = ModEvent(
        Kind.REPORT,
        now,
        said.reporter,
        comment=said.reason,
        said={"reportType": said.reason_type, **({"isReporterMuted": True} if muted else {})},
        cid=said.cid,
        tool=said.tool,
        tool_meta=orjson.loads(said.tool_meta) if said.tool_meta else {},
        batch=deed.batch,
        external=deed.external,
    )
    done = append(connection, scope, key_of(said.did, said.uri, said.convo), event)
    return done.id, CaseRow(
        0,
        scope,
        done.subject,
        done.at,
        done.at,
        ESCALATED if said.reason_type in APPEALS else OPEN,
        muted=int(muted),
        reason_type=said.reason_type,
        about=about(said),
    )


def about(said: Said) -> str:
    """What a report is about: the collection of a record, or else the type of its subject, as queues have it."""
    found = reported(key_of(said.did, said.uri).path, said.convo, said.message, said.reason_type)
    return found.collection or found.subject_type


def _is_unheard(connection: Connection, scope: int, said: Said, now: int) -> bool:
    """Whether a report moves nothing in a scope. An appeal always does: whom it is against could mute its author."""
    return said.reason_type not in APPEALS and is_muted(connection, scope, said.reporter, now)


def is_muted(connection: Connection, scope: int, did: str, now: int) -> bool:
    """Whether what an account reports moves nothing in a scope."""
    status = standing(connection, scope, SubjectKey(did))
    return status is not None and (status.mute_reporting_until or 0) > now
