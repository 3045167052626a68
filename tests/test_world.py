"""The simulated network is the real thing: held against public vectors, other libraries, its own promises."""

import asyncio
import base64
import json
import random
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import libipld
import pytest
import zstandard
from aiohttp import ClientSession
from atproto import AsyncClient  # type: ignore[import-untyped]
from atproto_crypto.verify import verify_signature  # type: ignore[import-untyped]
from cbrrr import CID, decode_dag_cbor, encode_dag_cbor
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.world import Account, World, Write, mst
from tests.world.car import cid_of
from tests.world.faults import Script
from tests.world.keys import high_s, multikey
from tests.world.proof import invert
from tests.world.repo import Repo

NOW = 1_790_000_000_000_000


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A network that runs."""
    async with World(seed=1) as running:
        yield running


def blocks_of(car: bytes) -> tuple[CID, dict[CID, bytes]]:
    """Root and blocks of a CAR, read by hand; every block must have the hash that its CID says."""

    def varint(at: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            byte = car[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
            shift += 7

    size, at = varint(0)
    header: Any = decode_dag_cbor(car[at : at + size])
    assert header["version"] == 1
    assert len(header["roots"]) == 1
    at += size
    blocks = {}
    while at < len(car):
        size, at = varint(at)
        cid, block = CID(car[at : at + 36]), car[at + 36 : at + size]
        assert cid == cid_of(block)
        blocks[cid] = block
        at += size
    return header["roots"][0], blocks


def decode(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a frame; exactly two objects."""
    header, payload = libipld.decode_dag_cbor_multi(frame)
    return header, payload


def check_commit(payload: dict[str, Any], did_key: str) -> dict[str, Any]:
    """Verify a #commit payload as a careful consumer would; returns the signed commit."""
    root, blocks = blocks_of(payload["blocks"])
    assert root == CID(payload["commit"])
    commit: Any = decode_dag_cbor(blocks[root])
    signature = commit.pop("sig")
    assert len(signature) == 64
    assert verify_signature(did_key, encode_dag_cbor(commit), signature)
    assert (commit["version"], commit["did"], commit["rev"]) == (3, payload["repo"], payload["rev"])
    ops = [
        {
            **op,
            "cid": op["cid"] and CID(op["cid"]),
            "prev": CID(op["prev"]) if op.get("prev") else None,
        }
        for op in payload["ops"]
    ]
    assert all(op["cid"] is None or op["cid"] in blocks for op in ops)
    if "prevData" in payload:
        assert invert(commit["data"], ops, blocks) == CID(payload["prevData"])
    return dict(commit)


def did_key(account: Account) -> str:
    """The public key in the form that the independent verifier takes."""
    return "did:key:" + multikey(account.key)


# Against public data


def real_frames(shared_data: Path) -> Iterator[bytes]:
    raw = zstandard.ZstdDecompressor().decompress(
        (shared_data / "frames/frames.bin.zst").read_bytes(), 1 << 26
    )
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


@settings(deadline=None, max_examples=40)
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
            commit = check_commit(payload, did_key(alice))
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
        check_commit(old, did_key(alice))
    root, blocks = blocks_of(high["blocks"])
    commit: Any = decode_dag_cbor(blocks[root])
    s = int.from_bytes(commit["sig"][32:], "big")
    assert key.order // 2 < s < key.order


def test_rotated_key_signs_what_comes_after() -> None:
    world = World()
    alice = world.account("alice")
    before = did_key(alice)
    alice.rotate_key("p256")
    seq = alice.post("signed anew").seq
    payload = decode(world.relay.history[seq - 1].frame)[1]
    check_commit(payload, did_key(alice))
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
    assert verify_signature(did_key(alice), signed.encode(), base64.urlsafe_b64decode(signature + "=="))
    assert head["alg"] == "ES256"
    assert claims["iss"] == alice.did
    assert claims["exp"] == claims["iat"] + 60
    assert "jti" not in claims


# The relay


async def read(url: str, count: int, cursor: int | None = None) -> list[bytes]:
    """The first frames of a connection."""
    async with subscribe(url, cursor) as socket:
        return [await receive(socket) for _ in range(count)]


