"""What an event does to the reports of its subject, as its emitter says (`reportAction`).

Reports are meant wherever the caller works on them, each in its own scope; of one that they may not see they are told
that it is not there. Source: tools.ozone.moderation.emitEvent#reportAction.
"""

from collections.abc import Mapping
from typing import Any

from communities.mod_event import Kind
from communities.report_actions import ReportAction, ReportActionError, settle
from models import mod_events, report_cases
from ozone.reports import checked_note
from ozone.visit import Visit
from xrpc.errors import InvalidRequest

MOST_IDS, MOST_TYPES = 500, 100
"""Reports, and reasons, that one event may name (ours)."""


def read_report_action(body: Mapping[str, Any]) -> ReportAction | None:
    """Which reports are meant; None: none. Raises InvalidRequest."""
    said = body.get("reportAction")
    if said is None:
        return None
    ids, types = said.get("ids", ()), said.get("types", ())
    if len(ids) > MOST_IDS or len(types) > MOST_TYPES:
        raise InvalidRequest(f"reportAction may name {MOST_IDS} ids and {MOST_TYPES} types")
    note = checked_note(said, "note")
    return ReportAction(tuple(dict.fromkeys(ids)), tuple(types), said.get("all", False), note)


def settle_reports(visit: Visit, done: Mapping[int, int], subject: int, wanted: ReportAction) -> None:
    """Let the events that were emitted, by scope, do to reports what they do. Raises InvalidRequest for one that is no
    report of the subject, or is closed. Call inside a write.
    """
    first = next(iter(done.values()))
    row = mod_events.find(visit.connection, first)
    if row is None:  # pragma: no cover - it was just appended
        raise RuntimeError(f"there is no event {first}")
    named = _by_scope(visit, subject, wanted.ids)
    for scope in sorted({*report_cases.scopes_waiting(visit.connection, subject), *named}):
        meant = ReportAction(tuple(named.get(scope, ())), wanted.types, wanted.everything, wanted.note)
        try:
            settle(
                visit.connection,
                scope,
                subject,
                done.get(scope, first),
                Kind(row.type),
                meant,
                visit.caller.did,
                visit.now,
                automated=bool(row.batch),
                theirs=visit.works_on,
            )
        except ReportActionError as error:
            raise InvalidRequest(f"reportAction.ids: {error}") from error


def _by_scope(visit: Visit, subject: int, ids: tuple[int, ...]) -> dict[int, list[int]]:
    """The reports that are named, by the scope in which each is worked on."""
    found: dict[int, list[int]] = {}
    for number in ids:
        row = report_cases.find(visit.connection, number)
        if row is None or row.subject != subject or not visit.works_on(row):
            raise InvalidRequest(f"reportAction.ids: There is no report {number} of this subject.")
        found.setdefault(row.scope, []).append(number)
    return found
