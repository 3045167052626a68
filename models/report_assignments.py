"""Rows of who works on which report (`report_assignment`). Plain functions over a connection; what changes anything is
called inside a write. Times are microseconds.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.database import Connection
from models.scopes import Scopes, parts_of_cases
from models.streams import Stream, first_rows


class AssignmentRow(NamedTuple):
    """Somebody who works on a report; the columns of `report_assignment` behind `id`. See there."""

    report_case: int
    scope: int
    did: str
    at: int
    until: int | None
    permanent: int
    queue: int
    made_by: str


Numbered = tuple[int, AssignmentRow]
COLUMNS = ", ".join(AssignmentRow._fields)
_SELECT = f"SELECT id, {COLUMNS} FROM report_assignment"
_INSERT = (
    f"INSERT INTO report_assignment ({COLUMNS}) VALUES ({', '.join('?' * len(AssignmentRow._fields))}) RETURNING id"
)


def add(connection: Connection, row: AssignmentRow) -> int:
    """Keep a new one; its number."""
    return int(connection.execute(_INSERT, row).fetchall()[0][0])


def change(connection: Connection, number: int, row: AssignmentRow) -> None:
    """Let one last from `at` to `until`."""
    connection.execute(
        "UPDATE report_assignment SET at = ?, until = ?, queue = ? WHERE id = ?", (row.at, row.until, row.queue, number)
    )


def held(connection: Connection, case: int) -> Numbered | None:
    """Whose a report is for good."""
    query = f"{_SELECT} INDEXED BY report_assignment_one WHERE report_case = ? AND until IS NULL"
    return _one(connection, query, case)


def looking(connection: Connection, case: int, did: str) -> Numbered | None:
    """When somebody looked at a report, or does."""
    query = f"{_SELECT} INDEXED BY report_assignment_look WHERE report_case = ? AND did = ? AND permanent = 0"
    return _one(connection, query, case, did)


def last_held(connection: Connection, case: int, did: str) -> Numbered | None:
    """When a report was last somebody's for good, or is."""
    query = f"{_SELECT} INDEXED BY report_assignment_case WHERE report_case = ? AND did = ? AND permanent = 1"
    return _one(connection, f"{query} ORDER BY id DESC LIMIT 1", case, did)


def page(
    connection: Connection,
    scopes: Scopes,
    active_at: int | None,
    cases: Sequence[int],
    dids: Sequence[str],
    before: int | None,
    limit: int,
) -> list[Numbered]:
    """Who works on reports of some scopes, the newest first, below the number `before`. `active_at`: those alone that
    last then; `cases`, `dids`: of these reports and these moderators alone, unless they are empty.
    """
    rest, bindings = scopes.where(parts_of_cases("report_assignment", "scope"))
    for column, listed in (("report_case", cases), ("did", dids)):
        if listed:
            rest, bindings = (
                f"{rest} AND {column} IN (SELECT value FROM json_each(?))",
                (*bindings, json.dumps([*listed])),
            )
    rows = first_rows(
        connection, COLUMNS, _streams(scopes, active_at, cases, dids), (f" AND {rest}", bindings), ("id",),
        None if before is None else (before,), limit, descending=True,
    )  # fmt: skip
    return [(number, AssignmentRow(*row)) for number, *row in rows]


def _streams(scopes: Scopes, active_at: int | None, cases: Sequence[int], dids: Sequence[str]) -> Iterator[Stream]:
    """The parts of the table that are each read by one of its indexes; none of them overlap."""
    held = active_at is not None
    if held:
        # Those who are just looking are never more than a team does in a few minutes.
        yield (
            "report_assignment INDEXED BY report_assignment_until WHERE until IS NOT NULL AND until > ?",
            (active_at or 0,),
        )
    kept = " AND until IS NULL" if held else ""
    if cases:
        index = "one" if held else "case"
        for case in dict.fromkeys(cases):
            yield f"report_assignment INDEXED BY report_assignment_{index} WHERE report_case = ?{kept}", (case,)
    elif dids:
        index = "did_held" if held else "did"
        for did in dict.fromkeys(dids):
            yield f"report_assignment INDEXED BY report_assignment_{index} WHERE did = ?{kept}", (did,)
    else:
        index = "held" if held else "scope"
        for scope in sorted(scopes.listed):
            yield f"report_assignment INDEXED BY report_assignment_{index} WHERE scope = ?{kept}", (scope,)
        if scopes.communities:
            index = "held_everywhere" if held else "everywhere"
            yield f"report_assignment INDEXED BY report_assignment_{index} WHERE scope > 0{kept}", ()


def _one(connection: Connection, query: str, *bindings: int | str) -> Numbered | None:
    row = connection.execute(query, bindings).fetchone()
    return (row[0], AssignmentRow(*row[1:])) if row else None