def subscribe(url: str, cursor: int | None = None) -> connect:
    query = "" if cursor is None else f"?cursor={cursor}"
    return connect(f"{url}/xrpc/com.atproto.sync.subscribeRepos{query}", proxy=None, compression=None)


async def receive(socket: ClientConnection) -> bytes:
    frame = await asyncio.wait_for(socket.recv(), 5)
    assert isinstance(frame, bytes)
    return frame


async def test_cursors(world: World) -> None:
    alice = world.account("alice")
    sent = [entry.frame for entry in world.relay.history]
    assert await read(world.relay_url, 4, cursor=0) == sent
    assert await read(world.relay_url, 2, cursor=2) == sent[2:]
    async with subscribe(world.relay_url) as socket:
        await world.relay.connected(3)
        seq = alice.post("live").seq
        assert await receive(socket) == world.relay.history[-1].frame
        await world.relay.delivered(seq)
    assert world.relay.connections == [0, 2, None]


async def test_cursor_out_of_range(world: World) -> None:
    alice = world.account("alice")
    world.relay.retention = 2
    alice.post("one")
    header, payload = decode((await read(world.relay_url, 1, cursor=1))[0])
    assert (header["t"], payload["name"]) == ("#info", "OutdatedCursor")
    header, payload = decode((await read(world.relay_url, 1, cursor=99))[0])
    assert (header["op"], payload["error"]) == (-1, "FutureCursor")
    world.relay.manners = "relay"
    assert await read(world.relay_url, 2, cursor=1) == [entry.frame for entry in world.relay.history]
    async with subscribe(world.relay_url, cursor=99) as socket:
        await world.relay.connected(4)
        alice.post("two")
        assert await receive(socket) == world.relay.history[-1].frame


async def test_faults_strike_one_connection_each(world: World) -> None:
    world.account("alice")
    sent = [entry.frame for entry in world.relay.history]
    faults = world.relay.faults
    faults.refuse(503, {"Retry-After": "7"}, b"<html>")
    faults.close_after(2, 1001)
    faults.error_frame("ConsumerTooSlow", after=1)
    faults.cut(2, at=10)
    faults.flip(1, bit=9)
    faults.swallow(2)
    faults.repeat(1)
    faults.abort_after(1)
    faults.add(Script(stall_after=1))
    with pytest.raises(InvalidStatus) as refused:
        await read(world.relay_url, 1, 0)
    assert refused.value.response.headers["Retry-After"] == "7"
    async with subscribe(world.relay_url, 0) as socket:
        assert [await receive(socket), await receive(socket)] == sent[:2]
        with pytest.raises(ConnectionClosed) as closed:
            await receive(socket)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1001
    assert decode((await read(world.relay_url, 2, 0))[1])[1]["error"] == "ConsumerTooSlow"
    assert (await read(world.relay_url, 2, 0))[1] == sent[1][:10]
    flipped = (await read(world.relay_url, 1, 0))[0]
    assert flipped[1] == sent[0][1] ^ 2
    assert await read(world.relay_url, 3, 0) == [sent[0], sent[2], sent[3]]
    assert await read(world.relay_url, 3, 0) == [sent[0], sent[0], sent[1]]
    async with subscribe(world.relay_url, 0) as socket:
        await receive(socket)
        with pytest.raises(ConnectionClosed) as aborted:
            await receive(socket)
        assert aborted.value.rcvd is None
    async with subscribe(world.relay_url, 0) as socket:
        assert await receive(socket) == sent[0]
        await (await socket.ping())
        assert world.relay.sessions[-1].sent == 1
    assert await read(world.relay_url, 4, 0) == sent


async def test_garbage_takes_a_place_in_the_stream(world: World) -> None:
    world.account("alice")
    once = world.emit(b"\xff", retained=False)
    kept = world.emit(b"\x00")
    assert (once, kept) == (5, 6)
    assert (await read(world.relay_url, 1, 4))[0] == b"\x00"


