"""The simulated network is the real thing: held against public vectors, other libraries, its own promises."""

import base64
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from atproto_crypto.verify import verify_signature  # type: ignore[import-untyped]
from cbrrr import CID, decode_dag_cbor
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.consumer import blocks_of, check_commit, decode
from tests.world import World, Write, mst
from tests.world.car import cid_of
from tests.world.keys import did_key, high_s
from tests.world.proof import invert
from tests.world.repo import Repo

NOW = 1_790_000_000_000_000


# Against public data


def real_frames(shared_data: Path) -> Iterator[bytes]:
    raw = zstandard.ZstdDecompressor().decompress((shared_data / "frames/frames.bin.zst").read_bytes(), 1 << 26)
    at = 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        yield raw[at + 4 : at + 4 + size]
        at += 4 + size


def test_real_frames_pass_the_same_checks(shared_data: Path) -> None:
    packed = (shared_data / "frames/did_docs.json.zst").read_bytes()
    documents = json.loads(zstandard.ZstdDecompressor().decompress(packed, 1 << 26))
    commits = 0
    for frame in real_frames(shared_data):
        header, payload = decode(frame)
        if header["t"] == "#commit":
            commits += 1
            methods = documents[payload["repo"]]["verificationMethod"]
            key = next(m for m in methods if m["id"].endswith("#atproto"))["publicKeyMultibase"]
            check_commit(payload, "did:key:" + key)
    assert commits == 148


def test_frames_have_the_keys_of_real_frames(shared_data: Path) -> None:
    world = World()
    alice = world.account("alice")
    alice.delete(alice.update(alice.post("one"), {"text": "two"}))
    real: dict[str, set[frozenset[str]]] = {}
    for frame in real_frames(shared_data):
        header, payload = decode(frame)
        real.setdefault(header["t"], set()).add(frozenset(payload))
        for op in payload.get("ops", ()):
            real.setdefault(op["action"], set()).add(frozenset(op))
    for entry in world.relay.history[4:]:
        header, payload = decode(entry.frame)
        assert frozenset(payload) in real[header["t"]]
        assert all(frozenset(op) in real[op["action"]] for op in payload["ops"])


def test_mst_heights_and_prefixes(shared_data: Path) -> None:
    for case in json.loads((shared_data / "interop/mst/key_heights.json").read_text()):
        assert mst.height(case["key"]) == case["height"]
    for case in json.loads((shared_data / "interop/mst/common_prefix.json").read_text()):
        assert mst.common_prefix(case["left"].encode(), case["right"].encode()) == case["len"]


def test_mst_of_example_keys_in_any_order(shared_data: Path) -> None:
    keys = (shared_data / "interop/mst/example_keys.txt").read_text().split()
    entries = {key: cid_of(key.encode()) for key in keys}
    whole = mst.build(entries)
    rng = random.Random(5)
    tree: mst.Node | None = None
    for key in rng.sample(keys, len(keys)):
        tree = mst.insert(tree, key, entries[key])
    assert tree
    assert tree.cid == whole.cid
    assert dict(mst.items(tree)) == entries
    for key in rng.sample(keys, len(keys)):
        tree = mst.remove(tree, key)
    assert tree.cid == mst.Node(0).cid


def test_commit_proof_fixtures(shared_data: Path) -> None:
    for case in json.loads((shared_data / "interop/firehose/commit-proof-fixtures.json").read_text()):
        leaf = CID.decode(case["leafValue"])
        tree = mst.build(dict.fromkeys(case["keys"], leaf))
        assert tree.cid.encode() == case["rootBeforeCommit"]
        for key in case["adds"]:
            tree = mst.insert(tree, key, leaf)
        for key in case["dels"]:
            tree = mst.remove(tree, key)
        assert tree.cid.encode() == case["rootAfterCommit"]
        proof = {n.cid: n.block for key in case["adds"] + case["dels"] for n in mst.covering(tree, key)}
        assert {cid.encode() for cid in proof} == set(case["blocksInProof"])
        ops = [{"action": "create", "path": key, "cid": leaf} for key in case["adds"]]
        ops += [{"action": "delete", "path": key, "cid": None, "prev": leaf} for key in case["dels"]]
        assert invert(tree.cid, ops, proof).encode() == case["rootBeforeCommit"]


def test_real_repository_gives_the_same_root(shared_data: Path) -> None:
    _, blocks = blocks_of((shared_data / "frames/repo.car").read_bytes())
    lines = (shared_data / "frames/car_expected_records.tsv").read_text().splitlines()
    entries = {path: CID.decode(cid) for path, cid in (line.split("\t") for line in lines)}
    tree = mst.build(entries)
    assert f"Data CID: {tree.cid.encode()}" in (shared_data / "frames/car_expected_commit.txt").read_text()
    assert all(node.cid in blocks for node in mst.nodes(tree))


# Commits


