"""subscribeLabels under strain: those who do not read, who talk, who are too many, who come from the beginning; and the
end of the service.
"""

import asyncio
import base64
import os
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from labeler.frames import labels_frame, texts, websocket
from labeler.pages import PAGE, Pages
from labeler.stream import HANDSHAKE_SECONDS, REPLAY_BUDGET, Stream
from labeler.subscriber import Limits, Subscriber
from labeler.turns import BUDGET
from tests.service_process import PATIENCE, Service
from tests.stream_site import (
    FIRST_HOST,
    QUERY,
    STREAM,
    Labels,
    Site,
    configure,
    labels_in,
    read_message,
    served,
)
from tests.test_labels_stream import metrics, seqs, until_subscribed, until_up

SHORT = Limits(total=12, per_client=3, drain=0.5, close=0.3, heartbeat=0.4)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Site, Labels]]:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config, SHORT) as site:
            yield site, labels


async def handshake(
    port: int, cursor: str = "?cursor=0", *more: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is a WebSocket from here on, spoken by hand."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # so that the kernel keeps little for us
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 12)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /xrpc/{STREAM}{cursor} HTTP/1.1", f"Host: {FIRST_HOST}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *more]
    writer.write("\r\n".join((*lines, "", "")).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return reader, writer


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as clients send it."""
    first, size = (0x80 if final else 0) | opcode, len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xff" + size.to_bytes(8, "big")
    return bytes((first,)) + length + b"\0\0\0\0" + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Opcode and payload of all that comes until the connection ends."""
    while True:
        try:
            first, size = await reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            yield first & 15, await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


@pytest.mark.parametrize("verb", ["POST", "HEAD", "PUT", "DELETE"])
async def test_s65_verbs(site: tuple[Site, Labels], verb: str) -> None:
    async with site[0].client.request(verb, site[0].url(STREAM)) as answer:
        assert answer.status == 400
        assert verb == "HEAD" or (await answer.json())["message"] == "Incorrect HTTP method"


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "h2c", "Connection": "Upgrade"}])
async def test_s65_no_upgrade(site: tuple[Site, Labels], headers: dict[str, str]) -> None:
    async with site[0].client.get(site[0].url(STREAM), headers=headers) as answer:
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        assert (await answer.json())["error"] == "UpgradeRequired"


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "close"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Key": "é"},
        {"Sec-WebSocket-Version": "12"},
        {"Sec-WebSocket-Version": ""},
    ],
)
async def test_a_bad_handshake_is_the_callers_fault(
    site: tuple[Site, Labels], headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    given = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "A" * 22 + "=="} | headers
    given.setdefault("Sec-WebSocket-Version", "13")
    async with site[0].client.get(site[0].url(STREAM), headers=given) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "InvalidRequest")
    assert not caplog.records
    await until_subscribed(site[0], 0)


async def test_s73_too_many(site: tuple[Site, Labels]) -> None:
    """Per address (IPv6 by /64) and in total, before there is a WebSocket; a place that is left is free again."""
    door, _ = site

    async def refused(address: str, most: int) -> tuple[int, str, str]:
        headers = {"X-Forwarded-For": address, "Upgrade": "websocket", "Connection": "Upgrade"}
        headers |= {"Sec-WebSocket-Key": "A" * 22 + "==", "Sec-WebSocket-Version": "13"}
        async with door.client.get(door.url(STREAM), headers=headers) as answer:
            assert int(answer.headers["Retry-After"]) >= 1
            assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Policy"]) == (
                f"{most}",
                f"{most};w=30",
            )
            return answer.status, (await answer.json())["error"], (await answer.json())["message"]

    async with AsyncExitStack() as stack:

        async def enter(address: str) -> None:
            await stack.enter_async_context(door.subscriber(headers={"X-Forwarded-For": address}))

        for number in range(3):
            await enter(f"8.8.8.8, 2001:db8::{number}")
        status, error, message = await refused("2001:db8::ffff:1", 3)
        assert (status, error) == (429, "RateLimitExceeded") and "yours" in message
        for _ in range(3):
            await enter("9.9.9.9")
        assert (await refused("9.9.9.9", 3))[0] == 429
        for number in range(6):
            await enter(f"7.7.7.{number}")
        assert "of all" in (await refused("6.6.6.6", 12))[2]
        await until_subscribed(door, 12)
    await until_subscribed(door, 0)
    async with door.subscriber(headers={"X-Forwarded-For": "9.9.9.9"}):
        assert (await metrics(door))["refused"] == 3


