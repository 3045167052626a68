"""A Jetstream server that retells the relay's history: version 1 (`/subscribe`) and version 2 (`subscribeEvents`).

Every event has a seq of this server and a strictly rising time in microseconds. Like the relay, every subscriber runs
the same loop over one list.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import zstandard
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.world.account import Account
from tests.world.clock import iso
from tests.world.faults import Faults, Script
from tests.world.listener import Listener
from tests.world.relay import Entry, Relay
from tests.world.retelling import Told, holdings, retell

NSID = "network.bsky.jetstream"
V1, V2, DICTIONARY = "/subscribe", f"/xrpc/{NSID}.subscribeEvents", f"/xrpc/{NSID}.getZstdDictionary"
TIMES_FROM = 10**15
OPTIONS = {
    V1: {"wantedCollections", "wantedDids", "maxMessageSizeBytes", "cursor", "compress", "requireHello"},
    V2: {"cursor", "kinds", "dids", "collections", "maxMessageSizeBytes", "zstdDictionary"},
}


@dataclass(frozen=True)
class Line:
    """An event of this server's list; `raw` is sent as it is, to whoever is connected."""

    seq: int
    time_us: int
    told: Told | None
    raw: bytes = b""


@dataclass
class Visit:
    """One connection: its path and query, and the events that it was sent."""

    path: str
    query: dict[str, list[str]]
    user_agent: str
    sent: list[Line] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    open: bool = True
    at: int = 0
    """Ordinal of the event that it is sent next."""

    @property
    def cursor(self) -> int | None:
        """The cursor that was asked for."""
        return int(self.query["cursor"][0]) if "cursor" in self.query else None


def _subprotocol(connection: ServerConnection, offered: Sequence[Any]) -> Any:
    assert connection.request is not None
    return "xrpc.v1.json" if "xrpc.v1.json" in offered and connection.request.path.startswith(V2) else None


