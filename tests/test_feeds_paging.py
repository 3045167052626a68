"""Paging as a whole (invariant 7, S52): whatever others write between two pages, every item that stays comes exactly
once and none comes twice; the same as seen through an AppView, which drops what it does not know.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.didnet import plc
from tests.feed_site import DAY, NOW, RULES, Reply, Site, Writer, site_and_writer

AUTHORS = 4
TIMES = st.integers(0, 5)
AUTHOR = st.integers(0, AUTHORS - 1)
NUMBER = st.integers(0, 200)
CHANGES = st.one_of(
    st.tuples(st.just("insert"), AUTHOR, TIMES),
    st.tuples(st.just("delete"), NUMBER, NUMBER),
    st.tuples(st.just("hide"), AUTHOR, NUMBER),
    st.tuples(st.just("show"), AUTHOR, NUMBER),
    st.tuples(st.just("pin"), NUMBER, NUMBER),
    st.tuples(st.just("unpin"), NUMBER, NUMBER),
)
STEPS = st.lists(st.tuples(st.integers(1, 7), st.lists(CHANGES, max_size=3)), min_size=1, max_size=12)
QUIET = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("paging")) as served:
        yield served


@dataclass
class Model:
    """What the feed must hold, kept beside it: posts by URI with their author."""

    writer: Writer
    posts: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    """Posts that were deleted, hidden or added while somebody was paging: they may come or not."""
    declared: int = 0

    def insert(self, author: int, time: int) -> None:
        """Accounts that are not active write nothing that is applied."""
        if author not in self.hidden:
            uri = self.writer.post(author, at=NOW - DAY + time)
            self.posts[uri] = author
            self.touched.add(uri)

    def apply(self, change: tuple[str, int, int]) -> None:
        kind, first, second = change
        uris = list(self.posts)
        if kind == "insert":
            self.insert(first, second)
        elif kind in ("hide", "show"):
            self.writer.hide(first, active=kind == "show")
            (self.hidden.discard if kind == "show" else self.hidden.add)(first)
            self.touched |= {uri for uri, author in self.posts.items() if author == first}
        elif kind == "delete" and uris:
            uri = uris[first % len(uris)]
            if self.posts[uri] not in self.hidden:
                self.writer.delete(uri)
                self.deleted.add(uri)
                self.touched.add(uri)
        elif kind == "pin" and uris:
            self.declare({uris[first % len(uris)], uris[second % len(uris)]})
        elif kind == "unpin":
            self.declare(set())

    def declare(self, pins: set[str]) -> None:
        """Pins are written into the rules, as an operator does."""
        self.declared += 1
        listed = ", ".join(f'"{uri}"' for uri in sorted(pins))
        text = f'name = "Python"\ndescription = "{self.declared}"\npins = [{listed}]'
        self.writer.declare(RULES.replace('name = "Python"', text))

    @property
    def shown(self) -> set[str]:
        return {uri for uri, author in self.posts.items() if author not in self.hidden and uri not in self.deleted}


def begin(writer: Writer, posts: list[tuple[int, int]], pins: list[int]) -> Model:
    writer.clear()
    model = Model(writer)
    for author, time in posts:
        model.insert(author, time)
    uris = list(model.posts)
    model.declare({uris[pin % len(uris)] for pin in pins} if uris else set())
    model.touched.clear()
    return model


def check_page(model: Model, reply: Reply, limit: int, first: bool) -> None:
    items, cursor = reply.json["feed"], reply.cursor
    assert len(items) <= limit
    assert items or cursor is None, "an empty page in mid-feed"
    assert set(reply.posts) <= model.shown, "a deleted or hidden post"
    pinned = [index for index, item in enumerate(items) if "reason" in item]
    assert pinned == list(range(len(pinned))) and (first or not pinned) and (limit > 1 or not pinned)


def walk(site: Site, model: Model, steps: list[tuple[int, list[tuple[str, int, int]]]]) -> list[Reply]:
    """Read to the end: the steps say how large each page is and what happens after it; they are used in turn."""
    replies: list[Reply] = []
    cursor: str | None = None
    while True:
        limit, changes = steps[len(replies) % len(steps)]
        reply = site.page(limit=limit, cursor=cursor)
        check_page(model, reply, limit, not replies)
        replies.append(reply)
        assert reply.cursor is None or reply.cursor != cursor, "the cursor stands still"
        cursor = reply.cursor
        if cursor is None:
            return replies
        # Changes happen once each, or an endless stream of inserts could keep the reader busy for ever.
        for change in changes if len(replies) <= len(steps) else []:
            model.apply(change)


@QUIET
@given(st.lists(st.tuples(AUTHOR, TIMES), max_size=25), st.lists(NUMBER, max_size=3), STEPS)
def test_invariant_7_every_item_that_stays_comes_exactly_once(
    both: tuple[Site, Writer],
    posts: list[tuple[int, int]],
    pins: list[int],
    steps: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    site, writer = both
    model = begin(writer, posts, pins)
    stay = set(model.posts)
    seen = Counter(uri for reply in walk(site, model, steps) for uri in reply.posts)
    assert max(seen.values(), default=1) == 1, "an item came twice"
    assert stay - model.touched <= seen.keys(), "an item that stayed was lost"


@QUIET
@given(st.lists(st.tuples(AUTHOR, TIMES), min_size=1, max_size=25), st.lists(NUMBER, max_size=3), st.integers(1, 9))
def test_a_feed_at_rest_is_in_exact_order(
    both: tuple[Site, Writer], posts: list[tuple[int, int]], pins: list[int], limit: int
) -> None:
    site, writer = both
    model = begin(writer, posts, pins)
    order = sorted(zip((time for _, time in posts), range(len(posts)), model.posts, strict=True), reverse=True)
    items = [item for reply in site.pages(limit=limit) for item in reply.json["feed"]]
    body = [item["post"] for item in items if "reason" not in item]
    sent = [item["post"] for item in items if "reason" in item]
    assert body == [uri for _, _, uri in order if uri not in sent]
    assert {*body, *sent} == set(model.posts)


class AppView:
    """How the AppView treats a skeleton: cut to `limit`, what cannot be shown is dropped and not replaced, the cursor
    kept unless the page was empty or it is the one of the request.
    """

    def __init__(self, site: Site, blocked: set[int]) -> None:
        self._site = site
        self._blocked = {plc(number) for number in blocked}

    def get_feed(self, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        reply = self._site.page(limit=limit, cursor=cursor)
        posts, following = reply.posts[:limit], reply.cursor
        if not posts or following == cursor:
            following = None
        return [uri for uri in posts if uri.split("/")[2] not in self._blocked], following


@QUIET
@given(
    st.lists(st.tuples(AUTHOR, TIMES), max_size=25),
    st.lists(NUMBER, max_size=3),
    st.sets(AUTHOR, max_size=2),
    STEPS,
)
def test_through_the_appview_nothing_is_lost_or_repeated(
    both: tuple[Site, Writer],
    posts: list[tuple[int, int]],
    pins: list[int],
    blocked: set[int],
    steps: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    site, writer = both
    model = begin(writer, posts, pins)
    appview = AppView(site, blocked)
    seen: Counter[str] = Counter()
    cursor: str | None = None
    for number in range(1000):
        limit, changes = steps[number % len(steps)]
        page, cursor = appview.get_feed(limit, cursor)
        seen.update(page)
        if cursor is None:
            break
        for change in changes if number < len(steps) else []:
            model.apply(change)
    assert cursor is None
    assert max(seen.values(), default=1) == 1
    stay = {uri for uri, author in model.posts.items() if author not in blocked} - model.touched
    assert stay <= seen.keys()


def test_cursors_survive_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("restart")
    with site_and_writer(folder) as (site, writer):
        posts = [writer.post(1) for _ in range(5)]
        first = site.page(limit=2)
    with site_and_writer(folder) as (site, _):
        assert site.page(limit=9, cursor=first.cursor).posts == posts[2::-1]