async def test_s71_who_does_not_read_is_cut(tmp_path: Path) -> None:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        labels.fill(25_000)
        async with served(config, Limits(drain=0.3, close=0.3)) as door:
            reader, writer = await handshake(door.port)
            assert await reader.readexactly(1) == b"\x82"
            async with asyncio.timeout(30 * PATIENCE):
                while (await metrics(door)).get("ConsumerTooSlow") != 1:
                    await asyncio.sleep(0.05)
            await until_subscribed(door, 0)
            async with door.subscriber(24_998) as other:
                assert seqs(await other.take(2)) == [24_999, 25_000]
            writer.close()


async def test_s71_who_reads_late_learns_why(tmp_path: Path) -> None:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        labels.fill(25_000)
        async with served(config, Limits(drain=0.3, close=20.0)) as door:
            reader, writer = await handshake(door.port)
            async with asyncio.timeout(30 * PATIENCE):
                while (await metrics(door)).get("ConsumerTooSlow") != 1:
                    await asyncio.sleep(0.05)
            found = []
            async for each in frames(reader):
                found.append(each)
                if each[0] == 8:
                    break
            messages = [read_message(data) for opcode, data in found if opcode == 2]
            count = len(messages) - 1
            assert seqs(messages[:-1]) == list(range(1, count + 1)) and count < 25_000
            assert messages[-1].said["error"] == "ConsumerTooSlow"
            assert found[-1][0] == 8 and found[-1][1][:2] == (1008).to_bytes(2, "big")
            writer.close()


async def test_s72_who_does_not_answer_pings_is_let_go(site: tuple[Site, Labels]) -> None:
    door, _ = site
    async with door.subscriber(autoping=True) as good:
        waiting = asyncio.create_task(good.next())
        # The second one comes when the first is gone: for the good one several pings are over by then.
        for _ in range(2):
            reader, writer = await handshake(door.port, "")
            async with asyncio.timeout(30 * PATIENCE):
                opcodes = [opcode async for opcode, _ in frames(reader)]
            assert opcodes[0] == 9
            await until_subscribed(door, 1)
            writer.close()
        assert not waiting.done()
        site[1].fill(1)
        assert (await waiting).seq == 1


async def test_s74_what_clients_send_is_nothing_to_us(site: tuple[Site, Labels]) -> None:
    door, labels = site
    async with door.subscriber() as one:
        await until_subscribed(door, 1)
        await one.ws.send_str("hello")
        await one.ws.send_bytes(b"\0" * 4000)
        await one.ws.ping(b"x")
        labels.fill(1)
        assert seqs(await one.take(1)) == [1]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(1, b"x" * 4097), 1009),
        (masked(2, b"x" * 1_000_000), 1009),
        (masked(1, b"x" * 100, final=False) + masked(0, b"x" * 100, final=False) * 100, 1009),
        (masked(1, b"x") * 200, 1008),
        (masked(9, b"x") * 200, 1008),
        (masked(10, b"x") * 200, 1008),
        (masked(3, b""), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(1, b"\xff"), 1007),
        (masked(2, b"x")[:1] + b"\x01x", None),
    ],
)
async def test_s74_too_much_of_it_ends_it(
    site: tuple[Site, Labels], sent: bytes, code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await handshake(site[0].port)
    writer.write(sent)
    async with asyncio.timeout(30 * PATIENCE):
        found = [each async for each in frames(reader) if each[0] == 8]
    if code is not None:
        assert found and int.from_bytes(found[0][1][:2], "big") == code
    await until_subscribed(site[0], 0)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    writer.close()


async def test_s74_fuzzed_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """10,000 pieces of noise and half-right frames; a subscriber beside them misses nothing."""
    fuzz = random.Random(74)
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config, Limits(close=0.3)) as door, door.subscriber() as good:
            await until_subscribed(door, 1)

            async def noise(seed: int) -> None:
                chance = random.Random(seed)
                _, writer = await handshake(door.port, f"?cursor={chance.choice(('0', '1', 'x', '99999999'))}")
                for _ in range(10):
                    kind, size = chance.randrange(4), chance.choice((0, 1, 5, 125, 126, 300, 5000))
                    if kind == 0:
                        writer.write(chance.randbytes(size))
                    else:
                        writer.write(masked(chance.randrange(16), chance.randbytes(size), final=chance.random() < 0.7))
                    if chance.random() < 0.1:
                        await asyncio.sleep(0)
                writer.close()

            for _ in range(100):
                await asyncio.gather(*(noise(fuzz.randrange(1 << 30)) for _ in range(10)))
            await until_subscribed(door, 1)
            labels.fill(30)
            assert seqs(await good.take(30)) == list(range(1, 31))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_s75_frames_of_cbor_are_never_compressed(site: tuple[Site, Labels]) -> None:
    site[1].fill(1)
    reader, writer = await handshake(site[0].port, "?cursor=0", "Sec-WebSocket-Extensions: permessage-deflate")
    assert (await reader.readexactly(1)) == b"\x82"
    writer.close()


