"""Appeals about which nobody has decided in time: how many, for `status` and `/metrics`, and once each in the log.

The web process looks once a minute. Until when it has told them is in the database, so a restart repeats none.
"""

import logging
from collections.abc import Callable

from playhouse.apsw_ext import APSWDatabase

from models import appeals, meta
from models.database import Connection, sql, writing
from models.reports import SITE
from service.lasting import lasting, own_thread
from service.status import gauge

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
TOLD = "appeals_told"
"""The fact (`models.meta`) up to which moment of their making overdue appeals were told, microseconds."""
MOST_TOLD = 20
"""Single appeals that are named in the log at a time."""


def appeals_status(connection: Connection, now: int, within: int) -> dict[str, int]:
    """How many appeals wait, and how many of them longer than `within`. Times are microseconds."""
    waiting, overdue = appeals.count_waiting(connection, now - within)
    return {"waiting": waiting, "overdue": overdue}


def render_appeals(connection: Connection, now: int, within: int) -> str:
    """The same for `/metrics`."""
    found = appeals_status(connection, now, within)
    families = (
        gauge("communities_appeals_waiting", "Appeals about which nobody has decided.", found["waiting"]),
        gauge("communities_appeals_overdue", "Appeals that wait longer than they should.", found["overdue"]),
    )
    return "\n".join(line for family in families for line in family) + "\n"


def remind_once(database: APSWDatabase, now: int, within: int) -> int:
    """Say in the log which appeals have become overdue since that was last said; how many."""
    connection, before = sql(database), now - within
    after = int(meta.get(connection, TOLD) or 0)
    late = appeals.waiting_since(connection, after, before) if after < before else []
    if not late:
        return 0
    with writing(database) as connection:
        meta.put(connection, TOLD, str(before))
    for one in late[:MOST_TOLD]:
        whose = "the site" if one.community == SITE else f"community {one.community}"
        log.warning(
            "appeal %d, for %s to decide, waits for longer than it should; see `communities appeals`", one.id, whose
        )
    if len(late) > MOST_TOLD:
        log.warning("%d more appeals wait for longer than they should", len(late) - MOST_TOLD)
    return len(late)


async def keep_reminding(database: APSWDatabase, within: int, clock: Callable[[], float]) -> None:
    """Do that until cancelled. `clock`: seconds."""
    with own_thread(database, "overdue") as in_thread:

        async def remind() -> float:
            await in_thread(remind_once, database, int(clock() * 1_000_000), within)
            return LOOK_SECONDS

        await lasting("overdue appeals", remind)
