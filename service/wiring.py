"""Everything is built here, once, top to bottom, and handed down. Nobody imports this but the commands."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

from aiohttp import web
from playhouse.apsw_ext import APSWDatabase

from civic.labels import procedures as label_procedures
from civic.methods import CivicMethods
from civic.undoing import procedures as undo_procedures
from communities.access import Site
from communities.appeals import Course
from communities.report_limits import HOUR
from communities.reports import Intake
from feedgen.everything import Everything
from feedgen.feeds import Feeds
from feedgen.methods import FeedMethods
from feedgen.queue import Queues
from feedgen.ranked import RankedPages
from feedgen.skeleton import Skeletons
from firehose.evidence import EvidenceReader
from firehose.housekeeping import DAY
from firehose.ingest import Ingest
from firehose.lists import ListReader
from firehose.proofs import Proofs
from firehose.resync import Resync
from firehose.sweep import Sweep
from firehose.waiting import pause
from labeler.labels_in_force import LabelsInForce
from labeler.subscriber import LIMITS, Limits
from lexicons.catalog import documents
from models import meta
from models.commits import CommitWatch
from models.database import open_database, sql, writing
from models.group import GroupWriter
from models.lock import LockError, only_one
from service import canary
from service.automating import automating
from service.config import Config
from service.did_json import COMMUNITIES, did_document
from service.ending import keep_ending
from service.forwarding import keep_forwarding
from service.label_metrics import render_labels
from service.labelling import labelling, warn_of_lost
from service.labels_watch import forget_fault, keep_in_force, render_fault
from service.moderating import moderating
from service.obeying import keep_obeying
from service.overdue import keep_reminding, render_appeals
from service.process import settle
from service.rule_status import render_rules
from service.status import public_status, read_status, render_metrics, sizes
from service.tagging import keep_tagging
from xrpc.auth import ServiceAuth
from xrpc.egress import egress_session
from xrpc.lexicon import Catalog
from xrpc.listener import Listener, listen
from xrpc.params import Params
from xrpc.ratelimit import RateLimit
from xrpc.resolver import DidResolver
from xrpc.server import Answer, Call, Query, mount

log = logging.getLogger(__name__)

VERSION = version("communities")
USER_AGENT = f"communities/{VERSION}"
LOCK_SECONDS = 20.0
INTERACTIONS_PER_SECOND, INTERACTIONS_BURST = 2.0, 60
DECISIONS_PER_SECOND, DECISIONS_BURST = 1.0, 60
"""A moderator's open tab asks less than once a second."""


async def run_ingest(config: Config, stop: asyncio.Event) -> None:
    """The ingest process, until `stop`. Raises DatabaseError, DeclarationError or LockError when it cannot start."""
    deadline = 0.0
    while not stop.is_set():
        try:
            with only_one(config.data / "ingest.lock"):
                return await _ingest(config, stop)
        except LockError as error:
            # After a supervisor was killed, the ingest process that it left behind is ending just now.
            if not deadline:
                deadline = time.monotonic() + LOCK_SECONDS
                log.info("waiting up to %.0f s: %s", LOCK_SECONDS, error)
            elif time.monotonic() > deadline:
                raise
            await pause(stop, 0.5)


async def _ingest(config: Config, stop: asyncio.Event) -> None:
    async with _reading(config) as parts:
        beside = [
            asyncio.create_task(one.run(stop)) for one in (parts.lists, parts.resync, parts.sweep, parts.evidence)
        ]
        settle()
        try:
            await parts.ingest.run(stop)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


async def run_resync(config: Config, stop: asyncio.Event) -> None:
    """Read the repositories that are due, without the stream, until `stop`. Raises as `run_ingest`; never waits."""
    with only_one(config.data / "ingest.lock"):
        async with _reading(config) as parts:
            await parts.resync.run(stop)


