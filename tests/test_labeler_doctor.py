"""`communities labeler doctor`: every link, made to be missing."""

import time
from email.utils import formatdate
from typing import Any

import coincurve
import pytest
from aiohttp import web

from communities.toml_file import DeclarationError
from service.checkup import Finding
from service.labeler_doctor import CHECKS
from tests import labeler_site
from tests.labeler_site import METADATA, QUERY, SERVICES, STREAM, Site, told
from tests.service_process import free_port
from tests.world.keys import did_key, make_key

site = labeler_site.site
Capture = pytest.CaptureFixture[str]


async def healthy(site: Site, labels: int = 3) -> None:
    await site.set_up()
    site.publish(labels)
    assert await site.run("publish") == 0


async def examine(site: Site, capsys: Capture, check: str, *words: str, **settings: str) -> Finding:
    capsys.readouterr()
    code = await site.run("doctor", "--json", "--only", check, *words, **settings)
    (entry,) = told(capsys)
    assert (entry.pop("check"), entry.pop("labeler")) == (check, site.account.did)
    finding = Finding(**entry)
    assert code == (1 if finding.status == "fail" else 0) and bool(finding.fix) == (finding.status in ("warn", "fail"))
    return finding


async def test_a_labeler_in_good_health(site: Site, capsys: Capture) -> None:
    await healthy(site)
    capsys.readouterr()
    assert await site.run("doctor") == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "\n       " not in shown.out
    assert [line.split()[1] for line in shown.out.splitlines()] == [check.name for check in CHECKS]
    assert "came signed by the DID document's key, and queryLabels has it" in shown.out
    assert await site.run("doctor", "--json") == 0
    assert {entry["status"] for entry in told(capsys)} == {"ok", "skipped"}


async def test_nothing_published_yet_is_no_fault(site: Site, capsys: Capture) -> None:
    await healthy(site, labels=0)
    found = await examine(site, capsys, "stream")
    assert found.status == "ok" and "nothing was published yet" in found.seen


async def test_before_init_each_check_says_what_is_missing(site: Site, capsys: Capture) -> None:
    assert await site.run("doctor") == 1
    shown = capsys.readouterr()
    assert "has no key #atproto_label" in shown.out and "communities labeler init" in shown.out
    assert "there is no record app.bsky.labeler.service" in shown.out
    assert "checks failed:" in shown.err


async def test_key(site: Site, capsys: Capture) -> None:
    await healthy(site)
    assert (await examine(site, capsys, "key")).seen == site.label_keys()[0][1]
    wrong = await examine(site, capsys, "key", labeler_passphrase="another one 123")
    assert wrong.status == "fail" and "does not open" in wrong.seen
    assert (await examine(site, capsys, "key", data=str(site.folder / "elsewhere"))).status == "skipped"
    await site.run("rotate-key", "--pause")
    paused = await examine(site, capsys, "key")
    assert paused.status == "fail" and "labels wait" in paused.seen and "rotate-key" in paused.fix


async def test_document(site: Site, capsys: Capture) -> None:
    await healthy(site)
    public = site.account.methods["atproto_label"]
    site.account.methods["atproto_label"] = did_key(make_key("k256", "other"))
    found = await examine(site, capsys, "document")
    assert found.status == "fail" and f"is not {public}, with which labels are signed" in found.seen
    del site.account.methods["atproto_label"]
    found = await examine(site, capsys, "document")
    assert "has no key #atproto_label: nothing we sign is believed" in found.seen
    for check in ("metadata", "stream"):  # one thing is missing, and named once
        assert (await examine(site, capsys, check)).status == "skipped"
    site.account.methods["atproto_label"] = public
    site.account.services["atproto_labeler"]["endpoint"] = site.url + "/xrpc"
    found = await examine(site, capsys, "document")
    assert f"leads to {site.url}/xrpc, with a path" in found.seen and "--replace" in found.fix
    site.account.services.clear()
    assert "has no service #atproto_labeler of type AtprotoLabeler" in (await examine(site, capsys, "document")).seen
    site.world.plc.overrides[site.account.did] = {"id": site.account.did}
    assert "names no PDS" in (await examine(site, capsys, "document")).seen
    site.world.plc.failing = 500
    assert (await examine(site, capsys, "document")).status == "fail"


