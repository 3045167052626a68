"""The simulated relay: cursors, status events, scripted faults, garbage."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.consumer import decode
from tests.world import World
from tests.world.faults import Script


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A network that runs."""
    async with World(seed=1) as running:
        yield running


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


async def test_what_is_sent_once_connected_arrives(world: World) -> None:
    waiting = asyncio.ensure_future(read(world.relay_url, 1))
    await world.relay.connected(1)
    world.account("alice")
    assert await waiting == [world.relay.history[0].frame]


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


async def test_info_and_error_frames_reach_who_is_connected(world: World) -> None:
    async with subscribe(world.relay_url) as socket:
        await world.relay.connected(1)
        world.relay.info("Maintenance", "soon")
        header, payload = decode(await receive(socket))
        assert (header["t"], payload) == ("#info", {"name": "Maintenance", "message": "soon"})
        await world.relay.fail("ConsumerTooSlow")
        header, payload = decode(await receive(socket))
        assert (header, payload) == ({"op": -1}, {"error": "ConsumerTooSlow"})
        with pytest.raises(ConnectionClosed):
            await receive(socket)


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
