"""In which orders a community's posts can be shown, and how each order is made. Pure.

A post's engagement E is the weighted sum of its likes, reposts, replies and quotes. Every order is total: it ends in
the post's own number. No order but those of `WINDOWS` needs to know what time it is: where everything halves within the
same time, `log2(E + 1) + created / half-life` orders as `(E + 1) * 2^(-age / half-life)` does at any moment.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log2
from typing import NamedTuple

NEWEST, VIDEO = "newest", "video"
SORTS = (NEWEST, "active", "recent", "hot", "top-day", "top-week", "top-month", "top", VIDEO)
EVERYTHING, QUEUE = "everything", "queue"
"""Feeds that are no order of a community's posts: the viewer's communities in one, and what waits for moderators."""
WINDOWS = {"top-day": 1, "top-week": 7, "top-month": 30}
"""Of how many days the posts of a sort are."""
DEPTH = 2000
"""How many posts a ranked feed has at most."""
SPREAD_OVER = 30
"""Within so many posts in a row an author has at most `author_cap`."""
_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a community says of its orders: half-life of `hot`, weights of E, cap per author (0: none)."""

    half_life_hours: int = 12
    likes: int = 1
    reposts: int = 1
    replies: int = 1
    quotes: int = 1
    author_cap: int = 0


class Candidate(NamedTuple):
    """A post that may be ranked. Times are microseconds; `active`: when anybody last did anything with it."""

    post: int
    author: int
    created: int
    active: int
    likes: int
    reposts: int
    replies: int
    quotes: int


Key = Callable[[Candidate], tuple[float, ...]]


def record_key(slug: str, sort: str) -> str:
    """The record key of a community's feed. No slug has a dot, so no two feeds have the same."""
    return slug if sort == NEWEST else f"{slug}.{sort}"


def key(sort: str, ranking: Ranking) -> Key:
    """What an order goes by, the greatest first."""
    likes, reposts, replies, quotes = ranking.likes, ranking.reposts, ranking.replies, ranking.quotes
    half_life = ranking.half_life_hours * _HOUR

    def engagement(one: Candidate) -> int:
        return likes * one.likes + reposts * one.reposts + replies * one.replies + quotes * one.quotes

    keys: dict[str, Key] = {
        NEWEST: lambda one: (one.created, one.post),
        VIDEO: lambda one: (one.created, one.post),
        # The reference adds 1 to E here, for the post itself; that changes no order.
        "active": lambda one: (engagement(one), one.active, one.created, one.post),
        "recent": lambda one: (one.active, one.created, one.post),
        "hot": lambda one: (log2(engagement(one) + 1) + one.created / half_life, one.created, one.post),
    }
    return keys.get(sort, lambda one: (engagement(one), one.created, one.post))


def rank(sort: str, ranking: Ranking, candidates: Iterable[Candidate]) -> list[int]:
    """The posts of a feed in its order, at most DEPTH. Which are young enough is for the caller to say."""
    best = heapq.nlargest(DEPTH, candidates, key=key(sort, ranking))
    return spread([(one.post, one.author) for one in best], ranking.author_cap)


def spread(ranked: Sequence[tuple[int, int]], cap: int) -> list[int]:
    """The posts of (post, author) pairs, so that within any SPREAD_OVER in a row an author has at most `cap`.

    A post that would be too many comes later, as soon as it may; none is dropped. Where only such posts are left they
    come in their order. `cap` 0 changes nothing.
    """
    if not cap:
        return [post for post, _ in ranked]
    queues: defaultdict[int, deque[int]] = defaultdict(deque)
    for place, (_, author) in enumerate(ranked):
        queues[author].append(place)
    # The best place of each author who may come next, and of those who may not: at most SPREAD_OVER of them.
    free = [(places[0], author) for author, places in queues.items()]
    heapq.heapify(free)
    held: set[int] = set()
    shown: deque[int] = deque()
    within: Counter[int] = Counter()
    found: list[int] = []
    while free or held:
        if free:
            _, author = heapq.heappop(free)
        else:
            author = min(held, key=lambda one: queues[one][0])
            held.remove(author)
        found.append(ranked[queues[author].popleft()][0])
        shown.append(author)
        within[author] += 1
        if queues[author]:
            held.add(author)
        touched = {author}
        if len(shown) == SPREAD_OVER:
            gone = shown.popleft()
            within[gone] -= 1
            touched.add(gone)
        for one in touched & held:
            if within[one] < cap:
                held.remove(one)
                heapq.heappush(free, (queues[one][0], one))
    return found
