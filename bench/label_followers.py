"""Subscribers to labels, in a process of their own: they count, and hold every message against the one before it."""

import asyncio
import multiprocessing
import socket
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple, cast

import uvloop

from bench.cores import Cores, pin

NSID = "com.atproto.label.subscribeLabels"
CONNECTING_AT_ONCE = 50
_MASKED_PONG = b"\x8a\x80\x00\x00\x00\x00"


def handshake(host: str, cursor: int | None) -> bytes:
    """The request for a subscription."""
    query = "" if cursor is None else f"?cursor={cursor}"
    return (
        f"GET /xrpc/{NSID}{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Followed(NamedTuple):
    """What all subscribers saw. `began`, `ended`: before they subscribed, and when the last message came, in
    time.monotonic(); `arrivals`: when each label reached each subscriber, subscriber by subscriber; `faults`: what was
    lost, doubled, out of order or cut off.
    """

    messages: int
    began: float
    ended: float
    arrivals: Sequence[Sequence[float]]
    faults: list[str]


class _Follower(asyncio.Protocol):
    """One subscriber, until it has seen `last`. Numbers must rise one by one."""

    def __init__(self, request: bytes, after: int, last: int, *, timed: bool) -> None:
        loop = asyncio.get_running_loop()
        self.open: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.arrivals = array("d")
        self.seen, self.fault, self.messages = after, "", 0
        self._request, self._last, self._timed = request, last, timed
        self._data = b""
        self._seq_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._data:
            data = self._data + data
        if not self.open.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                return self._stop(f"refused: {head[:200]!r}")
            self.open.set_result(None)
        self._data = data[self._read(data) :]

    def _read(self, data: bytes) -> int:
        """Look at whole messages; returns where the first begins that is not whole."""
        at, end, seen, known = 0, len(data), self.seen, self._seq_at
        before = seen
        while end - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if begin + size > end or begin > end:
                break
            if data[at] == 0x82:
                if not known:
                    # Everybody writes its messages in one way; where the number stands need be found once only.
                    known = self._seq_at = data.index(b"cseq", begin, begin + size) + 4 - begin
                if seen != _number(data, begin + known) - 1:
                    self._stop(f"{_number(data, begin + known)} came after {seen}")
                seen += 1
            elif data[at] == 0x89:
                self._transport.write(_MASKED_PONG)
            else:
                self._stop(f"a message of kind {data[at]:#x}: {data[begin : begin + 100]!r}")
                break
            at = begin + size
        self.messages += seen - before
        self.seen = seen
        if self._timed and seen > before:
            self.arrivals.extend([time.monotonic()] * (seen - before))
        if seen >= self._last:
            self._stop()
        return at

    def _stop(self, fault: str = "") -> None:
        self.fault = self.fault or fault
        if not self.open.done():
            self.open.set_result(None)
        if not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop("" if self.seen >= self._last else f"cut off behind {self.seen}: {exc}")


def _number(data: bytes, at: int) -> int:
    """A whole number of CBOR."""
    first = data[at]
    if first < 0x18:
        return first
    width = 1 << (first - 0x18)
    return int.from_bytes(data[at + 1 : at + 1 + width], "big")


class Crowd:
    """The subscribers in their process."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def wait(self, seconds: float) -> Followed:
        """What they saw when all have seen the last label, or an AssertionError after so many seconds."""
        if not self._pipe.poll(seconds):
            raise AssertionError(f"subscribers have not seen the last label after {seconds:.0f} s")
        found: Followed = self._pipe.recv()
        if found.faults:
            raise AssertionError(f"{len(found.faults)} subscribers were wronged, such as: {found.faults[0]}")
        return found


@contextmanager
def following(
    port: int, host: str, count: int, after: int, last: int, cores: Cores, *, timed: bool = False
) -> Iterator[Crowd]:
    """So many subscribers that have the cursor `after` and stay until the label `last`; all are subscribed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    given = (theirs, port, handshake(host, after), count, after, last, cores, timed)
    process = context.Process(target=_main, args=given, daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is noticed
    try:
        if not ours.poll(120):
            raise AssertionError("subscribers could not connect")
        ours.recv()
        yield Crowd(ours)
    finally:
        process.kill()
        process.join()


def _main(pipe: Pipe, *given: Any) -> None:
    uvloop.run(_follow(pipe, *given))


async def _follow(
    pipe: Pipe, port: int, request: bytes, count: int, after: int, last: int, cores: Cores, timed: bool
) -> None:
    pin(cores)
    loop = asyncio.get_running_loop()
    crowd: list[_Follower] = []
    began = time.monotonic()
    for _ in range(0, count, CONNECTING_AT_ONCE):
        batch = [
            loop.create_connection(lambda: _Follower(request, after, last, timed=timed), "127.0.0.1", port)
            for _ in range(min(CONNECTING_AT_ONCE, count - len(crowd)))
        ]
        made = [protocol for _, protocol in await asyncio.gather(*batch)]
        await asyncio.gather(*(one.open for one in made))
        crowd += made
    pipe.send("subscribed")
    await asyncio.gather(*(one.done for one in crowd))
    ended = time.monotonic()
    faults = [one.fault for one in crowd if one.fault]
    pipe.send(Followed(sum(one.messages for one in crowd), began, ended, [one.arrivals for one in crowd], faults))
    await asyncio.sleep(3600)


@contextmanager
def stalled(port: int, host: str, count: int, cursor: int | None) -> Iterator[None]:
    """So many subscribers that never read what is sent to them."""
    sockets = []
    try:
        for _ in range(count):
            one = socket.socket()
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(60)
            one.connect(("127.0.0.1", port))
            one.sendall(handshake(host, cursor))
            assert one.recv(12) == b"HTTP/1.1 101"
        yield
    finally:
        for one in sockets:
            one.close()
