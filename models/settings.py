"""Rows of what moderators' clients have set up for a labeler. Plain functions over a connection; what changes anything
is called inside a write. `labeler`: its number; `owner`: a DID, empty for what is the whole team's. Times are
microseconds.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from models.database import Connection

_COLUMNS = "key, value, description, manager, at, made_by, changed_at, changed_by"
_OF = "FROM setting WHERE labeler = ? AND owner = ?"
_AFTER_ALL = "\U0010ffff"


class SettingRow(NamedTuple):
    """One setting. `value`: JSON; `manager`: the role that may change it (`models.team`), 0 for its owner alone."""

    key: str
    value: str
    description: str
    manager: int
    at: int
    made_by: str
    changed_at: int
    changed_by: str


def find(connection: Connection, labeler: int, owner: str, key: str) -> SettingRow | None:
    """The setting of that name."""
    row = connection.execute(f"SELECT {_COLUMNS} {_OF} AND key = ?", (labeler, owner, key)).fetchone()
    return SettingRow(*row) if row else None


def page(
    connection: Connection,
    labeler: int,
    owner: str,
    after: str,
    most: int,
    *,
    prefix: str = "",
    keys: Sequence[str] = (),
) -> list[SettingRow]:
    """At most so many behind the key `after`, by key: those that begin with `prefix`, or else are named by `keys`, or
    else all.
    """
    where, bindings = "AND key > ?", [after]
    if prefix:
        where, bindings = f"{where} AND key >= ? AND key < ?", [after, prefix, prefix + _AFTER_ALL]
    elif keys:
        where, bindings = f"{where} AND key IN (SELECT value FROM json_each(?))", [after, json.dumps(list(keys))]
    rows = connection.execute(
        f"SELECT {_COLUMNS} {_OF} {where} ORDER BY key LIMIT ?", (labeler, owner, *bindings, most)
    )
    return [SettingRow(*row) for row in rows]


def count(connection: Connection, labeler: int, owner: str) -> int:
    """How many there are."""
    return int(connection.execute(f"SELECT count(*) {_OF}", (labeler, owner)).fetchone()[0])


def put(connection: Connection, labeler: int, owner: str, row: SettingRow) -> None:
    """Store a setting, new or changed."""
    connection.execute(
        f"INSERT OR REPLACE INTO setting (labeler, owner, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (labeler, owner, *row),
    )


def delete(connection: Connection, labeler: int, owner: str, key: str) -> None:
    """Take a setting out."""
    connection.execute(f"DELETE {_OF} AND key = ?", (labeler, owner, key))
