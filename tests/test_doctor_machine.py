"""`communities doctor`: the checks of clock, ingest, disk and database, each made to fail."""

import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.checkup import Finding
from tests import doctor_scene
from tests.doctor_scene import HEALTH, Answer, Examine, Scene, health, served

scene, examine = doctor_scene.scene, doctor_scene.examine


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
