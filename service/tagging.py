"""What the web process does about what was reported: behind the report it tags the subject (`communities.tagging`).

It looks every few seconds; what is to be tagged is in the database, so a restart forgets nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playhouse.apsw_ext import APSWDatabase

from communities.tagging import tag_due
from models import report_tagging
from models.database import MACHINE_FAULTS, sql, writing

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
PAUSE_SECONDS = 0.05
"""Between two pieces, so that others can write."""
PIECE = 50
"""Reports that are looked at in one transaction."""


def tag_once(database: APSWDatabase, now: int) -> int:
    """Tag a piece of what is due; of how many reports that was. `now`: microseconds."""
    if not report_tagging.is_due(sql(database), now):
        return 0
    with writing(database) as connection:
        return tag_due(connection, now, PIECE)


async def keep_tagging(database: APSWDatabase, clock: Callable[[], float]) -> None:
    """Do that until cancelled. `clock`: seconds."""
    # Waiting for another writer may not hold up the event loop.
    thread = ThreadPoolExecutor(1, "tags")
    loop = asyncio.get_running_loop()
    wait = LOOK_SECONDS
    try:
        while True:
            await asyncio.sleep(wait)
            try:
                done = await loop.run_in_executor(thread, tag_once, database, int(clock() * 1_000_000))
                wait = PAUSE_SECONDS if done == PIECE else LOOK_SECONDS
            except MACHINE_FAULTS as error:
                log.warning("what was reported could not be tagged, and is tried again: %s", error)
                wait = LOOK_SECONDS
    finally:
        thread.submit(database.close)
        thread.shutdown(wait=False)
