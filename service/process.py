"""What the long-running processes share: the event loop, and when to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop
from playhouse.apsw_ext import APSWDatabase

from firehose.waiting import pause
from models.database import check_in_place

LOOK_SECONDS = 2.0
"""From one look at the database's file to the next."""


def run_until_stopped(main: Callable[[asyncio.Event], Awaitable[None]], *, supervised: bool) -> None:
    """Run `main(stop)`; `stop` is set by SIGTERM and SIGINT and, if `supervised`, when the supervisor is gone.

    The supervisor holds the other end of our standard input: its end, even by SIGKILL, ends the input.
    """

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        if supervised:
            loop.add_reader(sys.stdin.fileno(), stop.set)
        await main(stop)

    uvloop.run(run())


async def while_in_place(database: APSWDatabase, stop: asyncio.Event) -> None:
    """Wait for `stop`, with `database` open to write. Raises DatabaseMovedError when its file is deleted or replaced:
    our connections would go on with the old one.
    """
    while not stop.is_set():
        await pause(stop, LOOK_SECONDS)
        check_in_place(database, database.identity)


def settle() -> None:
    """Call once, when everything is built.

    It lives as long as the process, so the garbage collector need not look through it again and again, which would make
    requests wait; and nearly all that an event or a request makes is gone before a rarer look.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
