"""The ingest process: one source at a time, one pipeline, one thread. Built by the wiring, run until told to stop."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from communities.access import Site
from firehose.backoff import Backoff
from firehose.dialect import dialect_of
from firehose.filters import add_pinned, known_actors, known_posts, known_records, renew
from firehose.housekeeping import Housekeeping
from firehose.in_force import Changes, InForce, nothing
from firehose.index import Index
from firehose.list_rows import LISTS_CHANGED
from firehose.members import Members
from firehose.ops import Scope
from firehose.pace import Pace
from firehose.pipeline import Pipeline
from firehose.proofs import Proofs
from firehose.rules import NOTICED, Rules
from firehose.source import CURSORS, Source
from firehose.storage import STORAGE_FAULTS, StorageError
from firehose.subscribe import Subscription
from firehose.times import now_micros
from firehose.waiting import pause
from lexicons.catalog import documents
from models import meta
from models.database import check_in_place, file_identity, sql, writing
from models.repos import count_repos
from xrpc.lexicon import Catalog

log = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0
"""A fault of the storage that lasts is logged again after so long."""


class Ingest:
    """Everything that reads one event stream into the database."""

    def __init__(self, database: APSWDatabase, sources: Sequence[Source], rules_path: Path, user_agent: str, *,
                 retention: int, max_age: int, proofs: Proofs | None = None,
                 session: aiohttp.ClientSession | None = None, pace: Pace | None = None,
                 backoff: Backoff | None = None, founders: Collection[str] | None = None,
                 site: Mapping[str, Site] | None = None) -> None:  # fmt: skip
        """Read the rules and the filters. `sources`: in order of preference. `retention` and `max_age` are in
        microseconds. Without `proofs` nobody's signature is asked for, and nobody's repository is
        followed; without `session` no dictionary is fetched. `founders`: whose records found communities; None: all.
        `site`: who stands above all communities.

        Raises communities.declaration.DeclarationError when the rules cannot be used: there is nothing to go on with.
        """
        connection = sql(database)
        self.database = database
        self._pace = pace or Pace()
        self.index = Index(connection, max_age)
        self.rules = Rules(database, rules_path)
        self.index.founders = founders
        self.index.admissions.site = site or {}
        with writing(database):
            self.index.judge_founders(now_micros())
        self.rules.load(self.index)
        self.in_force = InForce(connection)
        self._owed: Changes | None = self.in_force.load(int(meta.get(connection, NOTICED) or 0))
        matcher, followed = self.in_force.matcher, self.in_force.followed
        self.index.admissions.use(matcher, self.in_force.places)
        self.scope = Scope(
            known_posts(connection),
            known_actors(connection),
            matcher,
            lists=matcher.listed.keys(),
            list_owners=followed.list_owners.keys(),
            declared=known_records(connection),
            accounts=followed.accounts.keys(),
            catalog=Catalog(documents()),
            decides=lambda did: followed.decides(did) or did in self.index.admissions.site,
        )
        self._proofs = proofs
        if proofs is not None:
            self.scope.dropped = proofs.dropped
            self.scope.full, self.scope.first = followed, followed.first
            with writing(database):
                for did in self.index.follow(followed, followed.first, now_micros()):
                    self.scope.actors.add(did)
        self._lists_seen = self.index.list_changes.copy()
        self._lists_stale = meta.get(connection, LISTS_CHANGED) is not None
        self._file_stale = False
        self._due = 0.0
        self._follow_up(lists=False)
        self.members = Members(database, self.index, self.in_force, self.scope, proofs)
        self.pipeline = Pipeline(database, sources[0].url, self.scope, self.index, dialect=dialect_of(sources[0]),
                                 proofs=proofs, pace=self._pace)  # fmt: skip
        self.subscription = Subscription(self.pipeline, user_agent, sources=sources, session=session, pace=self._pace,
                                         backoff=backoff)  # fmt: skip
        self.housekeeping = Housekeeping(database, self.index, retention)
        self.counters: dict[str, Counter[str]] = {}
        """What others count that run beside the stream, by their names: put in by whoever starts them."""
        self._wanted = self.scope.wanted
        self._file = file_identity(database)
        self._started_at = now_micros()
        self._silent_until: dict[str, float] = {}

    def on_identity(self, told: Callable[[str], None]) -> None:
        """Have `told` called with each DID whose document may have changed."""
        self.scope.on_identity = told

    def on_doubt(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the URI of each list that a source without proofs says was changed."""
        self.scope.on_doubt = told

    def lists_changed(self) -> None:
        """Members of a list came or went: it is taken over before long, and the stored posts are looked at again."""
        self._lists_stale = True

    async def run(self, stop: asyncio.Event) -> None:
        """Read the stream until `stop`; then store what was received and return."""
        chores = asyncio.create_task(self._chores(stop))
        stream = asyncio.create_task(self.subscription.run(stop, self._cursor_moved))
        try:
            done, _ = await asyncio.wait((chores, stream), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a fault of our own ends the process, loudly
            await asyncio.gather(chores, stream)
        finally:
            chores.cancel()
            stream.cancel()
        self.subscription.state = "stopped"
        try:
            self.pipeline.flush()
            self.report()
        except STORAGE_FAULTS as error:
            self._tell(error)  # nothing is lost: the next start asks for it again
        at = self.pipeline.committed
        log.info("stopped; %s", "no event was stored yet" if at is None else f"the next start goes on behind {at}")

    async def _chores(self, stop: asyncio.Event) -> None:
        next_rules = next_report = 0.0
        next_round = time.monotonic() + self._pace.round
        while not stop.is_set():
            now = time.monotonic()
            try:
                self.pipeline.tick()
                self.members.notice()
                if now >= next_rules:
                    next_rules = now + self._pace.rules
                    self._refresh()
                self._keep_house(now + self._pace.chores)
                if now >= next_report:
                    next_report = now + self._pace.report
                    self.report()
            except STORAGE_FAULTS as error:
                self.index.forget()
                self._tell(error)
                if isinstance(error, StorageError):
                    self.subscription.ask_again()
            if now >= next_round:
                next_round = now + self._pace.round
                self.housekeeping.begin_round()
            await pause(stop, self._pace.tick)

    def _tell(self, error: Exception) -> None:
        """Log a fault of the storage; while it lasts, once a minute: a full disk is not filled further by the log."""
        fault = str(error) if isinstance(error, StorageError) else f"the database refused a write: {error}"
        if (now := time.monotonic()) >= self._silent_until.get(fault, 0.0):
            self._silent_until[fault] = now + REPEAT_SECONDS
            log.error("%s; nothing is lost, it is tried again", fault)

    def _refresh(self) -> None:
        """Take over changed rules and lists; make a filter larger that has become full."""
        began = time.monotonic()
        # What is stale stays so until all of it was taken over: any write here can fail, and is tried again.
        if self.rules.refresh(self.index):
            self._file_stale = True
        lists = self._changed_lists()
        if self._file_stale or (began >= self._due and (lists or self._owed or self.in_force.stale)):
            self._take_over(lists)
            # Anybody may change a community or a list, for ever: what follows has a tenth of the time at most.
            self._due = began + 10 * (time.monotonic() - began)
        if self.scope.wanted != self._wanted:
            self._wanted = self.scope.wanted
            self.subscription.choose_again()
        if self.scope.posts.full or self.scope.actors.full or self.scope.declared.full:
            self.pipeline.flush()  # what waits is in the filters as they were until now
            renew(sql(self.database), self.scope)
            self.pipeline.expect()

    def _changed_lists(self) -> set[str]:
        """The owners of lists that were changed. One that is empty stands for any."""
        changes = self.index.list_changes
        changed = {owner for owner, count in changes.items() if count != self._lists_seen[owner]}
        return changed | ({""} if self._lists_stale else set())

    def _take_over(self, lists: set[str]) -> None:
        """Let communities and lists be in force as the rows have them now, and see to what follows."""
        if lists or self._file_stale:
            # Who waits to be a member of a list is one already; that must stand in the rows.
            self.pipeline.flush()
            self._lists_seen, self._lists_stale = self.index.list_changes.copy(), True
            self._owe(self.in_force.take_lists(None if self._file_stale or "" in lists else lists))
        self._owe(self.in_force.take_over())
        self._follow_up(lists=self._lists_stale)
        if self._file_stale:
            add_pinned(sql(self.database), self.scope)
        if lists or self._file_stale:
            self.pipeline.expect()
        self._lists_stale = self._file_stale = False

    def _owe(self, changes: Changes) -> None:
        """Something follows from changes that are in force; it is kept until it is stored."""
        if self._owed is None:
            self._owed = nothing()
        self._owed.add(changes)

    def _follow_up(self, *, lists: bool) -> None:
        """Store what follows from changed rules; `lists`: and from all changes of lists."""
        owed, followed = self._owed or nothing(), self.in_force.followed
        with writing(self.database):
            if self._proofs is not None:
                self.index.refollow(sorted(owed.dids), followed, followed.first, now_micros())
            # What came before its community counts from now on.
            self.index.catch_up(sorted(owed.uris), now_micros())
            self.rules.reapply(owed.judged, self.in_force.revised, lists=lists)
        if self._proofs is not None:
            for did in owed.dids:
                self.scope.actors.add(did)
        self._owed = None

    def _keep_house(self, until: float) -> None:
        while self.housekeeping.step(self.scope.matcher):
            if time.monotonic() >= until:
                return

    def _cursor_moved(self) -> bool:
        """Whether an operator changed the stored cursor."""
        row = sql(self.database).execute(
            "SELECT cursor FROM source WHERE url = ? AND kind = ?", (self.pipeline.source, self.pipeline.dialect.kind)
        ).fetchone()  # fmt: skip
        return (row[0] if row else None) != self.pipeline.committed

    def state(self) -> dict[str, Any]:
        """What the process says of itself: for health, metrics and `doctor`."""
        pipeline = self.pipeline
        waiting, waiting_bytes = pipeline.waiting
        source = {
            "state": self.subscription.state,
            "cursor": pipeline.committed,
            "received": pipeline.received,
            "eventAt": pipeline.event_at,
        }
        return {
            "source": pipeline.source,
            **source,
            "closes": dict(self.subscription.closes),
            "sources": [self._source(one) for one in self.subscription.sources],
            "heardAt": pipeline.heard_at,
            "startedAt": self._started_at,
            "rulesFault": self.rules.fault,
            "waiting": waiting,
            "waitingBytes": waiting_bytes,
            "accounts": count_repos(sql(self.database)),
            "events": dict(pipeline.kinds),
            "applied": dict(self.index.counts),
            "dropped": dict(self.scope.dropped),
            "gaps": dict(pipeline.gaps.counts),
            "beside": {name: dict(counts) for name, counts in self.counters.items()},
        }

    def _source(self, source: Source) -> dict[str, Any]:
        """How one of the sources stands."""
        pipeline, subscription = self.pipeline, self.subscription
        said = {"url": source.url, "state": subscription.states[source.url], "closes": subscription.ends[source.url]}
        if source.url == pipeline.source:
            at = {"cursor": pipeline.committed, "received": pipeline.received, "eventAt": pipeline.event_at}
            return said | at | {"kind": pipeline.dialect.kind}
        row = sql(self.database).execute(
            "SELECT kind, cursor, event_at FROM source WHERE url = ? ORDER BY event_at DESC LIMIT 1", (source.url,)
        ).fetchone()  # fmt: skip
        kind, cursor, event_at = row or (CURSORS[source.protocol], None, 0)
        return said | {"kind": kind, "cursor": cursor, "eventAt": event_at}

    def report(self) -> None:
        """Write `state` where the web process and the commands read it.

        Raises DatabaseError when the file is no longer in its place.
        """
        check_in_place(self.database, self._file)
        with writing(self.database) as connection:
            connection.execute(
                "INSERT INTO process (name, at, report) VALUES ('ingest', ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at, report = excluded.report",
                (now_micros(), json.dumps(self.state())),
            )
