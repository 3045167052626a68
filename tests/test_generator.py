"""The feed record of a community, judged by the lexicon `app.bsky.feed.generator`."""

import hashlib

import pytest
from cbrrr import CID
from hypothesis import given
from hypothesis import strategies as st

from communities.community import Community
from communities.ranking import SORTS
from service import generator

DID = "did:web:feeds.example.org"
NOW = "2026-03-01T12:00:00.000Z"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
FAMILY = "👩‍👩‍👧‍👦"  # one character for a reader, seven code points, 25 bytes


def community(**fields: object) -> Community:
    return Community(**({"slug": "cats", "name": "Cats", "description": "All cats."} | fields))  # type: ignore[arg-type]


def feed(sort: str = "newest", **fields: object) -> generator.DeclaredFeed:
    return generator.DeclaredFeed(community(**fields), sort)


def test_a_new_record_has_every_field_and_no_empty_one() -> None:
    record = generator.generator_record(feed(), DID, None, None, NOW)
    assert record == {
        "$type": "app.bsky.feed.generator",
        "did": DID,
        "displayName": "Cats",
        "description": "All cats.",
        "acceptsInteractions": False,
        "contentMode": "app.bsky.feed.defs#contentModeUnspecified",
        "createdAt": NOW,
    }
    bare = generator.generator_record(feed(description="", content_mode="video"), DID, None, None, NOW)
    assert "description" not in bare
    assert bare["contentMode"] == "app.bsky.feed.defs#contentModeVideo"


def test_each_feed_of_a_community_has_a_record_of_its_own() -> None:
    cats = community(feeds=SORTS, content_mode="unspecified")
    feeds = generator.declared_feeds([cats, community(slug="dogs", name="Dogs", feeds=("hot",))])
    keys = ["active", "recent", "hot", "top-day", "top-week", "top-month", "top", "video"]
    assert [one.rkey for one in feeds] == ["cats", *(f"cats.{key}" for key in keys), "dogs.hot"]
    assert [one.name for one in feeds] == [
        "Cats", "Cats · Active", "Cats · Recent", "Cats · Hot", "Cats · Top day", "Cats · Top week", "Cats · Top month",
        "Cats · Top", "Cats · Videos", "Dogs · Hot",
    ]  # fmt: skip
    records = {one.rkey: generator.generator_record(one, DID, None, None, NOW) for one in feeds}
    assert records["dogs.hot"]["displayName"] == "Dogs · Hot"
    modes = {rkey: record["contentMode"] for rkey, record in records.items()}
    assert modes.pop("cats.video") == "app.bsky.feed.defs#contentModeVideo"
    assert set(modes.values()) == {"app.bsky.feed.defs#contentModeUnspecified"}
    assert feed("hot", content_mode="video").content_mode == "video"


@given(st.sampled_from(SORTS), st.text(min_size=1, max_size=24) | st.just(FAMILY * 9) | st.just("n" * 24))
def test_a_long_name_is_cut_before_the_order(sort: str, name: str) -> None:
    found = feed(sort, name=name).name
    assert sort == "newest" or " · " in found
    if not generator.faults(community(name=name)):
        assert generator.faults(community(name=found)) == []
    assert feed("hot", name="Cats and dogs of the city").name == "Cats and dogs of t · Hot"
    assert feed("hot", name="Cats and dogs all of it").name == "Cats and dogs all · Hot"


def test_an_update_keeps_what_the_declaration_does_not_say() -> None:
    facets = [{"index": {"byteStart": 0, "byteEnd": 3}, "features": []}]
    existing = {
        "$type": "app.bsky.feed.generator",
        "did": "did:web:old.example.org",
        "displayName": "Old",
        "description": "All cats.",
        "descriptionFacets": facets,
        "avatar": {"$type": "blob"},
        "createdAt": "2023-01-01T00:00:00Z",
        "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": []},
        "org.example.note": {"kept": None},
    }
    before = repr(existing)
    record = generator.generator_record(feed(accepts_interactions=True), DID, None, existing, NOW)
    assert record["createdAt"] == "2023-01-01T00:00:00Z"
    assert record["labels"] == existing["labels"]
    assert record["org.example.note"] == {"kept": None}
    assert record["descriptionFacets"] == facets
    assert "avatar" not in record
    assert generator.changed_fields(existing, record) == (
        "acceptsInteractions",
        "avatar",
        "contentMode",
        "did",
        "displayName",
    )
    assert repr(existing) == before