async def test_endpoint(site: Site, capsys: Capture) -> None:
    await healthy(site)
    here = await examine(site, capsys, "endpoint")
    assert here.status == "skipped" and "without TLS" in here.seen
    site.declare(endpoint="https://labels.invalid")
    away = await examine(site, capsys, "endpoint", egress_allow="127.0.0.1")
    assert away.status == "fail" and "labels.invalid does not resolve" in away.seen
    asked = await examine(site, capsys, "endpoint", "--url", site.url)
    assert asked.status == "skipped" and "--url asks" in asked.seen


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("did", "did:web:other.example", "says did 'did:web:other.example'"),
        ("url", "https://labels.example.org/xrpc", "says url"),
        ("publicKey", did_key(make_key("k256", "x")), "which is not that of the DID document"),
        ("publicKey", None, "says the key None"),
    ],
)
async def test_metadata(site: Site, capsys: Capture, name: str, value: Any, said: str) -> None:
    await healthy(site)
    good = {"did": site.account.did, "url": site.url + "/", "publicKey": site.label_keys()[0][1]}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(good)

    site.answers[METADATA] = answer
    assert (await examine(site, capsys, "metadata")).status == "ok", "a slash at the end is no other address"
    good[name] = value
    found = await examine(site, capsys, "metadata")
    assert found.status == "fail" and said in found.seen


async def test_metadata_that_is_not_there(site: Site, capsys: Capture) -> None:
    await healthy(site)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="<html>")

    site.answers[METADATA] = answer
    found = await examine(site, capsys, "metadata")
    assert found.status == "fail" and "answered 404" in found.seen and "/.well-known/" in found.fix


async def test_record(site: Site, capsys: Capture) -> None:
    await healthy(site)
    assert (await examine(site, capsys, "record")).seen.startswith("2 values at ")
    text = (site.folder / "labels.toml").read_text()
    (site.folder / "labels.toml").write_text(text.replace('"spoiler"', '"ending"'))
    found = await examine(site, capsys, "record")
    assert found.status == "fail" and "differs from the file in policies; clients drop ending" in found.seen
    assert found.fix == "run `communities labeler publish`"
    site.account.delete(site.account.read("app.bsky.labeler.service/self"))
    assert "there is no record" in (await examine(site, capsys, "record")).seen


async def test_appview_only_warns(site: Site, capsys: Capture) -> None:
    await healthy(site)
    assert (await examine(site, capsys, "appview")).status == "ok"
    answer: dict[str, Any] = {"views": []}

    async def services(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    site.answers[SERVICES] = services
    assert "does not know the labeler" in (found := await examine(site, capsys, "appview")).seen
    assert found.status == "warn"
    answer["views"] = [{"policies": {"labelValues": ["test"]}}]
    assert "does not know spoiler yet" in (found := await examine(site, capsys, "appview")).seen
    assert found.status == "warn"
    assert (await examine(site, capsys, "appview", appview_url="http://127.0.0.1:9")).status == "warn"


async def test_stream_without_an_upgrade(site: Site, capsys: Capture) -> None:
    """Where most labelers fail: the proxy before them does not pass on the upgrade."""
    await healthy(site)

    async def plain(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "UpgradeRequired"}, status=426)

    site.answers[STREAM] = plain
    found = await examine(site, capsys, "stream")
    assert found.status == "fail" and "answers 426 in place of an upgrade" in found.seen
    assert "Upgrade and Connection" in found.fix