@pytest.mark.parametrize("asked", [(), ("Sec-WebSocket-Protocol: xrpc.v1.json",)], ids=["cbor", "json"])
async def test_s76_200_from_the_beginning_and_others_are_served(
    tmp_path: Path, start_service: Callable[..., Service], asked: tuple[str, ...]
) -> None:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        service = start_service(command="serve", labels=str(config.labels), data=str(config.data))
        await asyncio.to_thread(until_up, service)
        labels.fill(2 * PAGE if asked else 10 * PAGE)
        size = sum(len(websocket(labels_frame(seq, signed))) for seq, signed in labels.rows())
        if asked:
            size = sum(len(websocket(text.encode())) for text in texts(labels.rows()))
        waits: list[float] = []

        async def read(reader: asyncio.StreamReader) -> None:
            left = size
            while left > 0:
                left -= len(await reader.read(1 << 16))
            assert left == 0

        async def ask(client: aiohttp.ClientSession) -> None:
            while True:
                start = time.perf_counter()
                async with client.get(f"{service.url}/xrpc/{QUERY}?uriPatterns=*&limit=1") as answer:
                    assert answer.status == 200
                waits.append(time.perf_counter() - start)

        async with aiohttp.ClientSession() as client:
            asking = asyncio.create_task(ask(client))
            port = int(service.settings["listen_port"])
            many = await asyncio.gather(*(handshake(port, "?cursor=0", *asked) for _ in range(200)))
            await asyncio.gather(*(read(reader) for reader, _ in many))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        for _, writer in many:
            writer.close()
        waits.sort()
        print(
            f"{len(waits)} queries meanwhile, median {waits[len(waits) // 2] * 1e3:.1f} ms, worst {waits[-1] * 1e3:.1f}"
        )
        assert len(waits) > 20 and waits[-1] < 1.0 * PATIENCE


