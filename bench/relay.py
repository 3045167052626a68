"""A relay that sends a replay as fast as the reader takes it: a real `websockets` handshake, then ready-made bytes."""

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.replay import Replay, read_replay


def run(folder: str, tell: Connection) -> None:
    """Serve the replays of `folder` until killed; `tell` gets the port. `ws://HOST:PORT/NAME/...` sends NAME.bin."""
    replays = {file.stem: read_replay(file) for file in Path(folder).glob("*.json")}
    uvloop.run(_serve(replays, tell))


async def _serve(replays: dict[str, Replay], tell: Connection) -> None:
    async def answer(socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        if "cursor=" in path:
            raise ValueError("the reader came back: a replay is read in one go")
        await _send(replays[path.split("/")[1]], socket)

    # Pings of our own would fall between two frames that are sent as one piece.
    async with serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        tell.send(next(iter(server.sockets)).getsockname()[1])
        await asyncio.get_running_loop().create_future()


async def _send(replay: Replay, socket: ServerConnection) -> None:
    with Path(replay.file).open("rb", buffering=0) as file:
        for size in replay.chunks:
            # Whole frames below the library's own framing: a pong goes between two pieces at worst.
            socket.transport.write(file.read(size))
            try:
                await socket.drain()
            except ConnectionClosed:
                return
    await socket.wait_closed()
