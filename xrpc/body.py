"""The body of a procedure: size, encoding, content type, JSON, in that order and strictly (S56-S59).

The listener hands bodies over as they were sent (`xrpc.listener` switches aiohttp's own unpacking off), so
that the limit holds for the bytes on the wire and again for what they unpack to.
"""

import asyncio
import re
import zlib
from typing import Any

from aiohttp import web

from xrpc.errors import InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from xrpc.strict_json import parse_json

_JSON_TYPE = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def check_length(request: web.Request, limit: int) -> None:
    """Refuse a declared length over `limit` bytes before anything is read. Raises PayloadTooLarge."""
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge(f"The request body may have at most {limit} bytes")


def _unpack(data: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return data
    window = _WINDOW.get(encoding)
    if window is None:
        raise UnsupportedMediaType("The request body must be unencoded, gzip or deflate")
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise InvalidRequest("The request body cannot be unpacked") from None
    if len(plain) > limit:
        raise PayloadTooLarge(f"The request body may have at most {limit} bytes once unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequest("The request body cannot be unpacked")
    return plain


async def read_json(request: web.Request, limit: int, seconds: float) -> dict[str, Any]:
    """The JSON object in the request's body.

    It may have `limit` bytes in any framing, and take `seconds` to arrive. Raises PayloadTooLarge,
    UnsupportedMediaType, RequestTimeout or InvalidRequest.
    """
    check_length(request, limit)
    encoding = ",".join(request.headers.getall("Content-Encoding", ())).strip().lower()
    if encoding not in ("", "identity", *_WINDOW):
        raise UnsupportedMediaType("The request body must be unencoded, gzip or deflate")
    types = request.headers.getall("Content-Type", ())
    if len(types) != 1 or not _JSON_TYPE.fullmatch(types[0].strip()):
        raise InvalidRequest("The request body must be sent as application/json")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise PayloadTooLarge(f"The request body may have at most {limit} bytes")
                chunks.append(chunk)
    except TimeoutError:
        raise RequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidRequest("The request body did not arrive whole") from None
    data = _unpack(b"".join(chunks), encoding, limit)
    try:
        value = parse_json(data)
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return value
