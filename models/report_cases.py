"""Rows of reports as moderators work on them, one for each scope that a report reaches (`report_case`). Plain functions
over a connection; what changes anything is called inside a write. Times are microseconds.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from models.database import Connection
from models.mod_events import SubjectKey
from models.scopes import Scopes, cases

OPEN, QUEUED, ASSIGNED, ESCALATED, CLOSED = "open", "queued", "assigned", "escalated", "closed"
"""The states of a report."""


class CaseRow(NamedTuple):
    """A report in a scope; the columns of `report_case` behind `id`. See there."""

    report: int
    scope: int
    subject: int
    at: int
    changed_at: int
    state: str
    queue: int = -1
    queued_at: int | None = None
    closed_at: int | None = None
    muted: int = 0
    note: str = ""
    actions: str = "[]"
    reason_type: str = ""
    about: str = ""
    assignee: str = ""

    @property
    def events(self) -> list[int]:
        """The events that closed or escalated it, the oldest first."""
        return list(json.loads(self.actions))


class Told(NamedTuple):
    """A report in a scope with what its reporter said. `cid`: the version that was seen; `tool`: what sent it."""

    id: int
    key: SubjectKey
    reporter: str
    reason: str
    cid: str
    tool: str
    row: CaseRow


COLUMNS = ", ".join(CaseRow._fields)
_INSERT = f"INSERT INTO report_case (id, {COLUMNS}) VALUES (?, {', '.join('?' * len(CaseRow._fields))})"
_CHANGE = (
    "UPDATE report_case SET changed_at = ?, state = ?, queue = ?, queued_at = ?, closed_at = ?, note = ?, actions = ?,"
    " assignee = ? WHERE id = ?"
)
_TOLD = (
    "SELECT c.id, s.did, s.path, s.convo, r.reporter, r.reason, r.cid, r.tool,"
    f" {', '.join(f'c.{name}' for name in CaseRow._fields)} FROM json_each(?) n"
    " CROSS JOIN report_case c ON c.id = n.value JOIN report r ON r.id = c.report JOIN subject s ON s.id = c.subject"
    " ORDER BY n.key"
)


def put(connection: Connection, number: int, row: CaseRow) -> None:
    """Keep a report for those whom it reaches; `number`: of the event by which it does."""
    connection.execute(_INSERT, (number, *row))


def find(connection: Connection, number: int) -> CaseRow | None:
    """A report in a scope, by its number."""
    row = connection.execute(f"SELECT {COLUMNS} FROM report_case WHERE id = ?", (number,)).fetchone()
    return CaseRow(*row) if row else None


def change(connection: Connection, number: int, row: CaseRow) -> None:
    """Let a report stand so from now on. What it is about, and when it came, stays."""
    stands = (row.changed_at, row.state, row.queue, row.queued_at, row.closed_at, row.note, row.actions, row.assignee)
    connection.execute(_CHANGE, (*stands, number))


def told(connection: Connection, numbers: Iterable[int]) -> list[Told]:
    """Reports with all that is shown of them, in the order of the numbers."""
    rows = connection.execute(_TOLD, (json.dumps(list(numbers)),))
    return [
        Told(number, SubjectKey(did, path, convo), reporter, reason, cid, tool, CaseRow(*row))
        for number, did, path, convo, reporter, reason, cid, tool, *row in rows
    ]


def waiting(connection: Connection, scope: int, subject: int) -> list[tuple[int, CaseRow]]:
    """The reports of a subject in a scope that are not closed, each with its number, by number."""
    rows = connection.execute(
        f"SELECT id, {COLUMNS} FROM report_case INDEXED BY report_case_waiting"
        " WHERE subject = ? AND scope = ? AND state != 'closed' ORDER BY id",
        (subject, scope),
    )
    return [(row[0], CaseRow(*row[1:])) for row in rows]


def count_waiting(connection: Connection, scopes: Scopes, scope: int, subject: int) -> int:
    """How many reports of a subject in a scope are not closed, of those that are seen."""
    cut, bindings = scopes.within(scope, cases("report_case"))
    query = (
        "SELECT count(*) FROM report_case INDEXED BY report_case_waiting"
        f" WHERE subject = ? AND scope = ? AND state != 'closed'{cut}"
    )
    return int(connection.execute(query, (subject, scope, *bindings)).fetchone()[0])


def scopes(connection: Connection, report: int) -> set[int]:
    """The scopes that a report has reached."""
    return {scope for (scope,) in connection.execute("SELECT scope FROM report_case WHERE report = ?", (report,))}


def scopes_waiting(connection: Connection, subject: int) -> list[int]:
    """The scopes in which reports of a subject are not closed."""
    query = (
        "SELECT DISTINCT scope FROM report_case INDEXED BY report_case_waiting"
        " WHERE subject = ? AND state != 'closed' ORDER BY scope"
    )
    return [scope for (scope,) in connection.execute(query, (subject,))]


def has_reported(connection: Connection, scopes: Scopes, scope: int, did: str) -> bool:
    """Whether an account has reported anything to a scope that is seen."""
    cut, bindings = scopes.within(scope, cases("c"))
    there = f"report r JOIN report_case c ON c.report = r.id AND c.scope = ?{cut}"
    query = f"SELECT 1 FROM {there} WHERE r.reporter = ? LIMIT 1"
    return connection.execute(query, (scope, *bindings, did)).fetchone() is not None


def count_about(connection: Connection, scopes: Scopes, did: str) -> tuple[int, int]:
    """How many reports of an account and of what is of it are seen, and how many of these are not closed; those of
    muted reporters left out.
    """
    seen, bindings = scopes.where(cases("c"))
    query = (
        "SELECT count(*), count(*) FILTER (WHERE c.state != 'closed') FROM subject s CROSS JOIN report_case c"
        f" INDEXED BY report_case_subject ON c.subject = s.id WHERE s.did = ? AND c.muted = 0 AND {seen}"
    )
    every, waiting = connection.execute(query, (did, *bindings)).fetchone()
    return every, waiting


def touch(connection: Connection, report: int, now: int) -> None:
    """A report was made again, while it waits."""
    connection.execute(
        "UPDATE report_case SET changed_at = ? WHERE report = ? AND state != 'closed'",
        (now, report),
    )


_APPEALS = "EXISTS (SELECT 1 FROM report r WHERE r.id = report_case.report AND r.reason_type LIKE '%#reasonAppeal')"


_WAITS = (
    f"SELECT 1 FROM report_case WHERE subject = ? AND scope = ? AND state != 'closed' AND NOT {_APPEALS} AND NOT EXISTS"
    " (SELECT 1 FROM mod_event e INDEXED BY mod_event_decided WHERE e.subject = report_case.subject"
    " AND e.scope = report_case.scope AND e.id > report_case.id AND e.type IN ('modEventTakedown',"
    " 'modEventReverseTakedown', 'modEventLabel', 'modEventAcknowledge') AND e.type != 'modEventLabel') LIMIT 1"
)


def others_wait(connection: Connection, scope: int, subject: int) -> bool:
    """Whether a subject was reported in a scope, by others than those who appeal, and nobody has decided since."""
    return connection.execute(_WAITS, (subject, scope)).fetchone() is not None
