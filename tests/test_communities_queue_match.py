"""Which queue a report comes into, as tables and against a naive oracle."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.queue_match import (
    ACCOUNT,
    CONVERSATION,
    MESSAGE,
    RECORD,
    SUBJECT_TYPES,
    Criteria,
    Reported,
    criteria,
    first,
    matches,
    overlap,
    reported,
    stands,
)  # fmt: skip
from models.queues import NO_QUEUE, QueueRow
from models.report_cases import ASSIGNED, CLOSED, ESCALATED, OPEN, QUEUED

POST, LIST = "app.bsky.feed.post", "app.bsky.graph.list"
SPAM, RUDE = "spam", "rude"
POSTS = Criteria(frozenset((RECORD,)), POST, frozenset((SPAM,)))
BOTH = Criteria(frozenset((RECORD, ACCOUNT)), POST, frozenset((SPAM, RUDE)))
TALK = Criteria(frozenset((MESSAGE, CONVERSATION)), "", frozenset((SPAM,)))
TABLE = {
    # a queue and a report: whether the one comes into the other
    (POSTS, Reported(RECORD, POST, SPAM)): True,
    (POSTS, Reported(RECORD, LIST, SPAM)): False,
    (POSTS, Reported(RECORD, "", SPAM)): False,
    (POSTS, Reported(RECORD, POST, RUDE)): False,
    (POSTS, Reported(ACCOUNT, "", SPAM)): False,
    (BOTH, Reported(ACCOUNT, "", SPAM)): True,
    (BOTH, Reported(ACCOUNT, "", RUDE)): True,
    (BOTH, Reported(RECORD, POST, RUDE)): True,
    (BOTH, Reported(RECORD, LIST, RUDE)): False,
    (BOTH, Reported(MESSAGE, "", RUDE)): False,
    (TALK, Reported(MESSAGE, "", SPAM)): True,
    (TALK, Reported(CONVERSATION, "", SPAM)): True,
    (TALK, Reported(CONVERSATION, "", RUDE)): False,
    (TALK, Reported(ACCOUNT, "", SPAM)): False,
    (Criteria(), Reported(ACCOUNT, "", SPAM)): False,
    (Criteria(), Reported(RECORD, "", SPAM)): False,
}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_what_comes_into_a_queue(case: tuple[Criteria, Reported]) -> None:
    assert matches(*case) is TABLE[case]


@pytest.mark.parametrize(
    ("path", "convo", "message", "wanted"),
    [
        ("", "", "", (ACCOUNT, "")),
        (f"{POST}/3k", "", "", (RECORD, POST)),
        ("", "c1", "", (CONVERSATION, "")),
        ("", "c1", "m1", (MESSAGE, "")),
    ],
)
def test_what_a_report_is_sorted_by(path: str, convo: str, message: str, wanted: tuple[str, str]) -> None:
    assert reported(path, convo, message, SPAM) == (*wanted, SPAM)


MOVES = {
    # from which state a report comes into a queue, and out of all: its state then
    OPEN: (QUEUED, OPEN),
    QUEUED: (QUEUED, OPEN),
    ASSIGNED: (QUEUED, OPEN),
    ESCALATED: (ESCALATED, ESCALATED),
    CLOSED: (CLOSED, CLOSED),
}


@pytest.mark.parametrize("state", MOVES)
def test_how_a_report_stands_that_was_moved(state: str) -> None:
    assert (stands(state, 3), stands(state, NO_QUEUE)) == MOVES[state]


COLLECTIONS, REASONS = ("", POST, LIST), ("a", "b", "c")
EVERY = [
    Reported(kind, collection, reason)
    for kind, collection, reason in product(SUBJECT_TYPES, COLLECTIONS, REASONS)
    if (kind == RECORD) == bool(collection)
]


def queues() -> st.SearchStrategy[Criteria]:
    """As `createQueue` takes them."""
    kinds = st.frozensets(st.sampled_from(SUBJECT_TYPES), min_size=1)
    reasons = st.frozensets(st.sampled_from(REASONS), min_size=1)
    good = st.tuples(kinds, st.sampled_from(COLLECTIONS[1:]), reasons).map(
        lambda one: Criteria(one[0], one[1] if RECORD in one[0] else "", one[2])
    )
    return st.just(Criteria()) | good


def naive(queue: Criteria) -> set[Reported]:
    """All reports that come into a queue, put together one by one."""
    found = set()
    for kind in queue.subject_types:
        for reason in queue.report_types:
            found.add(Reported(kind, queue.collection if kind == RECORD else "", reason))
    return found


@given(queues())
def test_a_queue_takes_what_it_says(queue: Criteria) -> None:
    assert {report for report in EVERY if matches(queue, report)} == naive(queue)


@given(queues(), queues())
def test_queues_overlap_where_a_report_would_come_into_both(one: Criteria, other: Criteria) -> None:
    assert overlap(one, other) is overlap(other, one) is bool(naive(one) & naive(other))


def row(number: int, queue: Criteria, **more: Any) -> QueueRow:
    texts = tuple(queue.subject_types), queue.collection, tuple(queue.report_types)
    return QueueRow(number, 1, f"n{number}", *texts, (), "", True, 0, "", 0, "")._replace(**more)


@given(st.lists(st.tuples(queues(), st.booleans()), max_size=6), st.sampled_from(EVERY))
def test_the_first_that_is_enabled_takes_it(made: list[tuple[Criteria, bool]], report: Reported) -> None:
    rows = [row(number, queue, enabled=enabled) for number, (queue, enabled) in enumerate(made, 1)]
    assert [criteria(one) for one in rows] == [queue for queue, _ in made]
    takes = [one.id for one, (queue, enabled) in zip(rows, made, strict=True) if enabled and report in naive(queue)]
    assert first(rows, report) == min(takes, default=NO_QUEUE)
