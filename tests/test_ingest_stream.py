"""The connection: every way in which it ends, what it continues behind, and what it takes to stop it for good."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cbrrr import encode_dag_cbor
from websockets.asyncio.server import ServerConnection, serve

from tests.ingest_site import QUICK, Site, uris
from tests.service_process import PATIENCE
from tests.world import Record, frames
from tests.world.faults import Edit, Script
from xrpc.egress import egress_session

CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 3000, 4000, 4999]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def shown(site: Site, *posts: Record) -> None:
    """Nothing is lost and nothing doubled: exactly these posts are in the feed, the newest first."""
    await site.caught_up()
    assert await site.feed() == uris(*reversed(posts))


async def test_a_message_in_fragments_is_one_message_and_texts_are_none(site: Site) -> None:
    (alice,) = site.people("alice")
    await site.caught_up()
    texts: tuple[str | list[str], ...] = ("a text", "", ["in ", "pieces"])
    edits: dict[int, Edit] = {
        1: lambda frame: ([frame[:1], b"", frame[1:900], frame[900:]],),
        2: lambda frame: (*texts, frame, *texts),
        3: lambda frame: ([bytes((byte,)) for byte in frame],),
    }
    site.world.relay.faults.add(Script(edits=edits))
    await site.world.relay.drop()
    await shown(site, *[alice.post(f"{number} #python") for number in range(4)])
    assert site.closes == {"closed with 1001": 1} and site.dropped == {}


# Ends


@pytest.mark.parametrize("code", CODES)
async def test_s82_after_every_close_code_it_goes_on_where_it_was(site: Site, code: int) -> None:
    (alice,) = site.people("alice")
    posts = [alice.post("before #python")]
    await site.caught_up()
    last = site.world.relay.head
    await site.world.relay.drop(code, "because")
    posts.append(alice.post("meanwhile #python"))
    await shown(site, *posts)
    assert site.world.relay.connections == [None, last]
    expected = {1009: "message too large"}.get(code, f"closed with {code}" if code < 1015 else "")
    assert site.closes == {expected or "closed with another code": 1}


async def test_a_connection_that_is_cut_in_the_middle_of_the_log(site: Site) -> None:
    (alice,) = site.people("alice")
    site.world.relay.faults.abort_after(3)
    site.world.relay.faults.abort_after(1)
    site.world.relay.faults.close_after(2, 1001)
    await site.caught_up()
    await site.world.relay.drop()
    await shown(site, *[alice.post(f"{number} #python") for number in range(20)])
    assert site.closes["closed with 1006"] == 2


async def test_s82_consumer_too_slow_and_any_other_error_frame(site: Site) -> None:
    (alice,) = site.people("alice")
    posts = []
    for number, name in enumerate(("ConsumerTooSlow", "InternalError", "x" * 100, "")):
        posts.append(alice.post("#python"))
        await site.caught_up()
        await site.world.relay.fail(name, "sorry")
        await site.until("the next connection", lambda n=number: len(site.world.relay.sessions) == n + 2)  # type: ignore[misc]
    posts.append(alice.post("#python"))
    await shown(site, *posts)
    assert site.closes == {"ConsumerTooSlow": 1, "error frame": 3}


async def test_info_is_no_event(site: Site) -> None:
    (alice,) = site.people("alice")
    await site.caught_up()
    site.world.relay.info("OutdatedCursor", "possibly missing")
    site.world.emit(frames.message("#info", {"name": 5}), retained=False)
    await shown(site, alice.post("#python"))
    assert len(site.world.relay.sessions) == 1


async def test_s80_what_is_not_known_is_passed_over_and_counts_as_received(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    for kind in ("#handle", "#migrate", "#tombstone", "#somethingNew", "", "commit"):
        site.world.relay.send(kind, {"did": alice.did, "repo": alice.did, "ops": [], "new": {"deep": [None]}})
    head = site.world.relay.head
    for op in (0, 2, -2, 99):
        site.world.emit(encode_dag_cbor({"op": op, "t": "#commit", "new": 1}) + encode_dag_cbor({"x": 1}))
    await site.caught_up(head)
    second = alice.post("#python")
    await shown(site, first, second)
    assert (site.dropped, len(site.world.relay.sessions)) == ({}, 1)


# Refusals


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (429, {"Retry-After": "0"}, b""),
        (429, {"Retry-After": "soon"}, b"slow down"),
        (405, {}, b""),
        (426, {"Upgrade": "h2c"}, b""),
        (500, {"Content-Type": "text/html"}, b"<html><h1>Internal \xff Error</h1>" + b"x" * 5000),
        (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
        (503, {}, b""),
        (504, {}, b""),
        (200, {"Content-Type": "text/html"}, b"<html>Welcome</html>"),
        (404, {}, b"{}"),
        (400, {"Content-Type": "application/json"}, b'{"error":"CursorTooOld"}'),
    ],
)
async def test_every_refusal_is_followed_by_another_try(
    site: Site, status: int, headers: dict[str, str], body: bytes
) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    for _ in range(2):
        site.world.relay.faults.refuse(status, headers, body)
    await site.world.relay.drop()
    await shown(site, first, alice.post("#python"))
    assert site.closes == {"closed with 1001": 1, f"refused with {status}": 2}


async def test_retry_after_is_obeyed(site: Site) -> None:
    site.world.relay.faults.refuse(429, {"Retry-After": "1"})
    loop = asyncio.get_running_loop()
    await site.world.relay.drop()
    await site.until("the refusal", lambda: site.closes.get("refused with 429"))
    began = loop.time()
    await site.until("the next try", lambda: len(site.world.relay.sessions) == 3)
    assert loop.time() - began > 0.9  # the backoff of these tests is 0.02 s at most


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_refusal(site: Site, status: int) -> None:
    """The operator named the source: nobody else sends the service elsewhere, and least of all into its own network."""
    visited: list[str] = []

    async def elsewhere(connection: ServerConnection) -> None:
        visited.append("")

    async with serve(elsewhere, "127.0.0.1", 0) as other:
        port = next(iter(other.sockets)).getsockname()[1]
        site.world.relay.faults.refuse(status, {"Location": f"ws://127.0.0.1:{port}/xrpc/x"})
        await site.world.relay.drop()
        await site.until("the connection after the refusal", lambda: len(site.world.relay.sessions) == 3)
    assert site.closes == {"closed with 1001": 1, f"refused with {status}": 1}
    assert visited == []


ANSWERS = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "half an answer": b"HTTP/1.1 200\r\n\r\n",
    "no handshake": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "endless headers": b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 100_000,
    "binary": b"\0" * 100_000,
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_server_that_speaks_something_else_is_tried_again(tmp_path: Path, name: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS[name])
        writer.close()

    async with reading_from(tmp_path, answer) as site:
        await site.until("several tries", lambda: site.closes.get("cannot connect", 0) >= 3)
        assert site.cursor is None


# What it takes to stop


@asynccontextmanager
async def reading_from(
    folder: Path, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[Site]:
    """An ingest whose source is any TCP server; it must stop within 3 s at the end."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, AsyncExitStack() as stack:
        site = Site(folder)
        site.world.relay.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        site.session = await stack.enter_async_context(egress_session())
        ingest = site.open()
        stop = asyncio.Event()
        site.task = asyncio.create_task(ingest.run(stop))
        yield site
        stop.set()
        await asyncio.wait_for(site.task, 3 * PATIENCE)
        ingest.database.close()


