"""What an event of moderation does to the reports of its subject, in its own scope and in no other.

    acknowledge, take down, label, comment   those that are meant are closed
    escalate                                 they are escalated
    anything else                            nothing

Source: tools.ozone.moderation.emitEvent#reportAction, tools.ozone.report.closeReports.
"""

from collections.abc import Callable
from dataclasses import dataclass

from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from communities.report_activities import Doing, do
from communities.report_state import TARGETS, Act, State, may_become
from models import mod_events, report_cases
from models.database import Connection
from models.report_cases import CaseRow

ACTS = {
    Kind.ACKNOWLEDGE: Act.CLOSE,
    Kind.TAKEDOWN: Act.CLOSE,
    Kind.LABEL: Act.CLOSE,
    Kind.COMMENT: Act.CLOSE,
    Kind.ESCALATE: Act.ESCALATION,
}
"""What is done with reports by an event; by all others nothing is."""


class ReportActionError(Exception):
    """A report is named that is not there to be settled; the message says which."""


@dataclass(frozen=True, slots=True)
class ReportAction:
    """Which reports of a subject are meant: these, those for these reasons, or all that are not closed; together, if
    more than one of them is said. `note`: what their reporters may be told.
    """

    ids: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    everything: bool = False
    note: str = ""


def _anyone(_: CaseRow) -> bool:
    return True


def settle(
    connection: Connection,
    scope: int,
    subject_number: int,
    event_id: int,
    kind: Kind,
    wanted: ReportAction,
    actor: str,
    now: int,
    *,
    internal_note: str = "",
    automated: bool = False,
    theirs: Callable[[CaseRow], bool] = _anyone,
) -> list[int]:
    """Let an event do to reports of its subject what it does; the numbers of those that it did something to, by number.
    Call inside a write. `theirs`: which reports the actor may work on; no other is there.

    Reports that cannot come to stand so are left as they are. Raises ReportActionError, whatever else is wanted, if one
    of `ids` is no report of the subject in this scope, or is closed.
    """
    act = ACTS.get(kind)
    if act is None:
        return []
    every = report_cases.waiting(connection, scope, subject_number)
    waiting = {number: row for number, row in every if theirs(row)}
    for number in wanted.ids:
        if number not in waiting:
            raise ReportActionError(_why(connection, scope, subject_number, number))
    settled = []
    for number, row in waiting.items():
        meant = number in wanted.ids or wanted.everything or row.reason_type in wanted.types
        if meant and may_become(State(row.state), TARGETS[act]):
            doing = Doing(act, actor, internal_note, wanted.note, automated, {"actionEventId": event_id})
            do(connection, number, doing, now, event=event_id)
            settled.append(number)
    return settled


def close_reports(
    connection: Connection,
    scope: int,
    subject_number: int,
    types: tuple[str, ...],
    actor: str,
    role: str,
    note: str,
    now: int,
    *,
    automated: bool = False,
    theirs: Callable[[CaseRow], bool] = _anyone,
) -> list[int]:
    """Close the reports of a subject in a scope, or (`types`) those for these reasons; their numbers. Call inside a
    write. `theirs`: as in `settle`.

    The event that this is among those of moderation is a comment: something was said of the subject, and nothing done
    to it. To acknowledge it would be to approve a post, and to let nobody report this version again. Where there is
    nothing to close nothing is said.
    """
    waiting = report_cases.waiting(connection, scope, subject_number)
    if not any(_is_meant(row, types) and theirs(row) for _, row in waiting):
        return []
    key = mod_events.subject(connection, subject_number)
    event = append(connection, scope, key, ModEvent(Kind.COMMENT, now, actor, role, comment=note))
    wanted = ReportAction(types=types, everything=not types)
    return settle(
        connection, scope, subject_number, event.id, Kind.COMMENT, wanted, actor, now,
        internal_note=note, automated=automated, theirs=theirs,
    )  # fmt: skip


def _is_meant(row: CaseRow, types: tuple[str, ...]) -> bool:
    return not types or row.reason_type in types


def _why(connection: Connection, scope: int, subject_number: int, number: int) -> str:
    """What is wrong with a report that is named. What is in another scope is not there."""
    row = report_cases.find(connection, number)
    if row is None or row.scope != scope or row.subject != subject_number:
        return f"There is no report {number} of this subject."
    return f"The report {number} is closed."
