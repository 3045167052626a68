"""Rows of the sets of texts that a labeler's team keeps. Plain functions over a connection; what changes anything is
called inside a write. `labeler`: its number; times are microseconds.
"""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from models.database import Connection

_COLUMNS = "id, name, description, size, last, at, made_by, changed_at, changed_by"
_OF = "FROM value_set WHERE labeler = ?"
_AFTER_ALL = "\U0010ffff"


class Order(Enum):
    """By what a list of sets goes; those of one time go by name."""

    NAME = "0"
    MADE = "at"
    CHANGED = "changed_at"


class SetRow(NamedTuple):
    """One set. `size`: how many values it has; `last`: the highest number that one of them ever had; `made_by` and
    `changed_by`: DIDs.
    """

    id: int
    name: str
    description: str
    size: int
    last: int
    at: int
    made_by: str
    changed_at: int
    changed_by: str

    def place(self, order: Order) -> tuple[int, str]:
        """Where it stands in a list."""
        return {Order.NAME: 0, Order.MADE: self.at, Order.CHANGED: self.changed_at}[order], self.name


def find(connection: Connection, labeler: int, name: str) -> SetRow | None:
    """The set of exactly that name."""
    row = connection.execute(f"SELECT {_COLUMNS} {_OF} AND name = ?", (labeler, name)).fetchone()
    return SetRow(*row) if row else None


def page(
    connection: Connection,
    labeler: int,
    order: Order,
    after: tuple[int, str] | None,
    most: int,
    *,
    falling: bool = False,
    prefix: str = "",
) -> list[SetRow]:
    """At most so many whose names begin with `prefix`, behind the place `after`, or from the beginning."""
    where, bindings = "", list[int | str]()
    if after is not None:
        where, bindings = f"AND ({order.value}, name) {'<' if falling else '>'} (?, ?)", [*after]
    if prefix:
        where, bindings = f"{where} AND name >= ? AND name < ?", [*bindings, prefix, prefix + _AFTER_ALL]
    way = "DESC" if falling else "ASC"
    by = "" if order is Order.NAME else f"{order.value} {way}, "
    rows = connection.execute(
        f"SELECT {_COLUMNS} {_OF} {where} ORDER BY {by}name {way} LIMIT ?", (labeler, *bindings, most)
    )
    return [SetRow(*row) for row in rows]


def count(connection: Connection, labeler: int) -> tuple[int, int]:
    """How many sets there are, and how many values in all of them."""
    sets, values = connection.execute(f"SELECT count(*), coalesce(sum(size), 0) {_OF}", (labeler,)).fetchone()
    return sets, values


def put(connection: Connection, labeler: int, name: str, description: str, at: int, by: str) -> SetRow:
    """A set of that name is described so from now on; what it holds stays, as does who made it and when."""
    row = connection.execute(
        "INSERT INTO value_set (labeler, name, description, at, made_by, changed_at, changed_by)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?5) ON CONFLICT (labeler, name) DO UPDATE SET"
        f" description = ?3, changed_at = ?4, changed_by = ?5 RETURNING {_COLUMNS}",
        (labeler, name, description, at, by),
    ).fetchone()
    return SetRow(*row)


def delete(connection: Connection, row: SetRow) -> None:
    """Take a set out, with all that it holds."""
    connection.execute("DELETE FROM set_value WHERE value_set = ?", (row.id,))
    connection.execute("DELETE FROM value_set WHERE id = ?", (row.id,))


def values(connection: Connection, row: SetRow, after: int, most: int) -> list[tuple[int, str]]:
    """At most so many numbers and values behind the number `after`, in the order in which they came."""
    query = "SELECT number, value FROM set_value WHERE value_set = ? AND number > ? ORDER BY number LIMIT ?"
    return connection.execute(query, (row.id, after, most)).fetchall()


def add(connection: Connection, row: SetRow, new: Iterable[str], at: int, by: str) -> int:
    """Values are in the set from now on; those that are already stay where they are. Returns how many came."""
    cursor, last = connection.cursor(), row.last
    for value in new:
        added = cursor.execute(
            "INSERT INTO set_value (value_set, number, value) VALUES (?, ?, ?)"
            " ON CONFLICT (value_set, value) DO NOTHING RETURNING number",
            (row.id, last + 1, value),
        ).fetchall()
        last += len(added)
    return _changed(connection, row, last - row.last, last, at, by)


def take_out(connection: Connection, row: SetRow, old: Iterable[str], at: int, by: str) -> int:
    """Values are in the set no more, if they were. Returns how many went."""
    cursor, gone = connection.cursor(), 0
    for value in old:
        query = "DELETE FROM set_value WHERE value_set = ? AND value = ? RETURNING number"
        gone += len(cursor.execute(query, (row.id, value)).fetchall())
    return -_changed(connection, row, -gone, row.last, at, by)


def _changed(connection: Connection, row: SetRow, more: int, last: int, at: int, by: str) -> int:
    """Note that a set has so many values more; what changes nothing is not noted."""
    if more:
        connection.execute(
            "UPDATE value_set SET size = ?, last = ?, changed_at = ?, changed_by = ? WHERE id = ?",
            (row.size + more, last, at, by, row.id),
        )
    return more
