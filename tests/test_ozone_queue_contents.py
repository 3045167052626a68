"""What is in queues of reports: where it goes when a queue goes, and how much there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.database import sql
from models.queued_cases import counts
from ozone.queue_stats import DAY, KEPT_MICROS
from tests.didnet import Account
from tests.label_scene import OTHER
from tests.ozone_queues import (
    ACCOUNTS,
    DELETE,
    MANUAL,
    NONE,
    UPDATE,
    case,
    cases,
    fill,
    listed,
    make,
    names,
    reported,
    set_state,
)  # fmt: skip
from tests.ozone_site import Desk, desk

INVALID = (400, "InvalidRequest")
EMPTY = {"pendingCount": 0, "actionedCount": 0, "escalatedCount": 0, "inboundCount": 0}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def in_every_state(place: Desk, admin: Account) -> dict[str, int]:
    """Reports in queue 1 that stand in every way."""
    numbers = {state: reported(place) for state in ("queued", "assigned", "escalated", "closed", "open")}
    for state, number in numbers.items():
        assert case(place, number) == ("queued", 1)
        set_state(place, number, state)
    return numbers


@pytest.mark.parametrize("target", [None, NONE, 2])
def test_what_waits_in_a_queue_that_goes(place: Desk, target: int | None) -> None:
    """It waits in the other one, or is open; what was escalated stays so, and what was closed is left alone."""
    admin = place.staff()
    make(place, admin, ACCOUNTS)
    make(place, admin, MANUAL)
    numbers = in_every_state(place, admin)
    place.place.clock.now += 5
    reply = place.act(DELETE, admin, {"queueId": 1} | ({} if target is None else {"migrateToQueueId": target}))
    assert reply.json == {"deleted": True, "reportsMigrated": 4}
    into = target or NONE
    waits = ("open" if into == NONE else "queued", into)
    wanted = dict.fromkeys(("queued", "assigned", "open"), waits)
    wanted |= {"escalated": ("escalated", into), "closed": ("closed", 1)}
    assert {state: case(place, number) for state, number in numbers.items()} == wanted
    now = place.place.clock.micros()
    times = place.place.writer.sql("SELECT DISTINCT queued_at, changed_at FROM report_case WHERE state != 'closed'")
    assert times == [(None if into == NONE else now, now)]
    assert case(place, reported(place)) == ("open", NONE), "it takes nothing any more"


def test_where_nothing_can_go(place: Desk) -> None:
    """Of two queues, into one that is disabled, gone, another team's."""
    admin = place.staff()
    for name in ("from", "off", "gone"):
        make(place, admin, {"name": name})
    make(place, admin, MANUAL, aud=OTHER)
    assert place.act(UPDATE, admin, {"queueId": 2, "enabled": False}).status == 200
    assert place.act(DELETE, admin, {"queueId": 3}).status == 200
    for target in (1, 2, 3, 4, 5):
        assert place.act(DELETE, admin, {"queueId": 1, "migrateToQueueId": target}).fault == INVALID
    assert place.act(DELETE, admin, {"queueId": 3}).fault == place.act(UPDATE, admin, {"queueId": 3}).fault == INVALID
    assert names(place, admin) == ["from", "off"]


# How much is in a queue


def test_how_much_is_in_a_queue(place: Desk) -> None:
    admin, clock = place.staff(), place.place.clock
    make(place, admin, ACCOUNTS)
    make(place, admin, MANUAL)
    old = reported(place)
    clock.now += DAY / 1_000_000 + 60
    numbers = in_every_state(place, admin)
    clock.now += 90
    set_state(place, old, "closed", clock.micros() - DAY - 1)
    set_state(place, numbers["closed"], "closed", clock.micros())
    (stats, none) = (one["stats"] for one in listed(place, admin))
    assert stats == {
        "pendingCount": 3, "actionedCount": 1, "escalatedCount": 1, "inboundCount": 5, "actionRate": 20,
        "avgHandlingTimeSec": 90, "lastUpdated": stats["lastUpdated"],
    }  # fmt: skip
    assert none == EMPTY | {"lastUpdated": stats["lastUpdated"]}
    reported(place)
    assert listed(place, admin)[0]["stats"] == stats, "not counted at each call"
    clock.now += KEPT_MICROS / 1_000_000
    later = listed(place, admin)[0]["stats"]
    assert (later["pendingCount"], later["inboundCount"]) == (4, 6)
    assert later["lastUpdated"] > stats["lastUpdated"]


def test_the_rate_is_rounded(place: Desk) -> None:
    admin = place.staff()
    make(place, admin, ACCOUNTS)
    for number in [reported(place) for _ in range(8)][:5]:
        set_state(place, number, "closed", place.place.clock.micros())
    place.place.clock.now += KEPT_MICROS / 1_000_000
    stats = listed(place, admin)[0]["stats"]
    assert (stats["actionRate"], stats["avgHandlingTimeSec"]) == (63, 0), "of 62.5"


def test_counting_reads_indexes_alone(place: Desk) -> None:
    """And of 20,000 that were closed long ago it reads none."""
    admin = place.staff()
    make(place, admin, ACCOUNTS)
    list(fill(place, 20, queue=1, state="queued"))
    list(fill(place, 20_000, queue=1, state="closed"))
    place.place.clock.now += 2 * DAY / 1_000_000
    database = place.place.writer.database
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection = sql(database)
    database.connection().set_progress_handler(count, 10)
    try:
        found = counts(connection, [1, 2], place.place.clock.micros() - DAY)
    finally:
        database.connection().set_progress_handler(None)
    assert (found[1].waiting, found[1].closed, found[2].waiting) == (20, 0, 0)
    assert steps < 300
    assert cases(place, 1) == [("queued", 1)]
