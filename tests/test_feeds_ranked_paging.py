"""Paging through ranked feeds as a whole (invariant 5): whatever is written, liked, hidden or taken away meanwhile, and
whoever else reads, a sequence of pages is what was in its generation and is still there, each once, and nothing else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.feed_site import DAY, NOW
from tests.ranked_site import HOUR, LONG, MINUTE, Ranked, ranked, slug

ACCOUNTS, READERS = 4, 3
START = NOW / 1_000_000
ACCOUNT = st.integers(0, ACCOUNTS - 1)
NUMBER = st.integers(0, 200)
STEP = st.one_of(
    st.tuples(st.just("read"), st.integers(0, READERS - 1), st.integers(1, 7)),
    st.tuples(st.just("read"), st.integers(0, READERS - 1), st.integers(1, 7)),
    st.tuples(st.just("insert"), ACCOUNT, st.integers(0, 30)),
    st.tuples(st.just("like"), ACCOUNT, NUMBER),
    st.tuples(st.just("unlike"), NUMBER, NUMBER),
    st.tuples(st.just("delete"), NUMBER, NUMBER),
    st.tuples(st.just("hide"), ACCOUNT, NUMBER),
    st.tuples(st.just("show"), ACCOUNT, NUMBER),
    st.tuples(st.just("minute"), NUMBER, NUMBER),
)
POSTS = st.lists(st.tuples(ACCOUNT, st.integers(0, 30)), max_size=20)
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(MANY, max_examples=40)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    with ranked(tmp_path_factory.mktemp("ranked")) as found:
        yield found


@dataclass
class Reader:
    """Somebody in the middle of a feed: what was in the generation, how much of it is behind, what comes next."""

    generation: list[str]
    behind: int = 0
    cursor: str | None = None
    seen: list[str] = field(default_factory=list)


@dataclass
class Model:
    """What is there, and which generation a reader who begins gets, kept by hand."""

    served: Ranked
    sort: str
    posts: dict[str, int] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    likes: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    readers: dict[int, Reader] = field(default_factory=dict)
    standing: list[str] = field(default_factory=list)
    checked: float = START
    made: float = START
    remembered: bool = True
    """Whether the web process knows what stands; after a restart it has only what is stored, and when that was made."""

    def insert(self, author: int, hours: int) -> None:
        if author not in self.hidden:  # who is not active writes nothing that is applied
            self.posts[self.served.writer.post(author, at=NOW - DAY + hours * HOUR // 2)] = author

    def apply(self, what: str, first: int, second: int) -> None:
        writer, uris = self.served.writer, list(self.posts)
        if what == "read":
            self.read(first, second)
        elif what == "insert":
            self.insert(first, second)
        elif what == "like" and uris and first not in self.hidden:
            self.likes.append(
                (first, writer.engage(first, uris[second % len(uris)], at=NOW - DAY + second * HOUR // 9))
            )
        elif what == "unlike" and self.likes:
            actor, undo = self.likes.pop(first % len(self.likes))
            if actor not in self.hidden:
                undo()
        elif what == "delete" and uris and self.posts[uris[first % len(uris)]] not in self.hidden:
            writer.delete(uris[first % len(uris)])
            del self.posts[uris[first % len(uris)]]
        elif what in ("hide", "show"):
            writer.hide(first, active=what == "show")
            (self.hidden.discard if what == "show" else self.hidden.add)(first)
        elif what == "minute":
            self.served.pass_(MINUTE)
        elif what == "restart":
            self.served.restart()
            self.remembered = False

    @property
    def there(self) -> set[str]:
        return {uri for uri, author in self.posts.items() if author not in self.hidden}

    def read(self, number: int, limit: int) -> None:
        reader = self.readers.get(number)
        if reader is None:
            if not self.remembered:
                self.remembered, self.checked = True, self.made
                if self.served.now - self.made >= 60:
                    self.stand()
            age = self.served.now - self.checked
            if age >= 600:
                self.stand()
            elif age >= 60:
                reply = self.served.page_and_next(self.sort, limit=limit)
                reader = self.readers[number] = Reader(self.standing)
                self.stand()
                return self.check(number, reader, reply.posts, reply.cursor, limit)
            reader = self.readers[number] = Reader(self.standing)
        reply = self.served.site.page(slug(self.sort), limit=limit, cursor=reader.cursor)
        return self.check(number, reader, reply.posts, reply.cursor, limit)

    def stand(self) -> None:
        order = self.served.order(self.sort)
        if order != self.standing:
            self.made = self.served.now
        self.standing, self.checked = order, self.served.now

    def check(self, number: int, reader: Reader, posts: list[str], cursor: str | None, limit: int) -> None:
        left = [
            place for place in range(reader.behind, len(reader.generation)) if reader.generation[place] in self.there
        ]
        assert posts == [reader.generation[place] for place in left[:limit]]
        assert (cursor is not None) == (len(left) > limit)
        reader.seen += posts
        assert len(set(reader.seen)) == len(reader.seen)
        if cursor is None:
            del self.readers[number]
        else:
            reader.behind, reader.cursor = left[limit - 1] + 1, cursor


def begin(served: Ranked, sort: str, posts: list[tuple[int, int]]) -> Model:
    served.writer.clear()
    # Each example begins at the same time, for posts of a day. What stood in the last one is forgotten by then.
    served.now = START
    served.site.page(slug(sort))
    served.pass_(LONG)
    model = Model(served, sort)
    for author, hours in posts:
        model.insert(author, hours)
    return model


@pytest.mark.parametrize("sort", ["hot", "active", "recent", "top-day"])
@MANY
@given(POSTS, st.lists(STEP, min_size=5, max_size=40))
def test_invariant_5_a_sequence_of_pages_is_its_generation_as_far_as_it_is_still_there(
    served: Ranked, sort: str, posts: list[tuple[int, int]], steps: list[tuple[str, int, int]]
) -> None:
    model = begin(served, sort, posts)
    for what, first, second in steps:
        model.apply(what, first, second)
    for number in list(model.readers):
        while number in model.readers:
            model.read(number, 3)


RESTART = [st.just(("restart", number, 0)) for number in range(3)]  # three, or few steps would be one


@FEW
@given(POSTS, st.lists(st.one_of(STEP, *RESTART), min_size=5, max_size=25))
def test_a_restart_of_the_web_process_changes_nothing_for_readers(
    served: Ranked, posts: list[tuple[int, int]], steps: list[tuple[str, int, int]]
) -> None:
    model = begin(served, "hot", posts)
    for what, first, second in steps:
        model.apply(what, first, second)
    for number in list(model.readers):
        while number in model.readers:
            model.read(number, 3)
