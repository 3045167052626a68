"""The publisher's session on its PDS: sign in, read and write records, upload a blob, get a service token.

The published SDK (`atproto`) supplies the session and the HTTP requests. It is imported inside functions,
because its import costs a second that `--help` and the servers should not pay. Records stay the JSON dicts
they are on the wire: the SDK's models drop nulls and may refuse what they do not know. Every failure
becomes a `PdsError` that says what happened, where, and what to do.

The app password goes to COMMUNITIES_PDS_URL and nowhere else: redirects are refused, proxies of the
environment are ignored (S117), and plain http is refused unless the host is this machine or in
COMMUNITIES_EGRESS_ALLOW (S110).
"""

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from service.config import Config

TIMEOUT = 15.0
"""Seconds that one request may take to connect, and between two pieces of its answer."""
PAGES = 100
"""Pages of 100 records that listing a collection reads at most."""

_NO_PDS = "is COMMUNITIES_PDS_URL really the address of a PDS?"
_ADVICE = {
    "AuthenticationRequired": "check COMMUNITIES_HANDLE, and make a new COMMUNITIES_APP_PASSWORD",
    "AuthFactorTokenRequired": "COMMUNITIES_APP_PASSWORD is the main password; make an app password",
    "AccountTakedown": "the PDS has suspended this account; ask the operator of the PDS",
    "InvalidSwap": "somebody else changed the record meanwhile; run the command again",
    "RateLimitExceeded": "wait some minutes and run the command again",
    "ExpiredToken": "run the command again",
}