class Jetstream(Listener):
    """See the module. `versions`: which of the two it speaks; `retention`: events kept (None: all)."""

    SERVER: ClassVar[dict[str, Any]] = {"max_size": 1 << 16, "select_subprotocol": _subprotocol}

    def __init__(self, relay: Relay, *, first_seq: int = 50_000_000) -> None:
        self.versions: Sequence[int] = (1, 2)
        self.retention: int | None = None
        self.future_is_error = False
        self.dictionary: bytes | None = None
        self.slow: tuple[int, float, float] | None = None
        """Who is so many events behind, and has taken fewer than so many a second for so many seconds, is dropped."""
        self.dropped = 0
        """How many were."""
        self.faults = Faults()
        self.lines: list[Line] = []
        self.visits: list[Visit] = []
        self.asked: list[str] = []
        """Queries for a dictionary."""
        self.rewrite: Callable[[bytes], bytes] = lambda message: message
        """What is sent instead of a message."""
        self.pack: Callable[[bytes], bytes] = lambda message: self._packer().compress(message)
        self._next = first_seq
        self._time = 0
        self._trimmed = 0
        self._scripts: dict[int, Script] = {}
        super().__init__(relay)

    @property
    def head(self) -> int:
        """The last seq given out."""
        return self._next - 1

    def url(self, scheme: str = "jetstream") -> str:
        """As a setting names it."""
        return f"{scheme}+ws://{self.host}"

    def _absorb(self, entry: Entry) -> None:
        for told in retell(entry):
            self._add(told, int(datetime.fromisoformat(told.time).timestamp() * 1_000_000))

    def _add(self, told: Told | None, time_us: int, raw: bytes = b"") -> None:
        self._time = max(self._time + 1, time_us)
        self.lines.append(Line(self._next, self._time, told, raw))
        self._next += 1
        if self.retention is not None and len(self.lines) > self.retention:
            self._trimmed += len(self.lines) - self.retention
            del self.lines[: len(self.lines) - self.retention]
        self._wake()

    def resync(self, account: Account) -> None:
        """Tell a repository anew, as after having read it whole."""
        for told in holdings(account):
            self._add(told, self._time)

    def inject(self, raw: bytes) -> None:
        """Send any bytes at all; they take a place of their own."""
        self._add(None, 0, raw)

    def _packer(self) -> zstandard.ZstdCompressor:
        assert self.dictionary is not None
        return zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(self.dictionary))

    # The request

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        if parts.path == DICTIONARY:
            return self._give_dictionary(parts.query, query)
        if parts.path not in (V1, V2) or (1 if parts.path == V1 else 2) not in self.versions:
            return connection.respond(404, "no such path\n")
        script = self.faults.take()
        refusal = None
        if script.refuse is not None:
            status, headers, body = script.refuse
            refusal = Response(status, "refused", Headers({"Content-Length": str(len(body))} | dict(headers)), body)
        elif name := self._fault(parts.path, query, request):
            refusal = _error(name)
        if refusal is not None:
            self._visit(request).open = False
            self._wake()
            return refusal
        self._scripts[id(connection)] = script
        return None

    def _give_dictionary(self, asked: str, query: dict[str, list[str]]) -> Response:
        self.asked.append(asked)
        if self.dictionary is None or query.get("id", [str(_id(self.dictionary))]) != [str(_id(self.dictionary))]:
            return _error("UnknownZstdDictionary")
        kind = {"Content-Type": "application/octet-stream", "Content-Length": str(len(self.dictionary))}
        return Response(200, "OK", Headers({"Connection": "close"} | kind), self.dictionary)

    def _fault(self, path: str, query: dict[str, list[str]], request: Request) -> str:
        """The name of what is wrong with a request; empty when nothing is."""
        cursor = query.get("cursor", ["1"])[0]
        if set(query) - OPTIONS[path] or not cursor.isdecimal():
            return "InvalidRequest"
        if path == V1:
            if "compress" in query and (self.dictionary is None or "Sec-WebSocket-Extensions" in request.headers):
                return "InvalidRequest"
            return ""
        if len(query.get("collections", ())) > 100:
            return "InvalidRequest"
        if "zstdDictionary" in query and (
            self.dictionary is None or query["zstdDictionary"] != [str(_id(self.dictionary))]
        ):
            return "UnknownZstdDictionary"
        old = self._trimmed and "cursor" in query and int(cursor) < (self.lines[0].seq if self.lines else self._next)
        return "CursorTooOld" if old else ""

    def _visit(self, request: Request) -> Visit:
        parts = urlsplit(request.path)
        self.visits.append(Visit(parts.path, parse_qs(parts.query), request.headers.get("User-Agent", "")))
        return self.visits[-1]

    # The connection

    async def _serve(self, connection: ServerConnection) -> None:
        script = self._scripts.pop(id(connection))
        assert connection.request is not None
        end = self._trimmed + len(self.lines)
        visit = self._visit(connection.request)
        self._wake()
        player = asyncio.ensure_future(self._play(connection, visit, script, end))
        listener = asyncio.ensure_future(self._listen(connection, visit))
        minder = asyncio.ensure_future(self._mind(connection, visit))
        try:
            await asyncio.wait({player, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (player, listener, minder):
                task.cancel()
            await asyncio.gather(player, listener, minder, return_exceptions=True)
            visit.open = False
            self._wake()
        if player.done() and not player.cancelled() and (fault := player.exception()):
            raise fault

    async def _listen(self, connection: ServerConnection, visit: Visit) -> None:
        try:
            async for message in connection:
                visit.received.append(message)
                await connection.close(1008, "nothing is to be sent")
        except ConnectionClosed:
            return

    async def _mind(self, connection: ServerConnection, visit: Visit) -> None:
        """Drop a reader that is far behind and slow."""
        while self.slow is not None:
            behind, rate, seconds = self.slow
            before = len(visit.sent)
            await asyncio.sleep(seconds)
            if self._trimmed + len(self.lines) - visit.at > behind and len(visit.sent) - before < rate * seconds:
                self.dropped += 1
                if visit.path == V2:
                    await connection.send(_terminal("ConsumerTooSlow", "too far behind"))
                await connection.close(1008)
                return

    async def _start(self, connection: ServerConnection, visit: Visit, end: int) -> int | None:
        """Ordinal of the first event to send; None when the connection is over."""
        cursor = visit.cursor
        if cursor is None:
            return end
        by_time = visit.path == V1 or cursor >= TIMES_FROM
        if cursor > (self._time if by_time else self.head):
            if visit.path == V2 and self.future_is_error:
                await connection.send(_terminal("FutureCursor", "in the future"))
                await connection.close(1008)
                return None
            return end
        if visit.path == V2 and by_time and self._trimmed and self.lines and cursor < self.lines[0].time_us:
            info = {"$type": f"{NSID}.subscribeEvents#info", "name": "OutdatedCursor"}
            await connection.send(json.dumps({"$type": "message", "payload": info}))
        older = (at for at, line in enumerate(self.lines) if (line.time_us if by_time else line.seq) >= cursor)
        return self._trimmed + next(older, len(self.lines))

    async def _play(self, connection: ServerConnection, visit: Visit, script: Script, end: int) -> None:
        try:
            at = await self._start(connection, visit, end)
            visit.at = end if at is None else at
            while at is not None:
                changed = self._changed
                at = max(at, self._trimmed)
                while at < self._trimmed + len(self.lines) and not script.stops(len(visit.sent)):
                    line = self.lines[at - self._trimmed]
                    if line.told is not None and wanted(visit, line.told):
                        await self._deliver(connection, visit, script, line)
                    elif line.told is None and at >= end:
                        await _send(connection, line.raw)
                    visit.at = at = max(at + 1, self._trimmed)
                if script.stops(len(visit.sent)):
                    await _end(connection, script, len(visit.sent))
                await changed.wait()
        except ConnectionClosed:
            return

    async def _deliver(self, connection: ServerConnection, visit: Visit, script: Script, line: Line) -> None:
        visit.sent.append(line)
        message = json.dumps(_v1(line) if visit.path == V1 else _v2(line), ensure_ascii=False).encode()
        message = self.rewrite(message)
        edit = script.edits.get(len(visit.sent))
        for one in edit(message) if edit else (message,):
            packed = "compress" in visit.query or "zstdDictionary" in visit.query
            await _send(connection, self.pack(one) if packed else one, packed)
        self._wake()


def _v1(line: Line) -> dict[str, Any]:
    told = line.told
    assert told is not None
    return {"did": told.did, "time_us": line.time_us, "kind": told.kind, told.kind: told.body}


def _v2(line: Line) -> dict[str, Any]:
    told = line.told
    assert told is not None
    inner = told.body if told.kind == "commit" else {told.kind: told.body}
    payload = {
        "$type": f"{NSID}.subscribeEvents#{told.kind}",
        "seq": line.seq,
        "did": told.did,
        "time": iso(line.time_us),
        **inner,
    }
    return {"$type": "message", "payload": payload}


def wanted(visit: Visit, told: Told) -> bool:
    """Whether an event passes the filters of a connection."""
    if visit.path == V1 and told.kind == "sync":
        return False
    if told.kind not in visit.query.get("kinds", [told.kind]):
        return False
    dids = visit.query.get("wantedDids" if visit.path == V1 else "dids")
    if dids and told.did not in dids:
        return False
    names = visit.query.get("wantedCollections" if visit.path == V1 else "collections")
    if not names or told.kind != "commit":
        return True
    return any(
        told.collection.startswith(name[:-1]) if name.endswith(".*") else told.collection == name for name in names
    )


def _error(name: str) -> Response:
    body = json.dumps({"error": name, "message": "refused"}).encode()
    return Response(
        400, "Bad Request", Headers({"Content-Type": "application/json", "Content-Length": str(len(body))}), body
    )


def _terminal(name: str, text: str) -> str:
    return json.dumps({"$type": "error", "error": name, "message": text})


def _id(dictionary: bytes) -> int:
    return int.from_bytes(dictionary[4:8], "little")


async def _send(connection: ServerConnection, message: bytes, binary: bool = False) -> None:
    try:
        await connection.send(message if binary else message.decode())
    except UnicodeDecodeError:
        await connection.send(message)


async def _end(connection: ServerConnection, script: Script, sent: int) -> None:
    if script.error_after and sent >= script.error_after[0]:
        await connection.send(_terminal(*script.error_after[1:]))
        await connection.close(1008)
    elif script.close_after and sent >= script.close_after[0]:
        await connection.close(*script.close_after[1:])
    elif script.abort_after is not None and sent >= script.abort_after:
        connection.transport.abort()
