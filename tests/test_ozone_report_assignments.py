"""tools.ozone.report.assignModerator, unassignModerator, getAssignments: who looks at reports, and whose they are."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communities.access import Role as Member
from communities.report_activities import Doing
from communities.report_activities import do as work
from communities.report_assignments import (
    LOOKING_MICROS,
    AlreadyAssignedError,
    NotAssignableError,
    give_back,
    hold,
    look,
)
from communities.report_cases import begin
from communities.report_state import Act, ReportStateError, State
from models import report_assignments, report_cases
from models.database import open_database, sql, writing
from models.reports import Said
from models.scopes import Scopes
from ozone.roles import Role
from tests.civic_reports import SPAM
from tests.didnet import Account, plc
from tests.feed_site import NOW, Reply
from tests.label_scene import OTHER
from tests.ozone_reports import ASSIGN, ASSIGNMENTS, GET, LIST, UNASSIGN, case, do, good, ids, made, state
from tests.ozone_site import Desk, desk, unlimited

LOOKING = LOOKING_MICROS // 1_000_000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def assign(place: Desk, who: Account, number: int, **more: Any) -> Reply:
    return place.act(ASSIGN, who, {"reportId": number, **more})


def keep(place: Desk, who: Account, number: int, **more: Any) -> Reply:
    return assign(place, who, number, isPermanent=True, **more)


def unassign(place: Desk, who: Account, number: int) -> Reply:
    return place.act(UNASSIGN, who, {"reportId": number})


def shown(place: Desk, **params: Any) -> list[tuple[int, str, bool]]:
    """Of each assignment of the list: the report, whose it is, and whether it has an end."""
    found = good(place.ask(ASSIGNMENTS, place.staff(), **params))["assignments"]
    return [(one["reportId"], one["did"], "endAt" in one) for one in found]


def test_whoever_looks_at_a_report_does_so_for_five_minutes(place: Desk) -> None:
    who, number, clock = place.member(Role.TRIAGE), made(place, plc(5)), place.place.clock
    assert LOOKING == 300
    first = good(assign(place, who, number))
    assert (first["did"], first["reportId"]) == (who.did, number) and first["startAt"] < first["endAt"]
    assert shown(place) == [(number, who.did, True)]
    view = good(place.ask(GET, who, id=number))
    assert (view["status"], "assignment" in view) == ("open", False), "nothing is done with it"
    assert ids(place.ask(LIST, who, reportId=number)) == []
    clock.now += LOOKING - 1
    again = good(assign(place, who, number))
    assert (again["id"], again["startAt"]) == (first["id"], first["startAt"]) and again["endAt"] > first["endAt"]
    clock.now += LOOKING - 1
    assert shown(place) == [(number, who.did, True)]
    clock.now += 1
    assert shown(place) == [], "it has ended, and nobody had to do anything"
    assert shown(place, onlyActive=False) == [(number, who.did, True)]
    later = good(assign(place, who, number))
    assert later["startAt"] > again["startAt"] and shown(place) == [(number, who.did, True)]
    ended = good(unassign(place, who, number))
    assert ended["id"] == later["id"] and shown(place) == []
    assert unassign(place, who, number).fault == (400, "InvalidAssignment")


def test_any_number_may_look_and_one_holds_it(place: Desk) -> None:
    number, (a, b, c) = made(place, plc(5)), (place.member(Role.TRIAGE) for _ in range(3))
    for who in (a, b, c):
        good(assign(place, who, number))
    held = good(keep(place, b, number))
    assert "endAt" not in held
    assert shown(place) == [(number, b.did, False), (number, c.did, True), (number, a.did, True)]
    assert keep(place, a, number).fault == (400, "AlreadyAssigned")
    assert keep(place, place.staff(), number).fault == (400, "AlreadyAssigned"), "also for an admin"
    assert good(keep(place, b, number)) == good(assign(place, b, number)) == held
    good(assign(place, a, number))
    place.place.clock.now += 10 * LOOKING
    assert shown(place) == [(number, b.did, False)], "what is held has no end"
    view = good(place.ask(GET, a, id=number))
    assert view["status"] == "assigned"
    named = {"did": b.did, "disabled": False, "role": Role.TRIAGE.token}
    assert held["moderator"].items() >= named.items()
    assert view["assignment"] == {"did": b.did, "assignedAt": held["startAt"], "moderator": held["moderator"]}
    (activity,) = place.ask(LIST, a, reportId=number).json["activities"]
    assert activity["activity"]["previousStatus"] == "open" and activity["createdBy"] == b.did
    assert activity["meta"] == {"assignmentId": held["id"], "moderatorDid": b.did}
    assert activity["moderator"] == held["moderator"]


def test_a_report_is_given_back(place: Desk) -> None:
    number, who = made(place, plc(5)), place.member(Role.TRIAGE)
    good(keep(place, who, number))
    place.place.clock.now += 60
    ended = good(unassign(place, who, number))
    assert ended["did"] == who.did and ended["startAt"] < ended["endAt"]
    assert state(place, number) == "open" and shown(place) == []
    newest = place.ask(LIST, who, reportId=number).json["activities"][0]
    assert newest["activity"] == {"$type": "tools.ozone.report.defs#queueActivity", "previousStatus": "assigned"}
    assert newest["meta"] == {"assignmentId": ended["id"], "moderatorDid": who.did, "queueId": -1}
    place.place.writer.sql("UPDATE report_case SET queue = 4 WHERE id = ?", number)
    good(keep(place, who, number))
    good(unassign(place, who, number))
    assert state(place, number) == "queued", "it has a queue"
    assert "queuedAt" in good(place.ask(GET, who, id=number))


@pytest.mark.parametrize("act", [Act.QUEUE, Act.CLOSE])
def test_who_held_a_report_that_goes_on_holds_it_no_more(place: Desk, act: Act) -> None:
    number, who = made(place, plc(5)), place.member(Role.TRIAGE)
    good(keep(place, who, number))
    good(do(place, place.staff(), number, act))
    assert shown(place) == []
    assert ("assignment" in good(place.ask(GET, who, id=number))) is (act is Act.CLOSE), "whose it was is still said"


def test_what_is_escalated_stays_so(place: Desk) -> None:
    number, who = made(place, plc(5)), place.member(Role.TRIAGE)
    good(do(place, who, number, Act.ESCALATION))
    good(keep(place, who, number))
    assert state(place, number) == "escalated" and shown(place) == [(number, who.did, False)]
    good(unassign(place, who, number))
    assert state(place, number) == "escalated" and shown(place) == []
    assert "assignment" not in good(place.ask(GET, who, id=number))


def test_a_report_that_is_closed_is_nobodys_but_may_be_looked_at(place: Desk) -> None:
    number, who = made(place, plc(5)), place.member(Role.TRIAGE)
    good(keep(place, who, number))
    good(do(place, who, number, Act.CLOSE))
    assert shown(place) == []
    assert keep(place, who, number).fault == (400, "InvalidAssignment")
    assert unassign(place, who, number).fault == (400, "InvalidAssignment")
    good(assign(place, who, number))
    assert shown(place) == [(number, who.did, True)] and state(place, number) == "closed"


def test_admins_assign_others(place: Desk) -> None:
    post = place.place.writer.post(1)
    number, admin = case(place, made(place, post), "python"), place.staff()
    triage, moderator = place.member(Role.TRIAGE), place.member(Role.MODERATOR)
    of_python, of_rust = place.place.moderator("python"), place.place.moderator("rust")
    for who in (triage, moderator, of_python, place.place.admin("python")):
        assert assign(place, who, number, did=admin.did).fault == (401, "AuthenticationRequired")
        assert keep(place, who, number, did=admin.did).fault == (401, "AuthenticationRequired")
        assert good(assign(place, who, number, did=who.did))["did"] == who.did
    nobody = (
        place.place.person(), of_rust, place.member(Role.VERIFIER), place.member(Role.ADMIN, disabled=True),
        place.member(Role.ADMIN, labeler=OTHER), place.place.member("python"),
    )  # fmt: skip
    for who in nobody:
        assert keep(place, admin, number, did=who.did).fault == (400, "InvalidAssignment")
    assert good(keep(place, admin, number, did=of_python.did))["did"] == of_python.did
    assert unassign(place, moderator, number).fault == (401, "AuthenticationRequired")
    good(unassign(place, admin, number))
    assert good(keep(place, admin, number, did=triage.did))["did"] == triage.did
    (activity, *_) = place.ask(LIST, admin, reportId=number).json["activities"]
    assert (activity["createdBy"], activity["meta"]["moderatorDid"]) == (admin.did, triage.did)
    good(unassign(place, triage, number))


def test_an_admin_who_looks_takes_it_from_who_holds_it(place: Desk) -> None:
    """The web app says that somebody looks as soon as they open a report."""
    number, who = made(place, plc(5)), place.member(Role.TRIAGE)
    good(keep(place, who, number))
    good(assign(place, place.staff(), number))
    assert good(unassign(place, place.staff(), number))["did"] == who.did
    assert shown(place) == [(number, place.staff().did, True)]


def test_reports_that_cannot_be_assigned(place: Desk) -> None:
    post = place.place.writer.post(1)
    number, rust = case(place, made(place, post), "python"), place.place.moderator("rust")
    for gone in (0, -1, 9999, 2**63 - 1):
        assert assign(place, place.staff(), gone).fault == (400, "InvalidAssignment")
        assert unassign(place, place.staff(), gone).fault == (400, "InvalidAssignment")
    for call in (assign, keep, unassign):
        assert call(place, rust, number).fault == (400, "InvalidAssignment")
        assert call(place, place.member(Role.VERIFIER), number).fault == (401, "AuthenticationRequired")
        assert call(place, place.place.person(), number).fault == (401, "AuthenticationRequired")
    assert shown(place, onlyActive=False) == []
    assert assign(place, place.staff(), number, queueId=7).fault == (400, "InvalidAssignment")
    assert keep(place, place.staff(), number, queueId=0).fault == (400, "InvalidAssignment")
    assert "queue" not in good(assign(place, place.staff(), number, queueId=-1))
    both = place.member(Role.VERIFIER)
    place.place.put("rust", both, role=Member.MODERATOR)
    assert keep(place, both, number).fault == (401, "AuthenticationRequired"), "they see it, and verify"
    for bad in ({"did": "alice"}, {"isPermanent": "yes"}, {"queueId": "1"}):
        assert assign(place, place.staff(), number, **bad).fault == (400, "InvalidRequest")


def test_of_those_who_want_it_at_once_one_holds_it(place: Desk) -> None:
    number, people = made(place, plc(5)), [place.member(Role.TRIAGE) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda who: keep(place, who, number), people))
    assert sorted(reply.status for reply in replies) == [200, *[400] * 7]
    assert {reply.fault[1] for reply in replies if reply.status == 400} == {"AlreadyAssigned"}
    (winner,) = (reply.json["did"] for reply in replies if reply.status == 200)
    assert shown(place) == [(number, winner, False)]


def test_who_sees_which_assignments(place: Desk) -> None:
    post = place.place.writer.post(1, tags=["python", "rust"])
    number, account = made(place, post), made(place, plc(5))
    here, there = case(place, number, "python"), case(place, number, "rust")
    of_python, of_rust = place.place.moderator("python"), place.place.moderator("rust")
    good(keep(place, of_python, here))
    good(assign(place, of_rust, there))
    good(keep(place, place.staff(), account))
    everything = [(account, place.staff().did, False), (there, of_rust.did, True), (here, of_python.did, False)]
    assert shown(place) == shown(place, onlyActive=False) == everything
    for params in ({}, {"onlyActive": False}, {"reportIds": [here, there, account]}, {"dids": [of_python.did]}):
        found = good(place.ask(ASSIGNMENTS, of_python, **params))["assignments"]
        assert [one["reportId"] for one in found] == [here]
        assert all("moderator" not in one for one in found), "for them there is no team"
    assert good(place.ask(ASSIGNMENTS, of_rust, reportIds=[here, account]))["assignments"] == []
    assert ids(place.ask(ASSIGNMENTS, place.staff(), aud=OTHER)) == ids(place.ask(ASSIGNMENTS, of_rust))
    assert place.ask(ASSIGNMENTS, place.place.person()).fault == (401, "AuthenticationRequired")
    assert ids(place.ask(ASSIGNMENTS, place.member(Role.VERIFIER))) == ids(place.ask(ASSIGNMENTS, place.staff()))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Many assignments, some of which have ended."""
    with unlimited(tmp_path_factory.mktemp("full")) as found:
        people = [found.member(Role.TRIAGE) for _ in range(3)]
        numbers = [made(found, plc(number)) for number in range(5, 13)]
        for step, (who, number) in enumerate(itertools.product(people, numbers)):
            found.place.clock.now += 20
            reply = assign(found, who, number, isPermanent=step % 3 == 0)
            assert reply.status == 200 or reply.fault == (400, "AlreadyAssigned")
            if step % 5 == 0 and reply.status == 200:
                assert unassign(found, who, number).status in (200, 401)  # or somebody else holds it
        yield found


