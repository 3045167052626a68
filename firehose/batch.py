"""Events that wait, and the one transaction that stores what follows from them, together with the cursor behind them.

Whatever goes wrong, the stored cursor never passes an event that is neither applied, nor skipped by rule, nor in
quarantine.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from playhouse.apsw_ext import APSWDatabase

from firehose import quarantine
from firehose.events import Account, Event, Identity, Lost, Sync
from firehose.index import Index
from firehose.ops import Commit, Scope
from firehose.proofs import Proofs
from firehose.storage import CORRUPTION, STORAGE_FAULTS
from models.database import Connection, sql, writing
from xrpc.syntax import parse_datetime

log = logging.getLogger(__name__)

BATCH_EVENTS = 1000
BATCH_BYTES = 16 * 1024 * 1024
"""Of the messages that wait; each is kept as it came until its rows are stored."""
MOST_WAITING = 4 * BATCH_EVENTS
MOST_WAITING_BYTES = 4 * BATCH_BYTES


@dataclass(slots=True)
class _Waiting:
    """An event that is not stored yet, the message that it came in, and whether it must still prove who wrote it.

    `disbelieved`: it could not prove it, and the rules count somebody as a member
    for it already.
    """

    event: Event
    data: bytes
    unproven: bool
    disbelieved: bool = False


class Batch:
    """What waits of one source, and how far it is stored: `committed`, its position, None before the first one, and
    `event_at`, its time in microseconds, 0 if not known. Faults of the storage are raised as they come.
    """

    def __init__(
        self,
        database: APSWDatabase,
        source: str,
        kind: str,
        scope: Scope,
        index: Index,
        *,
        proofs: Proofs | None,
        clock: Callable[[], int],
    ) -> None:
        """`kind`: that of the source's positions. Without `proofs` nothing is held against its account's signature.
        `clock` gives microseconds.
        """
        self.committed: int | None = None
        self.event_at = 0
        self.stored_at = 0
        """When anything was last tried to be stored."""
        self.source, self.kind = source, kind
        self._database = database
        self._scope = scope
        self._index = index
        self._proofs = proofs
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._full_at = BATCH_EVENTS
        self._version = 0

    def restore(self) -> None:
        """Drop what waits, and begin at the stored cursor."""
        row = (
            sql(self._database)
            .execute("SELECT cursor, event_at FROM source WHERE url = ? AND kind = ?", (self.source, self.kind))
            .fetchone()
        )
        self.committed, self.event_at = row or (None, 0)
        for waiting in self._waiting:
            if type(waiting.event) is Commit and waiting.event.makes_members:
                self._index.list_changes[waiting.event.did] += 1  # the matcher believes it, and it may never come again
        self._waiting.clear()
        self._bytes = 0
        self._index.forget()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Bytes of the messages that wait."""
        return self._bytes

    @property
    def crowded(self) -> bool:
        """Whether so much waits for keys that nothing more should be read."""
        return len(self._waiting) >= MOST_WAITING or self._bytes >= MOST_WAITING_BYTES

    def add(self, event: Event, data: bytes) -> bool:
        """Let an event wait. Whether it is time to store."""
        proofs = self._proofs
        unproven = proofs is not None and proofs.wanted(event, self._scope)
        if proofs is not None and unproven:
            proofs.prepare(event.did)
        self._waiting.append(_Waiting(event, data, unproven))
        self._bytes += len(data)
        return len(self._waiting) >= self._full_at or self._bytes >= BATCH_BYTES

    def expect(self) -> None:
        """Look for what follows from what waits: filters and rules that are made of rows do not know it."""
        for waiting in self._waiting:
            if type(waiting.event) is Commit:
                self._scope.expect(waiting.event)

    def store(self, received: int, time: str) -> None:
        """Apply what waits, as far as it is proven, and store the cursor, in one transaction.

        `received`: the position that the stream has come to, `time` what it said there. When this raises, nothing was
        stored, or (an event could not be applied, and then the storage failed) only events in their order.
        """
        now = self._clock()
        self.stored_at = now
        ready = self._ready()
        batch, rest = self._waiting[:ready], self._waiting[ready:]
        # Everything before the first event that still waits was applied, or passed over by rule.
        behind = rest[0].event.seq - 1 if rest else received
        self._full_at = len(rest) + BATCH_EVENTS
        if not batch and behind <= (self.committed or 0):
            return
        said = parse_datetime(time) if time and not rest else None
        if said is not None:
            # Of the future nothing is believed: it would show a stream as fresh that has stopped.
            self.event_at = min(said, now)
        try:
            with writing(self._database) as connection:
                self._notice_others(connection)
                for waiting in batch:
                    self._apply(waiting, now)
                self._store_cursor(connection, behind)
        except (*STORAGE_FAULTS, *CORRUPTION):
            raise
        except Exception:
            log.exception("a batch of %d events failed; applying them one by one", len(batch))
            self._store_singly(batch, behind, now)
        self._waiting = rest
        self._bytes = sum(len(waiting.data) for waiting in rest)
        self.committed = behind

    def keep(self, data: bytes, seq: int, reason: str) -> bool:
        """Keep the bytes of a message that cannot be used, in quarantine. Whether they are new there."""
        with writing(self._database) as connection:
            return quarantine.put(connection, self.source, seq, reason, data, self._clock())

    def desynchronize_all(self, why: str) -> int:
        """Have the accounts whose chain is followed read anew. How many there are."""
        with writing(self._database):
            return self._index.desynchronize_all(why, self._clock())

    def _notice_others(self, connection: Connection) -> None:
        """Another process may have changed rows of accounts: a command of the operator does."""
        (version,) = connection.execute("PRAGMA data_version").fetchall()[0]
        if version != self._version:
            self._version = version
            self._index.forget_accounts()

    def _ready(self) -> int:
        """How many of the events that wait may be applied: those before the first that cannot be judged yet."""
        if self._proofs is not None:
            for count, waiting in enumerate(self._waiting):
                event = waiting.event
                if waiting.unproven and isinstance(event, Commit | Sync):
                    judged = self._proofs.judge(event, waiting.data, partial(self._changed, event.did, count))
                    if judged is None:
                        return count
                    waiting.event, waiting.unproven = judged, False
                    waiting.disbelieved = judged is not event and type(event) is Commit and event.makes_members
        return len(self._waiting)

    def _changed(self, did: str, behind: int) -> bool:
        """Whether something that waits behind a place says that the account may have another key, or host."""
        later = (waiting.event for waiting in self._waiting[behind + 1 :])
        return any(isinstance(event, Identity | Account) and event.did == did for event in later)

    def _store_singly(self, batch: list[_Waiting], behind: int, now: int) -> None:
        """Find the event that cannot be applied, put it into quarantine, and keep all others."""
        self._index.forget()
        for waiting in batch:
            event, data = waiting.event, waiting.data
            try:
                with writing(self._database) as connection:
                    self._apply(waiting, now)
                    self._store_cursor(connection, event.seq)
            except (*STORAGE_FAULTS, *CORRUPTION):
                raise
            except Exception as error:
                self._index.forget()
                self._scope.dropped["event could not be applied"] += 1
                log.exception("event %d of %s goes into quarantine", event.seq, event.did)
                with writing(self._database) as connection:
                    quarantine.put(connection, self.source, event.seq, f"{type(error).__name__}: {error}", data, now)
                    self._index.desynchronize(event.did, "an event could not be applied", now)
                    self._store_cursor(connection, event.seq)
        with writing(self._database) as connection:
            self._store_cursor(connection, behind)

    @property
    def _fence(self) -> str:
        """What positions of #account events are compared within: the source, and what kind its positions are of."""
        return self.source if self.kind == "seq" else f"{self.source} {self.kind}"

    def _apply(self, waiting: _Waiting, now: int) -> None:
        event = waiting.event
        if waiting.disbelieved:
            self._index.disbelieve(event.did)
        if type(event) is Commit:
            self._index.commit(event, now)
        elif type(event) is Account:
            self._index.account(event, self._fence, now)
        elif type(event) is Identity:
            self._index.identity(event.did, now)
        elif type(event) is Sync:
            self._index.sync(event, now)
        elif type(event) is Lost:
            self._index.desynchronize(event.did, event.why, now)

    def _store_cursor(self, connection: Connection, seq: int) -> None:
        connection.execute(
            "INSERT INTO source (url, kind, cursor, event_at) VALUES (?, ?, ?, ?) ON CONFLICT (url, kind)"
            " DO UPDATE SET cursor = excluded.cursor, event_at = excluded.event_at",
            (self.source, self.kind, seq, self.event_at),
        )
