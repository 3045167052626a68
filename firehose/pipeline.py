"""Messages in, committed rows out: each message is looked at once, and what matters of it waits in a small batch.

Everything is on one thread and nothing here awaits. What is stored, when, and what the cursor then says is the batch's
concern (firehose/batch.py).
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from playhouse.apsw_ext import APSWDatabase

from firehose import quarantine
from firehose.batch import Batch
from firehose.dialect import Dialect, SubscribeRepos
from firehose.frames import FrameError
from firehose.gaps import Gap, Gaps
from firehose.index import Index
from firehose.ops import Scope
from firehose.pace import Pace
from firehose.proofs import Proofs
from firehose.storage import STORAGE_FAULTS, StorageError
from firehose.times import now_micros, tid
from models.database import sql
from xrpc.syntax import parse_datetime

log = logging.getLogger(__name__)

FUTURE_MICROS = 5 * 60 * 1_000_000
"""A rev further ahead of our clock than this is refused."""
LONGEST_FALL = 1_000_000
"""How far a seq may fall behind the highest one seen: the overlap of a stream that is sent again, generously."""

KINDS = frozenset(("#commit", "#sync", "#identity", "#account", "#info"))


class RewindError(Exception):
    """The stream starts below the stored cursor, or falls far behind: the cursor does not belong to it (any more)."""


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
        self.scope = scope
        self.index = index
        self.dialect = dialect or SubscribeRepos()
        self.kinds: Counter[str] = Counter()
        self.received = 0
        self.heard_at = 0
        self.gaps = Gaps(int(self._pace.gap * 1_000_000))
        self._batch = Batch(database, source, self.dialect.kind, scope, index, proofs=proofs, clock=clock)
        self._database = database
        self._clock = clock
        self._time = ""
        self._poison = quarantine.Sightings()
        self._fresh = True
        self._lost = False
        self._heard = 0
        self.scope.latest_rev = tid(clock() + FUTURE_MICROS)
        self.restore()

    @property
    def source(self) -> str:
        """The URL of the source that is read."""
        return self._batch.source

    @property
    def committed(self) -> int | None:
        """The stored cursor."""
        return self._batch.committed

    @property
    def event_at(self) -> int:
        """The time of the last event stored, microseconds; 0 when it is not known."""
        return self._batch.event_at

    @property
    def waiting(self) -> tuple[int, int]:
        """How many events wait to be stored, and the bytes of their messages."""
        return len(self._batch), self._batch.size

    @property
    def crowded(self) -> bool:
        """Whether so much waits for keys that nothing more should be read."""
        return self._batch.crowded

    def restore(self) -> None:
        """Begin at the stored cursor: at start, and whenever a connection ended badly."""
        self._batch.restore()
        self.received = self.committed or 0
        self._time = ""
        self._lost = True

    def turn_to(self, source: str, dialect: Dialect) -> None:
        """Store what can be stored, and go on with another source where that was left, if ever it was read.

        What still waits to be proven is dropped: the time that is known of the old source lies before it.
        """
        try:
            self.flush()
        except StorageError as error:
            log.error("what was received of %s could not be stored: %s", self.source, error)
        self.dialect = dialect
        self._batch.source, self._batch.kind = source, dialect.kind
        self.restore()

    def expect(self) -> None:
        """Rules or filters are new ones: they shall know what waits to be stored."""
        self._batch.expect()

    def last_event_at(self, urls: Sequence[str]) -> int:
        """The time of the last event stored of any of these sources, microseconds; 0 when there is none."""
        query = f"SELECT coalesce(max(event_at), 0) FROM source WHERE url IN ({', '.join('?' * len(urls))})"
        at: int = sql(self._database).execute(query, urls).fetchone()[0]
        return at

    def connected(self, *, elsewhere: bool = False) -> None:
        """A new connection was made; its first event says whether it continues where we stopped, unless it was asked to
        begin `elsewhere`: where what was read of another source ends.
        """
        self.dialect.connected(self.received)
        self._fresh = not elsewhere
        self._lost = False
        self.gaps.begin(self.received, max(self.event_at, self._past(self._time)))

    def receive(self, data: bytes) -> None:
        """Take one message. Raises FrameError, StreamError, CompressionError, StorageError or RewindError: the
        connection must end.
        """
        if self._lost:
            raise StorageError("what this connection delivered before was not stored")
        dialect, scope = self.dialect, self.scope
        try:
            kind, payload, seq = dialect.open(data, scope)
        except FrameError as error:
            if not self._poison.seen(self.received, data):
                raise
            log.error("a frame after %d cannot be read (%s)", self.received, error)
            self._pass_over(data, self.received, str(error))
            return
        self.kinds[kind if kind in KINDS else "other"] += 1
        if seq is None:
            if kind == "#info":
                self._inform(payload.get("name"), payload.get("message"))
            return
        if seq <= self.received and dialect.kind == "seq":
            self._fallen(seq)
            return
        time = payload.get("time")
        if self._fresh:
            self._fresh = False
            self._mark(self.gaps.first(seq, self._past(time)))
        try:
            event = dialect.read(kind, payload, seq, scope)
        except Exception as error:
            # A fault of ours that somebody's bytes have found must not become everybody's standstill.
            log.exception("event %d cannot be read", seq)
            self._pass_over(data, seq, "event could not be read", f"{type(error).__name__}: {error}")
            event = None
        self.received = max(self.received, seq)
        if time and type(time) is str:
            self._time = time
        if event is not None and self._batch.add(event, data):
            self.flush()

    def _inform(self, *texts: object) -> None:
        """Pass on what the server says of itself."""
        # Anything else than texts stays unprinted: nested deeply enough, it would end the process that prints.
        said = [text for text in texts if type(text) is str]
        log.warning("%s says %.300r", self.source, ": ".join(said)[:300])
        if said[:1] == ["OutdatedCursor"]:
            self.gaps.missed("the source no longer has them")

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
        with self._storing():
            marked = self._batch.desynchronize_all("events were missed")
        self.gaps.marked(gap)
        then = f"{marked} repositories are read anew" if marked else "no repository is followed"
        log.error("%s: %s; %s", self.source, gap, then)

    def tick(self) -> None:
        """Let time pass, several times a second: flush what has waited long enough. Raises StorageError."""
        now = self._clock()
        self.scope.latest_rev = tid(now + FUTURE_MICROS)
        if (heard := self.kinds.total()) != self._heard:
            self._heard, self.heard_at = heard, now
        self._mark(self.gaps.found(now))
        longest = self._pace.batch if len(self._batch) else self._pace.cursor
        # A clock that was set back must not keep the rows waiting until it has caught up.
        if not 0 <= now - self._batch.stored_at < longest * 1_000_000:
            self.flush()

    def flush(self) -> None:
        """Apply what waits, as far as it is proven, and store the cursor. Raises StorageError; then what was not stored
        is forgotten here, and the stream must be asked again from the stored cursor.
        """
        with self._storing():
            self._batch.store(self.received, self._time)

    def _pass_over(self, data: bytes, seq: int, reason: str, detail: str = "") -> None:
        """Keep the bytes of a message that cannot be used, count it under `reason`, and go on behind it."""
        with self._storing():
            new = self._batch.keep(data, seq, detail or reason)
        self.scope.dropped[reason] += new

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except STORAGE_FAULTS as error:
            self.restore()
            raise StorageError(f"the database refused a write: {error}") from error
