"""tools.ozone.report.reassignQueue: reports are put into other queues by whoever works on them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ozone.queue_reports import MOST_OF_COMMENT
from ozone.roles import Role
from ozone.visit import moment
from tests.civic_reports import report, taken
from tests.didnet import plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_queues import (
    ACCOUNTS,
    DELETE,
    LIST,
    MANUAL,
    NONE,
    POSTS,
    REASSIGN,
    ROUTE,
    UPDATE,
    case,
    listed,
    make,
    put,
    reported,
    set_state,
)  # fmt: skip
from tests.ozone_site import Desk, callers, desk


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def test_a_report_is_put_into_another_queue_and_into_none(place: Desk) -> None:
    admin, who, alice = place.staff(), place.member(Role.TRIAGE), place.place.person()
    make(place, admin, ACCOUNTS)
    make(place, admin, MANUAL)
    number = taken(report(place.place, alice, plc(5), to=LABELER, reason="Look."))
    came = place.place.clock.micros()
    place.place.clock.now += 60
    now = place.place.clock.micros()
    view = put(place, who, number, 2, comment="Not ours.").json["report"]
    assert view == place.ask("report.getReport", who, id=number).json
    assert (view["status"], view["queue"], view["comment"]) == ("queued", listed(place, who)[1], "Look.")
    assert (view["createdAt"], view["updatedAt"], view["queuedAt"]) == (moment(came), moment(now), moment(now))
    assert case(place, number) == ("queued", 2)
    view = put(place, who, number, NONE).json["report"]
    assert (view["status"], "queue" in view, "queuedAt" in view) == ("open", False, False)
    assert case(place, number) == ("open", NONE)
    told = place.ask("report.listActivities", who, reportId=number).json["activities"]
    told = [(one["meta"], one.get("internalNote"), one["createdBy"], one["isAutomated"]) for one in told]
    assert told == [
        ({"queueId": -1}, None, who.did, False),
        ({"queueId": 2}, "Not ours.", who.did, False),
        ({"queueId": 1}, None, LABELER, True),
    ], "it came into the first of itself"


def test_who_held_a_report_that_is_put_into_a_queue_holds_it_no_more(place: Desk) -> None:
    admin, who = place.staff(), place.member(Role.TRIAGE)
    make(place, admin, MANUAL)
    number = reported(place)
    held = place.act("report.assignModerator", who, {"reportId": number, "isPermanent": True})
    assert held.status == 200 and case(place, number) == ("assigned", NONE)
    view = put(place, admin, number, 1).json["report"]
    assert (view["status"], "assignment" in view) == ("queued", False)
    assert place.ask("report.getAssignments", who).json == {"assignments": []}
    asked = {"reportId": number, "isPermanent": True, "queueId": 1}
    assert place.act("report.assignModerator", who, asked).json["queue"]["id"] == 1
    (shown,) = place.ask("report.queryReports", who, status="assigned", queueId=1).json["reports"]
    assert (shown["id"], shown["queue"]["id"], shown["assignment"]["did"]) == (number, 1, who.did)
    assert place.act("report.unassignModerator", who, {"reportId": number}).status == 200
    assert case(place, number) == ("queued", 1), "it is in its queue again"
    assert place.act("queue.deleteQueue", admin, {"queueId": 1}).status == 200
    assert case(place, number) == ("open", NONE)


@pytest.mark.parametrize(("state", "into", "out"), [
    ("open", "queued", "open"), ("queued", "queued", "open"), ("assigned", "queued", "open"),
    ("escalated", "escalated", "escalated"),
])  # fmt: skip
def test_how_it_stands_then(place: Desk, state: str, into: str, out: str) -> None:
    admin = place.staff()
    for body in (ACCOUNTS, MANUAL):
        make(place, admin, body)
    numbers = [reported(place), reported(place)]
    for number in numbers:
        set_state(place, number, state)
    assert put(place, admin, numbers[0], 2).json["report"]["status"] == into
    assert put(place, admin, numbers[1], NONE).json["report"]["status"] == out


def test_what_cannot_be_put_into_a_queue(place: Desk) -> None:
    admin = place.staff()
    for name in ("off", "gone", "there"):
        make(place, admin, {"name": name})
    make(place, admin, MANUAL, aud=OTHER)
    assert place.act(UPDATE, admin, {"queueId": 1, "enabled": False}).status == 200
    assert place.act(DELETE, admin, {"queueId": 2}).status == 200
    number, closed = reported(place), reported(place)
    set_state(place, closed, "closed")
    wanted = [
        (number + 100, 3, "ReportNotFound"), (0, 3, "ReportNotFound"), (-1, 9, "ReportNotFound"),
        (closed, 3, "ReportClosed"), (closed, NONE, "ReportClosed"), (closed, 9, "ReportClosed"),
        (number, NONE, "AlreadyInTargetQueue"), (number, 1, "QueueDisabled"), (number, 2, "QueueNotFound"),
        (number, 4, "QueueNotFound"), (number, 9, "QueueNotFound"), (number, 0, "QueueNotFound"),
        (number, -2, "QueueNotFound"), (number, (1 << 63) - 1, "QueueNotFound"),
    ]  # fmt: skip
    before = place.rows("report_case")
    for report_id, queue, name in wanted:
        assert put(place, admin, report_id, queue).fault == (400, name), (report_id, queue)
    assert place.rows("report_case") == before
    assert put(place, admin, number, 3).status == 200
    assert put(place, admin, number, 3).fault == (400, "AlreadyInTargetQueue")
    assert place.act(UPDATE, admin, {"queueId": 3, "enabled": False}).status == 200
    assert put(place, admin, number, NONE).status == 200, "out of a queue that is disabled"


@pytest.mark.parametrize("body", [
    {}, {"reportId": 1}, {"queueId": 1}, {"reportId": "1", "queueId": 1}, {"reportId": 1, "queueId": None},
    {"reportId": 1 << 64, "queueId": 1}, {"reportId": 1, "queueId": 1, "comment": 1}, [], b"{",
    {"reportId": 1, "queueId": 1, "comment": "é" * (MOST_OF_COMMENT // 2 + 1)},
])  # fmt: skip
def test_bad_bodies(place: Desk, body: Any) -> None:
    assert place.act(REASSIGN, place.staff(), body).fault == (400, "InvalidRequest")
    if isinstance(body, dict):
        assert place.act(ROUTE, place.staff(), {"startReportId": 1} | body).fault == (400, "InvalidRequest")


def test_s135_who_may_put_reports_into_queues(place: Desk) -> None:
    """Whoever of the team works on reports; nobody who moderates by a community alone, though they see the report."""
    admin = place.staff()
    for body in (POSTS, MANUAL):
        make(place, admin, body)
    number = reported(place, place.place.writer.post(1, tags=["python"]))
    for who, kind in [*callers(place), (place.member(Role.TRIAGE), "team"), (place.member(Role.VERIFIER), "verifier")]:
        in_team = bool(who) and place.place.writer.sql(
            "SELECT 1 FROM team_member t JOIN labeler l ON l.id = t.labeler WHERE t.did = ? AND l.did = ?"
            " AND t.role >= 2 AND disabled = 0", who.did if who else "", LABELER,
        )  # fmt: skip
        reply = put(place, who or admin, number, 2) if who else place.act(REASSIGN, None, {"reportId": 1, "queueId": 1})
        if kind == "team" or in_team:
            assert reply.status == 200 and who and put(place, who, number, 1).status == 200
        else:
            assert reply.fault == (401, "AuthenticationRequired" if kind in ("community", "verifier") else kind)
        assert case(place, number) == ("queued", 1)


def test_s135_another_team_sees_no_queue_that_is_not_its_own(place: Desk) -> None:
    """A report of a community that both serve is in one queue: each team puts it into one of its own, and out."""
    admin, theirs = place.staff(), place.member(Role.MODERATOR, labeler=OTHER)
    make(place, admin, POSTS)
    make(place, admin, MANUAL, aud=OTHER)
    in_rust = reported(place, place.place.writer.post(1, tags=["rust"]))
    in_python = reported(place, place.place.writer.post(2, tags=["python"]))
    assert put(place, theirs, in_python, 2, aud=OTHER).fault == (400, "ReportNotFound")
    assert put(place, theirs, in_rust, 1, aud=OTHER).fault == (400, "AlreadyInTargetQueue")
    assert put(place, theirs, in_rust, 2, aud=OTHER).json["report"]["queue"]["name"] == MANUAL["name"]
    assert put(place, admin, in_rust, 2).fault == (400, "AlreadyInTargetQueue")
    assert put(place, admin, in_rust, NONE).status == 200
    assert place.ask(LIST, theirs, aud=OTHER).json["queues"][0]["id"] == 2


def test_s139_moved_and_deleted_at_once(place: Desk) -> None:
    """Whichever comes first, no report waits in a queue that is gone."""
    people = [place.member(Role.MODERATOR) for _ in range(6)]
    make(place, people[0], ACCOUNTS)
    make(place, people[0], MANUAL)
    numbers = [reported(place) for _ in range(5)]

    def one(at: int) -> int:
        if at == 5:
            return place.act(DELETE, people[5], {"queueId": 2}).status
        return int(put(place, people[at], numbers[at], 2).status)

    with ThreadPoolExecutor(6) as pool:
        statuses = [*pool.map(one, range(6))]
    assert statuses[5] == 200
    assert {case(place, number) for number in numbers} <= {("queued", 1), ("open", NONE)}
