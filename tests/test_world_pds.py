"""The simulated PLC directory and PDS, asked over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import libipld
import pytest
from aiohttp import ClientSession
from atproto import AsyncClient  # type: ignore[import-untyped]
from cbrrr import CID, decode_dag_cbor

from tests.consumer import blocks_of, check_commit, decode
from tests.world import World
from tests.world.keys import did_key, multikey


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A network that runs."""
    async with World(seed=1) as running:
        yield running


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
    check_commit(payload, did_key(alice.key))
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
            async with http.get(f"{world.pds_url}/xrpc/com.atproto.repo.listRecords", params=params) as answer:
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
