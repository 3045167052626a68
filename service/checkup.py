"""What the checks of `communities doctor` work with: the question, the places to ask, and the finding."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
import orjson

from communities.community import Community
from communities.ranking import QUEUE
from service.config import Config
from service.generator import DeclaredFeed, declared_feeds, feed_uri
from xrpc.did import document_url

Status = Literal["ok", "warn", "fail", "skipped"]
Ask = Callable[[str, str], Awaitable[Sequence["Finding"]]]
"""Examines one feed, given its record key and at-uri."""

OTHER_SETTINGS = "give the service the same COMMUNITIES_HOSTNAME and COMMUNITIES_SERVICE_DID as here"
"""The fix when the service that answers takes itself for another one."""

MAX_BODY = 2 << 20
"""Bytes of an answer that are read at most."""
ASKED = 50
"""Feeds that a check asks for one by one; of more the first ones stand for the rest."""


@dataclass(frozen=True)
class Finding:
    """What a check saw, and how to mend it. A skipped check says in `seen` why it was not run."""

    status: Status
    seen: str
    fix: str = ""


def ok(seen: str) -> Finding:
    """Nothing to mend."""
    return Finding("ok", seen)


def warn(seen: str, fix: str) -> Finding:
    """It works, and should be looked at."""
    return Finding("warn", seen, fix)


def fail(seen: str, fix: str) -> Finding:
    """It does not work."""
    return Finding("fail", seen, fix)


def skipped(reason: str) -> Finding:
    """It was not looked at, for this reason."""
    return Finding("skipped", reason)


def summed(good: str, found: Sequence[Finding]) -> Finding:
    """One finding of several: the worst status, the first five things seen, each fix once. `good` for none."""
    if not found:
        return ok(good)
    worst_first = sorted(found, key=lambda finding: finding.status != "fail")
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    seen = "; ".join(finding.seen for finding in worst_first[:5]) + more
    fixes = dict.fromkeys(finding.fix for finding in worst_first)
    return Finding(worst_first[0].status, seen, "; ".join(fixes))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `body` is the JSON value, or None when it is none; `date` the header of that name."""

    url: str
    status: int
    body: Any
    date: str

    def problem(self) -> str:
        """The answer in a few words, for when it was not the wanted one."""
        name = self.body.get("error") if isinstance(self.body, dict) else None
        message = self.body.get("message") if isinstance(self.body, dict) else None
        said = " ".join(str(part)[:200] for part in (name, message) if part)
        return f"{self.url} answered {self.status} {said}".rstrip()


@dataclass
class Patient:
    """The service under examination: its settings, its communities, and the session to ask with.

    `url` is where the service is asked: its public address, or what --url names instead (`overridden`).
    `communities` is empty when the declaration cannot be read, for the reason `undeclared`.
    """

    config: Config
    communities: Sequence[Community]
    undeclared: str
    url: str
    overridden: bool
    session: aiohttp.ClientSession

    @property
    def feeds(self) -> dict[str, str]:
        """Record key -> at-uri of the feeds that are asked one by one."""
        asked = self._public[:ASKED]
        return {feed.rkey: feed_uri(self.config.publisher, feed.rkey) for feed in asked}

    @property
    def _public(self) -> list[DeclaredFeed]:
        """Those that anybody may read."""
        return [feed for feed in declared_feeds(self.communities) if feed.sort != QUEUE]

    @property
    def sample(self) -> str:
        """How many of the feeds were asked, in words."""
        total, asked = len(self._public), len(self.feeds)
        return f"all {total}" if asked == total else f"the first {asked} of {total}"

    async def get(self, url: str, params: Mapping[str, str] | None = None, token: str = "", host: str = "") -> Answer:
        """GET, under the name `host` where that is another than the address; redirects are not followed.

        Raises what aiohttp raises when no answer comes.
        """
        full = f"{url}?{urlencode(params)}" if params else url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Host": host} if host else {}
        async with self.session.get(full, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_BODY:
                    raise ValueError(f"{url} answers with more than {MAX_BODY} bytes")
            try:
                value = orjson.loads(body)
            except ValueError:
                value = None
            return Answer(url, response.status, value, response.headers.get("Date", ""))

    async def document(self, did: str) -> Answer:
        """The DID document as its directory or host gives it out; our own did:web is asked at `url`."""
        config = self.config
        if did == "did:web:" + config.hostname.replace(":", "%3A"):
            return await self.get(f"{self.url}/.well-known/did.json")
        url = document_url(did, config.plc_url, config.egress_allow)
        if url is None:
            raise ValueError(f"{did} is no DID that can be looked up")
        return await self.get(url)

    async def publisher_pds(self) -> str | None:
        """The PDS that the publisher's DID document names."""
        answer = await self.document(self.config.publisher)
        for service in services(answer.body):
            if service.get("type") == "AtprotoPersonalDataServer":
                return str(service.get("serviceEndpoint")).rstrip("/")
        return None


async def each_feed(patient: Patient, ask: Ask) -> list[Finding]:
    """What `ask(slug, uri)` finds for every feed that is asked one by one, a few at a time."""
    few = asyncio.Semaphore(8)

    async def one(slug: str, uri: str) -> Sequence[Finding]:
        async with few:
            return await ask(slug, uri)

    found = await asyncio.gather(*(one(slug, uri) for slug, uri in patient.feeds.items()))
    return [finding for several in found for finding in several]


def services(document: Any) -> list[Mapping[str, Any]]:
    """The service entries of a DID document, whatever else is wrong with it."""
    entries = document.get("service") if isinstance(document, Mapping) else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
