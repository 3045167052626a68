"""How a report stands, and by what it comes to stand so. Pure.

    from        to
    open        closed, escalated, queued, assigned
    queued      assigned, open, closed
    assigned    open, closed, escalated, queued
    escalated   open, closed
    closed      open

Source: tools.ozone.report.defs (the statuses and activities), tools.ozone.report.createActivity (the errors).
"""

from enum import StrEnum


class State(StrEnum):
    """How a report stands. As in table `report_case`."""

    OPEN = "open"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    ESCALATED = "escalated"
    CLOSED = "closed"


class Act(StrEnum):
    """What is done with a report, as the lexicon names it behind `#`."""

    QUEUE = "queueActivity"
    ASSIGNMENT = "assignmentActivity"
    ESCALATION = "escalationActivity"
    CLOSE = "closeActivity"
    REOPEN = "reopenActivity"
    NOTE = "noteActivity"


class ReportStateError(Exception):
    """A report cannot come to stand so. `name`: of the error, as the lexicon has it."""

    name = ""


class AlreadyInTargetStateError(ReportStateError):
    """It stands so already."""

    name = "AlreadyInTargetState"


class InvalidStateTransitionError(ReportStateError):
    """From where it stands there is no way."""

    name = "InvalidStateTransition"


TO: dict[State, frozenset[State]] = {
    State.OPEN: frozenset((State.CLOSED, State.ESCALATED, State.QUEUED, State.ASSIGNED)),
    State.QUEUED: frozenset((State.ASSIGNED, State.OPEN, State.CLOSED)),
    State.ASSIGNED: frozenset((State.OPEN, State.CLOSED, State.ESCALATED, State.QUEUED)),
    State.ESCALATED: frozenset((State.OPEN, State.CLOSED)),
    State.CLOSED: frozenset((State.OPEN,)),
}
TARGETS = {
    Act.QUEUE: State.QUEUED,
    Act.ASSIGNMENT: State.ASSIGNED,
    Act.ESCALATION: State.ESCALATED,
    Act.CLOSE: State.CLOSED,
    Act.REOPEN: State.OPEN,
}
"""What each activity leads to; a note leads nowhere."""
UNHELD = frozenset((State.OPEN, State.QUEUED, State.CLOSED))
"""Where nobody works on a report."""


def may_become(state: State, target: State) -> bool:
    """Whether a report that stands so can come to stand as `target`."""
    return target in TO[state]


def after(state: State, act: Act) -> State:
    """How a report stands behind an activity. Raises AlreadyInTargetStateError, InvalidStateTransitionError.

    Only what is closed is reopened: out of a queue, or from somebody, a report comes in other ways.
    """
    target = TARGETS.get(act)
    if target is None:
        return state
    if target is state:
        raise AlreadyInTargetStateError(f"The report is {target} already.")
    if not may_become(state, target) or (act is Act.REOPEN and state is not State.CLOSED):
        raise InvalidStateTransitionError(f"A report that is {state} cannot become {target} by {act}.")
    return target
