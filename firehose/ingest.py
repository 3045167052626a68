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

from communities.access import Posting, Site
from communities.directory import Settings
from communities.records import POST, SUBMISSION
from firehose.backoff import Backoff
from firehose.dialect import dialect_of
from firehose.housekeeping import Housekeeping
from firehose.index import Index
from firehose.known import Known
from firehose.ops import Scope
from firehose.pace import Pace
from firehose.pipeline import Pipeline
from firehose.proofs import Proofs
from firehose.rows import LISTS_CHANGED
from firehose.rules import Compiled, Rules
from firehose.source import CURSORS, Source
from firehose.states import count_repos
from firehose.storage import STORAGE_FAULTS, StorageError
from firehose.subscribe import Subscription
from firehose.times import now_micros
from firehose.waiting import pause
from lexicons.catalog import documents
from models import meta
from models.database import Connection, check_in_place, file_identity, sql, writing
from xrpc.lexicon import Catalog

log = logging.getLogger(__name__)

MEMBERS_NOTICED = "members_noticed"
"""Meta key: the number of the last change of a membership that was taken notice of."""
MOST_NOTICED = 1000
"""Members, and decisions, that are noticed in one go."""
_JOINED = (
    "SELECT e.id, e.community, a.did FROM membership_event e JOIN actor a ON a.id = e.actor WHERE e.id > ?"
    " AND e.status = 'member' AND e.act != 'setRole' ORDER BY e.id LIMIT ?"
)
_APPROVED = (
    "SELECT d.at, a.did, d.rkey FROM decided d JOIN actor a ON a.id = d.actor WHERE d.at > ?"
    " AND d.verdict = 'approved' ORDER BY d.at LIMIT ?"
)
REPEAT_SECONDS = 60.0
"""A fault of the storage that lasts is logged again after so long."""


def known_posts(connection: Connection) -> Known:
    """The filter of indexed posts, by URI, pinned ones included."""
    count = connection.execute(
        "SELECT (SELECT count(*) FROM post) + (SELECT count(*) FROM pin) + (SELECT count(*) FROM decided)"
        " + (SELECT count(*) FROM declaration)"
    ).fetchone()
    rows = connection.execute(
        "SELECT a.did, p.rkey FROM post p JOIN actor a ON a.id = p.actor"
        " UNION ALL SELECT a.did, p.rkey FROM pin p JOIN actor a ON a.id = p.actor"
        " UNION ALL SELECT a.did, p.rkey FROM decided p JOIN actor a ON a.id = p.actor WHERE p.verdict = 'approved'"
    )
    known = Known.of((f"at://{did}/app.bsky.feed.post/{rkey}" for did, rkey in rows), count[0] if count else 0)
    for (uri,) in connection.execute("SELECT subject FROM declaration WHERE collection = ?", (SUBMISSION,)):
        known.add(uri)
    return known


def known_records(connection: Connection) -> Known:
    """The filter of records that shape communities, by URI."""
    (count,) = connection.execute("SELECT count(*) FROM declaration").fetchall()[0]
    rows = connection.execute("SELECT a.did, d.collection, d.rkey FROM declaration d JOIN actor a ON a.id = d.actor")
    return Known.of((f"at://{did}/{collection}/{rkey}" for did, collection, rkey in rows), count)