@pytest.mark.parametrize("asked", [(), ("Sec-WebSocket-Protocol: xrpc.v1.json",)], ids=["cbor", "json"])
async def test_s76_a_turn_of_the_loop_has_little_of_many_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    """40 who come at once and replay: a few handshakes in a turn, a page (of JSON: a part of one), and then others."""
    config, loop = configure(tmp_path), asyncio.get_running_loop()
    handshakes, pages = Counter[int](), Counter[int]()
    turn, stopped = 0, False

    def count() -> None:
        nonlocal turn
        turn += 1
        if not stopped:
            loop.call_soon(count)

    prepare, after, write_texts = web.WebSocketResponse.prepare, Pages.after, Stream._write_texts

    async def prepared(self: web.WebSocketResponse, request: web.BaseRequest) -> object:
        handshakes[turn] += not self.prepared  # it is called once more at the end
        return await prepare(self, request)

    def costly(self: Pages[bytes], seq: int) -> object:
        if not asked:
            pages[turn] += 1
            time.sleep(REPLAY_BUDGET)
        return after(self, seq)

    async def read(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass

    async def texts_counted(self: Stream, one: Subscriber, some: Sequence[str]) -> None:
        pages[turn] += 1
        await write_texts(self, one, some)

    monkeypatch.setattr(web.WebSocketResponse, "prepare", prepared)
    monkeypatch.setattr(Pages, "after", costly)
    monkeypatch.setattr(Stream, "_write_texts", texts_counted)
    with labels_in(config) as labels:
        labels.fill(4 * PAGE if asked else 20 * PAGE)
        async with served(config) as door, door.subscriber() as live:
            await until_subscribed(door, 1)
            handshakes.clear()
            count()
            many = await asyncio.gather(*(handshake(door.port, "?cursor=0", *asked) for _ in range(40)))
            reading = [asyncio.create_task(read(reader)) for reader, _ in many]
            waits = []
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            for _ in range(5):
                before = pages.total()
                writer.write(b"GET /xrpc/_health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b" 200 " in await reader.readline()
                await reader.readuntil(b"}")
                waits.append(pages.total() - before)
            labels.fill(1, first=100_000)
            await live.take(1)
            shaken, sent = handshakes.copy(), pages.copy()
            stopped = True
            for one in reading:
                one.cancel()
            for _, one in (*many, (reader, writer)):
                one.close()
    # A turn is counted somewhere within, so that a count may have the parts of two, and the live label's page.
    assert shaken.total() == 40 and max(shaken.values()) <= 2 * BUDGET / HANDSHAKE_SECONDS, shaken
    assert max(sent.values()) <= 3, sent
    assert max(waits) < 40, "whoever asks does not wait for all who replay"
    assert 20 < sent.total() < 400, "nor does a live label"


async def test_s77_the_end_of_the_service(tmp_path: Path, start_service: Callable[..., Service]) -> None:
    """SIGTERM while labels are published and read: each subscriber gets 1001 behind a whole message, and, having come
    again, every label once.
    """
    config = configure(tmp_path)
    with labels_in(config) as labels:
        service = start_service(command="serve", labels=str(config.labels), data=str(config.data))
        await asyncio.to_thread(until_up, service)
        labels.fill(1000)
        url = f"{service.url}/xrpc/{STREAM}"
        stopping = asyncio.Event()

        async def read(client: aiohttp.ClientSession, number: int, cursor: int) -> tuple[int | None, list[int]]:
            found = []
            async with client.ws_connect(f"{url}?cursor={cursor}") as ws:
                async for message in ws:
                    assert message.type is WSMsgType.BINARY
                    found.append(read_message(message.data).seq)
                    if len(found) > 300:
                        stopping.set()
                    if found[-1] == 1400 and cursor:
                        break
                    if number % 2:
                        await asyncio.sleep(0)
                return ws.close_code, found

        async def stop() -> None:
            await stopping.wait()
            for number in range(40):
                labels.fill(10, first=5000 + 10 * number)
                await asyncio.sleep(0)
                if number == 5:
                    service.signal(15)

        async with aiohttp.ClientSession() as client:
            first = await asyncio.gather(*(read(client, number, 0) for number in range(10)), stop())
            assert await asyncio.to_thread(service.wait_exit) == 0
            service.start()
            await asyncio.to_thread(until_up, service)
            for number, (code, found) in enumerate(one for one in first if one is not None):
                assert code == 1001 and found == list(range(1, len(found) + 1))
                if len(found) < 1400:
                    _, rest = await read(client, number, len(found))
                    assert found + rest == list(range(1, 1401))


async def test_s71_memory_stays_flat(tmp_path: Path, start_service: Callable[..., Service]) -> None:
    """100 who ask for everything and read nothing cost less than 40 MB together."""
    config = configure(tmp_path)
    with labels_in(config) as labels:
        service = start_service(command="serve", labels=str(config.labels), data=str(config.data))
        await asyncio.to_thread(until_up, service)
        labels.fill(20_000)
        port = int(service.settings["listen_port"])
        async with aiohttp.ClientSession() as client, client.get(f"{service.url}/xrpc/{QUERY}?uriPatterns=*") as answer:
            assert answer.status == 200
        before = resident(service)
        stalled = [await handshake(port) for _ in range(100)]
        end = time.monotonic() + 3
        most = 0
        while time.monotonic() < end:
            most = max(most, resident(service))
            await asyncio.sleep(0.1)
        assert "\ncommunities_label_subscribers" in service.metrics()
        for _, writer in stalled:
            writer.close()
        print(f"100 stalled subscribers: {before / 1e6:.1f} MB before, {most / 1e6:.1f} MB at most")
        assert most - before < 40_000_000


def resident(service: Service) -> int:
    """Bytes of memory that the service's process has."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
