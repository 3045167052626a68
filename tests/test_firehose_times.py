"""When a post was written, when its event came, and where it sorts (S102)."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firehose.times import event_micros, now_micros, sort_micros, tid
from firehose.waiting import pause
from tests.world.clock import iso
from tests.world.clock import tid as their_tid
from xrpc.syntax import is_tid, tid_micros

DAY = 86_400_000_000
NOW = 1_790_000_000_000_000
MICROS = st.integers(0, 4 * 10**15)
ANY_TEXT = st.text(max_size=70) | st.datetimes().map(lambda moment: moment.isoformat() + "Z")


@given(ANY_TEXT, MICROS)
def test_s102_no_post_sorts_above_its_event_nor_before_1970(created_at: str, event_at: int) -> None:
    assert 0 <= sort_micros(created_at, event_at) <= event_at


@given(MICROS, MICROS)
def test_s102_a_time_that_can_be_is_where_a_post_sorts(created: int, event_at: int) -> None:
    created -= created % 1000
    expected = created if 0 < created <= event_at else event_at
    assert sort_micros(iso(created), event_at) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", NOW),
        ("never", NOW),
        (iso(NOW), NOW),
        (iso(NOW - 1000), NOW - 1000),
        (iso(NOW + 1000), NOW),
        (iso(NOW - 4 * DAY + 1000), NOW - 4 * DAY + 1000),
        (iso(NOW - 4 * DAY), NOW),
        ("1999-01-01T00:00:00Z", NOW),
    ],
)
def test_the_time_of_an_event_is_believed_as_far_as_a_stream_reaches(said: str, expected: int) -> None:
    assert event_micros(said, NOW) == expected


@given(ANY_TEXT, MICROS)
def test_no_event_is_in_our_future_nor_long_ago(said: str, received_at: int) -> None:
    assert received_at - 4 * DAY < event_micros(said, received_at) <= received_at


@given(st.lists(st.integers(0, 2**53 - 1), min_size=2, max_size=2))
def test_tids_sort_as_their_times_do(micros: list[int]) -> None:
    first, second = map(tid, micros)
    assert is_tid(first)
    assert tid_micros(first) == micros[0]
    assert first == their_tid(micros[0])
    assert (first < second) == (micros[0] < micros[1])


async def test_a_pause_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(pause(stop, 600))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await asyncio.wait_for(waiting, 5)
    await pause(stop, 600)
    await asyncio.wait_for(pause(asyncio.Event(), 0.001), 5)


def test_the_clock_counts_microseconds() -> None:
    assert abs(now_micros() - time.time() * 1_000_000) < 5_000_000
