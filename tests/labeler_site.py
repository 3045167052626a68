"""A labeler's world for the tests of `communities labeler`: account, directory, PDS, database, and a server that stands
in for the service and the AppView and can be harmed.
"""

import argparse
import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coincurve
import pytest
from aiohttp import WSMsgType, web
from cbrrr import decode_dag_cbor, encode_dag_cbor

from labeler.label import Label, sign, to_json
from labeler.labels_file import read_labels
from labeler.signing_key import KeyRing, Signer, signers
from models import labelers
from models.database import open_database, sql, writing
from service import labeler as command_module
from service.config import Config, read_config
from tests.doctor_scene import served
from tests.world import Account, World

PASSPHRASE = "canary passphrase 1234"
METADATA = "/.well-known/ozone-metadata.json"
QUERY = "/xrpc/com.atproto.label.queryLabels"
STREAM = "/xrpc/com.atproto.label.subscribeLabels"
SERVICES = "/xrpc/app.bsky.labeler.getServices"
POSTS = "/xrpc/app.bsky.feed.getPosts"
FRAME = bytes.fromhex("a2617467236c6162656c73626f7001")
VOCABULARY = """
[[labeler]]
did = "{did}"
endpoint = "{endpoint}"

[[labeler.label]]
value = "spoiler"
severity = "inform"
blurs = "content"

[labeler.label.locales.en]
name = "Spoiler"
description = "Tells the end."

[[labeler.label]]
value = "test"
severity = "none"
blurs = "none"

[labeler.label.locales.en]
name = "Test"
description = "Means nothing."
"""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """The parts. `answers`: what the server says by path; a test replaces one. `hosts`: whom it was asked as."""

    world: World
    account: Account
    folder: Path
    url: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    accepting: bool = True

    def config(self, **changed: str) -> Config:
        return read_config({f"COMMUNITIES_{key.upper()}": value for key, value in (self.settings | changed).items()})

    def declare(self, *, extra: str = "", endpoint: str = "") -> None:
        text = VOCABULARY.format(did=self.account.did, endpoint=endpoint or self.url) + extra
        (self.folder / "labels.toml").write_text(text, encoding="utf-8")

    async def run(self, *words: str, **changed: str) -> int:
        """The command as the command line has it, in a thread, since this one serves what it asks."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        command_module.arguments(parser)
        args = parser.parse_args(words)
        return await asyncio.to_thread(command_module.run, self.config(**changed), args)

    async def set_up(self) -> None:
        """A key in the document, in one step."""
        await self.run("init")
        (_, code) = self.world.pds.identity.mails[-1]
        assert await self.run("init", "--token", code) == 0

    def label_keys(self) -> list[tuple[str, str]]:
        """The keys of the labeler as (state, public form), the oldest first."""
        with_rows = open_database(self.folder / "data" / "communities.db")
        try:
            labeler = labelers.find(sql(with_rows), self.account.did)
            return [(key.state, key.public) for key in labelers.keys(sql(with_rows), labeler or 0)]
        finally:
            with_rows.close()

    def signer(self) -> Signer:
        database = open_database(self.folder / "data" / "communities.db")
        try:
            (one,) = signers(
                sql(database), read_labels(self.folder / "labels.toml").labelers, KeyRing(PASSPHRASE)
            ).values()
            return one
        finally:
            database.close()

    def publish(self, count: int, *, key: coincurve.PrivateKey | None = None, **fields: Any) -> None:
        """Labels as the publisher leaves them."""
        signer = self.signer()
        database = open_database(self.folder / "data" / "communities.db")
        with writing(database) as connection:
            first = labelers.last_seq(connection, signer.labeler) + 1
            for seq in range(first, first + count):
                uri = f"at://did:plc:{'b' * 24}/app.bsky.feed.post/{seq}"
                label = Label(signer.src, uri, "", "spoiler", neg=False, cts=1_700_000_000_000 + seq)._replace(**fields)
                insert(connection, seq, signer.labeler, signer.key_id, label, sign(key or signer.key, label))
        database.close()

    def stored(self) -> list[tuple[int, bytes]]:
        """The labels that stand, by seq."""
        database = open_database(self.folder / "data" / "communities.db")
        try:
            return list(sql(database).execute("SELECT seq, signed FROM label ORDER BY seq"))
        finally:
            database.close()


def insert(connection: Any, seq: int, labeler: int, key: int, label: Label, signed: bytes) -> None:
    connection.execute(
        "INSERT INTO label (seq, labeler, did, uri, cid, val, neg, cts, exp, label_key, event, signed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (seq, labeler, label.uri[5:].partition("/")[0], label.uri, label.cid, label.val, label.neg, label.cts,
         label.exp, key, signed),
    )  # fmt: skip


class Server:
    """The labeler's server and the AppView, from the rows."""

    def __init__(self, site: Site) -> None:
        self.site = site
        site.answers |= {
            METADATA: self.metadata, QUERY: self.query, STREAM: self.stream, SERVICES: self.services, POSTS: self.posts,
            "/xrpc/_health": self.health,
        }  # fmt: skip

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.site.hosts.append(request.headers.get("Host", ""))
        return await self.site.answers[request.path](request)

    async def health(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"version": "0"})

    async def metadata(self, request: web.Request) -> web.StreamResponse:
        active = [public for state, public in self.site.label_keys() if state == "active"]
        told = {"did": self.site.account.did, "url": self.site.url, "publicKey": (active or [""])[0]}
        return web.json_response(told)

    async def query(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query["uriPatterns"]
        labels = [to_json(signed) for _, signed in self.site.stored()]
        return web.json_response({"labels": [label for label in labels if label["uri"] == wanted]})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        for seq, signed in self.site.stored():
            if seq > int(request.query["cursor"]):
                await socket.send_bytes(FRAME + encode_dag_cbor({"seq": seq, "labels": [decode_dag_cbor(signed)]}))
        async for message in socket:
            if message.type == WSMsgType.CLOSE:
                break
        return socket

    async def services(self, request: web.Request) -> web.StreamResponse:
        found = self.site.account.repo.record("app.bsky.labeler.service/self")
        views = [{"creator": {"did": self.site.account.did}, "policies": found[1]["policies"]}] if found else []
        return web.json_response({"views": views})

    async def posts(self, request: web.Request) -> web.StreamResponse:
        accepted = request.headers.get("atproto-accept-labelers", "") if self.site.accepting else ""
        labels = [to_json(signed) for _, signed in self.site.stored()]
        uri = request.query["uris"]
        shown = [one for one in labels if one["uri"] == uri and one["src"] == accepted and not one.get("neg")]
        answer = {"posts": [{"uri": uri, "labels": shown}]}
        return web.json_response(answer, headers={"atproto-content-labelers": accepted})


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """All in good health; no key yet. Sealing is cheap, and nobody sits at a terminal."""
    monkeypatch.setattr("labeler.signing_key._COST", 1)
    monkeypatch.setattr("service.labeler_account._POLL", 0.02)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    async with World(seed=23) as world:
        site = Site(world, world.account("labels"), tmp_path)
        async with served(Server(site).answer) as site.url:
            site.settings = {
                "data": str(tmp_path / "data"),
                "labels": str(tmp_path / "labels.toml"),
                "rules": str(tmp_path / "communities.toml"),
                "plc_url": world.plc_url,
                "pds_url": world.pds_url,
                "appview_url": site.url,
                "egress_allow": "127.0.0.1",
                "handle": site.account.handle,
                "app_password": site.account.password,
                "labeler_passphrase": PASSPHRASE,
            }
            site.declare()
            yield site


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command printed as JSON."""
    return json.loads(capsys.readouterr().out)
