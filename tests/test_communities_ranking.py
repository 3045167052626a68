"""The orders of a community's posts: each against a plain statement of what it means; the cap per author."""

from collections import Counter
from math import exp2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.ranking import DEPTH, SORTS, SPREAD_OVER, Candidate, Ranking, rank, record_key, spread

HOUR = 3_600_000_000
NOW = 1_790_000_000_000_000
COUNT = st.integers(0, 3)
CANDIDATES = st.lists(
    st.builds(
        lambda author, age, since, counts: Candidate(0, author, NOW - age * HOUR, NOW - (age - since) * HOUR, *counts),
        st.integers(0, 3),
        st.integers(0, 40),
        st.integers(0, 5),
        st.tuples(COUNT, COUNT, COUNT, COUNT),
    ),
    max_size=30,
).map(lambda found: [one._replace(post=number) for number, one in enumerate(found, 1)])
RANKINGS = st.builds(Ranking, st.integers(1, 24), COUNT, COUNT, COUNT, COUNT)


def engagement(one: Candidate, ranking: Ranking) -> int:
    return (
        one.likes * ranking.likes
        + one.reposts * ranking.reposts
        + one.replies * ranking.replies
        + one.quotes * ranking.quotes
    )


def better(sort: str, ranking: Ranking, one: Candidate, other: Candidate) -> bool:
    """Whether `one` stands before `other`, said in another way than the code does."""
    mine, theirs = engagement(one, ranking), engagement(other, ranking)
    first: list[tuple[int, int]] = []
    if sort in ("active", "top", "top-day", "top-week", "top-month"):
        first.append((mine, theirs))
    if sort in ("active", "recent"):
        first.append((one.active, other.active))
    for ours, others in (*first, (one.created, other.created), (one.post, other.post)):
        if ours != others:
            return ours > others
    raise AssertionError("two posts with one number")


@pytest.mark.parametrize("sort", SORTS)
@given(CANDIDATES, RANKINGS)
def test_an_order_is_what_it_says(sort: str, found: list[Candidate], ranking: Ranking) -> None:
    by_post = {one.post: one for one in found}
    order = [by_post[post] for post in rank(sort, ranking, found)]
    assert len(order) == len(found)
    for place, one in enumerate(order):
        for later in order[place + 1 :]:
            if sort == "hot" and engagement(one, ranking) != engagement(later, ranking):
                # Decayed to one moment; where both are equal within the arithmetic, either may come first.
                mine, theirs = (
                    (engagement(c, ranking) + 1) * exp2(-(NOW - c.created) / HOUR / ranking.half_life_hours)
                    for c in (one, later)
                )
                assert mine >= theirs * (1 - 1e-9)
            else:
                assert better(sort, ranking, one, later)


def test_hot_halves_with_every_half_life() -> None:
    def post(number: int, age_hours: float, likes: int) -> Candidate:
        return Candidate(number, 1, NOW - int(age_hours * HOUR), NOW, likes, 0, 0, 0)

    # With 12 hours: 8 points of 24 hours ago are worth 2 of now.
    assert rank("hot", Ranking(), [post(1, 24, 7), post(2, 0, 2), post(3, 0, 0)]) == [2, 1, 3]
    assert rank("hot", Ranking(half_life_hours=24), [post(1, 24, 7), post(2, 0, 2), post(3, 0, 0)]) == [1, 2, 3]


def test_a_weight_of_zero_counts_nothing() -> None:
    liked, answered = Candidate(1, 1, 5, 5, 9, 0, 0, 0), Candidate(2, 1, 4, 4, 0, 0, 1, 0)
    assert rank("top", Ranking(), [liked, answered]) == [1, 2]
    assert rank("top", Ranking(likes=0), [liked, answered]) == [2, 1]


def test_a_feed_has_at_most_so_many_posts() -> None:
    found = [Candidate(number, 1, number, number, 0, 0, 0, 0) for number in range(1, DEPTH + 100)]
    assert rank("newest", Ranking(), found) == list(range(DEPTH + 99, 99, -1))


def test_no_two_feeds_have_one_record() -> None:
    assert [record_key("cats", sort) for sort in ("newest", "hot", "top-week")] == ["cats", "cats.hot", "cats.top-week"]


def naive_spread(ranked: list[tuple[int, int]], cap: int) -> list[int]:
    """At each place, the best post that may stand there, else the best."""
    left, found = list(ranked), list[tuple[int, int]]()
    while left:
        within = Counter(author for _, author in found[-(SPREAD_OVER - 1) :])
        found.append(left.pop(next((n for n, (_, author) in enumerate(left) if within[author] < cap), 0)))
    return [post for post, _ in found]


@given(st.lists(st.one_of(st.integers(1, 3), st.integers(1, 60)), max_size=150), st.integers(1, 5))
def test_the_cap_postpones_and_drops_nothing(authors: list[int], cap: int) -> None:
    ranked = list(enumerate(authors, 1))
    assert spread(ranked, cap) == naive_spread(ranked, cap)
    assert spread(ranked, 0) == [post for post, _ in ranked]


def test_within_thirty_in_a_row_an_author_has_no_more_than_the_cap() -> None:
    ranked = list(enumerate([1] * 40 + list(range(100, 1300)), 1))
    found = spread(ranked, 2)
    author = dict(ranked)
    assert sorted(found) == sorted(author)
    assert max(sum(author[post] == 1 for post in found[n : n + 30]) for n in range(len(found) - 30)) == 2
    assert [n for n, post in enumerate(found) if author[post] == 1][:4] == [0, 1, 30, 31]
