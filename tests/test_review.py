"""How a subject stands, folded from its events: every effect by table, and what holds of any row of events."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.mod_event import HOUR, Kind, ModEvent
from communities.review import MUTED_MICROS, REVIEWS, Hosting, State, Status, fold

AT = 1_790_000_000_000_000
SPAM = "com.atproto.moderation.defs#reasonSpam"
APPEALS = ("com.atproto.moderation.defs#reasonAppeal", "tools.ozone.report.defs#reasonAppeal")
NEEDED: dict[Kind, dict[str, Any]] = {
    Kind.REPORT: {"reportType": SPAM},
    Kind.LABEL: {"createLabelVals": ["spam"], "negateLabelVals": []},
    Kind.MUTE: {"durationInHours": 3},
    Kind.TAG: {"add": ["a"], "remove": []},
    Kind.PRIORITY_SCORE: {"score": 7},
    Kind.ACCOUNT: {"active": True, "timestamp": "2026-01-01T00:00:00Z"},
    Kind.RECORD: {"op": "update", "timestamp": "2026-01-01T00:00:00Z"},
}


def event(kind: Kind, at: int = AT, comment: str = "", **said: Any) -> ModEvent:
    """An event with what its kind needs, and what is said besides."""
    return ModEvent(kind, at, "did:plc:m", comment=comment, said={**NEEDED.get(kind, {}), **said})


def after(*events: ModEvent) -> Status:
    """How a subject stands behind these."""
    status: Status | None = None
    for one in events:
        status = fold(status, one)
    assert status is not None
    return status


APPEAL = event(Kind.REPORT, reportType=APPEALS[0])
TO_STATE: dict[Kind, dict[State, State]] = {
    Kind.REPORT: {
        State.NONE: State.OPEN,
        State.OPEN: State.OPEN,
        State.ESCALATED: State.ESCALATED,
        State.CLOSED: State.OPEN,
    },
    Kind.ACKNOWLEDGE: dict.fromkeys(State, State.CLOSED),
    Kind.ESCALATE: dict.fromkeys(State, State.ESCALATED),
    Kind.TAKEDOWN: dict.fromkeys(State, State.CLOSED),
    Kind.REVERSE_TAKEDOWN: dict.fromkeys(State, State.CLOSED),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", State)
def test_every_event_in_every_state(state: State, kind: Kind) -> None:
    expected = TO_STATE.get(kind, {one: one for one in State})[state]
    assert fold(Status(state=state), event(kind)).state is expected


@pytest.mark.parametrize("reason", APPEALS)
@pytest.mark.parametrize("state", State)
def test_an_appeal_escalates_from_every_state(state: State, reason: str) -> None:
    found = fold(Status(state=state), event(Kind.REPORT, reportType=reason))
    assert (found.state, found.appealed, found.appealed_at) == (State.ESCALATED, True, AT)
    assert (found.reports, found.appeals, found.escalations) == (0, 1, 1)


def test_a_first_event_that_sets_no_state_leaves_none() -> None:
    assert after(event(Kind.COMMENT)).state is State.NONE


@pytest.mark.parametrize("kind", Kind)
def test_only_a_review_says_who_has_looked(kind: Kind) -> None:
    found = after(event(kind))
    assert (found.reviewed_by, found.reviewed_at) == (("did:plc:m", AT) if kind in REVIEWS else ("", None))


@pytest.mark.parametrize(
    ("kind", "appealed"),
    [
        (Kind.ACKNOWLEDGE, True),
        (Kind.ESCALATE, True),
        (Kind.LABEL, True),
        (Kind.REVERSE_TAKEDOWN, True),
        (Kind.REPORT, True),
        (Kind.TAKEDOWN, True),
        (Kind.RESOLVE_APPEAL, False),
    ],
)
def test_what_answers_an_appeal(kind: Kind, *, appealed: bool) -> None:
    assert after(APPEAL, event(kind)).appealed is appealed
    never = {Kind.RESOLVE_APPEAL: False}.get(kind)
    assert after(event(kind)).appealed is never


def test_a_takedown_for_a_time_is_a_suspension() -> None:
    for_good, for_a_time = event(Kind.TAKEDOWN), event(Kind.TAKEDOWN, durationInHours=5)
    assert [(one.takendown, one.suspend_until) for one in (after(for_good), after(for_a_time))] == [
        (True, None),
        (True, AT + 5 * HOUR),
    ]
    assert (after(for_good).takedowns, after(for_good).suspensions) == (1, 0)
    assert (after(for_a_time).takedowns, after(for_a_time).suspensions) == (0, 1)
    # One for good after one for a time has no end.
    assert after(for_a_time, for_good).suspend_until is None
    back = after(for_a_time, event(Kind.REVERSE_TAKEDOWN))
    assert (back.takendown, back.suspend_until, back.state) == (False, None, State.CLOSED)


@pytest.mark.parametrize(
    ("kind", "undo", "name"),
    [(Kind.MUTE, Kind.UNMUTE, "mute_until"), (Kind.MUTE_REPORTER, Kind.UNMUTE_REPORTER, "mute_reporting_until")],
)
def test_muting(kind: Kind, undo: Kind, name: str) -> None:
    hours = event(kind, durationInHours=2)
    assert getattr(after(hours), name) == AT + 2 * HOUR
    unsaid = replace(hours, said={})
    assert getattr(after(unsaid), name) == AT + MUTED_MICROS
    assert getattr(after(hours, event(undo)), name) is None
    other = "mute_until" if name != "mute_until" else "mute_reporting_until"
    assert getattr(after(hours), other) is None


def test_the_sticky_comment() -> None:
    sticky = event(Kind.COMMENT, comment="careful", sticky=True)
    assert after(sticky).comment == "careful"
    assert after(sticky, event(Kind.COMMENT, comment="seen")).comment == "careful"
    assert after(sticky, event(Kind.COMMENT, sticky=True)).comment == ""
    assert after(event(Kind.ACKNOWLEDGE, comment="x", sticky=True)).comment == ""


def test_tags() -> None:
    both = event(Kind.TAG, add=["b", "a", "a"], remove=[])
    assert list(after(both).tags) == ["a", "b"]
    assert list(after(both, event(Kind.TAG, add=["c"], remove=["a", "x"])).tags) == ["b", "c"]
    assert list(after(both, event(Kind.TAG, add=["d"], remove=["d"])).tags) == ["a", "b"]
    ending = event(Kind.TAG, add=["a"], remove=[], durationInHours=1)
    assert after(both, ending).tags == {"a": AT + HOUR, "b": None}
    assert after(ending, both).tags == {"a": None, "b": None}


def test_a_muted_reporter_moves_nothing() -> None:
    unheard = event(Kind.REPORT, isReporterMuted=True)
    assert after(unheard) == Status()
    before = after(event(Kind.REPORT), event(Kind.ACKNOWLEDGE))
    assert fold(before, replace(unheard, at=AT + 1)) == before


def test_a_report_of_a_muted_subject_counts() -> None:
    found = after(event(Kind.MUTE), event(Kind.REPORT, at=AT + 1))
    assert (found.state, found.reported_at, found.mute_until) == (State.OPEN, AT + 1, AT + 3 * HOUR)


def test_hosting() -> None:
    gone = event(Kind.RECORD, op="delete")
    assert after(gone).hosting == Hosting("deleted", AT, AT)
    away = event(Kind.ACCOUNT, active=False, status="deactivated")
    assert after(away).hosting == Hosting("deactivated", AT, None, AT)
    back = after(away, event(Kind.ACCOUNT, at=AT + 5))
    assert back.hosting == Hosting("unknown", AT + 5, None, AT, AT + 5)
    assert after(event(Kind.ACCOUNT, active=False, status="deleted")).hosting.deleted_at == AT
    assert after(event(Kind.IDENTITY)).hosting == Hosting()


TAGS = st.lists(st.sampled_from("abcd"), max_size=3)
HOURS = st.integers(1, 9)
EVENTS = st.lists(
    st.one_of(
        st.sampled_from(Kind).map(event),
        st.just(APPEAL),
        st.builds(lambda a, r, h: event(Kind.TAG, add=a, remove=r, durationInHours=h), TAGS, TAGS, HOURS),
        HOURS.map(lambda hours: event(Kind.TAKEDOWN, durationInHours=hours)),
        HOURS.map(lambda hours: event(Kind.MUTE, durationInHours=hours)),
        st.integers(0, 100).map(lambda score: event(Kind.PRIORITY_SCORE, score=score)),
        st.booleans().map(lambda sticky: event(Kind.COMMENT, comment="hm", sticky=sticky)),
        st.just(event(Kind.REPORT, isReporterMuted=True)),
    ),
    min_size=1,
    max_size=25,
).map(lambda found: [replace(one, at=AT + place) for place, one in enumerate(found)])


@given(EVENTS)
def test_what_holds_of_any_events(events: list[ModEvent]) -> None:
    before: Status | None = None
    for one in events:
        status = fold(before, one)
        was = before or Status()
        assert was.state is State.NONE or status.state is not State.NONE, "nothing returns to none"
        if was.state is State.ESCALATED:
            assert status.state in (State.ESCALATED, State.CLOSED), "what was escalated is only closed"
        assert was.appealed is None or status.appealed is not None
        assert status.takendown or status.suspend_until is None
        assert 0 <= status.priority <= 100
        for name in ("reports", "appeals", "suspensions", "escalations", "takedowns"):
            assert getattr(was, name) <= getattr(status, name) <= getattr(was, name) + 1
        before = status
    assert before is not None
    heard = [one for one in events if not (one.kind is Kind.REPORT and one.said.get("isReporterMuted"))]
    assert before.reports + before.appeals == sum(one.kind is Kind.REPORT for one in heard)
    last = [one.kind for one in events if one.kind in (Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN)]
    assert before.takendown is (bool(last) and last[-1] is Kind.TAKEDOWN)
    tags: set[str] = set()
    for one in events:
        if one.kind is Kind.TAG:
            tags = (tags | set(one.said["add"])) - set(one.said["remove"])
    assert set(before.tags) == tags


@given(EVENTS)
def test_an_unheard_report_changes_nothing_anywhere(events: list[ModEvent]) -> None:
    unheard = event(Kind.REPORT, isReporterMuted=True)
    mixed = [one for pair in ((one, unheard) for one in events) for one in pair]
    assert asdict(after(*mixed)) == asdict(after(*events))
