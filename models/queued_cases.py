"""Rows of reports (`report_case`) as far as they lie in queues. Plain functions over a connection. Times are
microseconds.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from models.database import Connection
from models.queues import NO_QUEUE
from models.report_cases import ASSIGNED, CLOSED, ESCALATED, OPEN, QUEUED
from models.scopes import Scopes, cases


class Queued(NamedTuple):
    """A report in a scope, and what it is sorted by. `id`: that of the row of `report_case`."""

    id: int
    scope: int
    state: str
    queue: int
    at: int
    changed_at: int
    queued_at: int | None
    muted: int
    path: str
    convo: str
    message: str
    reason_type: str


class Counts(NamedTuple):
    """How much is in a queue: what waits, what was escalated and is not closed; and since a moment: what came, what was
    closed, and how long (microseconds) all of that took together.
    """

    waiting: int = 0
    escalated: int = 0
    came: int = 0
    closed: int = 0
    took: int = 0


_SELECT = (
    "SELECT c.id, c.scope, c.state, c.queue, c.at, c.changed_at, c.queued_at, c.muted, s.path, s.convo, r.message,"
    " r.reason_type FROM report_case c JOIN subject s ON s.id = c.subject JOIN report r ON r.id = c.report"
)
_WAITING = (OPEN, QUEUED, ASSIGNED)
_NOT_CLOSED = (*_WAITING, ESCALATED)


def find(connection: Connection, number: int) -> Queued | None:
    """The one with that number."""
    row = connection.execute(f"{_SELECT} WHERE c.id = ?", (number,)).fetchone()
    return Queued(*row) if row else None


def unsorted(connection: Connection, scopes: Scopes, first: int, last: int) -> list[Queued]:
    """Those with numbers from `first` to `last` that are in no queue, and neither closed nor with somebody."""
    where, bindings = scopes.where(cases("c"))
    query = f"{_SELECT} WHERE c.id BETWEEN ? AND ? AND c.queue = ? AND c.state IN (?, ?) AND {where} ORDER BY c.id"
    rows = connection.execute(query, (first, last, NO_QUEUE, OPEN, ESCALATED, *bindings))
    return [Queued(*row) for row in rows]


def not_closed(connection: Connection, queue: int) -> list[tuple[int, str]]:
    """Number and state of those in a queue that nobody has closed."""
    query = "SELECT id, state FROM report_case WHERE queue = ? AND state IN (SELECT value FROM json_each(?))"
    return connection.execute(query, (queue, json.dumps(_NOT_CLOSED))).fetchall()


def counts(connection: Connection, queues: Sequence[int], since: int) -> dict[int, Counts]:
    """How much is in each of these queues. It costs as much as there is in them that is not closed, or younger than
    `since`; all of it is read from indexes.
    """
    asked = json.dumps(list(queues))
    among = "queue IN (SELECT value FROM json_each(?1))"
    found = {queue: Counts() for queue in queues}
    query = (
        "SELECT queue, sum(state != ?2), sum(state = ?2) FROM report_case INDEXED BY report_case_queue"
        f" WHERE {among} AND state IN (SELECT value FROM json_each(?3)) GROUP BY queue"
    )
    for queue, waiting, escalated in connection.execute(query, (asked, ESCALATED, json.dumps(_NOT_CLOSED))):
        found[queue] = found[queue]._replace(waiting=waiting, escalated=escalated)
    query = (
        "SELECT queue, count(*) FROM report_case INDEXED BY report_case_queue"
        f" WHERE {among} AND state IN (SELECT value FROM json_each(?2)) AND at >= ?3 GROUP BY queue"
    )
    for queue, came in connection.execute(query, (asked, json.dumps((*_NOT_CLOSED, CLOSED)), since)):
        found[queue] = found[queue]._replace(came=came)
    query = (
        "SELECT queue, count(*), sum(max(closed_at - at, 0)) FROM report_case INDEXED BY report_case_closed"
        f" WHERE {among} AND closed_at >= ?2 AND state = 'closed' GROUP BY queue"
    )
    for queue, closed, took in connection.execute(query, (asked, since)):
        found[queue] = found[queue]._replace(closed=closed, took=took)
    return found
