"""When accounts came to be: the directory of did:plc says it, in the first entry of an account's log.

Asked for only where a rule depends on it and all else of the rule holds, a few at a time, and kept for good. Of a
did:web nobody can say it: a rule about young accounts does not fit those.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from models import label_rules
from models.database import sql, writing
from xrpc.egress import FetchError, fetch_json
from xrpc.syntax import parse_datetime

AT_ONCE = 10
RETRY_MICROS = 10 * 60_000_000
MOST_BYTES = 1 << 20


class Ages:
    """Asks for the ages that are wanted."""

    def __init__(
        self,
        database: APSWDatabase,
        session: aiohttp.ClientSession,
        plc_url: str,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        clock: Callable[[], float],
    ) -> None:
        """`in_thread`: runs what uses the database; `clock`: seconds."""
        self._database, self._session, self._plc_url = database, session, plc_url
        self._in_thread, self._clock = in_thread, clock

    async def step(self) -> bool:
        """Ask for the next ones; whether there were any."""
        now = int(self._clock() * 1_000_000)
        dids = await self._in_thread(lambda: label_rules.ages_to_ask(sql(self._database), now, AT_ONCE))
        for did in dids:
            created_at, due_at = await self._ask(did, now)

            def keep(did: str = did, created_at: int | None = created_at, due_at: int = due_at) -> None:
                with writing(self._database) as connection:
                    label_rules.put_age(connection, did, created_at, due_at)

            await self._in_thread(keep)
        return bool(dids)

    async def _ask(self, did: str, now: int) -> tuple[int | None, int]:
        """When the account came to be (microseconds), or when to ask again (0: never)."""
        if not did.startswith("did:plc:"):
            return None, 0
        try:
            entries = await fetch_json(self._session, f"{self._plc_url}/{did}/log/audit", limit=MOST_BYTES)
        except FetchError as error:
            return None, 0 if error.status in (404, 410) else now + RETRY_MICROS
        first = entries[0] if type(entries) is list and entries else None
        created = first.get("createdAt") if type(first) is dict else None
        at = parse_datetime(created) if type(created) is str else None
        return at, 0 if at is None else 1