class PdsError(Exception):
    """A call to the PDS failed; the message says what, where and what to do.

    `name` is the error name of the lexicon and `status` the HTTP status: empty and 0 when no answer came.
    """

    def __init__(self, message: str, name: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.name = name
        self.status = status


class SignInError(PdsError):
    """The settings do not allow to sign in as the publisher."""


class PdsSession:
    """A signed-in account, to be used as a context manager. It blocks: async code calls it in a thread."""

    def __init__(self, client: Any, url: str, did: str) -> None:
        self._client = client
        self.url = url
        self.did = did

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the tokens of the session lapse by themselves."""
        self._client.request.close()

    def list_records(self, collection: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every record of a collection of this account, as (rkey, cid, value)."""
        params = {"repo": self.did, "collection": collection, "limit": "100"}
        for _ in range(PAGES):
            page = self._query("com.atproto.repo.listRecords", params)
            records = page.get("records")
            if not isinstance(records, list):
                raise PdsError(f"{self.url}: the list of records is missing in the answer; {_NO_PDS}")
            for record in records:
                rkey = self._text(record, "uri").rpartition("/")[2]
                yield rkey, self._text(record, "cid"), self._object(record, "value")
            cursor = page.get("cursor")
            if not records or not isinstance(cursor, str):
                return
            params["cursor"] = cursor
        raise PdsError(f"{self.url}: {self.did} has more than {PAGES * 100:,} records of {collection}")

    def put_record(self, collection: str, rkey: str, record: Mapping[str, Any], swap: str | None) -> str:
        """Write a record and return its CID.

        `swap` is the CID of the record that must stand there now; None means that none may. Raises PdsError
        named InvalidSwap when that does not hold any more.
        """
        body = {
            "repo": self.did,
            "collection": collection,
            "rkey": rkey,
            "record": record,
            "swapRecord": swap,
        }
        return self._text(self._procedure("com.atproto.repo.putRecord", body), "cid")

    def delete_record(self, collection: str, rkey: str, swap: str) -> None:
        """Delete a record if its CID still is `swap`."""
        body = {"repo": self.did, "collection": collection, "rkey": rkey, "swapRecord": swap}
        self._procedure("com.atproto.repo.deleteRecord", body)

    def upload_blob(self, content: bytes, mime: str) -> dict[str, Any]:
        """Upload bytes and return the blob object to put into a record."""
        return self._object(self._post("com.atproto.repo.uploadBlob", content, mime), "blob")

    def service_token(self, audience: str, method: str) -> str:
        """A short-lived token for one call of `method` of the service whose DID is `audience`."""
        params = {"aud": audience, "lxm": method}
        return self._text(self._query("com.atproto.server.getServiceAuth", params), "token")

    def call(self, nsid: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call a procedure: the JSON value of the answer, None when it has none. `body`: None when it has no input."""
        url = f"{self.url}/xrpc/{nsid}"
        sent = {} if body is None else {"json": body}
        with _failures(nsid, self.url):
            return self._client.request.post(url, **sent).content or None

    def _query(self, nsid: str, params: Mapping[str, str]) -> dict[str, Any]:
        url = f"{self.url}/xrpc/{nsid}"
        return _call(nsid, self.url, lambda: self._client.request.get(url, params=params))

    def _procedure(self, nsid: str, body: Mapping[str, Any]) -> dict[str, Any]:
        # As it is: escaped, a text in another script than ours would be of twice the size, and a record has a limit.
        return self._post(nsid, json.dumps(body, ensure_ascii=False).encode("utf-8"), "application/json")

    def _post(self, nsid: str, content: bytes, mime: str) -> dict[str, Any]:
        url, headers = f"{self.url}/xrpc/{nsid}", {"Content-Type": mime}
        return _call(nsid, self.url, lambda: self._client.request.post(url, content=content, headers=headers))

    def _text(self, answer: Any, key: str) -> str:
        value = answer.get(key) if isinstance(answer, Mapping) else None
        if not isinstance(value, str):
            raise PdsError(f"{self.url}: {key!r} is missing in the answer; {_NO_PDS}")
        return value

    def _object(self, answer: Any, key: str) -> dict[str, Any]:
        value = answer.get(key) if isinstance(answer, Mapping) else None
        if not isinstance(value, dict):
            raise PdsError(f"{self.url}: {key!r} is missing in the answer; {_NO_PDS}")
        return value


def sign_in(config: Config, code: str | None = None) -> PdsSession:
    """Sign in at config.pds_url as config.handle with config.app_password. `code`: what the PDS asks for beside a main
    password.

    Raises SignInError when the settings are incomplete or refused, PdsError when the PDS cannot be asked.
    """
    settings = (("COMMUNITIES_HANDLE", config.handle), ("COMMUNITIES_APP_PASSWORD", config.app_password))
    if missing := [name for name, value in settings if not value]:
        raise SignInError(f"{' and '.join(missing)} must be set to sign in at {config.pds_url}")
    _refuse_plain_http(config)

    from atproto import Client, Request  # type: ignore[import-untyped]

    hooks = {"response": [_refuse_redirect]}
    client = Client(config.pds_url, Request(timeout=TIMEOUT, trust_env=False, event_hooks=hooks))
    sessions: list[Any] = []
    client.on_session_change(lambda _event, session: sessions.append(session))
    try:
        with _failures("com.atproto.server.createSession", config.pds_url):
            client.login(config.handle, config.app_password, auth_factor_token=code, fetch_bsky_profile=False)
    except PdsError as error:
        client.request.close()
        if error.status in (400, 401, 403):
            raise SignInError(str(error), error.name, error.status) from error
        raise
    session = sessions[-1]
    return PdsSession(client, str(session.pds_endpoint).removesuffix("/xrpc"), session.did)


def sign_in_as_publisher(config: Config) -> PdsSession:
    """As `sign_in`; raises SignInError too when the account does not hold the feed records."""
    session = sign_in(config)
    if session.did == config.publisher:
        return session
    session.close()
    raise SignInError(
        f"COMMUNITIES_HANDLE={config.handle} is {session.did}, but the feed records stand in the repository "
        f"of {config.publisher}; set COMMUNITIES_PUBLISHER_DID={session.did}, or sign in as that account"
    )


def _refuse_plain_http(config: Config) -> None:
    parts = urlsplit(config.pds_url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost" or {host, parts.netloc} & set(config.egress_allow):
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise SignInError(
        f"COMMUNITIES_PDS_URL={config.pds_url} would send the app password unencrypted; use https:// "
        f"(or, for development only, set COMMUNITIES_EGRESS_ALLOW={host})"
    )


def _refuse_redirect(response: Any) -> None:
    if response.is_redirect:
        raise PdsError(
            f"{response.request.url}: redirects to {response.headers.get('location')}, which is not followed "
            "because the password would go there too; set COMMUNITIES_PDS_URL to the address of the PDS"
        )


def _call(nsid: str, url: str, request: Callable[[], Any]) -> dict[str, Any]:
    with _failures(nsid, url):
        content = request().content
    if not isinstance(content, dict):
        raise PdsError(f"{url}: {nsid}: the answer is no JSON object; {_NO_PDS}")
    return content


@contextmanager
def _failures(nsid: str, url: str) -> Iterator[None]:
    """Turn what the SDK and its HTTP client raise into PdsError."""
    from atproto.exceptions import AtProtocolError, ModelError  # type: ignore[import-untyped]
    from httpx import HTTPError

    try:
        yield
    except (ModelError, ValueError) as error:  # not the fields of a session, or no JSON
        raise PdsError(f"{url}: {nsid}: the answer is not what the lexicon says; {_NO_PDS}") from error
    except (AtProtocolError, HTTPError) as error:
        _explain(nsid, url, error)


def _explain(nsid: str, url: str, error: Exception) -> NoReturn:
    response = getattr(error, "response", None)
    if response is None:
        cause = error.__cause__ or error
        reason = str(cause) or type(cause).__name__
        raise PdsError(f"{url}: {nsid}: no answer ({reason}); check COMMUNITIES_PDS_URL and the network") from error
    name = getattr(response.content, "error", None) or ""
    message = getattr(response.content, "message", None) or ""
    if response.status_code in (404, 501):
        advice = _NO_PDS
    else:
        advice = _ADVICE.get(name, "try again later" if response.status_code >= 500 else "")
    said = " ".join(part for part in (str(response.status_code), name, message[:300]) if part)
    text = f"{url}: {nsid}: {said}" + (f"; {advice}" if advice else "")
    raise PdsError(text, name, response.status_code) from error
