"""What was reported and is not indexed is fetched from its author's PDS, before it is edited or deleted; and what the
author's DID document calls the account.

Nobody waits for it: a report is answered at once, and the ingest process fetches soon after, a few at a time, every
host seldom. Whoever reports decides what is fetched, so it is one small record for a report at most, within limits.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from communities.evidence import decoded, parent_of, parent_text, text_of
from communities.report_limits import domain_of
from firehose.pace import Pace
from firehose.storage import STORAGE_FAULTS
from firehose.times import now_micros
from firehose.waiting import pause
from models import evidence
from models.database import sql, writing
from models.evidence import Evidence
from xrpc.did import DidDocument
from xrpc.egress import FetchError
from xrpc.ratelimit import RateLimit
from xrpc.record import NotThere, fetch_record
from xrpc.resolver import DidError, DidResolver

log = logging.getLogger(__name__)

AT_ONCE = 8
FETCH_SECONDS = 10.0
HOST_PER_SECOND, HOST_BURST = 1.0, 5
DELAY = 10_000_000
"""Microseconds after which a host is asked again that was asked for enough."""
AGAIN_AFTER = (60, 300, 1800, 7200, 43_200)
"""Seconds from one try to the next; behind the last nothing is tried any more."""


class EvidenceReader:
    """Fetches what is due."""

    def __init__(
        self,
        database: APSWDatabase,
        resolver: DidResolver,
        session: aiohttp.ClientSession,
        *,
        pace: Pace | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        """`clock`: microseconds."""
        self.counts: Counter[str] = Counter()
        self._database = database
        self._resolver = resolver
        self._session = session
        self._pace = pace or Pace()
        self._clock = clock
        self._hosts = RateLimit(HOST_PER_SECOND, HOST_BURST)

    async def run(self, stop: asyncio.Event) -> None:
        """Fetch what is due until `stop`."""
        while not stop.is_set():
            await self.step()
            await pause(stop, self._pace.evidence)

    async def step(self) -> int:
        """Fetch some of what is due; returns how much that was."""
        try:
            found = evidence.due(sql(self._database), self._clock(), AT_ONCE)
            for fault in await asyncio.gather(*map(self._fetch, found), return_exceptions=True):
                if isinstance(fault, BaseException):
                    raise fault
        except STORAGE_FAULTS as error:
            log.error("evidence cannot be stored now: %s", error)
            return 0
        return len(found)

    async def _fetch(self, one: Evidence) -> None:
        handle = one.handle
        try:
            document = await self._resolver.resolve(one.did)
            handle = document.handle or ""
            if one.record is None and self._hosts.allow(_domain(document)) is not None:
                with writing(self._database) as connection:
                    evidence.delay(connection, one.id, self._clock() + DELAY)
                return
            record, cid = one.record, one.cid
            if record is None:
                record, cid = await fetch_record(self._session, document, one.uri, timeout=FETCH_SECONDS)
        except NotThere as why:
            self._failed(one, handle, str(why), lasting=True)
        except (DidError, FetchError) as error:
            self._failed(one, handle, str(error) or type(error).__name__)
        else:
            parent = parent_of(decoded(record))
            text = one.parent_text or await self._text(parent)
            kept = one._replace(record=record, cid=cid, handle=handle, parent=parent, parent_text=text)
            with writing(self._database) as connection:
                evidence.fill(connection, kept, self._clock())
            self.counts["kept"] += 1

    def _failed(self, one: Evidence, handle: str, why: str, *, lasting: bool = False) -> None:
        """Note why, and try again later unless it is of no use."""
        due_at = None
        if not lasting and one.tries < len(AGAIN_AFTER):
            due_at = self._clock() + int(AGAIN_AFTER[one.tries] * self._pace.patience * 1_000_000)
        with writing(self._database) as connection:
            evidence.postpone(connection, one.id, handle, why, due_at)
        self.counts["put off" if due_at else "not to be had"] += 1

    async def _text(self, parent: str) -> str:
        """What a post answers: as it is indexed, or else as its own host has it; empty if it is not to be had."""
        if not parent or (known := parent_text(sql(self._database), parent)):
            return known if parent else ""
        try:
            document = await self._resolver.resolve(parent.split("/")[2])
            if self._hosts.allow(_domain(document)) is not None:
                return ""
            record, _ = await fetch_record(self._session, document, parent, timeout=FETCH_SECONDS)
        except (DidError, FetchError, NotThere):
            return ""
        return text_of(decoded(record))


def _domain(document: DidDocument) -> str:
    return domain_of(urlsplit(document.pds or "").hostname or "")
