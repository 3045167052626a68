"""One subscriber of the stream of labels: its handshake, its format, how far it is, and what it may cost."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from labeler.frames import NSID
from labeler.pages import Published
from xrpc.errors import InvalidRequest, UpgradeRequired

CBOR, JSON = "xrpc.v0.cbor", "xrpc.v1.json"
LARGEST_CLIENT_FRAME = 4096
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


@dataclass(frozen=True, slots=True)
class Limits:
    """`total` and `per_client`: connections. `drain`: seconds in which what was sent must leave for the most part;
    `close`: for what is said at the end; `heartbeat`: between pings (half of it for the answer).
    """

    total: int = 2000
    per_client: int = 50
    drain: float = 30.0
    close: float = 5.0
    heartbeat: float = 30.0


LIMITS = Limits()


class Subscriber:
    """One connection. `cursor`: the `seq` of the last label that was given to it; `since`: microseconds."""

    __slots__ = ("client", "cursor", "ending", "listening", "published", "request", "since", "ws")

    def __init__(
        self, request: web.Request, ws: web.WebSocketResponse, published: Published, client: str | None, since: int
    ) -> None:
        self.request = request
        self.ws = ws
        self.published = published
        self.client = client
        self.since = since
        self.cursor = 0
        self.listening: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None

    @property
    def json(self) -> bool:
        """Whether it gets JSON."""
        return self.ws.ws_protocol == JSON

    def report(self) -> dict[str, Any]:
        """Labeler, client, format, cursor, lag (in `seq`s) and since when (microseconds)."""
        return {
            "labeler": self.published.labeler,
            "client": self.client or "",
            "format": "json" if self.json else "cbor",
            "cursor": self.cursor,
            "lag": max(0, self.published.head - self.cursor),
            "since": self.since,
        }


def check_handshake(request: web.Request) -> None:
    """Raise XrpcError for a request that cannot become a WebSocket; what is left is for aiohttp to see (S65)."""
    if request.headers.get("Upgrade", "").strip().lower() != "websocket":
        raise UpgradeRequired(f"{NSID} is read over a WebSocket")
    if not _KEY.fullmatch(request.headers.get("Sec-WebSocket-Key", "")):
        raise InvalidRequest("Not a WebSocket handshake: Sec-WebSocket-Key must be 16 bytes of base64")


def answered(request: web.Request, limits: Limits) -> tuple[web.Request, web.WebSocketResponse]:
    """The WebSocket in the first format that is asked for and known: CBOR when none is."""
    asked = [one.strip() for one in ",".join(request.headers.getall("Sec-WebSocket-Protocol", ())).split(",")]
    spoken = next((one for one in asked if one in (CBOR, JSON)), None)
    headers = request.headers.copy()
    headers.popall("Sec-WebSocket-Protocol", None)
    if spoken:
        headers["Sec-WebSocket-Protocol"] = spoken
    ws = web.WebSocketResponse(
        timeout=limits.close,
        heartbeat=limits.heartbeat,
        autoping=False,  # pings count as messages
        protocols=(spoken,) if spoken else (),
        # Signatures do not get smaller, and compressed frames could not be shared (S75).
        compress=spoken == JSON,
        max_msg_size=LARGEST_CLIENT_FRAME,
        writer_limit=1 << 40,  # waiting is for `_drain`, which has an end
    )
    return request.clone(headers=headers), ws
