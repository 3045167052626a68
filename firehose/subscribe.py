"""The subscription to an event stream: connect, feed the pipeline, come back after every close.

Our own loop around a `websockets` connection, the same for every kind of source (firehose/dialect.py). It returns only
when it is told to stop. What makes it stand still until an operator acts, unless there is another source to read: a
cursor in the stream's future, or a stream that starts below the cursor (the relay was rebuilt).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import aiohttp
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from firehose.backoff import Backoff, End, error_name
from firehose.compression import CompressionError
from firehose.dialect import REWIND, Dialect, Jetstream1, Jetstream2, SubscribeRepos, dialect_of
from firehose.dictionary import prepare
from firehose.frames import FrameError, StreamError
from firehose.jetstream import TIMES_FROM
from firehose.pace import Pace
from firehose.pipeline import Pipeline, RewindError
from firehose.source import Source, parse_source
from firehose.sources import OVERLAP, Order, Place, answers, find_start, first_event
from firehose.storage import StorageError
from firehose.times import now_micros, pause
from firehose.websocket import OPEN_SECONDS, Socket, connect

log = logging.getLogger(__name__)

HEALTHY_SECONDS = 60.0
LONGEST_HOLD = 10.0
"""For so long a connection is not read from while too much waits; then it is left, before the server must (A32)."""
UNUSUAL = 100
"""A silence is no accident when it lasts this many times as long as it usually is from one event to the next."""
MOST_QUIET = 6
"""How often the time is doubled that is given to a connection which brings nothing at all."""
TOO_BIG_TRIES = 3
TOO_BIG_STEPS = 16


class _Crowded(Exception):
    """Too much waits, and has for too long."""


class Subscription:
    """The sources in order of preference, one of them read, for as long as the process lives.

    `states` says in words how each stands, `ends` how often its connections ended and why; both by URL.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        user_agent: str,
        *,
        sources: Sequence[Source] = (),
        session: aiohttp.ClientSession | None = None,
        pace: Pace | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """The first of `sources` is the one that the pipeline begins with, and the only one when none are given.
        Without `session` no dictionary is fetched, so that nothing comes compressed.
        """
        self.pipeline = pipeline
        self.closes: Counter[str] = Counter()
        self.sources = tuple(sources) or (parse_source(pipeline.source),)
        self.states = {source.url: "in reserve" for source in self.sources}
        self.ends: dict[str, Counter[str]] = {source.url: Counter() for source in self.sources}
        self._dialects = [pipeline.dialect, *(dialect_of(source) for source in self.sources[1:])]
        self._session = session
        self._user_agent = user_agent
        self._pace = pace or Pace()
        self._backoff = backoff or Backoff()
        self._order = Order(len(self.sources), 0.0)
        self._start: int | None = None
        self._since = 0
        self._better: int | None = None
        self._too_big = 0
        self._skip = 0
        self._tip = False
        self._gap = ""
        self._silent = False
        self._quiet = 0
        self._before = 0
        self._again = asyncio.Event()
        self.state = "connecting"

    @property
    def state(self) -> str:
        """How the source stands that is read."""
        return self.states[self.source.url]

    @state.setter
    def state(self, state: str) -> None:
        self.states[self.source.url] = state

    @property
    def source(self) -> Source:
        """The source that is read."""
        return self.sources[self._order.current]

    @property
    def dialect(self) -> Dialect:
        """What it speaks."""
        return self._dialects[self._order.current]

    def cursor(self) -> int | None:
        """What to ask the source for (None: the live end)."""
        kind = self.dialect.kind
        if kind == "none" or self._tip:
            return None
        if self._start is not None:
            return self._start
        if self.pipeline.committed is None and not self.pipeline.received:
            return None
        if kind == "time_us":
            return min(self.pipeline.received, now_micros()) + self._skip - REWIND  # a future one means the live end
        return self.pipeline.received + self._skip

    def ask_again(self) -> None:
        """What the open connection brought was not stored: leave it, and ask again from the stored cursor."""
        self._again.set()

    async def run(self, stop: asyncio.Event, reset: Callable[[], bool] = lambda: False) -> None:
        """Read until `stop` is set. `reset` says whether an operator moved the cursor of a source that stands still."""
        loop = asyncio.get_running_loop()
        self._order = Order(len(self.sources), loop.time())
        self._turn()
        while not stop.is_set():
            began, before, dialect = loop.time(), self.pipeline.received, self.dialect
            end = await self._once(stop)
            if stop.is_set():
                break
            self.closes[end.cause] += 1
            self.ends[self.source.url][end.cause] += 1
            forward = self.dialect is dialect and self.pipeline.received > before
            if forward:
                self._start, self._gap = None, ""
            good = forward or loop.time() - began > HEALTHY_SECONDS
            if good:
                self._backoff.reset()
                self._order.good(loop.time())
                self._too_big = self._skip = 0
                self._tip = False
            if self._better is not None:
                better = self.sources[self._better].url
                log.warning("%s answers again, and is preferred to %s", better, self.source.url)
                self.state = "in reserve"
                self._order.choose(self._better, loop.time())
                self._turn()
                continue
            if end.stand_still:
                self._order.stop()
                log.error("%s: %s. It is not read until `communities cursor reset`.", self.pipeline.source, end)
            worn_out = end.stand_still or end.cause == "silent" or (not good and self._order.failed(loop.time()))
            self.state = f"{'stopped' if end.stand_still else 'left'}: {end}" if worn_out else self.state
            if worn_out and self._order.next(loop.time()) is not None:
                log.error("%s: %s; going on with %s", self.pipeline.source, end, self.source.url)
                self._turn()
                if not self._order.exhausted:
                    continue
            elif end.stand_still:
                await self._stand_still(stop, reset)
                continue
            delay = end.delay or self._backoff.next()
            self.state = f"reconnecting: {end}"
            log.warning("%s: %s; next try in %.1f s", self.pipeline.source, end, delay)
            await pause(stop, delay)
            while self.pipeline.crowded and not stop.is_set():
                await pause(stop, self._pace.tick)

    def _turn(self) -> None:
        """Go on with the source that was chosen, from where what is stored of all of them ends."""
        self.state = "connecting"
        self._better = self._start = None
        self._gap = ""
        self._too_big = self._skip = 0
        self._tip = False
        pipeline, dialect = self.pipeline, self.dialect
        if (pipeline.source, pipeline.dialect) != (self.source.url, dialect):
            pipeline.turn_to(self.source.url, dialect)
        last = pipeline.last_event_at([source.url for source in self.sources])
        # Its own cursor will do, unless that lies far behind what was read of others.
        self._since = 0 if pipeline.committed is not None and pipeline.event_at >= last - OVERLAP else last - OVERLAP
        if self._since > 0 and dialect.takes_times:
            own = pipeline.received - REWIND if dialect.kind == "time_us" else 0
            self._start, self._since = max(own, self._since), 0
        if dialect.kind == "none" or self._since < 0:
            self._since = 0

    async def _stand_still(self, stop: asyncio.Event, reset: Callable[[], bool]) -> None:
        while not stop.is_set() and not reset():
            await pause(stop, self._pace.stand_still)
        self._order.start()
        self.pipeline.restore()

    async def _once(self, stop: asyncio.Event) -> End:
        """One connection, from opening to end."""
        self._again.clear()
        self.pipeline.connected(elsewhere=self._start is not None)
        self._before = self.pipeline.kinds.total()
        try:
            if self._session is not None and isinstance(self.dialect, Jetstream1 | Jetstream2):
                await _unless(stop, prepare(self.dialect, self._session, self.source))
            if self._since and not stop.is_set():
                self.state = "looking for its place in the stream"
                await _unless(stop, self._find_start())
                self.pipeline.connected(elsewhere=self._start is not None)
            cursor = self.cursor()
            made = partial(Socket, self.pipeline.receive, lambda: self.pipeline.crowded, self.dialect.texts)
            opening = connect(self.source, self.dialect, cursor, self._user_agent, create_connection=made)
            socket = await _unless(stop, opening)
            if socket is None:
                return End("stopped")
            async with socket:
                self.state = "reading"
                if self._gap:
                    self.pipeline.gaps.missed(self._gap, anew=True)
                where = "at the live end" if cursor is None else f"behind {cursor}"
                log.info("%s: connected %s", self.pipeline.source, where)
                return await self._read(cast(Socket, socket), stop)
        except InvalidStatus as error:
            return self._refused(error)
        except ConnectionClosed as error:
            return self._closed(error)
        except FrameError as error:
            return End("unreadable frame", str(error))
        except StreamError as error:
            return self._failed(error)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            return End("cannot connect", str(error) or type(error).__name__)

    async def _find_start(self) -> None:
        """Find the place in this stream that corresponds to what was read of another one."""
        source, dialect = self.source, cast(SubscribeRepos, self.dialect)

        async def ask(cursor: int | None) -> Place:
            patience = self._pace.silence if cursor is None else OPEN_SECONDS
            return await first_event(source, dialect, cursor, self._user_agent, patience)

        start, complete = await find_start(ask, self._since, self.pipeline.committed)
        self._start = None if start == self.pipeline.committed else start
        self._since = 0
        if not complete:
            self._gap = "the source does not reach back to where the last one was left"

    def _refused(self, error: InvalidStatus) -> End:
        status, dialect = error.response.status_code, self.dialect
        name = error_name(error.response.body)
        if status == 429:
            given = error.response.headers.get_all("Retry-After")
            after = given[0] if len(given) == 1 else ""
            wanted = min(float(after), 600.0) if after.isascii() and after.isdecimal() else 0.0
            return End("refused with 429", "too many connections or requests", delay=wanted)
        if isinstance(dialect, Jetstream2):
            if status in (404, 501):
                log.warning("%s speaks version 1 only", self.source.url)
                self._dialects[self._order.current] = Jetstream1()
                self._turn()
                return End("version 1 only")
            if name == "UnknownZstdDictionary":
                dialect.unpacker = None  # fetched anew, once
                return End(name)
            if name == "CursorTooOld":
                # It takes a time instead, and begins with the oldest event that it has.
                self._gap = "the source no longer has them"
                self._start = max(self.pipeline.event_at, TIMES_FROM)
                return End(name)
        if status in (405, 426, 501):
            return End(f"refused with {status}", "this is no event stream", delay=self._backoff.next(longest=True))
        return End(f"refused with {status}", name)

    def _failed(self, error: StreamError) -> End:
        cause = error.name if error.name in ("FutureCursor", "ConsumerTooSlow") else "error frame"
        return End(cause, str(error)[:300], stand_still=cause == "FutureCursor")

    async def _read(self, socket: Socket, stop: asyncio.Event) -> End:
        closers = [asyncio.ensure_future(_close_on(told, socket)) for told in (stop, self._again)]
        watching = (self._watch, self._ease, self._answer, self._prefer)
        watches = [asyncio.ensure_future(watch(socket)) for watch in watching]
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            await asyncio.wait((closed, socket.fault), return_when=asyncio.FIRST_COMPLETED)
            if socket.fault.done():
                socket.fault.result()
            if self._again.is_set():
                return End("events could not be stored")
            if self._better is not None:
                return End("a better source is back")
            if self._silent:
                return End("silent", f"no event for {self._pace.silence:.0f} s or more")
            return self._closed(socket.protocol.close_exc)
        except FrameError as error:
            return End("unreadable frame", str(error))
        except StreamError as error:
            return self._failed(error)
        except CompressionError as error:
            cast(Jetstream1 | Jetstream2, self.dialect).unpacked()
            return End("packed badly", str(error))
        except RewindError as error:
            return End("stream rewound", str(error), stand_still=True)
        except StorageError as error:
            return End("events could not be stored", str(error))
        except _Crowded:
            return End("too much waits", "read on once it is less")
        finally:
            tasks = (*closers, *watches, closed)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # a look at another source must leave nothing open

    async def _watch(self, socket: ClientConnection) -> None:
        """Close a connection that answers pings and brings no events any more, although it used to.

        A small server may be quiet for hours, so silence is measured against what was usual on this connection. One
        that brings nothing at all, although earlier ones did, is given twice as long each time.
        """
        self._silent = False
        if self.dialect.kind == "none":
            return  # of a few accounts only, nothing may happen for days
        loop = asyncio.get_running_loop()
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

    async def _ease(self, socket: Socket) -> None:
        """Read on when less waits; leave a connection that was held for too long."""
        now = asyncio.get_running_loop().time
        while not socket.fault.done():
            await asyncio.sleep(self._pace.tick)
            if socket.held_at and not self.pipeline.crowded:
                socket.release()
            elif socket.held_at and now() - socket.held_at > LONGEST_HOLD and not socket.fault.done():
                socket.fault.set_exception(_Crowded())
                socket.release()  # what still comes is dropped; the closing stands behind it

    async def _answer(self, socket: Socket) -> None:
        """Send what the source waits for once events are stored."""
        while not socket.fault.done():
            await asyncio.sleep(self._pace.tick)
            for message in self.dialect.answers(self.pipeline.committed or 0):
                try:
                    await socket.send(message)
                except ConnectionClosed:
                    return

    async def _prefer(self, socket: Socket) -> None:
        """Leave a connection when a source answers again that is preferred to it."""
        while self._order.current:
            await asyncio.sleep(self._pace.preferred)
            for index in self._order.better():
                if await answers(self.sources[index], self._dialects[index], self._user_agent, self._pace.silence):
                    self._better = index
                    await socket.close(1000)
                    return

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
            self._gap = "a message in between could not be received"
            log.error("no way past %d: going on at the live tip; events in between are lost", self.pipeline.received)
        return End("message too large")


T = TypeVar("T")


async def _unless(stop: asyncio.Event, opening: Awaitable[T]) -> T | None:
    """What is waited for, or None when `stop` was set before: a server that never answers must not delay a stop."""
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
