"""tools.ozone.report.getLiveStats, getHistoricalStats: counted from what was done, and held against a slow count."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.report_activities import Doing
from communities.report_activities import do as work
from communities.report_assignments import hold
from communities.report_cases import begin
from communities.report_state import Act, ReportStateError
from models import report_cases, report_counts
from models.database import sql, writing
from models.mod_events import SERVICE
from models.report_counts import Counted, Reached, Span
from models.reports import Said
from models.scopes import Scopes
from ozone.report_stats import DAY
from ozone.roles import Role
from tests.civic_reports import OTHER, SPAM, TROLL
from tests.didnet import plc
from tests.label_scene import OTHER as SECOND
from tests.ozone_reports import ASSIGN, HISTORY, LIVE, case, do, good, made, mute
from tests.ozone_site import NSID, Desk, desk
from tests.test_ozone_reports import LOOKING_AROUND, Recorder

HOUR = 3600


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def live(place: Desk, **params: Any) -> dict[str, Any]:
    """The live statistics, without when they were made."""
    who, aud = params.pop("who", place.staff()), params.pop("aud", None)
    reply = place.ask(LIVE, who, **params, **({"aud": aud} if aud else {}))
    stats: dict[str, Any] = good(reply)["stats"]
    assert stats.pop("lastUpdated")
    return stats


def days(place: Desk, **params: Any) -> list[dict[str, Any]]:
    """The statistics of days, without when they were made."""
    found: list[dict[str, Any]] = good(place.ask(HISTORY, params.pop("who", place.staff()), **params))["stats"]
    assert all(one.pop("computedAt") for one in found)
    return found


def date(place: Desk, ago: int = 0) -> str:
    """A day, as statistics name it."""
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=place.place.clock.now)
    return (now - timedelta(days=ago)).strftime("%Y-%m-%d")


def at_noon(place: Desk) -> None:
    """Let the clock stand at noon of the next day."""
    place.place.clock.now = (place.place.clock.now // 86400 + 1) * 86400 + 12 * HOUR


NOTHING = {"pendingCount": 0, "actionedCount": 0, "escalatedCount": 0, "inboundCount": 0}


def test_the_last_24_hours(place: Desk) -> None:
    who, clock = place.staff(), place.place.clock
    assert live(place) == NOTHING
    a, b, c = (made(place, plc(number)) for number in (5, 6, 7))
    assert live(place) == {**NOTHING, "pendingCount": 3, "inboundCount": 3, "actionRate": 0}
    clock.now += 60
    good(do(place, who, a, Act.CLOSE))
    clock.now += 60
    good(do(place, who, b, Act.ESCALATION))
    good(do(place, who, b, Act.CLOSE))
    expected = {"pendingCount": 1, "actionedCount": 2, "escalatedCount": 1, "inboundCount": 3, "actionRate": 67}
    assert live(place) == expected | {"avgHandlingTimeSec": 90}
    clock.now += 60
    good(do(place, who, a, Act.REOPEN))
    assert live(place)["pendingCount"] == 2
    clock.now += 120
    good(do(place, who, a, Act.CLOSE))
    assert live(place) == expected | {"avgHandlingTimeSec": 210}, "each counts once, as it was last closed"
    clock.now += 24 * HOUR - 301
    d = made(place, plc(8))
    assert live(place)["inboundCount"] == 4
    clock.now += 1
    assert live(place)["inboundCount"] == 1, "what was a day ago has gone out of the day"
    clock.now += 24 * HOUR
    assert live(place) == {**NOTHING, "pendingCount": 2}, "a rate of nothing is none"
    good(do(place, who, c, Act.CLOSE))
    good(do(place, who, d, Act.CLOSE))
    assert live(place)["actionedCount"] == 2 and "actionRate" not in live(place)


def test_by_queue_and_reason(place: Desk) -> None:
    a, b, c = (made(place, plc(5), reason) for reason in (SPAM, TROLL, OTHER))
    place.place.writer.sql("UPDATE report_case SET queue = 4 WHERE id IN (?, ?)", a, b)
    good(do(place, place.staff(), a, Act.CLOSE))
    assert (live(place, queueId=4)["pendingCount"], live(place, queueId=4)["inboundCount"]) == (1, 2)
    assert live(place, queueId=4)["actionedCount"] == 1 and live(place, queueId=-1)["actionedCount"] == 0
    assert live(place, queueId=-1)["pendingCount"] == 1 and live(place, queueId=9) == NOTHING
    assert live(place, reportTypes=[TROLL, OTHER])["pendingCount"] == 2
    assert live(place, reportTypes=[SPAM]) == {
        "pendingCount": 0, "actionedCount": 1, "escalatedCount": 0, "inboundCount": 1, "actionRate": 100,
        "avgHandlingTimeSec": 0,
    }  # fmt: skip
    assert live(place, reportTypes=[TROLL, OTHER], queueId=4)["inboundCount"] == 1
    assert days(place, queueId=4)[0]["pendingCount"] == 1 and days(place, reportTypes=[SPAM])[0]["actionedCount"] == 1
    assert do(place, place.staff(), c, Act.NOTE, internalNote="x").status == 200
    assert live(place)["actionedCount"] == 1, "a note is no action"


def test_of_a_moderator(place: Desk) -> None:
    who, other, clock = place.member(Role.TRIAGE), place.member(Role.TRIAGE), place.place.clock
    a, b, c, _ = (made(place, plc(number)) for number in (5, 6, 7, 8))
    clock.now += 600
    for number in (a, b):
        good(place.act(ASSIGN, who, {"reportId": number, "isPermanent": True}))
    good(place.act(ASSIGN, who, {"reportId": c}))
    clock.now += 30
    good(do(place, who, a, Act.CLOSE))
    good(do(place, who, c, Act.CLOSE))
    good(do(place, other, b, Act.ESCALATION))
    # Of what was theirs it took as long as it was theirs; of what was not, since it came.
    expected = {"pendingCount": 1, "actionedCount": 2, "escalatedCount": 0, "inboundCount": 2, "actionRate": 100}
    assert live(place, moderatorDid=who.did) == expected | {"avgHandlingTimeSec": 330}
    assert live(place, moderatorDid=other.did) == {**NOTHING, "escalatedCount": 1}
    (today,) = days(place, moderatorDid=who.did)
    assert today == {"date": date(place), **expected, "avgHandlingTimeSec": 330}
    for method in (LIVE, HISTORY):
        for caller in (who, place.member(Role.MODERATOR), place.place.moderator("python"), place.place.admin("rust")):
            refused = place.ask(method, caller, moderatorDid=caller.did)
            assert refused.fault == (401, "AuthenticationRequired")
        assert place.ask(method, place.staff(), moderatorDid="alice").fault == (400, "InvalidRequest")


def test_days(place: Desk) -> None:
    who, clock = place.staff(), place.place.clock
    assert days(place) == []
    at_noon(place)
    a, b, c = (made(place, plc(number)) for number in (5, 6, 7))
    clock.now += 24 * HOUR
    good(do(place, who, a, Act.CLOSE))
    good(do(place, who, b, Act.ESCALATION))
    clock.now += 48 * HOUR
    good(do(place, who, a, Act.REOPEN))
    good(do(place, who, c, Act.CLOSE))
    made(place, plc(8))
    clock.now += 24 * HOUR
    good(do(place, who, a, Act.CLOSE))
    expected = [
        {"date": date(place), **NOTHING, "pendingCount": 2, "actionedCount": 1, "avgHandlingTimeSec": 96 * HOUR},
        {
            "date": date(place, 1), "pendingCount": 3, "actionedCount": 1, "escalatedCount": 0, "inboundCount": 1,
            "actionRate": 100, "avgHandlingTimeSec": 72 * HOUR,
        },
        {"date": date(place, 2), **NOTHING, "pendingCount": 2},
        {
            "date": date(place, 3), "pendingCount": 2, "actionedCount": 1, "escalatedCount": 1, "inboundCount": 0,
            "avgHandlingTimeSec": 24 * HOUR,
        },
        {"date": date(place, 4), **NOTHING, "pendingCount": 3, "inboundCount": 3, "actionRate": 0},
    ]  # fmt: skip
    assert days(place) == expected
    pages = list(place.every(HISTORY, who, 2))
    assert [one["date"] for page in pages for one in page] == [one["date"] for one in expected]
    assert days(place, startDate=f"{date(place, 3)}T23:00:00Z") == expected[:4]
    assert days(place, endDate=f"{date(place, 3)}T00:00:00Z") == expected[3:]
    assert days(place, startDate=f"{date(place, 2)}T00:00:00Z", endDate=f"{date(place, 1)}T00:00:00Z") == expected[1:3]
    assert days(place, startDate=f"{date(place, 1)}T00:00:00Z", endDate=f"{date(place, 2)}T00:00:00Z") == []
    assert days(place, endDate="2999-01-01T00:00:00Z", limit=1) == expected[:1]
    assert days(place, endDate="1969-01-01T00:00:00Z") == []
    cursor = place.ask(HISTORY, who, limit=1).cursor
    assert place.ask(HISTORY, who, queueId=-1, cursor=cursor).fault == (400, "InvalidCursor")
    for bad in ({"startDate": "2026-01-01"}, {"limit": 101}, {"queueId": -2}):
        assert place.ask(HISTORY, who, **bad).fault == (400, "InvalidRequest")


def test_reports_of_muted_reporters_do_not_count(place: Desk) -> None:
    noisy = place.place.person()
    mute(place, SERVICE, noisy)
    number = made(place, plc(5), by=noisy)
    good(do(place, place.staff(), number, Act.CLOSE))
    assert live(place) == NOTHING and days(place) == []


def test_nothing_of_another_community_is_counted(place: Desk) -> None:
    post = place.place.writer.post(1, tags=["python", "rust"])
    number = made(place, post)
    made(place, plc(5))
    made(place, plc(6), to=f"{SECOND}#atproto_labeler")
    here, there = place.place.moderator("python"), place.place.moderator("rust")
    good(do(place, here, case(place, number, "python"), Act.CLOSE))
    one = {**NOTHING, "inboundCount": 1}
    assert live(place, who=here) == {**one, "actionedCount": 1, "actionRate": 100, "avgHandlingTimeSec": 0}
    assert live(place, who=there) == {**one, "pendingCount": 1, "actionRate": 0}
    assert days(place, who=there) == [{"date": date(place), **one, "pendingCount": 1, "actionRate": 0}]
    assert live(place)["inboundCount"] == 3 and live(place, aud=SECOND)["inboundCount"] == 2
    assert days(place, who=place.place.moderator("rust"), endDate="1999-01-01T00:00:00Z") == []
    assert place.ask(LIVE, place.place.person()).fault == (401, "AuthenticationRequired")


def test_what_is_counted_anew_each_time_cannot_be_refreshed(place: Desk) -> None:
    body = {"startDate": "2026-01-01", "endDate": "2026-01-02"}
    target = f"/xrpc/{NSID}report.refreshStats"
    headers = [("Authorization", f"Bearer {place.token(place.staff(), 'report.refreshStats')}")]
    reply = place.place.site.request("POST", target, repr(body).encode(), headers)
    assert reply.fault == (501, "MethodNotImplemented")


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(("report", *Act)), st.integers(0, 5), st.integers(0, 30 * HOUR), st.sampled_from(("a", "b"))
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(HISTORIES, st.sampled_from((None, -1, 2)), st.sampled_from(((), (SPAM,))))
def test_the_count_of_any_history_is_that_of_its_steps(
    quiet: Desk, history: list[tuple[str, int, int, str]], queue: int | None, types: tuple[str, ...]
) -> None:
    """Against a count that follows every report day by day."""
    scopes, start = Scopes(frozenset((0,)), communities=True), 20_000 * DAY
    now, numbers = start, list[int]()
    steps: list[tuple[int, str, int]] = []  # when, what was done, with which report
    try:
        with writing(quiet.place.writer.database) as connection:
            for act, which, seconds, who in history:
                now += seconds * 1_000_000
                if act == "report":
                    said = Said(f"did:plc:{len(numbers)}", (SPAM, TROLL)[which % 2], "", "did:plc:x")
                    scope = (0, 1, -9)[which % 3]
                    numbers.append(begin(connection, said, [scope], now).id)
                    connection.execute("UPDATE report_case SET queue = ? WHERE id = ?", (which % 4 - 1, numbers[-1]))
                    steps.append((now, "report", numbers[-1]))
                elif numbers:
                    number = numbers[which % len(numbers)]
                    row = report_cases.find(connection, number)
                    assert row is not None
                    try:
                        if act == Act.ASSIGNMENT:
                            if row.state in ("open", "queued"):
                                hold(connection, number, f"did:plc:{who}", Doing(Act.ASSIGNMENT, who), -1, now)
                            continue
                        work(connection, number, Doing(Act(act), f"did:plc:{who}"), now)
                        steps.append((now, act, number))
                    except ReportStateError:
                        continue
            counted = Counted(queue, types)
            chosen = {
                number: row
                for number in numbers
                if (row := report_cases.find(connection, number)) is not None
                and row.scope in scopes
                and queue in (None, row.queue)
                and (not types or row.reason_type in types)
            }
            last = now // DAY
            span = Span(start, (last + 1) * DAY, DAY)
            came = report_counts.inbound(connection, scopes, counted, span)
            closed = report_counts.reached(connection, scopes, counted, span, Act.CLOSE)
            escalated = report_counts.reached(connection, scopes, counted, span, Act.ESCALATION)
            waiting = report_counts.pending(connection, scopes, counted)
            reopened = report_counts.reached(connection, scopes, counted, span, Act.REOPEN)
            assert waiting == sum(row.state != "closed" for row in chosen.values())
            open_now: set[int] = set()
            for part in range(last - start // DAY + 1):
                of_day = [step for step in steps if (step[0] - start) // DAY == part and step[2] in chosen]
                arrived = [number for _, act, number in of_day if act == "report"]
                assert came[part] == len(arrived)
                shut = {number: at for at, act, number in of_day if act == Act.CLOSE}
                times = sum(act == Act.CLOSE for _, act, _ in of_day)
                took = sum(at - chosen[n].at for n, at in shut.items())
                assert closed.get(part, Reached()) == (len(shut), took, times)
                up = {n for _, act, n in of_day if act == Act.ESCALATION}
                assert escalated.get(part, Reached()).reports == len(up)
                for _, act, number in of_day:
                    if act in ("report", Act.REOPEN):
                        open_now.add(number)
                    elif act == Act.CLOSE:
                        open_now.discard(number)
                later = range(part + 1, last - start // DAY + 1)
                back = sum(closed.get(p, Reached()).times - reopened.get(p, Reached()).times for p in later)
                known = waiting + back - sum(came[p] for p in later)
                assert known == len(open_now), "as many waited at the end of the day"
            raise _UndoneError
    except _UndoneError:
        return


class _UndoneError(Exception):
    """Nothing of it is kept."""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("quiet")) as found:
        yield found


@pytest.mark.parametrize("scopes", LOOKING_AROUND)
def test_statistics_are_read_by_their_indexes(quiet: Desk, scopes: Scopes) -> None:

    recorder, span = Recorder(sql(quiet.place.writer.database)), Span(0, 10 * DAY, DAY)
    for queue, types, moderator in itertools.product((None, 3), ((), (SPAM,)), ("", plc(1))):
        counted = Counted(queue, types, moderator)
        report_counts.pending(recorder, scopes, counted)
        report_counts.inbound(recorder, scopes, counted, span)
        report_counts.first(recorder, scopes)
        for act in Act:
            report_counts.reached(recorder, scopes, counted, span, act)
        if moderator:
            report_counts.held(recorder, scopes, counted, DAY)
    scans = {plan for plan in recorder.plans if plan.startswith("SCAN") and "(subquery" not in plan}
    assert {plan for plan in scans if "COVERING INDEX" not in plan} == set()
    assert any("report_case_inbound" in plan for plan in recorder.plans)
