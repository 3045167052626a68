"""How fast labels go: per second, hour and day, also over restarts; urgent ones first; batches leave room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.outbox import following
from labeler.pacing import MINUTE, Budget, Pace
from models.database import open_database, writing
from tests.label_site import START, LabelSite, post


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LabelSite]:
    made = LabelSite(tmp_path / "communities.db", Pace(4, 30, 100))
    yield made
    made.database.close()


def drain(site: LabelSite) -> list[tuple[int, str]]:
    """When each label went, with a clock that goes on by itself as the publisher says."""
    went: list[tuple[int, str]] = []
    highest = 0
    while True:
        site.publisher.step()
        fresh = site.rows(highest)
        went += [(site.clock.now, row.uri) for row in fresh]
        highest = fresh[-1].seq if fresh else highest
        if site.publisher.wait is None:
            return went
        site.clock.now += int(site.publisher.wait * 1000)


def most_within(times: list[int], millis: int) -> int:
    return max(sum(1 for other in times if at <= other < at + millis) for at in times)


def test_no_limit_is_passed_and_none_is_left_unused(site: LabelSite) -> None:
    for number in range(1, 81):
        site.issue(post(number), "spam")
    times = [at for at, _ in drain(site)]
    assert len(times) == 80 and site.count("label_outbox") == 0
    assert most_within(times, 1000) == 4 and most_within(times, 60 * MINUTE) == 30
    assert times[:4] == [START] * 4 and times[-1] - START < 3 * 61 * MINUTE


def test_the_day_has_its_limit(site: LabelSite) -> None:
    for number in range(1, 121):
        site.issue(post(number), "spam")
    times = [at for at, _ in drain(site)]
    assert len(times) == 120 and most_within(times, 24 * 60 * MINUTE) == 100


def test_a_restart_forgets_nothing(site: LabelSite) -> None:
    for number in range(1, 60):
        site.issue(post(number), "spam")
    while site.publisher.step() or (site.publisher.wait or 0) <= 1:
        site.clock.now += 1000
    assert len(site.rows()) == 30
    for _ in range(3):
        site.close(in_order=False)
        site.pace = Pace(4, 30, 100)
        site.open()
        site.publisher.step()
        assert len(site.rows()) == 30, "the hour is used up"
    site.clock.now += 62 * MINUTE
    assert site.publisher.step() == 4
    site.close()
    site.pace = Pace(4, 30, 100)
    site.open()
    assert site.publisher.step() == 0, "so is the second"
    site.clock.now += 1000
    assert site.publisher.step() == 4


def test_what_is_urgent_overtakes_and_batches_leave_a_tenth(site: LabelSite) -> None:
    for number in range(1, 61):
        site.issue(post(number), "spam", batch="b")
    while site.publisher.step() or (site.publisher.wait or 0) <= 1:
        site.clock.now += 1000
    assert len(site.rows()) == 27, "of thirty in an hour"
    site.issue(post(100), "spam")
    site.issue(post(101), "gore")
    site.remove(post(1), "spam")
    assert site.publisher.step() == 3
    assert [row.uri for row in site.rows()[-3:]] == [post(101), post(1), post(100)]
    site.issue(post(102), "gore")
    assert site.publisher.step() == 0, "the whole hour is used up now"


def test_batches_of_both_kinds_share_what_is_left_to_batches(site: LabelSite) -> None:
    for number in range(1, 4):
        site.issue(post(number), "spam", batch="b")
        site.issue(post(number), "gore", batch="b")
    site.issue(post(9), "spam")
    rows = following(site.connection, 1, START, 10, 4)
    assert [(row.uri, row.val) for row in rows] == [
        (post(1), "gore"), (post(2), "gore"), (post(3), "gore"), (post(9), "spam"), (post(1), "spam")
    ]  # fmt: skip


def test_each_labeler_has_limits_of_its_own(site: LabelSite) -> None:
    for number in range(1, 9):
        site.issue(post(number), "spam")
        site.issue(post(number), "spam", labeler=2)
    assert site.publisher.step() == 8 and site.publisher.step() == 0
    assert site.publisher.wait == 1.0


def test_a_clock_that_is_set_back_stops_nothing_for_long(site: LabelSite) -> None:
    for number in range(1, 21):
        site.issue(post(number), "spam")
    site.publisher.step()
    site.clock.now -= 600_000
    site.publisher.step()
    assert site.publisher.wait is not None and site.publisher.wait <= 1
    site.clock.now += 1000
    assert site.publisher.step() == 4
    site.clock.now -= 3 * 24 * 60 * MINUTE
    site.publisher.step()
    site.clock.now += 1000
    assert site.publisher.step() == 4


def test_old_minutes_go(site: LabelSite) -> None:
    for number in range(1, 4):
        site.issue(post(number), "spam")
        site.publisher.step()
        site.clock.now += 13 * 60 * MINUTE
    assert site.count("label_sent") == 2


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 90_000)), max_size=30))
def test_whatever_is_asked_for_no_window_is_overrun(wishes: list[tuple[int, int]]) -> None:
    database = open_database(Path(":memory:"))
    pace, now = Pace(4, 20, 50), START
    went: list[int] = []
    for wish, later in wishes:
        now += later
        with writing(database) as connection:
            budget = pace.budget(connection, 1, now)
            assert 0 <= budget.batched <= budget.singles <= 4
            count = min(wish, budget.singles)
            if count:
                pace.count(connection, 1, count, now)
                pace.sent(1, count, now)
                went += [now] * count
            elif budget.singles == 0:
                assert 0 < pace.wait(connection, 1, now) <= MINUTE
    if went:
        assert most_within(went, 1000) <= 4 and most_within(went, 60 * MINUTE) <= 20
    database.close()


def test_without_limits_nothing_is_counted(tmp_path: Path) -> None:
    site = LabelSite(tmp_path / "communities.db")
    assert site.pace.budget(site.connection, 1, START) == Budget(1 << 40, 1 << 40)
    site.issue(post(1), "spam")
    site.publish()
    assert site.count("label_sent") == 0
    site.close()
