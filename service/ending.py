"""What the web process ends when its time is over: mutes, suspensions and tags that moderators have set for a time.

It looks every few seconds; what is over is in the database, so a restart forgets nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playhouse.apsw_ext import APSWDatabase

from communities.endings import SCHEDULE, end_due, is_due
from communities.log import Acting
from labeler.takedowns import end
from models.database import MACHINE_FAULTS, Connection, sql, writing
from models.mod_events import SubjectKey

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
PIECE = 50
"""So much of each kind is ended in one transaction."""


def end_once(database: APSWDatabase, now: int) -> int:
    """End what is over, in pieces; how much that was. `now`: microseconds."""
    done = 0
    while is_due(sql(database), now):
        with writing(database) as connection:
            done += end_due(connection, now, PIECE, _unlabel)
    return done


def _unlabel(connection: Connection, scope: int, key: SubjectKey, now: int) -> int | None:
    return end(connection, scope, key, SCHEDULE, str(Acting.AUTOMATION), now // 1000)


async def keep_ending(database: APSWDatabase, clock: Callable[[], float]) -> None:
    """Do that until cancelled. `clock`: seconds."""
    # Waiting for another writer may not hold up the event loop.
    thread = ThreadPoolExecutor(1, "endings")
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                done = await loop.run_in_executor(thread, end_once, database, int(clock() * 1_000_000))
                if done:
                    log.info("%d mutes, suspensions or tags have ended", done)
            except MACHINE_FAULTS as error:
                log.warning("what is over could not be ended, and is tried again: %s", error)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        thread.submit(database.close)
        thread.shutdown(wait=False)
