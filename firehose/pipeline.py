"""Messages in, committed rows out: triage of each frame, batches, and the cursor that commits with the rows it covers.

Everything is on one thread and nothing here awaits. Events that matter wait in a small batch; `flush` applies the
batch and stores the cursor in one transaction. Whatever goes wrong, the stored cursor never passes an event that is
neither applied, nor skipped by rule, nor in quarantine.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apsw
import peewee
from playhouse.apsw_ext import APSWDatabase

from firehose import quarantine
from firehose.frames import FrameError, read_frame, sequence
from firehose.index import Index
from firehose.ops import Commit, PutListItem, PutPost, Scope, read_commit
from firehose.pace import Pace
from firehose.times import now_micros, tid
from models.database import Connection, sql, writing
from xrpc.syntax import parse_datetime

log = logging.getLogger(__name__)

BATCH_EVENTS = 1000
BATCH_BYTES = 16 * 1024 * 1024
"""Of the messages that wait; each is kept as it came until its rows are stored."""
FUTURE_MICROS = 5 * 60 * 1_000_000
"""A rev further ahead of our clock than this is refused."""
LONGEST_FALL = 1_000_000
"""How far a seq may fall behind the highest one seen: the overlap of a stream that is sent again, generously."""

KINDS = frozenset(("#commit", "#sync", "#identity", "#account", "#info"))


class StorageError(Exception):
    """The batch could not be stored; nothing of it was. Ask the stream again from the stored cursor."""


STORAGE_FAULTS = (
    StorageError,
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    peewee.OperationalError,
)


CORRUPTION = (apsw.CorruptError, apsw.NotADBError)
"""The file is broken. That is no event's fault, and none may be taken for done: the process ends."""


class RewindError(Exception):
    """The stream starts below the stored cursor, or falls far behind: the cursor does not belong to it (any more)."""


@dataclass(slots=True)
class Account:
    """An `#account` event."""

    seq: int
    did: str
    active: bool
    status: str | None


Event = Commit | Account


