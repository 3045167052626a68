"""What the web process does for labelers: their public methods, and what it tells of them.

Nothing of this is there, or costs anything, when no labeler is declared.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import apsw
import peewee
from aiohttp import web
from playhouse.apsw_ext import APSWDatabase

from labeler import doors
from labeler.stream import LIMITS, Limits
from labeler.vocabulary import Declared
from models.commits import CommitWatch
from models.database import sql, writing
from service.config import Config
from xrpc.peer import Proxies
from xrpc.server import Query

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
PROCESS = "labels"
"""The row of table `process` that tells how labelers stand: `LabelDoors.report` as JSON."""


@asynccontextmanager
async def labelling(
    config: Config,
    database: APSWDatabase,
    declared: Sequence[Declared],
    clock: Callable[[], float] = time.time,
    limits: Limits = LIMITS,
) -> AsyncIterator[doors.LabelDoors | None]:
    """The doors of the labelers that are declared, for as long as they are open; None without one."""
    if not declared:
        yield None
        return
    with writing(database) as connection:
        identities = doors.know(connection, declared)
    watch, proxies = CommitWatch(config.database), Proxies(config.trusted_proxies)
    served = doors.LabelDoors(sql(database), identities, watch, proxies, limits=limits, clock=clock)
    reporting = asyncio.create_task(_keep_reporting(database, served, clock))
    try:
        yield served
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


def open_doors(app: web.Application, served: doors.LabelDoors) -> list[Query]:
    """The methods, for `mount`. To the app is added what is not a method, and that subscribers are sent away before it
    ends.
    """
    app.router.add_get(doors.METADATA, served.metadata)

    async def shutdown(_: web.Application) -> None:
        await served.stream.shutdown()

    app.on_shutdown.append(shutdown)
    return served.methods()


async def _keep_reporting(database: APSWDatabase, served: doors.LabelDoors, clock: Callable[[], float]) -> None:
    """Tell other processes how labelers stand, every few seconds if anything has changed."""
    loop, last = asyncio.get_running_loop(), None
    # Writing may have to wait for the ingest process; it waits in a thread, on that thread's own connection.
    writer = ThreadPoolExecutor(1, "labels report")
    try:
        while True:
            report = served.report()
            if report != last:
                await loop.run_in_executor(writer, _write, database, json.dumps(report), int(clock() * 1_000_000))
                last = report
            await asyncio.sleep(REPORT_SECONDS)
    finally:
        writer.submit(database.close).result()
        writer.shutdown()


def _write(database: APSWDatabase, report: str, now: int) -> None:
    try:
        with writing(database) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO process (name, at, report) VALUES (?, ?, ?)", (PROCESS, now, report)
            )
    except (apsw.Error, peewee.PeeweeException) as error:
        log.warning("how labelers stand could not be stored: %s", error)
