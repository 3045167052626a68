"""How reports come to stand: every activity in every state by table, and what holds of any row of activities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.report_state import (
    TO,
    Act,
    AlreadyInTargetStateError,
    InvalidStateTransitionError,
    ReportStateError,
    State,
    after,
    may_become,
)

FROM_TO = """
open        closed escalated queued assigned
queued      assigned open closed
assigned    open closed escalated queued
escalated   open closed
closed      open
"""
LEADS = """
            queue       assignment  escalation  close       reopen      note
open        queued      assigned    escalated   closed      same        open
queued      same        assigned    no          closed      no          queued
assigned    queued      same        escalated   closed      no          assigned
escalated   no          no          same        closed      no          escalated
closed      no          no          no          same        open        closed
"""
ACTS = ("queue", "assignment", "escalation", "close", "reopen", "note")
ROWS = [line.split() for line in LEADS.strip().splitlines()[1:]]
EVERY = [(row[0], act, found) for row in ROWS for act, found in zip(ACTS, row[1:], strict=True)]
REFUSED = {"same": AlreadyInTargetStateError, "no": InvalidStateTransitionError}


def test_the_table_of_ways() -> None:
    table = {State(first): {State(one) for one in rest} for first, *rest in map(str.split, FROM_TO.strip().split("\n"))}
    assert table == TO
    for state in State:
        for target in State:
            assert may_become(state, target) is (target in table[state])


@pytest.mark.parametrize(("state", "act", "found"), EVERY)
def test_every_activity_in_every_state(state: str, act: str, found: str) -> None:
    if found not in REFUSED:
        assert after(State(state), Act(f"{act}Activity")) is State(found)
        return
    with pytest.raises(REFUSED[found]) as refused:
        after(State(state), Act(f"{act}Activity"))
    assert refused.value.name == {"same": "AlreadyInTargetState", "no": "InvalidStateTransition"}[found]


@given(st.sampled_from(State), st.lists(st.sampled_from(Act)))
def test_any_row_of_activities_goes_the_ways_of_the_table(state: State, acts: list[Act]) -> None:
    for act in acts:
        try:
            target = after(state, act)
        except AlreadyInTargetStateError:
            assert act is not Act.NOTE
            continue
        except ReportStateError:
            assert act is Act.REOPEN or after_everything(act) not in TO[state]
            continue
        assert target is state if act is Act.NOTE else may_become(state, target)
        state = target


def after_everything(act: Act) -> State:
    """Where an activity leads that is taken somewhere."""
    return next(after(state, act) for state in State if leads(state, act))


def leads(state: State, act: Act) -> bool:
    try:
        return after(state, act) is not state
    except ReportStateError:
        return False


@given(st.lists(st.sampled_from(Act), min_size=1))
def test_nothing_that_is_closed_comes_back_but_by_reopening(acts: list[Act]) -> None:
    state = State.CLOSED
    for act in acts:
        try:
            target = after(state, act)
        except ReportStateError:
            continue
        if state is State.CLOSED and target is not State.CLOSED:
            assert (act, target) == (Act.REOPEN, State.OPEN)
        state = target
