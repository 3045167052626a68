"""Reports to other labelers, as an account of this service at its own PDS, which passes them on.

The app password goes to the PDS that the account's DID document names, and nowhere else: a handle must be that of the
document, no redirect is followed, the way out is guarded (S107-S117), and plain http is for hosts of
COMMUNITIES_EGRESS_ALLOW alone. What hosts say is not repeated but for the names of errors.
Source: com.atproto.server.createSession, com.atproto.moderation.createReport, the header atproto-proxy.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson

from communities.forwards import Taken
from service.config import Config
from xrpc.egress import FetchError, HttpAnswer, fetch_json, post_json
from xrpc.resolver import STALE_FOR_ACTS, DidError, DidResolver
from xrpc.syntax import is_did

TIMEOUT = 15.0
_SESSION, _REPORT = "com.atproto.server.createSession", "com.atproto.moderation.createReport"
_LAPSED = frozenset(("ExpiredToken", "InvalidToken"))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")


class Unsent(Exception):
    """A report was not sent, as far as is known; the message says why. `final`: nor will it ever be taken. `account`:
    the account could not sign in, which no other report will change.
    """

    def __init__(self, message: str, *, final: bool = False, account: bool = False) -> None:
        super().__init__(message)
        self.final = final
        self.account = account


class _Session(NamedTuple):
    """Signed in: at which PDS, by which token."""

    pds: str
    token: str


class Upstream:
    """The account, signed in when it first sends."""

    def __init__(self, config: Config, resolver: DidResolver, session: aiohttp.ClientSession) -> None:
        """`session`: guarded."""
        self._config = config
        self._resolver = resolver
        self._http = session
        self._session: _Session | None = None

    async def send(self, taken: Taken) -> int | None:
        """Report it; its number there, None when the answer names none. Raises Unsent."""
        kept = self._session is not None
        answer = await self._report(taken)
        if self._session is None and kept:  # the token has lapsed
            answer = await self._report(taken)
        if answer.status == 200:
            return _number(answer.body)
        told = f"the PDS or the labeler answered {_told(answer)}"
        raise Unsent(told, final=answer.status in (400, 413) and self._session is not None)

    async def _report(self, taken: Taken) -> HttpAnswer:
        self._session = self._session or await self._sign_in()
        row, key = taken
        subject: dict[str, Any] = {"$type": "com.atproto.admin.defs#repoRef", "did": key.did}
        if key.path:
            subject = {"$type": "com.atproto.repo.strongRef", "uri": key.uri, "cid": row.cid}
        body = {"reasonType": row.reason_type, "subject": subject, **({"reason": row.comment} if row.comment else {})}
        headers = {
            "Authorization": f"Bearer {self._session.token}",
            "atproto-proxy": f"{row.recipient}#atproto_labeler",
        }
        try:
            answer = await self._post(self._session.pds, _REPORT, body, headers)
        except FetchError as fault:
            if fault.status == 200:  # taken, whatever else it says
                return HttpAnswer(200, "", {}, b"")
            raise Unsent(f"the PDS {fault}") from fault
        if answer.status == 401 or (answer.status == 400 and _error(answer) in _LAPSED):
            self._session = None
        return answer

    async def _sign_in(self) -> _Session:
        did, pds = await self._find()
        body = {"identifier": did, "password": self._config.forward_password}
        try:
            answer = await self._post(pds, _SESSION, body, {})
        except FetchError as fault:
            raise Unsent(f"the account could not sign in: its PDS {fault}", account=True) from fault
        said = _object(answer.body)
        token = said.get("accessJwt")
        good = isinstance(token, str) and token.isascii() and token.isprintable()
        if answer.status != 200 or said.get("did") != did or not good:
            raise Unsent(f"the account could not sign in: its PDS answered {_told(answer)}", account=True)
        return _Session(pds, str(token))

    async def _find(self) -> tuple[str, str]:
        """The account's DID, and its PDS."""
        name = self._config.forward_account
        try:
            did = name if is_did(name) else await self._did_of(name)
            document = await self._resolver.resolve(did, max_stale=STALE_FOR_ACTS)
        except FetchError as fault:
            raise Unsent(f"the account could not be looked up: the AppView {fault}", account=True) from fault
        except DidError as error:
            raise Unsent("the account could not be looked up: its DID has no document now", account=True) from error
        if not is_did(name) and document.handle != name:
            raise Unsent("the account's DID document has another handle", account=True)
        if document.pds is None:
            raise Unsent("the account's DID document names no PDS", account=True)
        parts = urlsplit(document.pds)
        if parts.scheme != "https" and parts.hostname not in self._config.egress_allow:
            raise Unsent("the account's PDS would get its password unencrypted", account=True)
        return did, document.pds

    async def _did_of(self, handle: str) -> str:
        query = urlencode({"handle": handle})
        url = f"{self._config.appview_url}/xrpc/com.atproto.identity.resolveHandle?{query}"
        said = await fetch_json(self._http, url, timeout=TIMEOUT)
        did = said.get("did") if isinstance(said, dict) else None
        if not isinstance(did, str) or not is_did(did):
            raise FetchError("did not answer resolveHandle as the lexicon says", 200)
        return did

    async def _post(self, pds: str, method: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> HttpAnswer:
        return await post_json(self._http, f"{pds}/xrpc/{method}", body, headers=headers, timeout=TIMEOUT)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _number(body: bytes) -> int | None:
    number = _object(body).get("id")
    return number if type(number) is int and 0 <= number < 1 << 63 else None


def _error(answer: HttpAnswer) -> str:
    """The name of an error, if it looks like one."""
    name = _object(answer.body).get("error")
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""


def _told(answer: HttpAnswer) -> str:
    return f"{answer.status} {_error(answer)}".strip()