async def test_a_stop_ends_a_connection_that_never_opens(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with reading_from(tmp_path, say_nothing):
        await asyncio.wait_for(asked.wait(), 10 * PATIENCE)


async def test_a_stop_ends_a_long_wait(site: Site) -> None:
    site.world.relay.faults.refuse(429, {"Retry-After": "600"})
    await site.world.relay.drop()
    await site.until("the refusal", lambda: "reconnecting" in site.ingest.subscription.state)
    await asyncio.wait_for(site.stop(), 3 * PATIENCE)
    ((report,),) = site.rows("SELECT report FROM process")
    assert json.loads(report)["state"] == "stopped"


async def test_a80_what_was_received_is_stored_at_a_stop_and_the_connection_closed_properly(tmp_path: Path) -> None:
    """Nothing is stored by time here: the batch waits when the stop comes, and is neither lost nor doubled."""
    async with Site(tmp_path, pace=replace(QUICK, batch=3600.0, cursor=3600.0)) as site:
        (alice,) = site.people("alice")
        posts = [alice.post(f"{number} #python") for number in range(5)]
        last = site.world.relay.head
        await site.until("the batch", lambda: site.ingest.pipeline.received == last)
        assert (site.cursor, await site.feed()) == (None, [])
        await site.stop()
        assert site.cursor == last
        assert await site.feed() == uris(*reversed(posts))
        await site.world.relay.until(lambda: not site.world.relay.sessions[-1].open)
        assert site.world.relay.sessions[-1].code == 1000


async def test_the_service_says_who_it_is_and_connects_once(site: Site) -> None:
    await site.marked()
    (session,) = site.world.relay.sessions
    assert session.user_agent == "communities/test (+https://feeds.example.com)"
