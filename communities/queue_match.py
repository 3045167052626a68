"""Which queue a report comes into, and how it stands there. Pure.

A queue says of what kind a subject must be, of what collection a record, and for which reasons. One that says nothing
of that takes no report of itself. Source: tools.ozone.queue.defs, tools.ozone.queue.createQueue.
"""

from collections.abc import Iterable
from typing import NamedTuple

from models.queues import NO_QUEUE, QueueRow
from models.report_cases import CLOSED, ESCALATED, OPEN, QUEUED

ACCOUNT, RECORD, MESSAGE, CONVERSATION = "account", "record", "message", "conversation"
SUBJECT_TYPES = (ACCOUNT, RECORD, MESSAGE, CONVERSATION)


class Reported(NamedTuple):
    """What a report is sorted by. `collection`: of a record, empty for anything else."""

    subject_type: str
    collection: str
    reason_type: str


class Criteria(NamedTuple):
    """What comes into a queue of itself. `collection`: of records; what else there is may be of none."""

    subject_types: frozenset[str] = frozenset()
    collection: str = ""
    report_types: frozenset[str] = frozenset()


def reported(path: str, convo: str, message: str, reason_type: str) -> Reported:
    """What a report is sorted by. `path`: COLLECTION/RKEY; it, `convo` and `message` are empty for what the subject has
    not.
    """
    if convo:
        return Reported(MESSAGE if message else CONVERSATION, "", reason_type)
    return Reported(RECORD if path else ACCOUNT, path.partition("/")[0], reason_type)


def criteria(row: QueueRow) -> Criteria:
    """What comes into this queue."""
    return Criteria(frozenset(row.subject_types), row.collection, frozenset(row.report_types))


def matches(queue: Criteria, report: Reported) -> bool:
    """Whether a report comes into a queue."""
    if report.subject_type not in queue.subject_types or report.reason_type not in queue.report_types:
        return False
    return report.subject_type != RECORD or report.collection == queue.collection


def overlap(one: Criteria, other: Criteria) -> bool:
    """Whether there can be a report that comes into both."""
    kinds = one.subject_types & other.subject_types
    if one.collection != other.collection:
        kinds -= {RECORD}
    return bool(kinds and one.report_types & other.report_types)


def first(queues: Iterable[QueueRow], report: Reported) -> int:
    """The number of the first of these queues into which a report comes; NO_QUEUE: of none. Those that are disabled
    take nothing.
    """
    return next((row.id for row in queues if row.enabled and matches(criteria(row), report)), NO_QUEUE)


def stands(was: str, queue: int) -> str:
    """The state of a report that is in this queue, or in none, from now on.

    What was escalated stays so, an appeal above all: a queue says where it waits, and does not take back that it has to
    be looked at first. What is closed stays closed. Anything else waits for whoever looks after the queue.
    """
    if was in (ESCALATED, CLOSED):
        return was
    return OPEN if queue == NO_QUEUE else QUEUED
