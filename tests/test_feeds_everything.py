"""The feed of everything: the viewer's communities in one, each at its volume; exact pages for each viewer."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.declaration import parse_declaration
from communities.ranking import Ranking
from communities.toml_file import DeclarationError
from feedgen import everything
from feedgen.everything import JOINED, LAST_POSTS, thresholds
from models.database import open_database, sql
from tests.didnet import Account
from tests.feed_site import DAY, NOW, Reply, Site, Writer, feed_uri, site_and_writer, token

SLUGS = ("aa", "bb", "cc")
HOUR = 3600
WEEK = everything.SAMPLE_DAYS
now = [NOW / 1_000_000]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    folder = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch, site_and_writer(folder, clock=lambda: now[0]) as served:
        # Hours pass here, which are weeks in the end, and all posts are of the same day.
        patch.setattr(everything, "SAMPLE_DAYS", 1000)
        for slug in SLUGS:
            served[1].declare_record(30, slug)
        yield served


@pytest.fixture
def door(both: tuple[Site, Writer]) -> Site:
    return both[0]


@pytest.fixture
def writer(both: tuple[Site, Writer]) -> Writer:
    both[1].clear()
    now[0] += HOUR  # thresholds are made anew
    return both[1]


@pytest.fixture(scope="module")
def alice(both: tuple[Site, Writer]) -> Account:
    return both[0].account(50)


def read(door: Site, account: Account, **params: object) -> Reply:
    return door.page("everything", f"Bearer {token(account)}", **params)


def read_all(door: Site, account: Account, limit: int) -> list[str]:
    found, cursor = [], None
    while True:
        reply = read(door, account, limit=limit, cursor=cursor)
        found += reply.posts
        if (cursor := reply.cursor) is None:
            return found


def test_it_is_the_viewers_communities_newest_first_each_post_once(door: Site, writer: Writer, alice: Account) -> None:
    writer.member(50, "aa", volume=5)
    writer.member(50, "bb", volume=5)
    posts = [writer.post(n, tags=tags) for n, tags in enumerate((["aa"], ["aa", "bb"], ["bb"], ["cc"], ["aa", "cc"]))]
    assert read(door, alice).posts == [posts[4], posts[2], posts[1], posts[0]]
    assert read_all(door, alice, 1) == [posts[4], posts[2], posts[1], posts[0]]
    contexts = [item["feedContext"] for item in read(door, alice).json["feed"]]
    assert contexts == ["h:aa", "h:bb", contexts[2], "h:aa"] and contexts[2] in ("h:aa", "h:bb")
    writer.member(50, "cc", volume=5)
    assert read(door, alice).posts == posts[::-1]
    assert read(door, door.account(51)).json == {"feed": []}


@pytest.mark.parametrize("status", ["requested", "invited", "banned", None])
def test_only_members_communities_count(door: Site, writer: Writer, alice: Account, status: str | None) -> None:
    if status:
        writer.member(50, "aa", status)
    writer.post(1, tags=["aa"])
    assert read(door, alice).json == {"feed": []}


def test_a_community_that_is_not_declared_any_more_is_left_out(tmp_path: Path) -> None:
    with site_and_writer(tmp_path) as (door, writer):
        writer.declare_record(30, "aa")
        writer.member(50, "aa")
        uri = writer.post(1, tags=["aa"])
        account = door.account(50)
        assert read(door, account).posts == [uri]
        writer.sql("UPDATE community SET declared = 0 WHERE slug = 'aa'")
        assert read(door, account).posts == []


def test_nobody_in_particular_is_told_to_sign_in(door: Site, writer: Writer) -> None:
    refused = door.page("everything")
    assert refused.fault == (401, "AuthMissing") and refused.json["message"].startswith("Sign in")
    assert door.page("everything", "Bearer x.y.z").fault == (401, "BadJwt")
    stranger = door.account(77)
    door.net.status = 500
    try:
        assert read(door, stranger).fault == (502, "UpstreamFailure")
    finally:
        door.net.status = 200
    answer = read(door, stranger)
    assert (answer.headers["Vary"], answer.headers["Cache-Control"]) == ("Authorization", "private")


def test_a_cursor_of_another_feed_is_refused(door: Site, writer: Writer, alice: Account) -> None:
    writer.member(50, "aa", volume=5)
    for _ in range(3):
        writer.post(1, tags=["aa"])
    mine, other = read(door, alice, limit=1).cursor, door.page(feed_uri("aa", 30), limit=1).cursor
    assert read(door, alice, limit=1, cursor=mine).status == 200
    assert read(door, alice, cursor=other).fault == (400, "InvalidRequest")
    assert door.page(feed_uri("aa", 30), cursor=mine).fault == (400, "InvalidRequest")


@pytest.mark.parametrize(("volume", "shown"), [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10)])
def test_each_volume_shows_so_many_of_the_best(
    door: Site, writer: Writer, alice: Account, volume: int, shown: int
) -> None:
    writer.member(50, "aa", volume=volume)
    posts = [writer.post(n, tags=["aa"]) for n in range(10)]
    for number, uri in enumerate(posts):
        for actor in range((number * 7) % 10):  # 0 to 9 likes, each once
            writer.engage(60 + actor, uri)
    liked = {uri: (number * 7) % 10 for number, uri in enumerate(posts)}
    assert read_all(door, alice, 3) == [uri for uri in posts[::-1] if liked[uri] >= 10 - shown]


def test_a_community_weighs_engagement_by_its_own_weights(door: Site, writer: Writer, alice: Account) -> None:
    writer.declare_record(30, "aa", ranking=Ranking(likes=0, reposts=3))
    writer.member(50, "aa", volume=1)
    posts = [writer.post(n, tags=["aa"]) for n in range(5)]
    writer.engage(60, posts[0])
    writer.engage(60, posts[1], 2)
    assert read(door, alice).posts == [posts[1]]
    writer.declare_record(30, "aa")


def test_a_sequence_of_pages_keeps_its_thresholds_and_a_later_one_has_its_own(
    door: Site, writer: Writer, alice: Account
) -> None:
    writer.member(50, "aa", volume=1)
    posts = [writer.post(n, tags=["aa"]) for n in range(10)]
    first = read(door, alice, limit=2)
    assert first.posts == posts[:7:-1]  # all are equal
    for uri in posts[:2]:
        writer.engage(60, uri)
    now[0] += HOUR + 60
    assert read(door, alice).posts == posts[1::-1]
    assert read(door, alice, limit=20, cursor=first.cursor).posts == posts[7::-1]


def test_what_is_older_than_a_week_says_nothing_of_how_loud_a_community_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everything, "SAMPLE_DAYS", WEEK)
    with site_and_writer(tmp_path, clock=lambda: NOW / 1_000_000) as (door, writer):
        writer.declare_record(30, "aa")
        writer.member(50, "aa", volume=1)
        old = [writer.post(n, tags=["aa"]) for n in range(5)]
        for uri in old:
            writer.engage(60, uri)
            writer.sql("UPDATE feed_item SET sort_at = sort_at - ? WHERE uri = ?", 7 * DAY, uri)
        new = [writer.post(n, tags=["aa"]) for n in range(5)]
        assert read(door, door.account(50)).posts == new[::-1] + old[::-1]


def test_thresholds() -> None:
    weights = (1, 1, 1, 1)
    assert thresholds(weights, []).least == (0, 0, 0, 0)
    assert thresholds(weights, [7]).least == (7, 7, 7, 7)
    assert thresholds(weights, [0, 0, 0, 0, 9]).least == (9, 0, 0, 0)
    for size in range(1, 60):
        values = [(7 * n) % size for n in range(size)]
        for volume, least in enumerate(thresholds(weights, values).least, 1):
            passing = sum(value >= least for value in values)
            assert passing >= size * volume / 5 and passing <= ceil(size * volume / 5) + values.count(least) - 1


def test_its_name_belongs_to_no_community() -> None:
    with pytest.raises(DeclarationError, match="is a feed of the service itself"):
        parse_declaration('[[community]]\nslug = "everything"\nname = "E"\ninclude.hashtags = ["e"]')


def test_it_searches_keys_and_sorts_nothing(door: Site, writer: Writer) -> None:
    with closing(open_database(door.config.database, readonly=True)) as database:
        for query, bindings in ((JOINED, ("x", 1)), (LAST_POSTS, (1, 1, 1, 1, 1, 1, 1))):
            plan = [row[3] for row in sql(database).execute("EXPLAIN QUERY PLAN " + query, bindings).fetchall()]
            assert all(step.startswith("SEARCH") for step in plan), plan


# As a whole


PLACE, ACTOR, NUMBER = st.integers(0, 5), st.integers(0, 3), st.integers(0, 200)
TAGS = st.sets(st.sampled_from(SLUGS), min_size=1)
CHANGE = st.one_of(
    st.tuples(st.just("insert"), ACTOR, PLACE, TAGS),
    st.tuples(st.just("delete"), NUMBER, NUMBER, TAGS),
    st.tuples(st.just("like"), ACTOR, NUMBER, TAGS),
    st.tuples(st.just("unlike"), NUMBER, NUMBER, TAGS),
    st.tuples(st.just("hour"), NUMBER, NUMBER, TAGS),
)
STEPS = st.lists(st.tuples(st.integers(1, 6), st.lists(CHANGE, max_size=3)), min_size=1, max_size=8)


@dataclass
class Model:
    """Posts with their place, communities and who likes them, and the thresholds of the sequence that is read."""

    writer: Writer
    volumes: dict[str, int]
    posts: dict[str, tuple[int, int, frozenset[str]]] = field(default_factory=dict)
    likes: dict[str, dict[int, object]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    least: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def apply(self, what: str, first: int, second: int, tags: set[str]) -> None:
        uris = list(self.posts)
        if what == "insert":
            uri = self.writer.post(first, at=NOW - DAY + second, tags=sorted(tags))
            self.made += 1
            self.posts[uri] = (second, self.made, frozenset(tags))
            self.likes[uri] = {}
            self.moved.add(uri)
        elif what == "hour":
            now[0] += HOUR
        elif uris:
            uri = uris[first % len(uris)] if what != "like" else uris[second % len(uris)]
            self.moved.add(uri)
            if what == "delete":
                self.writer.delete(uri)
                del self.posts[uri], self.likes[uri]
            elif what == "like" and 60 + first not in self.likes[uri]:
                self.likes[uri][60 + first] = self.writer.engage(60 + first, uri)
            elif what == "unlike" and self.likes[uri]:
                _, undo = self.likes[uri].popitem()
                undo()  # type: ignore[operator]

    def begin(self) -> None:
        self.moved.clear()
        for slug, volume in self.volumes.items():
            best = sorted((len(self.likes[uri]) for uri, (*_, t) in self.posts.items() if slug in t), reverse=True)
            self.least[slug] = best[ceil(len(best) * volume / 5) - 1] if best and volume < 5 else 0

    @property
    def order(self) -> list[str]:
        shown = [
            (place, number, uri)
            for uri, (place, number, tags) in self.posts.items()
            if any(slug in self.least and len(self.likes[uri]) >= self.least[slug] for slug in tags)
        ]
        return [uri for *_, uri in sorted(shown, reverse=True)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(SLUGS), st.integers(1, 5), min_size=1),
    st.lists(CHANGE, max_size=25),
    STEPS,
)
def test_invariant_5_everything_gives_what_passes_at_the_volumes_of_its_beginning(
    both: tuple[Site, Writer],
    alice: Account,
    volumes: dict[str, int],
    before: list[tuple[str, int, int, set[str]]],
    steps: list[tuple[int, list[tuple[str, int, int, set[str]]]]],
) -> None:
    door, writer = both
    writer.clear()
    now[0] += HOUR
    model = Model(writer, volumes)
    for slug, volume in volumes.items():
        writer.member(50, slug, volume=volume)
    for change in before:
        model.apply(*change)
    now[0] += HOUR
    model.begin()
    assert read_all(door, alice, 4) == model.order
    stay, seen, cursor, hours = set(model.order), Counter[str](), None, 0
    for turn in range(1000):
        limit, changes = steps[turn % len(steps)]
        reply = read(door, alice, limit=limit, cursor=cursor)
        assert set(reply.posts) <= set(model.order) and (reply.posts or reply.cursor is None)
        seen.update(reply.posts)
        cursor = reply.cursor
        if cursor is None:
            break
        for change in changes if turn < len(steps) else []:
            hours += change[0] == "hour"
            if change[0] != "hour" or hours < everything._KEPT_PERIODS - 1:
                model.apply(*change)
    assert cursor is None and max(seen.values(), default=1) == 1
    assert stay - model.moved <= seen.keys()