@settings(max_examples=40)
@given(seed=st.integers(0, 1 << 32), size=st.integers(0, 120), batch=st.integers(1, 12))
def test_every_commit_can_be_undone_from_its_blocks(seed: int, size: int, batch: int) -> None:
    rng = random.Random(seed)
    world = World(seed=3)
    alice = world.account("alice")
    here = [f"test.{rng.choice('abc')}.record/{number}" for number in range(size)]
    alice.write(*(Write("create", path, {"n": 0}) for path in here))
    for turn in range(4):
        writes = []
        for path in rng.sample(here, min(len(here), batch)):
            if rng.random() < 0.5:
                writes.append(Write("update", path, {"n": rng.random() > 0.5, "t": turn}))
            else:
                writes.append(Write("delete", path))
                here.remove(path)
        fresh = [f"test.{rng.choice('abc')}.record/new-{turn}-{number}" for number in range(batch)]
        here += fresh
        rng.shuffle(writes)
        payload = alice.commit(*writes, *(Write("create", path, {"n": 1}) for path in fresh))
        root, blocks = blocks_of(payload["blocks"])
        commit: Any = decode_dag_cbor(blocks[root])
        assert invert(commit["data"], payload["ops"], blocks) == payload["prevData"]


@pytest.mark.parametrize("curve", ["k256", "p256"])
def test_commits_verify_and_chain(curve: Any) -> None:
    world = World()
    alice = world.account("alice", curve)
    post = alice.post("Hello, #python")
    alice.like(post)
    alice.update(post, {"text": "Hello again"})
    alice.delete(post)
    previous: dict[str, Any] | None = None
    for entry in world.relay.history:
        header, payload = decode(entry.frame)
        assert payload["seq"] == entry.seq
        if header["t"] == "#commit":
            commit = check_commit(payload, did_key(alice.key))
            if previous:
                assert payload["since"] == previous["rev"] < commit["rev"]
                assert CID(payload["prevData"]) == previous["data"]
            previous = commit
    assert [decode(entry.frame)[0]["t"] for entry in world.relay.history[:4]] == [
        "#identity",
        "#account",
        "#commit",
        "#sync",
    ]


@pytest.mark.parametrize("curve", ["k256", "p256"])
def test_wrong_commits_are_wrong_in_one_way_only(curve: Any) -> None:
    alice = World().account("alice", curve)
    key = alice.key
    high = alice.commit(sign=lambda message: high_s(key.sign(message), key))
    old = alice.commit(changes={"version": 2})
    with pytest.raises(AssertionError):
        check_commit(old, did_key(alice.key))
    root, blocks = blocks_of(high["blocks"])
    commit: Any = decode_dag_cbor(blocks[root])
    s = int.from_bytes(commit["sig"][32:], "big")
    assert key.order // 2 < s < key.order


def test_rotated_key_signs_what_comes_after() -> None:
    world = World()
    alice = world.account("alice")
    before = did_key(alice.key)
    alice.rotate_key("p256")
    seq = alice.post("signed anew").seq
    payload = decode(world.relay.history[seq - 1].frame)[1]
    check_commit(payload, did_key(alice.key))
    with pytest.raises(AssertionError):
        check_commit(payload, before)


def test_same_seed_same_bytes() -> None:
    def history(seed: int) -> list[bytes]:
        world = World(seed=seed, now=lambda: NOW)
        alice, bob = world.account("alice"), world.account("bob", "p256")
        post = alice.post("Guten Tag, @bob.test #grüße")
        bob.reply(post, "Hello")
        bob.like(post)
        return [entry.frame for entry in world.relay.history]

    assert history(1) == history(1)
    assert not set(history(1)) & set(history(2))


def test_facets_are_cut_at_utf8_bytes() -> None:
    world = World()
    alice, bob = world.account("alice"), world.account("bob")
    text = "Schöne Grüße 🎉 @bob.test, see https://example.org/a #köln!"
    raw = text.encode()
    found = {}
    for facet in alice.post(text).value["facets"]:
        cut = raw[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
        found[cut] = facet["features"][0]
    assert found["@bob.test"]["did"] == bob.did
    assert found["#köln"]["tag"] == "köln"
    assert found["https://example.org/a"]["uri"] == "https://example.org/a"
    assert len(found) == 3


def test_service_jwt_verifies() -> None:
    alice = World().account("alice", "p256")
    token = alice.service_jwt("did:web:feeds.example", "app.bsky.feed.getFeedSkeleton", jti=None, aud2=1)
    signed, _, signature = token.rpartition(".")
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in signed.split("."))
    assert verify_signature(did_key(alice.key), signed.encode(), base64.urlsafe_b64decode(signature + "=="))
    assert head["alg"] == "ES256"
    assert claims["iss"] == alice.did
    assert claims["exp"] == claims["iat"] + 60
    assert "jti" not in claims


def test_repo_refuses_what_is_not_there() -> None:
    alice = World().account("alice")
    with pytest.raises(KeyError):
        alice.commit(Write("delete", "test.record/none"))
    with pytest.raises(KeyError):
        alice.read("test.record/none")
    assert Repo(alice.did, alice.key).record("test.record/none") is None
