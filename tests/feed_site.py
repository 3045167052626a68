"""The service's own web app on a free port, in a thread, with a real directory of DIDs beside it; and a writer that
puts posts into its database through the real index, on a connection of its own, as the ingest process does.
"""

import asyncio
import http.client
import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from cbrrr import encode_dag_cbor

from communities.community import Community, Include
from communities.members import intern_actor
from communities.post import read_post
from communities.ranking import SORTS
from communities.refs import cid_text
from firehose.events import Account as AccountEvent
from firehose.in_force import InForce
from firehose.index import Index
from firehose.ops import LIKE, REPOST, Commit, Delete, PutEngagement, PutPost
from firehose.rules import Rules
from models import meta
from models.communities import REVISION
from models.database import open_database, sql, writing
from service.config import Config, read_config
from service.wiring import serving
from tests.didnet import Account, DidNet, plc

T = TypeVar("T")

HOST = "feeds.example.com"
SERVICE = f"did:web:{HOST}"
PUBLISHER = plc(900)
SKELETON = "app.bsky.feed.getFeedSkeleton"
INTERACTIONS = "app.bsky.feed.sendInteractions"
DAY = 86_400_000_000
NOW = time.time_ns() // 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RULES = """
[[community]]
slug = "python"
name = "Python"
include.hashtags = ["python"]

[[community]]
slug = "rust"
name = "Rust"
include.hashtags = ["rust"]
require.languages = ["de"]
"""


def feed_uri(slug: str, owner: int | None = None) -> str:
    """The URI of a community's feed: of one that the file declares, or that account `owner` does."""
    return f"at://{PUBLISHER if owner is None else plc(owner)}/app.bsky.feed.generator/{slug}"


def iso(micros: int) -> str:
    """A datetime with all six digits."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must say that it is JSON."""
        assert self.headers["Content-Type"].startswith("application/json"), (self.status, self.body)
        return json.loads(self.body)

    @property
    def fault(self) -> tuple[int, str]:
        """Status and error name of an error, whose body must have exactly the two keys."""
        assert self.json.keys() == {"error", "message"} and all(self.json.values()), self.body
        return self.status, self.json["error"]

    @property
    def posts(self) -> list[str]:
        """The URIs of a page."""
        assert self.status == 200, self.body
        return [item["post"] for item in self.json["feed"]]

    @property
    def cursor(self) -> str | None:
        """The cursor of a page."""
        found: str | None = self.json.get("cursor")
        return found


class Site:
    """The app. Every request goes over a real connection, which is kept."""

    def __init__(self, config: Config, net: DidNet, loop: asyncio.AbstractEventLoop, port: int, side: int) -> None:
        self.config = config
        self.net = net
        self.port = port
        self.metrics_port = side
        self._loop = loop
        self._kept = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close the connections of every thread."""
        for connection in self._connections:
            connection.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the app's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Reply:
        """One request with exactly this target."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is None:
            kept = self._kept.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self._connections.append(kept)
        kept.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            kept.putheader(name, value)
        if body is not None:
            kept.putheader("Content-Length", str(len(body)))
        kept.endheaders(body)
        answer = kept.getresponse()
        data = answer.read()
        if answer.will_close:
            kept.close()
            del self._kept.connection
        return Reply(answer.status, answer.headers, data)

    def ask(self, query: str, *authorization: str, method: str = SKELETON) -> Reply:
        """GET the method with a raw query string."""
        headers = [("Authorization", value) for value in authorization]
        return self.request("GET", f"/xrpc/{method}?{query}", headers=headers)

    def page(self, slug: str = "python", *authorization: str, **params: Any) -> Reply:
        """A page of a feed: by its record key, or its whole URI."""
        given = "".join(f"&{name}={quote(str(value), safe='')}" for name, value in params.items() if value is not None)
        return self.ask(f"feed={slug if slug.startswith('at://') else feed_uri(slug)}{given}", *authorization)

    def pages(self, slug: str = "python", limit: int = 50) -> Iterator[Reply]:
        """Every page, one after the other."""
        cursor: str | None = None
        while True:
            reply = self.page(slug, limit=limit, cursor=cursor)
            yield reply
            cursor = reply.cursor
            if cursor is None:
                return

    def all(self, slug: str = "python", limit: int = 50) -> list[str]:
        """Every URI that paging gives."""
        return [uri for reply in self.pages(slug, limit) for uri in reply.posts]

    def send(self, body: Any, token: str = "", headers: Sequence[tuple[str, str]] = ()) -> Reply:
        """POST sendInteractions; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = dict(headers)
        sent = [*headers, *([("Authorization", f"Bearer {token}")] if token else [])]
        if "Content-Type" not in given:
            sent.append(("Content-Type", "application/json"))
        return self.request("POST", f"/xrpc/{INTERACTIONS}", data, [(name, value) for name, value in sent if value])

    def metrics(self) -> str:
        """The text of /metrics, from its own listener."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def account(self, number: int = 1, alg: str = "ES256K") -> Account:
        """An account that the directory knows."""
        return self.net.publish(Account(plc(number), alg))


