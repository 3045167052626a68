"""Messages in, committed rows out: triage of each frame, batches, and the cursor that commits with the rows it covers.

Everything is on one thread and nothing here awaits. Events that matter wait in a small batch; `flush` applies the
batch and stores the cursor in one transaction. Whatever goes wrong, the stored cursor never passes an event that is
neither applied, nor skipped by rule, nor in quarantine.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from playhouse.apsw_ext import APSWDatabase

from firehose import quarantine
from firehose.dialect import Dialect, SubscribeRepos
from firehose.events import Account, Event, Identity, Lost, Sync
from firehose.frames import FrameError
from firehose.gaps import Gap, Gaps
from firehose.index import Index
from firehose.ops import Commit, Scope, read_commit
from firehose.pace import Pace
from firehose.proofs import Proofs
from firehose.storage import CORRUPTION, STORAGE_FAULTS, StorageError
from firehose.times import now_micros, tid
from models.database import Connection, sql, writing
from xrpc.syntax import parse_datetime

log = logging.getLogger(__name__)

BATCH_EVENTS = 1000
BATCH_BYTES = 16 * 1024 * 1024
"""Of the messages that wait; each is kept as it came until its rows are stored."""
MOST_WAITING = 4 * BATCH_EVENTS
MOST_WAITING_BYTES = 4 * BATCH_BYTES
FUTURE_MICROS = 5 * 60 * 1_000_000
"""A rev further ahead of our clock than this is refused."""
LONGEST_FALL = 1_000_000
"""How far a seq may fall behind the highest one seen: the overlap of a stream that is sent again, generously."""

KINDS = frozenset(("#commit", "#sync", "#identity", "#account", "#info"))


class RewindError(Exception):
    """The stream starts below the stored cursor, or falls far behind: the cursor does not belong to it (any more)."""


@dataclass(slots=True)
class _Waiting:
    """An event that is not stored yet, the message that it came in, and whether it must still prove who wrote it."""

    event: Event
    data: bytes
    unproven: bool


class Pipeline:
    """The state of one source: what was received, what is committed, what waits."""

    def __init__(
        self,
        database: APSWDatabase,
        source: str,
        scope: Scope,
        index: Index,
        *,
        dialect: Dialect | None = None,
        proofs: Proofs | None = None,
        pace: Pace | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        """Without `proofs` nothing is held against its account's signature. `clock` gives microseconds. `dialect`: None
        for that of a relay.
        """
        self._pace = pace or Pace()
        self._proofs = proofs
        self.source = source
        self.dialect = dialect or SubscribeRepos()
        self.scope = scope
        self.index = index
        self.kinds: Counter[str] = Counter()
        self.committed: int | None = None
        self.received = 0
        self.event_at = 0
        self.heard_at = 0
        self.gaps = Gaps(int(self._pace.gap * 1_000_000))
        self._database = database
        self._clock = clock
        self.on_identity: Callable[[str], None] = lambda did: None
        self.doubted: Callable[[str], None] = lambda uri: None
        self._pending: list[_Waiting] = []
        self._pending_bytes = 0
        self._flush_at = BATCH_EVENTS
        self._flushed_at = 0
        self._version = 0
        self._time = ""
        self._poison = quarantine.Sightings()
        self._fresh = True
        self._lost = False
        self._heard = 0
        self.scope.latest_rev = tid(clock() + FUTURE_MICROS)
        self.restore()

    def restore(self) -> None:
        """Begin at the stored cursor: at start, and whenever a connection ended badly."""
        row = (
            sql(self._database)
            .execute("SELECT cursor, event_at FROM source WHERE url = ? AND kind = ?", (self.source, self.dialect.kind))
            .fetchone()
        )
        self.committed, self.event_at = row or (None, 0)
        self.received = self.committed or 0
        self._time = ""
        self._pending.clear()
        self._pending_bytes = 0
        self._lost = True
        self.index.forget()
        self.index.splits |= not self.dialect.signed or self._split_before()

    def _split_before(self) -> bool:
        """Whether a source was ever read that gives commits operation by operation."""
        found = sql(self._database).execute("SELECT 1 FROM source WHERE url NOT LIKE 'ws%' LIMIT 1").fetchone()
        return found is not None

    def turn_to(self, source: str, dialect: Dialect) -> None:
        """Store what can be stored, and go on with another source where that was left, if ever it was read.

        What still waits to be proven is dropped: the time that is known of the old source lies before it.
        """
        try:
            self.flush()
        except STORAGE_FAULTS as error:
            log.error("what was received of %s could not be stored: %s", self.source, error)
        self.source, self.dialect, self._time = source, dialect, ""
        self.restore()

    def last_event_at(self, urls: Sequence[str]) -> int:
        """The time of the last event stored of any of these sources, microseconds; 0 when there is none."""
        query = f"SELECT coalesce(max(event_at), 0) FROM source WHERE url IN ({', '.join('?' * len(urls))})"
        at: int = sql(self._database).execute(query, urls).fetchone()[0]
        return at

    def connected(self, *, elsewhere: bool = False) -> None:
        """A new connection was made; its first event says whether it continues where we stopped, unless it was asked to
        begin `elsewhere`: where what was read of another source ends.
        """
        self.dialect.connected()
        self._fresh = not elsewhere
        self._lost = False
        self.gaps.begin(self.received, max(self.event_at, self._past(self._time)))

    def receive(self, data: bytes) -> None:
        """Take one message. Raises FrameError, StreamError, CompressionError, StorageError or RewindError: the
        connection must end.
        """
        if self._lost:
            raise StorageError("what this connection delivered before was not stored")
        try:
            kind, payload, seq = self.dialect.open(data, self)
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
                if said[:1] == ["OutdatedCursor"]:
                    self.gaps.missed("the source no longer has them")
            return
        if seq <= self.received and self.dialect.kind == "seq":
            self._fallen(seq)
            return
        if self._fresh:
            self._fresh = False
            self._mark(self.gaps.first(seq, self._past(payload.get("time"))))
        try:
            event = self.dialect.read(kind, payload, seq, self)
        except Exception as error:
            # A fault of ours that somebody's bytes have found must not become everybody's standstill.
            log.exception("event %d cannot be read", seq)
            self._pass_over(data, seq, "event could not be read", f"{type(error).__name__}: {error}")
            event = None
        time = payload.get("time")
        self.take(max(seq, self.received), time if type(time) is str else "", event, data)

    def take(self, seq: int, time: str, event: Event | None, data: bytes) -> None:
        """Take what was read of a message: its position, its time as it says, and what matters of it, if anything.

        Raises StorageError.
        """
        self.received = seq
        if time:
            self._time = time
        if event is None:
            return
        unproven = self._proofs is not None and self._proofs.wanted(event, self.scope)
        if self._proofs is not None and unproven:
            self._proofs.prepare(event.did)
        self._pending.append(_Waiting(event, data, unproven))
        self._pending_bytes += len(data)
        if len(self._pending) >= self._flush_at or self._pending_bytes >= BATCH_BYTES:
            self.flush()

    @property
    def waiting(self) -> tuple[int, int]:
        """How many events wait to be stored, and the bytes of their messages."""
        return len(self._pending), self._pending_bytes

    @property
    def crowded(self) -> bool:
        """Whether so much waits for keys that nothing more should be read."""
        return len(self._pending) >= MOST_WAITING or self._pending_bytes >= MOST_WAITING_BYTES

    def _fallen(self, seq: int) -> None:
        """Judge an event that is not behind the last one: it came again, or the stream is another one."""
        if self._fresh and seq < self.received:
            raise RewindError(f"the stream starts at {seq}, below the cursor {self.received}")
        self._fresh = False
        if self.received - seq > LONGEST_FALL:
            # One seq of the far future must not silence the stream behind it for ever (S84).
            raise RewindError(f"the stream fell from {self.received} to {seq}")
        self.scope.dropped["seq not rising"] += 1

    def _past(self, time: object) -> int:
        """A time that an event states, in microseconds and never in our future; 0 for none."""
        said = parse_datetime(time) if type(time) is str else None
        return min(said or 0, self._clock())

    def _mark(self, gap: Gap | None) -> None:
        """Have the accounts whose chain is followed read anew, since nobody knows whose events are missing.

        Before the stream goes on, so that the cursor never passes a gap that nothing follows from. Raises StorageError.
        """
        if gap is None:
            return
        try:
            with writing(self._database):
                marked = self.index.desynchronize_all("events were missed", self._clock())
        except STORAGE_FAULTS as error:
            self.restore()
            raise StorageError(f"the database refused a write: {error}") from error
        self.gaps.marked(gap)
        then = f"{marked} repositories are read anew" if marked else "no repository is followed"
        log.error("%s: %s; %s", self.source, gap, then)

    def read_frame_event(self, kind: str, payload: dict[str, Any], seq: int) -> Event | None:
        """What matters of a frame of `subscribeRepos`."""
        return self._read_commit(payload, seq) if kind == "#commit" else self._read(kind, payload, seq)

    def _read_commit(self, payload: dict[str, Any], seq: int) -> Commit | None:
        scope = self.scope
        commit = read_commit(payload, seq, scope)
        if commit is None:
            did, rev = payload.get("repo"), payload.get("rev")
            if not scope.full or type(did) is not str or did not in scope.full or type(rev) is not str:
                return None
            if rev > scope.latest_rev:
                scope.dropped["rev in the future"] += 1
                return None
            commit = Commit(seq, did, rev, "", [])  # it takes the account's chain further
        scope.expect(commit)
        return commit

    def _read(self, kind: str, payload: dict[str, Any], seq: int) -> Account | Identity | Sync | None:
        scope = self.scope
        did = payload.get("did")
        if type(did) is not str:
            return None
        if kind == "#account":
            active, status = payload.get("active"), payload.get("status")
            if type(active) is not bool or not (status is None or type(status) is str):
                scope.dropped["account malformed"] += 1
                return None
            self.on_identity(did)  # it may be at another host now
            if did in scope.actors:
                return Account(seq, did, active, status[:64] if status else None)
        elif kind == "#sync":
            rev = payload.get("rev")
            if type(rev) is not str or rev > scope.latest_rev:
                scope.dropped["rev in the future" if type(rev) is str else "sync malformed"] += 1
            elif did in scope.actors:
                return Sync(seq, did)
        elif kind == "#identity":
            self.on_identity(did)
            if did in scope.actors:
                return Identity(seq, did)
        return None

    # Writing

    def tick(self) -> None:
        """Let time pass, several times a second: flush what has waited long enough. Raises StorageError."""
        now = self._clock()
        self.scope.latest_rev = tid(now + FUTURE_MICROS)
        if (heard := self.kinds.total()) != self._heard:
            self._heard, self.heard_at = heard, now
        self._mark(self.gaps.found(now))
        longest = self._pace.batch if self._pending else self._pace.cursor
        # A clock that was set back must not keep the rows waiting until it has caught up.
        if not 0 <= now - self._flushed_at < longest * 1_000_000:
            self.flush()

    def flush(self) -> None:
        """Apply what waits, as far as it is proven, and store the cursor, in one transaction. Raises StorageError; then
        nothing was stored.
        """
        now = self._clock()
        self._flushed_at = now
        ready = self._ready()
        batch, rest = self._pending[:ready], self._pending[ready:]
        # Everything before the first event that still waits was applied, or passed over by rule.
        behind = rest[0].event.seq - 1 if rest else self.received
        self._flush_at = len(rest) + BATCH_EVENTS
        if not batch and behind <= (self.committed or 0):
            return
        said = parse_datetime(self._time) if self._time and not rest else None
        if said is not None:
            # Of the future nothing is believed: it would show a stream as fresh that has stopped.
            self.event_at = min(said, now)
        try:
            try:
                with writing(self._database) as connection:
                    self._notice_others(connection)
                    for waiting in batch:
                        self._apply(waiting.event, now)
                    self._store_cursor(connection, behind)
            except (*STORAGE_FAULTS, *CORRUPTION):
                raise
            except Exception:
                log.exception("a batch of %d events failed; applying them one by one", len(batch))
                self._flush_singly(batch, behind, now)
        except STORAGE_FAULTS as error:
            self.restore()
            raise StorageError(f"the database refused a write: {error}") from error
        self._pending = rest
        self._pending_bytes = sum(len(waiting.data) for waiting in rest)
        self.committed = behind

    def _notice_others(self, connection: Connection) -> None:
        """Another process may have changed rows of accounts: a command of the operator does."""
        (version,) = connection.execute("PRAGMA data_version").fetchall()[0]
        if version != self._version:
            self._version = version
            self.index.forget_accounts()

    def _ready(self) -> int:
        """How many of the events that wait may be applied: those before the first that cannot be judged yet."""
        if self._proofs is not None:
            for count, waiting in enumerate(self._pending):
                event = waiting.event
                if waiting.unproven and isinstance(event, Commit | Sync):
                    judged = self._proofs.judge(event, waiting.data)
                    if judged is None:
                        return count
                    waiting.event, waiting.unproven = judged, False
        return len(self._pending)

    def _flush_singly(self, batch: list[_Waiting], behind: int, now: int) -> None:
        """Find the event that cannot be applied, put it into quarantine, and keep all others."""
        self.index.forget()
        for waiting in batch:
            event, data = waiting.event, waiting.data
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
                    self.index.desynchronize(event.did, "an event could not be applied", now)
                    self._store_cursor(connection, event.seq)
        with writing(self._database) as connection:
            self._store_cursor(connection, behind)

    @property
    def _fence(self) -> str:
        """What positions of #account events are compared within: the source, and what kind its positions are of."""
        kind = self.dialect.kind
        return self.source if kind == "seq" else f"{self.source} {kind}"

    def _apply(self, event: Event, now: int) -> None:
        if type(event) is Commit:
            self.index.commit(event, now)
        elif type(event) is Account:
            self.index.account(event, self._fence, now)
        elif type(event) is Identity:
            self.index.identity(event.did, now)
        elif type(event) is Sync:
            self.index.sync(event, now)
        elif type(event) is Lost:
            self.index.desynchronize(event.did, event.why, now)

    def _store_cursor(self, connection: Connection, seq: int) -> None:
        connection.execute(
            "INSERT INTO source (url, kind, cursor, event_at) VALUES (?, ?, ?, ?) ON CONFLICT (url, kind)"
            " DO UPDATE SET cursor = excluded.cursor, event_at = excluded.event_at",
            (self.source, self.dialect.kind, seq, self.event_at),
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
