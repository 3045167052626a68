"""The methods of the moderation API at the door: a token for a labeler, a caller with a role there, and a transaction.

Each call needs a token whose audience is a labeler of this service, as its DID or with `#atproto_labeler`; a procedure
uses it up. Clients send all of it through the moderator's own PDS, with the header `atproto-proxy`.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import apsw
import peewee
from aiohttp import web
from playhouse.apsw_ext import APSWDatabase

from communities.access import Site
from communities.forwards import NOBODY, Allowed
from communities.places import KeptPlaces
from communities.relatives import Relatives
from labeler.vocabulary import Declared
from models import labelers, tokens
from models.database import Connection, sql
from models.group import GroupWriter
from ozone.all_methods import LOOKUPS, PROCEDURES, QUERIES
from ozone.appview import ACCEPTED, PARAMS, PASSED_ON, AppView, accepted_labelers
from ozone.callers import caller, sees, served
from ozone.queue_stats import QueueStats
from ozone.sources import Lookup, Sources
from ozone.visit import NSID, Answer, Procedure, Query, Visit
from xrpc import server
from xrpc.auth import ServiceAuth, Token
from xrpc.errors import (
    AccountInactive,
    AuthenticationRequired,
    InvalidRequest,
    JwtReplayed,
    NotEnoughResources,
    RateLimitExceeded,
)
from xrpc.lexicon import Catalog, LexiconError
from xrpc.params import Params
from xrpc.ratelimit import RateLimit
from xrpc.server import Call

T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_BYTES = 128 * 1024
"""Of a body: the longest setting, with room for its escapes."""
LABELER = "#atproto_labeler"
"""The service entry of a labeler, to which clients send these methods."""
_AUTHORIZATION = "Authorization"


class OzoneMethods:
    """All of QUERIES, LOOKUPS and PROCEDURES, and of PASSED_ON, for the labelers of this service."""

    def __init__(
        self,
        database: APSWDatabase,
        writer: GroupWriter,
        auth: Callable[[frozenset[str]], ServiceAuth],
        catalog: Catalog,
        declared: Callable[[], Sequence[Declared]],
        *,
        site: Mapping[str, Site],
        key: bytes,
        appview_url: str,
        resolvable: Callable[[str], bool],
        appview: AppView,
        sources: Sources,
        reads: RateLimit,
        writes: RateLimit,
        counts: Counter[str],
        forwards: Allowed = NOBODY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`auth` makes what takes tokens for these audiences alone; `declared` is asked at each call, and always gives
        the same DIDs; `catalog`: of the documents of these methods; `appview` answers what is passed on, and `sources`
        look things up: both are closed with this. `reads` and `writes` bound calls per caller; `counts` takes what was
        called; `clock` gives seconds. The rest: see `Visit`.
        """
        self._database = database
        self._declared = declared
        self._auth = auth(frozenset(self._by_audience()))
        self._catalog = catalog
        self._site = site
        self._key = key
        self._appview_url = appview_url
        self._resolvable = resolvable
        self._appview = appview
        self._sources = sources
        self._reads = reads
        self._writes = writes
        self._counts = counts
        self._forwards = forwards
        self._clock = clock
        self._queue_stats = QueueStats()
        # Neither reading nor waiting for another writer may hold up the event loop, which serves the feeds.
        self._reader = ThreadPoolExecutor(1, "ozone-reader")
        self._writer = writer

    def methods(self) -> list[server.Query | server.Procedure]:
        """What to mount."""
        looked_up = map(self._lookup, LOOKUPS)
        return [*map(self._query, QUERIES), *looked_up, *map(self._procedure, PROCEDURES)]

    def passed_on(self, taken: Collection[str]) -> list[server.Query]:
        """What to mount besides: the reads of the AppView, without those that this service answers itself (`taken`)."""
        return [self._passed_on(nsid) for nsid in PASSED_ON if nsid not in taken]

    def _by_audience(self) -> dict[str, Declared]:
        return {audience: one for one in self._declared() for audience in (one.did, one.did + LABELER)}

    async def _token(self, call: Call, limiter: RateLimit, *, act: bool) -> Token:
        token = await self._auth.require(call.request.headers.getall(_AUTHORIZATION, ()), call.nsid, act=act)
        wait = limiter.allow(token.iss)
        if wait is not None:
            raise RateLimitExceeded(quota=limiter.quota, retry_after=wait)
        return token

    def _query(self, query: Query) -> server.Query:
        method = NSID + query.name

        async def handle(call: Call) -> server.Answer:
            token, params = await self._asked(call, query.name, query.left_out)
            # Tests hold these answers against the lexicon; to do so here takes as long as to make them.
            return await self._reading(token, lambda visit: query.answer(visit, params))

        return server.Query(method, query.params, handle)

    def _lookup(self, lookup: Lookup) -> server.Query:
        method = NSID + lookup.name

        async def handle(call: Call) -> server.Answer:
            token, params = await self._asked(call, lookup.name)
            wanted = await self._reading(token, lambda visit: lookup.wanted(visit, params))
            found = await self._sources.fetch(wanted)  # no transaction is open meanwhile
            return await self._reading(token, lambda visit: self._checked(method, lookup.answer(visit, params, found)))

        return server.Query(method, lookup.params, handle)

    def _passed_on(self, nsid: str) -> server.Query:
        async def handle(call: Call) -> server.Answer:
            token = await self._token(call, self._reads, act=False)
            own = await self._reading(token, lambda visit: visit.did)
            self._counts[f"ozone {nsid}"] += 1
            labelers = accepted_labelers(call.request.headers.getall(ACCEPTED, ()), own)
            return await self._appview.pass_on(nsid, call.request.rel_url.raw_query_string, labelers)

        return server.Query(nsid, PARAMS, handle)

    async def _asked(
        self, call: Call, name: str, left_out: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[Token, Mapping[str, Any]]:
        """Who asks, and with which parameters. `left_out`: see `Query`."""
        token = await self._token(call, self._reads, act=False)
        params = {name: _plain(value) for name, value in call.params.items() if value is not None}
        _judge(self._catalog.check_params, NSID + name, {**left_out, **params})
        self._counts[f"ozone {name}"] += 1
        return token, params

    def _procedure(self, procedure: Procedure) -> server.Procedure:
        method = NSID + procedure.name

        async def authorize(call: Call) -> Token:
            return await self._token(call, self._writes, act=True)

        async def handle(call: Call) -> server.Answer:
            if call.token is None:  # pragma: no cover - authorize has run
                raise RuntimeError(f"{method} needs its authorize step")
            _judge(self._catalog.check_input, method, call.body)
            self._counts[f"ozone {procedure.name}"] += 1
            try:
                answer = await asyncio.wrap_future(
                    self._writer.submit(partial(self._write, procedure, call.token, call.body))
                )
            except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError, peewee.OperationalError) as error:
                log.error("%s could not be stored: %s", procedure.name, error)
                raise NotEnoughResources("This cannot be stored now; try again later.") from error
            return web.Response() if answer is None else answer

        return server.Procedure(method, Params(), handle, max_body=MOST_BYTES, authorize=authorize)

    async def _reading(self, token: Token, read: Callable[[Visit], T]) -> T:
        """Let `read` run in the reader's thread, on its own connection; all that it reads is of one moment."""

        def run() -> T:
            with self._database.atomic("DEFERRED"):
                return read(self._visit(sql(self._database), token))

        return await asyncio.get_running_loop().run_in_executor(self._reader, run)

    def _checked(self, method: str, answer: Answer) -> Answer:
        self._catalog.check_output(method, answer)
        return answer

    def _write(
        self, procedure: Procedure, token: Token, body: Mapping[str, Any], connection: Connection
    ) -> Answer | None:
        """Runs in the writer's thread, in its transaction."""
        if not tokens.use_up(connection, token.iss, token.jti_key, token.exp):
            raise JwtReplayed()
        answer = procedure.act(self._visit(connection, token), body)
        return None if answer is None else self._checked(NSID + procedure.name, answer)

    def _visit(self, connection: Connection, token: Token) -> Visit:
        """Raises AccountInactive, MemberDisabled, AuthenticationRequired."""
        declared, now = self._by_audience()[token.aud], int(self._clock() * 1_000_000)
        if not tokens.is_shown(connection, token.iss):
            raise AccountInactive("Your account is not active.")
        labeler = labelers.find(connection, declared.did)
        if labeler is None:  # pragma: no cover - its row is made before anything is served
            raise RuntimeError(f"{declared.did} has no row")
        who = caller(connection, labeler, declared, self._site, token.iss, now)
        if who.role is None:
            raise AuthenticationRequired("Your account does not moderate for this labeler")
        return Visit(
            connection,
            labeler,
            declared.did,
            declared,
            who,
            who.role,
            sees(who, labeler, declared, lambda: served(connection, declared)),
            now,
            self._site,
            self._key,
            self._appview_url,
            self._resolvable,
            KeptPlaces(Relatives(connection), lambda: now),
            self._queue_stats,
            self._forwards,
        )

    async def close(self) -> None:
        """Let what is being read come to its end."""
        await self._appview.close()
        await self._sources.close()
        self._reader.submit(self._database.close).result()
        self._reader.shutdown()


def _plain(value: Any) -> Any:
    """A parameter as lexicons know it: repeated ones are lists."""
    return list(value) if isinstance(value, tuple) else value


def _judge(check: Callable[[str, Any], None], method: str, value: Mapping[str, Any]) -> None:
    """Raise InvalidRequest for what the lexicon refuses."""
    try:
        check(method, dict(value))
    except LexiconError as error:
        raise InvalidRequest(str(error)) from error
