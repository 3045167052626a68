"""The thread that publishes labels while the service runs: what is committed by any process, and what expires.

While nothing happens, all that is asked is whether anybody has committed.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from playhouse.apsw_ext import APSWDatabase

from labeler.expiry import Expiry
from labeler.pacing import Pace
from labeler.publisher import Publisher
from labeler.seq import SeqError, TurnLostError
from labeler.signing_key import Signer
from models.commits import CommitWatch
from models.database import MACHINE_FAULTS, Connection, DatabaseError, DatabaseMixedError, open_database, sql
from models.lock import LockError, only_one

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.01
"""How long a commit can go unnoticed."""
LONGEST = 60.0
"""Seconds after which the database is asked in any case."""
RETRY_SECONDS, LONGEST_RETRY = 0.5, 30.0
LOCK = "labels.lock"

FAULTS = (*MACHINE_FAULTS, OSError)
"""Of the machine; they may be over the next time."""


class Publishing:
    """Publishes from the database at `path`. `run` belongs into a thread of its own; the rest may be read by others.

    `signers`: who may sign now, by the row of the labeler; asked at each step, so it must be quick. `negating`: the
    rows of the labelers whose labels are negated when they expire. `beside`: a small piece of other work in that
    thread, done while nothing waits; it says whether there is more. `values`: see `Publisher`.
    """

    def __init__(
        self,
        path: Path,
        signers: Callable[[Connection], Mapping[int, Signer]],
        negating: Callable[[Connection], Collection[int]],
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
        beside: Callable[[APSWDatabase], bool] = lambda database: False,
        values: Callable[[], Mapping[int, Collection[str]]] | None = None,
    ) -> None:
        self._path, self._signers, self._negating, self._beside = path, signers, negating, beside
        self._pace, self._clock, self._values = pace or Pace(), clock, values
        self.counts = {"published": 0, "expired": 0, "faults": 0}
        self.state = "stopped"
        """In a word or sentence: stopped, waiting (another process publishes), publishing, or what is wrong."""

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop`, or until another publisher has taken the turn, or the file was replaced and must not be
        opened as it is. Faults of the machine are waited out.
        """
        pause = RETRY_SECONDS
        while not stop.is_set():
            before = self.counts["published"]
            try:
                with only_one(self._path.with_name(LOCK), "another process publishes labels from this database"):
                    self._session(stop)
            except LockError as error:
                self.state = f"waiting: {error}"
                stop.wait(RETRY_SECONDS)
                continue
            except (TurnLostError, DatabaseMixedError) as error:
                log.error("labels are not published here any more: %s", error)
                self.state = f"stopped: {error}"
                return
            except (SeqError, DatabaseError, *FAULTS) as error:
                pause = RETRY_SECONDS if self.counts["published"] > before else min(2 * pause, LONGEST_RETRY)
                self._note(error, pause)
                stop.wait(pause)
            except Exception as error:
                self.state = f"stopped: {error!r}"
                log.exception("labels are not published any more")
                raise
        self.state = "stopped"

    def _session(self, stop: threading.Event) -> None:
        """Publish with one connection, whose faults are waited out as long as the file is the same."""
        with ExitStack() as stack:
            database = open_database(self._path)
            stack.callback(database.close)
            connection = sql(database)
            publisher = Publisher(
                database, lambda: self._signers(connection), self._pace, self._clock, values=self._values
            )
            publisher.take_turn()
            expiry = Expiry(database)
            watch = stack.enter_context(closing(CommitWatch(self._path)))
            self.state = "publishing"
            pause = RETRY_SECONDS
            while not stop.is_set():
                try:
                    watch.any()
                    seconds = self._work(database, publisher, expiry)
                    self.state, pause = "publishing", RETRY_SECONDS
                    due = time.monotonic() + seconds
                    while time.monotonic() < due and not watch.any() and not stop.is_set():
                        stop.wait(min(LOOK_SECONDS, seconds))
                except FAULTS as error:
                    self._note(error, pause)
                    stop.wait(pause)
                    pause = min(2 * pause, LONGEST_RETRY)
            publisher.close()

    def _work(self, database: APSWDatabase, publisher: Publisher, expiry: Expiry) -> float:
        """Do what is to be done now; in how many seconds there is more, if nothing is committed before."""
        now = int(self._clock() * 1000)
        looked_at = expiry.step(now, self._negating(sql(database)))
        self.counts["expired"] += looked_at or 0
        published = publisher.step()
        self.counts["published"] += published
        if published or looked_at is not None:
            return 0.0
        if publisher.wait is None and self._beside(database):
            return 0.0
        ends = expiry.next()
        until_end = LONGEST if ends is None else max((ends - now) / 1000, 0.0)
        return min(LONGEST, until_end, LONGEST if publisher.wait is None else publisher.wait)

    def _note(self, error: Exception, pause: float) -> None:
        self.counts["faults"] += 1
        self.state = str(error) or type(error).__name__
        log.warning("labels wait: %s; tried again in %.1f s", self.state, pause)
