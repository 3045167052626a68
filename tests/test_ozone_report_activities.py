"""tools.ozone.report.createActivity, listActivities, queryActivities: the way of reports, step by step."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from communities.access import Role as Member
from communities.mod_event import Kind
from communities.report_actions import ReportAction, ReportActionError, settle
from communities.report_state import TARGETS, Act, ReportStateError, State, after
from models.database import writing
from ozone.report_views import DEFS
from ozone.reports import MOST_NOTE
from ozone.roles import Role
from tests.civic_reports import APPEAL, OTHER, SPAM, TROLL
from tests.didnet import plc
from tests.label_scene import LABELER
from tests.ozone_reports import (
    ACTIVITIES,
    ASSIGN,
    DO,
    GET,
    LIST,
    case,
    do,
    good,
    ids,
    made,
    state,
)  # fmt: skip
from tests.ozone_site import Desk, desk, unlimited


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with unlimited(tmp_path_factory.mktemp("activities")) as found:
        yield found


def stand(place: Desk, number: int, wanted: State) -> None:
    """Let a report stand so, by what moderators do."""
    who = place.staff()
    if wanted in (State.QUEUED, State.ASSIGNED, State.ESCALATED, State.CLOSED):
        act = {target: act for act, target in TARGETS.items() if act is not Act.REOPEN}[wanted]
        good(do(place, who, number, act))
    assert state(place, number) == wanted


@pytest.mark.parametrize(("begun", "act"), [*itertools.product(State, Act)])
def test_every_activity_in_every_state(shared: Desk, begun: State, act: Act) -> None:
    number, who = made(shared, plc(5)), shared.staff()
    stand(shared, number, begun)
    before = shared.ask(LIST, who, reportId=number).json["activities"]
    shared.place.clock.now += 1
    reply = do(shared, who, number, act, internalNote="in", publicNote="out", isAutomated=True)
    try:
        target = after(begun, act)
    except ReportStateError as refused:
        assert reply.fault == (400, refused.name)
        assert shared.ask(LIST, who, reportId=number).json["activities"] == before
        assert state(shared, number) == begun
        return
    activity = good(reply)["activity"]
    told = {"$type": DEFS + act} | ({} if act is Act.NOTE else {"previousStatus": begun})
    assert activity["activity"] == told
    assert (activity["internalNote"], activity["publicNote"], activity["isAutomated"]) == ("in", "out", True)
    assert (activity["createdBy"], activity["reportId"]) == (who.did, number)
    report = activity.pop("report")
    assert (report["id"], report["status"], report["actionNote"]) == (number, target, "out")
    assert report["updatedAt"] == activity["createdAt"] > report["createdAt"]
    assert report == shared.ask(GET, who, id=number).json
    assert shared.ask(LIST, who, reportId=number).json["activities"] == [activity, *before]


def test_whoever_says_that_it_is_assigned_holds_it_until_it_goes_on(place: Desk) -> None:
    who, number = place.member(Role.TRIAGE), made(place, plc(5))
    activity = good(do(place, who, number, Act.ASSIGNMENT))["activity"]
    assert activity["meta"]["moderatorDid"] == activity["report"]["assignment"]["did"] == who.did
    report = good(do(place, place.staff(), number, Act.CLOSE))["activity"]["report"]
    assert report["assignment"]["did"] == who.did, "whose it was is still said"
    report = good(do(place, place.staff(), number, Act.REOPEN))["activity"]["report"]
    assert "assignment" not in report
    assert place.place.writer.sql("SELECT count(*) FROM report_assignment WHERE until IS NULL") == [(0,)]
    good(do(place, who, number, Act.ASSIGNMENT))
    report = good(do(place, who, number, Act.ESCALATION))["activity"]["report"]
    assert (report["status"], report["assignment"]["did"]) == ("escalated", who.did)


def test_a_report_is_named_once(place: Desk) -> None:
    who, number = place.staff(), made(place, plc(5))
    note = {"activity": {"$type": DEFS + Act.NOTE}, "internalNote": "x"}
    by_event = good(place.act(DO, who, {**note, "eventId": number}))["activity"]
    assert by_event["reportId"] == number
    for named in ({}, {"reportId": number, "eventId": number}):
        assert place.act(DO, who, note | named).fault == (400, "InvalidRequest")
    for gone in (0, -1, number + 1, 2**63 - 1):
        assert place.act(DO, who, {**note, "reportId": gone}).fault == (400, "ReportNotFound")
        assert place.act(DO, who, {**note, "eventId": gone}).fault == (400, "ReportNotFound")
    assert place.act(DO, who, {**note, "reportId": 2**63}).fault == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "body",
    [
        {"activity": {"$type": DEFS + "otherActivity"}},
        {"activity": {"$type": "closeActivity"}},
        {"activity": {}},
        {"activity": {"$type": DEFS + Act.NOTE}},
        {"activity": {"$type": DEFS + Act.NOTE}, "internalNote": "x" * (MOST_NOTE + 1)},
        {"activity": {"$type": DEFS + Act.NOTE}, "publicNote": "\0"},
        {"activity": {"$type": DEFS + Act.NOTE}, "publicNote": 1},
    ],
)
def test_what_is_no_activity(shared: Desk, body: dict[str, Any]) -> None:
    number = made(shared, plc(5))
    assert shared.act(DO, shared.staff(), {"reportId": number, **body}).fault == (400, "InvalidRequest")
    assert shared.ask(LIST, shared.staff(), reportId=number).json == {"activities": []}


def test_of_contradictory_activities_at_once_one_wins(place: Desk) -> None:
    number, people = made(place, plc(5)), [place.member(Role.TRIAGE) for _ in range(8)]
    acts = [Act.CLOSE, Act.ESCALATION, Act.QUEUE, Act.ASSIGNMENT] * 2
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda one: do(place, one[0], number, one[1]), zip(people, acts, strict=True)))
    done = sorted(
        (reply.json["activity"] for reply in replies if reply.status == 200), key=lambda activity: activity["id"]
    )
    at = State.OPEN
    for activity in done:  # each went from where the one before it led
        act = Act(activity["activity"]["$type"].removeprefix(DEFS))
        assert activity["activity"]["previousStatus"] == at
        at = after(at, act)
    assert state(place, number) == at
    refused = {reply.fault[1] for reply in replies if reply.status != 200}
    assert refused <= {"AlreadyInTargetState", "InvalidStateTransition"} and len(done) < 8
    assert [one["id"] for one in done[::-1]] == ids(place.ask(LIST, place.staff(), reportId=number))


def test_of_two_who_close_it_at_once_one_does(place: Desk) -> None:
    number, people = made(place, plc(5)), [place.member(Role.TRIAGE) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(lambda who: do(place, who, number, Act.CLOSE), people))
    assert sorted(reply.status for reply in replies) == [200, 400, 400, 400, 400, 400]
    assert {reply.fault[1] for reply in replies if reply.status == 400} == {"AlreadyInTargetState"}


def test_activities_are_neither_changed_nor_deleted_while_the_report_is_there(place: Desk) -> None:
    number = made(place, plc(5))
    good(do(place, place.staff(), number, Act.ASSIGNMENT))
    for change in ("UPDATE report_activity SET actor = 'x'", "DELETE FROM report_activity"):
        with pytest.raises(apsw.ConstraintError, match="never"):
            place.place.writer.sql(change)
    place.place.writer.sql("DELETE FROM report WHERE id = ?", number)
    for table in ("report_activity", "report_assignment", "report_case"):
        assert place.place.writer.sql(f"SELECT 1 FROM {table}") == []


def test_times_rise_with_the_numbers_also_when_the_clock_goes_back(place: Desk) -> None:
    number, who = made(place, plc(5)), place.staff()
    for seconds in (5, -60, 1):
        place.place.clock.now += seconds
        good(do(place, who, number, Act.NOTE, internalNote="x"))
    found = place.ask(LIST, who, reportId=number).json["activities"]
    assert [one["createdAt"] for one in found] == sorted((one["createdAt"] for one in found), reverse=True)


def test_paging_through_what_was_done_with_a_report(shared: Desk) -> None:
    number, who = made(shared, plc(5)), shared.staff()
    done = [good(do(shared, who, number, Act.NOTE, internalNote=str(step)))["activity"]["id"] for step in range(7)]
    for limit in (1, 2, 7, 100):
        pages = list(shared.every(LIST, who, limit, reportId=number))
        assert [one["id"] for page in pages for one in page] == done[::-1]
    cursor = shared.ask(LIST, who, reportId=number, limit=2).cursor
    other = made(shared, plc(6))
    assert shared.ask(LIST, who, reportId=other, cursor=cursor).fault == (400, "InvalidCursor")
    assert shared.ask(LIST, who, reportId=number + 10_000).fault == (400, "NotFound")


def test_activities_of_all_reports(place: Desk) -> None:
    who, first, second = place.staff(), made(place, plc(5)), made(place, plc(6))
    made_ids = []
    for number, act in ((first, Act.ASSIGNMENT), (second, Act.ESCALATION), (first, Act.CLOSE), (second, Act.CLOSE)):
        place.place.clock.now += 60
        made_ids.append(good(do(place, who, number, act))["activity"]["id"])
    assert ids(place.ask(ACTIVITIES, who)) == made_ids[::-1]
    assert ids(place.ask(ACTIVITIES, who, sortDirection="asc")) == made_ids
    assert ids(place.ask(ACTIVITIES, who, activityTypes=["closeActivity"])) == [made_ids[3], made_ids[2]]
    of_two = [DEFS + "escalationActivity", "assignmentActivity"]
    assert ids(place.ask(ACTIVITIES, who, activityTypes=of_two)) == [made_ids[1], made_ids[0]]
    shown = place.ask(ACTIVITIES, who).json["activities"]
    assert [one["report"]["id"] for one in shown] == [second, first, second, first]
    assert {one["report"]["status"] for one in shown} == {"closed"}, "as it stands now"
    at = [one["createdAt"] for one in shown[::-1]]
    assert ids(place.ask(ACTIVITIES, who, createdAfter=at[2])) == [made_ids[3], made_ids[2]]
    assert ids(place.ask(ACTIVITIES, who, createdBefore=at[1])) == [made_ids[1], made_ids[0]]
    assert ids(place.ask(ACTIVITIES, who, createdAfter=at[1], createdBefore=at[2])) == [made_ids[2], made_ids[1]]
    assert ids(place.ask(ACTIVITIES, who, createdAfter="1969-12-31T00:00:00Z")) == made_ids[::-1]
    assert ids(place.ask(ACTIVITIES, who, createdBefore="1969-12-31T00:00:00Z")) == []
    for limit, way in itertools.product((1, 3, 4), ("asc", "desc")):
        pages = place.every(ACTIVITIES, who, limit, sortDirection=way)
        found = [one["id"] for page in pages for one in page]
        assert found == (made_ids if way == "asc" else made_ids[::-1])
    cursor = place.ask(ACTIVITIES, who, limit=1).cursor
    assert place.ask(ACTIVITIES, who, sortDirection="asc", cursor=cursor).fault == (400, "InvalidCursor")
    for bad in ({"activityTypes": ["x"]}, {"createdAfter": "yesterday"}, {"sortDirection": "up"}):
        assert place.ask(ACTIVITIES, who, **bad).fault == (400, "InvalidRequest")


def test_who_may_do_something_with_a_report(place: Desk) -> None:
    number = made(place, plc(5))
    verifier, both = place.member(Role.VERIFIER), place.member(Role.VERIFIER)
    place.place.put("python", both, role=Member.MODERATOR)
    for who in (verifier, both):
        assert do(place, who, number, Act.CLOSE).fault == (401, "AuthenticationRequired")
        assert ids(place.ask(LIST, who, reportId=number)) == [], "whoever has a role may read"
    of_python = case(place, made(place, place.place.writer.post(1)), "python")
    assert do(place, verifier, of_python, Act.CLOSE).fault == (401, "AuthenticationRequired")
    good(do(place, both, of_python, Act.CLOSE))
    for role in (Role.TRIAGE, Role.MODERATOR, Role.ADMIN):
        good(do(place, place.member(role), number, Act.NOTE, internalNote="x"))
    assert place.act(DO, None, {"reportId": number}).fault[0] == 401
    assert do(place, place.place.member("python"), of_python, Act.REOPEN).fault == (401, "AuthenticationRequired")
    disabled = place.member(Role.ADMIN, disabled=True)
    assert do(place, disabled, number, Act.CLOSE).fault == (401, "MemberDisabled")


def test_nothing_of_another_community_is_seen_or_changed(place: Desk) -> None:
    """One report reaches both: each moderator has a report of their own."""
    here, there = place.place.moderator("python"), place.place.moderator("rust")
    number = made(place, place.place.writer.post(1, tags=["python", "rust"]))
    own, other = case(place, number, "python"), case(place, number, "rust")
    assert own != other
    good(do(place, here, own, Act.CLOSE, internalNote="secret"))
    for method in (LIST, GET):
        named = {"reportId": own} if method == LIST else {"id": own}
        assert place.ask(method, there, **named).fault == (400, "NotFound")
    assert do(place, there, own, Act.REOPEN).fault == (400, "ReportNotFound")
    assert (state(place, own), state(place, other)) == ("closed", "open")
    assert place.ask(ACTIVITIES, there).json == {"activities": []}
    assert ids(place.ask(ACTIVITIES, here)) == ids(place.ask(LIST, here, reportId=own))
    good(do(place, there, other, Act.ESCALATION))
    assert (state(place, own), state(place, other)) == ("closed", "escalated")
    assert len(ids(place.ask(ACTIVITIES, place.staff()))) == 2, "the team looks into both"


# What events do with reports


def acted(place: Desk, number: int, kind: Kind, wanted: ReportAction, event: int = 0) -> list[int]:
    """Let an event settle reports of the subject of a report."""
    scope, subject = place.place.writer.sql("SELECT scope, subject FROM report_case WHERE id = ?", number)[0]
    with writing(place.place.writer.database) as connection:
        now = place.place.clock.micros()
        return settle(connection, scope, subject, event or number, kind, wanted, place.staff().did, now)


@pytest.mark.parametrize(("begun", "kind"), [*itertools.product(State, Kind)])
def test_what_every_event_does_with_reports_in_every_state(shared: Desk, begun: State, kind: Kind) -> None:
    number = made(shared, shared.place.person().did)
    stand(shared, number, begun)
    settled = acted(shared, number, kind, ReportAction(everything=True, note="thanks"))
    closing = (Kind.ACKNOWLEDGE, Kind.TAKEDOWN, Kind.LABEL, Kind.COMMENT)
    target = State.CLOSED if kind in closing else State.ESCALATED if kind is Kind.ESCALATE else None
    moves = {State.CLOSED: begun is not State.CLOSED, State.ESCALATED: begun in (State.OPEN, State.ASSIGNED)}
    if target is None or not moves[target]:
        assert settled == [] and state(shared, number) == begun
        return
    assert settled == [number]
    view = shared.ask(GET, shared.staff(), id=number).json
    assert (view["status"], view["actionNote"], view["actionEventIds"]) == (target, "thanks", [number])
    assert [one["id"] for one in view["actions"]] == [number]
    newest = shared.ask(LIST, shared.staff(), reportId=number).json["activities"][0]
    assert (newest["publicNote"], newest["activity"]["previousStatus"]) == ("thanks", begun)
    assert newest["meta"] == {"actionEventId": number}


def test_which_reports_an_event_means(place: Desk) -> None:
    who, reasons = place.place.person(), (SPAM, TROLL, OTHER)
    a, b, c = (made(place, who.did, reason) for reason in reasons)
    other = made(place, plc(6))
    assert acted(place, a, Kind.COMMENT, ReportAction()) == []
    assert acted(place, a, Kind.COMMENT, ReportAction(types=(TROLL,))) == [b]
    assert acted(place, a, Kind.COMMENT, ReportAction(ids=(a,), types=(TROLL,))) == [a]
    assert acted(place, a, Kind.TAKEDOWN, ReportAction(everything=True)) == [c]
    assert state(place, other) == "open"


def test_reports_that_are_not_there_to_be_settled(place: Desk) -> None:
    post = place.place.writer.post(1, tags=["python", "rust"])
    number = made(place, post)
    here, foreign = case(place, number, "python"), case(place, number, "rust")
    further, elsewhere = made(place, post, TROLL), made(place, plc(6))
    good(do(place, place.staff(), further, Act.CLOSE))
    for bad in (foreign, elsewhere, further, 9999):
        with pytest.raises(ReportActionError, match=str(bad)):
            acted(place, here, Kind.ACKNOWLEDGE, ReportAction(ids=(here, bad)))
        assert state(place, here) == "open", "all or nothing"
    assert acted(place, here, Kind.MUTE, ReportAction(ids=(9999,))) == []
    assert acted(place, here, Kind.ACKNOWLEDGE, ReportAction(ids=(here, here))) == [here]


def test_the_newest_action_comes_first(place: Desk) -> None:
    who = place.place.person()
    number = made(place, who.did)
    acted(place, number, Kind.ESCALATE, ReportAction(everything=True))
    later = made(place, plc(6))
    acted(place, number, Kind.ACKNOWLEDGE, ReportAction(everything=True), event=later)
    view = place.ask(GET, place.staff(), id=number).json
    assert view["actionEventIds"] == [later, number]
    assert [one["id"] for one in view["actions"]] == [later, number]


def test_an_appeal_comes_escalated(place: Desk) -> None:
    author = place.place.person()
    number = made(place, author.did, APPEAL, by=author)
    assert state(place, number) == "escalated"
    reply = place.act(ASSIGN, place.staff(), {"reportId": number, "isPermanent": True})
    assert good(reply)["did"] == place.staff().did
    assert state(place, number) == "escalated", "it is somebody's, and still escalated"
    assert ids(place.ask(LIST, place.staff(), reportId=number)) != []


def test_what_a_rule_did_is_the_labelers(place: Desk) -> None:
    number = made(place, plc(5))
    scope, subject = place.place.writer.sql("SELECT scope, subject FROM report_case WHERE id = ?", number)[0]
    with writing(place.place.writer.database) as connection:
        wanted = ReportAction(everything=True)
        now = place.place.clock.micros()
        settle(connection, scope, subject, number, Kind.LABEL, wanted, "rule:x", now, automated=True)
    (activity,) = place.ask(LIST, place.staff(), reportId=number).json["activities"]
    assert (activity["createdBy"], activity["isAutomated"]) == (LABELER, True)


def test_notes_come_as_they_were_written(place: Desk) -> None:
    number, text = made(place, plc(5)), 'é\n"quoted" \u202e 🦀'
    activity = good(do(place, place.staff(), number, Act.CLOSE, internalNote=text, publicNote=text))["activity"]
    assert activity["internalNote"] == activity["publicNote"] == activity["report"]["actionNote"] == text
    assert json.dumps(activity)
