"""com.atproto.label.subscribeLabels: the published labels of one labeler over a WebSocket, from a cursor on.

Each subscriber pulls: it holds how far it is, reads the page behind that, sends it, and waits for more when there is
none. Replay and live are the same loop, so nothing falls between them, and nobody has a queue. The messages are those
of labeler/frames.py, the pages are shared (labeler/pages.py).

Frames of CBOR are written to the connection as they are on the wire, a page at once: they are the same for all.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import WSMsgType, web

from labeler.frames import error_frame, error_text, info_frame, info_text
from labeler.pages import PAGE, Published
from labeler.room import Room
from labeler.subscriber import LIMITS, Limits, Subscriber, answered, check_handshake
from labeler.turns import Turns
from models.commits import CommitWatch
from models.database import Connection
from xrpc.errors import InvalidRequest, NotEnoughResources
from xrpc.params import Params, StringParam
from xrpc.ratelimit import RateLimit

log = logging.getLogger(__name__)

PARAMS = Params({"cursor": StringParam()})
LARGEST_SEQ = 2**53 - 1
CLIENT_FRAMES_PER_SECOND, CLIENT_FRAMES_BURST = 5.0, 100
POLL_SECONDS = 0.003
"""How often it is looked whether anything was committed, while anybody listens: a comparison of 96 bytes."""
TEXTS_AT_ONCE = 64
"""Labels of JSON in one turn."""
REPLAY_BUDGET = 0.0002
"""Seconds of a turn for those who are behind: a page, or some that are kept. With more, turns get longer, and little is
sent faster.
"""
TEXTS_SECONDS = 0.001
"""What TEXTS_AT_ONCE take at least, compressed: more than the budget, so that a turn has one such piece."""
HANDSHAKE_SECONDS = 0.0005
"""What a handshake takes, and the tasks that begin behind it."""
_CURSOR = re.compile(r"[0-9]{1,16}")
_POLICY, _GOING_AWAY, _BROKEN = 1008, 1001, 1011
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Stream:
    """The subscriptions of this process. `counts`: what became of them; `subscribers`: who is here."""

    def __init__(
        self,
        connection: Connection,
        watch: CommitWatch,
        limits: Limits = LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`watch` is this stream's own; `clock` gives seconds."""
        self.counts: Counter[str] = Counter()
        self.subscribers: set[Subscriber] = set()
        self.room = Room(limits.total, limits.per_client)
        self._connection = connection
        self._watch = watch
        self._limits = limits
        self._clock = clock
        self._published: dict[int, Published] = {}
        # Whoever else waits for the loop comes between: two hundred who come at once, or are far behind, would hold
        # everything up for tens of milliseconds. Those who come do not wait for those who are behind.
        self._arrivals, self._replays = Turns(), Turns(REPLAY_BUDGET)
        self._looking: asyncio.Task[None] | None = None
        self._stopping = False

    def published(self, labeler: int) -> Published:
        """What a labeler has published, as it stands now."""
        self._look()
        found = self._published.get(labeler)
        if found is None:
            found = self._published[labeler] = Published(self._connection, labeler)
            found.look()
        return found

    def _look(self) -> None:
        if self._watch.any():
            for one in self._published.values():
                one.look()

    async def _keep_looking(self) -> None:
        while self.subscribers:
            try:
                self._look()
            except Exception:
                log.exception("labels cannot be read; trying again")
                await asyncio.sleep(1.0)
            await asyncio.sleep(POLL_SECONDS)
        self._looking = None

    async def subscribe(
        self, request: web.Request, cursor: str | None, labeler: int, client: str | None
    ) -> web.StreamResponse:
        """Serve one subscriber to its end. Raises XrpcError as long as the connection is not a WebSocket."""
        check_handshake(request)
        if self._stopping:
            raise NotEnoughResources("The service is stopping")
        with self.room.taken(client):
            await self._arrivals.take(HANDSHAKE_SECONDS)
            if self._stopping:
                raise NotEnoughResources("The service is stopping")
            request, ws = answered(request, self._limits)
            try:
                await ws.prepare(request)
            except web.HTTPException as fault:
                raise InvalidRequest(f"Not a WebSocket handshake: {fault.text}") from None
            one = Subscriber(request, ws, self.published(labeler), client, int(self._clock() * 1_000_000))
            self.subscribers.add(one)
            self.counts["subscribed"] += 1
            if self._looking is None:
                self._looking = asyncio.create_task(self._keep_looking())
            try:
                await self._serve(one, cursor)
            finally:
                self.subscribers.discard(one)
        return ws

    async def _serve(self, one: Subscriber, cursor: str | None) -> None:
        sending = asyncio.create_task(self._send(one, cursor))
        listening = one.listening = asyncio.create_task(self._listen(one))
        try:
            await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
            if one.ending is not None:
                await asyncio.wait((one.ending,))
        finally:
            sending.cancel()
            listening.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)
            transport = one.request.transport
            if transport is not None and transport.get_write_buffer_size():
                # What nobody has taken until now may leave for a moment yet.
                asyncio.get_running_loop().call_later(self._limits.close, transport.abort)

    async def _listen(self, one: Subscriber) -> None:
        """What a client sends is nothing to us; too much of it ends the connection (S74)."""
        limit = RateLimit(CLIENT_FRAMES_PER_SECOND, CLIENT_FRAMES_BURST, capacity=1)
        while True:
            message = await one.ws.receive()
            if message.type in _ENDS:
                return
            if limit.allow("") is not None:
                self.counts["client floods"] += 1
                return await self._end(one, _POLICY, "too many messages")
            if message.type is WSMsgType.PING:
                await one.ws.pong(message.data)

    async def _send(self, one: Subscriber, cursor: str | None) -> None:
        try:
            if await self._start(one, cursor):
                await (self._send_texts(one) if one.json else self._send_frames(one))
        except ConnectionError:
            self.counts["connections lost"] += 1
        except TimeoutError:
            self.counts["too slow"] += 1
            said = f"what was sent was not read within {self._limits.drain:g} s; come back with your cursor"
            await self._fail(one, "ConsumerTooSlow", said)
        except Exception:
            log.exception("a subscription failed")
            await self._end(one, _BROKEN, "internal error")

    async def _start(self, one: Subscriber, cursor: str | None) -> bool:
        """Find the place to begin at; False: there is none, and that has been said (S66 to S69)."""
        if cursor is None:
            one.cursor = one.published.head
            return True
        if not _CURSOR.fullmatch(cursor) or int(cursor) > LARGEST_SEQ:
            await self._fail(one, "InvalidRequest", '"cursor" must be a whole number below 2^53')
            return False
        one.cursor, latest, floor = int(cursor), one.published.latest(), one.published.floor()
        if one.cursor > latest:
            await self._fail(one, "FutureCursor", f"the cursor is ahead of the last label, which is {latest}")
            return False
        if one.cursor < floor:
            said = ("OutdatedCursor", f"labels up to {floor} are not kept any more; these are all that are")
            await (one.ws.send_str(info_text(*said)) if one.json else one.ws.send_bytes(info_frame(*said)))
        return True

    async def _send_frames(self, one: Subscriber) -> None:
        published, transport, protocol = one.published, one.request.transport, one.request.protocol
        if transport is None:
            raise ConnectionResetError
        while not one.ws.closed:
            more = published.more  # taken before what there is is read
            if published.head <= one.cursor:
                await more.wait()
                continue
            if published.head - one.cursor > PAGE:
                sent = await self._replays.run(lambda: self._write_page(one, transport))
            else:
                sent = self._write_page(one, transport)
            if not sent:
                await asyncio.sleep(0)
            elif protocol.writing_paused:
                await self._drain(one)

    def _write_page(self, one: Subscriber, transport: asyncio.Transport) -> bool:
        """Send the next page, whether there is one. Raises ConnectionError."""
        page = one.published.frames.after(one.cursor)
        if page is None or one.ws.closed:
            return False
        if transport.is_closing():
            raise ConnectionResetError
        transport.write(page.data)
        one.cursor = page.last
        self.counts["labels sent"] += page.labels
        return True

    async def _send_texts(self, one: Subscriber) -> None:
        published, protocol = one.published, one.request.protocol
        while not one.ws.closed:
            more = published.more
            if published.head <= one.cursor:
                await more.wait()
                continue
            page = published.texts.after(one.cursor)
            if page is None:
                await asyncio.sleep(0)
                continue
            behind = published.head - one.cursor > TEXTS_AT_ONCE
            for start in range(0, page.labels, TEXTS_AT_ONCE):
                texts = page.data[start : start + TEXTS_AT_ONCE]
                # As above; each connection compresses for itself, so a turn is a part of a page.
                if behind:
                    await self._replays.take(TEXTS_SECONDS)
                await self._write_texts(one, texts)
                if one.ws.closed:
                    return
                if protocol.writing_paused:
                    await self._drain(one)
            one.cursor = page.last
            self.counts["labels sent"] += page.labels

    async def _write_texts(self, one: Subscriber, texts: Sequence[str]) -> None:
        for text in texts:
            if one.ws.closed:
                return
            await one.ws.send_str(text)

    async def _drain(self, one: Subscriber) -> None:
        """Wait until the connection takes more. Raises TimeoutError (S71) and ConnectionError."""
        # All who wait for a connection share one future of aiohttp's, which nobody must cancel: the close waits too.
        draining = asyncio.create_task(one.request.writer.drain())
        draining.add_done_callback(_seen)
        done, _ = await asyncio.wait((draining,), timeout=self._limits.drain)
        if not done:
            raise TimeoutError
        draining.result()

    async def _fail(self, one: Subscriber, error: str, message: str) -> None:
        """Say what is wrong, and close."""
        self.counts[error] += 1
        try:
            if one.json:
                await one.ws.send_str(error_text(error, message))
            else:
                await one.ws.send_bytes(error_frame(error, message))
        except ConnectionError:
            return
        await self._end(one, _POLICY, error)

    async def _end(self, one: Subscriber, code: int, reason: str) -> None:
        if one.ending is None:
            one.ending = asyncio.create_task(self._close(one, code, reason))
        await asyncio.wait((one.ending,))

    async def _close(self, one: Subscriber, code: int, reason: str) -> None:
        if one.listening is not None:
            # While somebody else receives, aiohttp does not wait for the client's own close: the connection would end
            # with an error, and what is on its way would be lost.
            one.listening.cancel()
            await asyncio.wait((one.listening,))
        try:
            async with asyncio.timeout(self._limits.close):
                await one.ws.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError):
            log.debug("a subscriber did not take its close")

    async def shutdown(self) -> None:
        """Send everybody away (1001), each behind a whole frame, so that it comes back where it was (S77)."""
        self._stopping = True
        await asyncio.gather(*(self._end(one, _GOING_AWAY, "the service stops") for one in list(self.subscribers)))
        if self._looking is not None:
            self._looking.cancel()

    def report(self) -> list[dict[str, Any]]:
        """How each subscriber stands, those that came first before the others."""
        return [one.report() for one in sorted(self.subscribers, key=lambda one: one.since)]


def _seen(task: asyncio.Task[None]) -> None:
    """What became of it is known where it matters."""
    if not task.cancelled():
        task.exception()
