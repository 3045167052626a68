"""What is read of a post record, which anybody may have written."""

from typing import Any

import pytest

from communities.post import MEDIA, Post, link_host, read_post
from tests.didnet import plc
from xrpc.graphemes import graphemes

MOMENT = "2026-01-02T03:04:05.678Z"
FAMILY = "👨‍👩‍👧‍👦"


def record(**more: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.post", "text": "", "createdAt": MOMENT, **more}


def read(**more: Any) -> Post:
    post = read_post(record(**more))
    assert post is not None
    return post


def facet(start: Any, end: Any, *features: Any) -> dict[str, Any]:
    return {"index": {"byteStart": start, "byteEnd": end}, "features": list(features)}


def tag(value: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.richtext.facet#tag", "tag": value}


def link(uri: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.richtext.facet#link", "uri": uri}


def external(uri: str) -> dict[str, Any]:
    return {"$type": "app.bsky.embed.external", "external": {"uri": uri, "title": "", "description": ""}}


def embed(kind: str, **more: Any) -> dict[str, Any]:
    return {"$type": f"app.bsky.embed.{kind}", **more}


def quote(uri: str) -> dict[str, Any]:
    return {"record": {"uri": uri, "cid": "bafy"}}


# Valid or not


def test_the_least_that_is_a_post() -> None:
    post, nothing = read(), frozenset[str]()
    assert post == Post("", MOMENT, nothing, nothing, (), None, None, post.record)
    assert (post.langs, post.media, post.domains, post.root) == (nothing, nothing, nothing, None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {},
        record(**{"$type": "app.bsky.feed.like"}),
        record(**{"$type": ["app.bsky.feed.post"]}),
        {"$type": "app.bsky.feed.post", "text": ""},
        {"$type": "app.bsky.feed.post", "createdAt": MOMENT},
        record(text=None),
        record(text=b"x"),
        record(text=["x"]),
        record(createdAt=5),
        record(createdAt="x" * 65),
    ],
)
def test_no_post(value: Any) -> None:
    assert read_post(value) is None


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("x" * 300, True),
        ("x" * 301, False),
        (FAMILY * 120, True),  # 25 bytes each: 3,000 in all
        (FAMILY * 120 + "x", False),
        ("\r\n" * 300, True),
        ("\r\n" * 301, False),
        ("e" + "\u0301" * 1499, True),  # one grapheme of 2,999 bytes
        ("e" + "\u0301" * 1500, False),
        ("x" * 10_000_000, False),
        ("\u0301" * 100_000, False),
        ("\ud800" * 300, True),
        ("\ud800" * 1001, False),
    ],
    ids=range(12),
)
def test_s99_the_limits_of_text(text: str, good: bool) -> None:
    assert (read_post(record(text=text)) is not None) == good


def test_graphemes_are_what_people_see() -> None:
    assert [graphemes(text) for text in ("", "abc", "\r\n", "é", "e\u0301", FAMILY, "🇩🇪🇫🇷", "각")] == [
        0,
        3,
        1,
        1,
        1,
        1,
        2,
        1,
    ]


# Facets


def test_tags_come_from_facets_and_from_tags_but_not_from_the_text() -> None:
    post = read(text="#one two", facets=[facet(5, 8, tag("Two"))], tags=["#Three"])
    assert post.tags == {"two", "three"}


@pytest.mark.parametrize(
    ("start", "end"),
    [(3, 2), (2, 2), (-1, 3), (0, 99), (1, 4), (0, 1), (2, 4), (True, 4), (0, 2**63), (0, 3.0), ("0", "4"), (None, 4)],
)
def test_s100_a_facet_that_points_nowhere_is_ignored_and_the_post_kept(start: Any, end: Any) -> None:
    assert read(text="é\u20acx", facets=[facet(start, end, tag("gone")), facet(2, 5, tag("kept"))]).tags == {"kept"}


