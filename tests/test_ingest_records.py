"""Records that are no valid data, or say absurd things (S92, S93, S99-S104): each is dropped alone, cleaned or taken as
far as it makes sense, and its neighbours in the same commit are applied.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cbrrr import CID, encode_dag_cbor

from tests.bad_commits import POST, commit_blocks
from tests.ingest_site import Site
from tests.world import Write

CREATED = "2026-01-01T00:00:00.000Z"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path, max_age=10**18) as site:
        yield site


def record(**more: Any) -> bytes:
    return encode_dag_cbor({"$type": POST, "text": "", "tags": ["python"], "createdAt": CREATED, **more})


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def with_raw(key: str, raw: bytes) -> bytes:
    """A good post with one key more, whose value is these bytes; `key` must sort last (it is long)."""
    block = record()
    assert block[0] == 0xA4 and len(key) > len("createdAt")
    return b"\xa5" + block[1:] + encode_dag_cbor(key) + raw


GOOD = record()
KEY = "x" * 12
INVALID = {
    "33 levels": (record(deep=nested(32)), "record too deep"),
    "maps 100,000 deep": (with_raw(KEY, b"\xa1aa" * 100_000 + b"\x00"), "record too deep"),
    "a float": (with_raw(KEY, b"\xfb\x3f\xf8" + bytes(6)), "float in record"),
    "a float that is a whole number": (record(aspect={"width": 4.0}), "float in record"),
    "an integer of 64 bits": (with_raw(KEY, b"\x1b" + b"\xff" * 8), "integer out of range"),
    "a negative integer of 64 bits": (with_raw(KEY, b"\x3b" + b"\xff" * 8), "integer out of range"),
    "NaN": (with_raw(KEY, b"\xfb\x7f\xf8" + bytes(6)), "record is no canonical DAG-CBOR"),
    "a short float": (with_raw(KEY, b"\xf9\x3e\x00"), "record is no canonical DAG-CBOR"),
    "an integer written too long": (with_raw(KEY, b"\x18\x05"), "record is no canonical DAG-CBOR"),
    "a length written too long": (with_raw(KEY, b"\x78\x01a"), "record is no canonical DAG-CBOR"),
    "a key twice": (b"\xa5" + GOOD[1:] + encode_dag_cbor("createdAt") + b"\x00", "record is no canonical DAG-CBOR"),
    "keys in another order": (b"\xa5" + GOOD[1:] + encode_dag_cbor("a") + b"\x00", "record is no canonical DAG-CBOR"),
    "another tag": (with_raw(KEY, b"\xc1\x00"), "record is no canonical DAG-CBOR"),
    "a CID that is none": (with_raw(KEY, b"\xd8\x2a\x42\x00\x01"), "record is no canonical DAG-CBOR"),
    "an indefinite text": (with_raw(KEY, b"\x7f\x61a\xff"), "record is no canonical DAG-CBOR"),
    "an indefinite map": (b"\xbf" + GOOD[1:] + b"\xff", "record is no canonical DAG-CBOR"),
    "undefined": (with_raw(KEY, b"\xf7"), "record is no canonical DAG-CBOR"),
    "a simple value": (with_raw(KEY, b"\xe0"), "record is no canonical DAG-CBOR"),
    "bad UTF-8": (with_raw(KEY, b"\x62\xff\xfe"), "record is no canonical DAG-CBOR"),
    "S103 a lone surrogate": (with_raw(KEY, b"\x63\xed\xa0\x80"), "record is no canonical DAG-CBOR"),
    "a key that is a number": (b"\xa5" + GOOD[1:] + b"\x01\x02", "record is no canonical DAG-CBOR"),
    "something behind it": (GOOD + b"\x00", "record is no canonical DAG-CBOR"),
    "cut": (GOOD[:-1], "record is no canonical DAG-CBOR"),
    "nothing": (b"", "record is no canonical DAG-CBOR"),
    "a list": (b"\x80", "record is no map"),
    "a list of 131,073": (record(many=[0] * 131_073), "container too large"),
    "a map with 131,073 keys": (record(many={f"{n:05x}": 0 for n in range(131_073)}), "container too large"),
    "a key of 9,000 bytes": (record(**{"x" * 9000: 0}), "key too long"),
    "no type": (encode_dag_cbor({"text": "", "tags": ["python"], "createdAt": CREATED}), "post invalid"),
    "another type": (record(**{"$type": "app.bsky.feed.like"}), "post invalid"),
    "S99 a text of 3,001 bytes": (record(text="\u0301" * 1500 + "x"), "post invalid"),
    "S99 a text of 301 characters": (record(text="é" * 301), "post invalid"),
    "S99 a text of 900,000 bytes": (record(text="x" * 900_000), "post invalid"),
    "S99 100,000 marks on one letter": (record(text="a" + "\u0301" * 100_000), "post invalid"),
    "a text that is bytes": (record(text=b"python"), "post invalid"),
    "a text that is a link": (record(text=CID.cidv1_raw_sha256_32_from(b"")), "post invalid"),
    "no text": (encode_dag_cbor({"$type": POST, "tags": ["python"], "createdAt": CREATED}), "post invalid"),
}


@pytest.mark.parametrize("name", INVALID)
async def test_s92_s93_s99_an_invalid_record_is_dropped_alone(site: Site, name: str) -> None:
    block, reason = INVALID[name]
    (alice,) = site.people("alice")
    paths = [f"{POST}/{rkey}" for rkey in ("before", "invalid", "later")]
    blocks = dict(zip(paths, (record(text="one"), block, record(text="two")), strict=True))
    site.world.relay.send("#commit", commit_blocks(alice, blocks))
    await site.caught_up()
    assert set(await site.feed()) == {f"at://{alice.did}/{POST}/{rkey}" for rkey in ("before", "later")}
    assert site.dropped == {reason: 1}
    assert len(site.world.relay.sessions) == 1


@pytest.mark.parametrize(
    "name", ["a float", "maps 100,000 deep", "cut", "another type", "S99 a text of 301 characters"]
)
async def test_a_post_that_becomes_invalid_is_gone(site: Site, name: str) -> None:
    """A71: an invalid record is an absent one, also where a valid one stood."""
    alice, bob = site.people("alice", "bob")
    post, kept = alice.post("#python"), alice.post("kept #python")
    bob.like(post)
    await site.caught_up()
    assert len(await site.feed()) == 2
    site.world.relay.send("#commit", commit_blocks(alice, {post.path: INVALID[name][0]}))
    await site.caught_up()
    assert await site.feed() == [kept.uri]
    assert site.rows("SELECT * FROM engagement") == []


def facet(start: Any, end: Any, *features: Any) -> dict[str, Any]:
    return {"index": {"byteStart": start, "byteEnd": end}, "features": list(features)}


TAG = {"$type": "app.bsky.richtext.facet#tag", "tag": "rust"}
ABSURD: dict[str, dict[str, Any]] = {
    "S103 NUL in the text": {"text": "a\0b"},
    "S103 NUL in a tag": {"tags": ["\0", "python", "py\0thon"]},
    "S100 facets that point nowhere": {
        "text": "é",
        "facets": [facet(*at, TAG) for at in ((1, 0), (-1, 1), (0, 99), (0, 1), (True, True), (2**62, 2**63 - 1))],
    },
    "S100 10,000 facets": {"text": "x", "facets": [facet(0, 1, {"$type": "y"})] * 10_000},
    "S100 facets of any shape": {"facets": [None, 5, [], {}, {"index": []}, facet(0, 1), facet(0, 1, None, 5)]},
    "S104 100,000 tags": {"tags": ["python", *["x"] * 100_000]},
    "tags of any shape": {"tags": [5, None, ["python"], {}, "python"]},
    "a tag of 10,000 characters": {"tags": ["x" * 10_000, "python"]},
    "S101 links that are none": {
        "embed": {"$type": "app.bsky.embed.external", "external": {"uri": "javascript:alert(1)"}}
    },
    "an embed of any shape": {"embed": [1]},
    "an embed in an embed": {
        "embed": {"$type": "app.bsky.embed.recordWithMedia", "media": {"$type": ["x"]}, "record": {"record": {}}}
    },
    "a reply to nothing": {"reply": {"parent": "x", "root": None}},
    "S104 a reply to itself": {"reply": {"parent": {"uri": f"at://x/{POST}/self"}, "root": {"uri": "at://"}}},
    "S104 a URI of 100,000 characters": {"reply": {"parent": {"uri": "at://" + "x" * 100_000}}},
    "languages of any shape": {"langs": [5, "", "x" * 9000, "en"]},
    "32 levels": {"deep": nested(31)},
    "bytes and links": {"data": b"\0" * 100, "link": CID.cidv1_raw_sha256_32_from(b"")},
    "integers of 64 bits": {"least": -(2**63), "most": 2**63 - 1},
    "keys like those of objects": {"__proto__": {"a": 1}, "constructor": None},
}


@pytest.mark.parametrize("name", ABSURD)
async def test_s100_s104_a_post_that_says_absurd_things_is_kept(site: Site, name: str) -> None:
    (alice,) = site.people("alice")
    site.world.relay.send("#commit", commit_blocks(alice, {f"{POST}/absurd": record(**ABSURD[name])}))
    await site.caught_up()
    assert await site.feeds("python", "rust") == {"python": {f"at://{alice.did}/{POST}/absurd"}, "rust": set()}
    assert site.dropped == {}


async def test_invalid_records_of_other_kinds(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    for collection in ("app.bsky.feed.like", "app.bsky.feed.repost"):
        base = {"$type": collection, "subject": post.ref, "createdAt": CREATED}
        bad = [
            base | {"weight": 1.5},
            base | {"deep": nested(40)},
            base | {"subject": [post.ref]},
            base | {"$type": "com.example.like"},
        ]
        blocks = {f"{collection}/{number}": encode_dag_cbor(value) for number, value in enumerate(bad)}
        site.world.relay.send("#commit", commit_blocks(bob, blocks))
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)
    assert site.dropped == {"float in record": 2, "record too deep": 2, "record is not of its collection": 2}
    bob.write(Write("create", "app.bsky.feed.like/good", base | {"$type": "app.bsky.feed.like"}))
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)
