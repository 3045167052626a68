"""What comes behind in ranked feeds: other languages than the reader's, and what a viewer has seen. Exact pages."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedgen import cursor
from feedgen.cursor import CursorError, Position, View
from feedgen.preference import SEEN, accepted, in_order
from models.database import open_database, sql
from tests.didnet import Account
from tests.feed_site import DAY, INTERACTIONS, NOW, Reply, Site, feed_uri, site_and_writer, token
from tests.ranked_site import HOUR, LONG, RULES, Ranked, ranked

HOT = "python.hot"
PIN = {"$type": "app.bsky.feed.defs#skeletonReasonPin"}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    with ranked(tmp_path_factory.mktemp("preference")) as found:
        yield found


@pytest.fixture
def served(module: Ranked) -> Ranked:
    module.writer.declare(RULES)
    module.writer.clear()
    module.writer.sql("DELETE FROM interaction")
    module.pass_(LONG)
    return module


_numbers = iter(range(3000, 100_000))


@pytest.fixture
def alice(served: Ranked) -> Account:
    """Somebody new, with a full allowance."""
    return served.site.account(next(_numbers))


def read(
    site: Site,
    feed: str = HOT,
    account: Account | None = None,
    languages: str = "",
    after: str | None = None,
    limit: int = 50,
) -> Reply:
    headers = [("Authorization", f"Bearer {token(account)}")] if account else []
    headers += [("Accept-Language", languages)] if languages else []
    query = f"feed={feed_uri(feed)}&limit={limit}" + (f"&cursor={after}" if after else "")
    return site.request("GET", f"/xrpc/app.bsky.feed.getFeedSkeleton?{query}", headers=headers)


def see(site: Site, account: Account, *uris: str) -> None:
    event = "app.bsky.feed.defs#interactionSeen"
    body = {"interactions": [{"item": uri, "event": event} for uri in uris]}
    assert site.send(body, token(account, INTERACTIONS)).status == 200


# Accept-Language


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ()),
        ("en", ("en",)),
        ("en-GB,en;q=0.9, de;q=0.5", ("en", "de")),
        ("pt-BR", ("pt",)),
        ("EN ; q=0.3", ("en",)),
        ("de;q=0,en", ("en",)),
        ("de;q=0.000", ()),
        ("*", ()),
        ("en,*;q=0.1", ()),
        ("en,*;q=0", ("en",)),
        ("x", ("x",)),
        ("i-klingon,tlh", ("i", "tlh")),
        ("english", ()),
        ("en;level=1", ()),
        ("e\xe9,,;q=1,%00", ()),
        (",".join(f"{letter}a" for letter in "abcdefghijk"), tuple(f"{letter}a" for letter in "abcdefgh")),
        ("a" * 5000, ()),
    ],
)
def test_accept_language(header: str, found: tuple[str, ...]) -> None:
    assert accepted(header) == found


# Languages


def test_other_languages_come_behind_in_their_own_order(served: Ranked) -> None:
    langs = (["de"], ["en"], [], ["en-GB", "fr"], ["ja"], ["de", "ja"])
    posts = [served.writer.post(n, langs=one) for n, one in enumerate(langs)]
    german, english, none, both, japanese, mixed = posts
    assert read(served.site).posts == posts[::-1]
    assert read(served.site, languages="en").posts == [both, none, english, mixed, japanese, german]
    assert read(served.site, languages="ja, fr;q=0.1").posts == [mixed, japanese, both, none, english, german]
    assert read(served.site, languages="*").posts == posts[::-1]
    assert read(served.site, "python", languages="en").posts == posts[::-1]  # the newest are the newest


def test_the_languages_of_page_one_hold_for_the_whole_sequence(served: Ranked) -> None:
    posts = [served.writer.post(n, langs=["de"] if n % 2 else ["en"]) for n in range(9)]
    found: list[str] = []
    after: str | None = None
    for languages in ("en", "de", "", "ja", "en", "de", "en"):
        page = read(served.site, languages=languages, after=after, limit=2)
        found += page.posts
        if (after := page.cursor) is None:
            break
    assert found == posts[8::-2] + posts[7::-2]


def test_a_post_that_is_edited_meanwhile_keeps_its_place_in_the_sequence(served: Ranked) -> None:
    posts = [
        served.writer.post(n, at=NOW - HOUR + n, rkey=f"edited{n}", langs=["de" if n < 2 else "en"]) for n in range(4)
    ]
    first = read(served.site, languages="en", limit=3)
    assert first.posts == [posts[3], posts[2], posts[1]]
    served.writer.post(1, at=NOW - HOUR + 1, rkey="edited1", langs=["en"])
    served.writer.post(0, at=NOW - HOUR, rkey="edited0", langs=["en"])
    assert read(served.site, languages="en", after=first.cursor).posts == [posts[0]]
    served.pass_(LONG)
    assert read(served.site, languages="en").posts == posts[::-1]


def test_pins_come_first_in_whatever_language(served: Ranked) -> None:
    posts = [served.writer.post(n, langs=["de"] if n % 2 else ["en"]) for n in range(4)]
    served.writer.declare(RULES.replace('name = "Python"', f'name = "Python"\npins = ["{posts[1]}"]'))
    page = read(served.site, languages="en", limit=3)
    assert page.json["feed"][0] == {"post": posts[1], "reason": PIN}
    assert page.posts + read(served.site, after=page.cursor).posts == [posts[1], posts[2], posts[0], posts[3]]


def test_caches_are_told_what_an_answer_depends_on(served: Ranked) -> None:
    served.writer.post(1)
    assert read(served.site).headers["Vary"] == "Authorization, Accept-Language"
    assert "Vary" not in read(served.site, "python").headers


def test_more_different_languages_than_can_be_told_apart() -> None:
    with pytest.raises(ValueError, match="shorter"):
        in_order([1, 2], '["", "de"]', b"\x01", ("en",))
    assert in_order([1, 2, 3], '["", "de", "en"]', b"\x01\x00\x02", ("en",)) == [2, 3, 1]
    posts = [1, 2, 3]
    assert in_order(posts, '["", "de"]', b"\x00\x00\x00", ("en",)) is posts
    assert in_order(posts, "", None, ("en",)) is posts


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with site_and_writer(tmp_path, RULES, prefer_languages="off", damp_seen_hours="0") as (site, writer):
        german, english = writer.post(1, langs=["de"]), writer.post(2, langs=["en"])
        viewer = site.account(7)
        see(site, viewer, english)
        writer.sql("UPDATE interaction SET at = at - 60000000")
        page = read(site, account=viewer, languages="de")
        assert page.posts == [english, german] and page.headers["Vary"] == "Authorization"
        assert writer.sql("SELECT DISTINCT languages, marks FROM generation") == [("", None)]


# Seen


def test_what_was_seen_comes_last_and_for_its_viewer_alone(served: Ranked, alice: Account) -> None:
    posts = [served.writer.post(n) for n in range(5)]
    see(served.site, alice, posts[4], posts[1])
    served.pass_(16)
    assert read(served.site, account=alice).posts == [posts[3], posts[2], posts[0], posts[4], posts[1]]
    assert read(served.site).posts == read(served.site, account=served.site.account(7)).posts == posts[::-1]
    assert read(served.site, "python", alice).posts == posts[::-1]


def test_it_comes_back_after_a_day(served: Ranked, alice: Account) -> None:
    posts = [served.writer.post(n) for n in range(3)]
    see(served.site, alice, posts[2])
    served.pass_(24 * 3600 + 14)
    assert read(served.site, account=alice).posts == [posts[1], posts[0], posts[2]]
    served.pass_(2)
    assert read(served.site, account=alice).posts == posts[::-1]


def test_what_is_seen_while_pages_are_read_moves_nothing(served: Ranked, alice: Account) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    see(served.site, alice, posts[5])
    served.pass_(16)
    first = read(served.site, account=alice, limit=2)
    assert first.posts == [posts[4], posts[3]]
    see(served.site, alice, *posts)
    served.pass_(60)
    second = read(served.site, account=alice, limit=2, after=first.cursor)
    assert second.posts == [posts[2], posts[1]]
    assert read(served.site, account=alice, after=second.cursor).posts == [posts[0], posts[5]]
    assert read(served.site, account=alice).posts == posts[::-1]  # all were seen


def test_somebody_else_with_the_cursor_gets_each_post_at_most_once(served: Ranked, alice: Account) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    see(served.site, alice, *posts[3:])
    served.pass_(16)
    first = read(served.site, account=alice, limit=2)
    rest = read(served.site, after=first.cursor)
    assert first.posts == posts[2:0:-1] and rest.posts == [posts[0]]


def test_languages_and_seen_together(served: Ranked, alice: Account) -> None:
    posts = [served.writer.post(n, langs=["de"] if n % 2 else ["en"]) for n in range(6)]
    see(served.site, alice, posts[4], posts[5])
    served.pass_(16)
    expected = [posts[2], posts[0], posts[3], posts[1], posts[4], posts[5]]
    found: list[str] = []
    after: str | None = None
    while True:
        page = read(served.site, account=alice, languages="en", after=after, limit=1)
        found += page.posts
        if (after := page.cursor) is None:
            break
    assert found == expected


def test_what_was_seen_is_searched_by_key(served: Ranked) -> None:
    with closing(open_database(served.site.config.database, readonly=True)) as database:
        plan = [row[3] for row in sql(database).execute("EXPLAIN QUERY PLAN " + SEEN, ("x", "y", 1, 2)).fetchall()]
    assert plan == ["SEARCH interaction USING PRIMARY KEY (viewer=?)"]


# Cursors


@given(st.lists(st.from_regex(r"\A[a-z]{1,3}\Z"), max_size=8), st.integers(0, 1 << 62), st.booleans(), st.lists(
    st.integers(0, 1 << 62), max_size=10))  # fmt: skip
def test_a_view_travels_in_the_cursor(languages: list[str], until: int, last: bool, pins: list[int]) -> None:
    position, view = Position(3, 4, tuple(pins)), View(tuple(languages), until, last)
    text = cursor.encode_viewed(b"k", "feed", position, view)
    assert len(text) <= cursor.MAX_LENGTH
    assert cursor.decode_viewed(b"k", "feed", text) == (position, view)
    for wrong in (text[:-2], text[2:], f"02{text[2:]}", text.upper() + " "):
        with pytest.raises(CursorError):
            cursor.decode_viewed(b"k", "feed", wrong)
    with pytest.raises(CursorError):
        cursor.decode_viewed(b"k", "another", text)
    assert cursor.decode_viewed(b"k", "feed", cursor.encode(b"k", "feed", position, cursor.RANKED)) == (
        position,
        View(),
    )


# As a whole


LANGS = st.sampled_from(("de", "en", "", "ja"))
POSTS = st.lists(st.tuples(st.integers(0, 3), LANGS), min_size=1, max_size=20)
STEP = st.tuples(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(("delete", "see", "like", "post")), st.integers(0, 50)), max_size=3),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    POSTS,
    st.sets(st.integers(0, 19)),
    st.sampled_from(("", "de", "en,ja", "fr")),
    st.lists(STEP, min_size=1, max_size=8),
)
def test_invariant_5_a_viewers_sequence_is_its_order_as_far_as_it_is_still_there(
    module: Ranked,
    posts: list[tuple[int, str]],
    seen: set[int],
    languages: str,
    steps: list[tuple[int, list[tuple[str, int]]]],
) -> None:
    module.writer.clear()
    module.pass_(LONG)
    viewer = module.site.account(next(_numbers))
    there = {
        module.writer.post(author, at=NOW - DAY + n, langs=[lang] if lang else []): lang
        for n, (author, lang) in enumerate(posts)
    }
    order = list(there)[::-1]
    known = {list(there)[number % len(there)] for number in seen}
    see(module.site, viewer, *known)
    module.pass_(16)
    liked = set(accepted(languages))
    behind = [uri for uri in order if liked and there[uri] and there[uri] not in liked]
    expected = [uri for uri in order if uri not in behind] + behind
    expected = [uri for uri in expected if uri not in known] + [uri for uri in expected if uri in known]
    found: list[str] = []
    gone: set[str] = set()
    after: str | None = None
    for turn in range(1000):
        limit, changes = steps[turn % len(steps)]
        page = read(
            module.site, account=viewer, languages=languages if not turn % 2 else "de", after=after, limit=limit
        )
        assert len(page.posts) == min(limit, len([uri for uri in expected if uri not in gone and uri not in found]))
        found += page.posts
        if (after := page.cursor) is None:
            break
        for what, number in changes if turn < len(steps) else []:
            uri = order[number % len(order)]
            if what == "delete" and uri not in gone:
                module.writer.delete(uri)
                gone.add(uri)
            elif what == "see" and turn < 3:
                see(module.site, viewer, uri)
                module.pass_(20)
            elif what == "like":
                module.writer.engage(80 + number, uri)
            elif what == "post":
                module.writer.post(number % 4, langs=["de"])
    read_then = set(found)
    assert len(read_then) == len(found)
    assert found == [uri for uri in expected if uri in read_then]
    assert set(expected) - gone <= read_then
