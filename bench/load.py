"""A load generator: keep-alive connections that each send the next request when the last answer is whole.

It speaks just enough HTTP/1.1 (a Content-Length in every answer) to be several times faster than the server it
measures.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple, cast


class Load(NamedTuple):
    """What was seen: answers a second, latencies in milliseconds, answers other than 200, and the last body."""

    rate: float
    p50: float
    p99: float
    refused: int
    body: bytes


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], times: list[float], until: float) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused = 0
        self.body = b""
        self._requests = requests
        self._times = times
        self._until = until
        self._data = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._data = data
            return
        length = data.find(b"Content-Length: ") + 16
        if length < 16:  # not every server writes it so
            length = data.lower().index(b"content-length: ") + 16
        whole = end + 4 + int(data[length : data.index(b"\r", length)])
        if len(data) < whole:
            self._data = data
            return
        self._data = b""
        now = time.perf_counter()
        self._times.append(now - self._sent)
        if not data.startswith(b"HTTP/1.1 200"):
            self.refused += 1
        if now < self._until:
            self._send()
        else:
            self.body = data[end + 4 : whole]
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def drive(port: int, requests: list[bytes], seconds: float, connections: int) -> Load:
    """Ask `requests` in turn, over and over, for so long."""
    times: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    upcoming = cycle(requests)
    opened = [
        await loop.create_connection(lambda: _Connection(upcoming, times, began + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for _, connection in opened))
    took = time.perf_counter() - began
    times.sort()
    refused = sum(connection.refused for _, connection in opened)
    return Load(
        rate=len(times) / took,
        p50=times[len(times) // 2] * 1000,
        p99=times[int(len(times) * 0.99)] * 1000,
        refused=refused,
        body=opened[0][1].body,
    )
