"""`communities doctor` as a whole: its output, its exit codes, its deadlines, and the check of the settings."""

import argparse
import asyncio
import json
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from service import doctor
from service.checkup import Finding, Patient
from tests import doctor_scene
from tests.doctor_scene import DESCRIBE, DOCUMENT, HEALTH, RULES, Capture, Examine, Scene, command, health
from tests.service_process import Service

scene, examine = doctor_scene.scene, doctor_scene.examine


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
