"""Feeds of communities that records declare, and of those with others below them: one sequence, each post once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import communities.relatives
from communities.ranking import SORTS, record_key
from communities.relatives import CHILDREN, UNOWNED
from feedgen.feeds import KEPT_SECONDS, MOST_LISTED, OF_FILE, OF_RECORDS
from feedgen.generations import CANDIDATES
from feedgen.merge import ITEMS, ITEMS_BELOW, LOUD_ITEMS
from feedgen.ranked import STILL_SOMEWHERE
from models.database import open_database, sql
from tests.didnet import plc
from tests.feed_site import DAY, NOW, RULES, Site, Writer, feed_uri, site_and_writer
from tests.ranked_site import LONG, video

DESCRIBE = "app.bsky.feed.describeFeedGenerator"
OWNER, OTHER = 30, 31
TOP = feed_uri("top", OWNER)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("families"), clock=lambda: _now[0]) as served:
        yield served


@pytest.fixture
def door(both: tuple[Site, Writer]) -> Site:
    return both[0]


@pytest.fixture
def writer(both: tuple[Site, Writer]) -> Writer:
    """Nothing but the communities of the file."""
    both[1].sql("DELETE FROM community WHERE uri IS NOT NULL")
    both[1].declare(RULES.replace("Rust", f"Rust {next(_times)}"))
    both[1].clear()
    _now[0] += LONG
    return both[1]


_times = iter(range(10_000))
_now = [NOW / 1_000_000]
"""Moves on between tests only, so that no order of one is kept for the next."""


def family(writer: Writer, *slugs: str, owner: int = OWNER) -> None:
    """Each community is part of the one before it."""
    uris = [writer.declare_record(owner, slug) for slug in slugs[:1]]
    for above, slug in pairwise(slugs):
        uris.append(
            writer.declare_record(owner, slug, parent=f"at://{plc(owner)}/social.communities.community/{above}")
        )


# Communities of records


def test_a_community_of_a_record_is_served_under_its_owner_alone(door: Site, writer: Writer) -> None:
    writer.declare_record(OWNER, "chess")
    uri = writer.post(1, tags=["chess"])
    assert door.page(feed_uri("chess", OWNER)).posts == [uri]
    for sort in SORTS[1:]:
        assert door.page(feed_uri(f"chess.{sort}", OWNER)).status == 200
    for wrong in (
        feed_uri("chess"),
        feed_uri("chess", OTHER),
        feed_uri("python", OWNER),
        feed_uri("chess.queue", OWNER),
    ):
        assert door.page(wrong).fault == (400, "UnknownFeed")


def test_what_a_record_no_longer_declares_is_not_served(door: Site, writer: Writer) -> None:
    writer.declare_record(OWNER, "chess")
    feed = feed_uri("chess", OWNER)
    assert door.page(feed).status == 200
    writer.declare_record(OTHER, "chess")  # it has another owner now
    assert door.page(feed).fault == (400, "UnknownFeed") and door.page(feed_uri("chess", OTHER)).status == 200
    writer.declare_record(OTHER, "chess", feeds=("hot",))
    assert door.page(feed_uri("chess", OTHER)).fault == (400, "UnknownFeed")
    writer.sql("UPDATE community SET declared = 0 WHERE slug = 'chess'")
    writer.sql("UPDATE meta SET value = value + 1 WHERE key = 'rules_revision'")
    assert door.page(feed_uri("chess.hot", OTHER)).fault == (400, "UnknownFeed")


def test_describe_lists_the_file_and_the_biggest_of_the_rest(door: Site, writer: Writer) -> None:
    for number in range(MOST_LISTED + 5):
        writer.declare_record(OWNER, f"c{number}", feeds=("newest", "hot"))
    for actor in range(2):
        writer.member(actor, "c203")
    writer.member(1, "c204")
    listed = [feed["uri"] for feed in door.ask("", method=DESCRIBE).json["feeds"]]
    own = [feed_uri(key) for key in ("everything", "python", "rust")]
    assert listed[:3] == own and len(listed) == len(set(listed)) == 3 + 2 * MOST_LISTED
    assert listed[3:6] == [feed_uri("c203", OWNER), feed_uri("c203.hot", OWNER), feed_uri("c204", OWNER)]


# Families


def test_a_parent_shows_what_is_below_it_at_any_depth_and_no_other(door: Site, writer: Writer) -> None:
    family(writer, "top", "middle", "bottom")
    writer.declare_record(OWNER, "apart")
    shared = writer.post(1, at=NOW - 3, tags=["top", "middle", "bottom"])
    deep, outside = writer.post(1, at=NOW - 2, tags=["bottom"]), writer.post(1, tags=["apart"])
    own = writer.post(2, at=NOW - 1, tags=["top"])
    assert door.page(TOP).posts == [own, deep, shared]
    contexts = [item["feedContext"] for item in door.page(TOP).json["feed"]]
    assert contexts[:2] == ["h:top", "h:bottom"] and contexts[2] in ("h:top", "h:middle", "h:bottom")
    assert door.page(feed_uri("middle", OWNER)).posts == door.page(feed_uri("bottom", OWNER)).posts == [deep, shared]
    assert door.page(feed_uri("apart", OWNER)).posts == [outside]
    for sort in SORTS[1:-1]:
        assert Counter(door.page(feed_uri(record_key("top", sort), OWNER)).posts) == Counter([own, deep, shared]), sort


def test_only_whoever_administers_the_parent_makes_a_community_part_of_it(tmp_path: Path) -> None:
    now = [NOW / 1_000_000]
    with site_and_writer(tmp_path, clock=lambda: now[0]) as (door, writer):
        top = writer.declare_record(OWNER, "top")
        writer.declare_record(OTHER, "child", parent=top)
        uri = writer.post(1, tags=["child"])
        assert door.page(TOP).posts == []
        # A role changes no declaration, so it counts within a minute.
        writer.member(OTHER, "top", role=3, until=NOW + 10 * 60_000_000)
        now[0] += KEPT_SECONDS
        writer.post(1, tags=["python"])
        assert door.page(TOP).posts == [uri]
        writer.member(OTHER, "top", role=2)
        now[0] += KEPT_SECONDS
        writer.post(1, tags=["python"])
        assert door.page(TOP).posts == []
        writer.member(OTHER, "top", role=3, until=NOW)
        now[0] += KEPT_SECONDS
        writer.post(1, tags=["python"])
        assert door.page(TOP).posts == []


def test_a_circle_of_parents_and_a_private_child_add_nothing(door: Site, writer: Writer) -> None:
    a, b = (f"at://{plc(OWNER)}/social.communities.community/{slug}" for slug in ("aa", "bb"))
    writer.declare_record(OWNER, "aa", parent=b)
    writer.declare_record(OWNER, "bb", parent=a)
    uri = writer.post(1, tags=["aa"])
    writer.post(1, tags=["bb"])
    assert door.page(feed_uri("aa", OWNER)).posts == [uri]
    writer.declare_record(OWNER, "top")
    writer.declare_record(OWNER, "secret", parent="top", kind="private")
    writer.post(1, tags=["secret"])
    assert door.page(TOP).posts == []


def test_a_feed_that_says_it_has_only_videos_takes_in_only_such(door: Site, writer: Writer) -> None:
    writer.declare_record(OWNER, "top", content_mode="video")
    writer.declare_record(OWNER, "films", parent="top", content_mode="video")
    writer.declare_record(OWNER, "texts", parent="top")
    uri = writer.post(1, tags=["films"])
    writer.post(1, tags=["texts"])
    assert door.page(TOP).posts == [uri]


def test_there_is_a_bound_and_strangers_do_not_count_towards_it(
    door: Site, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(communities.relatives, "MOST_BELOW", 4)
    writer.declare_record(OWNER, "top")
    for number in range(10):
        writer.declare_record(OTHER, f"stranger{number}", parent="top")
    for number in range(3):
        writer.declare_record(OWNER, f"near{number}", parent="top")
        writer.declare_record(OWNER, f"far{number}", parent=f"near{number}")
    posts = {tag: writer.post(1, tags=[tag]) for n in range(3) for tag in (f"near{n}", f"far{n}")}
    seen = door.page(TOP).posts
    assert Counter(seen) == Counter(posts[tag] for tag in ("near0", "near1", "near2", "far0"))


def test_the_pins_of_a_parent_are_its_own(door: Site, writer: Writer) -> None:
    family(writer, "top", "child")
    mine, theirs, last = (writer.post(1, tags=["child"]) for _ in range(3))
    for slug, uri in (("top", mine), ("child", theirs)):
        writer.sql(
            "INSERT INTO pin (community, position, actor, rkey, moderator) SELECT c.id, 0, p.actor, p.rkey, 0"
            " FROM community c, post p WHERE c.slug = ? AND p.id = (SELECT post FROM feed_item WHERE uri = ?)",
            slug,
            uri,
        )
    for feed in (TOP, feed_uri("top.recent", OWNER)):
        items = door.page(feed, limit=2).json
        assert [(item["post"], "reason" in item) for item in items["feed"]] == [(mine, True), (last, False)]
        assert door.page(feed, limit=9, cursor=items["cursor"]).posts == [theirs]


def test_what_a_community_removes_is_in_no_feed_of_it_and_in_those_of_others(door: Site, writer: Writer) -> None:
    family(writer, "top", "child")
    both_in = writer.post(1, at=NOW - 3, tags=["top", "child"], embed=video())
    other = writer.post(1, at=NOW - 2, tags=["child"], embed=video())
    feeds = [feed_uri(record_key("top", sort), OWNER) for sort in SORTS]
    first = {feed: door.page(feed, limit=1) for feed in feeds}
    remove = "UPDATE feed_item SET hidden = 4 WHERE uri = ? AND community = (SELECT id FROM community WHERE slug = ?)"
    writer.sql(remove, both_in, "top")
    for feed in feeds:
        assert first[feed].posts == [other]
        assert door.page(feed, cursor=first[feed].cursor).posts == []
    assert door.page(feed_uri("child", OWNER)).posts == [other, both_in]
    _now[0] += LONG
    assert {tuple(door.page(feed).posts) for feed in feeds} == {(other,)}
    writer.sql("UPDATE feed_item SET hidden = 0 WHERE uri = ?", both_in)
    writer.sql(remove, both_in, "child")
    _now[0] += LONG
    assert {tuple(door.page(feed).posts) for feed in feeds} == {(other, both_in)}


def test_every_search_is_one_of_a_key(writer: Writer, door: Site) -> None:
    kin = ("a", "b", "[]", "[]", 1, 1)
    children = "SEARCH c USING INDEX community_parent (parent=? AND owner=?)"
    searches = [
        ("SEARCH feed_item USING PRIMARY KEY (community=? AND hidden=? AND (sort_at,post)<(?,?))", ITEMS, (1, 2, 3, 4)),
        ("SEARCH i USING PRIMARY KEY (community=? AND hidden=? AND (sort_at,post)<(?,?))", LOUD_ITEMS, range(9)),
        ("SEARCH i USING PRIMARY KEY (community=? AND hidden=? AND sort_at>?)", CANDIDATES, ("[1]", 2)),
        ("SEARCH i USING INDEX feed_item_post (post=? AND community=? AND hidden=?)", STILL_SOMEWHERE, ("[]", "[]", 1)),
        ("SEARCH i USING PRIMARY KEY (community=? AND hidden=? AND (sort_at,post)<(?,?))", ITEMS_BELOW, range(5)),
        ("SEARCH o USING COVERING INDEX feed_item_post (post=? AND community=?)", ITEMS_BELOW, range(5)),
        (children, CHILDREN, kin),
        ("SEARCH m USING INDEX membership_listed (community=? AND status=? AND role=?)", CHILDREN, kin),
        (children, UNOWNED, ("a", "b", 1)),
        ("SCAN community USING INDEX community_of_file", OF_FILE, ()),
        ("SCAN n USING COVERING INDEX community_count_members", OF_RECORDS, (1,)),
    ]
    with closing(open_database(door.config.database, readonly=True)) as database:
        for wanted, query, bindings in searches:
            plan = [row[3] for row in sql(database).execute("EXPLAIN QUERY PLAN " + query, bindings).fetchall()]
            assert wanted in plan, plan
            assert not any(step.split()[:2] == ["SCAN", name] for step in plan for name in ("feed_item", *"icm")), plan


# The union as a whole


AUTHOR, NUMBER = st.integers(0, 3), st.integers(0, 200)
TAGS = st.sets(st.sampled_from(("top", "left", "right", "deep")), min_size=1)
CHANGE = st.one_of(
    st.tuples(st.just("insert"), AUTHOR, st.integers(0, 5), TAGS),
    st.tuples(st.just("delete"), NUMBER, NUMBER, TAGS),
    st.tuples(st.just("hide"), AUTHOR, NUMBER, TAGS),
    st.tuples(st.just("show"), AUTHOR, NUMBER, TAGS),
    st.tuples(st.just("drop"), NUMBER, NUMBER, TAGS),
    st.tuples(st.just("attach"), NUMBER, NUMBER, TAGS),
)
STEPS = st.lists(st.tuples(st.integers(1, 7), st.lists(CHANGE, max_size=3)), min_size=1, max_size=10)


@dataclass
class Model:
    """What each post is in, kept beside the rows. `moved`: posts of which it may be asked either way."""

    writer: Writer
    posts: dict[str, tuple[int, int, set[str]]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    apart: bool = False
    removed: set[str] = field(default_factory=set)
    """Posts that the community on top has removed."""

    def apply(self, what: str, first: int, second: int, tags: set[str]) -> None:
        uris = list(self.posts)
        if what == "insert" and first not in self.hidden:
            uri = self.writer.post(first, at=NOW - DAY + second, tags=sorted(tags))
            self.posts[uri] = (first, second, set(tags))
            self.moved.add(uri)
        elif what in ("hide", "show"):
            self.writer.hide(first, active=what == "show")
            (self.hidden.discard if what == "show" else self.hidden.add)(first)
            self.moved |= {uri for uri, (author, *_) in self.posts.items() if author == first}
        elif what == "delete" and uris and self.posts[uris[first % len(uris)]][0] not in self.hidden:
            self.writer.delete(uris[first % len(uris)])
            del self.posts[uris[first % len(uris)]]
        elif what == "drop" and uris:
            # A moderator of one community removes it there.
            uri = uris[first % len(uris)]
            tag = sorted(self.posts[uri][2])[second % len(self.posts[uri][2])] if self.posts[uri][2] else "top"
            self.writer.sql(
                "UPDATE feed_item SET hidden = hidden | 4 WHERE uri = ? AND community ="
                " (SELECT id FROM community WHERE slug = ?)", uri, tag,
            )  # fmt: skip
            if tag in self.posts[uri][2] and tag == "top":
                self.removed.add(uri)
            self.posts[uri][2].discard(tag)
            self.moved.add(uri)
        elif what == "attach":
            self.apart = not self.apart
            self.writer.declare_record(OWNER, "left", parent=None if self.apart else "top")
            self.moved |= {uri for uri, (*_, tags) in self.posts.items() if tags & {"left", "deep"}}

    @property
    def union(self) -> set[str]:
        return {"top", "right"} | (set() if self.apart else {"left", "deep"})

    @property
    def order(self) -> list[str]:
        shown = [
            (time, number, uri)
            for number, (uri, (author, time, tags)) in enumerate(self.posts.items())
            if author not in self.hidden and tags & self.union and uri not in self.removed
        ]
        return [uri for *_, uri in sorted(shown, reverse=True)]


def begin(writer: Writer, posts: list[tuple[int, int, set[str]]]) -> Model:
    writer.clear()
    for slug, parent in (("top", None), ("left", "top"), ("right", "top"), ("deep", "left")):
        writer.declare_record(OWNER, slug, parent=parent)
    model = Model(writer)
    for author, time, tags in posts:
        model.apply("insert", author, time, tags)
    model.moved.clear()
    return model


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(AUTHOR, st.integers(0, 5), TAGS), max_size=20), STEPS)
def test_invariant_5_the_union_gives_every_post_that_stays_exactly_once(
    both: tuple[Site, Writer],
    posts: list[tuple[int, int, set[str]]],
    steps: list[tuple[int, list[tuple[str, int, int, set[str]]]]],
) -> None:
    door, writer = both
    model = begin(writer, posts)
    assert door.all(TOP, 7) == door.all(TOP, 100) == model.order, "at rest it is the union in exact order"
    stay, seen, cursor = set(model.order), Counter[str](), None
    for turn in range(1000):
        limit, changes = steps[turn % len(steps)]
        reply = door.page(TOP, limit=limit, cursor=cursor)
        assert len(reply.posts) <= limit and set(reply.posts) <= set(model.order)
        assert reply.posts or reply.cursor is None
        seen.update(reply.posts)
        cursor = reply.cursor
        if cursor is None:
            break
        for change in changes if turn < len(steps) else []:
            model.apply(*change)
    assert cursor is None and max(seen.values(), default=1) == 1
    assert (stay & set(model.order)) - model.moved <= seen.keys()
    assert door.all(TOP, 7) == model.order