def known_actors(connection: Connection) -> Known:
    """The filter of accounts that rows point to, by DID."""
    count = connection.execute("SELECT count(*) FROM actor").fetchone()
    return Known.of((did for (did,) in connection.execute("SELECT did FROM actor")), count[0] if count else 0)


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
        self.scope = Scope(known_posts(connection), known_actors(connection), declared=known_records(connection))
        self.scope.catalog = Catalog(documents())
        self._joined_after = int(meta.get(connection, MEMBERS_NOTICED) or 0)
        (self._decided_after,) = connection.execute("SELECT coalesce(max(at), 0) FROM decided").fetchall()[0]
        if proofs is not None:
            self.scope.dropped = proofs.dropped
        self._proofs = proofs
        self._begun = False
        self.use(self.rules.compile())
        self.pipeline = Pipeline(database, sources[0].url, self.scope, self.index, dialect=dialect_of(sources[0]),
                                 proofs=proofs, pace=self._pace)  # fmt: skip
        self.subscription = Subscription(self.pipeline, user_agent, sources=sources, session=session, pace=self._pace,
                                         backoff=backoff)  # fmt: skip
        self.housekeeping = Housekeeping(database, self.index, retention)
        self.counters: dict[str, Counter[str]] = {}
        """What others count that run beside the stream, by their names: put in by whoever starts them."""
        self._begun = True
        self._file = file_identity(database)
        self._rules_stale = False
        self._lists_stale = meta.get(connection, LISTS_CHANGED) is not None
        self._lists_seen = 0
        self._lists_due = 0.0
        self._started_at = now_micros()
        self._silent_until: dict[str, float] = {}

    def on_identity(self, told: Callable[[str], None]) -> None:
        """Have `told` called with each DID whose document may have changed."""
        self.scope.on_identity = told

    def on_doubt(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the URI of each list that a source without proofs says was changed."""
        self.scope.on_doubt = told

    def use(self, compiled: Compiled) -> None:
        """Hold everything from the next event on against these rules."""
        self.scope.matcher = compiled.matcher
        known = self.index.admissions.directory.by_uri.keys()
        self.index.admissions.use(compiled.matcher, compiled.directory)
        wanted = self.scope.wanted
        self.scope.accounts = compiled.accounts
        if self.scope.wanted != wanted and self._begun:
            self.subscription.ask_again()  # of other collections
        self.scope.lists = compiled.lists
        self.scope.list_owners = compiled.list_owners
        full = compiled.full if self._proofs is not None else frozenset()
        self.scope.first = compiled.first & full
        if full != self.scope.full:
            with writing(self.database):
                self.index.follow(full, self.scope.first, now_micros())
            self.scope.full = full
            for did in full:
                self.scope.actors.add(did)
        with writing(self.database):
            # What came before its community counts from now on.
            self.index.catch_up(compiled.directory.by_uri.keys() - known, now_micros())

    def lists_changed(self) -> None:
        """Members of a list came or went: it is compiled anew before long, and the stored posts are looked at again."""
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
                self._notice_members()
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
        self._rules_stale |= self.rules.refresh(self.index)
        self._lists_stale |= self.index.list_changes.total() != self._lists_seen
        lists = self._lists_stale and began >= self._lists_due
        full = self.scope.posts.full or self.scope.actors.full or self.scope.declared.full
        if not (self._rules_stale or lists or full):
            return
        # What waits was held against the rules and is in the filters as they were until now.
        self.pipeline.flush()
        if lists:
            self.rules.reapply()
        if self._rules_stale or lists:
            self._lists_seen = self.index.list_changes.total()
            self.use(self.rules.compile())
            # The owner of a list can change it for ever: compiling takes a tenth of the time at most.
            self._lists_due = began + 10 * (time.monotonic() - began)
        if self._rules_stale or full:
            self.scope.posts = known_posts(sql(self.database))
            self.scope.actors = known_actors(sql(self.database))
            self.scope.declared = known_records(sql(self.database))
        self.pipeline.expect()
        self._lists_stale &= not lists
        self._rules_stale = False

    def _notice_members(self) -> None:
        """Take notice of who has joined, wherever, and of what moderators have put in: their posts may not be here."""
        connection = sql(self.database)
        joined = connection.execute(_JOINED, (self._joined_after, MOST_NOTICED)).fetchall()
        approved = connection.execute(_APPROVED, (self._decided_after, MOST_NOTICED)).fetchall()
        for at, did, rkey in approved:
            self._decided_after = at
            self.scope.actors.add(did)
            self.scope.posts.add(f"at://{did}/{POST}/{rkey}")
        index, now = self.index, now_micros()
        if not joined and not index.awaited:
            return
        with writing(self.database) as connection:
            for number, community, did in joined:
                settings = index.admissions.directory.by_id.get(community)
                if settings is not None:
                    self._welcome(settings, did, now)
                meta.put(connection, MEMBERS_NOTICED, str(number))
            for did, why in index.awaited.items():
                index.desynchronize(did, why, now)
        index.awaited.clear()
        if joined:
            self._joined_after = joined[-1][0]

    def _welcome(self, settings: Settings, did: str, now: int) -> None:
        """Somebody has become a member: what they wrote before may belong now, and a role may wait for them."""
        if settings.uri is not None:
            self.index.grant_waiting(settings, did, now)
        if did == settings.account:
            self.lists_changed()  # follows and blocks of it mean something from now on
        if settings.joined:
            self.scope.matcher.add_member(settings.id, did)
            self.scope.actors.add(did)
        if settings.joined or settings.posting is not Posting.ANYONE:
            self.index.awaited[did] = "it has joined a community"

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
