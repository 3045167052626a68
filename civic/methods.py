"""The methods of communities at the door: who calls, whether what they send is good, and a transaction around it.

A query may be called by anybody; a token that is sent along must be good. A procedure needs one, and uses it up in the
transaction of what it does. What each does is a function of its own (civic/visit.py), named in QUERIES and PROCEDURES.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import apsw
import peewee
from playhouse.apsw_ext import APSWDatabase

from civic import (
    accounts,
    appealing,
    commands,
    decide,
    decisions,
    evidence,
    explain,
    joining,
    listing,
    own_decisions,
    own_reports,
    people,
    records,
    reporting,
    transparency,
)
from civic.town import TownWatch
from civic.visit import Procedure, Query, Visit, nsid
from communities.access import Site
from communities.appeals import Course
from communities.membership import RefusedError
from communities.report_limits import domain_of
from communities.reports import Intake
from communities.taken import Labeler
from models import tokens
from models.database import Connection, sql
from models.group import GroupWriter
from xrpc import server
from xrpc.auth import ServiceAuth, Token
from xrpc.errors import (
    AccountInactive,
    InvalidRequest,
    JwtReplayed,
    NotEnoughResources,
    RateLimitExceeded,
    Refused,
)
from xrpc.lexicon import Catalog, LexiconError
from xrpc.params import Params
from xrpc.ratelimit import RateLimit
from xrpc.server import Call

log = logging.getLogger(__name__)

QUERIES: tuple[Query, ...] = (
    *listing.QUERIES,
    *people.QUERIES,
    *decisions.QUERIES,
    *explain.QUERIES,
    *evidence.QUERIES,
    *records.QUERIES,
    *own_reports.QUERIES,
    *own_decisions.QUERIES,
    *transparency.QUERIES,
    *commands.QUERIES,
)
PROCEDURES: tuple[Procedure, ...] = (
    *joining.PROCEDURES,
    *decide.PROCEDURES,
    *accounts.PROCEDURES,
    *reporting.PROCEDURES,
    *appealing.PROCEDURES,
)
MOST_BYTES = 192 * 1024
"""Of a body: the longest reason, with every sign of it escaped."""
LABELER = "#atproto_labeler"
"""The service entry of a labeler, to which clients send reports."""
_AUTHORIZATION = "Authorization"


class CivicMethods:
    """All of QUERIES and PROCEDURES."""

    def __init__(
        self,
        database: APSWDatabase,
        writer: GroupWriter,
        auth: ServiceAuth,
        catalog: Catalog,
        *,
        site: Mapping[str, Site],
        publisher: str,
        key: bytes,
        keep: int,
        limiter: RateLimit,
        counts: Counter[str],
        labelers: Callable[[], Sequence[Labeler]] = tuple,
        intake: Intake | None = None,
        course: Course | None = None,
        more: Sequence[Procedure] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`auth` must take tokens for this service alone; `limiter` bounds procedures per caller; `counts` takes what
        was called; `labelers` are those that this service is, asked for at each call: always of the same DIDs; `more`:
        procedures besides PROCEDURES; `clock` gives seconds. The rest: see `Visit`.
        """
        self._database = database
        self._auth = auth
        self._labelers = labelers
        # What is sent to a labeler can report, and nothing else: no token for it decides anything.
        self._labelers_auth = auth.also(self._by_audience())
        self._intake = intake or Intake()
        self._course = course or Course()
        self._catalog = catalog
        self._site = site
        self._publisher = publisher
        self._key = key
        self._keep = keep
        self._limiter = limiter
        self._counts = counts
        self._more = more
        self._clock = clock
        self._readable, self._writable = TownWatch(), TownWatch()
        # Neither a long list nor waiting for another writer may hold up the event loop, which serves the feeds.
        self._reader = ThreadPoolExecutor(1, "civic-reader")
        self._writer = writer

    def _by_audience(self) -> dict[str, Labeler]:
        return {audience: one for one in self._labelers() for audience in (one.did, one.did + LABELER)}

    def methods(self) -> list[server.Query | server.Procedure]:
        """What to mount."""
        return [*map(self._query, QUERIES), *map(self._procedure, (*PROCEDURES, *self._more))]

    def _query(self, query: Query) -> server.Query:
        method = nsid(query.name)

        async def handle(call: Call) -> server.Answer:
            params = {name: value for name, value in call.params.items() if value is not None}
            _judge(self._catalog.check_params, method, params)
            token = await self._auth.verify(call.request.headers.getall(_AUTHORIZATION, ()), method)
            self._counts[f"civic {query.name}"] += 1
            caller = token.iss if token else None
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._reader, self._read, query, caller, params)

        return server.Query(method, query.params, handle)

    def _procedure(self, procedure: Procedure) -> server.Procedure:
        method = nsid(procedure.name)

        auth = self._labelers_auth if procedure.labelers else self._auth

        async def authorize(call: Call) -> Token:
            token = await auth.require(call.request.headers.getall(_AUTHORIZATION, ()), method, act=True)
            wait = self._limiter.allow(token.iss)
            if wait is not None:
                raise RateLimitExceeded(quota=self._limiter.quota, retry_after=wait)
            return token

        async def handle(call: Call) -> server.Answer:
            if call.token is None:  # pragma: no cover - authorize has run
                raise RuntimeError(f"{method} needs its authorize step")
            _judge(self._catalog.check_input, method, call.body)
            self._counts[f"civic {procedure.name}"] += 1
            write = partial(self._write, procedure, call.token, call.body, domain_of(auth.host_of(call.token.iss)))
            return await self._written(procedure.name, write)

        return server.Procedure(method, Params(), handle, max_body=MOST_BYTES, authorize=authorize)

    def _read(self, query: Query, caller: str | None, params: Mapping[str, Any]) -> server.Answer:
        """Runs in the reader's thread, on its own connection; the whole answer is of one moment."""
        with self._database.atomic("DEFERRED"):
            answer = query.answer(self._visit(self._readable, sql(self._database), caller), params)
        self._catalog.check_output(nsid(query.name), answer)
        return answer

    async def _written(self, name: str, write: Callable[[Connection], server.Answer]) -> server.Answer:
        try:
            return await asyncio.wrap_future(self._writer.submit(write))
        except RefusedError as refusal:
            status = 403 if refusal.name == "NotPermitted" else 400
            raise Refused(refusal.name, str(refusal), status) from refusal
        except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError, peewee.OperationalError) as error:
            log.error("%s could not be stored: %s", name, error)
            raise NotEnoughResources("This cannot be stored now; try again later.") from error

    def _write(
        self, procedure: Procedure, token: Token, body: Mapping[str, Any], host: str, connection: Connection
    ) -> server.Answer:
        """Runs in the writer's thread, in its transaction."""
        if not (procedure.inactive or tokens.is_shown(connection, token.iss)):
            raise AccountInactive("Your account is not active.")
        if not tokens.use_up(connection, token.iss, token.jti_key, token.exp):
            raise JwtReplayed()
        visit = self._visit(self._writable, connection, token.iss)
        answer = procedure.act(replace(visit, labeler=self._by_audience().get(token.aud), host=host), body)
        self._catalog.check_output(nsid(procedure.name), answer)
        return answer

    def _visit(self, watch: TownWatch, connection: Connection, caller: str | None) -> Visit:
        now = int(self._clock() * 1_000_000)
        town = watch.look(connection, now)
        return Visit(
            connection, town, caller, now, self._site, self._publisher, self._key, self._keep, intake=self._intake,
            course=self._course, labelers=self._labelers(),
        )  # fmt: skip

    def close(self) -> None:
        """Let what is being read come to its end."""
        self._reader.submit(self._database.close).result()
        self._reader.shutdown()


def _judge(check: Callable[[str, Any], None], method: str, value: Mapping[str, Any]) -> None:
    """Raise InvalidRequest for what the lexicon refuses."""
    try:
        check(method, dict(value))
    except LexiconError as error:
        raise InvalidRequest(str(error)) from error
