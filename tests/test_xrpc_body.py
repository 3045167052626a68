import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from xrpc.body import _unpack
from xrpc.errors import PayloadTooLarge
from xrpc.listener import listen
from xrpc.params import Params
from xrpc.server import Call, Procedure, mount
from xrpc.strict_json import parse_json

JSON = {"Content-Type": "application/json"}
LIMIT = 1000


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def echo(call: Call) -> Mapping[str, Any]:
        return {"body": call.body}

    app = web.Application()
    mount(app, [Procedure("com.example.echo", Params(), echo, max_body=LIMIT, body_timeout=0.3)])
    listener = await listen(app, "127.0.0.1", 0, shutdown_timeout=1)
    yield f"http://127.0.0.1:{listener.port}/xrpc/com.example.echo"
    await listener.close()


async def post(url: str, body: Any, headers: Mapping[str, str] = JSON) -> tuple[int, Any]:
    skip = ("Content-Type",) if "Content-Type" not in headers else ()
    async with (
        aiohttp.ClientSession(skip_auto_headers=skip) as client,
        client.post(url, data=body, headers=headers) as response,
    ):
        answer = await response.json()
        return response.status, answer["error"] if "error" in answer else answer["body"]


async def chunked(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


async def test_a_json_object_arrives(url: str) -> None:
    body = {"a": [1, -(2**63), "é", None, True], "b": {}}
    assert await post(url, orjson.dumps(body)) == (200, body)
    assert await post(url, chunked(orjson.dumps(body))) == (200, body)


async def test_s56_size_limit_in_any_framing(url: str) -> None:
    fits, over = b'{"a":"' + b"x" * (LIMIT - 8) + b'"}', b'{"a":"' + b"x" * (LIMIT - 7) + b'"}'
    for frame in (bytes, chunked):
        assert (await post(url, frame(fits)))[0] == 200
        assert await post(url, frame(over)) == (413, "PayloadTooLarge")
        assert await post(url, frame(b" " * 1_000_000)) == (413, "PayloadTooLarge")


async def test_s57_encoded_bodies(url: str) -> None:
    body = b'{"a":1}'
    for encoding, packed in [
        ("gzip", gzip.compress(body)),
        ("GZIP", gzip.compress(body)),
        ("deflate", zlib.compress(body)),
        ("identity", body),
    ]:
        assert await post(url, packed, JSON | {"Content-Encoding": encoding}) == (200, {"a": 1})


async def test_s57_bombs_and_broken_streams(url: str) -> None:
    bomb = b'"' + b"x" * 500_000 + b'"'
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        headers = JSON | {"Content-Encoding": encoding}
        packed = pack(bomb)
        assert len(packed) < LIMIT
        assert await post(url, packed, headers) == (413, "PayloadTooLarge")
        good = pack(b'{"a":1}')
        for broken in (b"", b"x", good[:-1], good[:5], good + b"x", good + good, b'{"a":1}'):
            assert await post(url, broken, headers) == (400, "InvalidRequest")


def test_s57_a_bomb_is_never_unpacked_whole() -> None:
    bomb = gzip.compress(b"x" * 50_000_000, 1)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            _unpack(bomb, "gzip", 64 * 1024)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "x", "gzip, gzip", "gzip, br", "aes128gcm"])
async def test_s57_unknown_encodings(url: str, encoding: str) -> None:
    assert await post(url, b"{}", JSON | {"Content-Encoding": encoding}) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-7", "application/jsonp", ""]
    + ["application/json; charset=utf-16", "application/json, text/plain", "application/json; x=y", "*/*", "json"]
    + ["application/x-www-form-urlencoded", "application/cbor", "application/json; charset=nonsense"],
)
async def test_s58_content_types_refused(url: str, kind: str) -> None:
    assert await post(url, b"{}", {"Content-Type": kind}) == (400, "InvalidRequest")


async def test_s58_no_content_type(url: str) -> None:
    assert await post(url, b"{}", {}) == (400, "InvalidRequest")


@pytest.mark.parametrize("kind", ["application/json;charset=utf-8", 'Application/JSON ; charset="UTF-8"'])
async def test_s58_content_types_read(url: str, kind: str) -> None:
    assert await post(url, b"{}", {"Content-Type": kind}) == (200, {})


BAD_JSON = {
    "empty": b"",
    "space": b" ",
    "list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "bad utf-8": b'{"a":"\xff"}',
    "overlong": b'{"a":"\xc0\xaf"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"a":1}'.encode("utf-16"),
    "raw surrogate": b'{"a":"\xed\xa0\x80"}',
    "escaped surrogate": b'{"a":"\\ud800"}',
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "fraction": b'{"a":1.5}',
    "exponent": b'{"a":1e3}',
    "65 bits": b'{"a":9223372036854775808}',
    "huge integer": b'{"a":' + b"9" * 900 + b"}",
    "doubled key": b'{"a":1,"a":1}',
    "doubled by escape": b'{"a":1,"\\u0061":2}',
    "doubled inside": b'{"a":[{"b":1,"b":2}]}',
    "deep": b'{"a":' * 70 + b"1" + b"}" * 70,
    "deeper": b"[" * 990,
    "comment": b"{}//",
    "trailing": b"{}{}",
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "control character": b'{"a":"\n"}',
    "NUL": b"{}\0",
}


@pytest.mark.parametrize("case", BAD_JSON)
async def test_s59_bad_json(url: str, case: str) -> None:
    assert await post(url, BAD_JSON[case]) == (400, "InvalidRequest")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_s59_depth_of_100000(opening: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(opening * 100_000)
    with pytest.raises(ValueError, match="deep"):
        parse_json(b"[" * 65 + b"]" * 65)
    assert parse_json(b"[" * 64 + b"]" * 64)


def test_s59_integer_of_5000_digits() -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(b"9" * 5000)


async def test_s62_a_body_that_never_ends_is_given_up(url: str) -> None:
    host, _, rest = url.removeprefix("http://").partition(":")
    port, _, path = rest.partition("/")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"RequestTimeout"' in answer


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(values)
def test_good_json_comes_back(value: Any) -> None:
    assert parse_json(orjson.dumps(value)) == value


@given(st.one_of(st.binary(), st.text(alphabet='{}[]":,0123456789eE.-+\\u"atrueflsn ').map(str.encode)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = parse_json(data)
    except ValueError:
        return
    assert parse_json(orjson.dumps(value)) == value
