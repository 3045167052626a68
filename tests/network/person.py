"""An account on the real PDS and what its owner does there: plain XRPC over HTTP, as any client speaks it."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tests.service_process import PATIENCE


class XrpcFailure(Exception):
    """An answer that was not 200: its status, and `error` and `message` of its body."""

    def __init__(self, nsid: str, status: int, name: str, message: str) -> None:
        super().__init__(f"{nsid}: {status} {name}: {message}")
        self.status = status
        self.name = name


def xrpc(
    server: str,
    nsid: str,
    params: Mapping[str, str | int] | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    procedure: bool = False,
) -> Any:
    """Call a method of `server` (its URL): a procedure when it says so or has a body. Raises XrpcFailure."""
    url = f"{server}/xrpc/{nsid}"
    if params:
        url += "?" + urllib.parse.urlencode(params)
    data = None if body is None else json.dumps(body).encode()
    sent = dict(headers or {}) | ({} if body is None else {"content-type": "application/json"})
    try:
        request = urllib.request.Request(url, data, sent, method="POST" if procedure or data else "GET")
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        try:
            said = json.loads(text)
        except ValueError:
            said = {"error": "(no JSON)", "message": text.decode(errors="replace")}
        raise XrpcFailure(nsid, error.code, said.get("error", ""), said.get("message", "")) from None
    return json.loads(text) if text else {}


def now() -> str:
    """This moment as a datetime of the lexicons."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Person:
    """Somebody with an account. `signing_key` is the private key of the repository, 32 bytes."""

    did: str
    handle: str
    password: str
    pds: str
    access: str
    signing_key: bytes

    @classmethod
    def of(cls, account: Mapping[str, str], pds: str) -> "Person":
        """From an account as the box describes it."""
        key = bytes.fromhex(account["signingKey"])
        return cls(account["did"], account["handle"], account["password"], pds, account["accessJwt"], key)

    def ask(self, nsid: str, proxy: str = "", **params: str | int) -> Any:
        """A query to the PDS, or to the service `proxy` (DID and fragment), to which it passes it on; the AppView is
        asked without.
        """
        return xrpc(self.pds, nsid, params, None, self._headers(proxy))

    def do(self, nsid: str, proxy: str = "", **body: Any) -> Any:
        """A procedure of the PDS, or of the service `proxy` (DID and fragment), to which it passes it on."""
        return xrpc(self.pds, nsid, None, body, self._headers(proxy))

    def _headers(self, proxy: str = "") -> dict[str, str]:
        return {"authorization": f"Bearer {self.access}"} | ({"atproto-proxy": proxy} if proxy else {})

    def with_app_password(self) -> "Person":
        """The same person signed in with an app password, which may less than the main one."""
        secret = self.do("com.atproto.server.createAppPassword", name=f"another client {now()}")["password"]
        body = {"identifier": self.handle, "password": secret}
        session = xrpc(self.pds, "com.atproto.server.createSession", None, body)
        return replace(self, password=secret, access=session["accessJwt"])

    def activate(self) -> None:
        """Make the deactivated account active again. This procedure refuses any body, also an empty object."""
        xrpc(self.pds, "com.atproto.server.activateAccount", None, None, self._headers(), procedure=True)

    def create(self, collection: str, **record: Any) -> dict[str, str]:
        """A record in the repository: its uri and cid."""
        value = {"$type": collection, "createdAt": now()} | record
        made = self.do("com.atproto.repo.createRecord", repo=self.did, collection=collection, record=value)
        return {"uri": made["uri"], "cid": made["cid"]}

    def put(self, collection: str, rkey: str, **record: Any) -> dict[str, str]:
        """A record under a key of the writer's choice: its uri and cid. One that stands there is replaced."""
        value = {"$type": collection, "createdAt": now()} | record
        made = self.do("com.atproto.repo.putRecord", repo=self.did, collection=collection, rkey=rkey, record=value)
        return {"uri": made["uri"], "cid": made["cid"]}

    def upload(self, content: bytes, mime: str) -> dict[str, Any]:
        """A blob on the PDS, for a record to name."""
        request = urllib.request.Request(
            f"{self.pds}/xrpc/com.atproto.repo.uploadBlob", content, self._headers() | {"content-type": mime}
        )
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as answer:
            blob: dict[str, Any] = json.load(answer)["blob"]
        return blob

    def post(self, text: str, *tags: str, **record: Any) -> dict[str, str]:
        """A post with `tags` as hashtags in its text, marked by facets as clients do."""
        facets = []
        for tag in tags:
            start = len(f"{text} ".encode())
            text = f"{text} #{tag}"
            index = {"byteStart": start, "byteEnd": len(text.encode())}
            facets.append({"index": index, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": tag}]})
        return self.create("app.bsky.feed.post", text=text, facets=facets, **record)

    def delete(self, uri: str) -> None:
        """Delete a record by its uri."""
        _, _, _, collection, rkey = uri.split("/")
        self.do("com.atproto.repo.deleteRecord", repo=self.did, collection=collection, rkey=rkey)

    def feed(self, feed: str, limit: int = 50) -> list[dict[str, Any]]:
        """The hydrated posts of a feed's first page, asked of the AppView through the PDS."""
        page = self.ask("app.bsky.feed.getFeed", feed=feed, limit=limit)
        return [item["post"] for item in page["feed"]]

    def pages(self, feed: str, limit: int) -> Iterator[list[str]]:
        """The post URIs of a feed, page by page, to its end."""
        cursor: dict[str, str] = {}
        while True:
            page = self.ask("app.bsky.feed.getFeed", feed=feed, limit=limit, **cursor)
            yield [item["post"]["uri"] for item in page["feed"]]
            if "cursor" not in page:
                return
            cursor = {"cursor": page["cursor"]}

    def service_token(self, audience: str, method: str) -> str:
        """A service token, signed by the PDS with the key of the account."""
        answer = self.ask("com.atproto.server.getServiceAuth", aud=audience, lxm=method)
        return str(answer["token"])
