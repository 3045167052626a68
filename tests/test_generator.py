"""The feed record of a community, judged by the lexicon `app.bsky.feed.generator`."""

import hashlib

import pytest
from cbrrr import CID
from hypothesis import given
from hypothesis import strategies as st

from communities.community import Community
from service import generator

DID = "did:web:feeds.example.org"
NOW = "2026-03-01T12:00:00.000Z"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
FAMILY = "👩‍👩‍👧‍👦"  # one character for a reader, seven code points, 25 bytes


def community(**fields: object) -> Community:
    return Community(**({"slug": "cats", "name": "Cats", "description": "All cats."} | fields))  # type: ignore[arg-type]


def test_a_new_record_has_every_field_and_no_empty_one() -> None:
    record = generator.generator_record(community(), DID, None, None, NOW)
    assert record == {
        "$type": "app.bsky.feed.generator",
        "did": DID,
        "displayName": "Cats",
        "description": "All cats.",
        "acceptsInteractions": False,
        "contentMode": "app.bsky.feed.defs#contentModeUnspecified",
        "createdAt": NOW,
    }
    bare = generator.generator_record(community(description="", content_mode="video"), DID, None, None, NOW)
    assert "description" not in bare
    assert bare["contentMode"] == "app.bsky.feed.defs#contentModeVideo"


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
    record = generator.generator_record(community(accepts_interactions=True), DID, None, existing, NOW)
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
    record = generator.generator_record(community(), DID, None, existing, NOW)
    assert "descriptionFacets" not in record


def test_the_same_declaration_changes_nothing() -> None:
    first = generator.generator_record(community(), DID, {"$type": "blob"}, None, NOW)
    again = generator.generator_record(community(), DID, {"$type": "blob"}, first, "2030-01-01T00:00:00.000Z")
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
