"""`communities labeler publish`: server first, record second; in place, with what differs shown."""

from typing import Any

import pytest
from aiohttp import web

from labeler.labels_file import read_labels
from labeler.vocabulary import service_record
from service.cli import CommandError
from tests import labeler_site
from tests.labeler_site import METADATA, STREAM, Site, told

site = labeler_site.site
Capture = pytest.CaptureFixture[str]
COLLECTION = "app.bsky.labeler.service"


def record(site: Site) -> dict[str, Any]:
    return dict(site.account.read(f"{COLLECTION}/self").value)


def standing(site: Site) -> list[str]:
    return [path for path in site.account.repo.records if path.startswith(COLLECTION)]


async def test_the_record_is_what_the_file_says(site: Site, capsys: Capture) -> None:
    await site.set_up()
    capsys.readouterr()
    assert await site.run("publish") == 0
    said = capsys.readouterr().out
    assert f"at://{site.account.did}/{COLLECTION}/self: created" in said and "of 140,000 bytes" in said
    assert "+ label spoiler" in said and "+ reasonTypes" in said
    (declared,) = read_labels(site.folder / "labels.toml").labelers
    assert record(site) == service_record(declared, record(site)["createdAt"])
    assert standing(site) == [f"{COLLECTION}/self"]


async def test_an_app_password_is_enough(site: Site) -> None:
    await site.set_up()
    assert await site.run("publish", app_password=site.account.app_password) == 0


async def test_a_second_time_nothing_is_written(site: Site, capsys: Capture) -> None:
    await site.set_up()
    await site.run("publish")
    head = site.account.repo.head
    capsys.readouterr()
    assert await site.run("publish", "--json") == 0
    answer = told(capsys)
    assert (answer["status"], answer["differences"]) == ("unchanged", []) and answer["bytes"] > 1000
    assert site.account.repo.head == head


async def test_a_change_is_shown_and_keeps_what_we_do_not_know(site: Site, capsys: Capture) -> None:
    await site.set_up()
    await site.run("publish")
    site.account.update(site.account.read(f"{COLLECTION}/self"), {"createdAt": "2023-01-01T00:00:00Z", "x.y": "kept"})
    path = site.folder / "labels.toml"
    text = path.read_text().replace('severity = "none"', 'severity = "alert"').replace('"spoiler"', '"ending"')
    path.write_text(text.replace("endpoint", 'system = ["!hide"]\nreason_types = []\nendpoint'))
    capsys.readouterr()
    head = site.account.repo.head
    assert await site.run("publish", "--dry-run") == 0
    shown = capsys.readouterr()
    wanted = ["+ label !hide", "+ label ending", "- label spoiler", "~ label test (severity)", "~ reasonTypes"]
    assert sorted(line.strip() for line in shown.out.splitlines()[:-1]) == wanted
    assert "would be updated" in shown.out and "not declared any more are not shown" in shown.err
    assert site.account.repo.head == head
    assert await site.run("publish") == 0
    now = record(site)
    assert (now["createdAt"], now["x.y"], now["reasonTypes"]) == ("2023-01-01T00:00:00Z", "kept", [])
    assert now["policies"]["labelValues"] == ["ending", "test", "!hide"]


async def test_another_order_is_a_change_too(site: Site, capsys: Capture) -> None:
    await site.set_up()
    await site.run("publish")
    value = record(site)
    policies = {name: list(reversed(items)) for name, items in value["policies"].items()}
    site.account.update(site.account.read(f"{COLLECTION}/self"), {"policies": policies})
    capsys.readouterr()
    assert await site.run("publish", "--json") == 0
    assert told(capsys)["differences"] == ["~ order of the labels"]


async def broken(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "BadGateway"}, status=502)


@pytest.mark.parametrize("path", [METADATA, STREAM])
async def test_without_a_server_there_is_no_record(site: Site, path: str) -> None:
    await site.set_up()
    site.answers[path] = broken
    with pytest.raises(CommandError, match="the labeler's server is not ready, and the record comes after it") as why:
        await site.run("publish")
    assert "502" in str(why.value)
    assert standing(site) == []
    assert await site.run("publish", "--unchecked") == 0
    assert standing(site)


async def test_without_a_key_there_is_no_record(site: Site) -> None:
    with pytest.raises(CommandError, match="communities labeler init"):
        await site.run("publish")
    assert standing(site) == [] and site.world.pds.calls == {}


async def test_a_write_that_came_between_is_not_lost(
    site: Site, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.set_up()
    await site.run("publish")
    text = (site.folder / "labels.toml").read_text()
    (site.folder / "labels.toml").write_text(text.replace("Means nothing.", "Nothing."))
    from service import labeler_publish

    plain = labeler_publish.service_record

    def meanwhile(*given: Any) -> dict[str, Any]:
        site.account.update(site.account.read(f"{COLLECTION}/self"), {"x": "theirs"})
        return plain(*given)

    monkeypatch.setattr(labeler_publish, "service_record", meanwhile)
    assert await site.run("publish") == 1
    assert "somebody else changed the record meanwhile" in capsys.readouterr().err
    assert record(site)["x"] == "theirs" and "Means nothing." in str(record(site))
