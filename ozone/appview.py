"""What moderators' clients read of the network through the labeler: some methods of `app.bsky.*`, of one AppView.

The list and the host are fixed. No credentials go along, so the AppView shows what it shows to anybody: whether the
author of a post has blocked a moderator plays no part. It is told which labelers' labels to add: those that the client
asks for, or else this one's. What it has answered is kept for seconds, for all callers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from ozone.kept import Kept
from xrpc.egress import FetchError, FetchTimeout, fetch_answer
from xrpc.errors import Refused, UpstreamFailure, UpstreamTimeout
from xrpc.params import Params
from xrpc.server import CORS
from xrpc.syntax import is_did

PASSED_ON = tuple(
    f"app.bsky.{name}"
    for name in (
        "actor.getProfile",
        "actor.getProfiles",
        "actor.searchActorsTypeahead",
        "feed.getAuthorFeed",
        "feed.searchPosts",
        "feed.getPostThread",
        "feed.getFeedGenerator",
        "feed.getLikes",
        "feed.getRepostedBy",
        "graph.getFollows",
        "graph.getFollowers",
        "graph.getList",
        "graph.getLists",
        "graph.getStarterPack",
        "graph.getStarterPacks",
        "graph.getActorStarterPacks",
    )
)
PARAMS = Params()
"""Only that the query string is one, and how long; what it says is for the AppView to judge."""
FETCH_SECONDS = 10.0
MOST_BYTES = 4 << 20
"""Of an answer: a long thread has some hundred KiB."""
KEPT_SECONDS, KEPT_BYTES = 10.0, 32 << 20
MOST_LABELERS = 20
"""As many as the AppView takes."""
ACCEPTED, APPLIED = "atproto-accept-labelers", "atproto-content-labelers"
_LABELER = re.compile(r"[ \t]*([^; \t]+)[ \t]*(;[ \t]*redact(?:=\?1)?[ \t]*)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Said(NamedTuple):
    """An answer of the AppView: a JSON object (`body`) and whose labels are in it; or, with another `status` than 200,
    what it refuses, as it names it.
    """

    status: int
    body: bytes = b""
    labelers: str = ""
    error: str = ""
    message: str = ""


def accepted_labelers(values: Sequence[str], own: str) -> str:
    """Whose labels are to be added: as the headers of a request ask for, or, if they do not or nobody can say for
    what, those of `own` (a DID). Source: atproto.com/specs/label, section "Labelers and clients".
    """
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        match = _LABELER.fullmatch(part)
        if match is None or not is_did(match[1]) or len(found) >= MOST_LABELERS:
            return own
        found[match[1]] = f"{match[1]};redact" if match[2] else match[1]
    return ", ".join(found.values())


class AppView:
    """The AppView at `url`. `session` must be guarded (`xrpc.egress`); `clock`: seconds."""

    def __init__(self, session: aiohttp.ClientSession, url: str, clock: Callable[[], float]) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._kept: Kept[tuple[str, str, str], Said] = Kept(
            KEPT_SECONDS, KEPT_BYTES, clock, lambda said: len(said.body) + 1000
        )

    async def pass_on(self, nsid: str, raw_query: str, labelers: str) -> web.Response:
        """The AppView's answer to a call as it was sent, whose query string is a good one. Raises Refused (4xx, as the
        AppView does), UpstreamFailure, UpstreamTimeout.
        """
        said = await self._ask(nsid, parse_qsl(raw_query, keep_blank_values=True), labelers)
        headers = {"Content-Type": "application/json", **CORS}
        if said.labelers:
            headers |= {APPLIED: said.labelers, "Access-Control-Expose-Headers": APPLIED}
        return web.Response(body=said.body, headers=headers)

    async def read(self, nsid: str, params: Sequence[tuple[str, str]], labelers: str) -> dict[str, Any]:
        """The same as a value, of a call of our own. Raises as `pass_on`."""
        found: dict[str, Any] = orjson.loads((await self._ask(nsid, params, labelers)).body)
        return found

    async def close(self) -> None:
        """Give up what is being asked for."""
        await self._kept.close()

    async def _ask(self, nsid: str, params: Sequence[tuple[str, str]], labelers: str) -> Said:
        # Written anew: whatever a client has sent, this is a query string and nothing else.
        query = urlencode(params)
        said = await self._kept.fetch((nsid, query, labelers), lambda: self._fetch(nsid, query, labelers))
        if said.status != 200:
            raise Refused(said.error, said.message, said.status)
        return said

    async def _fetch(self, nsid: str, query: str, labelers: str) -> Said:
        url = URL(f"{self._url}/xrpc/{nsid}" + (f"?{query}" if query else ""), encoded=True)
        try:
            answer = await fetch_answer(
                self._session, url, headers={ACCEPTED: labelers}, limit=MOST_BYTES, timeout=FETCH_SECONDS
            )
        except FetchTimeout as fault:
            raise UpstreamTimeout("The AppView did not answer in time") from fault
        except FetchError as fault:
            raise UpstreamFailure(f"The AppView's answer cannot be used: it {fault}") from fault
        value = _value(answer.body) if answer.is_json else None
        if answer.status == 200 and value is not None:
            return Said(200, answer.body, _header(answer.headers.get(APPLIED, "")))
        error, message = (value.get("error"), value.get("message")) if value else (None, None)
        if 400 <= answer.status < 500 and isinstance(error, str) and _NAME.fullmatch(error):
            why = _CONTROL.sub(" ", message)[:500] if isinstance(message, str) else ""
            return Said(answer.status, error=error, message=why or f"The AppView has refused this ({answer.status})")
        if answer.status == 200:
            raise UpstreamFailure("The AppView did not answer with a JSON object")
        raise UpstreamFailure(f"The AppView answered with status {answer.status}")


def _value(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _header(text: str) -> str:
    """A header that may be sent on: it is left out if it is not as headers are, or is very long."""
    return text if text.isascii() and text.isprintable() and len(text) <= 4096 else ""
