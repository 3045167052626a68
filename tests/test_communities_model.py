"""Matching against an independent, naive reading of the rules, on random rules and posts; and records that are made to
break it, also on their way through a commit.
"""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communities.community import Community, Exclude, Include, Require
from communities.matching import compile_rules
from communities.post import read_post
from firehose.frames import read_frame
from firehose.known import Known
from firehose.ops import Scope
from firehose.triage import read_commit
from tests.didnet import plc
from tests.world import World, Write
from tests.world.frames import message

DIDS = [plc(number) for number in range(4)]
LISTS = [f"at://{DIDS[0]}/app.bsky.graph.list/{name}" for name in "ab"]
MEMBERS = {LISTS[0]: [DIDS[1], DIDS[2]], LISTS[1]: []}
WORDS = ["a", "B", "Ａ", "é", "e\u0301", "É", "日", "本", "ab", "a_b", "1", "!", "-", "हि", "ß", "SS"]
DOMAINS = ["a.com", "b.com", "a.b.com"]
MEDIA = ["gallery", "gif", "image", "link", "quote", "video"]
LANGUAGES = ["en", "de", "undeclared"]


def some(values: list[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


phrases = st.lists(st.sampled_from([word for word in WORDS if word not in "!-"]), min_size=1, max_size=3).map(" ".join)
rules = st.builds(
    Community,
    slug=st.just("ab"),
    name=st.just("AB"),
    include=st.builds(
        Include,
        hashtags=some(WORDS[:11]),
        keywords=st.lists(phrases, max_size=2).map(tuple),
        mentions=some(DIDS, 1),
        members=some(DIDS, 1),
        lists=some(LISTS, 1),
    ),
    require=st.builds(Require, some(LANGUAGES), some(MEDIA)),
    exclude=st.builds(
        Exclude,
        hashtags=some(WORDS[:11], 1),
        replies=st.booleans(),
        languages=some(LANGUAGES, 1),
        media=some(MEDIA, 1),
        domains=some(DOMAINS, 1),
        dids=some(DIDS, 1),
        hashtags_over=st.integers(0, 3),
    ),
)
attachments = st.sampled_from(
    [
        None,
        {"$type": "app.bsky.embed.images"},
        {"$type": "app.bsky.embed.gallery"},
        {"$type": "app.bsky.embed.video"},
        {"$type": "app.bsky.embed.video", "presentation": "gif"},
        {"$type": "app.bsky.embed.external", "external": {"uri": "https://A.com/x"}},
        {"$type": "app.bsky.embed.external", "external": {"uri": "https://x.b.com"}},
    ]
)
posts = st.fixed_dictionaries(
    {
        "words": st.lists(st.sampled_from(WORDS), max_size=6),
        "tags": st.lists(st.sampled_from([*WORDS[:11], "#A", "nofeed"]), max_size=4),
        "mentions": st.lists(st.sampled_from(DIDS), max_size=2),
        "attached": attachments,
        "quotes": st.booleans(),
        "replies": st.booleans(),
        "langs": st.lists(st.sampled_from(["en", "de-AT", "EN-gb"]), max_size=2),
    }
)


def as_record(post: dict[str, Any]) -> dict[str, Any]:
    """The record that says what the naive description says; half of its tags stand in facets."""
    features: list[Any] = [{"$type": "app.bsky.richtext.facet#mention", "did": did} for did in post["mentions"]]
    features += [{"$type": "app.bsky.richtext.facet#tag", "tag": tag} for tag in post["tags"][::2]]
    facets = [{"index": {"byteStart": 0, "byteEnd": 1}, "features": [feature]} for feature in features]
    record = {
        "$type": "app.bsky.feed.post",
        "text": "." + " ".join(post["words"]),
        "createdAt": "2026-01-02T03:04:05Z",
        "facets": facets,
        "tags": post["tags"][1::2],
        "langs": post["langs"],
    }
    reference = {"uri": "at://did:plc:x/app.bsky.feed.post/y", "cid": "z"}
    if post["replies"]:
        record["reply"] = {"parent": reference, "root": reference}
    if post["quotes"] and post["attached"]:
        media, quoted = post["attached"], {"record": reference}
        record["embed"] = {"$type": "app.bsky.embed.recordWithMedia", "media": media, "record": quoted}
    elif post["quotes"]:
        record["embed"] = {"$type": "app.bsky.embed.record", "record": reference}
    elif post["attached"]:
        record["embed"] = post["attached"]
    return record


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).lstrip("#")


def spoken(text: str) -> list[str]:
    """Words, character by character."""
    found = [""]
    for character in plain(text):
        if character in "日本":
            found += [character, ""]
        elif character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            found[-1] += character
        else:
            found.append("")
    return [word for word in found if word]


def belongs(rule: Community, did: str, post: dict[str, Any]) -> bool:
    """Whether the community takes the post, read naively off the declaration."""
    tags = {plain(tag) for tag in post["tags"]}
    said = " " + " ".join(spoken(" ".join(post["words"]))) + " "
    selected = (
        any(plain(tag) in tags for tag in rule.include.hashtags)
        or any(f" {' '.join(spoken(keyword))} " in said for keyword in rule.include.keywords)
        or any(mentioned in post["mentions"] for mentioned in rule.include.mentions)
        or did in rule.include.members
        or any(did in MEMBERS[uri] for uri in rule.include.lists)
    )
    langs = {lang[:2].lower() for lang in post["langs"]} or {"undeclared"}
    attached = post["attached"] or {}
    kind = attached.get("$type", "").rpartition(".")[2]
    media = {"images": {"image"}, "gallery": {"image", "gallery"}, "video": {"video"}, "external": {"link"}}.get(
        kind, set()
    )
    media = {"gif"} if attached.get("presentation") else media
    media = media | ({"quote"} if post["quotes"] else set())
    uri = attached.get("external", {}).get("uri", "").lower().removeprefix("https://").partition("/")[0]
    return (
        selected
        and not tags & {"nofeed", "private"}
        and did not in rule.exclude.dids
        and not any(plain(tag) in tags for tag in rule.exclude.hashtags)
        and not (rule.exclude.replies and post["replies"])
        and not (0 < rule.exclude.hashtags_over < len(tags))
        and not langs & set(rule.exclude.languages)
        and bool(not rule.require.languages or langs & set(rule.require.languages))
        and not media & set(rule.exclude.media)
        and bool(not rule.require.media or media & set(rule.require.media))
        and not any(("." + uri).endswith("." + domain) for domain in rule.exclude.domains)
    )


@settings(max_examples=400)
@given(st.lists(rules, min_size=1, max_size=4), st.sampled_from(DIDS), posts)
def test_matching_is_what_a_naive_reading_says(
    communities: list[Community], did: str, described: dict[str, Any]
) -> None:
    matcher = compile_rules(list(enumerate(communities)), MEMBERS)
    post = read_post(as_record(described))
    assert post is not None
    matches = matcher.match(did, post)
    expected = [number for number, rule in enumerate(communities) if belongs(rule, did, described)]
    assert [match.community for match in matches] == expected
    explained = matcher.explain(did, post)
    assert [number for number, (_, refusal) in explained.items() if refusal is None] == expected
    for match in matches:
        assert match.evidences and explained[match.community][0] == match.evidences
        assert len(set(match.evidences)) == len(match.evidences)


# Records that are made to break it


TYPES = [
    "app.bsky.feed.post", "app.bsky.embed.recordWithMedia", "app.bsky.embed.external", "app.bsky.embed.record",
    "app.bsky.embed.video", "app.bsky.richtext.facet#tag", "app.bsky.richtext.facet#mention",
    "app.bsky.richtext.facet#link",
]  # fmt: skip
KEYS = [
    "$type", "text", "createdAt", "facets", "index", "byteStart", "byteEnd", "features", "tag", "tags", "did", "uri",
    "langs", "embed", "media", "record", "external", "presentation", "reply", "parent", "root", "list", "subject",
]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.binary(max_size=5),
    st.sampled_from([*TYPES, "at://x", "https://[", "did:plc:x", "x", LISTS[0], DIDS[0]]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)
records = st.dictionaries(st.sampled_from(KEYS), values, max_size=8).map(
    lambda found: {"$type": TYPES[0], "text": "x", "createdAt": "x"} | found
)
EVERYTHING = compile_rules(
    [
        (
            1,
            Community(
                "ab", "AB", include=Include(("x",), ("x",), (DIDS[0],), (DIDS[1],)), exclude=Exclude(domains=("x.com",))
            ),
        )
    ],
    {},
)


@settings(max_examples=200)
@given(records)
def test_no_record_raises(record: dict[str, Any]) -> None:
    post = read_post(record)
    if post is not None:
        EVERYTHING.match(DIDS[1], post)
        EVERYTHING.explain(DIDS[1], post)


def nested(*, maps: bool) -> Any:
    """A value as deep as no one would write it."""
    value: Any = []
    for _ in range(5000):
        value = {"x": value} if maps else [value]
    return value


def scope(owner: str) -> Scope:
    """All that is looked for; lists of `owner` are named by a rule."""
    return Scope(Known(), Known(), EVERYTHING, frozenset(LISTS), frozenset({owner}))


@pytest.mark.parametrize("maps", [False, True], ids=["lists", "maps"])
@pytest.mark.parametrize("key", KEYS)
def test_no_nesting_anywhere_stops_the_stream(key: str, maps: bool) -> None:
    """The key holds something thousands deep: in each kind of record, in an embed within an embed, in a facet."""
    world = World()
    author = world.account("author", quiet=True)
    reading = scope(author.did)
    deep = {key: nested(maps=maps)}
    post = {"$type": TYPES[0], "text": "x", "createdAt": "x"}
    place = {"byteStart": 0, "byteEnd": 1}
    records = [
        ("app.bsky.graph.listitem", deep),
        ("app.bsky.feed.like", deep),
        (TYPES[0], post | deep),
        (TYPES[0], post | {"embed": {"$type": TYPES[1], "media": deep, "record": deep}}),
        (TYPES[0], post | {"embed": {"$type": TYPES[1], "media": {"$type": TYPES[2], "external": deep} | deep}}),
        (TYPES[0], post | {"facets": [{"index": place, "features": [{"$type": TYPES[5]} | deep]} | deep]}),
        (TYPES[0], post | {"reply": {"parent": deep, "root": deep}, "tags": [deep], "langs": [deep]}),
    ]
    for number, (collection, record) in enumerate(records, 1):
        payload = author.commit(Write("create", f"{collection}/{number}", record))
        kind, read = read_frame(message("#commit", payload | {"seq": number, "time": "x"}))
        assert kind == "#commit"
        assert read_commit(read, number, reading) is None


@pytest.mark.parametrize("value", [None, 5, [], {}, b"x", ["x"], {"x": []}], ids=repr)
def test_a_list_item_of_any_shape_is_passed_over(value: Any) -> None:
    world = World()
    owner = world.account("owner", quiet=True)
    reading = scope(owner.did)
    for number, record in enumerate(({"list": value, "subject": DIDS[0]}, {"list": LISTS[0], "subject": value})):
        payload = owner.commit(Write("create", f"app.bsky.graph.listitem/{number}", record))
        _, read = read_frame(message("#commit", payload | {"seq": number + 1, "time": "x"}))
        assert read_commit(read, number + 1, reading) is None
