"""`communities doctor` against a service, a PDS, a directory and an AppView on loopback; each check made to fail."""

import argparse
import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from models.database import open_database
from service import doctor, publish
from service.checkup import Finding, Patient
from service.config import Config, read_config
from tests.service_process import Service
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
    return {"@context": ["https://www.w3.org/ns/did/v1"], "id": DID, "service": [entry | service]}


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
def examine(scene: Scene, capsys: Capture) -> Callable[..., Awaitable[Finding]]:
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


Examine = Callable[..., Awaitable[Finding]]


async def test_a_service_in_good_health_passes(scene: Scene, capsys: Capture) -> None:
    capsys.readouterr()
    assert await command(scene.config(), "--json", "--url", scene.door.url) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["check"] for entry in found] == [check.name for check in doctor.CHECKS]
    assert all(entry.keys() == {"check", "status", "seen", "fix"} for entry in found)
    status = {entry["check"]: entry["status"] for entry in found}
    assert {name for name, said in status.items() if said == "skipped"} == {"dns", "tls"}
    assert {name for name, said in status.items() if said not in ("ok", "skipped")} == set()
    assert f"--url asks {scene.door.url}" in found[1]["seen"]


async def test_the_real_service_passes(scene: Scene, start_service: Callable[..., Service]) -> None:
    """`communities run` and `communities doctor` as an operator starts them."""
    settings = {name: text for name, text in scene.settings.items() if name not in ("rules", "data")}
    settings |= {"hostname": "feeds.example.org", "source": scene.world.relay_url}
    service = start_service(RULES, **settings)
    await scene.world.relay.connected(1)
    for number in range(15):
        seq = scene.publisher.post(f"{number} #cats #dogs").seq
    ready = lambda health: health["state"] == "reading" and (health["cursor"] or 0) >= seq  # noqa: E731
    await asyncio.to_thread(service.wait_health, ready)
    done = await asyncio.to_thread(service.command_line, "doctor", "--json", "--url", service.url)
    await asyncio.to_thread(service.stop)  # here, where this loop can still answer its farewell
    found = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert [entry for entry in found.values() if entry["status"] not in ("ok", "skipped")] == []
    assert {name for name, entry in found.items() if entry["status"] == "skipped"} == {"dns", "tls"}
    assert found["tampered"]["seen"] == "refused with BadJwtSignature"
    assert done.returncode == 0
    assert done.stderr == ""


async def test_people_read_findings_in_order_with_what_to_mend(scene: Scene, capsys: Capture) -> None:
    del scene.door.answers[DOCUMENT]
    scene.door.answers[HEALTH] = lambda _: web.json_response(health(cursor=None))
    capsys.readouterr()
    assert await command(scene.config(), "--url", scene.door.url) == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    names = [line.split()[1] for line in lines if not line.startswith(" ")]
    assert names == [check.name for check in doctor.CHECKS]
    failed = lines.index(next(line for line in lines if line.startswith("fail    ingest")))
    assert "nothing was read yet from wss://relay.example" in lines[failed]
    assert "-> see whether `communities ingest` (or `run`) is running" in lines[failed + 1]
    assert shown.err == "2 of 14 checks failed: did, ingest\n"


# Settings


@pytest.mark.parametrize(
    ("settings", "status", "seen", "fix"),
    [
        ({"hostname": "localhost:3000"}, "fail", "localhost:3000 is no name", "set COMMUNITIES_HOSTNAME"),
        ({"hostname": "192.0.2.1"}, "fail", "192.0.2.1 is no name", "set COMMUNITIES_HOSTNAME"),
        ({"publisher_did": ""}, "fail", "which has no repository", "set COMMUNITIES_PUBLISHER_DID"),
        ({"rules": "/nowhere.toml"}, "fail", "/nowhere.toml: cannot be read", "correct /nowhere.toml"),
        ({"app_password": ""}, "warn", "COMMUNITIES_APP_PASSWORD is empty", "communities publish"),
        ({"privacy_url": ""}, "warn", "COMMUNITIES_PRIVACY_URL is empty", "set COMMUNITIES_PRIVACY_URL"),
        ({"terms_url": ""}, "warn", "COMMUNITIES_TERMS_URL is empty", "set COMMUNITIES_TERMS_URL"),
    ],
)
async def test_configuration(examine: Examine, *, settings: dict[str, str], status: str, seen: str, fix: str) -> None:
    finding = await examine("configuration", **settings)
    assert finding.status == status
    assert seen in finding.seen
    assert fix in finding.fix


