"""The one publisher: it signs what waits in the outbox, gives it its `seq`, and commits.

Labels are signed before the transaction, which so is short: nothing else that writes is held up. What was cancelled or
replaced meanwhile is no longer there under its number and is left out. Subscribers read what is committed, and on this
connection a commit is on the disk before anybody can read it (S159).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import orjson
from playhouse.apsw_ext import APSWDatabase

from labeler.holding import hold, let_go, only_held, undeclared
from labeler.label import Label, sign
from labeler.outbox import Waiting, following, labelers_waiting
from labeler.pacing import Pace
from labeler.seq import Turn
from labeler.signing_key import Signer
from models.database import Connection, check_in_place, file_identity, sql, writing

log = logging.getLogger(__name__)

MOST = 1024
"""Labels in one transaction: about 20 ms, and the disk. Of every index it writes each page once, and the more labels
share a page the less there is to write."""
SIGNING_SECONDS = 0.1
"""Then what is signed is published, so that a slow machine publishes little at a time, and not late."""

_PUBLISH = (
    "INSERT INTO label (seq, labeler, did, uri, cid, val, neg, cts, exp, label_key, event, signed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (labeler, uri, cid, val) DO UPDATE SET"
    " seq = excluded.seq, neg = excluded.neg, cts = excluded.cts, exp = excluded.exp, label_key = excluded.label_key,"
    " event = excluded.event, signed = excluded.signed"
)
_TAKE = "DELETE FROM label_outbox WHERE id IN (SELECT value FROM json_each(?)) RETURNING id"

Signed = list[tuple[Waiting, bytes]]


class Publisher:
    """Publishes from one database; used by the thread that made the connection.

    `signers`: by the row of the labeler, those that may sign now; it is asked at each step. What others have to say
    waits. `clock`: seconds since 1970. `signing`: the seconds in which labels are signed for one transaction. `values`:
    by the row of the labeler, what it may say now, asked at each step; other values are held back. None: anything.
    """

    def __init__(
        self,
        database: APSWDatabase,
        signers: Callable[[], Mapping[int, Signer]],
        pace: Pace,
        clock: Callable[[], float] = time.time,
        *,
        signing: float = SIGNING_SECONDS,
        values: Callable[[], Mapping[int, Collection[str]]] | None = None,
    ) -> None:
        self._database = database
        self._connection = sql(database)
        self._connection.execute("PRAGMA synchronous = full")
        self._identity = file_identity(database)
        self._signers, self._pace, self._clock, self._signing = signers, pace, clock, signing
        self._values = values
        self._declared: Mapping[int, Collection[str]] = {}
        self._turn: Turn | None = None
        self.wait: float | None = None
        """After a step: in how many seconds the pace lets more of what waits go; None: nothing waits that may go."""

    def take_turn(self) -> Turn:
        """From now on this one publishes, and no other. Raises SeqError, OSError, or an error of the database."""
        self._turn = Turn(self._database)
        return self._turn

    def step(self) -> int:
        """Publish what may go now; returns how many. One transaction at most; the first step takes the turn.

        Raises TurnLostError when another publisher has it, SeqError, DatabaseError when the file was replaced, OSError,
        or an error of the database; then nothing was published.
        """
        check_in_place(self._database, self._identity)
        turn = self._turn or self.take_turn()
        now = int(self._clock() * 1000)
        rows, signers = self._due(now)
        if not rows:
            return 0
        signed = _sign(rows, signers, self._signing)
        with writing(self._database) as connection:
            published = self._publish(connection, turn, signed, signers)
            for labeler, count in published.items():
                self._pace.count(connection, labeler, count, now)
        for labeler, count in published.items():
            self._pace.sent(labeler, count, now)
        self.wait = 0.0
        return sum(published.values())

    def close(self) -> None:
        """Stop in good order: whoever publishes next goes on with the next number. Raises OSError."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end(self._database)

    def _due(self, now: int) -> tuple[list[Waiting], Mapping[int, Signer]]:
        """What may go now, in its order, and who signs; notes for how long to wait for more."""
        self.wait = None
        waiting = labelers_waiting(self._connection)
        signers = dict(self._signers()) if waiting else {}  # as they are now, for all of this step
        if waiting and self._values is not None:
            self._declare(self._values())
        rows: list[Waiting] = []
        for labeler in waiting:
            if labeler not in signers:
                continue
            budget = self._pace.budget(self._connection, labeler, now)
            left = MOST - len(rows)
            limits = min(budget.singles, left), min(budget.batched, left)
            found = following(self._connection, labeler, now, *limits)
            while self._values is not None and self._hold(labeler, found):
                found = following(self._connection, labeler, now, *limits)
            rows.extend(found)
            if not found and not only_held(self._connection, labeler):
                seconds = self._pace.wait(self._connection, labeler, now) / 1000
                self.wait = seconds if self.wait is None else min(self.wait, seconds)
        return rows, signers

    def _declare(self, values: Mapping[int, Collection[str]]) -> None:
        """From now on these values go out, also those that were held back."""
        if values != self._declared:
            with writing(self._database) as connection:
                for labeler, declared in values.items():
                    if freed := let_go(connection, labeler, declared):
                        log.info("%d labels whose values are declared again go out", freed)
            self._declared = values

    def _hold(self, labeler: int, found: Iterable[Waiting]) -> bool:
        """Hold back what must not go out; whether there was anything."""
        values = undeclared(found, self._declared.get(labeler, ()))
        if not values:
            return False
        with writing(self._database) as connection:
            held = hold(connection, labeler, values)
        log.warning(
            "%d labels are held back, because labels.toml does not declare %s: declare it again, or take them back"
            " (communities label remove, or retract)", held, ", ".join(sorted(values)),
        )  # fmt: skip
        return True

    def _publish(
        self, connection: Connection, turn: Turn, signed: Signed, signers: Mapping[int, Signer]
    ) -> dict[int, int]:
        """Let what is signed out, but for what was cancelled meanwhile; how many of each labeler."""
        current = {labeler for labeler, signer in signers.items() if _is_active(connection, labeler, signer.key_id)}
        numbers = orjson.dumps([row.id for row, _ in signed if row.labeler in current]).decode()
        taken = {number for (number,) in connection.execute(_TAKE, (numbers,)).fetchall()}
        left = [(row, data) for row, data in signed if row.id in taken]
        if not left:
            turn.check(connection)
            return {}
        start = turn.take(connection, len(left))
        connection.executemany(_PUBLISH, _published(start, left, signers))
        counts: dict[int, int] = {}
        for row, _ in left:
            counts[row.labeler] = counts.get(row.labeler, 0) + 1
        return counts


def _sign(rows: Iterable[Waiting], signers: Mapping[int, Signer], seconds: float) -> Signed:
    """As many as are signed in a moment, the first one at least."""
    signed: Signed = []
    end = time.monotonic() + seconds
    for row in rows:
        signer = signers[row.labeler]
        label = Label(signer.src, row.uri, row.cid, row.val, bool(row.neg), row.cts, row.exp)
        signed.append((row, sign(signer.key, label)))
        if time.monotonic() > end:
            break
    return signed


def _published(start: int, signed: Signed, signers: Mapping[int, Signer]) -> Iterable[tuple[object, ...]]:
    for seq, (row, data) in enumerate(signed, start):
        uri = row.uri
        did = uri if uri.startswith("did:") else uri[5:].partition("/")[0]
        key = signers[row.labeler].key_id
        yield (seq, row.labeler, did, uri, row.cid, row.val, row.neg, row.cts, row.exp, key, row.event, data)


def _is_active(connection: Connection, labeler: int, key: int) -> bool:
    """Whether labels may still be signed with a key: another may have taken its place since."""
    query = "SELECT 1 FROM label_key WHERE id = ? AND labeler = ? AND state = 'active'"
    return connection.execute(query, (key, labeler)).fetchone() is not None
