"""Reports come into the queues of the labeler to which they were sent, or later (tools.ozone.queue.routeReports)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import labelers
from models.database import writing
from models.mod_events import SERVICE
from ozone.queue_reports import MOST_ROUTED
from ozone.roles import Role
from tests.civic_posts import a_cid
from tests.civic_reports import APPEAL, SPAM
from tests.civic_reports import OTHER as OTHER_REASON
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_queues import (
    ACCOUNTS,
    CREATE,
    DELETE,
    MANUAL,
    NONE,
    POST,
    POSTS,
    ROUTE,
    RUDE,
    SEXUAL,
    UPDATE,
    case,
    cases,
    fill,
    listed,
    make,
    put,
    reported,
    set_state,
)  # fmt: skip
from tests.ozone_site import Desk, desk, unlimited

LIST_RECORD, FEED = f"at://{plc(5)}/app.bsky.graph.list/l", f"at://{plc(5)}/app.bsky.feed.generator/g"
APPEALS = {"name": "Appeals", "subjectTypes": ["account"], "reportTypes": [APPEAL]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Desk]:
    """Where one account may write as often as it likes."""
    with unlimited(tmp_path) as found:
        yield found


def route(place: Desk, who: Account, start: int, end: int, *, aud: str = LABELER) -> tuple[int, int]:
    """How many were put into a queue, and how many into none."""
    reply = place.act(ROUTE, who, {"startReportId": start, "endReportId": end}, aud=aud)
    assert reply.status == 200, reply.body
    return reply.json["assigned"], reply.json["unmatched"]


# When they come


def test_a_report_comes_into_the_queue_that_is_for_it(place: Desk) -> None:
    admin, uri = place.staff(), place.place.writer.post(1)
    make(place, admin, ACCOUNTS)
    make(place, admin, POSTS)
    assert case(place, reported(place)) == case(place, reported(place, reason=OTHER_REASON)) == ("queued", 1)
    assert case(place, reported(place, uri)) == ("queued", 2)
    assert case(place, reported(place, uri, RUDE)) == ("open", NONE)
    assert case(place, reported(place, LIST_RECORD, cid=a_cid("x"))) == ("open", NONE)
    (queued_at,) = place.place.writer.sql("SELECT DISTINCT queued_at FROM report_case WHERE queue > 0")
    assert queued_at == (place.place.clock.micros(),)
    assert place.place.writer.sql("SELECT count(*) FROM report_case WHERE queue < 0 AND queued_at IS NULL") == [(2,)]


def test_in_each_scope_that_it_reaches(place: Desk) -> None:
    make(place, place.staff(), POSTS)
    uri = place.place.writer.post(1, tags=["python", "rust"])
    assert cases(place, reported(place, uri)) == [("queued", 1), ("queued", 1)]


def test_one_that_is_made_again_stays_where_it_is_and_is_sorted_where_it_comes_anew(place: Desk) -> None:
    admin, alice, uri = place.staff(), place.place.person(), place.place.writer.post(1, tags=["python"])
    make(place, admin, POSTS)
    number = reported(place, uri, who=alice)
    assert put(place, admin, number, NONE).status == 200
    assert reported(place, uri, who=alice) == number
    assert cases(place, number) == [("open", NONE)], "whoever took it out of the queue knows why"
    place.place.writer.sql(
        "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence)"
        " SELECT ?, hidden, sort_at, post, uri, evidence FROM feed_item WHERE uri = ?",
        place.place.id("rust"), uri,
    )  # fmt: skip
    assert reported(place, uri, who=alice) == number
    assert cases(place, number) == [("open", NONE), ("queued", 1)]


def test_an_appeal_waits_in_a_queue_and_stays_escalated(place: Desk) -> None:
    """It has to be looked at first, wherever it waits."""
    admin, alice = place.staff(), place.place.person()
    make(place, admin, APPEALS)
    number = reported(place, alice.did, APPEAL, who=alice)
    assert case(place, number) == ("escalated", 1)
    assert put(place, admin, number, NONE).json["report"]["status"] == "escalated"
    assert route(place, admin, number, number) == (1, 0)
    assert case(place, number) == ("escalated", 1)
    assert place.act(DELETE, admin, {"queueId": 1}).json["reportsMigrated"] == 1
    assert case(place, number) == ("escalated", NONE)


def test_a_queue_that_is_disabled_or_gone_takes_nothing(place: Desk) -> None:
    admin = place.staff()
    make(place, admin, ACCOUNTS)
    before = reported(place)
    assert place.act(UPDATE, admin, {"queueId": 1, "enabled": False}).status == 200
    assert (case(place, reported(place)), case(place, before)) == (("open", NONE), ("queued", 1))
    assert place.act(UPDATE, admin, {"queueId": 1, "enabled": True}).status == 200
    assert case(place, reported(place)) == ("queued", 1)
    assert place.act(DELETE, admin, {"queueId": 1}).status == 200
    assert case(place, reported(place)) == ("open", NONE)


def test_the_queues_are_those_of_the_labeler_that_was_asked(place: Desk) -> None:
    """Of a report to the service itself those of the first labeler."""
    admin, service = place.staff(), ""
    make(place, admin, ACCOUNTS, aud=OTHER)
    assert case(place, reported(place)) == case(place, reported(place, to=service)) == ("open", NONE)
    assert case(place, reported(place, to=OTHER)) == ("queued", 1)
    make(place, admin, ACCOUNTS)
    assert case(place, reported(place)) == case(place, reported(place, to=service)) == ("queued", 2)
    assert case(place, reported(place, to=OTHER)) == ("queued", 1)


def test_a_reporter_does_not_choose_the_queue(place: Desk) -> None:
    """Nor does somebody of the team, by the call that is for everybody."""
    admin = place.staff()
    make(place, admin, MANUAL)
    make(place, admin, ACCOUNTS)
    tool = {"name": "automod", "meta": {"queueId": 1, "isAutomated": True}}
    assert case(place, reported(place, modTool=tool)) == ("queued", 2)
    assert case(place, reported(place, reason=RUDE, who=admin, modTool=tool)) == ("open", NONE)


REASONS = (SPAM, RUDE, SEXUAL)
SUBJECTS = {
    plc(5): ("account", ""),
    LIST_RECORD: ("record", "app.bsky.graph.list"),
    FEED: ("record", "app.bsky.feed.generator"),
}
QUEUES = st.lists(
    st.tuples(
        st.sets(st.sampled_from(("account", "record", "message")), min_size=1),
        st.sampled_from(("app.bsky.graph.list", "app.bsky.feed.generator", POST)),
        st.sets(st.sampled_from(REASONS), min_size=1),
        st.sampled_from(("enabled", "disabled", "deleted")),
    ),
    max_size=4,
)
REPORTS = st.lists(st.tuples(st.sampled_from(sorted(SUBJECTS)), st.sampled_from(REASONS)), max_size=4)


@given(QUEUES, REPORTS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_reports_come_where_an_oracle_says(busy: Desk, made: list[Any], reports: list[tuple[str, str]]) -> None:
    """Queues are made through the door, which refuses those that overlap one that is there; then reports come, are
    taken out, and are sorted again.
    """
    admin = busy.staff()
    for one in listed(busy, admin, limit=100):
        assert busy.act(DELETE, admin, {"queueId": one["id"]}).status == 200
    there: list[tuple[int, set[tuple[str, str, str]]]] = []
    takes: dict[tuple[str, str, str], int] = {}
    for number, (kinds, collection, reasons, state) in enumerate(made):
        all_of_it = {(kind, collection if kind == "record" else "", reason) for kind in kinds for reason in reasons}
        body = {"name": f"q{number}", "subjectTypes": sorted(kinds), "reportTypes": sorted(reasons)}
        reply = busy.act(CREATE, admin, body | ({"collection": collection} if "record" in kinds else {}))
        assert (reply.status == 200) is not any(all_of_it & other for _, other in there), reply.body
        if reply.status != 200:
            continue
        queue = reply.json["queue"]["id"]
        if state == "disabled":
            assert busy.act(UPDATE, admin, {"queueId": queue, "enabled": False}).status == 200
        if state == "deleted":
            assert busy.act(DELETE, admin, {"queueId": queue}).status == 200
        else:
            there.append((queue, all_of_it))
        if state == "enabled":
            takes |= dict.fromkeys(all_of_it, queue)
    wanted = {}
    for what, reason in reports:
        number = reported(busy, what, reason, **({} if what.startswith("did:") else {"cid": a_cid("x")}))
        queue = takes.get((*SUBJECTS[what], reason), NONE)
        wanted[number] = ("open" if queue == NONE else "queued", queue)
        assert case(busy, number) == wanted[number]
    for number, (state, _) in wanted.items():
        if state == "queued":
            assert put(busy, admin, number, NONE).status == 200
    if wanted:
        queued = [one for one in wanted.values() if one[0] == "queued"]
        assert route(busy, admin, min(wanted), max(wanted)) == (len(queued), len(wanted) - len(queued))
    assert {number: case(busy, number) for number in wanted} == wanted


def test_without_a_labeler_nothing_is_sorted(place: Desk) -> None:
    """A report comes though no labeler has ever been here."""
    place.place.writer.sql("DELETE FROM labeler")
    with writing(place.place.writer.database) as connection:
        assert labelers.first(connection) is None
    assert case(place, reported(place, to="")) == ("open", NONE)
    assert place.place.writer.sql("SELECT scope FROM report_case") == [(SERVICE,)]


# routeReports


def test_reports_that_are_there_are_routed_once(place: Desk) -> None:
    admin = place.staff()
    numbers = [reported(place), reported(place, reason=RUDE), reported(place), reported(place)]
    assert route(place, admin, 1, 100) == (0, 4)
    make(place, admin, ACCOUNTS)
    place.place.clock.now += 5
    assert route(place, admin, numbers[0], numbers[2]) == (2, 1), "both ends are in it"
    assert [case(place, number) for number in numbers] == [("queued", 1), ("open", NONE), ("queued", 1), ("open", NONE)]
    times = place.place.writer.sql("SELECT queued_at, changed_at FROM report_case WHERE queue = 1")
    assert set(times) == {(place.place.clock.micros(),) * 2}
    before = place.rows("report_case")
    place.place.clock.now += 5
    assert route(place, admin, numbers[0], numbers[2]) == (0, 1) and place.rows("report_case") == before


def test_what_is_done_or_with_somebody_is_left_alone(place: Desk) -> None:
    admin = place.staff()
    numbers = {state: reported(place) for state in ("closed", "assigned", "escalated", "open")}
    for state, number in numbers.items():
        set_state(place, number, state)
    make(place, admin, ACCOUNTS)
    assert route(place, admin, 1, 4) == (2, 0)
    assert {state: case(place, number) for state, number in numbers.items()} == {
        "closed": ("closed", NONE),
        "assigned": ("assigned", NONE),
        "escalated": ("escalated", 1),
        "open": ("queued", 1),
    }


def test_s135_each_team_routes_what_it_sees_into_its_own_queues(place: Desk) -> None:
    admin, theirs = place.staff(), place.member(Role.MODERATOR, labeler=OTHER)
    post = place.place.writer.post(1, tags=["rust"])
    for_site, to_other, in_rust = reported(place), reported(place, to=OTHER), reported(place, post)
    in_python = reported(place, place.place.writer.post(2, tags=["python"]))
    for aud in (LABELER, OTHER):
        make(place, admin, ACCOUNTS, aud=aud)
        make(place, admin, POSTS, aud=aud)
    assert route(place, theirs, 1, 100, aud=OTHER) == (2, 0), "their labeler serves one community"
    assert [case(place, number) for number in (for_site, to_other, in_rust, in_python)] == [
        ("open", NONE), ("queued", 3), ("queued", 4), ("open", NONE),
    ]  # fmt: skip
    assert route(place, admin, 1, 100) == (2, 0)
    assert [case(place, number)[1] for number in (for_site, to_other, in_rust, in_python)] == [1, 3, 4, 2]


@pytest.mark.parametrize(
    ("start", "end"), [(2, 1), (1, MOST_ROUTED + 1), (-(1 << 63), (1 << 63) - 1), (1 << 62, 1 << 61), (0, 1 << 62)]
)
def test_a_range_that_is_too_wide_or_none(place: Desk, start: int, end: int) -> None:
    make(place, place.staff(), ACCOUNTS)
    reply = place.act(ROUTE, place.staff(), {"startReportId": start, "endReportId": end})
    assert reply.fault == (400, "OutOfRange")


def test_the_widest_range_and_its_edges(place: Desk) -> None:
    """5,000 reports are routed by one call, and none beside them."""
    admin = place.staff()
    scope = -place.place.writer.sql("SELECT id FROM labeler WHERE did = ?", LABELER)[0][0]
    numbers = list(fill(place, MOST_ROUTED + 2, scope=scope))
    make(place, admin, ACCOUNTS)
    assert numbers == list(range(numbers[0], numbers[0] + MOST_ROUTED + 2))
    assert route(place, admin, numbers[1], numbers[-2]) == (MOST_ROUTED, 0)
    assert case(place, numbers[0]) == case(place, numbers[-1]) == ("open", NONE)
    far = (1 << 63) - 1
    assert route(place, admin, far - MOST_ROUTED + 1, far) == route(place, admin, -(1 << 63), -(1 << 63)) == (0, 0)
