"""The HTTP contract of getFeedSkeleton, through the real web app: parameters, errors, headers, bodies."""

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.didnet import plc
from tests.feed_site import PUBLISHER, SKELETON, Site, Writer, feed_uri, site_and_writer
from tests.lexicons import Lexicons

LANGUAGES = """
[[community]]
slug = "german"
name = "German"
include.hashtags = ["x"]
require.languages = ["de"]

[[community]]
slug = "mixed"
name = "Mixed"
include.hashtags = ["x"]
require.languages = ["de", "en"]

[[community]]
slug = "silent"
name = "Silent"
include.hashtags = ["x"]
require.languages = ["undeclared"]

[[community]]
slug = "python"
name = "Python"
include.hashtags = ["python"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("contract"), LANGUAGES) as both:
        for number in range(120):
            both[1].post(number)
        yield both


@pytest.fixture
def site(served: tuple[Site, Writer]) -> Site:
    return served[0]


FEED = f"feed={feed_uri('python')}"


def test_pages_are_what_the_lexicon_says(site: Site, shared_data: Path) -> None:
    lexicons = Lexicons(shared_data / "lexicons")
    sizes = []
    for reply in site.pages(limit=50):
        lexicons.output(SKELETON, reply.json)
        sizes.append(len(reply.posts))
    assert sizes == [50, 50, 20]
    assert lexicons.errors(SKELETON) == {"UnknownFeed"}


def test_limit_has_its_default_and_both_ends(site: Site) -> None:
    assert len(site.ask(FEED).posts) == 50
    assert len(site.page(limit=1).posts) == 1
    assert len(site.page(limit=100).posts) == 100


@pytest.mark.parametrize(
    "limit",
    "0 -1 101 abc １０ 1_000 +5 1e3 1.0 18446744073709551616 0x10 true".split() + ["", " 5 ", "5\n", "1" * 5000],
)
def test_s48_a_limit_that_is_no_number_from_1_to_100(site: Site, limit: str) -> None:
    assert site.ask(f"{FEED}&limit={quote(limit)}").fault == (400, "InvalidRequest")


def test_s48_a_repeated_parameter_is_refused(site: Site) -> None:
    assert site.ask(f"{FEED}&limit=5&limit=5").fault == (400, "InvalidRequest")
    assert site.ask(f"{FEED}&{FEED}").fault == (400, "InvalidRequest")
    cursor = site.page(limit=1).cursor
    assert site.ask(f"{FEED}&cursor={cursor}&cursor={cursor}").fault == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "feed",
    [
        "",
        "python",
        "https://example.com",
        f"at://{PUBLISHER}/app.bsky.feed.generator/..",
        f"at://{PUBLISHER}/app.bsky.feed.generator/{'a' * 513}",
        f"at://{PUBLISHER}/app.bsky.feed.generator/python/x",
        f"at://{PUBLISHER}/app.bsky.feed.generator/python\n",
        f" {feed_uri('python')}",
        "at://did:plc:/app.bsky.feed.generator/python",
        "at://" + "a" * 7000,
    ],
)
def test_s49_a_feed_that_is_no_at_uri(site: Site, feed: str) -> None:
    assert site.ask(f"feed={quote(feed, safe='')}").fault == (400, "InvalidRequest")


def test_s49_the_feed_must_be_given(site: Site) -> None:
    assert site.ask("limit=5").fault == (400, "InvalidRequest")
    assert site.ask("").fault == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "feed",
    [
        feed_uri("nothing"),
        feed_uri("Python"),
        f"at://{plc(1)}/app.bsky.feed.generator/python",
        f"at://{PUBLISHER}/app.bsky.feed.post/python",
        f"at://{PUBLISHER}/app.bsky.feed.generator",
        f"at://{PUBLISHER}",
        "at://feeds.example.com/app.bsky.feed.generator/python",
    ],
)
def test_s50_a_feed_that_is_not_ours(site: Site, feed: str) -> None:
    reply = site.ask(f"feed={quote(feed, safe='')}")
    assert reply.fault == (400, "UnknownFeed")


def garbage_cursors(cursor: str) -> list[str]:
    """What is no cursor of ours, made of one that is."""
    flipped = [cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1 :] for i in range(len(cursor))]
    cut = [cursor[:size] for size in range(len(cursor))]
    longer = [cursor + "=", cursor + "A", cursor + "AAAA", " " + cursor, cursor + "\n", cursor * 2, cursor[1:]]
    plain = ["x", "1700000000000::bafyrei", "' OR 1=1 --", "0", "null", "é", "\ud7ff", "-" * 512, "A" * 513, "A" * 8000]
    forged = [base64.urlsafe_b64encode(bytes(size)).decode().rstrip("=") for size in (0, 8, 17, 25, 33, 105)]
    return flipped + cut + longer + plain + forged


def test_s51_a_cursor_that_we_did_not_make(site: Site) -> None:
    cursor = site.page(limit=7).cursor
    assert cursor and site.page(limit=7, cursor=cursor).status == 200
    for wrong in garbage_cursors(cursor):
        assert site.ask(f"{FEED}&cursor={quote(wrong, safe='')}").fault == (400, "InvalidRequest"), wrong
    assert site.ask(f"{FEED}&cursor={'A' * 10_000}").status == 400  # over the request line that is read at all


def test_s51_a_cursor_of_another_feed(served: tuple[Site, Writer]) -> None:
    site, writer = served
    for number in range(3):
        writer.post(number, tags=["x"])
    german = site.page("german", limit=1).cursor
    assert site.page("german", limit=1, cursor=german).status == 200
    assert site.page("python", cursor=german).fault == (400, "InvalidRequest")
    assert site.page("mixed", cursor=german).fault == (400, "InvalidRequest")


def test_s53_bytes_that_are_no_text(site: Site) -> None:
    assert site.ask(f"{FEED}%00").fault == (400, "InvalidRequest")
    assert site.ask(f"{FEED}&cursor=%FF").fault == (400, "InvalidRequest")
    assert site.ask(f"{FEED}&x=%zz").fault == (400, "InvalidRequest")


def test_s53_parameters_that_we_do_not_know_are_ignored(site: Site) -> None:
    plain = site.ask(FEED).body
    assert site.ask(f"{FEED}&x=1&x=2&__proto__=1&Limit=3&viewer=did:plc:x&").body == plain


@pytest.mark.parametrize("method", "POST PUT DELETE PATCH HEAD TRACE OPTIONS".split())
def test_s47_another_verb_is_answered_in_json(site: Site, method: str) -> None:
    reply = site.request(method, f"/xrpc/{SKELETON}?{FEED}", b"{}" if method == "POST" else None)
    assert reply.status == 400
    if method != "HEAD":
        assert reply.json == {"error": "InvalidRequest", "message": "Incorrect HTTP method"}


def test_s64_any_page_may_read_and_none_with_credentials(site: Site) -> None:
    for query in (FEED, "feed=x", f"feed={feed_uri('german')}"):
        reply = site.ask(query)
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers
    asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")]
    preflight = site.request("OPTIONS", f"/xrpc/{SKELETON}", headers=asked)
    assert preflight.status == 204 and preflight.headers["Access-Control-Allow-Methods"] == "GET"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]


def test_content_language_is_said_where_there_is_only_one(site: Site) -> None:
    assert site.page("german").headers["Content-Language"] == "de"
    for slug in ("mixed", "silent", "python"):
        assert site.page(slug).headers["Content-Language"] is None
    assert site.page("german").headers["Content-Type"].startswith("application/json")


def test_messages_are_for_readers(site: Site) -> None:
    for query in (FEED + "&limit=0", FEED + "&cursor=x", f"feed={feed_uri('no')}", "feed=x"):
        message = site.ask(query).json["message"]
        assert message[0].isupper() or message[0] == '"'
        assert "Traceback" not in message and "sqlite" not in message.lower() and len(message) < 200