async def test_seqs_jump_and_a_relay_is_rebuilt(world: World) -> None:
    alice = world.account("alice")
    world.relay.jump(1000)
    assert alice.post("far").seq == 1005
    world.relay.rebuild()
    assert alice.post("new").seq == 1
    assert world.relay.head == 1
    assert decode((await read(world.relay_url, 1, 0))[0])[1]["seq"] == 1


async def test_status_events(world: World) -> None:
    alice = world.account("alice")
    post = alice.post("soon gone")
    alice.set_status(False, "deactivated")
    back = alice.set_status(True)
    kinds = [decode(entry.frame)[0]["t"] for entry in world.relay.history[post.seq :]]
    assert kinds == ["#account", "#account", "#identity", "#sync"]
    gone = alice.set_status(False, "deleted")
    assert gone == back + 1
    frames = await read(world.relay_url, 1, 0)
    assert decode(frames[0])[1] == {**decode(frames[0])[1], "active": False, "status": "deleted", "seq": gone}


# The directory and the server


async def test_plc_directory(world: World) -> None:
    alice = world.account("alice")
    async with ClientSession() as http:
        async with http.get(f"{world.plc_url}/{alice.did}") as answer:
            document = await answer.json(content_type=None)
        assert document["service"][0]["serviceEndpoint"] == world.pds_url
        assert document["verificationMethod"][0]["publicKeyMultibase"] == multikey(alice.key)
        async with http.get(f"{world.plc_url}/did:plc:{'a' * 24}") as answer:
            assert answer.status == 404
        world.plc.failing = 503
        async with http.get(f"{world.plc_url}/{alice.did}") as answer:
            assert answer.status == 503
    assert world.plc.calls[alice.did] == 2


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")
async def test_published_client_writes_through_the_server(world: World) -> None:
    alice = world.account("alice")
    client = AsyncClient(world.pds_url + "/xrpc")
    await client.login(alice.handle, alice.password, fetch_bsky_profile=False)
    blob = (await client.upload_blob(b"\x89PNG")).blob
    seq = world.relay.head
    record = {"$type": "test.avatar", "avatar": json.loads(blob.model_dump_json(by_alias=True)), "n": 1}
    where = {"repo": alice.did, "collection": "test.avatar", "rkey": "self"}
    put = await client.com.atproto.repo.put_record({**where, "record": record})
    assert world.relay.head == seq + 1
    payload = decode(world.relay.history[-1].frame)[1]
    check_commit(payload, did_key(alice))
    assert payload["ops"][0]["path"] == "test.avatar/self"
    again = await client.com.atproto.repo.put_record({**where, "record": record, "swapRecord": put.cid})
    assert (again.cid, world.relay.head) == (put.cid, seq + 1)
    await client.com.atproto.repo.delete_record(where)
    assert decode(world.relay.history[-1].frame)[1]["ops"][0]["action"] == "delete"
    await client.request.close()


async def test_server_errors(world: World) -> None:
    alice, bob = world.account("alice"), world.account("bob")

    async def ask(method: str, nsid: str, **more: Any) -> tuple[int, Any]:
        async with http.request(method, f"{world.pds_url}/xrpc/{nsid}", **more) as answer:
            return answer.status, await answer.json()

    async with ClientSession() as http:
        login = {"identifier": alice.did, "password": alice.password}
        status, session = await ask("POST", "com.atproto.server.createSession", json=login)
        assert status == 200
        assert session["didDoc"]["id"] == session["did"] == alice.did
        auth = {"Authorization": f"Bearer {session['accessJwt']}"}
        refresh = {"Authorization": f"Bearer {session['refreshJwt']}"}
        write = {"repo": alice.did, "collection": "test.record", "rkey": "a", "record": {"n": 1}}
        put, get = "com.atproto.repo.putRecord", "com.atproto.repo.getRecord"
        for expected, answer in [
            ((401, "AuthMissing"), await ask("POST", put, json=write)),
            (
                (400, "InvalidToken"),
                await ask("POST", put, json=write, headers={"Authorization": "Bearer x.y.z"}),
            ),
            ((400, "InvalidToken"), await ask("POST", put, json=write, headers=refresh)),
            (
                (403, "AuthorizationError"),
                await ask("POST", put, json={**write, "repo": bob.did}, headers=auth),
            ),
            (
                (400, "InvalidSwap"),
                await ask("POST", put, json={**write, "swapRecord": "bafy"}, headers=auth),
            ),
            (
                (400, "InvalidRequest"),
                await ask("POST", put, json={**write, "record": {"n": 1.5}}, headers=auth),
            ),
            ((400, "InvalidRequest"), await ask("POST", put, data=b"{", headers=auth)),
            ((400, "RecordNotFound"), await ask("GET", get, params={**write, "record": ""})),
            ((400, "HandleNotFound"), await ask("GET", "com.atproto.identity.resolveHandle?handle=no.test")),
            ((501, "MethodNotImplemented"), await ask("GET", "app.bsky.feed.getTimeline")),
            (
                (401, "AuthenticationRequired"),
                await ask("POST", "com.atproto.server.createSession", json={**login, "password": ""}),
            ),
        ]:
            assert (answer[0], answer[1]["error"]) == expected
        assert (await ask("POST", "com.atproto.server.refreshSession", headers=refresh))[0] == 200
        assert (await ask("POST", "com.atproto.server.refreshSession", headers=refresh))[0] == 400
        handle = await ask("GET", "com.atproto.identity.resolveHandle?handle=bob.test")
        assert handle == (200, {"did": bob.did})


