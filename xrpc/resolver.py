"""Looking DIDs up: cached in bounded memory, one request at a time per DID, thrifty with others' servers.

What a stranger's token can make this service do is bounded here: look-ups per host and second (S118), forced
refreshes per DID and in all (S34), bytes and seconds per look-up (S112), the addresses reached (by the
session, see `xrpc.egress`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from xrpc.did import BadDocument, DidDocument, document_url, parse_document
from xrpc.egress import FetchError, fetch_json
from xrpc.ratelimit import RateLimit

# How old a document may be, in seconds, when the directory cannot be asked: for reading, and for acting on
# somebody's behalf (a vote, a report, a moderator's decision).
STALE_FOR_READS = 24 * 3600.0
STALE_FOR_ACTS = 3600.0

_TTL = 900.0
_NEGATIVE_TTL = 120.0
_RETRY_AFTER_FAILURE = 10.0
_REFRESH_COOLDOWN = 60.0
_MOST_HOSTS = 50
"""Look-ups of did:web under way at once: half of the connections that a session makes stay free for the directory."""


class DidError(Exception):
    """A DID has no usable document now."""


class DidNotFound(DidError):
    """The DID does not exist, was tombstoned, or is of a kind that is not looked up."""


class DidInvalid(DidError):
    """There is a document, and it is not one of this DID."""


class DidUnavailable(DidError):
    """The directory or the host does not answer, or has been asked too often."""


class DidBusy(DidUnavailable):
    """So much is being looked up that this was not even tried."""


class DidRefreshRefused(DidError):
    """A forced refresh came too soon after the last one."""


@dataclass(slots=True)
class _Entry:
    found: DidDocument | DidError
    fetched: float
    retry: float = 0.0


class DidResolver:
    """Resolves did:plc through the directory at `plc_url` and did:web through its host.

    Times are in seconds of `clock`. `session` must be guarded (`xrpc.egress.egress_session`); `allow` names
    the hosts that it lets through in development.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        plc_url: str,
        *,
        allow: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 100_000,
        timeout: float = 3.0,
        plc_per_second: float = 100.0,
        host_per_second: float = 5.0,
        refreshes_per_second: float = 10.0,
    ) -> None:
        self._session = session
        self._plc_url = plc_url.rstrip("/")
        self._allow = frozenset(allow)
        self._clock = clock
        self._capacity = capacity
        self._timeout = timeout
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._flights: dict[str, asyncio.Task[DidDocument]] = {}
        self._hosts = 0
        self._tasks: set[asyncio.Task[DidDocument]] = set()
        self._plc_budget = RateLimit(plc_per_second, int(plc_per_second * 2) or 1, capacity=1, clock=clock)
        self._host_budget = RateLimit(host_per_second, int(host_per_second * 2) or 1, clock=clock)
        self._cooldown = RateLimit(1 / _REFRESH_COOLDOWN, 1, clock=clock)
        self._refreshes = RateLimit(refreshes_per_second, int(refreshes_per_second * 5) or 1, capacity=1, clock=clock)

    def __len__(self) -> int:
        return len(self._entries)

    def can_resolve(self, did: str) -> bool:
        """Whether `did` is of a kind that is looked up at all; asks nobody."""
        return document_url(did, self._plc_url, self._allow) is not None

    def cached(self, did: str) -> DidDocument | None:
        """The document when a good and fresh one is at hand; asks nobody."""
        entry = self._entries.get(did)
        if entry is None or isinstance(entry.found, DidError) or self._clock() - entry.fetched >= _TTL:
            return None
        self._entries.move_to_end(did)
        return entry.found

    def last_known(self, did: str) -> DidDocument | None:
        """The document that was found last, however old; None when there was none. Asks nobody."""
        entry = self._entries.get(did)
        return None if entry is None or isinstance(entry.found, DidError) else entry.found

    async def resolve(self, did: str, *, fresh: bool = False, max_stale: float = STALE_FOR_READS) -> DidDocument:
        """The document of `did`.

        While it cannot be looked up, one of at most `max_stale` seconds of age is returned. With `fresh` the
        cache is passed over, once a minute per DID at most. Raises DidNotFound, DidInvalid, DidUnavailable
        and, only when `fresh`, DidRefreshRefused.
        """
        now = self._clock()
        entry = self._entries.get(did)
        if fresh:
            if self._cooldown.allow(did) is not None or self._refreshes.allow("") is not None:
                raise DidRefreshRefused(did)
            return await self._look_up(did)
        if entry is not None:
            self._entries.move_to_end(did)
            age = now - entry.fetched
            if isinstance(entry.found, DidError):
                if age < _NEGATIVE_TTL:
                    raise type(entry.found)(did)
            elif age < _TTL or (now < entry.retry and age < max_stale):
                return entry.found
        try:
            return await self._look_up(did)
        except DidUnavailable:
            if entry is None or isinstance(entry.found, DidError) or now - entry.fetched >= max_stale:
                raise
            # Until the next try nobody waits for a directory that is down.
            entry.retry = now + _RETRY_AFTER_FAILURE
            return entry.found

    def forget(self, did: str) -> None:
        """Drop what is known of `did`, as an `#identity` event asks for.

        What a look-up under way finds may be older than the event: its callers get it, the cache does not.
        """
        self._entries.pop(did, None)
        self._flights.pop(did, None)

    async def close(self) -> None:
        """Cancel the look-ups under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, did: str) -> DidDocument:
        flight = self._flights.get(did)
        if flight is None:
            url = document_url(did, self._plc_url, self._allow)
            if url is None:
                raise DidNotFound(did)
            directory = did.startswith("did:plc:")
            if not directory and self._hosts >= _MOST_HOSTS:
                raise DidBusy(did)
            if directory:
                wait = self._plc_budget.allow("")
            else:
                # Counted by the last two labels: who owns a domain owns every name below it.
                wait = self._host_budget.allow(".".join(urlsplit(url).netloc.split(".")[-2:]))
            if wait is not None:
                raise DidBusy(did)
            flight = asyncio.create_task(self._fetch(did, url))
            self._flights[did] = flight
            self._hosts += not directory
            self._tasks.add(flight)
            flight.add_done_callback(lambda done: self._landed(did, done))
        # Shielded: a caller that gives up must not take the others' answer away.
        return await asyncio.shield(flight)

    def _landed(self, did: str, flight: asyncio.Task[DidDocument]) -> None:
        self._tasks.discard(flight)
        self._hosts -= not did.startswith("did:plc:")
        if self._flights.get(did) is flight:
            del self._flights[did]
        if not flight.cancelled():
            flight.exception()  # seen, also when every caller has gone

    async def _fetch(self, did: str, url: str) -> DidDocument:
        found: DidDocument | DidError
        try:
            document = await fetch_json(self._session, url, timeout=self._timeout)
            found = parse_document(did, document, development=bool(self._allow))
        except FetchError as fault:
            if fault.status in (404, 410):
                found = DidNotFound(did)
            elif fault.status == 200 and did.startswith("did:web:"):
                found = DidInvalid(did)
            else:
                raise DidUnavailable(did) from fault
        except BadDocument:
            found = DidInvalid(did)
        if self._flights.get(did) is asyncio.current_task():
            self._entries[did] = _Entry(found, self._clock())
            self._entries.move_to_end(did)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        if isinstance(found, DidError):
            raise found
        return found
