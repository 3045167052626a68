"""Rows of who looks after which queue. Plain functions over a connection; what changes anything is called inside a
write. `labeler`: its number; times are microseconds.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from models.database import Connection


class AssignmentRow(NamedTuple):
    """Somebody looks after a queue since `at`, as `by` has said; `ended_at` None: they still do."""

    id: int
    queue: int
    did: str
    at: int
    by: str
    ended_at: int | None = None


_COLUMNS = ", ".join(AssignmentRow._fields)


def page(
    connection: Connection,
    labeler: int,
    before: int,
    most: int,
    *,
    active: bool,
    queues: Sequence[int] = (),
    dids: Sequence[str] = (),
) -> list[AssignmentRow]:
    """At most so many below the number `before`, the newest first. `active`: only of those who still do; `queues`,
    `dids`: only of these, unless there are none.
    """
    where, bindings = "", list[int | str]()
    for column, values in (("queue", queues), ("did", dids)):
        if values:
            where += f" AND {column} IN (SELECT value FROM json_each(?))"
            bindings.append(json.dumps(list(values)))
    index = "queue_assignment_now" if active else "queue_assignment_all"
    query = (
        f"SELECT {_COLUMNS} FROM queue_assignment INDEXED BY {index} WHERE labeler = ? AND id < ?"
        f"{' AND ended_at IS NULL' if active else ''}{where} ORDER BY id DESC LIMIT ?"
    )
    return [AssignmentRow(*row) for row in connection.execute(query, (labeler, before, *bindings, most))]


def find(connection: Connection, queue: int, did: str) -> AssignmentRow | None:
    """That somebody looks after a queue."""
    query = f"SELECT {_COLUMNS} FROM queue_assignment WHERE queue = ? AND did = ? AND ended_at IS NULL"
    row = connection.execute(query, (queue, did)).fetchone()
    return AssignmentRow(*row) if row else None


def count(connection: Connection, queue: int) -> int:
    """How many look after a queue."""
    query = "SELECT count(*) FROM queue_assignment WHERE queue = ? AND ended_at IS NULL"
    return int(connection.execute(query, (queue,)).fetchone()[0])


def add(connection: Connection, labeler: int, queue: int, did: str, at: int, by: str) -> AssignmentRow:
    """Somebody looks after a queue from now on, who did not."""
    row = connection.execute(
        f"INSERT INTO queue_assignment (labeler, queue, did, at, by) VALUES (?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        (labeler, queue, did, at, by),
    ).fetchone()
    return AssignmentRow(*row)


def end(connection: Connection, queue: int, did: str, at: int, by: str) -> bool:
    """Somebody looks after a queue no more; False: they did not."""
    query = (
        "UPDATE queue_assignment SET ended_at = ?, ended_by = ? WHERE queue = ? AND did = ? AND ended_at IS NULL"
        " RETURNING id"
    )
    return bool(connection.execute(query, (at, by, queue, did)).fetchall())


def end_all_of_queue(connection: Connection, queue: int, at: int, by: str) -> None:
    """Nobody looks after a queue any more."""
    query = "UPDATE queue_assignment SET ended_at = ?, ended_by = ? WHERE queue = ? AND ended_at IS NULL"
    connection.execute(query, (at, by, queue))


def end_all_of_member(connection: Connection, labeler: int, did: str, at: int, by: str) -> None:
    """Somebody looks after no queue of a labeler any more."""
    query = "UPDATE queue_assignment SET ended_at = ?, ended_by = ? WHERE labeler = ? AND did = ? AND ended_at IS NULL"
    connection.execute(query, (at, by, labeler, did))
