"""Rows of what moderators do with reports (`report_activity`): appended, never changed. Plain functions over a
connection. Times are microseconds.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.database import Connection
from models.scopes import Scopes, parts_of_cases
from models.streams import Stream, first_rows


class ActivityRow(NamedTuple):
    """Something that was done; the columns of `report_activity` behind `id`. See there."""

    at: int
    scope: int
    report_case: int
    type: str
    previous: str
    actor: str
    automated: int = 0
    internal_note: str = ""
    public_note: str = ""
    meta: str = "{}"


Numbered = tuple[int, ActivityRow]
COLUMNS = ", ".join(ActivityRow._fields)
_INSERT = f"INSERT INTO report_activity ({COLUMNS}) VALUES ({', '.join('?' * len(ActivityRow._fields))}) RETURNING id"
_LAST = (1 << 63) - 1


def add(connection: Connection, row: ActivityRow) -> int:
    """Append an activity; its number. Call inside a write."""
    return int(connection.execute(_INSERT, row).fetchall()[0][0])


def last_moment(connection: Connection) -> int:
    """When the last activity was."""
    row = connection.execute("SELECT at FROM report_activity ORDER BY id DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def of_case(connection: Connection, number: int, before: int | None, limit: int) -> list[Numbered]:
    """What was done with a report, the newest first, below the number `before`."""
    rows = connection.execute(
        f"SELECT id, {COLUMNS} FROM report_activity INDEXED BY report_activity_case"
        " WHERE report_case = ? AND id < ? ORDER BY id DESC LIMIT ?",
        (number, _LAST if before is None else before, limit),
    )
    return [(row[0], ActivityRow(*row[1:])) for row in rows]


def page(
    connection: Connection,
    scopes: Scopes,
    types: Sequence[str],
    since: int,
    until: int,
    behind: tuple[int, int] | None,
    limit: int,
    *,
    descending: bool,
) -> list[Numbered]:
    """What was done in some scopes from `since` to `until`, in the order of time; `behind`: time and number of the last
    one of the page before.
    """
    streams, rest = _streams(scopes, types), (" AND at BETWEEN ? AND ?", (since, until))
    rows = first_rows(connection, COLUMNS, streams, rest, ("at", "id"), behind, limit, descending=descending)
    return [(number, ActivityRow(*row)) for _, number, *row in rows]


def _streams(scopes: Scopes, types: Sequence[str]) -> Iterator[Stream]:
    """The parts of the table that are each in order of time, by one of its indexes."""
    for kind in types:
        for scope in sorted(scopes.listed):
            cut, own = scopes.within(scope, parts_of_cases("report_activity"))
            there = "report_activity INDEXED BY report_activity_type WHERE scope = ? AND type = ?"
            yield there + cut, (scope, kind, *own)
        if scopes.communities:
            yield "report_activity INDEXED BY report_activity_everywhere WHERE scope > 0 AND type = ?", (kind,)
