"""Reading whole repositories: of new members, and of accounts of which something was missed (B1-B11).

One account at a time goes this way: the stream goes on, and what it brings of the account is noted; its repository is
fetched from its own host and verified whole; the rows are made equal to it, creates, changes and deletions, and what
was noted and is newer is applied. What breaks before that leaves the rows as they were, what breaks on the way has it
read again.
"""

import asyncio
import logging
import mmap
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from firehose.actors import Actor
from firehose.failures import Failures
from firehose.getrepo import MOST_BYTES, MOST_BYTES_OF_OTHERS, Gone, Parked, ResyncError, fetch_repo
from firehose.index import Index
from firehose.noted import Noted
from firehose.ops import Scope
from firehose.pace import Pace
from firehose.repo import RepoError
from firehose.snapshot import Snapshot, read_snapshot
from firehose.storage import STORAGE_FAULTS
from firehose.times import now_micros
from firehose.waiting import pause
from models.database import Connection, sql, writing
from models.repos import DESYNCHRONIZED, RESYNCING, SYNCED, due
from xrpc.did import DidDocument
from xrpc.resolver import DidError, DidRefreshRefused, DidResolver, DidUnavailable

log = logging.getLogger(__name__)

AT_ONCE, AT_ONCE_OF_OTHERS, AT_ONCE_OF_A_HOST = 8, 4, 3
"""Repositories read at once: in all, of accounts that do not go first, and from one host. Anybody may have his own
read by breaking his commits, and those of thousands by naming them in a record, from hosts that take as long as they
may: some places are always left for the others.
"""
GAP_SECONDS = 12.0
"""Between two readings of the same repository: one whose every commit breaks must not keep its host busy (B11)."""
STORAGE_DELAY = 5.0
STEP_SECONDS, STEP_PAUSE = 0.05, 0.05
"""For so long rows may be written in one go, and so long is the pause before more."""


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
        self._hosts: Counter[str] = Counter()
        # A large one takes the memory of a million small ones, and threads would not make it faster: one at a time. And
        # one of the others: what strangers have written can take minutes to read.
        self._parsing, self._parsing_others = asyncio.Lock(), asyncio.Lock()
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
        """Begin with as many as there is room for."""
        room, first = AT_ONCE - len(self._tasks), self._scope.first
        if room <= 0:
            return
        now = asyncio.get_running_loop().time()
        self._parked = {host: until for host, until in self._parked.items() if until > now}
        earliest = now - GAP_SECONDS * self._pace.patience
        self._read_at = {did: at for did, at in self._read_at.items() if at > earliest}
        others = AT_ONCE_OF_OTHERS - sum(did not in first for did in self._tasks)
        for did in due(sql(self._database), self._clock(), first):
            if did in self._tasks or did in self._read_at or self._is_busy(did) or (did not in first and others <= 0):
                continue
            others -= did not in first
            self._tasks[did] = task = asyncio.ensure_future(self._account(did))
            task.add_done_callback(lambda done, did=did: self._done(did, done))  # type: ignore[misc]
            room -= 1
            if not room:
                return

    def _is_busy(self, did: str) -> bool:
        """Whether the account's host, as far as it is known, is asked for as many as it may be."""
        document = self._resolver.cached(did)
        return document is not None and self._hosts[document.pds or ""] >= AT_ONCE_OF_A_HOST

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
        if self._hosts[host] >= AT_ONCE_OF_A_HOST:
            return  # it is known now that this host is busy: the place is for somebody else
        self._hosts[host] += 1
        try:
            await self._read_from(host, did, document)
        finally:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]  # anybody may bring any number of hosts

    async def _read_from(self, host: str, did: str, document: DidDocument) -> None:
        known, stream_at = self._open_epoch(did), self._stream_at()
        first = did in self._scope.first
        with tempfile.TemporaryFile(dir=Path(self._database.database).parent) as file:
            try:
                most = MOST_BYTES if first else MOST_BYTES_OF_OTHERS
                await fetch_repo(self._session, did, host, file, most=most)
            except Parked as parked:
                self._parked[host] = asyncio.get_running_loop().time() + parked.seconds
                raise
            except Gone:
                if await self._moved(did, host):
                    raise ResyncError("it has moved to another host") from None
                raise
            async with self._parsing if first else self._parsing_others:
                try:
                    snapshot = await asyncio.to_thread(self._parse, file, did, document, stream_at)
                except RepoError as error:
                    refused = error
                else:
                    if snapshot.rev < known:
                        raise ResyncError("its host has an older repository than the stream has shown")
                    await self._store(did, snapshot)
                    return
        if not refused.transient:
            await self._refresh(did)  # its key may have been changed just now
        raise ResyncError(str(refused)) from refused

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

    async def _store(self, did: str, snapshot: Snapshot) -> None:
        """Make the rows equal to the repository, in one transaction unless it is a large one: the stream stands still
        meanwhile, and must not for long. Raises ResyncError when something has happened to the epoch (B6).
        """
        # What is about these posts may come before the last of them is stored.
        for uri in snapshot.posts():
            self._scope.posts.add(uri)
        self._scope.actors.add(did)
        steps = self._index.replace(did, snapshot, self._clock())
        done = False
        while not done:
            until = time.monotonic() + STEP_SECONDS
            with writing(self._database) as connection:
                actor, noted = self._epoch(did)
                done = all(time.monotonic() < until for _ in steps)
                if done:
                    self._finish(connection, actor, noted, snapshot)
            if not done:
                await asyncio.sleep(STEP_PAUSE)
        self._read_at[did] = asyncio.get_running_loop().time()
        self.counts["repositories read"] += 1
        self.counts["records read"] += snapshot.records
        log.info("%s: repository read, %d records", did, snapshot.records)

    def _epoch(self, did: str) -> tuple[Actor, Noted]:
        """The account, and what the stream has brought of it since its repository is read. Raises ResyncError."""
        # Another process may have asked meanwhile that it be read again.
        noted, actor = self._index.buffers.get(did), self._index.actor_anew(did)
        if noted is None or actor is None or actor.state != RESYNCING or not actor.active:
            raise ResyncError("something else happened to it meanwhile")
        return actor, noted

    def _finish(self, connection: Connection, actor: Actor, noted: Noted, snapshot: Snapshot) -> None:
        """The rows are those of the repository: the stream's go on top; what does not follow marks it again."""
        now, did = self._clock(), snapshot.did
        if full := did in self._scope.full:
            connection.execute(
                "UPDATE repo SET state = ?, data = ?, why = '', tries = 0, checked_at = ?, read_at = ? WHERE actor = ?",
                (SYNCED, snapshot.data, now, now, actor.id),
            )
            actor.state, actor.data = SYNCED, snapshot.data
        else:
            connection.execute("DELETE FROM repo WHERE actor = ?", (actor.id,))
            actor.state, actor.data = "", None
        self._index.buffers.pop(did, None)
        for commit in noted.last():
            self._index.commit(commit, now)
            if not full:  # also if nothing of it changes anything now: it must not be applied again
                self._index.advance(self._index.intern(did), commit)