def token(account: Account, lxm: str = SKELETON, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """A fresh token of an account for us; `claims` change it, None leaves one out."""
    now = int(time.time())
    jti = f"{next(_jtis)}"
    return account.token({"aud": SERVICE, "lxm": lxm, "exp": now + 60, "iat": now, "jti": jti, **claims}, header)


_jtis = itertools.count()


def make_config(folder: Path, **settings: str) -> Config:
    """The configuration of a site in `folder`."""
    given = {
        "hostname": HOST,
        "publisher_did": PUBLISHER,
        "data": str(folder / "data"),
        "rules": str(folder / "communities.toml"),
        "listen_port": "0",
        "metrics_port": "0",
        "egress_allow": "localhost",
    }
    return read_config({f"COMMUNITIES_{name.upper()}": value for name, value in (given | settings).items()})


@contextmanager
def site(folder: Path, clock: Callable[[], float] = time.time, **settings: str) -> Iterator[Site]:
    """The app over the database in `folder`, and a directory. `{net}` in a setting is where the directory is."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="site")
    thread.start()
    stack = AsyncExitStack()

    async def start() -> Site:
        net = await stack.enter_async_context(DidNet())
        given = {name: value.replace("{net}", net.url) for name, value in settings.items()}
        config = make_config(folder, plc_url=net.url, **given)
        door, side, _ = await stack.enter_async_context(serving(config, clock=clock))
        return Site(config, net, loop, door.port, side.port)

    try:
        with closing(asyncio.run_coroutine_threadsafe(start(), loop).result(30)) as served:
            yield served
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


class Writer:
    """What the ingest process does with its database, event by event."""

    def __init__(self, config: Config, rules: str = RULES) -> None:
        self.database = open_database(config.database)
        self.connection = sql(self.database)
        self._index = Index(self.connection, 7 * DAY)
        self._path = config.rules
        self._rules = Rules(self.database, self._path)
        self._numbers = itertools.count(1)
        self.declare(rules)

    def declare(self, rules: str) -> None:
        """Declare communities anew."""
        self._path.write_text(rules, encoding="utf-8")
        self._rules.load(self._index)
        self.compile()

    def compile(self) -> None:
        """Go by what is declared now."""
        in_force = InForce(self.connection)
        in_force.load()
        self._matcher = in_force.matcher
        self._index.admissions.use(in_force.matcher, in_force.places)

    def declare_record(self, owner: int, slug: str, **rule: Any) -> str:
        """Account `owner` declares a community by a record, as ingest takes it over; returns the at-uri."""
        community = Community(slug, slug.title(), owner=plc(owner), feeds=SORTS, include=Include(hashtags=(slug,)))
        uri = f"at://{plc(owner)}/social.communities.community/{slug}"
        with writing(self.database) as connection:
            connection.execute(
                "INSERT INTO community (slug, name, description, owner, rule, declared, uri)"
                " VALUES (?, ?, '', ?, ?, 1, ?)"
                " ON CONFLICT (slug) DO UPDATE SET owner = excluded.owner, rule = excluded.rule, declared = 1,"
                " uri = excluded.uri",
                (slug, slug.title(), plc(owner), json.dumps(replace(community, **rule).to_json()), uri),
            )
            self.revise()
        self.compile()
        return uri

    def revise(self) -> None:
        """Say that the declared communities are others now. Call inside a write."""
        meta.put(self.connection, REVISION, str(int(meta.get(self.connection, REVISION) or 0) + 1))

    def member(self, number: int, slug: str, status: str = "member", role: int = 1, **more: Any) -> None:
        """Account `number` stands so to a community."""
        (community,) = self.sql("SELECT id FROM community WHERE slug = ?", slug)[0]
        with writing(self.database) as connection:
            actor = intern_actor(connection, plc(number))
            row = {
                "community": community,
                "actor": actor,
                "status": status,
                "role": role,
                "since": NOW,
                "via": "record",
            }
            row |= more
            names = ", ".join(row)
            connection.execute(
                f"INSERT OR REPLACE INTO membership ({names}) VALUES ({', '.join('?' * len(row))})", (*row.values(),)
            )

    def post(
        self,
        number: int = 1,
        *,
        at: int | None = None,
        tags: Sequence[str] = ("python",),
        rkey: str = "",
        embed: Mapping[str, Any] | None = None,
        langs: Sequence[str] = ("de",),
        text: str = "x",
        parent: str = "",
    ) -> str:
        """A post of account `number`, written at `at` (microseconds), which answers `parent`; returns its URI."""
        step = next(self._numbers)
        did, rkey = plc(number), rkey or f"p{step}"
        created = NOW - DAY + step if at is None else at
        record: Any = {"$type": "app.bsky.feed.post", "text": text, "createdAt": iso(created), "tags": list(tags)}
        record |= {"langs": list(langs)} | ({"embed": embed} if embed else {})
        if parent:
            of = {"uri": parent, "cid": cid_text(b"\x01\x71\x12\x20" + sha256(parent.encode()).digest())}
            record["reply"] = {"root": of, "parent": of}
        post = read_post(record)
        assert post is not None
        matches = self._matcher.match(did, post)
        block = encode_dag_cbor(record)
        put = PutPost(rkey, b"\x01\x71\x12\x20" + sha256(block).digest(), block, post, matches, None, None)
        self._commit(did, put, step)
        return f"at://{did}/app.bsky.feed.post/{rkey}"

    def engage(self, number: int, uri: str, kind: int = LIKE, *, at: int = NOW) -> Callable[[], None]:
        """Account `number` likes a post, or does `kind`; returns what undoes it."""
        step = next(self._numbers)
        collection = {LIKE: "app.bsky.feed.like", REPOST: "app.bsky.feed.repost"}.get(kind, "app.bsky.feed.post")
        self._commit(plc(number), PutEngagement(kind, f"e{step}", uri), step, at)
        if collection == "app.bsky.feed.post":
            return lambda: self.delete(f"at://{plc(number)}/{collection}/e{step}")
        return lambda: self._commit(plc(number), Delete(collection, f"e{step}"), next(self._numbers))

    def delete(self, uri: str) -> None:
        """Its author deletes a post."""
        did, collection, rkey = uri.removeprefix("at://").split("/")
        self._commit(did, Delete(collection, rkey), next(self._numbers))

    def _commit(self, did: str, op: PutPost | PutEngagement | Delete, step: int, at: int = NOW) -> None:
        with writing(self.database):
            self._index.commit(Commit(step, did, f"{step:013d}", iso(at), [op]), NOW)

    def hide(self, number: int, active: bool = False, status: str = "deactivated") -> None:
        """An account is deactivated, or comes back."""
        with writing(self.database):
            event = AccountEvent(next(self._numbers), plc(number), active, None if active else status)
            self._index.account(event, "ws://relay.example", NOW)

    def sql(self, statement: str, *bindings: Any) -> list[Any]:
        """Any statement, past the index."""
        with writing(self.database) as connection:
            return connection.execute(statement, bindings).fetchall()

    def clear(self) -> None:
        """Forget every post, account and pin."""
        with writing(self.database) as connection:
            for table in ("feed_item", "post", "engagement", "pin", "actor", "generation", "membership"):
                connection.execute(f"DELETE FROM {table}")
        self._index.forget()

    def close(self) -> None:
        """Close the connection."""
        self.database.close()


@contextmanager
def site_and_writer(
    folder: Path,
    rules: str = RULES,
    clock: Callable[[], float] = time.time,
    **settings: str,
) -> Iterator[tuple[Site, Writer]]:
    """Both, over one database."""
    with site(folder, clock, **settings) as served:
        writer = Writer(served.config, rules)
        try:
            yield served, writer
        finally:
            writer.close()
