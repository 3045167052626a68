"""Reading whole repositories: of new members, and of accounts of which something was missed (B1-B11).

One account at a time goes this way: the stream goes on, and what it brings of the account is noted; its repository is
fetched from its own host and verified whole; one transaction makes the rows equal to it, creates, changes and
deletions, and applies what was noted and is newer. Whatever breaks on the way leaves the rows as they were.
"""

import asyncio
import logging
import mmap
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import IO

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from firehose.failures import Failures
from firehose.getrepo import Gone, Parked, ResyncError, fetch_repo
from firehose.index import Index, Noted
from firehose.ops import Scope
from firehose.pace import Pace
from firehose.repo import RepoError
from firehose.snapshot import Snapshot, read_snapshot
from firehose.states import DESYNCHRONIZED, PENDING, RESYNCING, SYNCED
from firehose.storage import STORAGE_FAULTS
from firehose.times import now_micros
from firehose.waiting import pause
from models.database import sql, writing
from xrpc.did import DidDocument
from xrpc.resolver import DidError, DidRefreshRefused, DidResolver, DidUnavailable

log = logging.getLogger(__name__)

AT_ONCE, AT_ONCE_OF_A_HOST = 8, 3
GAP_SECONDS = 12.0
"""Between two readings of the same repository: one whose every commit breaks must not keep its host busy (B11)."""
STORAGE_DELAY = 5.0
_ORDER = {PENDING: 0, RESYNCING: 1, DESYNCHRONIZED: 2}


