"""What can go wrong when a server is asked: a queue of faults for each method, each for one answer.

    world.pds.outages.add("com.atproto.sync.getRepo", refuse(429, retry_after="5"))

Whatever really happened is counted in `fired` under its name.
"""

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ERRORS = {
    "RepoNotFound": 400,
    "RepoDeactivated": 400,
    "RepoSuspended": 400,
    "RepoTakendown": 400,
}


@dataclass(frozen=True)
class Outage:
    """One wrong answer: `answer` gets the request and what would answer it."""

    name: str
    answer: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


@dataclass
class Outages:
    """Faults by method, in the order in which they strike; without any, the answers are right."""

    fired: Counter[str] = field(default_factory=Counter)
    _queues: defaultdict[str, deque[Outage]] = field(default_factory=lambda: defaultdict(deque))

    def add(self, method: str, *outages: Outage) -> None:
        """Let the next answers of a method go wrong, one each."""
        self._queues[method].extend(outages)

    def take(self, method: str) -> Outage | None:
        """The fault that strikes the answer which is asked for now."""
        queue = self._queues[method]
        return queue.popleft() if queue else None

    @property
    def waiting(self) -> int:
        """Faults that have not struck yet."""
        return sum(map(len, self._queues.values()))

    async def answer(self, method: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer, or what is made of it; counted."""
        outage = self.take(method)
        if outage is None:
            return await handler(request)
        self.fired[outage.name] += 1
        return await outage.answer(request, handler)


def refuse(status: int, *, error: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None) -> Outage:
    """An HTTP status with an XRPC error or any other body."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if error:
            return web.json_response({"error": error, "message": "simulated"}, status=status, headers=headers)
        return web.Response(status=status, body=body, headers=headers)

    more = next((f" with {name}" for name in headers or () if name in ("Retry-After", "RateLimit-Reset")), "")
    return Outage(error or f"{status}{more}", answer)


def gone(error: str) -> Outage:
    """The repository is not to be had, for one of the reasons in ERRORS."""
    return refuse(ERRORS[error], error=error)


async def _body(request: web.Request, handler: Handler) -> bytes:
    answer = await handler(request)
    assert isinstance(answer, web.Response) and isinstance(answer.body, bytes), "only whole answers are cut"
    return answer.body


def _sent(name: str, change: Callable[[bytes], bytes], *, length: int | None = 0) -> Outage:
    """A body that `change` made. `length`: what Content-Length has more than that; None: it has none (chunked)."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = change(await _body(request, handler))
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.ipld.car"})
        if length is not None:
            response.content_length = len(body) + length
        await response.prepare(request)
        await response.write(body)
        if length and request.transport is not None:
            request.transport.close()
        return response

    return Outage(name, answer)


def cut_at(byte: int) -> Outage:
    """The answer ends behind a byte (modulo its length), and its end looks like one."""
    return _sent("answer cut", lambda body: body[: byte % len(body)], length=None)


def broken_at(byte: int) -> Outage:
    """The connection breaks behind a byte; Content-Length says that there is more."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await _body(request, handler)
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.ipld.car"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: byte % len(body)])
        assert request.transport is not None
        request.transport.close()
        return response

    return Outage("answer broken off", answer)


def cut_at_block(number: int) -> Outage:
    """A CAR without its last blocks: of the first so many (modulo their number) each is whole."""

    def change(body: bytes) -> bytes:
        ends = block_ends(body)
        return body[: ends[number % (len(ends) - 1)]]

    return _sent("CAR cut at a block", change)


def flipped(bit: int) -> Outage:
    """One bit of the answer turned over, modulo its length."""

    def change(body: bytes) -> bytes:
        place = bit // 8 % len(body)
        return body[:place] + bytes([body[place] ^ 1 << bit % 8]) + body[place + 1 :]

    return _sent("bit of an answer flipped", change)


def wrong_length(more: int) -> Outage:
    """Content-Length says more than there is, and the connection ends."""
    return _sent("wrong Content-Length", lambda body: body, length=more)


def slow(pieces: int, pause: float) -> Outage:
    """The right answer in pieces, with so many seconds between each."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await _body(request, handler)
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.ipld.car"})
        await response.prepare(request)
        size = max(1, -(-len(body) // pieces))
        for at in range(0, len(body), size):
            await response.write(body[at : at + size])
            await asyncio.sleep(pause)
        return response

    return Outage("slow answer", answer)


def trickled(share: float) -> Outage:
    """The connection breaks behind a share of the answer, which comes in pieces with pauses; it never said how long
    it is.
    """

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await _body(request, handler)
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.ipld.car"})
        await response.prepare(request)
        end = int(share * len(body))
        for at in range(0, end, max(1, end // 4)):
            await response.write(body[at : min(end, at + max(1, end // 4))])
            await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.close()
        return response

    return Outage("answer slow and broken off", answer)


def replaced(name: str, body: bytes) -> Outage:
    """Another answer in place of the right one, such as an older one."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/vnd.ipld.car")

    return Outage(name, answer)


def block_ends(car: bytes) -> list[int]:
    """Where the header of a CAR ends, and each of its blocks."""
    ends = []
    at = 0
    while at < len(car):
        size = shift = 0
        while True:
            byte = car[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += size
        ends.append(at)
    return ends


def any_of(rng: random.Random) -> Outage:
    """A fault that mends itself when the same is asked again."""
    return rng.choice(
        (
            refuse(429),
            refuse(429, headers={"Retry-After": "1"}),
            refuse(500, body=b"<html>sorry</html>"),
            refuse(502, body=b"<html>Bad gateway</html>"),
            refuse(503, error="UpstreamFailure"),
            broken_at(rng.randrange(1 << 20)),
            slow(3, 0.01),
        )
    )
