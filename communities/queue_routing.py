"""Reports come into queues and go from one to another, in the transaction in which that is decided. Whatever moves one
passes through `move`.

A report is in one queue at most, of one labeler. When it comes it is sorted by the queues of the labeler to which it
was sent; one that was sent to the service itself by those of the first labeler. What the reporter's program says of
queues is not asked.
"""

from collections.abc import Iterable
from typing import NamedTuple

from communities.queue_match import first, reported, stands
from communities.report_activities import Doing, do
from communities.report_state import Act, State
from models import labelers, queued_cases, queues
from models.database import Connection
from models.queued_cases import Queued
from models.queues import NO_QUEUE, QueueRow
from models.scopes import Scopes


class Routed(NamedTuple):
    """How many reports have come into a queue, and how many into none."""

    assigned: int
    unmatched: int


ROUTER = "router"
"""Who puts a report into a queue when it comes."""


def arrive(connection: Connection, number: int, labeler: str, now: int) -> None:
    """Let a report that has just come (its number) wait in the queue that is for it. Call inside a write.

    `labeler`: the DID of the one to which it was sent; empty: it was sent to the service itself.
    """
    whose = labelers.find(connection, labeler) if labeler else labelers.first(connection)
    rows = queues.live(connection, whose) if whose is not None else []
    if rows:
        case = queued_cases.find(connection, number)
        if case is not None:
            _sort(connection, rows, [case], ROUTER, now)


def route(
    connection: Connection, labeler: int, scopes: Scopes, numbers: tuple[int, int], actor: str, now: int
) -> Routed:
    """Let reports that are in no queue wait in those of a labeler that are for them. Call inside a write.

    `numbers`: the first and the last; `actor`: who wants it (a DID). Doing it again changes nothing. What is closed, or
    with somebody, is left alone.
    """
    cases = queued_cases.unsorted(connection, scopes, *numbers)
    return _sort(connection, queues.live(connection, labeler), cases, actor, now)


def move(
    connection: Connection,
    cases: Iterable[tuple[int, str]],
    queue: int,
    actor: str,
    now: int,
    *,
    note: str = "",
    automated: bool = False,
) -> int:
    """Reports, by number and the state in which they were, are in a queue from now on, or in none (NO_QUEUE); returns
    how many. Call inside a write. `note`: for moderators; the rest: see `report_activities.Doing`.
    """
    moved = 0
    for number, state in cases:
        doing = Doing(Act.QUEUE, actor, note, automated=automated, meta={"queueId": queue})
        do(connection, number, doing, now, target=State(stands(state, queue)), queue=queue)
        moved += 1
    return moved


def clear(connection: Connection, queue: int, target: int, actor: str, now: int) -> int:
    """What waits in a queue waits in another from now on, or (NO_QUEUE) is open; returns how many that were. Call
    inside a write. What was closed in it still names it.
    """
    return move(connection, queued_cases.not_closed(connection, queue), target, actor, now)


def _sort(connection: Connection, rows: list[QueueRow], cases: Iterable[Queued], actor: str, now: int) -> Routed:
    by_queue: dict[int, list[tuple[int, str]]] = {}
    for case in cases:
        found = first(rows, reported(case.path, case.convo, case.message, case.reason_type))
        by_queue.setdefault(found, []).append((case.id, case.state))
    unmatched = len(by_queue.pop(NO_QUEUE, ()))
    moved = (move(connection, found, queue, actor, now, automated=True) for queue, found in by_queue.items())
    return Routed(sum(moved), unmatched)
