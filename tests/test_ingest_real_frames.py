"""150 real frames of the network, held against what another program made of the same (fixtures F7 and F8)."""

import json
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cbrrr import CID, decode_dag_cbor

from communities.community import Community, Include
from communities.directory import settle
from communities.matching import compile_rules
from firehose.frames import read_frame
from firehose.index import Index
from firehose.known import Known
from firehose.ops import ENGAGEMENTS, POST, Delete, Op, PutEngagement, PutPost, Scope
from firehose.pipeline import Pipeline
from firehose.triage import read_commit
from models.communities import declare
from models.database import open_database, sql, writing

Event = dict[str, Any]


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> list[bytes]:
    raw = zstandard.ZstdDecompressor().decompress((shared_data / "frames/frames.bin.zst").read_bytes(), 1 << 26)
    found, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    assert len(found) == 150
    return found


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> list[Event]:
    lines = (shared_data / "frames/expected_v1.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 152
    return [json.loads(line) for line in lines]


def looked_at(expected: list[Event]) -> Iterator[tuple[str, Event]]:
    """DID and commit of every event in a collection that the index looks at."""
    for event in expected:
        if event["kind"] == "commit" and event["commit"]["collection"] in (POST, *ENGAGEMENTS):
            yield event["did"], event["commit"]


def everything(expected: list[Event], number: int = 1) -> Scope:
    """A scope in which every post matches, every subject is known, and every account."""
    dids = sorted({did for did, _ in looked_at(expected)})
    subjects = {commit["record"]["subject"]["uri"] for _, commit in looked_at(expected) if commit["collection"] != POST
                and commit["operation"] != "delete"}  # fmt: skip
    matcher = compile_rules([(number, Community("all", "All", include=Include(members=tuple(dids))))], {})
    return Scope(Known.of(subjects, len(subjects)), Known.of(dids, len(dids)), matcher)


def described(did: str, rev: str, op: Op) -> tuple[Any, ...]:
    """An operation as the expectation describes it."""
    if isinstance(op, PutPost):
        cid, record = CID(op.cid).encode(), decode_dag_cbor(op.block, atjson_mode=True)
        return did, rev, "put", POST, op.rkey, cid, json.dumps(record, sort_keys=True)
    if isinstance(op, PutEngagement):
        collection = next(name for name, kind in ENGAGEMENTS.items() if kind == op.kind)
        return did, rev, "put", collection, op.rkey, op.subject
    assert isinstance(op, Delete)
    return did, rev, "delete", op.collection, op.rkey


def wanted(did: str, commit: Event) -> tuple[Any, ...]:
    rev, collection, rkey = commit["rev"], commit["collection"], commit["rkey"]
    if commit["operation"] == "delete":
        return did, rev, "delete", collection, rkey
    if collection == POST:
        return did, rev, "put", POST, rkey, commit["cid"], json.dumps(commit["record"], sort_keys=True)
    return did, rev, "put", collection, rkey, commit["record"]["subject"]["uri"]


def test_f7_f8_every_operation_is_what_it_should_be(frames: list[bytes], expected: list[Event]) -> None:
    scope = everything(expected)
    found = []
    for frame in frames:
        kind, payload = read_frame(frame)
        if kind == "#commit" and (commit := read_commit(payload, payload["seq"], scope)):
            found += [described(commit.did, commit.rev, op) for op in commit.ops]
    assert found == [wanted(did, commit) for did, commit in looked_at(expected)]
    assert len(found) > 100
    assert scope.dropped == {}


def test_f7_f8_the_rows_of_real_posts(tmp_path: Path, frames: list[bytes], expected: list[Event]) -> None:
    posts = {
        (did, commit["rkey"]): commit
        for did, commit in looked_at(expected)
        if commit["collection"] == POST and commit["operation"] != "delete"
    }
    with closing(open_database(tmp_path / "communities.db")) as database:
        with writing(database) as connection:
            declare(connection, [Community("all", "All").to_json()], now=0)
        index = Index(sql(database), 10**18)
        scope = everything(expected)
        index.admissions.use(scope.matcher, settle([(1, None, Community("all", "All"))], lambda did, community: False))
        now = max(event["time_us"] for event in expected)
        pipeline = Pipeline(database, "wss://relay.example", scope, index, clock=lambda: now)
        for _ in range(2):  # the second time nothing happens
            pipeline.connected()
            for frame in frames:
                pipeline.receive(frame)
            pipeline.flush()
            query = "SELECT did, rkey, cid, record FROM post JOIN actor ON actor.id = post.actor"
            rows = {(did, rkey): (cid, record) for did, rkey, cid, record in sql(database).execute(query)}
            assert rows.keys() == posts.keys()
            for place, (cid, record) in rows.items():
                assert CID(cid).encode() == posts[place]["cid"]
                assert decode_dag_cbor(record, atjson_mode=True) == posts[place]["record"]
            assert sql(database).execute("SELECT count(*) FROM feed_item").fetchone() == (len(posts),)
            with writing(database) as connection:
                connection.execute("UPDATE source SET cursor = 1")
            pipeline.restore()
        assert sql(database).execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
