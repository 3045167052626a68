"""Rows of the queues into which a labeler's team sorts reports. Plain functions over a connection; what changes
anything is called inside a write. `labeler`: its number; times are microseconds.
"""

import json
from typing import Any, NamedTuple

from models.database import Connection

NO_QUEUE = -1
"""In place of the number of a queue: of a report that is in none."""


class QueueRow(NamedTuple):
    """One queue. `id`: 0 for one that is not stored yet. `subject_types`, `collection` (empty: none), `report_types`:
    what comes here of itself; `policies`: keys that are advised; `deleted_at` None: it is there.
    """

    id: int
    labeler: int
    name: str
    subject_types: tuple[str, ...]
    collection: str
    report_types: tuple[str, ...]
    policies: tuple[str, ...]
    description: str
    enabled: bool
    at: int
    made_by: str
    changed_at: int
    changed_by: str
    deleted_at: int | None = None


_COLUMNS = ", ".join(QueueRow._fields)
_PUT = (
    f"INSERT INTO report_queue ({_COLUMNS}) VALUES ({', '.join('?' * len(QueueRow._fields))}) ON CONFLICT (id)"
    " DO UPDATE SET name = excluded.name, policies = excluded.policies, description = excluded.description,"
    " enabled = excluded.enabled, changed_at = excluded.changed_at, changed_by = excluded.changed_by,"
    " deleted_at = excluded.deleted_at RETURNING id"
)


def live(connection: Connection, labeler: int) -> list[QueueRow]:
    """All that are there, in the order in which they were made."""
    query = f"SELECT {_COLUMNS} FROM report_queue WHERE labeler = ? AND deleted_at IS NULL ORDER BY id"
    return [_read(row) for row in connection.execute(query, (labeler,))]


def find(connection: Connection, labeler: int, number: int) -> QueueRow | None:
    """The one with that number, also if it was deleted."""
    query = f"SELECT {_COLUMNS} FROM report_queue WHERE id = ? AND labeler = ?"
    row = connection.execute(query, (number, labeler)).fetchone()
    return _read(row) if row else None


def put(connection: Connection, row: QueueRow) -> QueueRow:
    """Store a row, new or changed (what comes into it never changes); returns it with its number."""
    texts = (json.dumps(names) for names in (row.subject_types, row.report_types, row.policies))
    subject_types, report_types, policies = texts
    stored = (row.id or None, row.labeler, row.name, subject_types, row.collection, report_types, policies)
    (number,) = connection.execute(_PUT, (*stored, *row[7:])).fetchone()
    return row._replace(id=number)


def _read(row: tuple[Any, ...]) -> QueueRow:
    stored = QueueRow(*row)
    return stored._replace(
        subject_types=tuple(json.loads(row[3])),
        report_types=tuple(json.loads(row[5])),
        policies=tuple(json.loads(row[6])),
        enabled=bool(stored.enabled),
    )
