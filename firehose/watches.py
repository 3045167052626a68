"""What goes on beside an open connection: each of these watches it, and ends with it or ends it."""

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from firehose.pace import Pace
from firehose.pipeline import Pipeline
from firehose.websocket import Socket

LONGEST_HOLD = 10.0
"""For so long a connection is not read from while too much waits; then it is left, before the server must (A32)."""
UNUSUAL = 100
"""A silence is no accident when it lasts this many times as long as it usually is from one event to the next."""
MOST_QUIET = 6
"""How often the time is doubled that is given to a connection which brings nothing at all."""


class CrowdedError(Exception):
    """Too much waits, and has for too long."""


class Silence:
    """Closes connections that answer pings and bring no events any more, although they used to.

    A small server may be quiet for hours, so silence is measured against what was usual on the connection. One that
    brings nothing at all, although earlier ones did, is given twice as long each time.
    """

    def __init__(self, pipeline: Pipeline, pace: Pace) -> None:
        self.fell = False
        """Whether the last connection was closed for it."""
        self._pipeline = pipeline
        self._silence = pace.silence
        self._quiet = 0
        self._before = 0

    def begin(self) -> None:
        """A connection is about to be made."""
        self.fell = False
        self._before = self._pipeline.kinds.total()

    async def watch(self, socket: ClientConnection) -> None:
        """Close the connection when it has fallen silent."""
        if self._pipeline.dialect.kind == "none":
            return  # of a few accounts only, nothing may happen for days
        loop, kinds = asyncio.get_running_loop(), self._pipeline.kinds
        began = since = loop.time()
        before, last = self._before, kinds.total()
        while True:
            await asyncio.sleep(self._silence / 6)
            if (total := kinds.total()) != last:
                last, since = total, loop.time()
            elif total:
                if total > before:
                    self._quiet = 0
                    longest = max(self._silence, UNUSUAL * (since - began) / (total - before))
                else:
                    longest = self._silence * (1 << self._quiet)
                if loop.time() - since > longest:
                    self._quiet = min(self._quiet + (total == before), MOST_QUIET)
                    self.fell = True
                    await socket.close(1000)
                    return


async def ease(socket: Socket, pipeline: Pipeline, pace: Pace) -> None:
    """Read on when less waits; leave a connection that was held for too long: its `fault` is CrowdedError then."""
    now = asyncio.get_running_loop().time
    while not socket.fault.done():
        await asyncio.sleep(pace.tick)
        if socket.held_at and not pipeline.crowded:
            socket.release()
        elif socket.held_at and now() - socket.held_at > LONGEST_HOLD and not socket.fault.done():
            socket.fault.set_exception(CrowdedError())
            socket.release()  # what still comes is dropped; the closing stands behind it


async def answer(socket: Socket, pipeline: Pipeline, pace: Pace) -> None:
    """Send what the source waits for once events are stored."""
    while not socket.fault.done():
        await asyncio.sleep(pace.tick)
        for message in pipeline.dialect.answers(pipeline.committed or 0):
            try:
                await socket.send(message)
            except ConnectionClosed:
                return


async def close_on(told: asyncio.Event, socket: ClientConnection) -> None:
    """Close the connection when told to."""
    await told.wait()
    await socket.close(1000)
