"""What the web process does about reports that moderators forward to other labelers: it sends what waits, one after the
other, and notes what became of it. Nothing is sent while a transaction is open.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from communities.forwards import DAY, MOST_A_DAY, Allowed, Taken, missed, sent, take
from models import forwards
from models.database import MACHINE_FAULTS, Connection, sql, writing
from models.forwards import FAILED, SENT
from service.config import PREFIX, Config
from service.lasting import InThread, lasting, own_thread
from service.upstream import Unsent, Upstream
from xrpc.resolver import DidResolver

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
PAUSE_SECONDS = 300.0
"""When the account cannot sign in: PDSes count such calls."""
_SETTINGS = ("forward_account", "forward_password", "forward_to")


def forwards_allowed(config: Config) -> Allowed:
    """To which labelers may be forwarded, by the settings."""
    missing = tuple(PREFIX + name.upper() for name in _SETTINGS if not getattr(config, name))
    return Allowed((), missing) if missing else Allowed(config.forward_to)


def forwards_status(connection: Connection, now: int) -> dict[str, int]:
    """How many wait, and how many were sent and given up today (UTC). `now`: microseconds."""
    today = now - now % DAY
    return {
        "waiting": forwards.count_waiting(connection),
        "sent": forwards.count_since(connection, SENT, today),
        "failed": forwards.count_since(connection, FAILED, today),
    }


def forwards_line(status: Mapping[str, int]) -> str:
    """The same for people."""
    full = f"; no more today than {MOST_A_DAY}" if status["waiting"] and status["sent"] >= MOST_A_DAY else ""
    today = f"{status['sent']:,} sent and {status['failed']:,} failed today"
    return f"forward  {status['waiting']:>12,}  wait, {today}{full}"


class Forwarding:
    """Sends what waits."""

    def __init__(
        self,
        database: APSWDatabase,
        in_thread: InThread,
        upstream: Upstream,
        allowed: Allowed,
        clock: Callable[[], float],
    ) -> None:
        """`in_thread`: where the database is used; `clock`: seconds."""
        self._database = database
        self._in_thread = in_thread
        self._upstream = upstream
        self._allowed = allowed
        self._clock = clock

    async def step(self) -> float:
        """Send one report, if one is to be sent; in how many seconds to go on."""
        taken = await self._in_thread(self._take)
        if taken is None:
            return LOOK_SECONDS
        labeler = taken.row.recipient
        try:
            remote = await self._upstream.send(taken)
        except Unsent as why:
            await self._in_thread(self._missed, taken, why)
            log.warning("a report could not be forwarded to %s: %s", labeler, why)
            return PAUSE_SECONDS if why.account else LOOK_SECONDS
        # Who goes on without this note sends it once more.
        while not await self._in_thread(self._sent, taken, remote):
            log.warning("that a report was forwarded to %s cannot be noted now, and is tried again", labeler)
            await asyncio.sleep(LOOK_SECONDS)
        log.info("a report was forwarded to %s", labeler)
        return 0.0

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _take(self) -> Taken | None:
        if forwards.due(sql(self._database), self._now()) is None:
            return None
        with writing(self._database) as connection:
            return take(connection, self._allowed.to, self._now())

    def _missed(self, taken: Taken, why: Unsent) -> None:
        with writing(self._database) as connection:
            missed(connection, taken, str(why), self._now(), final=why.final)

    def _sent(self, taken: Taken, remote: int | None) -> bool:
        try:
            with writing(self._database) as connection:
                sent(connection, taken, remote, self._now())
        except MACHINE_FAULTS:
            return False
        return True


async def keep_forwarding(
    config: Config,
    database: APSWDatabase,
    resolver: DidResolver,
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> None:
    """Do that until cancelled; nothing where the settings do not allow it. `session`: guarded; `clock`: seconds."""
    allowed = forwards_allowed(config)
    if allowed.missing:
        return
    with own_thread(database, "forwards") as in_thread:
        forwarding = Forwarding(database, in_thread, Upstream(config, resolver, session), allowed, clock)
        await lasting("reports to forward", forwarding.step)