def test_facets_go_with_the_text_whose_bytes_they_count() -> None:
    existing = {
        "description": "See https://a.example",
        "descriptionFacets": [{"index": {}}],
        "createdAt": NOW,
    }
    record = generator.generator_record(feed(), DID, None, existing, NOW)
    assert "descriptionFacets" not in record


def test_the_same_declaration_changes_nothing() -> None:
    first = generator.generator_record(feed(), DID, {"$type": "blob"}, None, NOW)
    again = generator.generator_record(feed(), DID, {"$type": "blob"}, first, "2030-01-01T00:00:00.000Z")
    assert generator.changed_fields(first, again) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "n" * 24, "description": "d" * 300}, []),
        ({"name": "n" * 25}, ["cats: name has 25 characters, at most 24 may be"]),
        # 24 characters, but 600 bytes; and 9 characters with 225 bytes, which are allowed
        ({"name": FAMILY * 24}, ["cats: name has 600 bytes, at most 240 may be"]),
        ({"name": FAMILY * 9}, []),
        ({"description": "d" * 301}, ["cats: description has 301 characters, at most 300 may be"]),
        ({"description": FAMILY * 121}, ["cats: description has 3025 bytes, at most 3000 may be"]),
        (
            {"name": "n" * 241, "description": "d" * 3001},
            [
                "cats: name has 241 characters, at most 24 may be",
                "cats: name has 241 bytes, at most 240 may be",
                "cats: description has 3001 characters, at most 300 may be",
                "cats: description has 3001 bytes, at most 3000 may be",
            ],
        ),
    ],
)
def test_limits_count_characters_and_bytes(fields: dict[str, object], said: list[str]) -> None:
    assert generator.faults(community(**fields)) == said


@given(st.binary(max_size=200))
def test_a_blob_cid_is_the_one_that_a_pds_computes(content: bytes) -> None:
    assert generator.blob_cid(content) == CID.cidv1_raw_sha256_32_from(content).encode()
    assert bytes(CID.decode(generator.blob_cid(content)))[-32:] == hashlib.sha256(content).digest()


def test_an_avatar_is_known_by_its_bytes() -> None:
    assert generator.avatar_of(PNG).mime == "image/png"
    assert generator.avatar_of(JPEG).mime == "image/jpeg"
    largest = PNG + bytes(1_000_000 - len(PNG))
    assert generator.avatar_of(largest).blob() == {
        "$type": "blob",
        "ref": {"$link": generator.blob_cid(largest)},
        "mimeType": "image/png",
        "size": 1_000_000,
    }
    with pytest.raises(generator.AvatarError, match="more than 1,000,000 bytes"):
        generator.avatar_of(largest + b"\0")
    for wrong in (b"", b"GIF89a" + bytes(20), b"<svg/>", PNG[:4]):
        with pytest.raises(generator.AvatarError, match="neither a PNG nor a JPEG"):
            generator.avatar_of(wrong)


@pytest.mark.parametrize("blob", [None, {}, {"ref": None}, {"ref": "x"}, {"ref": {"$link": "bafkother"}}, [], "x"])
def test_a_record_with_another_or_a_broken_avatar_is_not_taken_for_the_same(blob: object) -> None:
    avatar = generator.avatar_of(PNG)
    assert not generator.has_avatar({"avatar": blob}, avatar)
    assert not generator.has_avatar(None, avatar)
    assert generator.has_avatar({"avatar": avatar.blob()}, avatar)