@given(st.data())
def test_pages_together_are_the_whole_list_of_assignments(full: Desk, data: st.DataObject) -> None:
    rows = full.place.writer.sql("SELECT id, report_case, did, until FROM report_assignment ORDER BY id DESC")
    now = full.place.clock.micros()
    active = data.draw(st.booleans())
    cases = data.draw(st.lists(st.sampled_from(sorted({case for _, case, _, _ in rows}) + [999]), max_size=4))
    dids = data.draw(st.lists(st.sampled_from(sorted({did for _, _, did, _ in rows}) + [plc(999)]), max_size=2))
    expected = [
        number
        for number, case, did, until in rows
        if (not active or until is None or until > now) and (not cases or case in cases) and (not dids or did in dids)
    ]
    connection, limit = sql(full.place.writer.database), data.draw(st.integers(1, 9))
    found: list[int] = []
    scopes = Scopes(frozenset((0,)), communities=True)
    while True:
        before = found[-1] if found else None
        page = report_assignments.page(connection, scopes, now if active else None, cases, dids, before, limit)
        found += [number for number, _ in page]
        if len(page) < limit:
            break
    assert found == expected


@pytest.mark.parametrize("active", [True, False])
def test_pages_of_assignments_through_http(full: Desk, active: bool) -> None:
    whole = ids(full.ask(ASSIGNMENTS, full.staff(), onlyActive=active, limit=100))
    assert len(whole) > 4
    pages = full.every(ASSIGNMENTS, full.staff(), 3, onlyActive=active)
    assert [one["id"] for page in pages for one in page] == whole
    cursor = full.ask(ASSIGNMENTS, full.staff(), onlyActive=active, limit=2).cursor
    assert full.ask(ASSIGNMENTS, full.staff(), onlyActive=not active, cursor=cursor).fault == (400, "InvalidCursor")
    for bad in ({"reportIds": [1] * 51}, {"dids": ["alice"]}, {"limit": 0}, {"onlyActive": "yes"}):
        assert full.ask(ASSIGNMENTS, full.staff(), **bad).fault == (400, "InvalidRequest")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One for all examples: each is undone."""
    opened = open_database(tmp_path_factory.mktemp("steps") / "communities.db")
    yield opened
    opened.close()


STEPS = st.lists(
    st.tuples(st.sampled_from([*Act, "look", "hold", "give back"]), st.sampled_from(("did:plc:a", "did:plc:b")))
)


@settings(max_examples=300)
@given(STEPS, st.sampled_from((-1, 4)))
def test_whatever_is_done_an_assigned_report_has_one_who_holds_it(
    database: Any, steps: list[tuple[Any, str]], queue: int
) -> None:
    with suppress(_UndoneError), writing(database) as connection:
        number = begin(connection, Said("did:plc:r", SPAM, "", "did:plc:x"), [0], NOW).id
        connection.execute("UPDATE report_case SET queue = ? WHERE id = ?", (queue, number))
        for now, (step, who) in enumerate(steps, NOW):
            with suppress(ReportStateError, AlreadyAssignedError, NotAssignableError):
                if step == "look":
                    look(connection, number, who, who, -1, now)
                elif step == "hold":
                    hold(connection, number, who, Doing(Act.ASSIGNMENT, who), -1, now)
                elif step == "give back":
                    give_back(connection, number, who, now)
                elif step is not Act.ASSIGNMENT:
                    work(connection, number, Doing(step, who), now)
            row, held = report_cases.find(connection, number), report_assignments.held(connection, number)
            assert row is not None
            stands = State(row.state)
            if stands is State.ASSIGNED:
                assert held is not None
            if stands in (State.OPEN, State.QUEUED):
                assert held is None and row.assignee == ""
            if stands is State.CLOSED:
                assert held is None
            if held is not None:
                assert row.assignee == held[1].did
            assert (row.closed_at is not None) is (stands is State.CLOSED)
            last = connection.execute(
                "SELECT previous, type FROM report_activity WHERE report_case = ? ORDER BY id DESC LIMIT 1", (number,)
            ).fetchone()
            if last is not None and last[1] == Act.NOTE:
                assert last[0] == stands
        raise _UndoneError


class _UndoneError(Exception):
    """Nothing of it is kept."""