@pytest.mark.parametrize(
    "facets",
    [
        5,
        "x",
        {},
        [None],
        ["x"],
        [{}],
        [{"index": None, "features": []}],
        [{"index": {"byteStart": 0, "byteEnd": 1}, "features": {}}],
        [facet(0, 1, None, 5, "x", [])],
        [facet(0, 1, {"$type": ["app.bsky.richtext.facet#tag"], "tag": "x"})],
        [facet(0, 1, tag(None), tag(5), tag(["x"]), tag(""), tag("#"), tag("x" * 641))],
        [facet(0, 1, link(None), link(5))],
        [
            facet(0, 1, {"$type": "app.bsky.richtext.facet#mention", "did": did})
            for did in (None, 5, "alice.test", "did:")
        ],
    ],
    ids=range(13),
)
def test_s100_facets_of_any_shape(facets: Any) -> None:
    assert read(text="abc", facets=facets) == read(text="abc")


def test_s100_very_many_facets_and_s104_very_many_tags() -> None:
    post = read(
        text="abc", facets=[facet(0, 1, tag(f"f{n}")) for n in range(10_000)], tags=[f"t{n}" for n in range(100_000)]
    )
    assert len(post.tags) == 308
    assert "f299" in post.tags and "f300" not in post.tags and "t7" in post.tags and "t8" not in post.tags


def test_mentions() -> None:
    mention = {"$type": "app.bsky.richtext.facet#mention", "did": plc(1)}
    assert read(text="@alice", facets=[facet(0, 6, mention)]).mentions == {plc(1)}


# Links


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("https://Example.COM/x?y#z", "example.com"),
        ("HTTP://example.com:8080", "example.com"),
        ("https://example.com.", "example.com"),
        ("https://example.com\\@other.com/", "example.com"),
        ("https://example%2Ecom/", "example.com"),
        ("https://ｅｘａｍｐｌｅ。com/", "example.com"),
        ("https://münchen.de/", "xn--mnchen-3ya.de"),
        ("https://exa\nmple.com", "example.com"),
        ("https://[::1]/", "::1"),
        ("javascript:alert(1)", None),
        ("JavaScript://example.com/%0aalert(1)", None),
        ("data:text/html,x", None),
        ("//example.com", None),
        ("/path", None),
        ("ftp://example.com", None),
        (" https://example.com", None),
        ("https://user@example.com", None),
        ("https://user:pw@example.com", None),
        ("https://", None),
        ("https:///x", None),
        ("https://.", None),
        ("http://[", None),
        ("https://\ud800.com", None),
        ("https://" + "ü" * 64 + ".de", None),
        ("https://" + "a." * 127 + "com", None),
        ("https://example.com/" + "x" * 8192, None),
        ("", None),
    ],
    ids=range(27),
)
def test_s101_the_host_of_a_link(uri: str, host: str | None) -> None:
    assert link_host(uri) == host


def test_links_come_from_facets_and_cards() -> None:
    post = read(text="abc", facets=[facet(0, 1, link("https://a.example/x"), link("javascript:x"))])
    assert post.domains == {"a.example"} and post.media == set()
    assert read(embed=external("https://b.example")).domains == {"b.example"}
    with_media = embed("recordWithMedia", media=external("https://c.example"), record=quote("at://x"))
    assert read(embed=with_media).domains == {"c.example"}


# Media


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (embed("images", images=[]), {"image"}),
        (embed("gallery", items=[]), {"gallery", "image"}),
        (embed("video"), {"video"}),
        (embed("video", presentation="default"), {"video"}),
        (embed("video", presentation="gif"), {"gif"}),
        (external("https://example.com/x"), {"link"}),
        (external("https://media.tenor.com/x.gif"), {"gif"}),
        (external("javascript:x"), {"link"}),
        (embed("record", **quote("at://x/y/z")), {"quote"}),
        (embed("recordWithMedia", record=quote("at://x"), media=embed("images")), {"quote", "image"}),
        (embed("recordWithMedia", record=quote("at://x"), media=embed("video", presentation="gif")), {"quote", "gif"}),
        (embed("recordWithMedia", record=quote("at://x"), media=embed("recordWithMedia")), {"quote"}),
        (embed("recordWithMedia", record=quote("at://x"), media={"$type": ["app.bsky.embed.images"]}), {"quote"}),
        (embed("recordWithMedia"), {"quote"}),
        (embed("external"), set()),
        (embed("external", external={"uri": 5}), set()),
        (embed("unknown"), set()),
        (embed("images#view"), set()),
        ({}, set()),
        (5, set()),
        ([embed("images")], set()),
    ],
    ids=range(21),
)
def test_media(value: Any, media: set[str]) -> None:
    assert read(embed=value).media == media <= set(MEDIA)


