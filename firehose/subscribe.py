"""The subscription to `com.atproto.sync.subscribeRepos`: connect, feed the pipeline, come back after every close.

Our own loop around a `websockets` connection. It returns only when it is told to stop. What makes it stand still
until an operator acts: a cursor in the stream's future, or a stream that starts below the cursor (the relay was
rebuilt).
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event
from websockets.typing import BytesLike

from firehose.frames import FrameError, StreamError
from firehose.pace import Pace
from firehose.pipeline import Pipeline, RewindError, StorageError
from firehose.times import pause

log = logging.getLogger(__name__)

NSID = "com.atproto.sync.subscribeRepos"
MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes; above the protocol's limit, so that a frame over that limit can still be passed over exactly."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
HEALTHY_SECONDS = 60.0
OPEN_SECONDS = 20.0
CLOSE_SECONDS = 5.0
LONGEST_HOLD = 10.0
"""For so long a connection is not read from while too much waits; then it is left, before the server must (A32)."""
UNUSUAL = 100
"""A silence is no accident when it lasts this many times as long as it usually is from one event to the next."""
MOST_QUIET = 6
"""How often the time is doubled that is given to a connection which brings nothing at all."""
TOO_BIG_TRIES = 3
TOO_BIG_STEPS = 16


SOCKET: dict[str, Any] = {"compression": None, "proxy": None, "max_size": MAX_MESSAGE}
"""How the connection is opened. Compression would cost more than it saves: the relay offers none."""


class _Crowded(Exception):
    """Too much waits, and has for too long."""


class _Connect(connect):
    """Follows no redirect: the operator named the source, nobody else may."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Every answer but an upgrade is a refusal."""
        return exc


