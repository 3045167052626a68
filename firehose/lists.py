"""Members of the `app.bsky.graph.list`s that rules name, read from the PDS of each list's owner.

The stream keeps them current afterwards; reading them anew at intervals mends what the stream did not bring.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from firehose.index import Index
from firehose.list_rows import LISTS_CHANGED
from firehose.pace import Pace
from firehose.storage import STORAGE_FAULTS, StorageError
from firehose.times import now_micros
from firehose.waiting import pause
from models import meta
from models.database import sql, writing
from xrpc.egress import FetchError, fetch_json
from xrpc.resolver import DidError, DidResolver
from xrpc.syntax import is_did, is_rkey, parse_at_uri

log = logging.getLogger(__name__)

PAGE = 100
MOST_PAGES = 2000
READ_SECONDS = 600.0
"""For one whole list: a server that takes its time over every page must not keep the other lists waiting for hours."""
PAGE_BYTES = 1 << 20
RETRY_SECONDS = 120


class ListError(Exception):
    """The list cannot be read now; the message says why."""


async def read_list(uri: str, resolver: DidResolver, session: aiohttp.ClientSession) -> dict[str, str]:
    """rkey of the list item -> member DID, for every member. Raises ListError."""
    owner = uri.removeprefix("at://").partition("/")[0]
    try:
        document = await resolver.resolve(owner)
    except DidError as error:
        raise ListError(f"its owner {owner} cannot be resolved: {error}") from error
    if not document.pds:
        raise ListError(f"its owner {owner} has no PDS")
    members: dict[str, str] = {}
    cursor = ""
    for _ in range(MOST_PAGES):
        query = {"repo": owner, "collection": "app.bsky.graph.listitem", "limit": str(PAGE)}
        if cursor:
            query["cursor"] = cursor
        url = f"{document.pds}/xrpc/com.atproto.repo.listRecords?{urlencode(query)}"
        try:
            page = await fetch_json(session, url, limit=PAGE_BYTES, timeout=20.0)
        except FetchError as error:
            raise ListError(f"{document.pds} did not give it: {error}") from error
        records = page.get("records") if isinstance(page, dict) else None
        if not isinstance(records, list) or len(records) > PAGE:
            raise ListError(f"{document.pds} did not answer listRecords as the lexicon says")
        for record in records:
            _note(record, uri, members)
        following = page.get("cursor")
        if not records or not isinstance(following, str) or following == cursor:
            return members
        cursor = following
    raise ListError(f"it has more than {MOST_PAGES * PAGE} items")


def _note(record: Any, uri: str, members: dict[str, str]) -> None:
    value = record.get("value") if isinstance(record, dict) else None
    if not isinstance(value, dict) or value.get("list") != uri:
        return
    subject, place = value.get("subject"), parse_at_uri(str(record.get("uri")))
    if isinstance(subject, str) and is_did(subject) and place and place.rkey and is_rkey(place.rkey):
        members[place.rkey] = subject


class ListReader:
    """Reads each named list when it is due. `changed` is called after a list's members are other ones."""

    def __init__(
        self,
        database: APSWDatabase,
        index: Index,
        resolver: DidResolver,
        session: aiohttp.ClientSession,
        interval: int,
        changed: Callable[[], None],
        *,
        pace: Pace | None = None,
    ) -> None:
        """`interval`: microseconds after which a list is read again."""
        self._pace = pace or Pace()
        self._database = database
        self._index = index
        self._resolver = resolver
        self._session = session
        self._interval = interval
        self._changed = changed
        self._retry_at: dict[str, int] = {}
        self._doubted: set[str] = set()

    def doubt(self, uri: str) -> None:
        """Read a list anew before long: it is said to have been changed, without proof. Raises StorageError."""
        if uri not in self._doubted:
            self._doubted.add(uri)
            try:
                with writing(self._database) as connection:
                    connection.execute("UPDATE list SET read_at = 0 WHERE uri = ?", (uri,))
            except STORAGE_FAULTS as error:
                self._doubted.discard(uri)
                raise StorageError(f"the database refused a write: {error}") from error

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due until `stop`."""
        while not stop.is_set():
            try:
                for uri in self._due():
                    await self._read(uri)
                    if stop.is_set():
                        return
            except STORAGE_FAULTS as error:
                log.error("lists cannot be stored now: %s", error)
            await pause(stop, self._pace.lists)

    def _due(self) -> list[str]:
        now = now_micros()
        rows = sql(self._database).execute("SELECT uri FROM list WHERE read_at < ?", (now - self._interval,)).fetchall()
        return [uri for (uri,) in rows if self._retry_at.get(uri, 0) <= now]

    async def _read(self, uri: str) -> None:
        owner = uri.removeprefix("at://").partition("/")[0]
        before = self._index.list_changes[owner]
        self._doubted.discard(uri)
        try:
            async with asyncio.timeout(READ_SECONDS):
                members = await read_list(uri, self._resolver, self._session)
        except (ListError, TimeoutError) as fault:
            error = fault if isinstance(fault, ListError) else f"it could not be read in {READ_SECONDS:.0f} s"
            log.warning("list %s: %s", uri, error)
            self._retry_at[uri] = now_micros() + RETRY_SECONDS * 1_000_000
            with writing(self._database) as connection:
                connection.execute("UPDATE list SET error = ? WHERE uri = ?", (str(error)[:500], uri))
            return
        if self._index.list_changes[owner] != before or uri in self._doubted:
            return  # the stream changed it meanwhile: what was read may be older; it stays due
        with writing(self._database) as connection:
            if not connection.execute("SELECT 1 FROM list WHERE uri = ?", (uri,)).fetchone():
                return  # no rule names it any more
            held = dict(connection.execute("SELECT rkey, subject FROM list_item WHERE list = ?", (uri,)))
            if held != members:
                connection.execute("DELETE FROM list_item WHERE list = ?", (uri,))
                connection.executemany(
                    "INSERT INTO list_item (owner, rkey, list, subject) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (owner, rkey) DO UPDATE SET list = excluded.list, subject = excluded.subject",
                    [(owner, rkey, uri, subject) for rkey, subject in sorted(members.items())],
                )
                meta.put(connection, LISTS_CHANGED, "")
            connection.execute("UPDATE list SET read_at = ?, error = NULL WHERE uri = ?", (now_micros(), uri))
        log.info("list %s: %d members", uri, len(members))
        if held != members:
            self._changed()
