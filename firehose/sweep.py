"""The slow round through all accounts that rows point to: whether their own hosts say what we hold (B10).

The stream is one witness. It may have lost an event, a relay may have been throttled, a host may be blind: what nobody
else notices is noticed here. Deletions of whole accounts are believed here only (A46): the stream's word hides, the
host's own word purges.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from firehose.accounts import CONFIRM, CONFIRMED
from firehose.index import Index
from firehose.ops import POST, Commit, Delete
from firehose.pace import Pace
from firehose.standing import DELETED, NOWHERE, Standing, by_answer, by_error
from firehose.storage import STORAGE_FAULTS
from firehose.times import now_micros, tid_micros
from firehose.turns import Turns
from firehose.waiting import pause
from models.database import sql, writing
from models.repos import SYNCED
from xrpc.did import DidDocument
from xrpc.egress import FetchError, fetch_json
from xrpc.resolver import DidError, DidInvalid, DidRefreshRefused, DidResolver, DidUnavailable

log = logging.getLogger(__name__)

UNPROVEN = 86_400_000_000
"""Microseconds between two readings of a followed repository whose commits come without proofs."""
LAG = 300_000_000
"""Microseconds by which the stream may be behind a host."""
MOST_POSTS = 20
"""Of an author who is no member, so many of the newest posts are asked for."""
AT_ONCE = 4
LOOK_SECONDS = 30.0
"""For all that one account's host is asked."""


class Sweep:
    """Asks one host after the other, at a low rate, until it is told to stop."""

    def __init__(
        self,
        database: APSWDatabase,
        index: Index,
        resolver: DidResolver,
        session: aiohttp.ClientSession,
        *,
        pace: Pace | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.looking = 0
        """How many accounts are looked at just now."""
        self._database = database
        self._index = index
        self._resolver = resolver
        self._session = session
        self._pace = pace or Pace()
        self._clock = clock
        self.turns = Turns(database, index, pace=self._pace, clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Look at one account after the other until `stop`: at a few at once, since some hosts take their time."""
        await asyncio.gather(*(self._go_round(stop) for _ in range(AT_ONCE)))

    async def _go_round(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                self.looking += 1
                did = self.turns.next()
                if did is not None:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look_at(did)
                if (without := self.turns.unresolvable()) is not None:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look_up(without)
            except TimeoutError:
                self.counts["accounts not to be had"] += 1
            except STORAGE_FAULTS as error:
                self._index.forget()
                log.error("what hosts say cannot be stored now: %s", error)
            finally:
                self.looking -= 1
            await pause(stop, self._pace.sweep * AT_ONCE)

    async def _look_at(self, did: str) -> None:
        self.counts["accounts looked at"] += 1
        document: DidDocument | None
        try:
            document = await self._resolver.resolve(did)
            standing = await self._standing(document)
            if not standing.active:
                # It may just have moved: only the host that it has now is believed.
                document = await self._resolver.resolve(did, fresh=True)
                standing = await self._standing(document)
        except (DidUnavailable, DidInvalid, DidRefreshRefused, FetchError) as error:
            self.counts["accounts not to be had"] += 1
            log.debug("%s cannot be asked for: %s", did, error)
            return
        except DidError:
            # The directory does not forget an account that there is; somebody's web server may.
            document, standing = None, DELETED if did.startswith("did:plc:") else NOWHERE
        self._compare(did, standing)
        if document is not None and standing.active:
            await self._compare_posts(did, document)

    async def _look_up(self, did: str) -> None:
        """Whether an account has a document again, as an #identity would have said that was lost."""
        self._resolver.forget(did)
        try:
            document = await self._resolver.resolve(did)
        except DidError:
            return
        if document.pds and document.key is not None:
            self.counts["accounts resolvable again"] += 1
            with writing(self._database):
                self._index.identity(did, self._clock())

    async def _standing(self, document: DidDocument) -> Standing:
        """What `com.atproto.sync.getRepoStatus` says; an account that is not there is deleted. Raises FetchError."""
        if not document.pds:
            return NOWHERE
        url = f"{document.pds}/xrpc/com.atproto.sync.getRepoStatus?{urlencode({'did': document.did})}"
        try:
            standing = by_answer(await fetch_json(self._session, url, timeout=10.0))
        except FetchError as fault:
            standing = by_error(fault.status or 0, fault.error)
            if standing is None:
                raise
        if standing is None:
            raise FetchError("did not answer getRepoStatus as the lexicon says", 200)
        return standing

    def _compare(self, did: str, said: Standing) -> None:
        now = self._clock()
        found = (
            "SELECT a.active, a.status, a.ahead, a.purge, a.rev, coalesce(r.read_at, 0)"
            " FROM actor a LEFT JOIN repo r ON r.actor = a.id WHERE a.did = ?"
        )
        row = sql(self._database).execute(found, (did,)).fetchone()
        if row is None:
            return
        active, held, ahead, purge, rev, read_at = row
        with writing(self._database) as connection:
            if purge == CONFIRM and not said.active:
                connection.execute("UPDATE actor SET purge = ? WHERE did = ?", (CONFIRMED, did))
                self.counts["deletions confirmed"] += 1
            elif said.active and held == "takendown" and not ahead:
                self.counts["accounts that the relay has taken down"] += 1
            elif bool(active) != said.active or (said.status == "deleted" != held and not said.active):
                self._index.overlay(did, said.active, said.status)
                self.counts["accounts put right"] += 1
                if said.active:
                    self._index.desynchronize(did, "its host says that it is active", now)
                    self._index.identity(did, now)
            known = self._index.actor(did)
            if known is None:
                return
            if known.state == SYNCED and said.rev > rev and 0 < tid_micros(said.rev) < now - LAG:
                self.counts["accounts behind"] += 1
                self._index.desynchronize(did, "its host is ahead of the stream", now)
            elif known.state == SYNCED and known.data is None and said.active and read_at < now - UNPROVEN:
                # A commit that was lost leaves no trace in the rev of the next one.
                self.counts["accounts followed without proofs"] += 1
                self._index.desynchronize(did, "its commits came without proofs", now)

    async def _compare_posts(self, did: str, document: DidDocument) -> None:
        """Whether the posts of an author who is not followed are still there (A34)."""
        known = self._index.actor(did)
        if known is None or known.state:
            return
        rows = sql(self._database).execute(
            "SELECT id, rkey FROM post WHERE actor = ? AND event_at < ? ORDER BY sort_at DESC LIMIT ?",
            (known.id, self._clock() - LAG, MOST_POSTS),
        )
        for post, rkey in rows.fetchall():
            query = urlencode({"repo": did, "collection": POST, "rkey": rkey})
            url = f"{document.pds}/xrpc/com.atproto.repo.getRecord?{query}"
            try:
                await fetch_json(self._session, url, limit=1 << 20, timeout=10.0)
            except FetchError as fault:
                if fault.error != "RecordNotFound":
                    return
                with writing(self._database) as connection:
                    if not connection.execute("SELECT 1 FROM post WHERE id = ?", (post,)).fetchone():
                        continue  # the stream has said so meanwhile, and may have brought another under the same key
                    # Without a rev of its own: what the account writes next goes on from where it was.
                    self._index.apply(Commit(0, did, "", "", [Delete(POST, rkey)]), self._clock())
                self.counts["posts gone"] += 1
