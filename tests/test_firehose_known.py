"""The filters of what is known: they may say "perhaps" too often, and never "certainly not" of what is there."""

import random

from hypothesis import given
from hypothesis import strategies as st

from firehose.known import Known


@given(st.lists(st.text(min_size=1)), st.integers(0, 3000))
def test_nothing_that_was_added_is_ever_denied(keys: list[str], capacity: int) -> None:
    known = Known(capacity)
    for key in keys:
        known.add(key)
        assert key in known
    assert all(key in known for key in keys)
    assert known.count <= len(set(keys))


def test_a_filter_that_is_full_or_overfull_still_denies_nothing() -> None:
    known = Known(1024)
    keys = [f"at://did:plc:{number}/app.bsky.feed.post/x" for number in range(5000)]
    for key in keys:
        known.add(key)
    assert known.full
    assert all(key in known for key in keys)


def test_false_hits_stay_rare_up_to_the_capacity() -> None:
    rng = random.Random(1)
    known = Known.of((f"{rng.random()}" for _ in range(10_000)), 10_000)
    assert not known.full
    hits = sum(f"other {number}" in known for number in range(20_000))
    assert hits < 20_000 * 0.03


def test_the_same_key_twice_takes_no_room() -> None:
    known = Known()
    for _ in range(100_000):
        known.add("same")
    assert known.count == 1
    assert not known.full


def test_room_for_as_many_again() -> None:
    known = Known.of(map(str, range(5000)), 5000)
    for number in range(5000, 10_000):
        known.add(f"{number}")
    assert not known.full