# What it answers, quotes and speaks


def test_references_are_uris_or_nothing() -> None:
    uri = f"at://{plc(1)}/app.bsky.feed.post/x"
    ref = {"uri": uri, "cid": "bafy"}
    answer = read(reply={"root": ref, "parent": {"uri": uri + "2"}})
    assert (answer.root, answer.parent) == (uri, uri + "2")
    wrong: Any
    for wrong in (None, 5, "x", [], {}, {"uri": None}, {"uri": "https://x"}, {"uri": "at://" + "x" * 9000}):
        post = read(reply={"root": wrong, "parent": wrong}, embed=embed("record", record=wrong))
        assert (post.root, post.parent, post.quote) == (None, None, None)
    assert read(embed=embed("record", record=ref)).quote == uri
    assert read(embed=embed("recordWithMedia", record={"record": ref}, media=embed("images"))).quote == uri
    assert read(reply="x").parent is None


@pytest.mark.parametrize(
    ("langs", "found"),
    [
        (["en", "PT-br", "zh-Hant-TW"], {"en", "pt", "zh"}),
        (["en", "de", "fr", "it"], {"en", "de", "fr"}),
        (["", "e", "123", None, 5, ["en"]], set()),
        (["en_US"], set()),
        ("en", set()),
        (None, set()),
    ],
    ids=range(6),
)
def test_languages_are_primary_subtags(langs: Any, found: set[str]) -> None:
    assert read(langs=langs).langs == found


# Bounded work


def test_s104_no_post_holds_more_of_a_kind_than_a_text_has_room_for() -> None:
    mention = {"$type": "app.bsky.richtext.facet#mention"}
    several = range(2)
    features = [
        [
            f
            for m in several
            for f in (tag(f"t{n}-{m}"), link(f"https://l{n}-{m}.example"), mention | {"did": plc(n * 2 + m)})
        ]
        for n in range(300)
    ]
    post = read(text="a", facets=[facet(0, 1, *some) for some in features])
    assert len(post.tags) == len(post.links) == len(post.mentions) == 300


def test_s99_a_tag_is_measured_in_bytes_before_it_is_folded() -> None:
    """U+FDFA folds to eighteen letters: 640 of them, which are 1,920 bytes, are no tag."""
    assert read(tags=["\ufdfa" * 640]).tags == frozenset()
    assert len(read(tags=["\ufdfa" * 213]).tags) == 1


def test_s115_many_tags_are_read_as_far_as_a_text_could_hold_them() -> None:
    """Each of these letters is eighteen when it is folded: three hundred such tags took a seventh of a second."""
    features = [tag("\ufdfa" * 200 + str(number)) for number in range(300)]
    facets = [facet(0, 1, *features[at : at + 8]) for at in range(0, 300, 8)]
    assert len(read(text="x", facets=facets).tags) == 14
    plain = [facet(number, number + 1, tag(f"tag{number:03}")) for number in range(300)]
    assert len(read(text="x" * 300, facets=plain).tags) == 300


@pytest.mark.parametrize("host", ["b\u00fccher." * 7 + "b{}.example", "b%C3%BCcher." * 4 + "b{}.example"])
def test_s115_many_hosts_in_other_letters_are_not_looked_at_one_by_one(host: str) -> None:
    """To read one takes milliseconds; whose so many are is not told, so that none passes for a good one."""
    links = [f"http://{host.format(number)}?a=%20" for number in range(11)]
    facets = [facet(0, 1, link(uri)) for uri in links]
    assert read(text="x", facets=facets).domains is None
    assert read(text="x", facets=facets[1:]).domains == {link_host(uri) for uri in links[1:]}
    plain = [facet(0, 1, link(f"https://a{number}.example/b%C3%BCcher?q=\u00fc")) for number in range(100)]
    assert len(read(text="x", facets=plain).domains or ()) == 100