def site_roles(config: Config) -> dict[str, Site]:
    """Who stands above all communities."""
    return dict.fromkeys(config.moderators, Site.MODERATOR) | dict.fromkeys(config.admins, Site.ADMIN)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What an ingest process is made of."""

    ingest: Ingest
    lists: ListReader
    resync: Resync
    sweep: Sweep
    evidence: EvidenceReader


@asynccontextmanager
async def _reading(config: Config) -> AsyncIterator[_Reading]:
    database = open_database(config.database)
    try:
        own = (urlsplit(config.plc_url).hostname or "", *(source.host for source in config.source))
        async with egress_session(config.egress_allow, own=own) as session:
            resolver = DidResolver(session, config.plc_url, allow=config.egress_allow)
            proofs = None if config.verify == "none" else Proofs(resolver, everything=config.verify == "all")
            retention = config.retention_days * DAY
            ingest = Ingest(
                database,
                config.source,
                config.rules,
                f"{USER_AGENT} (+https://{config.hostname})",
                retention=retention,
                max_age=config.max_post_age_days * DAY,
                proofs=proofs,
                session=session,
                founders=config.founders,
                site=site_roles(config),
            )
            ingest.on_identity(resolver.forget)
            index, refresh = ingest.index, config.list_refresh_minutes * 60_000_000
            try:
                lists = ListReader(database, index, resolver, session, refresh, ingest.lists_changed)
                ingest.on_doubt(lists.doubt)
                resync = Resync(database, index, ingest.scope, resolver, session, retention=retention)
                sweep = Sweep(database, index, resolver, session)
                evidence = EvidenceReader(database, resolver, session)
                ingest.counters |= {"resync": resync.counts, "sweep": sweep.counts, "evidence": evidence.counts}
                yield _Reading(ingest, lists, resync, sweep, evidence)
            finally:
                if proofs is not None:
                    await proofs.close()
                await resolver.close()  # look-ups outlive those who asked
    finally:
        database.close()


@asynccontextmanager
async def serving(
    config: Config, *, clock: Callable[[], float] = time.time, limits: Limits = LIMITS
) -> AsyncIterator[tuple[Listener, Listener, APSWDatabase]]:
    """The web process: the public listener, the private one of `/metrics`, and the database. Raises DatabaseError,
    DeclarationError (of the labelers) or OSError.

    `clock`: of what it stores, in seconds; `limits`: of those who subscribe to labels.
    """
    declared = LabelsInForce(config.labels)
    database = open_database(config.database)
    watch = CommitWatch(config.database)
    try:
        with writing(database) as connection:
            key = meta.secret(connection, "cursor_key")
            forget_fault(connection)
            warn_of_lost(connection, config.labels, declared.labelers())
        connection = sql(database)
        own_hosts = tuple(urlsplit(url).hostname or "" for url in (config.plc_url, config.appview_url))
        async with (
            egress_session(config.egress_allow, own=own_hosts) as session,
            labelling(config, declared, clock, limits) as labels,
            automating(config, database, session, declared, clock) as automate_again,
        ):
            resolver = DidResolver(session, config.plc_url, allow=config.egress_allow)
            auth = ServiceAuth(resolver, frozenset((config.did, f"{config.did}#bsky_fg")))
            links = {"privacyPolicy": config.privacy_url, "termsOfService": config.terms_url}
            site = site_roles(config)
            skeletons = Skeletons(connection, key)
            loop = asyncio.get_running_loop()
            feeds = Feeds(connection, config.publisher, watch, loop.call_later, loop.call_soon, clock)
            methods = FeedMethods(
                database,
                feeds,
                skeletons,
                RankedPages(connection, key, skeletons.pins, config.damp_seen_hours),
                Everything(connection, key),
                lambda connection: Queues(connection, key, site),
                auth,
                config.did,
                {name: url for name, url in links.items() if url},
                limiter=RateLimit(INTERACTIONS_PER_SECOND, INTERACTIONS_BURST),
                prefer_languages=config.prefer_languages,
                clock=clock,
            )
            writer = GroupWriter(database, "writer of decisions")
            course = Course(config.appeal_days * DAY, f"{config.did}{COMMUNITIES}")
            civic = CivicMethods(
                database,
                writer,
                # A PDS that forwards a call names the bare DID, whatever service the client asked for; `lxm` is what
                # keeps a token for the feeds from deciding anything.
                ServiceAuth(resolver, frozenset((config.did, f"{config.did}{COMMUNITIES}"))),
                Catalog(documents()),
                site=site,
                publisher=config.publisher,
                key=key,
                keep=config.retention_days * DAY,
                limiter=RateLimit(DECISIONS_PER_SECOND, DECISIONS_BURST),
                counts=methods.counts,
                labelers=declared.labelers,
                intake=Intake(config.report_merge_hours * HOUR),
                course=course,
                more=(*label_procedures(declared.labelers), *undo_procedures(declared.labelers)),
                clock=clock,
            )

            moderation = moderating(
                config, database, writer, declared.labelers, resolver, session, site, key, methods.counts, clock
            )

            async def health(call: Call) -> Answer:
                feeds.refresh()
                return {"version": VERSION, **public_status(read_status(connection, config.source_urls))}

            async def metrics(request: web.Request) -> web.Response:
                feeds.refresh()
                text = render_metrics(read_status(connection, config.source_urls), sizes(connection), methods.counts)
                if labels:
                    text += render_labels(labels.report(), await labels.waiting(), time.time())
                    text += canary.render_canary(canary.last(connection))
                file = declared.file
                text += render_rules(file.rules, file.inputs, connection, int(clock() * 1_000_000))
                text += render_fault(declared)
                text += render_appeals(connection, int(clock() * 1_000_000), course.within)
                return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

            public = web.Application()
            public.router.add_get("/.well-known/did.json", did_document(config, labels))
            of_labels = labels.open_doors(public) if labels else []
            of_moderation = moderation.methods() if moderation else []
            own = Query("_health", Params(), health)
            ours = [*methods.methods(), *civic.methods(), *of_labels, *of_moderation, own]
            passed_on = moderation.passed_on({one.nsid for one in ours}) if moderation else []
            mount(public, [*ours, *passed_on])
            private = web.Application()
            private.router.add_get("/metrics", metrics)
            door = await listen(public, config.listen_host, config.listen_port)
            try:
                side = await listen(private, config.metrics_host, config.metrics_port)
                works = (
                    canary.keep_watching(config, declared.labelers),
                    keep_ending(database, clock),
                    keep_tagging(writer, clock),
                    keep_reminding(database, course.within, clock),
                    keep_obeying(database, declared.labelers, site, resolver, session, clock),
                    keep_forwarding(config, database, resolver, session, clock),
                )
                beside = [asyncio.create_task(work) for work in works]
                ending = asyncio.Event()
                reading = asyncio.create_task(keep_in_force(config, declared, automate_again, ending))
                try:
                    yield door, side, database
                finally:
                    for task in beside:
                        task.cancel()
                    ending.set()
                    await asyncio.gather(*beside, reading, return_exceptions=True)
                    await side.close()
            finally:
                await door.close()
                methods.close()
                civic.close()
                if moderation is not None:
                    await moderation.close()
                writer.close()
                feeds.close()
    finally:
        watch.close()
        database.close()
