"""What the servers beside the relay have in common: a port of the loopback, and waiting for what happens there."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from tests.world.relay import Entry, Relay


class Listener(ABC):
    """Hears of everything that the relay sends. `SERVER`: how it listens."""

    SERVER: ClassVar[dict[str, Any]] = {}

    def __init__(self, relay: Relay) -> None:
        """Call this last: it takes in at once what the relay has sent before."""
        self.host = ""
        self._changed = asyncio.Event()
        self._server: Server | None = None
        for entry in relay.history:
            self._absorb(entry)
        relay.listeners.append(self._absorb)

    @abstractmethod
    def _absorb(self, entry: Entry) -> None:
        """Take in what the relay has sent."""

    @abstractmethod
    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is refused; None for one that is not."""

    @abstractmethod
    async def _serve(self, connection: ServerConnection) -> None:
        """Serve a connection to its end."""

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None, **self.SERVER
        )
        self.host = f"127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def drop(self, code: int = 1001) -> None:
        """Close the connections that are open now."""
        assert self._server is not None
        await asyncio.gather(*(one.close(code) for one in list(self._server.connections)))

    async def until(self, condition: Callable[[], object], deadline: float = 10) -> None:
        """Wait until something about this server holds; TimeoutError after `deadline` seconds."""
        async with asyncio.timeout(deadline):
            while True:
                changed = self._changed
                if condition():
                    return
                await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
