"""What the web process does about what was reported: behind the report it tags the subject (`communities.tagging`). It
looks every few seconds.
"""

import asyncio
from collections.abc import Callable

from communities.tagging import tag_due
from models.group import GroupWriter
from service.lasting import lasting

LOOK_SECONDS = 2.0
PAUSE_SECONDS = 0.1
"""Between two pieces, so that what people do comes first."""
PIECE = 5
"""Reports that are looked at in one transaction, with what people do meanwhile."""


async def keep_tagging(writer: GroupWriter, clock: Callable[[], float]) -> None:
    """Do that until cancelled. `clock`: seconds."""

    async def tag() -> float:
        now = int(clock() * 1_000_000)
        done = await asyncio.wrap_future(writer.submit(lambda connection: tag_due(connection, now, PIECE)))
        return PAUSE_SECONDS if done == PIECE else LOOK_SECONDS

    await lasting("tags of what was reported", tag, first=LOOK_SECONDS)
