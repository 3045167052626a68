"""What the web process does about commands that moderators write in posts: it does what waits, and asks authors' hosts
for what came without proof of who wrote it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from civic.obeying import Obeying
from communities.access import Site
from communities.commands import RECENT
from labeler.vocabulary import Declared
from models import commands
from models.commands import REFUSED, CommandRow
from models.database import sql, writing
from service.lasting import lasting, own_thread
from xrpc.egress import FetchError
from xrpc.record import NotThere, fetch_record
from xrpc.resolver import DidError, DidResolver

LOOK_SECONDS = 0.25
"""How long a command can go unnoticed."""
AGAIN_SECONDS = 5.0
"""Behind hosts that did not answer."""
AT_ONCE = 8
FETCH_SECONDS = 10.0
NOT_PROVEN = "The source that this service reads proves nothing, and your PDS did not confirm it"


class Confirming:
    """Asks the hosts of authors for commands that came from a source without proofs."""

    def __init__(self, resolver: DidResolver, session: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        """`session`: guarded; `clock`: seconds."""
        self._resolver = resolver
        self._session = session
        self._clock = clock

    async def judge(self, row: CommandRow) -> CommandRow | None:
        """A command as it is when its author's host was asked; None: it could not be asked, and may be once more."""
        now = int(self._clock() * 1_000_000)
        try:
            document = await self._resolver.resolve(row.actor)
            # The present version and no other: what its author has taken back is not commanded any more.
            _, cid = await fetch_record(self._session, document, row.uri, timeout=FETCH_SECONDS)
        except NotThere as why:
            return _unproven(row, f"{why}", now)
        except (DidError, FetchError) as error:
            late = now - row.at > RECENT
            return _unproven(row, f"it could not be asked: {error or type(error).__name__}", now) if late else None
        return row if cid == row.cid else _unproven(row, "it has another version of the post", now)


def _unproven(row: CommandRow, why: str, now: int) -> CommandRow:
    outcome = f"{NOT_PROVEN}: {why}."
    return row._replace(state=REFUSED, fault="NotProven", outcome=outcome[:500], done_at=now)


def store(database: APSWDatabase, judged: Sequence[CommandRow | None]) -> None:
    """Store what hosts have said."""
    with writing(database) as connection:
        for row in filter(None, judged):
            if row.state == REFUSED:
                commands.settle(connection, row)
            else:
                commands.prove(connection, row.id)


async def keep_obeying(
    database: APSWDatabase,
    labelers: Callable[[], Sequence[Declared]],
    site: Mapping[str, Site],
    resolver: DidResolver,
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> None:
    """Do that until cancelled. `clock`: seconds."""
    obeying, confirming = Obeying(database, labelers, site, clock), Confirming(resolver, session, clock)
    with own_thread(database, "commands") as in_thread:

        async def obey() -> float:
            while await in_thread(obeying.step):
                pass
            return LOOK_SECONDS

        async def confirm() -> float:
            rows = await in_thread(lambda: commands.unproven(sql(database), AT_ONCE))
            judged = await asyncio.gather(*map(confirming.judge, rows))
            if any(judged):
                await in_thread(store, database, judged)
            return AGAIN_SECONDS if None in judged else LOOK_SECONDS

        await asyncio.gather(lasting("commands", obey), lasting("commands without proof", confirm))
