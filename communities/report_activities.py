"""What is done with a report: each activity is appended, and the report stands so from then on, in one transaction.

A report that is assigned has somebody who holds it, and one that is open, queued or closed has nobody: who held it when
it was closed stays named. Source: tools.ozone.report.createActivity.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from communities.report_state import UNHELD, Act, State, after
from models import report_activities, report_assignments, report_cases
from models.database import Connection
from models.queues import NO_QUEUE
from models.report_activities import ActivityRow, Numbered
from models.report_cases import CaseRow


@dataclass(frozen=True, slots=True)
class Doing:
    """What somebody does with a report. `actor`: a DID, `rule:NAME` or `cli`; `public_note`: what its reporter may be
    told; `automated`: by a program; `meta`: what else belongs to it.
    """

    act: Act
    actor: str
    internal_note: str = ""
    public_note: str = ""
    automated: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)


def do(
    connection: Connection,
    number: int,
    doing: Doing,
    now: int,
    *,
    target: State | None = None,
    event: int | None = None,
    queue: int | None = None,
) -> Numbered:
    """Do something with the report that has a number (it is there); the activity. Call inside a write.

    `target`: how it stands then, if the activity alone does not say so; `event`: what was done with its subject;
    `queue`: in which it is from now on, NO_QUEUE: in none; None: that stays. Its time is that of the last activity at
    least. Raises ReportStateError.
    """
    row = _row(connection, number)
    state = State(row.state)
    target = after(state, doing.act) if target is None else target
    at = max(now, report_activities.last_moment(connection))
    activity = ActivityRow(
        at,
        row.scope,
        number,
        doing.act.value,
        state.value,
        doing.actor,
        int(doing.automated),
        doing.internal_note,
        doing.public_note,
        json.dumps(dict(doing.meta), separators=(",", ":"), ensure_ascii=False),
    )
    if target in UNHELD and (held := report_assignments.held(connection, number)):
        report_assignments.change(connection, held[0], held[1]._replace(until=at))
    stands = row._replace(
        changed_at=at,
        state=target.value,
        queue=row.queue if queue is None else queue,
        queued_at=_queued_at(row, state, target, queue, at),
        closed_at=(row.closed_at if state is State.CLOSED else at) if target is State.CLOSED else None,
        note=doing.public_note or row.note,
        actions=row.actions if event is None else json.dumps([*row.events, event]),
        assignee="" if target in (State.OPEN, State.QUEUED) else row.assignee,
    )
    report_cases.change(connection, number, stands)
    return report_activities.add(connection, activity), activity


def _queued_at(row: CaseRow, state: State, target: State, queue: int | None, at: int) -> int | None:
    """Since when a report is in its queue."""
    if queue is not None:
        return None if queue == NO_QUEUE else at
    return at if target is State.QUEUED and target is not state else row.queued_at


def _row(connection: Connection, number: int) -> CaseRow:
    row = report_cases.find(connection, number)
    if row is None:
        raise ValueError(f"there is no report {number}")
    return row