async def test_stream_of_something_else(site: Site, capsys: Capture) -> None:
    await healthy(site)
    sent: list[Any] = [b"\xa0", "text", b"\xa1\x62op\x20\xa1\x65error\x61x", b""]

    async def stream(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        frame = sent.pop(0)
        await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
        await socket.close()
        return socket

    site.answers[STREAM] = stream
    while sent:
        found = await examine(site, capsys, "stream")
        assert found.status == "fail" and "sent no frame with labels" in found.seen


async def test_a_signature_that_nobody_believes(site: Site, capsys: Capture) -> None:
    await healthy(site)
    site.publish(1, key=coincurve.PrivateKey())
    found = await examine(site, capsys, "stream")
    assert found.status == "fail" and "is not that of the DID document's key: nobody believes it" in found.seen


async def test_labels_of_another_labeler(site: Site, capsys: Capture) -> None:
    await healthy(site)
    site.publish(1, src="did:plc:" + "c" * 24)
    found = await examine(site, capsys, "stream")
    assert found.status == "fail" and "the proxy keeps the header Host" in found.fix


async def test_query_labels_that_disagrees(site: Site, capsys: Capture) -> None:
    await healthy(site)

    async def nothing(_: web.Request) -> web.StreamResponse:
        return web.json_response({"labels": []})

    site.answers[QUERY] = nothing
    found = await examine(site, capsys, "stream")
    assert found.status == "fail" and "queryLabels does not have spoiler on at://" in found.seen


async def test_clock(site: Site, capsys: Capture) -> None:
    await healthy(site)
    assert (await examine(site, capsys, "clock")).status == "ok"

    async def late(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={"Date": formatdate(time.time() - 3600, usegmt=True)})

    site.answers["/xrpc/_health"] = late
    found = await examine(site, capsys, "clock")
    assert found.status == "fail" and "3600 s behind" in found.seen


async def test_vocabulary(site: Site, capsys: Capture) -> None:
    await healthy(site)
    assert (await examine(site, capsys, "vocabulary")).status == "ok"
    text = (site.folder / "labels.toml").read_text()
    text = text.replace('"spoiler"', f'"{"a" * 25}"').replace("endpoint", 'communities = ["birds"]\nendpoint')
    (site.folder / "labels.toml").write_text(text)
    found = await examine(site, capsys, "vocabulary")
    assert found.status == "warn" and "longer than 24" in found.seen and "no such community here: birds" in found.seen


async def test_with_url_the_labeler_is_still_asked_by_its_name(site: Site, capsys: Capture) -> None:
    await healthy(site)
    public = site.url
    site.declare(endpoint="https://labels.example.org")
    site.hosts.clear()
    for check in ("metadata", "stream"):
        await examine(site, capsys, check, "--url", public)
    assert set(site.hosts) == {"labels.example.org"}


async def test_without_an_answer_nothing_hangs_and_everything_is_told(site: Site, capsys: Capture) -> None:
    await healthy(site)
    gone = f"http://127.0.0.1:{free_port()}"
    site.declare(endpoint=gone)
    capsys.readouterr()
    assert await site.run("doctor", "--json", "--only", "metadata", "stream") == 1
    assert all("cannot connect" in entry["seen"] for entry in told(capsys))


async def test_no_labeler(site: Site) -> None:
    with pytest.raises(DeclarationError, match="declares no labeler did:plc:x"):
        await site.run("doctor", "--did", "did:plc:x")
    (site.folder / "labels.toml").unlink()
    for action in ("doctor", "status", "publish", "init", "rotate-key"):
        with pytest.raises(DeclarationError, match="labeler"):
            await site.run(action)


async def test_several_labelers_are_told_apart(site: Site, capsys: Capture) -> None:
    other = site.world.account("second")
    site.declare(extra=labeler_site.VOCABULARY.format(did=other.did, endpoint="http://localhost:1"))
    with pytest.raises(DeclarationError, match=f"say which: --did {site.account.did}, {other.did}"):
        await site.run("init")
    assert await site.run("init", "--did", site.account.did) == 0
    capsys.readouterr()
    assert await site.run("doctor", "--only", "key") == 1
    shown = capsys.readouterr().out
    assert f"labeler {site.account.did}" in shown and f"labeler {other.did}" in shown
