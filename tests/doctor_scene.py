"""A service in good health, and its world, for the tests of `communities doctor` to harm."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from models.database import open_database
from service import doctor, publish
from service.checkup import Finding
from service.config import Config, read_config
from tests.world import Account, World
from xrpc.auth import ServiceAuth
from xrpc.errors import XrpcError, error_response
from xrpc.resolver import DidResolver

DID = "did:web:feeds.example.org"
SKELETON = "/xrpc/app.bsky.feed.getFeedSkeleton"
DESCRIBE = "/xrpc/app.bsky.feed.describeFeedGenerator"
HEALTH = "/xrpc/_health"
DOCUMENT = "/.well-known/did.json"
APPVIEW = "/xrpc/app.bsky.feed.getFeedGenerator"
RULES = """
[[community]]
slug = "cats"
name = "Cats"
include.hashtags = ["cats"]

[[community]]
slug = "dogs"
name = "Dogs"
include.hashtags = ["dogs"]
"""

Capture = pytest.CaptureFixture[str]
Examine = Callable[..., Awaitable[Finding]]
Answer = Callable[[web.Request], web.Response]


class Door:
    """A service in good health that also stands in for the AppView; a test replaces one of its `answers`."""

    def __init__(self, publisher: str, auth: ServiceAuth) -> None:
        self.url = ""
        self.posts = [f"at://{publisher}/app.bsky.feed.post/{number:04}" for number in range(25)]
        self.answers: dict[str, Answer] = {
            DOCUMENT: self._document,
            DESCRIBE: self._describe,
            SKELETON: self._skeleton,
            HEALTH: lambda _: web.json_response(health()),
            APPVIEW: self._view,
        }
        self._uris = [f"at://{publisher}/app.bsky.feed.generator/{slug}" for slug in ("cats", "dogs")]
        self._auth = auth

    async def answer(self, request: web.Request) -> web.Response:
        try:
            await self._auth.verify(request.headers.getall("Authorization", []), request.path.rsplit("/", 1)[1])
        except XrpcError as error:
            return error_response(error)
        return self.answers[request.path](request)

    def _document(self, _: web.Request) -> web.Response:
        return web.json_response(did_json())

    def _describe(self, _: web.Request) -> web.Response:
        return web.json_response({"did": DID, "feeds": [{"uri": uri} for uri in self._uris]})

    def _view(self, request: web.Request) -> web.Response:
        if request.query["feed"] not in self._uris:
            return web.json_response({"error": "InvalidRequest", "message": "no such feed"}, status=400)
        return web.json_response({"view": {"did": DID}, "isOnline": True, "isValid": True})

    def _skeleton(self, request: web.Request) -> web.Response:
        start, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        body: dict[str, Any] = {"feed": [{"post": post} for post in self.posts[start : start + limit]]}
        if start + limit < len(self.posts):
            body["cursor"] = str(start + limit)
        return web.json_response(body)


def did_json(**service: str) -> dict[str, Any]:
    entry = {"id": "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": "https://feeds.example.org"}
    methods = {"id": "#communities", "type": "CommunitiesService", "serviceEndpoint": "https://feeds.example.org"}
    return {"@context": ["https://www.w3.org/ns/did/v1"], "id": DID, "service": [entry | service, methods]}


def health(**changed: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    state = {"cursor": 42, "lagSeconds": 0.2, "lastEventAt": now, "source": "wss://relay.example", "state": "reading"}
    return state | changed


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]], **how: Any) -> AsyncIterator[str]:
    """A server on a free port that answers every request so; `how` goes to aiohttp's TCPSite."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, **how).start()
    try:
        yield f"{'https' if how else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Scene(NamedTuple):
    world: World
    publisher: Account
    door: Door
    settings: dict[str, str]

    def config(self, **changed: str) -> Config:
        return read_config({f"COMMUNITIES_{key.upper()}": value for key, value in (self.settings | changed).items()})


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    (tmp_path / "communities.toml").write_text(RULES, encoding="utf-8")
    (tmp_path / "data").mkdir()
    open_database(tmp_path / "data" / "communities.db").close()
    async with World(seed=11) as world, aiohttp.ClientSession() as session:
        publisher = world.account("publisher")
        resolver = DidResolver(session, world.plc_url, allow=("127.0.0.1",))
        door = Door(publisher.did, ServiceAuth(resolver, frozenset({DID})))
        async with served(door.answer) as door.url:
            settings = {
                "hostname": "feeds.example.org",
                "publisher_did": publisher.did,
                "rules": str(tmp_path / "communities.toml"),
                "data": str(tmp_path / "data"),
                "plc_url": world.plc_url,
                "pds_url": world.pds_url,
                "appview_url": door.url,
                "handle": publisher.handle,
                "app_password": publisher.password,
                "egress_allow": "127.0.0.1",
                "privacy_url": "https://feeds.example.org/privacy",
                "terms_url": "https://feeds.example.org/terms",
            }
            scene = Scene(world, publisher, door, settings)
            asked = argparse.Namespace(slugs=[], dry_run=False, take_over=False, json=True)
            assert await asyncio.to_thread(publish.run, scene.config(), asked) == 0
            yield scene
        await resolver.close()


async def command(config: Config, *words: str) -> int:
    """Run the command as the command line does, in a thread, since this one serves what it asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    doctor.arguments(parser)
    return await asyncio.to_thread(doctor.run, config, parser.parse_args(words))


@pytest.fixture
def examine(scene: Scene, capsys: Capture) -> Examine:
    """`await examine(check, **settings)`: the finding of one check, from the command's --json."""

    async def examine(check: str, *, public: bool = False, **settings: str) -> Finding:
        capsys.readouterr()
        where = () if public else ("--url", scene.door.url)
        code = await command(scene.config(**settings), "--json", "--only", check, *where)
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry.pop("check") == check
        finding = Finding(**entry)
        assert code == (1 if finding.status == "fail" else 0)
        assert bool(finding.fix) == (finding.status in ("warn", "fail"))
        return finding

    return examine
