"""The XRPC methods of a feed generator, over the rows. Built by the wiring with everything they need."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apsw
import peewee
from aiohttp import web
from playhouse.apsw_ext import APSWDatabase

from communities.ranking import EVERYTHING, NEWEST, QUEUE
from feedgen.cursor import MAX_LENGTH, CursorError
from feedgen.everything import Everything
from feedgen.feeds import Feed, Feeds
from feedgen.generations import Generations
from feedgen.interactions import Interaction, read_interactions, store
from feedgen.preference import accepted
from feedgen.queue import Queues
from feedgen.ranked import RankedPages
from feedgen.skeleton import Skeletons
from models.database import Connection, sql, writing
from xrpc.auth import ServiceAuth, Token
from xrpc.errors import AuthMissing, InvalidRequest, NotEnoughResources, RateLimitExceeded, UnknownFeed, UpstreamFailure
from xrpc.params import AtUriParam, IntParam, Params, StringParam
from xrpc.ratelimit import RateLimit
from xrpc.server import CORS, Answer, Call, Procedure, Query

log = logging.getLogger(__name__)

SKELETON = "app.bsky.feed.getFeedSkeleton"
DESCRIBE = "app.bsky.feed.describeFeedGenerator"
INTERACTIONS = "app.bsky.feed.sendInteractions"
_AUTHORIZATION = "Authorization"
_PERSONAL = (EVERYTHING, QUEUE)
_PERSONAL_HEADERS = {**CORS, "Cache-Control": "private", "Vary": _AUTHORIZATION}


class FeedMethods:
    """describeFeedGenerator, getFeedSkeleton and sendInteractions."""

    def __init__(
        self,
        database: APSWDatabase,
        feeds: Feeds,
        skeletons: Skeletons,
        ranked: RankedPages,
        everything: Everything,
        queues: Callable[[Connection], Queues],
        auth: ServiceAuth,
        service_did: str,
        links: dict[str, str],
        *,
        limiter: RateLimit,
        prefer_languages: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`queues` makes what shows queues over a connection; `links`: of describeFeedGenerator; `limiter` bounds
        sendInteractions per viewer; `prefer_languages`: whether ranked feeds go by Accept-Language; `clock` gives
        seconds.
        """
        self.counts: Counter[str] = Counter()
        self._database = database
        self._feeds = feeds
        self._skeletons = skeletons
        self._ranked = ranked
        self._everything = everything
        self._make_queues = queues
        self._queues = queues(sql(database))
        self._auth = auth
        self._service_did = service_did
        self._links = links
        self._limiter = limiter
        self._clock = clock
        # Writing may have to wait for the ingest process; it waits here, never on the event loop.
        self._writer = ThreadPoolExecutor(1, "writer")
        self._generations = Generations(database, self._writer, self.counts, clock, languages=prefer_languages)
        self._prefer_languages = prefer_languages
        depends = (_AUTHORIZATION, "Accept-Language") if prefer_languages else (_AUTHORIZATION,)
        self._ranked_headers = {**CORS, "Vary": ", ".join(depends)}

    def methods(self) -> list[Query | Procedure]:
        """What to mount."""
        page = Params(
            {
                "feed": AtUriParam(required=True),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=MAX_LENGTH),
            }
        )
        return [
            Query(SKELETON, page, self.get_feed_skeleton),
            Query(DESCRIBE, Params(), self.describe_feed_generator),
            Procedure(INTERACTIONS, Params(), self.send_interactions, authorize=self._authorize_interactions),
        ]

    async def get_feed_skeleton(self, call: Call) -> Answer:
        """A page of a feed. Everybody may read it; a token that is sent along must be good (S1 to S43)."""
        version = self._feeds.refresh()
        params = call.params
        feed = self._feeds.find(params["feed"])
        if feed is None:
            raise UnknownFeed("This feed does not exist here.")
        authorization = call.request.headers.getall(_AUTHORIZATION, ())
        try:
            if feed.sort in _PERSONAL:
                return await self._personal_page(feed, params["limit"], params.get("cursor"), authorization)
            token = None
            if authorization:
                token = await self._viewer(authorization)
            else:
                self.counts["skeleton anonymous"] += 1
            if feed.sort == NEWEST:
                body = self._skeletons.page(feed, params["limit"], params.get("cursor"), version)
            else:
                return await self._ranked_page(call, feed, token.iss if token else None)
        except CursorError as error:
            raise InvalidRequest(f"Bad cursor: {error}") from error
        if feed.language is None:
            return body
        headers = {**CORS, "Content-Language": feed.language}
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _personal_page(
        self, feed: Feed, limit: int, after: str | None, authorization: Sequence[str]
    ) -> web.Response:
        """A page that is another one for each viewer, so nobody is served without a good token."""
        if not authorization:
            self.counts["skeleton anonymous"] += 1
            raise AuthMissing("Sign in to see this feed: it is made for each account.")
        token = await self._auth.require(authorization, SKELETON)
        self.counts["skeleton signed"] += 1
        self._feeds.refresh()  # looking up the viewer's key may have taken longer than the moment
        pages = self._queues if feed.sort == QUEUE else self._everything
        body = pages.page(feed, token.iss, limit, after, int(self._clock() * 1_000_000))
        return web.Response(body=body, content_type="application/json", headers=_PERSONAL_HEADERS)

    async def _ranked_page(self, call: Call, feed: Feed, viewer: str | None) -> web.Response:
        limit, after = call.params["limit"], call.params.get("cursor")
        if after is not None:
            body = self._ranked.after(feed, limit, after, viewer)
        else:
            generation = await self._generations.current(feed)
            self._feeds.refresh()  # it may have been stored just now
            header = call.request.headers.get("Accept-Language", "") if self._prefer_languages else ""
            now = int(self._clock() * 1_000_000)
            body = self._ranked.first(feed, limit, generation, accepted(header), viewer, now)
        headers = self._ranked_headers
        if feed.language is not None:
            headers = {**headers, "Content-Language": feed.language}
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _viewer(self, authorization: Sequence[str]) -> Token | None:
        """Who asks; None when that cannot be found out now: a public feed is still served (S37)."""
        try:
            token = await self._auth.verify(authorization, SKELETON)
        except UpstreamFailure as error:
            log.debug("served anonymously, because the issuer cannot be looked up: %s", error)
            self.counts["skeleton anonymous"] += 1
            return None
        self.counts["skeleton signed"] += 1
        return token

    async def describe_feed_generator(self, call: Call) -> Answer:
        """Who we are and which feeds we have."""
        self._feeds.refresh()
        answer: dict[str, Any] = {"did": self._service_did, "feeds": [{"uri": uri} for uri in self._feeds.listed()]}
        return answer | ({"links": self._links} if self._links else {})

    async def _authorize_interactions(self, call: Call) -> Token:
        token = await self._auth.require(call.request.headers.getall(_AUTHORIZATION, ()), INTERACTIONS, act=True)
        wait = self._limiter.allow(token.iss)
        if wait is not None:
            raise RateLimitExceeded(quota=self._limiter.quota, retry_after=wait)
        return token

    async def send_interactions(self, call: Call) -> Answer:
        """Keep what a viewer did with our items."""
        self._feeds.refresh()
        token = call.token
        if token is None:  # pragma: no cover - authorize has run
            raise RuntimeError("sendInteractions needs its authorize step")
        interactions = read_interactions(call.body, self._feeds)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._store, token, interactions)
        self.counts["interactions"] += len(interactions)
        return {}

    def _store(self, token: Token, interactions: list[Interaction]) -> None:
        """Runs in the writer's thread, on that thread's own connection."""
        try:
            with writing(self._database) as connection:
                now = int(self._clock() * 1_000_000)
                store(connection, token, interactions, now)
                decisions = self._make_queues(connection).press(token.iss, interactions, now)
            self.counts["decisions in queues"] += decisions
        except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError, peewee.OperationalError) as error:
            log.error("interactions could not be stored: %s", error)
            raise NotEnoughResources("Interactions cannot be stored now; try again later.") from error

    def close(self) -> None:
        """Let what is being written be written."""
        self._writer.submit(self._database.close).result()
        self._writer.shutdown()