async def test_configuration_names_all_at_once(examine: Examine) -> None:
    finding = await examine("configuration", terms_url="", publisher_did="", hostname="localhost")
    assert finding.status == "fail"
    assert finding.seen.count(";") == 2


@pytest.mark.parametrize("check", ["records", "skeleton", "signed", "tampered", "appview"])
async def test_checks_of_feeds_say_that_they_were_not_run_without_a_declaration(examine: Examine, check: str) -> None:
    finding = await examine(check, rules="/nowhere.toml")
    assert finding == Finding("skipped", "no community is declared")


# Names


async def test_dns(examine: Examine) -> None:
    assert (await examine("dns", public=True, hostname="8.8.8.8")).status == "ok"
    private = await examine("dns", public=True, hostname="localhost")
    assert private.status == "fail"
    assert "127.0.0.1, which the network cannot reach" in private.seen
    absent = await examine("dns", public=True, hostname="feeds.invalid")
    assert absent.status == "fail"
    assert "feeds.invalid does not resolve" in absent.seen


# A name of this machine that is neither `localhost` nor an address as TLS understands it.
HERE = "127.1"


def certificate(folder: Path, days: int, name: str) -> ssl.SSLContext:
    """A server's TLS context with a self-signed certificate, which also stands alone in `folder`/ca.pem."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=99))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(
    ("days", "name", "trusted", "status", "seen"),
    [
        (60, HERE, True, "ok", "good for 60 days"),
        (5, HERE, True, "warn", "ends in 5 days"),
        (-3, HERE, True, "fail", "certificate has expired"),
        (60, "other.example.org", True, "fail", "Hostname mismatch"),
        (60, HERE, False, "fail", "self-signed certificate"),
    ],
)
async def test_tls(
    *,
    scene: Scene,
    examine: Examine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    name: str,
    trusted: bool,
    status: str,
    seen: str,
) -> None:
    context = certificate(tmp_path, days, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with served(scene.door.answer, ssl_context=context) as url:
        finding = await examine("tls", public=True, hostname=f"{HERE}:{url.rpartition(':')[2]}")
    assert finding.status == status
    assert seen in finding.seen


async def test_tls_of_what_speaks_none(scene: Scene, examine: Examine) -> None:
    port = scene.door.url.rpartition(":")[2]
    finding = await examine("tls", public=True, hostname=f"{HERE}:{port}")
    assert finding.status == "fail"
    assert "does not speak TLS" in finding.seen
    development = await examine("tls", public=True, hostname=f"localhost:{port}")
    assert development == Finding("skipped", f"http://localhost:{port} is this machine itself, without TLS")
    closed = await examine("tls", public=True, hostname=f"{HERE}:9")
    assert closed.status == "fail"
    assert "Connection refused" in closed.seen


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (lambda _: web.Response(status=404), "answered 404, no DID document"),
        (lambda _: web.Response(text="<html>"), "answered 200, no DID document"),
        (lambda _: web.json_response(did_json() | {"id": "did:web:x.org"}), "document of did:web:x.org, not of"),
        (lambda _: web.json_response({"id": DID}), "has no service #bsky_fg"),
        (lambda _: web.json_response({"id": DID, "service": [7, {"id": "#other"}]}), "has no service #bsky_fg"),
        (lambda _: web.json_response(did_json(type="Feed")), "is of type Feed"),
        (lambda _: web.json_response(did_json(serviceEndpoint="https://old.org")), "endpoint https://old.org"),
        (lambda _: web.Response(status=302, headers={"Location": "/"}), "answered 302"),
    ],
)
async def test_did(scene: Scene, examine: Examine, answer: Answer, seen: str) -> None:
    scene.door.answers[DOCUMENT] = answer
    finding = await examine("did")
    assert finding.status == "fail"
    assert seen in finding.seen


async def test_did_plc(scene: Scene, examine: Examine) -> None:
    service = scene.world.account("service")
    finding = await examine("did", service_did=service.did)
    assert (finding.status, "has no service #bsky_fg" in finding.seen) == ("fail", True)
    entry = did_json()["service"][0] | {"id": f"{service.did}#bsky_fg"}
    scene.world.plc.overrides[service.did] = service.document | {"service": [entry]}
    assert (await examine("did", service_did=service.did)).status == "ok"
    scene.world.plc.failing = 500
    assert "answered 500" in (await examine("did", service_did=service.did)).seen


# Records


async def test_records(scene: Scene, examine: Examine) -> None:
    assert (await examine("records")).status == "ok"
    cats = scene.publisher.read("app.bsky.feed.generator/cats")
    kept = scene.publisher.update(cats, {"displayName": "Old name"})
    stale = await examine("records")
    assert stale == Finding("warn", "the record of cats differs in displayName", "run `communities publish`")
    kept = scene.publisher.update(kept, {"did": "did:web:old.example.org"})
    assert "names did:web:old.example.org" in (await examine("records")).seen
    scene.publisher.delete(kept)
    absent = await examine("records")
    assert absent.status == "fail"
    assert absent.seen == f"cats has no record at {scene.world.pds_url}"
    assert absent.fix == "run `communities publish`"


async def test_records_nobody_declares(scene: Scene, examine: Examine) -> None:
    Path(scene.settings["rules"]).write_text(RULES.partition("\n\n")[0], encoding="utf-8")
    finding = await examine("records")
    assert finding.status == "warn"
    assert finding.seen == "dogs is published and not declared"
    assert "communities unpublish --orphans" in finding.fix


async def test_records_on_more_than_one_page(scene: Scene, examine: Examine) -> None:
    for number in range(120):
        scene.publisher.create("app.bsky.feed.generator", {"did": "did:web:x.org"}, f"zz{number}")
    assert (await examine("records")).status == "ok"


async def test_records_that_cannot_be_read(scene: Scene, examine: Examine) -> None:
    scene.world.pds.failing = 503
    assert "answered 503 InternalServerError" in (await examine("records")).seen
    scene.world.plc.overrides[scene.publisher.did] = scene.publisher.document | {"service": []}
    nowhere = await examine("records")
    assert "names no PDS" in nowhere.seen
    assert "COMMUNITIES_PUBLISHER_DID" in nowhere.fix


async def test_appview_only_warns(scene: Scene, examine: Examine) -> None:
    other = {"view": {"did": "did:web:old.example.org"}, "isOnline": True, "isValid": True}
    for answer, seen in (
        (lambda _: web.json_response({"error": "InvalidRequest"}, status=400), "answered 400 InvalidRequest"),
        (lambda _: web.json_response(other), "is taken for a feed of did:web:old.example.org"),
        (lambda _: web.json_response({"view": {"did": DID}, "isOnline": False}), "is not seen as online"),
    ):
        scene.door.answers[APPVIEW] = answer
        finding = await examine("appview")
        assert finding.status == "warn"
        assert seen in finding.seen
    assert (await examine("appview", appview_url="http://127.0.0.1:9")).status == "warn"


# Feeds


@pytest.mark.parametrize(
    ("body", "status", "seen"),
    [
        ({"did": DID, "feeds": []}, "fail", "app.bsky.feed.generator/cats is not listed"),
        ({"did": "did:web:x.org", "feeds": "both"}, "fail", "it says it is did:web:x.org"),
        ({"did": DID, "feeds": "and another"}, "warn", "generator/birds is listed and not declared here"),
        ({"error": "NotFound", "message": "gone"}, "fail", "answered 200 NotFound gone"),
        ([], "fail", "answered 200"),
    ],
)
async def test_describe(scene: Scene, examine: Examine, *, body: Any, status: str, seen: str) -> None:
    slugs = {"both": ("cats", "dogs"), "and another": ("cats", "dogs", "birds")}
    if isinstance(body, dict) and isinstance(body.get("feeds"), str):
        uris = [f"at://{scene.publisher.did}/app.bsky.feed.generator/{slug}" for slug in slugs[body["feeds"]]]
        body = body | {"feeds": [{"uri": uri} for uri in uris]}
    scene.door.answers[DESCRIBE] = lambda _: web.json_response(body)
    finding = await examine("describe")
    assert finding.status == status
    assert seen in finding.seen


POST = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3k"


def page(*items: Any, **more: Any) -> dict[str, Any]:
    return {"feed": list(items)} | more


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"feed": None}, "answered 200"),
        ([], "answered 200"),
        (page({"post": POST.replace("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "a.test")}), "item 1 is no post: at://a.test"),
        (page({"post": POST.replace("feed.post", "feed.like")}), "item 1 is no post"),
        (page({"post": POST}, {"post": 7}), "item 2 is no post: 7"),
        (page("text"), "item 1 is no post"),
        (page({"post": POST}, {"post": POST}), "a post stands twice in a page"),
        (page(*({"post": f"{POST}{n}"} for n in range(11))), "11 items where 10 were asked for"),
        (page({"post": POST}, cursor=None), "cursor is no text"),
        (page({"post": POST}, cursor=""), "cursor is no text"),
        (page(cursor="5"), "an empty page has a cursor"),
        (page({"post": POST, "reason": {"$type": "x.y#z"}}), "item 1 has an unknown reason"),
        (page({"post": POST, "reason": None}), "item 1 has an unknown reason"),
        (page({"post": POST, "feedContext": "c" * 2001}), "item 1 has a feedContext"),
        (page({"post": POST}, cursor="5"), "page 2: repeats 1 posts of page 1"),
    ],
)
async def test_skeleton(scene: Scene, examine: Examine, *, body: Any, seen: str) -> None:
    scene.door.answers[SKELETON] = lambda _: web.json_response(body)
    finding = await examine("skeleton")
    assert finding.status == "fail"
    assert seen in finding.seen
    assert "cats" in finding.seen
    assert "dogs" in finding.seen


async def test_skeleton_second_page(scene: Scene, examine: Examine) -> None:
    asked = []

    def stuck(request: web.Request) -> web.Response:
        asked.append(request.query.get("cursor"))
        return web.json_response(page({"post": f"{POST}{len(asked)}"}, cursor="same"))

    scene.door.answers[SKELETON] = stuck
    finding = await examine("skeleton")
    assert finding.status == "fail"
    assert "page 2: has the cursor of page 1 again" in finding.seen
    assert asked.count("same") == 2


async def test_skeleton_empty_or_refused(scene: Scene, examine: Examine) -> None:
    scene.door.posts = []
    empty = await examine("skeleton")
    assert empty.status == "warn"
    assert empty.seen == "cats is empty; dogs is empty"
    scene.door.answers[SKELETON] = lambda _: web.json_response({"error": "UnknownFeed", "message": "?"}, status=400)
    assert "answered 400 UnknownFeed ?" in (await examine("skeleton")).seen


async def test_skeleton_says_how_many_feeds_it_asked(scene: Scene, examine: Examine) -> None:
    rules = "".join(f'[[community]]\nslug = "c{n}"\nname = "C"\ninclude.hashtags = ["t{n}"]\n' for n in range(60))
    Path(scene.settings["rules"]).write_text(rules, encoding="utf-8")
    assert (await examine("skeleton")).seen == "good pages of the first 50 of 60 feeds"


# Tokens


async def test_signed(scene: Scene, examine: Examine) -> None:
    assert (await examine("signed")).seen == "a token of publisher.test is accepted"
    elsewhere = await examine("signed", hostname="moved.example.org")
    assert elsewhere.status == "fail"
    assert "401 BadJwtAudience" in elsewhere.seen
    assert "COMMUNITIES_HOSTNAME" in elsewhere.fix
    assert (await examine("signed", app_password="")).status == "skipped"
    refused = await examine("signed", app_password="wr0ng-one")
    assert refused.status == "fail"
    assert "401 AuthenticationRequired" in refused.seen
    assert "wr0ng-one" not in refused.seen


async def test_signed_with_a_key_that_the_service_does_not_find(scene: Scene, examine: Examine) -> None:
    document = scene.publisher.document
    scene.publisher.rotate_key()
    scene.world.plc.overrides[scene.publisher.did] = document
    finding = await examine("signed")
    assert "401 BadJwtSignature" in finding.seen
    assert "COMMUNITIES_PLC_URL" in finding.fix


async def test_tampered(scene: Scene, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await examine("tampered")).seen == "refused with BadJwtSignature"
    # A service that sees that a token is wrong but answers as though there were none.
    monkeypatch.setattr(ServiceAuth, "verify", believing)
    believed = await examine("tampered")
    assert believed.status == "fail"
    assert "answered 200, where 401 was due" in believed.seen


async def believing(*_: Any, **__: Any) -> None:
    return None


async def test_tampered_when_no_token_can_be_checked(scene: Scene, examine: Examine) -> None:
    scene.world.plc.failing = 500
    finding = await examine("tampered")
    assert finding.status == "fail"
    assert "502 UpstreamFailure" in finding.seen
    assert "COMMUNITIES_PLC_URL" in finding.fix


# The machine


def dated(seconds: float) -> Answer:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    return lambda _: web.json_response(health(), headers={"Date": moment})


@pytest.mark.parametrize(
    ("service", "status", "seen"),
    [
        (0.0, "ok", "within 5 s of"),
        (20.0, "warn", "the clock of the service is 20 s ahead"),
        (-3600.0, "fail", "the clock of the service is 3600 s behind"),
    ],
)
async def test_clock_of_the_service(scene: Scene, examine: Examine, *, service: float, status: str, seen: str) -> None:
    scene.door.answers[HEALTH] = dated(service)
    finding = await examine("clock")
    assert finding.status == status
    assert seen[:-6] in finding.seen  # the last digits may be off by one


async def test_clock_of_this_machine(scene: Scene, examine: Examine) -> None:
    ahead = dated(7200)

    async def directory(request: web.Request) -> web.Response:
        return ahead(request)

    async with served(directory) as url:
        finding = await examine("clock", plc_url=url)
    assert finding.status == "fail"
    assert "the clock of this machine is 72" in finding.seen or "the clock of this machine is 71" in finding.seen
    assert "behind" in finding.seen
    assert "the clock of the service is 7" in finding.seen


async def test_clock_asks_the_pds_when_the_directory_is_silent(scene: Scene, examine: Examine) -> None:
    publisher = scene.world.account("elsewhere")
    document = publisher.document

    async def silent(request: web.Request) -> web.StreamResponse:
        if request.path == "/_health":
            assert request.transport
            request.transport.close()
        return web.json_response(document)

    async with served(silent) as url:
        finding = await examine("clock", plc_url=url, publisher_did=publisher.did)
    assert finding == Finding("ok", f"within 5 s of {scene.world.pds_url}/xrpc/_health")


async def test_clock_without_anybody_to_ask(examine: Examine) -> None:
    finding = await examine("clock", plc_url="http://127.0.0.1:9")
    assert finding.status == "warn"
    assert "http://127.0.0.1:9/_health gave no date" in finding.seen


@pytest.mark.parametrize(
    ("state", "status", "seen"),
    [
        ({"cursor": None, "state": "connecting"}, "fail", "nothing was read yet"),
        ({"lagSeconds": 100.4}, "warn", "the last event is 100 s old"),
        ({"lagSeconds": 700}, "fail", "the last event is 700 s old"),
        ({"lagSeconds": None, "lastEventAt": "2026-01-01T00:00:00Z"}, "fail", "the last event is "),
        ({"lagSeconds": None, "lastEventAt": None}, "warn", "the age of the last event is unknown"),
        ({"state": "not running (last seen 90 s ago)"}, "warn", "not reading: not running (last seen 90 s ago)"),
        ({"rulesFault": "communities.toml:3: x"}, "fail", "the rules are not in use: communities.toml:3: x"),
    ],
)
async def test_ingest(scene: Scene, examine: Examine, *, state: dict[str, Any], status: str, seen: str) -> None:
    assert (await examine("ingest")).status == "ok"
    scene.door.answers[HEALTH] = lambda _: web.json_response(health(**state))
    finding = await examine("ingest")
    assert finding.status == status
    assert seen in finding.seen


async def test_ingest_without_an_answer(scene: Scene, examine: Examine) -> None:
    scene.door.answers[HEALTH] = lambda _: web.Response(status=502, text="<html>bad gateway")
    finding = await examine("ingest")
    assert finding.status == "fail"
    assert "answered 502" in finding.seen


async def test_disk(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await examine("disk")).status == "ok"
    assert "there is no such folder" in (await examine("disk", data="/nowhere")).seen
    for free, status in ((1 << 30, "warn"), (100 << 20, "fail")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(10 << 30, 0, free))
        assert (await examine("disk")).status == status


async def test_database(examine: Examine, tmp_path: Path) -> None:
    assert (await examine("database")).status == "ok"
    absent = await examine("database", data=str(tmp_path))
    assert absent.status == "fail"
    assert "no such database" in absent.seen
    (tmp_path / "communities.db").write_bytes(b"not a database at all" * 100)
    broken = await examine("database", data=str(tmp_path))
    assert broken.status == "fail"
    assert str(tmp_path / "communities.db") in broken.seen


# The examination itself


async def test_a_check_has_its_own_deadline_and_keeps_its_exceptions(scene: Scene) -> None:
    async def never(_: Patient) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def breaks(_: Patient) -> Finding:
        raise KeyError("feed")

    async with aiohttp.ClientSession() as session:
        patient = Patient(scene.config(), (), "", scene.door.url, True, session)
        slow = await doctor.carry_out(doctor.Check("slow", never, 0.05, "wait"), patient)
        assert slow == Finding("fail", "no answer within 0.05 s", "wait")
        broken = await doctor.carry_out(doctor.Check("broken", breaks, 5, "mend"), patient)
        assert broken == Finding("fail", "'feed'", "mend")
        mild = await doctor.carry_out(doctor.Check("mild", breaks, 5, "mend", only_warns=True), patient)
        assert mild.status == "warn"


async def test_an_answer_without_end_is_cut(scene: Scene, examine: Examine) -> None:
    scene.door.answers[DESCRIBE] = lambda _: web.Response(body=bytes(3 << 20))
    finding = await examine("describe")
    assert finding.status == "fail"
    assert "more than 2097152 bytes" in finding.seen


async def test_s107_a_private_host_is_blocked_and_the_setting_named(scene: Scene, examine: Examine) -> None:
    finding = await examine("records", public=True, egress_allow="")
    assert finding.status == "fail"
    assert "127.0.0.1 is not a public address" in finding.seen
    assert "add 127.0.0.1 to COMMUNITIES_EGRESS_ALLOW" in finding.fix


async def test_only_runs_what_it_names(scene: Scene, capsys: Capture) -> None:
    capsys.readouterr()
    assert await command(scene.config(), "--json", "--only", "disk", "configuration") == 0
    assert [entry["check"] for entry in json.loads(capsys.readouterr().out)] == ["configuration", "disk"]


@pytest.mark.parametrize(
    "words", [("--only", "moon"), ("--url", "feeds.example.org"), ("--url", "http://x/y"), ("--url", "ftp://x")]
)
def test_wrong_words_are_refused(words: tuple[str, ...]) -> None:
    parser = argparse.ArgumentParser()
    doctor.arguments(parser)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(words)
    assert stopped.value.code == 2
