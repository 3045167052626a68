"""Commits that are valid and made to be expensive: what they cost is bounded by their bytes."""

import time
from typing import Any

import pytest

from communities.community import Community, Include
from communities.matching import compile_rules
from firehose.car import CarError, read_blocks
from firehose.known import Known
from firehose.ops import PutPost, Scope
from firehose.records import read_record
from firehose.triage import read_commit
from tests.world import Write
from tests.world.clock import Clock
from tests.world.keys import make_did, make_key
from tests.world.repo import Repo

POST = "app.bsky.feed.post"
PYTHON = Community("python", "Python", include=Include(hashtags=("python",)))


def scope() -> Scope:
    return Scope(Known(), Known(), compile_rules([(1, PYTHON)], {}))


def commit(*writes: Write) -> dict[str, Any]:
    payload = Repo(make_did("mallory"), make_key("k256", "mallory")).commit(writes, Clock().tid())
    payload["commit"] = bytes(payload["commit"])
    for op in payload["ops"]:
        op["cid"] = bytes(op["cid"])
    return payload


def post(**more: Any) -> dict[str, Any]:
    return {"$type": POST, "text": "x", "createdAt": "2026-01-02T03:04:05Z", "tags": ["python"], **more}


def test_s104_a_block_under_many_paths_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def reading(block: bytes) -> dict[str, Any]:
        read.append(block)
        return read_record(block)

    monkeypatch.setattr("firehose.triage.read_record", reading)
    payload = commit(*(Write("create", f"{POST}/r{n:03}", post()) for n in range(200)))
    found = read_commit(payload, 1, scope())
    assert found is not None and len(read) == 1
    assert [op.rkey for op in found.ops if type(op) is PutPost] == [f"r{n:03}" for n in range(200)]


def test_s86_a_full_commit_of_wide_tags_costs_no_seconds() -> None:
    """A megabyte of the letter that folds to eighteen, in 200 paths: it took more than a minute."""
    tag = {"$type": "app.bsky.richtext.facet#tag", "tag": "\ufdfa" * 640}
    facets = [{"index": {"byteStart": 0, "byteEnd": 1}, "features": [tag] * 8}] * 60
    payload = commit(*(Write("create", f"{POST}/r{n:03}", post(facets=facets)) for n in range(200)))
    began = time.process_time()
    found = read_commit(payload, 1, scope())
    assert found is not None and len(found.ops) == 200
    assert time.process_time() - began < 2


def test_s85_blocks_of_nothing_are_refused_at_once() -> None:
    payload = commit(Write("create", f"{POST}/a", post()))
    car, root, cid = payload["blocks"], payload["commit"], payload["ops"][0]["cid"]
    start = car.index(b"gversion\x01") + 9
    with pytest.raises(CarError, match="block without a CID"):
        read_blocks(car[:start] + bytes(1_900_000), root, [cid])


def test_s86_many_blocks_in_a_long_file_are_found_in_one_pass() -> None:
    payload = commit(*(Write("create", f"{POST}/r{n:03}", post(text=f"post {n}")) for n in range(200)))
    payload["blocks"] += b"\xff\xe0\x71" + bytes(0x1C707F)
    found = read_commit(payload, 1, scope())
    assert found is not None and len(found.ops) == 200
