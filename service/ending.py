"""What the web process ends when its time is over: mutes, suspensions and tags that moderators have set for a time. It
looks every few seconds.
"""

import logging
from collections.abc import Callable

from playhouse.apsw_ext import APSWDatabase

from communities.endings import SCHEDULE, end_due, is_due
from communities.log import Acting
from labeler.takedowns import end
from models.database import Connection, sql, writing
from models.mod_events import SubjectKey
from service.lasting import lasting, own_thread

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
    with own_thread(database, "endings") as in_thread:

        async def end() -> float:
            if done := await in_thread(end_once, database, int(clock() * 1_000_000)):
                log.info("%d mutes, suspensions or tags have ended", done)
            return LOOK_SECONDS

        await lasting("what is over", end)
