"""The first rows of several streams, each of which an index gives in one order: so a page costs what it shows, however
many rows there are. Plain functions over a connection.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from models.database import Connection

Stream = tuple[str, tuple[Any, ...]]
"""A table and a condition, as they stand behind FROM, and their bindings."""


def first_rows(
    connection: Connection,
    columns: str,
    streams: Iterable[Stream],
    rest: Stream,
    place: Sequence[str],
    behind: Sequence[int] | None,
    limit: int,
    *,
    descending: bool,
) -> list[tuple[Any, ...]]:
    """The first rows of all streams together, each with its place (the columns `place`, by which each stream is in
    order and no two rows are the same) and `columns` behind it.

    `rest`: a condition on all of them (it begins with AND, or is empty); `behind`: the place of the last row of the
    page before. Of a stream nothing is read that would come behind a whole page of rows found already.
    """
    sign, back = ("<", ">") if descending else (">", "<")
    names, marks = ", ".join(place), ", ".join("?" * len(place))
    order = ", ".join(f"{name} {'DESC' if descending else 'ASC'}" for name in place)
    beyond = f" AND ({names}) {sign} ({marks})" if behind is not None else ""
    pick = heapq.nlargest if descending else heapq.nsmallest
    found: list[tuple[Any, ...]] = []
    for stream, bindings in streams:
        query, given = (
            f"SELECT {names}, {columns} FROM {stream}{rest[0]}{beyond}",
            (*bindings, *rest[1], *(behind or ())),
        )
        if len(found) == limit:
            query, given = f"{query} AND ({names}) {back} ({marks})", (*given, *found[-1][: len(place)])
        rows = connection.execute(f"{query} ORDER BY {order} LIMIT ?", (*given, limit)).fetchall()
        if rows:
            found = pick(limit, found + rows, key=lambda row: row[: len(place)])
    return found
