import asyncio
import gc
import gzip
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.didnet import DidNet
from xrpc.egress import BlockedAddress, FetchError, egress_session, fetch_json, is_public_address

BLOCKED = """0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1
::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 100::1
2001::1 2001:2::1 2001:db8::1 2002:7f00:1::1 3fff::1 4000::1 5f00::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 fec0::1
ff02::1
localhost 0x7f000001 127.1 2130706433 0177.0.0.1"""
PUBLIC = """1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 192.0.1.1 223.255.255.255 2001:4860::1
2606:4700::1111 2a00:1450::1"""


@pytest.fixture
async def net() -> AsyncIterator[DidNet]:
    async with DidNet() as directory:
        directory.answers["/good"] = {"good": True}
        yield directory


@pytest.fixture
async def dev() -> AsyncIterator[aiohttp.ClientSession]:
    async with egress_session(("localhost",)) as session:
        yield session


async def fault(session: aiohttp.ClientSession, url: str, **limits: float) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetch_json(session, url, **limits)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("address", BLOCKED.split())
def test_s107_private_addresses(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_s107_public_addresses(address: str) -> None:
    assert is_public_address(address)


HOSTS = ["127.0.0.1", "localhost", "localhost.", "0x7f000001", "2130706433", "127.1", "①②⑦.⓪.⓪.①", "[::1]"]


@pytest.mark.parametrize("host", [*HOSTS, "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_s108_every_spelling_of_loopback_is_blocked(net: DidNet, host: str) -> None:
    port = net.url.rpartition(":")[2]
    async with egress_session() as session:
        assert (await fault(session, f"http://{host}:{port}/good")).status is None
    assert net.total == 0


async def test_s108_a_name_with_one_private_address_is_blocked(net: DidNet, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    asked: list[str] = []

    def mixed(host: str, port: int, *rest: Any) -> list[Any]:
        asked.append(host)
        private = real("127.0.0.1", port, *rest)
        return [(*private[0][:4], ("1.1.1.1", port)), *private]

    monkeypatch.setattr(socket, "getaddrinfo", mixed)
    async with egress_session() as session:
        refused = await fault(session, net.url.replace("localhost", "rebind.example.com") + "/good")
    assert isinstance(refused.__cause__, aiohttp.ClientConnectorError)
    assert isinstance(refused.__cause__.os_error, BlockedAddress)
    assert "rebind.example.com" in str(refused.__cause__.os_error), "the name is refused, before any socket"
    assert net.total == 0
    assert asked == ["rebind.example.com"]


async def test_s118_name_servers_that_never_answer_block_nobody_else(
    net: DidNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, release = socket.getaddrinfo, threading.Event()

    def slow(host: str, *rest: Any) -> Any:
        if host.endswith(".example.com"):
            release.wait(10)
            raise socket.gaierror("no answer")
        return real(host, *rest)

    # The name of the directory has not been resolved before: places are kept free for it.
    async with egress_session(("localhost",), own=("localhost",)) as session:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        try:
            urls = [f"http://host{number}.example.com/" for number in range(60)]
            faults = await asyncio.gather(*(fault(session, url, timeout=0.2) for url in urls))
            assert {str(each).partition(" (")[0] for each in faults} == {
                "did not answer in time",
                "could not be reached",
            }
            assert await fetch_json(session, net.url + "/good") == {"good": True}
        finally:
            release.set()


def test_a_name_that_is_still_looked_up_at_the_end_leaves_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release, answered = threading.Event(), threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        asked.set()
        release.wait(30)
        raise socket.gaierror("no answer")

    async def leave() -> None:
        async with egress_session() as session:
            caller = asyncio.create_task(fault(session, "http://a.example.com/"))
            await asyncio.to_thread(asked.wait, 30)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    said: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    try:
        loop.run_until_complete(leave())
        tell = loop.call_soon_threadsafe

        def told(*what: Any) -> asyncio.Handle:
            try:
                return tell(*what)
            finally:
                answered.set()

        monkeypatch.setattr(loop, "call_soon_threadsafe", told)
        release.set()
        assert answered.wait(30)
        # The answer comes in the loop's last round: what waits for it is not called any more.
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        release.set()
        loop.close()
    gc.collect()
    assert said == []


async def test_allowed_hosts_are_reached_and_only_they(net: DidNet, dev: aiohttp.ClientSession) -> None:
    assert await fetch_json(dev, net.url + "/good") == {"good": True}
    await fault(dev, net.url.replace("localhost", "127.0.0.2") + "/good")
    assert net.total == 1


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 307, 308, 400, 404, 500])
async def test_s109_s112_only_200_counts_and_redirects_are_not_followed(
    net: DidNet, dev: aiohttp.ClientSession, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        headers = {"Location": "/good", "Content-Type": "application/json"}
        return web.Response(status=status, headers=headers, body=b"" if status == 204 else b"{}")

    net.answers["/bad"] = answer
    assert (await fault(dev, net.url + "/bad")).status == status
    assert net.lookups["/good"] == 0


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "application/octet-stream", "application/jsonx", ""])
async def test_s112_wrong_content_type(net: DidNet, dev: aiohttp.ClientSession, kind: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(headers={"Content-Type": kind}, body=b"{}")

    net.answers["/bad"] = answer
    assert "JSON" in str(await fault(dev, net.url + "/bad"))


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/did+ld+json", "Application/DID+json"])
async def test_json_content_types(net: DidNet, dev: aiohttp.ClientSession, kind: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(headers={"Content-Type": kind}, body=b"{}")

    net.answers["/good"] = answer
    assert await fetch_json(dev, net.url + "/good") == {}


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b"[" * 5000, b"{}x"])
async def test_s112_bad_json(net: DidNet, dev: aiohttp.ClientSession, body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(content_type="application/json", body=body)

    net.answers["/bad"] = answer
    await fault(dev, net.url + "/bad")


@pytest.mark.parametrize("packed", [False, True])
async def test_s112_size_cap_also_once_unpacked(net: DidNet, dev: aiohttp.ClientSession, packed: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = b'"' + b"a" * 10_000_000 + b'"'
        headers = {"Content-Encoding": "gzip"} if packed else {}
        return web.Response(
            content_type="application/json", headers=headers, body=gzip.compress(body, 1) if packed else body
        )

    net.answers["/bad"] = answer
    assert "larger" in str(await fault(dev, net.url + "/bad"))


async def test_s112_a_dripping_answer_ends_in_time(net: DidNet, dev: aiohttp.ClientSession) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    net.answers["/bad"] = answer
    started = asyncio.get_running_loop().time()
    assert "in time" in str(await fault(dev, net.url + "/bad", timeout=0.3))
    assert asyncio.get_running_loop().time() - started < 2


async def test_s117_proxies_of_the_environment_are_ignored(net: DidNet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with egress_session(("localhost",)) as session:
        assert await fetch_json(session, net.url + "/good") == {"good": True}


@pytest.mark.parametrize("url", ["", "x", "http://", "ftp://localhost/x", "http://a b/", "file:///etc/hostname"])
async def test_bad_urls_are_faults(dev: aiohttp.ClientSession, url: str) -> None:
    await fault(dev, url)


async def test_a_dead_host_is_a_fault(dev: aiohttp.ClientSession) -> None:
    async with DidNet() as gone:
        url = gone.url
    assert (await fault(dev, url + "/good")).status is None
