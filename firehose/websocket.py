"""WebSocket connections, through `websockets`: how they are opened, and how their messages are handed on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as opening
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event
from websockets.typing import BytesLike, Subprotocol

from firehose.dialect import Dialect
from firehose.ops import WATCHED
from firehose.source import Source

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes; above the protocol's limit, so that a frame over that limit can still be passed over exactly."""
OPEN_SECONDS = 20.0
CLOSE_SECONDS = 5.0
SOCKET: dict[str, Any] = {"compression": None, "proxy": None, "max_size": MAX_MESSAGE}
"""How a connection is opened. Compression of the connection would cost more than it saves: the relay offers none."""


class _Opening(opening):
    """Follows no redirect: the operator named the source, nobody else may."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Every answer but an upgrade is a refusal."""
        return exc


class Socket(ClientConnection):
    """A connection that hands each message on while it is read from the network, and holds none back.

    A queue between the two would cost a fifth of all the time, and would keep pings waiting behind what is queued.
    Text messages are passed over unless the stream is one of `texts`.

    `fault` becomes the exception with which `receive` refused a message; nothing is handed on behind it. While
    `crowded` says so, nothing more is read; `held_at` is when that began, in seconds of the loop.
    """

    def __init__(
        self, receive: Callable[[bytes], None], crowded: Callable[[], bool], texts: bool, *args: Any, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.fault: asyncio.Future[None] = self.loop.create_future()
        self.held_at = 0.0
        self._receive = receive
        self._crowded = crowded
        self._parts = bytearray()
        self._texts = texts
        self._passed_over = False

    def process_event(self, event: Event) -> None:
        """Take a whole message; leave the handshake, pongs and the closing to the library."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and (event.opcode is Opcode.BINARY or (self._texts and event.opcode is Opcode.TEXT)):
            self._hand_on(event.data)
        else:
            self._assemble(event)

    def _assemble(self, frame: Frame) -> None:
        """A message in several fragments; the library has checked their order and bounds their size."""
        if frame.opcode is not Opcode.CONT:
            self._passed_over = frame.opcode is Opcode.TEXT and not self._texts
            self._parts.clear()
        self._parts += frame.data
        if frame.fin:
            message = bytes(self._parts)
            self._parts.clear()
            if not self._passed_over:
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


def connect(
    source: Source,
    dialect: Dialect,
    cursor: int | None,
    user_agent: str,
    wanted: Collection[str] = WATCHED,
    **options: Any,
) -> opening:
    """Open a connection to a source, to read from `cursor` on (None: from the live end). `wanted`: collections."""
    return _Opening(
        dialect.url(source.base, cursor, wanted),
        **SOCKET,
        subprotocols=[Subprotocol(name) for name in dialect.subprotocols] or None,
        additional_headers={"Authorization": source.authorization} if source.authorization else None,
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        user_agent_header=user_agent,
        **options,
    )


@asynccontextmanager
async def looking(
    source: Source, dialect: Dialect, cursor: int | None, user_agent: str
) -> AsyncIterator[ClientConnection]:
    """A connection for a short look. Whoever is cancelled meanwhile waits for no closing, and leaves nothing open."""
    async with connect(source, dialect, cursor, user_agent) as socket:
        try:
            yield socket
        except asyncio.CancelledError:
            socket.transport.abort()
            raise