class Resync:
    """Reads the repositories that are due, a few at a time, until it is told to stop."""

    def __init__(
        self,
        database: APSWDatabase,
        index: Index,
        scope: Scope,
        resolver: DidResolver,
        session: aiohttp.ClientSession,
        *,
        retention: int,
        pace: Pace | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        """`retention` and `clock` are in microseconds: what is older than the one is not taken in."""
        self.counts: Counter[str] = Counter()
        self._database = database
        self._index = index
        self._scope = scope
        self._resolver = resolver
        self._session = session
        self._retention = retention
        self._pace = pace or Pace()
        self._clock = clock
        self._failures = Failures(database, index, scope, self.counts, patience=self._pace.patience, clock=clock)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_OF_A_HOST))
        self._parked: dict[str, float] = {}
        self._read_at: dict[str, float] = {}
        # An epoch that a stop has broken is begun anew.
        with writing(database) as connection:
            connection.execute("UPDATE repo SET state = ? WHERE state = ?", (DESYNCHRONIZED, RESYNCING))

    async def run(self, stop: asyncio.Event) -> None:
        """Read what is due until `stop`."""
        try:
            while not stop.is_set():
                try:
                    self._begin()
                except STORAGE_FAULTS as error:
                    log.error("repositories cannot be read now: %s", error)
                await pause(stop, self._pace.resync)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        """Begin with as many as there is room for: new accounts first, then broken ones, then those that failed."""
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return
        rows = (
            sql(self._database)
            .execute(
                "SELECT a.did, r.state FROM repo r JOIN actor a ON a.id = r.actor"
                " WHERE r.state != ? AND r.due_at <= ? AND a.active = 1 AND a.purge = 0 ORDER BY r.due_at LIMIT 200",
                (SYNCED, self._clock()),
            )
            .fetchall()
        )
        earliest = asyncio.get_running_loop().time() - GAP_SECONDS * self._pace.patience
        self._read_at = {did: at for did, at in self._read_at.items() if at > earliest}
        rows.sort(key=lambda row: _ORDER.get(row[1], 9))
        due = [did for did, _ in rows if did not in self._tasks and did not in self._read_at]
        for did in due[:room]:
            self._tasks[did] = task = asyncio.ensure_future(self._account(did))
            task.add_done_callback(lambda done, did=did: self._done(did, done))  # type: ignore[misc]

    def _done(self, did: str, task: "asyncio.Task[None]") -> None:
        del self._tasks[did]
        if not task.cancelled() and (fault := task.exception()):
            log.error("the repository of %s cannot be read", did, exc_info=fault)

    async def _account(self, did: str) -> None:
        """One try at one account, and what becomes of it."""
        try:
            try:
                await self._read(did)
            except Gone as gone:
                self._failures.inactive(did, gone.status)
            except Parked as parked:
                self._later(did, str(parked), parked.seconds, failed=False)
            except ResyncError as error:
                self._later(did, str(error), None, failed=True, lasting=error.lasting)
            except DidUnavailable:
                self._later(did, "its DID document could not be looked up", None, failed=True)
            except DidError:
                self._failures.unresolvable(did)
            except STORAGE_FAULTS:
                raise
            except Exception as error:
                self._index.forget()
                log.exception("the repository of %s cannot be read", did)
                self._later(did, f"{type(error).__name__}: {error}", None, failed=True, lasting=True)
        except STORAGE_FAULTS as error:
            self._index.forget()
            log.error("%s: the repository could not be stored: %s", did, error)
            await asyncio.sleep(STORAGE_DELAY)

    async def _read(self, did: str) -> None:
        document = await self._resolver.resolve(did)
        if not document.pds or document.key is None:
            raise DidError(did)
        host = document.pds
        wait = self._parked.get(host, 0.0) - asyncio.get_running_loop().time()
        if wait > 0:
            raise Parked(wait)
        async with self._hosts[host]:
            known, stream_at = self._open_epoch(did), self._stream_at()
            with tempfile.TemporaryFile(dir=Path(self._database.database).parent) as file:
                try:
                    await fetch_repo(self._session, did, host, file)
                except Parked as parked:
                    self._parked[host] = asyncio.get_running_loop().time() + parked.seconds
                    raise
                except Gone:
                    if await self._moved(did, host):
                        raise ResyncError("it has moved to another host") from None
                    raise
                try:
                    snapshot = await asyncio.to_thread(self._parse, file, did, document, stream_at)
                except RepoError as error:
                    if not error.transient:
                        # Its key may have been changed just now.
                        await self._refresh(did)
                    raise ResyncError(str(error)) from error
            if snapshot.rev < known:
                raise ResyncError("its host has an older repository than the stream has shown")
            self._store(did, snapshot)

    def _stream_at(self) -> int:
        """A time before which the stream has brought everything, in microseconds; a minute's grace for clocks."""
        (at,) = sql(self._database).execute("SELECT max(event_at) FROM source").fetchall()[0]
        now = self._clock()
        return min(at or now, now) - 60_000_000

    async def _moved(self, did: str, host: str) -> bool:
        """Whether its document names another host than the one that was asked: one that was left says that the account
        is not active, and so it is, there.
        """
        await self._refresh(did)
        document = self._resolver.cached(did)
        return document is not None and document.pds != host

    async def _refresh(self, did: str) -> None:
        try:
            await self._resolver.resolve(did, fresh=True)
        except (DidError, DidRefreshRefused):
            return

    def _later(self, did: str, why: str, seconds: float | None, *, failed: bool, lasting: bool = False) -> None:
        self._failures.later(did, why, seconds, failed=failed, lasting=lasting)
        log.warning("%s: repository not read: %s", did, why)

    def _open_epoch(self, did: str) -> str:
        """Note from now on what the stream brings; returns the rev that the rows have."""
        with writing(self._database) as connection:
            actor = self._index.intern(did)
            connection.execute("UPDATE repo SET state = ?, data = NULL WHERE actor = ?", (RESYNCING, actor.id))
        actor.state, actor.data = RESYNCING, None
        self._index.buffers[did] = Noted()
        return actor.rev

    def _parse(self, file: IO[bytes], did: str, document: DidDocument, stream_at: int) -> Snapshot:
        """In a thread: the verified records of the file that the index has a use for."""
        assert document.key is not None  # noqa: S101
        now = self._clock()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_snapshot(data, did, document.key, self._scope, now - self._retention, stream_at)

    def _store(self, did: str, snapshot: Snapshot) -> None:
        """The one transaction; nothing may have happened to the epoch meanwhile (B6)."""
        noted = self._index.buffers.get(did)
        now = self._clock()
        with writing(self._database) as connection:
            actor = self._index.actor(did)
            if noted is None or actor is None or actor.state != RESYNCING or not actor.active:
                raise ResyncError("something else happened to it meanwhile")
            self._index.replace(did, snapshot, now)
            full = did in self._scope.full
            if full:
                connection.execute(
                    "UPDATE repo SET state = ?, data = ?, why = '', tries = 0, checked_at = ?, read_at = ?"
                    " WHERE actor = ?",
                    (SYNCED, snapshot.data, now, now, actor.id),
                )
                actor.state, actor.data = SYNCED, snapshot.data
            else:
                connection.execute("DELETE FROM repo WHERE actor = ?", (actor.id,))
                actor.state, actor.data = "", None
            # What the stream brought is applied on top; what does not follow marks the account again.
            self._index.buffers.pop(did, None)
            for commit in noted:
                self._index.commit(commit, now)
        self._read_at[did] = asyncio.get_running_loop().time()
        for uri in snapshot.posts():
            self._scope.posts.add(uri)
        self._scope.actors.add(did)
        self.counts["repositories read"] += 1
        self.counts["records read"] += snapshot.records
        log.info("%s: repository read, %d records", did, snapshot.records)
