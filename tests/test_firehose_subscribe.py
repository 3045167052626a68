"""How long to wait before the next try."""

import random

import pytest

from firehose.backoff import FIRST_DELAY, LONGEST_DELAY, Backoff


@pytest.mark.parametrize("seed", range(20))
def test_the_wait_doubles_with_jitter_up_to_a_bound(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    longest = FIRST_DELAY
    for _ in range(30):
        longest = min(longest * 2, LONGEST_DELAY)
        assert longest / 2 <= backoff.next() <= longest
    assert 30 <= LONGEST_DELAY <= 64


def test_no_two_services_wait_for_the_same_time_even_at_first() -> None:
    firsts = {Backoff(random.Random(seed)).next() for seed in range(50)}
    assert len(firsts) == 50
    assert max(firsts) - min(firsts) > 0.3 * FIRST_DELAY
    assert Backoff().next() != Backoff().next()


def test_a_good_connection_begins_anew() -> None:
    backoff = Backoff(random.Random(1), first=1.0, longest=8.0)
    for _ in range(10):
        backoff.next()
    assert backoff.next() >= 4.0
    backoff.reset()
    assert backoff.next() <= 2.0


def test_a_fault_that_will_hardly_mend_waits_as_long_as_ever() -> None:
    backoff = Backoff(random.Random(1))
    assert backoff.next(longest=True) >= LONGEST_DELAY / 2
    assert backoff.next() >= LONGEST_DELAY / 2  # and what follows is not sooner
