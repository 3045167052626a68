"""Rows of the texts that a labeler's team sends again and again. Plain functions over a connection; what changes
anything is called inside a write. `labeler`: its number; times are microseconds.
"""

from typing import Any, NamedTuple

from models.database import Connection

_COLUMNS = "id, name, subject, content, lang, disabled, at, made_by, changed_at, changed_by"
_OF = "FROM template WHERE labeler = ?"


class TemplateRow(NamedTuple):
    """One text. `id`: 0 for one that is not stored yet; `content`: markdown; `lang`: empty if none was said; `made_by`
    and `changed_by`: DIDs.
    """

    id: int
    name: str
    subject: str
    content: str
    lang: str
    disabled: bool
    at: int
    made_by: str
    changed_at: int
    changed_by: str


def every(connection: Connection, labeler: int) -> list[TemplateRow]:
    """All of them, by name."""
    return [_read(row) for row in connection.execute(f"SELECT {_COLUMNS} {_OF} ORDER BY name", (labeler,))]


def find(connection: Connection, labeler: int, number: int) -> TemplateRow | None:
    """The one with that number."""
    row = connection.execute(f"SELECT {_COLUMNS} {_OF} AND id = ?", (labeler, number)).fetchone()
    return _read(row) if row else None


def named(connection: Connection, labeler: int, name: str) -> int | None:
    """The number of the one with exactly that name."""
    row = connection.execute(f"SELECT id {_OF} AND name = ?", (labeler, name)).fetchone()
    return int(row[0]) if row else None


def count(connection: Connection, labeler: int) -> int:
    """How many there are."""
    return int(connection.execute(f"SELECT count(*) {_OF}", (labeler,)).fetchone()[0])


def put(connection: Connection, labeler: int, row: TemplateRow) -> TemplateRow:
    """Store a row, new or changed; returns it with its number."""
    (number,) = connection.execute(
        f"INSERT INTO template (labeler, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO"
        " UPDATE SET name = excluded.name, subject = excluded.subject, content = excluded.content,"
        " lang = excluded.lang, disabled = excluded.disabled, changed_at = excluded.changed_at,"
        " changed_by = excluded.changed_by RETURNING id",
        (labeler, row.id or None, *row[1:]),
    ).fetchone()
    return row._replace(id=number)


def delete(connection: Connection, labeler: int, number: int) -> None:
    """Take a row out."""
    connection.execute(f"DELETE {_OF} AND id = ?", (labeler, number))


def _read(row: tuple[Any, ...]) -> TemplateRow:
    stored = TemplateRow(*row)
    return stored._replace(disabled=bool(stored.disabled))