class _Socket(ClientConnection):
    """A connection that hands each message on while it is read from the network, and holds none back.

    A queue between the two would cost a fifth of all the time, and would keep pings waiting behind what is queued.
    `fault` becomes the exception with which `receive` refused a message; nothing is handed on behind it. While
    `crowded` says so, nothing more is read; `held_at` is when that began, in seconds of the loop.
    """

    def __init__(
        self, receive: Callable[[bytes], None], crowded: Callable[[], bool], *args: Any, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.fault: asyncio.Future[None] = self.loop.create_future()
        self.held_at = 0.0
        self._receive = receive
        self._crowded = crowded
        self._parts = bytearray()
        self._text = False

    def process_event(self, event: Event) -> None:
        """Take a whole binary message; leave the handshake, pongs and the closing to the library."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.opcode is Opcode.BINARY and event.fin:
            self._hand_on(event.data)
        else:
            self._assemble(event)

    def _assemble(self, frame: Frame) -> None:
        """A message in several fragments; the library has checked their order and bounds their size. Texts are none of
        ours.
        """
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is not Opcode.BINARY
            self._parts.clear()
        self._parts += frame.data
        if frame.fin:
            message = bytes(self._parts)
            self._parts.clear()
            if not self._text:
                self._hand_on(message)

    def _hand_on(self, data: BytesLike) -> None:
        if not self.fault.done():
            try:
                self._receive(bytes(data))
            except Exception as error:
                self.fault.set_exception(error)
            if not self.held_at and self._crowded():
                self.held_at = self.loop.time()
                self.transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        self.held_at = 0.0
        self.transport.resume_reading()


class Backoff:
    """Seconds to wait before the next try: doubling, with jitter from the first, capped."""

    def __init__(
        self, rng: random.Random | None = None, *, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY
    ) -> None:
        self._rng = rng or random.Random()
        self._first, self._longest = first, longest
        self._delay = first

    def reset(self) -> None:
        """The connection was good."""
        self._delay = self._first

    def next(self, *, longest: bool = False) -> float:
        """The next delay; `longest` for faults that trying again will hardly mend."""
        self._delay = self._longest if longest else min(self._delay * 2, self._longest)
        return self._rng.uniform(self._delay / 2, self._delay)


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ended: `cause` is one of few, for counting; `detail` is for people. `delay` 0: as usual."""

    cause: str
    detail: str = ""
    delay: float = 0.0
    stand_still: bool = False

    def __str__(self) -> str:
        # The detail is the server's own words: they must not look like lines of ours, nor move a terminal's cursor.
        detail = "".join(sign if sign.isprintable() else "\ufffd" for sign in self.detail)
        return f"{self.cause}: {detail}" if detail else self.cause


class Subscription:
    """One source, read for as long as the process lives. `state` says in words how it stands."""

    def __init__(
        self,
        pipeline: Pipeline,
        user_agent: str,
        *,
        pace: Pace | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.state = "connecting"
        self.closes: Counter[str] = Counter()
        self._user_agent = user_agent
        self._pace = pace or Pace()
        self._backoff = backoff or Backoff()
        self._too_big = 0
        self._skip = 0
        self._tip = False
        self._silent = False
        self._quiet = 0
        self._before = 0
        self._again = asyncio.Event()

    def url(self) -> str:
        """Where to connect, with the cursor to continue behind (none: the live tip)."""
        parts = urlsplit(self.pipeline.source)
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/xrpc/{NSID}"
        if self._tip or (self.pipeline.committed is None and not self.pipeline.received):
            return base
        return f"{base}?cursor={self.pipeline.received + self._skip}"

    def ask_again(self) -> None:
        """What the open connection brought was not stored: leave it, and ask again from the stored cursor."""
        self._again.set()

    async def run(self, stop: asyncio.Event, reset: Callable[[], bool] = lambda: False) -> None:
        """Read until `stop` is set. `reset` says whether an operator moved the cursor of a source that stands still."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            began, before = loop.time(), self.pipeline.received
            end = await self._once(stop)
            if stop.is_set():
                break
            self.closes[end.cause] += 1
            if self.pipeline.received > before or loop.time() - began > HEALTHY_SECONDS:
                self._backoff.reset()
                self._too_big = self._skip = 0
                self._tip = False
            if end.stand_still:
                self.state = f"stopped: {end}"
                log.error("%s: %s. Nothing is read until `communities cursor reset`.", self.pipeline.source, end)
                await self._stand_still(stop, reset)
                continue
            delay = end.delay or self._backoff.next()
            self.state = f"reconnecting: {end}"
            log.warning("%s: %s; next try in %.1f s", self.pipeline.source, end, delay)
            await pause(stop, delay)
            while self.pipeline.crowded and not stop.is_set():
                await pause(stop, self._pace.tick)

    async def _stand_still(self, stop: asyncio.Event, reset: Callable[[], bool]) -> None:
        while not stop.is_set() and not reset():
            await pause(stop, self._pace.stand_still)
        self.pipeline.restore()

    async def _once(self, stop: asyncio.Event) -> End:
        """One connection, from opening to end."""
        self._again.clear()
        self.pipeline.connected()
        self._before = self.pipeline.kinds.total()
        try:
            opening = _Connect(
                self.url(),
                **SOCKET,
                create_connection=partial(_Socket, self.pipeline.receive, lambda: self.pipeline.crowded),  # type: ignore[arg-type]  # any callable will do
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
                user_agent_header=self._user_agent,
            )
            where = f"behind {after}" if (after := self.url().partition("?cursor=")[2]) else "at the live end"
            socket = await _unless(stop, opening)
            if socket is None:
                return End("stopped")
            async with socket:
                self.state = "reading"
                if self._tip:
                    self.pipeline.gaps.missed("a message in between could not be received", anew=True)
                log.info("%s: connected %s", self.pipeline.source, where)
                return await self._read(cast(_Socket, socket), stop)
        except InvalidStatus as error:
            return self._refused(error)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            return End("cannot connect", str(error) or type(error).__name__)

    def _refused(self, error: InvalidStatus) -> End:
        status = error.response.status_code
        if status == 429:
            given = error.response.headers.get_all("Retry-After")
            after = given[0] if len(given) == 1 else ""
            wanted = min(float(after), 600.0) if after.isascii() and after.isdecimal() else 0.0
            return End("refused with 429", "too many connections or requests", delay=wanted)
        if status in (405, 426, 501):
            return End(f"refused with {status}", "this is no event stream", delay=self._backoff.next(longest=True))
        return End(f"refused with {status}")

    async def _read(self, socket: _Socket, stop: asyncio.Event) -> End:
        closers = [asyncio.ensure_future(_close_on(told, socket)) for told in (stop, self._again)]
        watches = [asyncio.ensure_future(watch(socket)) for watch in (self._watch, self._ease)]
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            await asyncio.wait((closed, socket.fault), return_when=asyncio.FIRST_COMPLETED)
            if socket.fault.done():
                socket.fault.result()
            if self._again.is_set():
                return End("events could not be stored")
            if self._silent:
                return End("silent", f"no event for {self._pace.silence:.0f} s or more")
            return self._closed(socket.protocol.close_exc)
        except FrameError as error:
            return End("unreadable frame", str(error))
        except StreamError as error:
            cause = error.name if error.name in ("FutureCursor", "ConsumerTooSlow") else "error frame"
            return End(cause, str(error)[:300], stand_still=cause == "FutureCursor")
        except RewindError as error:
            return End("stream rewound", str(error), stand_still=True)
        except StorageError as error:
            return End("events could not be stored", str(error))
        except _Crowded:
            return End("too much waits", "read on once it is less")
        finally:
            for task in (*closers, *watches, closed):
                task.cancel()

    async def _watch(self, socket: ClientConnection) -> None:
        """Close a connection that answers pings and brings no events any more, although it used to.

        A small server may be quiet for hours, so silence is measured against what was usual on this connection. One
        that brings nothing at all, although earlier ones did, is given twice as long each time.
        """
        loop = asyncio.get_running_loop()
        self._silent = False
        began = since = loop.time()
        before, last = self._before, self.pipeline.kinds.total()
        while True:
            await asyncio.sleep(self._pace.silence / 6)
            if (total := self.pipeline.kinds.total()) != last:
                last, since = total, loop.time()
            elif total:
                if total > before:
                    self._quiet = 0
                    longest = max(self._pace.silence, UNUSUAL * (since - began) / (total - before))
                else:
                    longest = self._pace.silence * (1 << self._quiet)
                if loop.time() - since > longest:
                    self._quiet = min(self._quiet + (total == before), MOST_QUIET)
                    self._silent = True
                    await socket.close(1000)
                    return

    async def _ease(self, socket: _Socket) -> None:
        """Read on when less waits; leave a connection that was held for too long."""
        now = asyncio.get_running_loop().time
        while not socket.fault.done():
            await asyncio.sleep(self._pace.tick)
            if socket.held_at and not self.pipeline.crowded:
                socket.release()
            elif socket.held_at and now() - socket.held_at > LONGEST_HOLD and not socket.fault.done():
                socket.fault.set_exception(_Crowded())
                socket.release()  # what still comes is dropped; the closing stands behind it

    def _closed(self, closed: ConnectionClosed) -> End:
        code = closed.rcvd.code if closed.rcvd else closed.sent.code if closed.sent else 1006
        if code == 1009:
            return self._too_large()
        protocol_fault = code in (1002, 1003, 1007)
        # The code is the server's to choose, so only the usual ones get a name of their own.
        cause = f"closed with {code}" if 1000 <= code <= 1015 else "closed with another code"
        return End(
            cause,
            closed.rcvd.reason if closed.rcvd else "",
            self._backoff.next(longest=True) if protocol_fault else 0,
        )

    def _too_large(self) -> End:
        """A message over MAX_MESSAGE cannot be received: step over it by its number, then give up on the backlog."""
        self._too_big += 1
        if self._too_big >= TOO_BIG_TRIES:
            self._skip += 1
            log.error("a message behind %d is too large; asking behind %d", self.pipeline.received, self._skip)
        if self._skip > TOO_BIG_STEPS:
            self._tip = True
            log.error("no way past %d: going on at the live tip; events in between are lost", self.pipeline.received)
        return End("message too large")


async def _unless(stop: asyncio.Event, opening: Awaitable[ClientConnection]) -> ClientConnection | None:
    """The opened connection, or None when `stop` was set before: a server that never answers must not delay a stop."""
    opened, stopped = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((opened, stopped), return_when=asyncio.FIRST_COMPLETED)
        return opened.result() if opened.done() else None
    finally:
        for one in (opened, stopped):
            one.cancel()
        await asyncio.gather(opened, stopped, return_exceptions=True)


async def _close_on(stop: asyncio.Event, socket: ClientConnection) -> None:
    await stop.wait()
    await socket.close(1000)