class Pipeline:
    """The state of one source: what was received, what is committed, what waits."""

    def __init__(
        self,
        database: APSWDatabase,
        source: str,
        scope: Scope,
        index: Index,
        *,
        pace: Pace | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        """`clock` gives microseconds."""
        self._pace = pace or Pace()
        self.source = source
        self.scope = scope
        self.index = index
        self.kinds: Counter[str] = Counter()
        self.committed: int | None = None
        self.received = 0
        self.event_at = 0
        self._database = database
        self._clock = clock
        self.on_identity: Callable[[str], None] = lambda did: None
        self._pending: list[tuple[Event, bytes]] = []
        self._pending_bytes = 0
        self._flushed_at = 0
        self._time = ""
        self._poison = quarantine.Sightings()
        self._fresh = True
        self._lost = False
        self.scope.latest_rev = tid(clock() + FUTURE_MICROS)
        self.restore()

    def restore(self) -> None:
        """Begin at the stored cursor: at start, and whenever a connection ended badly."""
        row = (
            sql(self._database)
            .execute("SELECT cursor, event_at FROM source WHERE url = ? AND kind = 'seq'", (self.source,))
            .fetchone()
        )
        self.committed, self.event_at = row or (None, 0)
        self.received = self.committed or 0
        self._pending.clear()
        self._pending_bytes = 0
        self._lost = True
        self.index.forget()

    def connected(self) -> None:
        """A new connection was made; its first event says whether it continues where we stopped."""
        self._fresh = True
        self._lost = False

    def receive(self, data: bytes) -> None:
        """Take one message. Raises FrameError, StreamError, StorageError or RewindError: the connection must end."""
        if self._lost:
            raise StorageError("what this connection delivered before was not stored")
        try:
            kind, payload = read_frame(data)
            seq = sequence(payload)
        except FrameError as error:
            if not self._poison.seen(self.received, data):
                raise
            log.error("a frame after %d cannot be read (%s)", self.received, error)
            self._pass_over(data, self.received, str(error))
            return
        self.kinds[kind if kind in KINDS else "other"] += 1
        if seq is None:
            if kind == "#info":
                # Anything else than texts stays unprinted: nested deeply enough, it would end the process that prints.
                said = [text for text in (payload.get("name"), payload.get("message")) if type(text) is str]
                log.warning("%s says %.300r", self.source, ": ".join(said)[:300])
            return
        if seq <= self.received:
            self._fallen(seq)
            return
        self._fresh = False
        try:
            event = self._read_commit(payload, seq) if kind == "#commit" else self._read(kind, payload, seq)
        except Exception as error:
            # A fault of ours that somebody's bytes have found must not become everybody's standstill.
            log.exception("event %d cannot be read", seq)
            self._pass_over(data, seq, "event could not be read", f"{type(error).__name__}: {error}")
            event = None
        self.received = seq
        if type(time := payload.get("time")) is str:
            self._time = time
        if event is not None:
            self._pending.append((event, data))
            self._pending_bytes += len(data)
            if len(self._pending) >= BATCH_EVENTS or self._pending_bytes >= BATCH_BYTES:
                self.flush()

    def _fallen(self, seq: int) -> None:
        """Judge an event that is not behind the last one: it came again, or the stream is another one."""
        if self._fresh and seq < self.received:
            raise RewindError(f"the stream starts at {seq}, below the cursor {self.received}")
        self._fresh = False
        if self.received - seq > LONGEST_FALL:
            # One seq of the far future must not silence the stream behind it for ever (S84).
            raise RewindError(f"the stream fell from {self.received} to {seq}")
        self.scope.dropped["seq not rising"] += 1

    def _read_commit(self, payload: dict[str, Any], seq: int) -> Commit | None:
        scope = self.scope
        commit = read_commit(payload, seq, scope)
        if commit is not None:
            scope.actors.add(commit.did)
            for op in commit.ops:
                if type(op) is PutPost and op.matches:
                    scope.posts.add(f"at://{commit.did}/app.bsky.feed.post/{op.rkey}")
                elif type(op) is PutListItem and op.list.startswith(f"at://{commit.did}/"):
                    # A new member's next post may be the very next event.
                    scope.matcher.add_list_member(op.list, op.subject)
        return commit

    def _read(self, kind: str, payload: dict[str, Any], seq: int) -> Account | None:
        scope = self.scope
        did = payload.get("did")
        if type(did) is not str:
            return None
        if kind == "#account":
            active, status = payload.get("active"), payload.get("status")
            if type(active) is not bool or not (status is None or type(status) is str):
                scope.dropped["account malformed"] += 1
            elif did in scope.actors:
                return Account(seq, did, active, status[:64] if status else None)
        elif kind == "#identity":
            self.on_identity(did)
        return None

    # Writing

    def tick(self) -> None:
        """Let time pass, several times a second: flush what has waited long enough. Raises StorageError."""
        now = self._clock()
        self.scope.latest_rev = tid(now + FUTURE_MICROS)
        longest = self._pace.batch if self._pending else self._pace.cursor
        # A clock that was set back must not keep the rows waiting until it has caught up.
        if not 0 <= now - self._flushed_at < longest * 1_000_000:
            self.flush()

    def flush(self) -> None:
        """Apply what waits and store the cursor, in one transaction. Raises StorageError; then nothing was stored."""
        now = self._clock()
        self._flushed_at = now
        if self.received == (self.committed or 0) and not self._pending:
            return
        said = parse_datetime(self._time) if self._time else None
        if said is not None:
            # Of the future nothing is believed: it would show a stream as fresh that has stopped.
            self.event_at = min(said, now)
        try:
            try:
                with writing(self._database) as connection:
                    for event, _ in self._pending:
                        self._apply(event, now)
                    self._store_cursor(connection, self.received)
            except (*STORAGE_FAULTS, *CORRUPTION):
                raise
            except Exception:
                log.exception("a batch of %d events failed; applying them one by one", len(self._pending))
                self._flush_singly(now)
        except STORAGE_FAULTS as error:
            self.restore()
            raise StorageError(f"the database refused a write: {error}") from error
        self._pending.clear()
        self._pending_bytes = 0
        self.committed = self.received

    def _flush_singly(self, now: int) -> None:
        """Find the event that cannot be applied, put it into quarantine, and keep all others."""
        self.index.forget()
        for event, data in self._pending:
            try:
                with writing(self._database) as connection:
                    self._apply(event, now)
                    self._store_cursor(connection, event.seq)
            except (*STORAGE_FAULTS, *CORRUPTION):
                raise
            except Exception as error:
                self.index.forget()
                self.scope.dropped["event could not be applied"] += 1
                log.exception("event %d of %s goes into quarantine", event.seq, event.did)
                with writing(self._database) as connection:
                    quarantine.put(connection, self.source, event.seq, f"{type(error).__name__}: {error}", data, now)
                    self._store_cursor(connection, event.seq)
        with writing(self._database) as connection:
            self._store_cursor(connection, self.received)

    def _apply(self, event: Event, now: int) -> None:
        if type(event) is Commit:
            self.index.commit(event, now)
        elif type(event) is Account:
            self.index.account(event.did, event.seq, event.active, event.status)

    def _store_cursor(self, connection: Connection, seq: int) -> None:
        connection.execute(
            "INSERT INTO source (url, kind, cursor, event_at) VALUES (?, 'seq', ?, ?) ON CONFLICT (url, kind)"
            " DO UPDATE SET cursor = excluded.cursor, event_at = excluded.event_at",
            (self.source, seq, self.event_at),
        )

    def _pass_over(self, data: bytes, seq: int, reason: str, detail: str = "") -> None:
        """Keep the bytes of a message that cannot be used, count it under `reason`, and go on behind it."""
        try:
            with writing(self._database) as connection:
                new = quarantine.put(connection, self.source, seq, detail or reason, data, self._clock())
        except STORAGE_FAULTS as error:
            self.restore()
            raise StorageError(f"the database refused a write: {error}") from error
        self.scope.dropped[reason] += new
