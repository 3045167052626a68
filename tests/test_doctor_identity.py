"""`communities doctor`: the checks of names and records, each made to fail."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from service.checkup import Finding
from tests import doctor_scene
from tests.doctor_scene import APPVIEW, DID, DOCUMENT, RULES, Answer, Examine, Scene, did_json, served

scene, examine = doctor_scene.scene, doctor_scene.examine

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
    entries = [entry | {"id": service.did + entry["id"]} for entry in did_json()["service"]]
    scene.world.plc.overrides[service.did] = service.document | {"service": entries[:1]}
    finding = await examine("did", service_did=service.did)
    assert (finding.status, "has no service #communities" in finding.seen) == ("warn", True)
    scene.world.plc.overrides[service.did] = service.document | {"service": entries}
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
