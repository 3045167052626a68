"""The public side of labelers: which labeler a request means, its methods, and who it says that it is."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import apsw
from aiohttp import web

from labeler import query, stream
from labeler.frames import NSID
from labeler.subscriber import LIMITS, Limits
from labeler.turns import Turns
from models import labelers
from models.commits import CommitWatch
from models.database import Connection
from xrpc.errors import NotEnoughResources, NotFound, RateLimitExceeded, error_response
from xrpc.peer import Proxies
from xrpc.ratelimit import RateLimit
from xrpc.server import CORS, Answer, Call, Query

log = logging.getLogger(__name__)

METADATA = "/.well-known/ozone-metadata.json"
QUERIES_PER_SECOND, QUERIES_BURST = 50.0, 1000
_SHOWN = (labelers.ACTIVE, labelers.HELD)
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class Declared(Protocol):
    """What is needed of a declared labeler. `endpoint`: scheme, host and perhaps a port."""

    @property
    def did(self) -> str:
        """Who labels."""

    @property
    def endpoint(self) -> str:
        """Where its labels are read."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A labeler that is served. `id`: of its row; `host`: by which requests name it."""

    id: int
    did: str
    endpoint: str
    host: str


def know(connection: Connection, declared: Sequence[Declared]) -> tuple[Identity, ...]:
    """The labelers with their rows, made where they are missing; call inside a write."""
    known = []
    for one in declared:
        parts = urlsplit(one.endpoint)
        host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ":443"))
        known.append(Identity(labelers.enter(connection, one.did), one.did, one.endpoint, host))
    return tuple(known)


class LabelDoors:
    """queryLabels, subscribeLabels and the documents by which labelers are known, over the rows of labels."""

    def __init__(
        self,
        connection: Connection,
        identities: Sequence[Identity],
        watch: CommitWatch,
        proxies: Proxies,
        *,
        limits: Limits = LIMITS,
        limiter: RateLimit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`identities`: at least one; `watch` is these doors' own; `limiter` bounds queryLabels per caller."""
        self.labelers = tuple(identities)
        self.stream = stream.Stream(connection, watch, limits, clock)
        self._by_host = {one.host: one for one in reversed(self.labelers)}
        self._connection = connection
        self._proxies = proxies
        self._limiter = limiter or RateLimit(QUERIES_PER_SECOND, QUERIES_BURST)
        self._turns = Turns()

    def methods(self) -> list[Query]:
        """The methods, for `mount`."""
        return [
            Query(query.NSID, query.PARAMS, self.query_labels),
            Query(NSID, stream.PARAMS, self.subscribe_labels),
        ]

    def at(self, host: str) -> Identity:
        """The labeler whose host that is; the first one at any other host."""
        name = host.lower()
        return self._by_host.get(name) or self._by_host.get(name.rpartition(":")[0]) or self.labelers[0]

    def _client(self, request: web.Request) -> str | None:
        return self._proxies.client(request.remote, request.headers.getall("X-Forwarded-For", ()))

    async def query_labels(self, call: Call) -> Answer:
        """Published labels by subject."""
        client = self._client(call.request)
        wait = None if client is None else self._limiter.allow(client)
        if wait is not None:
            raise RateLimitExceeded(quota=self._limiter.quota, retry_after=wait)
        labeler, params = self.at(call.request.host), call.params
        if params["sources"] and labeler.did not in params["sources"]:
            query.read_patterns(params["uriPatterns"])
            return query.answer(())
        # A thousand of the costly ones at once would hold everything up for seconds.
        return await self._turns.run(lambda: self._page(labeler, params))

    def _page(self, labeler: Identity, params: Mapping[str, Any]) -> bytes:
        try:
            return query.answer(
                query.find(self._connection, labeler.id, params["uriPatterns"], params["cursor"], params["limit"])
            )
        except (apsw.BusyError, apsw.IOError) as error:
            log.error("labels cannot be read: %s", error)
            raise NotEnoughResources("Labels cannot be read now; try again later.") from error

    async def subscribe_labels(self, call: Call) -> Answer:
        """Labels as they are published."""
        labeler, client = self.at(call.request.host), self._client(call.request)
        return await self.stream.subscribe(call.request, call.params["cursor"], labeler.id, client)

    def public_key(self, labeler: Identity) -> str | None:
        """The did:key with which it signs; None before it has one."""
        keys = labelers.keys(self._connection, labeler.id)
        return next((key.public for state in _SHOWN for key in keys if key.state == state), None)

    async def metadata(self, request: web.Request) -> web.Response:
        """What Ozone-compatible clients compare with the DID document."""
        labeler = self.at(request.host)
        key = self.public_key(labeler)
        if key is None:
            return error_response(NotFound("This labeler has no key yet"), CORS)
        return web.json_response({"did": labeler.did, "url": labeler.endpoint, "publicKey": key}, headers=CORS)

    def document(self, host: str, own: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The DID document to be served at a host: of the did:web labeler that it is, or `own`, with the entries of a
        labeler where the DID is one's.
        """
        here = "did:web:" + host.lower().replace(":", "%3A")
        document = own
        if (own is None or own["id"] != here) and self.at(host).did == here:
            document = {"@context": ["https://www.w3.org/ns/did/v1"], "id": here}
        labeler = next((one for one in self.labelers if document and one.did == document["id"]), None)
        if document is None or labeler is None:
            return document
        entry = {"id": "#atproto_labeler", "type": "AtprotoLabeler", "serviceEndpoint": labeler.endpoint}
        said: dict[str, Any] = {**document, "service": [*document.get("service", ()), entry]}
        key = self.public_key(labeler)
        if key is not None:
            said["@context"] = [*said["@context"], "https://w3id.org/security/multikey/v1"]
            said["verificationMethod"] = [
                {
                    "id": f"{labeler.did}#atproto_label",
                    "type": "Multikey",
                    "controller": labeler.did,
                    "publicKeyMultibase": key.removeprefix("did:key:"),
                }
            ]
        return said

    def report(self) -> dict[str, Any]:
        """How the labelers stand, for `status` and `/metrics`; `head`: the last `seq`."""
        dids = {one.id: one.did for one in self.labelers}
        return {
            "labelers": [{"did": one.did, "head": self.stream.published(one.id).head} for one in self.labelers],
            "subscribers": [{**one, "labeler": dids[one["labeler"]]} for one in self.stream.report()],
            "counts": {**self.stream.counts, "refused": self.stream.room.refused},
        }
