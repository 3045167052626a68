"""What the web process does about what was reported: behind the report it tags the subject (`communities.tagging`). It
looks every few seconds.
"""

from collections.abc import Callable

from playhouse.apsw_ext import APSWDatabase

from communities.tagging import tag_due
from models import report_tagging
from models.database import sql, writing
from service.lasting import lasting, own_thread

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
    with own_thread(database, "tags") as in_thread:

        async def tag() -> float:
            done = await in_thread(tag_once, database, int(clock() * 1_000_000))
            return PAUSE_SECONDS if done == PIECE else LOOK_SECONDS

        await lasting("tags of what was reported", tag, first=LOOK_SECONDS)
