"""Ranked feeds through the real door: each order, what is in its pages, when it is made, whose its cursors are."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from communities.ranking import DEPTH, SORTS
from feedgen.ranked import STILL_THERE
from firehose.ops import LIKE, QUOTE, REPLY, REPOST
from models.database import open_database, sql
from tests.didnet import plc
from tests.feed_site import DAY, INTERACTIONS, NOW, SKELETON, feed_uri, site, token
from tests.lexicons import Lexicons
from tests.ranked_site import FEEDS, LONG, MINUTE, RULES, Ranked, ranked, slug
from tests.service_process import until
from tests.test_feeds_pages import PIN
from tests.test_ingest_activity import video

RANKED = SORTS[1:]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    with ranked(tmp_path_factory.mktemp("ranked")) as found:
        yield found


@pytest.fixture
def served(module: Ranked) -> Ranked:
    module.writer.declare(RULES)
    module.writer.clear()
    return module


def generations(served: Ranked, sort: str = "hot") -> list[int]:
    return [row for (row,) in served.writer.sql("SELECT id FROM generation WHERE sort = ? ORDER BY id", sort)]


def move(served: Ranked, uri: str, at: int) -> None:
    """Let a post be older than anything that is admitted now."""
    for statement in (
        "UPDATE post SET sort_at = ?1, active_at = max(?1, active_at - sort_at + ?1)"
        " WHERE id = (SELECT post FROM feed_item WHERE uri = ?2)",
        "UPDATE feed_item SET sort_at = ?1 WHERE uri = ?2",
    ):
        served.writer.sql(statement, at, uri)


def pinned(*uris: str) -> str:
    listed = ", ".join(f'"{uri}"' for uri in uris)
    return RULES.replace('name = "Python"', f'name = "Python"\npins = [{listed}]')


@pytest.mark.parametrize("sort", RANKED)
def test_each_order_is_what_it_says(served: Ranked, sort: str) -> None:
    rng = random.Random(sort)
    writer = served.writer
    posts = [writer.post(n % 7, embed=video() if n % 3 == 0 else None) for n in range(90)]
    for uri in posts:
        move(served, uri, NOW - rng.choice((1, 2, 10, 60)) * DAY + rng.randrange(3) * DAY // 5)
        for actor in rng.sample(range(20, 30), rng.choice((0, 0, 1, 4, 9))):
            writer.engage(actor, uri, rng.choice((LIKE, REPOST, REPLY, QUOTE)), at=NOW - rng.randrange(DAY))
    writer.hide(3)
    writer.hide(25)
    writer.delete(posts[8])
    assert served.fresh(sort, limit=100).posts == served.order(sort)
    expected = served.order(sort)
    assert served.site.all(slug(sort), limit=7) == expected
    sizes = {"top-day": range(5, 40), "top-week": range(25, 60), "top-month": range(45, 75), "video": range(20, 30)}
    assert len(expected) in sizes.get(sort, range(76, 77))


def test_every_feed_of_a_community_is_listed_and_no_other_is_served(served: Ranked) -> None:
    served.writer.declare(RULES.replace(f"feeds = [{FEEDS}]", 'feeds = ["hot", "top"]'))
    listed = served.site.ask("", method="app.bsky.feed.describeFeedGenerator").json["feeds"]
    assert [feed["uri"] for feed in listed] == [feed_uri(key) for key in ("python.hot", "python.top", "rust.hot")]
    uri = served.writer.post(1)
    assert served.fresh("top").posts == [uri]
    for key in ("python", "python.recent", "python.newest", "python.", "python.hot.hot", "rust", "rust.top"):
        assert served.site.page(key).fault == (400, "UnknownFeed")


def test_a_rule_that_an_older_version_stored_has_the_newest(served: Ranked) -> None:
    uri = served.writer.post(1)
    served.writer.sql("UPDATE community SET rule = json_remove(rule, '$.feeds', '$.ranking')")
    served.writer.sql("UPDATE meta SET value = value + 1 WHERE key = 'rules_revision'")
    assert served.site.page("python").posts == [uri]
    assert served.site.page("python.hot").fault == (400, "UnknownFeed")


def test_the_language_of_a_community_is_said_of_every_feed_and_interactions_are_taken(served: Ranked) -> None:
    german = RULES.replace('hashtags = ["rust"]', 'hashtags = ["rust"]\nrequire.languages = ["de"]')
    served.writer.declare(german)
    uri = served.writer.post(1, tags=["rust"])
    served.pass_(LONG)
    reply = served.site.page("rust.hot")
    assert (reply.posts, reply.headers["Content-Language"]) == ([uri], "de")
    body = {
        "feed": feed_uri("rust.hot"),
        "interactions": [{"item": uri, "event": "app.bsky.feed.defs#interactionLike"}],
    }
    assert served.site.send(body, token(served.site.account(50), lxm=INTERACTIONS)).status == 200
    assert served.writer.sql("SELECT item, feed FROM interaction") == [(uri, feed_uri("rust.hot"))]


# When orders are made


def test_an_order_stands_for_a_minute_and_the_next_reader_but_one_gets_the_new_one(served: Ranked) -> None:
    one, two = served.writer.post(1), served.writer.post(2)
    assert served.fresh("hot").posts == [two, one]
    served.writer.engage(9, one)
    served.pass_(59)
    assert served.site.page("python.hot").posts == [two, one]
    assert len(generations(served)) == 1
    served.pass_(1)
    assert served.page_and_next("hot").posts == [two, one]
    assert served.site.page("python.hot").posts == [one, two]
    assert len(generations(served)) == 2


def test_an_order_that_is_the_same_is_not_stored_again(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(3)]
    first = served.fresh("hot", limit=2)
    for _ in range(3):
        served.writer.engage(9, posts[2])
        served.pass_(MINUTE)
        assert served.page_and_next("hot").posts == posts[::-1]
    assert len(generations(served)) == 1
    assert served.site.page("python.hot", limit=2).cursor == first.cursor


def test_who_asks_after_a_long_time_waits_for_the_order_of_now(served: Ranked) -> None:
    one, two = served.writer.post(1), served.writer.post(2)
    assert served.fresh("hot").posts == [two, one]
    served.writer.engage(9, one)
    served.pass_(600)
    assert served.site.page("python.hot").posts == [one, two]


def test_only_who_finds_no_order_waits_and_all_who_wait_get_one(served: Ranked) -> None:
    """While another process writes nothing can be stored: so an order is being made for as long as the test likes."""
    one, two = served.writer.post(1), served.writer.post(2)
    served.pass_(LONG)
    database = str(served.site.config.database)
    with ThreadPoolExecutor(4) as pool, closing(apsw.Connection(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [pool.submit(served.site.page, "python.hot") for _ in range(4)]
        assert served.site.page("python").posts == [two, one]
        assert not any(one.done() for one in waiting)
        other.execute("ROLLBACK")
        assert [one.result(30).posts for one in waiting] == [[two, one]] * 4
        assert len(generations(served)) == 1
        served.writer.engage(9, one)
        served.pass_(MINUTE)
        before = served.made()
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert served.site.page("python.hot").posts == [two, one]
        assert served.made() == before
        other.execute("ROLLBACK")
        until("the new order", lambda: served.made() == before + 1)
    assert served.site.page("python.hot").posts == [one, two]


def test_when_none_can_be_stored_the_last_one_is_given_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.database.BUSY_SECONDS", 0.02)
    with ranked(tmp_path) as served:
        one, two = served.writer.post(1), served.writer.post(2)
        with closing(apsw.Connection(str(served.site.config.database))) as other:
            other.execute("BEGIN IMMEDIATE")
            assert served.site.page("python.hot").fault == (503, "NotEnoughResources")
            other.execute("ROLLBACK")
            assert served.fresh("hot").posts == [two, one]
            served.writer.engage(9, one)
            other.execute("BEGIN IMMEDIATE")
            assert served.fresh("hot").posts == [two, one]
            other.execute("ROLLBACK")
        assert served.fresh("hot").posts == [one, two]


def test_two_web_processes_share_orders(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(4)]
    first = served.fresh("hot", limit=2)
    with site(served.site.config.rules.parent, lambda: served.now + 10) as other:
        served.writer.engage(9, posts[0])
        assert other.page("python.hot", limit=2).posts == posts[:1:-1]
        assert other.page("python.hot", limit=2, cursor=first.cursor).posts == posts[1::-1]
    assert len(generations(served)) == 1


# Cursors


def test_a_cursor_is_good_for_its_feed_alone(served: Ranked) -> None:
    for tags in (["python"], ["rust"]):
        for n in range(4):
            served.writer.post(n, tags=tags)
    cursors = {sort: served.fresh(sort, limit=2).cursor for sort in SORTS if sort not in ("top-day", "video")}
    assert all(cursors.values())
    for sort in cursors:
        for other, cursor in cursors.items():
            reply = served.site.page(slug(sort), cursor=cursor)
            assert reply.fault == (400, "InvalidRequest") if sort != other else len(reply.posts) == 2
    served.pass_(LONG)
    assert served.site.page("rust.hot", cursor=cursors["hot"]).fault == (400, "InvalidRequest")
    good = str(cursors["hot"])
    for bad in ("", "x", good[:-2], good + "00", good.upper(), f"01{good[2:]}", "00" * 25, good[:-1] + "g", "0" * 512):
        if bad != good:
            assert served.site.page("python.hot", cursor=bad).fault == (400, "InvalidRequest"), bad


def test_a_cursor_is_good_for_two_hours_after_its_order_was_replaced(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    first = served.fresh("hot", limit=2)
    served.pass_(5 * 3600)
    served.writer.engage(9, posts[0])
    # It stood for five hours, so somebody may have begun with it just now.
    second = served.fresh("hot", limit=2)
    assert second.posts == [posts[0], posts[5]]
    served.pass_(2 * 3600 - LONG)
    served.writer.engage(9, posts[1])
    third = served.fresh("hot", limit=2)
    assert third.posts == [posts[1], posts[0]]
    assert served.site.page("python.hot", limit=2, cursor=first.cursor).posts == posts[3:1:-1]
    served.pass_(MINUTE)
    served.writer.engage(9, posts[2])
    fourth = served.fresh("hot", limit=2)
    assert len(generations(served)) == 3
    assert served.site.page("python.hot", cursor=first.cursor).json == {"feed": []}
    assert served.site.page("python.hot", limit=3, cursor=second.cursor).posts == posts[4:1:-1]
    assert fourth.posts == [posts[2], posts[1]]


def test_the_last_order_of_a_feed_is_kept_however_old(served: Ranked) -> None:
    posts = [served.writer.post(n, tags=["rust"]) for n in range(3)][::-1]
    served.pass_(LONG)
    reply = served.site.page("rust.hot", limit=2)
    for n in range(3):
        served.writer.post(n)
        served.pass_(3 * 3600)
        served.site.page("python.hot")
    assert len(generations(served)) == 2 + 1
    assert served.site.page("rust.hot", cursor=reply.cursor).posts == posts[2:]


def test_a_restored_backup_does_not_give_an_old_cursor_a_new_order(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    first = served.fresh("hot", limit=2)
    served.writer.sql("DELETE FROM generation")
    served.writer.engage(9, posts[0])
    assert served.fresh("hot", limit=2).posts == [posts[0], posts[5]]
    assert served.site.page("python.hot", limit=2, cursor=first.cursor).json == {"feed": []}


# What is in a page


def test_invariant_4_what_is_gone_since_is_passed_over_and_the_page_filled(served: Ranked) -> None:
    posts = [served.writer.post(n % 5) for n in range(200)][::-1]
    first = served.fresh("recent", limit=3)
    for uri in posts[4:100]:
        served.writer.delete(uri)
    served.writer.hide(1)
    rest = [uri for uri in (posts[3], *posts[100:]) if plc(1) not in uri]
    page = served.site.page("python.recent", limit=5, cursor=first.cursor)
    assert page.posts == rest[:5]
    assert served.site.page("python.recent", limit=100, cursor=page.cursor).posts == rest[5:]
    assert served.site.page("python.recent", limit=3).posts == [uri for uri in posts[:4] if plc(1) not in uri][:3]
    served.writer.declare(RULES.replace('hashtags = ["python"]', 'hashtags = ["snake"]'))
    served.writer.sql("DELETE FROM feed_item")  # as housekeeping does after that
    assert served.site.page("python.recent", cursor=page.cursor).json == {"feed": []}


def test_a_feed_has_so_many_posts_at_most(served: Ranked) -> None:
    posts = [served.writer.post(n % 9) for n in range(DEPTH + 20)][::-1]
    assert served.fresh("hot", limit=1).posts == posts[:1]
    assert served.site.all("python.hot", limit=100) == posts[:DEPTH]


def test_pins_come_first_once_and_in_no_later_page(served: Ranked) -> None:
    posts = [served.writer.post(1) for _ in range(10)]
    foreign = f"at://{plc(77)}/app.bsky.feed.post/welcome"
    served.writer.declare(pinned(posts[0], foreign, posts[7]))
    first = served.fresh("hot", limit=5)
    assert first.json["feed"] == [
        *({"post": uri, "reason": PIN} for uri in (posts[0], foreign, posts[7])),
        {"post": posts[9]},
        {"post": posts[8]},
    ]
    # Another pin, or none, is of no concern to who is reading already.
    served.writer.declare(pinned(posts[3]))
    rest = [posts[n] for n in (6, 5, 4, 3, 2, 1)]
    assert served.site.page("python.hot", limit=4, cursor=first.cursor).posts == rest[:4]
    assert served.site.page("python.hot", limit=9, cursor=first.cursor).posts == rest
    assert served.site.page("python.hot", limit=1).json["feed"] == [{"post": posts[9]}]
    served.writer.delete(posts[3])
    assert served.site.page("python.hot", limit=2).posts == [posts[9], posts[8]]


def test_pages_are_what_the_lexicon_says(served: Ranked, shared_data: Path) -> None:
    posts = [served.writer.post(n) for n in range(5)]
    served.writer.declare(pinned(posts[0]))
    served.pass_(LONG)
    pages = list(served.site.pages("python.hot", limit=2))
    for reply in pages:
        Lexicons(shared_data / "lexicons").output(SKELETON, reply.json)
    assert [len(reply.posts) for reply in pages] == [2, 2, 1]


def test_the_video_feed_has_videos_alone(served: Ranked) -> None:
    clips = [served.writer.post(n, embed=video()) for n in range(4)]
    plain = served.writer.post(1)
    served.writer.post(1, embed=video(presentation="gif"))
    served.writer.declare(pinned(plain, clips[0]))
    served.writer.engage(9, clips[1])
    assert served.fresh("video").json["feed"] == [{"post": uri} for uri in reversed(clips)]
    served.writer.post(3, rkey=clips[3].rpartition("/")[2])  # it is changed, and shows nothing any more
    assert served.site.page("python.video").posts == clips[2::-1]
    assert clips[3] in served.fresh("hot").posts


def test_the_cap_per_author_postpones(served: Ranked) -> None:
    served.writer.declare(RULES.replace('feeds = ["hot"]', 'feeds = ["hot"]\nranking.author_cap = 1'))
    mine = [served.writer.post(1, tags=["rust"]) for _ in range(3)][::-1]
    served.pass_(LONG)
    assert served.site.page("rust.hot").posts == mine
    theirs = [served.writer.post(n, tags=["rust"], at=NOW - 2 * DAY) for n in range(2, 42)]
    served.pass_(LONG)
    ranked = sorted(theirs, key=lambda uri: int(uri.rpartition("/p")[2]), reverse=True)
    expected = [mine[0], *ranked[:29], mine[1], *ranked[29:], mine[2]]
    assert served.site.all("rust.hot", limit=7) == expected


def test_weights_and_half_life_are_the_communitys(served: Ranked) -> None:
    liked, answered, new = (served.writer.post(n, tags=["rust"], at=NOW - (3 - n) * DAY) for n in range(3))
    served.writer.engage(8, liked)
    served.writer.engage(9, liked)
    served.writer.engage(9, answered, REPLY)
    for said, order in (
        ("half_life_hours = 12", [new, answered, liked]),
        ("half_life_hours = 720", [liked, answered, new]),
        ("half_life_hours = 720\nranking.replies = 9", [answered, liked, new]),
        ("half_life_hours = 720\nranking.likes = 0\nranking.replies = 0", [new, answered, liked]),
    ):
        served.writer.declare(RULES.replace('feeds = ["hot"]', f'feeds = ["hot"]\nranking.{said}'))
        served.pass_(LONG)
        assert served.site.page("rust.hot").posts == order, said


def test_posts_are_looked_up_by_their_key(served: Ranked) -> None:
    with closing(open_database(served.site.config.database, readonly=True)) as database:
        plan = sql(database).execute("EXPLAIN QUERY PLAN " + STILL_THERE, ("[1]", 1)).fetchall()
    assert [row[3] for row in plan] == [
        "SCAN j VIRTUAL TABLE INDEX 1:",
        "SEARCH i USING INDEX feed_item_post (post=? AND community=? AND hidden=?)",
    ]
