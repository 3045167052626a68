"""The subscription to an event stream: connect, feed the pipeline, come back after every close.

Our own loop around a `websockets` connection, the same for every kind of source (firehose/dialect.py). It returns only
when it is told to stop. What makes it stand still until an operator acts, unless there is another source to read: a
cursor in the stream's future, or a stream that starts below the cursor (the relay was rebuilt).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import aiohttp
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from firehose.backoff import Backoff, End, error_name
from firehose.compression import CompressionError
from firehose.dialect import Dialect, Jetstream1, Jetstream2, dialect_of
from firehose.dictionary import prepare
from firehose.frames import FrameError, StreamError
from firehose.pace import Pace
from firehose.pipeline import Pipeline, RewindError
from firehose.source import Source, parse_source
from firehose.sources import Order, answers
from firehose.start import Start
from firehose.storage import StorageError
from firehose.waiting import pause, unless
from firehose.watches import CrowdedError, Silence, answer, close_on, ease
from firehose.websocket import Socket, connect

log = logging.getLogger(__name__)

HEALTHY_SECONDS = 60.0


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
        self._start = Start(pipeline)
        self._silence = Silence(pipeline, self._pace)
        self._better: int | None = None
        self._again, self._why = asyncio.Event(), ""
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

    def ask_again(self, why: str = "events could not be stored") -> None:
        """Leave the open connection, and ask again from the stored cursor."""
        self._why = why
        self._again.set()

    def choose_again(self) -> None:
        """The same where a source is asked for some collections only: others are wanted now."""
        if isinstance(self.dialect, Jetstream1 | Jetstream2):
            self.ask_again("other collections are wanted")

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
                self._start.forward()
            good = forward or loop.time() - began > HEALTHY_SECONDS
            if good:
                self._backoff.reset()
                self._order.good(loop.time())
                self._start.good()
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
        self._better = None
        if (self.pipeline.source, self.pipeline.dialect) != (self.source.url, self.dialect):
            self.pipeline.turn_to(self.source.url, self.dialect)
        self._start.turn([source.url for source in self.sources])

    async def _stand_still(self, stop: asyncio.Event, reset: Callable[[], bool]) -> None:
        # Nothing of it may be stored later on, behind the back of whoever moves the cursor.
        try:
            self.pipeline.flush()
        except StorageError as error:
            log.error("what was received could not be stored: %s", error)
        self.pipeline.restore()
        while not stop.is_set() and not reset():
            await pause(stop, self._pace.stand_still)
        self._order.start()
        self.pipeline.restore()

    async def _once(self, stop: asyncio.Event) -> End:
        """One connection, from opening to end."""
        self._again.clear()
        start = self._start
        self.pipeline.connected(elsewhere=start.elsewhere)
        self._silence.begin()
        try:
            if self._session is not None and isinstance(self.dialect, Jetstream1 | Jetstream2):
                await unless(stop, prepare(self.dialect, self._session, self.source))
            if start.unknown and not stop.is_set():
                self.state = "looking for its place in the stream"
                looking = start.find(self.source, self.dialect, self._user_agent, self._pace.silence)
                await unless(stop, looking)
                self.pipeline.connected(elsewhere=start.elsewhere)
            cursor = start.cursor()
            made = partial(Socket, self.pipeline.receive, lambda: self.pipeline.crowded, self.dialect.texts)
            wanted = self.pipeline.scope.wanted
            opening = connect(self.source, self.dialect, cursor, self._user_agent, wanted, create_connection=made)
            socket = await unless(stop, opening)
            if socket is None:
                return End("stopped")
            async with socket:
                self.state = "reading"
                if start.gap:
                    self.pipeline.gaps.missed(start.gap, anew=True)
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
                self._start.too_old()
                return End(name)
        if status in (405, 426, 501):
            return End(f"refused with {status}", "this is no event stream", delay=self._backoff.next(longest=True))
        return End(f"refused with {status}", name)

    def _failed(self, error: StreamError) -> End:
        cause = error.name if error.name in ("FutureCursor", "ConsumerTooSlow") else "error frame"
        return End(cause, str(error)[:300], stand_still=cause == "FutureCursor")

    async def _read(self, socket: Socket, stop: asyncio.Event) -> End:
        watching = (
            close_on(stop, socket),
            close_on(self._again, socket),
            self._silence.watch(socket),
            ease(socket, self.pipeline, self._pace),
            answer(socket, self.pipeline, self._pace),
            self._prefer(socket),
        )
        watches = [asyncio.ensure_future(watch) for watch in watching]
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            await asyncio.wait((closed, socket.fault), return_when=asyncio.FIRST_COMPLETED)
            if socket.fault.done():
                socket.fault.result()
            if self._again.is_set():
                return End(self._why)
            if self._better is not None:
                return End("a better source is back")
            if self._silence.fell:
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
        except CrowdedError:
            return End("too much waits", "read on once it is less")
        finally:
            tasks = (*watches, closed)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # a look at another source must leave nothing open

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
            self._start.too_large()
            return End("message too large")
        protocol_fault = code in (1002, 1003, 1007)
        # The code is the server's to choose, so only the usual ones get a name of their own.
        cause = f"closed with {code}" if 1000 <= code <= 1015 else "closed with another code"
        return End(
            cause,
            closed.rcvd.reason if closed.rcvd else "",
            self._backoff.next(longest=True) if protocol_fault else 0,
        )
