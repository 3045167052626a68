"""Ranked feeds through the real door: each order, which feeds there are, what is in a page."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from communities.ranking import DEPTH, SORTS
from communities.short_code import read_short_code
from feedgen.ranked import STILL_THERE
from firehose.ops import LIKE, QUOTE, REPLY, REPOST
from models.database import open_database, sql
from tests.didnet import plc
from tests.feed_site import DAY, INTERACTIONS, NOW, SKELETON, feed_uri, token
from tests.lexicons import Lexicons
from tests.ranked_site import FEEDS, LONG, RULES, Ranked, ranked, slug, video

RANKED = SORTS[1:]
PIN = {"$type": "app.bsky.feed.defs#skeletonReasonPin"}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    with ranked(tmp_path_factory.mktemp("ranked")) as found:
        yield found


@pytest.fixture
def served(module: Ranked) -> Ranked:
    module.writer.declare(RULES)
    module.writer.clear()
    return module


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


def test_each_item_says_why_it_is_there(served: Ranked) -> None:
    post, other = served.writer.post(1), served.writer.post(2)
    told = {item["post"]: item["feedContext"] for item in served.site.page(slug("hot")).json["feed"]}
    assert told == {post: "h:python", other: "h:python"}
    assert read_short_code("h:python").evidences == ("hashtag:python",)


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
    assert [feed["uri"] for feed in listed] == [
        feed_uri(key) for key in ("everything", "python.hot", "python.top", "rust.hot")
    ]
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
        {"post": posts[9], "feedContext": "h:python"},
        {"post": posts[8], "feedContext": "h:python"},
    ]
    # Another pin, or none, is of no concern to who is reading already.
    served.writer.declare(pinned(posts[3]))
    rest = [posts[n] for n in (6, 5, 4, 3, 2, 1)]
    assert served.site.page("python.hot", limit=4, cursor=first.cursor).posts == rest[:4]
    assert served.site.page("python.hot", limit=9, cursor=first.cursor).posts == rest
    assert served.site.page("python.hot", limit=1).posts == [posts[9]]
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
    assert served.fresh("video").posts == clips[::-1]
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
