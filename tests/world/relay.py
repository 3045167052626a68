"""The relay: one ordered history of frames and a WebSocket server that plays it from any cursor.

Every subscriber runs the same loop over the history, so there is no seam between replay and live.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.world import frames
from tests.world.clock import Clock
from tests.world.faults import Faults, Script, wire

Damage = Callable[[bytes], bytes]
PATH = "/xrpc/com.atproto.sync.subscribeRepos"


@dataclass(frozen=True)
class Entry:
    """A frame of the history, the seq it went out under, and the account it is about."""

    seq: int
    frame: bytes
    did: str | None
    retained: bool = True
    fault: str = ""
    """What is wrong with it; counted whenever it is sent."""


@dataclass
class _Held:
    """An event that was sent and has not gone out yet."""

    kind: str
    body: dict[str, Any]
    did: str
    frame: bytes

    def follows(self, earlier: "_Held") -> bool:
        """Whether it must not overtake an earlier one."""
        return self.did == earlier.did or self.did.encode() in earlier.frame or earlier.did.encode() in self.frame


@dataclass
class Session:
    """One connection: the cursor it asked for, its User-Agent, how far it was served, and with what it was closed."""

    cursor: int | None
    user_agent: str
    sent: int = 0
    last_seq: int = 0
    open: bool = True
    code: int | None = None


class Relay:
    """See the module. `manners`: a PDS says that a cursor is out of range, a relay does not."""

    def __init__(self, clock: Clock, fired: Counter[str] | None = None) -> None:
        self.manners: Literal["pds", "relay"] = "pds"
        self.careful = True
        self.retention: int | None = None
        self.ping_interval: float | None = 20
        self.faults = Faults(fired)
        self.sessions: list[Session] = []
        self.history: list[Entry] = []
        self.listeners: list[Callable[[Entry], None]] = []
        """Called with each entry when it is sent: servers that retell this relay's history."""
        self.url = ""
        self._clock = clock
        self._trimmed = 0
        self._next = 1
        self._changed = asyncio.Event()
        self._server: Server | None = None
        self._scripts: dict[int, Script] = {}
        self._held: list[_Held] | None = None
        self._damage: deque[tuple[str, Damage]] = deque()

    @property
    def head(self) -> int:
        """The last seq given out."""
        return self._next - 1

    @property
    def connections(self) -> list[int | None]:
        """The cursor of every connection so far, None where none was asked for."""
        return [session.cursor for session in self.sessions]

    def send(self, kind: str, payload: Mapping[str, Any], *, fault: str = "") -> int:
        """Give an event its `seq` and `time`, where it has none, and send it; returns the seq (0 while `shuffled`).
        `fault`: what is wrong with it.
        """
        body: dict[str, Any] = {"time": self._clock.iso()} | dict(payload)
        did = body.get("repo") or body.get("did")
        if self._held is not None:
            self._held.append(_Held(kind, body, str(did), frames.message(kind, body)))
            return 0
        if self._damage and kind == "#commit" and any(op["cid"] for op in body["ops"]):
            name, damage = self._damage.popleft()
            wrong = {"seq": self._next} | body | {"blocks": damage(body["blocks"])}
            self.emit(frames.message(kind, wrong), did=did, fault=name)
        return self.emit(frames.message(kind, {"seq": self._next} | body), did=did, fault=fault)

    def send_of_another_host(self, kind: str, payload: Mapping[str, Any]) -> int:
        """An event about an account that lives elsewhere: passed on by a relay that is not `careful`."""
        self.faults.fired["event of a host that was left"] += 1
        return self.head if self.careful else self.send(kind, payload)

    def damage(self, name: str, damage: Damage) -> None:
        """Let the next commit that puts something come twice: first with blocks that `damage` made, under a seq of its
        own, and then as it should.
        """
        self._damage.append((name, damage))

    @contextmanager
    def shuffled(self, rng: random.Random) -> Iterator[None]:
        """What is sent meanwhile goes out at the end, in another order: relays keep that of each account only.

        Two events of which one names the account of the other keep theirs too, as an answer never overtakes its post.
        """
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        moved = 0
        while held:
            ready = [one for at, one in enumerate(held) if not any(one.follows(other) for other in held[:at])]
            chosen = rng.choice(ready)
            moved += chosen is not held[0]
            held.remove(chosen)
            self.send(chosen.kind, chosen.body)
        if moved:
            self.faults.fired["events reordered"] += moved

    def emit(self, frame: bytes, *, did: str | None = None, retained: bool = True, fault: str = "") -> int:
        """Send any bytes at all; they take the next seq as their place, which is returned.

        With `retained=False` only those see the frame who are connected now. `fault`: what is wrong with it.
        """
        seq = self._next
        self._next += 1
        self.history.append(Entry(seq, frame, did, retained, fault))
        for listener in self.listeners:
            listener(self.history[-1])
        if self.retention is not None and len(self.history) > self.retention:
            surplus = len(self.history) - self.retention
            del self.history[:surplus]
            self._trimmed += surplus
        self._wake()
        return seq

    def info(self, name: str, text: str = "") -> int:
        """Send `#info`, which carries no seq, to those who are connected now."""
        return self.emit(frames.message("#info", {"name": name, "message": text}), retained=False)

    def jump(self, seqs: int) -> None:
        """Leave out this many seqs; a negative number makes coming seqs repeat earlier ones."""
        self._next += seqs
        self.faults.fired["seqs jumped"] += 1

    def rebuild(self, seq: int = 1) -> None:
        """Lose the whole history and count on from `seq`, as a relay that was set up anew."""
        self._trimmed += len(self.history)
        self.history.clear()
        self._next = seq
        self._wake()

    def trim(self) -> None:
        """Lose the whole history, and count on: what was sent until now is no longer to be had."""
        self._trimmed += len(self.history)
        self.history.clear()

    def forget(self, did: str) -> None:
        """Take everything an account sent out of the history, as a PDS does when an account is deleted."""
        self.history = [Entry(e.seq, b"", None, False) if e.did == did else e for e in self.history]
        if self._held is not None:
            self._held[:] = [held for held in self._held if held.did != did]

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            compression=None,
            ping_interval=self.ping_interval,
            max_size=1 << 16,
        )
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def drop(self, code: int = 1001, reason: str = "") -> None:
        """Close the connections that are open now."""
        assert self._server is not None
        await asyncio.gather(*(one.close(code, reason) for one in list(self._server.connections)))

    async def fail(self, name: str, text: str = "") -> None:
        """Send an error frame on the connections that are open now, and close them."""
        assert self._server is not None
        for one in list(self._server.connections):
            await one.send(frames.error(name, text))
        await self.drop(1008, name)

    async def until(self, condition: Callable[[], object], deadline: float = 10) -> None:
        """Wait until something about the relay holds; TimeoutError after `deadline` seconds."""
        async with asyncio.timeout(deadline):
            while True:
                changed = self._changed
                if condition():
                    return
                await changed.wait()

    async def connected(self, count: int, deadline: float = 10) -> Session:
        """Wait for the connection of that number, counted from 1 over the relay's whole life."""
        await self.until(lambda: len(self.sessions) >= count, deadline)
        return self.sessions[count - 1]

    async def delivered(self, seq: int, deadline: float = 10) -> None:
        """Wait until an open connection was sent everything up to `seq`."""
        await self.until(lambda: any(s.open and s.last_seq >= seq for s in self.sessions), deadline)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path != PATH:
            return connection.respond(404, "no such stream\n")
        script = self.faults.take()
        if script.refuse is not None:
            status, headers, body = script.refuse
            self.faults.fired[f"refused with {status}" + (", Retry-After" if "Retry-After" in headers else "")] += 1
            session = self._session(request)
            session.open = False
            self._wake()
            return Response(status, "refused", Headers({"Content-Length": str(len(body))} | dict(headers)), body)
        self._scripts[id(connection)] = script
        return None

    def _session(self, request: Request) -> Session:
        query = parse_qs(urlsplit(request.path).query)
        cursor = int(query["cursor"][0]) if "cursor" in query else None
        self.sessions.append(Session(cursor, request.headers.get("User-Agent", "")))
        return self.sessions[-1]

    async def _serve(self, connection: ServerConnection) -> None:
        script = self._scripts.pop(id(connection))
        assert connection.request is not None
        # Fixed before anybody learns of the connection: what is sent after `connected` belongs to it.
        end = self._trimmed + len(self.history)
        session = self._session(connection.request)
        self._wake()
        player = asyncio.ensure_future(self._play(connection, session, script, end))
        gone = asyncio.ensure_future(connection.wait_closed())
        try:
            await asyncio.wait({player, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            player.cancel()
            gone.cancel()
            await asyncio.gather(player, gone, return_exceptions=True)
            session.open, session.code = False, connection.close_code
            self._wake()
        if player.done() and not player.cancelled() and (fault := player.exception()):
            raise fault

    async def _start(self, connection: ServerConnection, cursor: int | None, end: int) -> int | None:
        """Ordinal of the first entry to send; None when the connection is over. `end` is that of the next live one."""
        if cursor is None:
            return end
        if cursor > self.head:
            if self.manners == "relay":
                return end
            self.faults.fired["error frame FutureCursor"] += 1
            await connection.send(frames.error("FutureCursor", "Cursor in the future."))
            await connection.close(1008, "FutureCursor")
            return None
        if self.manners == "pds" and self._trimmed and (not self.history or cursor < self.history[0].seq - 1):
            note = {
                "name": "OutdatedCursor",
                "message": "Requested cursor exceeded limit. Possibly missing events",
            }
            self.faults.fired["OutdatedCursor"] += 1
            await connection.send(frames.message("#info", note))
        older = (at for at, entry in enumerate(self.history) if entry.seq > cursor)
        return self._trimmed + next(older, len(self.history))

    async def _play(self, connection: ServerConnection, session: Session, script: Script, end: int) -> None:
        try:
            for change in script.first:
                self.faults.fired[change.name] += 1
                for frame in change(b""):
                    await connection.send(frame)
            at = await self._start(connection, session.cursor, end)
            while at is not None:
                changed = self._changed
                at = max(at, self._trimmed)
                while at < self._trimmed + len(self.history) and not script.stops(session.sent):
                    entry = self.history[at - self._trimmed]
                    if entry.retained or (entry.frame and at >= end):
                        if earlier := script.again.get(session.sent + 1):
                            place = at - self._trimmed
                            await self._again(connection, self.history[max(0, place - earlier) : place])
                        await self._deliver(connection, session, script, entry)
                    at = max(at + 1, self._trimmed)
                if script.stops(session.sent):
                    await self._end(connection, script, session.sent)
                await changed.wait()
        except ConnectionClosed:
            return

    async def _again(self, connection: ServerConnection, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.retained:
                self.faults.fired["older events again"] += 1
                await connection.send(entry.frame)

    async def _deliver(self, connection: ServerConnection, session: Session, script: Script, entry: Entry) -> None:
        session.sent += 1
        number = session.sent
        if entry.fault:
            self.faults.fired[entry.fault] += 1
        if number in script.breaks:
            self.faults.fired["connection broken inside a frame"] += 1
            raw = wire(entry.frame)
            connection.transport.write(raw[: script.breaks[number] % len(raw)])
            connection.transport.close()
            await connection.wait_closed()
        for frame in self.faults.change(script, number, entry.frame):
            if number in script.pieces and isinstance(frame, bytes) and frame:
                self.faults.fired["message in fragments"] += 1
                size = -(-len(frame) // script.pieces[number])
                await connection.send([frame[at : at + size] for at in range(0, len(frame), size)])
            else:
                await connection.send(frame)
        session.last_seq = entry.seq
        self._wake()

    async def _end(self, connection: ServerConnection, script: Script, sent: int) -> None:
        """Play how the script ends, once its frames are out; a stall just stays silent."""
        if not script.ended:
            script.ended = True
            self.faults.fired[_ending(script, sent)] += 1
        if script.error_after and sent >= script.error_after[0]:
            await connection.send(frames.error(*script.error_after[1:]))
            await connection.close(1008)
        elif script.close_after and sent >= script.close_after[0]:
            await connection.close(*script.close_after[1:])
        elif script.abort_after is not None and sent >= script.abort_after:
            connection.transport.abort()


def _ending(script: Script, sent: int) -> str:
    """How a script ends after so many frames, in words."""
    if script.error_after and sent >= script.error_after[0]:
        return f"error frame {script.error_after[1]}"
    if script.close_after and sent >= script.close_after[0]:
        return f"closed with {script.close_after[1]}"
    return "connection dropped" if script.abort_after is not None and sent >= script.abort_after else "stall"
