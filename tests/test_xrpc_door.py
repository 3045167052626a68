import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from yarl import URL

from xrpc.errors import RateLimitExceeded, UnknownFeed
from xrpc.listener import listen
from xrpc.params import IntParam, Params
from xrpc.ratelimit import Quota
from xrpc.server import Call, Procedure, Query, mount

GET = "com.example.get"
DO = "com.example.do"


@dataclass
class Door:
    port: int
    client: aiohttp.ClientSession
    release: asyncio.Event
    entered: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, verb: str, path: str, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(verb, self.url + path, headers=names) as response:
            text = await response.read()
            if text:
                assert response.content_type == "application/json"
            return response.status, orjson.loads(text) if text else None, response.headers

    async def send(self, data: bytes) -> bytes:
        """All that comes back on a connection of its own, until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(5):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def methods(release: asyncio.Event, entered: asyncio.Event) -> list[Query | Procedure]:
    async def echo(call: Call) -> Mapping[str, Any]:
        return {"params": dict(call.params), "body": dict(call.body)}

    async def ready(_: Call) -> bytes:
        return b'{"feed":[]}'

    async def raw(_: Call) -> web.Response:
        return web.Response(status=202, body=b'"x"', content_type="application/json", headers={"X": "y"})

    async def unknown(_: Call) -> bytes:
        raise UnknownFeed

    async def limited(_: Call) -> bytes:
        raise RateLimitExceeded(quota=Quota(60, 29.5), retry_after=2.5)

    async def broken(_: Call) -> bytes:
        raise RuntimeError("the secret of this house")

    async def slow(_: Call) -> bytes:
        entered.set()
        await release.wait()
        return b"{}"

    limit = Params({"limit": IntParam(1, 100, default=50)})
    queries = {"ready": ready, "raw": raw, "unknown": unknown, "limited": limited, "broken": broken, "slow": slow}
    return [
        Query(GET, limit, echo),
        Procedure(DO, limit, echo, max_body=1000, body_timeout=0.3),
        *(Query(f"com.example.{name}", Params(), method) for name, method in queries.items()),
    ]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    release, entered = asyncio.Event(), asyncio.Event()

    async def document(_: web.Request) -> web.Response:
        return web.json_response({"id": "did:web:example.com"})

    app = web.Application()
    app.router.add_get("/.well-known/did.json", document)
    mount(app, methods(release, entered))
    listener = await listen(app, "127.0.0.1", 0, head_timeout=0.3, shutdown_timeout=1)
    async with aiohttp.ClientSession() as client:
        yield Door(listener.port, client, release, entered)
    await listener.close()


async def test_answers_of_every_kind(door: Door) -> None:
    assert (await door.ask("GET", f"/xrpc/{GET}?limit=5"))[:2] == (200, {"params": {"limit": 5}, "body": {}})
    assert (await door.ask("GET", "/xrpc/com.example.ready"))[:2] == (200, {"feed": []})
    status, body, headers = await door.ask("GET", "/xrpc/com.example.raw")
    assert (status, body, headers["X"]) == (202, "x", "y")
    assert (await door.ask("GET", "/.well-known/did.json"))[1] == {"id": "did:web:example.com"}


async def test_errors_by_name(door: Door) -> None:
    assert (await door.ask("GET", "/xrpc/com.example.unknown"))[:2] == (
        400,
        {"error": "UnknownFeed", "message": "Unknown feed"},
    )
    status, body, headers = await door.ask("GET", "/xrpc/com.example.limited")
    assert (status, body["error"], headers["Retry-After"]) == (429, "RateLimitExceeded", "3")
    assert (await door.ask("GET", f"/xrpc/{GET}?limit=0"))[0] == 400


async def test_s166_a_refusal_says_what_the_limit_is(door: Door) -> None:
    """As the reference servers do, and so that a web page can read it."""
    before = int(time.time())
    status, _, headers = await door.ask("GET", "/xrpc/com.example.limited")
    reset = int(headers["RateLimit-Reset"])
    assert (status, headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == (429, "60", "0")
    assert headers["RateLimit-Policy"] == "60;w=30"
    assert before + 3 <= reset <= int(time.time()) + 4, "Unix seconds"
    shown = headers["Access-Control-Expose-Headers"].split(", ")
    assert {*shown} == {"Retry-After", *(f"RateLimit-{part}" for part in ("Limit", "Remaining", "Reset", "Policy"))}
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert not any(name.startswith("RateLimit") for name in (await door.ask("GET", "/xrpc/com.example.ready"))[2])


async def test_our_own_faults_are_hidden_and_logged_once(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    status, body, _ = await door.ask("GET", "/xrpc/com.example.broken")
    assert (status, body) == (500, {"error": "InternalServerError", "message": "Internal Server Error"})
    assert [record.name for record in caplog.records] == ["xrpc.errors"]
    assert "the secret of this house" in caplog.text


LONG = "a." * 157 + "abcd"


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/xrpc/com.example.nothing", 501, "MethodNotImplemented"),
        ("/xrpc/app.bsky.feed.getFeedSkeleton?feed=x", 501, "MethodNotImplemented"),
        ("/xrpc/", 400, "InvalidRequest"),
        ("/xrpc/a", 400, "InvalidRequest"),
        ("/xrpc/..%2f", 400, "InvalidRequest"),
        ("/xrpc/..%2fxrpc%2fcom.example.get", 400, "InvalidRequest"),
        (f"/xrpc/{GET}/", 400, "InvalidRequest"),
        (f"/xrpc/{GET}%00", 400, "InvalidRequest"),
        (f"/xrpc/{LONG}", 400, "InvalidRequest"),
        (f"/xrpc/{LONG[2:]}", 501, "MethodNotImplemented"),
        ("/xrpc", 404, "NotFound"),
        ("/", 404, "NotFound"),
        ("/metrics", 404, "NotFound"),
        ("/static/..%2f..%2fetc%2fpasswd", 404, "NotFound"),
        ("/.well-known/did.json/", 404, "NotFound"),
    ],
)
async def test_s46_unknown_paths(door: Door, path: str, status: int, error: str) -> None:
    async with door.client.get(URL(door.url + path, encoded=True)) as response:
        assert (response.status, (await response.json())["error"]) == (status, error)


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "OPTIONS"])
async def test_s47_wrong_verb_on_a_query(door: Door, verb: str) -> None:
    status, body, headers = await door.ask(verb, f"/xrpc/{GET}")
    assert status == 400 and headers["Content-Type"] == "application/json"
    assert verb == "HEAD" or body == {"error": "InvalidRequest", "message": "Incorrect HTTP method"}


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "HEAD", "TRACE", "OPTIONS"])
async def test_s47_wrong_verb_on_a_procedure(door: Door, verb: str) -> None:
    status, body, _ = await door.ask(verb, f"/xrpc/{DO}", Content_Type="application/json")
    assert status == 400
    assert verb == "HEAD" or body["message"] == "Incorrect HTTP method"


async def test_s64_public_reads_are_open_to_web_pages(door: Door) -> None:
    for path in (f"/xrpc/{GET}", f"/xrpc/{GET}?limit=0", "/xrpc/com.example.broken", "/xrpc/com.example.nothing"):
        _, _, headers = await door.ask("GET", path, Origin="https://example.com")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers
    asked = {"Origin": "https://example.com", "Access_Control_Request_Method": "GET"}
    status, _, headers = await door.ask("OPTIONS", f"/xrpc/{GET}", **asked)
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert "authorization" in headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


async def test_s64_procedures_are_not(door: Door) -> None:
    asked = {"Origin": "https://example.com", "Access_Control_Request_Method": "POST"}
    for verb in ("OPTIONS", "POST"):
        _, _, headers = await door.ask(verb, f"/xrpc/{DO}", **asked)
        assert not [name for name in headers if name.lower().startswith("access-control")]


REFUSED_HTTP = [
    b"garbage\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 200 + b"\r\n",
    b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /xrpc/com.example.get?limit=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\nExpect: cake\r\nConnection: close\r\n\r\n",
    b"GET /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Content-Length: 3\r\n\r\nabc",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n{}\r\n0\r\n\r\n",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    b"POST /xrpc/com.example.do HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("data", REFUSED_HTTP)
async def test_s63_requests_with_two_readings(door: Door, data: bytes) -> None:
    answer = await door.send(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"400"
    assert json.loads(body)["error"] == "InvalidRequest"


@pytest.mark.parametrize("target", [b"OPTIONS *", b"CONNECT example.com:443", b"CONNECT /xrpc/com.example.get"])
async def test_targets_that_no_route_can_match(door: Door, target: bytes) -> None:
    answer = await door.send(target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.endswith(b'{"error":"NotFound","message":"Not found"}')


async def test_s62_slow_and_idle_connections_are_closed(door: Door) -> None:
    assert await door.send(b"") == b""
    assert await door.send(b"GET /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\nA: ") == b""
    answer = await door.send(b"GET /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    second = b"GET /xrpc/com.example.get HTTP/1.1\r\nHost: x\r\n\r\nGET /xrpc/"
    assert (await door.send(second)).count(b"HTTP/1.1") == 1


async def test_s62_a_dripping_head_does_not_buy_time(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET / HTTP/1.1\r\nA: ")
    async with asyncio.timeout(5):
        while True:
            try:
                assert await asyncio.wait_for(reader.read(1), 0.02) == b""
                break
            except TimeoutError:
                writer.write(b"a")
            except ConnectionError:
                break
    writer.close()


def test_registration_is_strict() -> None:
    async def nothing(_: Call) -> bytes:
        return b"{}"

    def query(nsid: str) -> Query:
        return Query(nsid, Params(), nothing)

    for bad in ([query(GET), query(GET)], [query("com.example")], [query("com.example.{x}")], [query("")]):
        with pytest.raises(ValueError, match=r"twice|NSID"):
            mount(web.Application(), bad)
    app = web.Application()
    mount(app, [query(GET), query("_health")])
    with pytest.raises(ValueError, match="already"):
        mount(app, [query(DO)])


async def test_close_lets_running_requests_end(door: Door) -> None:
    app = web.Application()
    mount(app, methods(door.release, door.entered))
    listener = await listen(app, "127.0.0.1", 0, shutdown_timeout=5)
    url = f"http://127.0.0.1:{listener.port}/xrpc/com.example.slow"
    running = asyncio.create_task(door.client.get(url))
    await asyncio.wait_for(door.entered.wait(), 5)
    closing = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    door.release.set()
    assert (await running).status == 200
    await asyncio.wait_for(closing, 5)
    with pytest.raises(aiohttp.ClientConnectionError):
        await door.client.get(url)


async def test_close_has_a_deadline(door: Door) -> None:
    app = web.Application()
    mount(app, methods(door.release, door.entered))
    listener = await listen(app, "127.0.0.1", 0, shutdown_timeout=0.2)
    running = asyncio.create_task(door.client.get(f"http://127.0.0.1:{listener.port}/xrpc/com.example.slow"))
    await asyncio.wait_for(door.entered.wait(), 5)
    await asyncio.wait_for(listener.close(), 5)
    with pytest.raises(aiohttp.ClientError):
        await running


async def test_a_taken_port_is_an_error(door: Door) -> None:
    with pytest.raises(OSError, match="in use"):
        await listen(web.Application(), "127.0.0.1", door.port)


class Fuzz:
    """Requests that are nearly right: good ones with parts swapped, doubled, cut or overwritten."""

    VERBS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE", "CONNECT", "get", "G\0T")
    PATHS = (
        f"/xrpc/{GET}",
        f"/xrpc/{DO}",
        "/xrpc/",
        "/",
        "*",
        "/xrpc/com.example.x",
        "//",
        "/xrpc/%2e%2e",
        "http://x/",
    )
    QUERIES = ("", "?limit=5", "?limit=%FF", "?limit=５", "?limit=5&limit=6", "?%00=%", "?" + "a=b&" * 500, "?;=&&==")
    HEADERS = (
        "Host: x", "Host: [", "Content-Type: application/json", "Content-Type: text/plain", "Content-Length: 2",
        "Content-Length: 99", "Content-Length: 0", "Transfer-Encoding: chunked", "Content-Encoding: gzip",
        "Authorization: Bearer x", "Authorization: Basic", "Expect: 100-continue", "Expect: x", "Upgrade: websocket",
        "Upgrade: h2c", "Connection: keep-alive", "Connection: Upgrade", "Origin: null", "Cookie: a=b; c",
        "Access-Control-Request-Method: GET", "Range: bytes=0-", "X: \x7f", "Accept: text/html", "X" * 300,
    )  # fmt: skip
    BODIES = (b"", b"{}", b"[]", b'{"a":1,"a":2}', b"[" * 900, b"\xff" * 50, b"2\r\n{}\r\n0\r\n\r\n", b"x" * 2000)

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, values: Sequence[Any]) -> Any:
        """Half of the time the first value, which is a good one."""
        return values[0] if self.random.random() < 0.5 else self.random.choice(values)

    def request(self) -> bytes:
        headers = ["Host: x", "Connection: close"] if self.random.random() < 0.8 else []
        headers += [self.random.choice(self.HEADERS) for _ in range(self.random.randrange(4))]
        target = self.pick(self.PATHS) + self.pick(self.QUERIES)
        text = f"{self.pick(self.VERBS)} {target} HTTP/1.1\r\n" + "\r\n".join(headers) + "\r\n\r\n"
        data = bytearray(text.encode() + self.pick(self.BODIES))
        if self.random.random() < 0.3:
            for _ in range(self.random.randrange(1, 4)):
                data[self.random.randrange(len(data))] = self.random.randrange(256)
        return bytes(data)


def answers(stream: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer in what a connection sent; interim ones (100) are left out."""
    found = []
    while stream:
        head, gap, stream = stream.partition(b"\r\n\r\n")
        assert gap and head.startswith(b"HTTP/"), head[:80]
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            continue
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", b"0"))
        if status != 204:
            assert fields[b"content-type"] == b"application/json"
        body, stream = (stream[:length], stream[length:]) if not stream.startswith(b"HTTP/") else (b"", stream)
        found.append((status, body))
    return found


async def test_s61_fuzzed_requests_never_break_the_door(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    fuzz = Fuzz(20260820)
    gate = asyncio.Semaphore(50)
    seen: list[int] = []

    async def one(data: bytes) -> None:
        async with gate:
            stream = await door.send(data)
        for status, body in answers(stream):
            assert status in (200, 204, 400, 404, 408, 413, 415, 501), (status, data)
            if body:
                answer = json.loads(body)
                assert ("error" in answer) == (status != 200), data
            seen.append(status)

    await asyncio.gather(*(one(fuzz.request()) for _ in range(3000)))
    assert set(seen) >= {200, 400, 404, 501} and len(seen) > 2000
    assert not caplog.records, "nothing a stranger sends is an error of ours"
