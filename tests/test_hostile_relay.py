"""What a hostile relay can send: the real ingest process goes on, or stands still and says why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import libipld
import pytest
from cbrrr import encode_dag_cbor

from tests.conftest import running
from tests.service_process import Health, Service
from tests.world import World

T = TypeVar("T")

RULES = """
[[community]]
slug = "python"
name = "Python"
include.hashtags = ["python"]
"""


async def aside(work: Callable[..., T], *args: Any) -> T:
    """Wait for the service in a thread: the network it reads is on this one's loop."""
    return await asyncio.to_thread(work, *args)


@asynccontextmanager
async def serving(config: pytest.Config, folder: Path, world: World) -> AsyncIterator[Service]:
    service = Service(folder, RULES, source=world.relay_url, plc_url=world.plc_url, egress_allow="127.0.0.1")
    with running(config, service.start()):
        await world.relay.connected(1, 30)
        yield service
        await aside(service.stop)


def nested(depth: int) -> bytes:
    """An #info frame whose message is a list in a list, so many times."""
    return encode_dag_cbor({"op": 1, "t": "#info"}) + b"\xa1\x67message" + b"\x81" * depth + b"\x01"


async def test_s79_an_info_nested_to_the_decoders_limit_is_passed_over(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """The deepest that the decoder takes is deeper than what can be printed."""
    depth = 900
    while True:
        try:
            libipld.decode_dag_cbor_multi(nested(depth))
        except (ValueError, RecursionError):
            break
        depth += 1
    async with World() as world:
        alice = world.account("alice")
        async with serving(pytestconfig, tmp_path, world) as service:
            for less in range(1, 120):
                world.emit(nested(depth - less), retained=False)
            post = alice.post("Hello, #python")
            await aside(service.wait_cursor, post.seq)
            assert len(world.relay.sessions) == 1, service.log_tail()


async def test_s102_a_time_of_the_year_10000_leaves_health_and_metrics_whole(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    async with World() as world:
        alice = world.account("alice")
        async with serving(pytestconfig, tmp_path, world) as service:
            seq = world.relay.send(
                "#identity", {"did": alice.did, "handle": alice.handle, "time": "9999-12-31T23:59:59-23:59"}
            )
            health = await aside(service.wait_cursor, seq)
            assert health["lastEventAt"] < "3000" and health["lagSeconds"] >= 0
            assert f"communities_ingest_cursor {float(seq)}" in await aside(service.metrics)


async def test_s84_a_seq_of_the_far_future_does_not_silence_the_stream_behind_it(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    async with World() as world:
        alice = world.account("alice")
        async with serving(pytestconfig, tmp_path, world) as service:
            world.relay.send("#identity", {"did": alice.did, "handle": alice.handle, "seq": (1 << 53) - 1})
            alice.post("Hello, #python")

            def fell(health: Health) -> bool:
                return str(health["state"]).startswith("stopped: stream rewound: the stream fell from")

            await aside(service.wait_health, fell)


async def test_s82_a_close_reason_cannot_forge_a_log_line(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    async with World() as world:
        async with serving(pytestconfig, tmp_path, world) as service:
            await world.relay.drop(1011, "bye\n2026-01-01T00:00:00.000Z ingest ERROR   all is lost\x1b[2J")
            await world.relay.connected(2, 30)
            log = service.log_tail()
        lines = [line for line in log.splitlines() if "all is lost" in line]
        assert lines and all("bye" in line and "\x1b" not in line for line in lines), log


async def test_s82_two_retry_after_are_none(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """A header given twice must not end the process."""
    asked = 0
    again = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if asked == 3:
            again.set()
        writer.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        service = Service(tmp_path, RULES, source=url, egress_allow="127.0.0.1")
        with running(pytestconfig, service.start()):
            async with asyncio.timeout(30):
                await again.wait()
            await aside(service.stop)
        assert "Traceback" not in service.log_tail() and "starting it again" not in service.log_tail()