async def test_list_records_pages_through(world: World) -> None:
    alice, bob = world.account("alice"), world.account("bob")
    members = alice.list_("friends")
    items = [alice.listitem(members, bob).uri for _ in range(7)]
    seen: list[str] = []
    params = {"repo": alice.handle, "collection": "app.bsky.graph.listitem", "limit": "3"}
    async with ClientSession() as http:
        while True:
            async with http.get(
                f"{world.pds_url}/xrpc/com.atproto.repo.listRecords", params=params
            ) as answer:
                page = await answer.json()
            if not page["records"]:
                break
            seen += [record["uri"] for record in page["records"]]
            params["cursor"] = page["cursor"]
    assert seen == items[::-1]


async def test_exported_repository_walks_completely(world: World) -> None:
    alice = world.account("alice")
    posts = [alice.post(f"number {number}") for number in range(60)]
    alice.delete(posts.pop())
    async with ClientSession() as http:
        async with http.get(f"{world.pds_url}/xrpc/com.atproto.sync.getRepo?did={alice.did}") as answer:
            car = await answer.read()
        root, blocks = blocks_of(car)
        assert libipld.decode_car(car)[0]["roots"] == [root.cid_bytes]
        commit: Any = decode_dag_cbor(blocks[root])
        found = walk(commit["data"], blocks)
        assert found == {post.path: post.cid for post in posts}
        status = f"{world.pds_url}/xrpc/com.atproto.sync.getRepoStatus?did={alice.did}"
        async with http.get(status) as answer:
            assert await answer.json() == {"did": alice.did, "active": True, "rev": alice.repo.rev}
        alice.set_status(False, "takendown")
        async with http.get(status) as answer:
            assert await answer.json() == {"did": alice.did, "active": False, "status": "takendown"}
        async with http.get(f"{world.pds_url}/xrpc/com.atproto.sync.getRepo?did={alice.did}") as answer:
            assert (await answer.json())["error"] == "RepoTakendown"


def walk(link: CID | None, blocks: dict[CID, bytes]) -> dict[str, str]:
    """Every key of a tree in blocks, with its record's CID; a block that is not there is a KeyError."""
    if link is None:
        return {}
    node: Any = decode_dag_cbor(blocks[link])
    found = walk(node["l"], blocks)
    key = b""
    for entry in node["e"]:
        key = key[: entry["p"]] + entry["k"]
        assert blocks[entry["v"]]
        found[key.decode()] = entry["v"].encode()
        found |= walk(entry["t"], blocks)
    return found


def test_repo_refuses_what_is_not_there() -> None:
    alice = World().account("alice")
    with pytest.raises(KeyError):
        alice.commit(Write("delete", "test.record/none"))
    with pytest.raises(KeyError):
        alice.read("test.record/none")
    assert Repo(alice.did, alice.key).record("test.record/none") is None
