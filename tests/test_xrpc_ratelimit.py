import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrpc.ratelimit import RateLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_s166_burst_then_rate() -> None:
    clock = Clock()
    limit = RateLimit(2, 3, clock=clock)
    assert limit.quota == (3, 1.5)
    assert [limit.allow("a") for _ in range(3)] == [None] * 3
    assert limit.allow("a") == pytest.approx(0.5)
    assert limit.allow("b") is None
    clock.now += 0.5
    assert limit.allow("a") is None
    assert limit.allow("a") == pytest.approx(0.5)
    clock.now += 3600
    assert [limit.allow("a") for _ in range(4)][:3] == [None] * 3


def test_s166_memory_is_bounded() -> None:
    limit = RateLimit(1, 1, capacity=100, clock=Clock())
    for number in range(1000):
        limit.allow(str(number))
    assert len(limit) == 100


def test_nonsense_is_refused() -> None:
    for rate, burst in ((0, 1), (-1, 1), (1, 0)):
        with pytest.raises(ValueError, match="positive"):
            RateLimit(rate, burst)


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 10))
def test_never_more_than_burst_plus_rate(gaps: list[float], burst: int) -> None:
    clock = Clock()
    limit = RateLimit(1, burst, clock=clock)
    times: list[float] = []
    for gap in gaps:
        clock.now += gap
        if limit.allow("a") is None:
            times.append(clock.now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - times[first]) + 1e-6
