"""What is in a page, and when it ends: order, hidden and deleted posts, pins, malformed rows, changes by others."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from feedgen.feeds import Feed
from feedgen.skeleton import FULL_PAGE, Skeletons
from models.database import open_database, sql
from tests.didnet import plc
from tests.feed_site import DAY, NOW, RULES, Site, Writer, feed_uri, site_and_writer

PIN = {"$type": "app.bsky.feed.defs#skeletonReasonPin"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture
def site(both: tuple[Site, Writer]) -> Site:
    return both[0]


@pytest.fixture
def writer(both: tuple[Site, Writer]) -> Writer:
    both[1].declare(RULES)
    both[1].clear()
    return both[1]


def pinned(*uris: str) -> str:
    listed = ", ".join(f'"{uri}"' for uri in uris)
    return RULES.replace('name = "Python"', f'name = "Python"\npins = [{listed}]')


def test_newest_first_and_equal_times_by_arrival(site: Site, writer: Writer) -> None:
    old = writer.post(1, at=NOW - DAY)
    new = writer.post(2, at=NOW - 1)
    tied = [writer.post(3, at=NOW - 2 * DAY) for _ in range(3)]
    assert site.page().posts == [new, old, *reversed(tied)]


def test_the_last_page_has_no_cursor_and_none_is_empty(site: Site, writer: Writer) -> None:
    assert site.page().json == {"feed": []}
    posts = [writer.post(1) for _ in range(6)][::-1]
    for limit in (1, 2, 3, 5, 6, 7):
        replies = list(site.pages(limit=limit))
        assert [uri for reply in replies for uri in reply.posts] == posts
        assert [len(reply.posts) for reply in replies] == [limit] * (6 // limit) + [6 % limit] * (6 % limit > 0)


def test_a_cursor_behind_which_nothing_is_left_ends_the_feed(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(4)]
    cursor = site.page(limit=2).cursor
    for uri in posts[:2]:
        writer.delete(uri)
    assert site.page(limit=2, cursor=cursor).json == {"feed": []}


def test_invariant_6_deleted_and_hidden_posts_are_in_no_page(site: Site, writer: Writer) -> None:
    posts = [writer.post(number % 3) for number in range(12)]
    first = site.page(limit=4)
    writer.delete(posts[1])
    writer.hide(0)
    left = [uri for uri in reversed(posts) if plc(0) not in uri and uri != posts[1]]
    assert site.all(limit=4) == left
    rest = [uri for uri in left if uri not in first.posts]
    assert site.page(limit=100, cursor=first.cursor).posts == rest
    writer.hide(0, active=True)
    assert site.all() == [uri for uri in reversed(posts) if uri != posts[1]]


def test_a_feed_of_hidden_authors_alone_is_empty_without_a_cursor(site: Site, writer: Writer) -> None:
    for _ in range(5):
        writer.post(1)
    cursor = site.page(limit=1).cursor
    writer.hide(1, status="takendown")
    assert site.page(limit=1).json == site.page(limit=1, cursor=cursor).json == {"feed": []}


def test_a_withdrawn_community_has_no_feed_until_it_is_declared_again(site: Site, writer: Writer) -> None:
    uri = writer.post(1)
    rust = RULES.partition('[[community]]\nslug = "rust"')
    writer.declare('[[community]]\nslug = "rust"' + rust[2])
    assert site.page().fault == (400, "UnknownFeed")
    assert site.page("rust").posts == []
    writer.declare(RULES)
    assert site.page().posts == [uri]


# Pins


def test_pins_come_first_once_and_inside_the_limit(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(10)]
    writer.declare(pinned(posts[0], posts[7]))
    first = site.page(limit=4)
    assert first.json["feed"] == [
        {"post": posts[0], "reason": PIN},
        {"post": posts[7], "reason": PIN},
        {"post": posts[9], "feedContext": "h:python"},
        {"post": posts[8], "feedContext": "h:python"},
    ]
    assert site.all(limit=4) == [posts[0], posts[7], *[posts[i] for i in (9, 8, 6, 5, 4, 3, 2, 1)]]
    assert all("reason" not in item for reply in list(site.pages(limit=4))[1:] for item in reply.json["feed"])


def test_one_item_is_never_a_pin(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(3)]
    writer.declare(pinned(posts[0]))
    assert site.page(limit=1).json["feed"] == [{"post": posts[2], "feedContext": "h:python"}]
    assert site.all(limit=1) == posts[::-1]


def test_a_page_of_two_has_one_pin_and_the_other_where_it_stands(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(4)]
    writer.declare(pinned(posts[0], posts[1]))
    assert site.all(limit=2) == [posts[0], posts[3], posts[2], posts[1]]


def test_a_pinned_post_need_not_belong_to_the_community(site: Site, writer: Writer) -> None:
    other, own = writer.post(1, tags=["rust"]), writer.post(2)
    foreign = f"at://{plc(77)}/app.bsky.feed.post/welcome"
    writer.declare(pinned(other, foreign))
    assert site.page().posts == [other, foreign, own]
    assert site.page("rust").posts == [other]


def test_pins_alone_make_a_page_without_a_cursor(site: Site, writer: Writer) -> None:
    only = writer.post(1)
    writer.declare(pinned(only))
    assert site.page().json == {"feed": [{"post": only, "reason": PIN}]}


def test_invariant_6_a_deleted_or_hidden_pin_is_gone(site: Site, writer: Writer) -> None:
    first, second, third = (writer.post(number) for number in (1, 2, 3))
    foreign = f"at://{plc(4)}/app.bsky.feed.post/welcome"
    writer.declare(pinned(first, second, foreign))
    writer.delete(first)
    writer.delete(foreign)
    assert site.page().posts == [second, third]
    writer.hide(2)
    assert site.page().posts == [third]
    writer.declare(pinned(first, second, foreign).replace('"Rust"', '"Rust!"'))
    assert site.page().posts == [third]  # other rules do not bring it back
    writer.hide(2, active=True)
    assert site.page().posts == [second, third]


def test_pins_that_change_between_pages_move_nothing(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(6)]
    writer.declare(pinned(posts[0]))
    first = site.page(limit=3)
    assert first.posts == [posts[0], posts[5], posts[4]]
    writer.declare(pinned(posts[2]))
    second = site.page(limit=2, cursor=first.cursor)
    assert second.posts == [posts[3], posts[2]]
    writer.declare(RULES)
    assert site.page(limit=9, cursor=second.cursor).posts == [posts[1]]


# Rows that should not exist


BAD = [
    "", "..", ".", "a b", 'a"b', "a\\", "é", "a/b", "x" * 513, "a\nb", "a\n", "\x00",
    f"a\nat://{plc(5)}/app.bsky.feed.post/b",
]  # fmt: skip


@pytest.mark.parametrize("rkey", BAD)
def test_a_malformed_item_cannot_be_stored(site: Site, writer: Writer, rkey: str) -> None:
    good = writer.post(1)
    with pytest.raises(apsw.ConstraintError):
        writer.sql("UPDATE feed_item SET uri = ?", f"at://{plc(1)}/app.bsky.feed.post/{rkey}")
    assert site.page().posts == [good]


@pytest.mark.parametrize("did", ["", "did:plc:", "did:web:a%", 'did:web:"', "handle.example.com", "did:web:a:"])
def test_an_item_of_a_malformed_author_cannot_be_stored(site: Site, writer: Writer, did: str) -> None:
    good = writer.post(1)
    with pytest.raises(apsw.ConstraintError):
        writer.sql("UPDATE feed_item SET uri = ?", f"at://{did}/app.bsky.feed.post/3kabc")
    assert site.page().posts == [good]


def test_the_longest_uris_can_be_stored(site: Site, writer: Writer) -> None:
    writer.post(1)
    for did in (plc(1), "did:web:a.example.com", "did:web:localhost%3A3000", "did:other:A_b-c.d:e"):
        uri = f"at://{did}/app.bsky.feed.post/{'x' * 511}~"
        writer.sql("UPDATE feed_item SET uri = ?", uri)
        assert site.page().posts == [uri]


def test_a_malformed_pin_is_left_out(site: Site, writer: Writer) -> None:
    good = writer.post(1)
    writer.declare(pinned(good, f"at://{plc(3)}/app.bsky.feed.post/x"))
    writer.sql("UPDATE pin SET rkey = ? WHERE rkey = 'x'", 'x"')
    assert site.page().json == {"feed": [{"post": good, "reason": PIN}]}


# Others write


def test_invariant_6_what_another_process_commits_is_seen_at_once(site: Site, writer: Writer) -> None:
    kept, gone = writer.post(1), writer.post(2)
    assert site.page().posts == site.page().posts == [gone, kept]
    code = (
        "import sys, pathlib; from models.database import open_database, writing\n"
        "database = open_database(pathlib.Path(sys.argv[1]))\n"
        "with writing(database) as connection: connection.execute('DELETE FROM feed_item WHERE post = (SELECT id FROM"
        " post WHERE rkey = ?)', (sys.argv[2],))\n"
        "database.close()"
    )
    words = [sys.executable, "-c", code, str(site.config.database), gone.rpartition("/")[2]]
    subprocess.run(words, check=True, timeout=60)
    assert site.page().posts == [kept]


def test_first_pages_are_kept_while_nothing_is_committed(site: Site, writer: Writer) -> None:
    posts = [writer.post(1) for _ in range(3)]
    for _ in range(3):
        assert site.page(limit=2).posts == posts[:0:-1]
        assert site.page(limit=3).posts == posts[::-1]
    writer.delete(posts[2])
    assert site.page(limit=2).posts == site.page(limit=3).posts == posts[1::-1]


def test_kept_first_pages_are_bounded_in_bytes(site: Site, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred limits times a thousand feeds of long record keys would be a gigabyte."""
    monkeypatch.setattr("feedgen.skeleton._CACHED_BYTES", 10_000)
    posts = [writer.post(1, rkey=f"{'x' * 500}{n}") for n in range(10)]
    with closing(open_database(site.config.database, readonly=True)) as database:
        skeletons = Skeletons(sql(database), b"k" * 32)
        community = sql(database).execute("SELECT id FROM community WHERE slug = 'python'").fetchone()[0]
        feed = Feed(feed_uri("python"), community, "python", "Python", None, union=(community,))
        for limit in range(1, 101):
            assert skeletons.page(feed, limit, None, 1).count(b'"post"') == min(limit, len(posts))
            assert sum(len(body) for _, body in skeletons._first.values()) < 10_000 + 6_000


def test_a_page_is_one_search_of_the_key(site: Site, writer: Writer) -> None:
    database = open_database(site.config.database, readonly=True)
    try:
        plan = sql(database).execute("EXPLAIN QUERY PLAN " + FULL_PAGE, (1, NOW, 1, 50)).fetchall()
    finally:
        database.close()
    steps = [row[3] for row in plan]
    read = [step for step in steps if "feed_item" in step]
    assert read == 2 * ["SEARCH feed_item USING PRIMARY KEY (community=? AND hidden=? AND (sort_at,post)<(?,?))"]
    assert not any("TEMP" in step for step in steps), steps
