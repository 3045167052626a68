"""`communities publish` and `unpublish` against a PDS, over HTTP."""

import argparse
import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from service import publish, unpublish
from service.config import Config, read_config
from tests.world import Account, World, Write

COLLECTION = "app.bsky.feed.generator"
RULES = """
[[community]]
slug = "cats"
name = "Cats"
description = "All cats."
avatar = "cats.png"
include.hashtags = ["cats"]

[[community]]
slug = "dogs"
name = "Dogs"
accepts_interactions = true
content_mode = "video"
include.hashtags = ["dogs"]
"""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(seed=7) as world:
        yield world


@pytest.fixture
def publisher(world: World) -> Account:
    return world.account("publisher")


@pytest.fixture
def config(world: World, publisher: Account, tmp_path: Path) -> Config:
    (tmp_path / "communities.toml").write_text(RULES, encoding="utf-8")
    (tmp_path / "cats.png").write_bytes(PNG)
    return configured(
        tmp_path,
        publisher_did=publisher.did,
        pds_url=world.pds_url,
        handle=publisher.handle,
        app_password=publisher.password,
    )


def configured(folder: Path, **settings: str) -> Config:
    settings = {"hostname": "feeds.example.org", "rules": str(folder / "communities.toml")} | settings
    return read_config({f"COMMUNITIES_{key.upper()}": value for key, value in settings.items()})


def changed(config: Config, **settings: str) -> Config:
    shown = ("hostname", "publisher_did", "pds_url", "handle", "app_password")
    kept = {key: str(getattr(config, key)) for key in shown}
    return configured(config.rules.parent, **(kept | settings))


async def command(module: ModuleType, config: Config, *words: str) -> int:
    """Run a command as the command line does, in a thread, since the PDS is served by this one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    module.arguments(parser)
    code: int = await asyncio.to_thread(module.run, config, parser.parse_args(words))
    return code


def records(account: Account) -> dict[str, dict[str, Any]]:
    paths = [path for path in account.repo.records if path.startswith(COLLECTION)]
    return {path.rpartition("/")[2]: dict(account.read(path).value) for path in paths}


async def test_publish_writes_a_record_for_each_community(config: Config, publisher: Account, capsys: Capture) -> None:
    assert await command(publish, config) == 0
    found = records(publisher)
    assert found.keys() == {"cats", "dogs"}
    assert found["cats"]["did"] == "did:web:feeds.example.org"
    assert found["cats"]["displayName"] == "Cats"
    assert publisher.blobs[found["cats"]["avatar"]["ref"].encode()] == ("image/png", PNG)
    assert found["dogs"]["acceptsInteractions"] is True
    assert found["dogs"]["contentMode"] == "app.bsky.feed.defs#contentModeVideo"
    out = capsys.readouterr().out
    assert f"cats: created  at://{publisher.did}/{COLLECTION}/cats" in out
    assert f"dogs: created  at://{publisher.did}/{COLLECTION}/dogs" in out


FEEDS = RULES.replace('include.hashtags = ["cats"]', 'include.hashtags = ["cats"]\nfeeds = ["newest", "hot", "video"]')


async def test_everything_is_published_by_name_and_is_never_an_orphan(
    config: Config, publisher: Account, capsys: Capture
) -> None:
    assert await command(publish, config) == 0
    assert "everything" not in records(publisher)
    assert await command(publish, config, "everything") == 0
    record = records(publisher)["everything"]
    assert (record["displayName"], record["did"]) == ("Everything", "did:web:feeds.example.org")
    capsys.readouterr()
    assert await command(publish, config) == 0
    assert "everything" not in capsys.readouterr().out
    assert await command(unpublish, config, "--orphans", "--yes") == 0
    assert "everything" in records(publisher)
    assert await command(unpublish, config, "everything", "--yes") == 0
    assert records(publisher).keys() == {"cats", "dogs"}


async def test_a_queue_takes_the_buttons_of_moderators(config: Config, publisher: Account) -> None:
    config.rules.write_text(RULES.replace('slug = "cats"', 'slug = "cats"\nqueue_feed = true'), encoding="utf-8")
    assert await command(publish, config, "cats") == 0
    found = records(publisher)
    assert found.keys() == {"cats", "cats.queue"}
    assert found["cats.queue"]["displayName"] == "Cats · Queue"
    assert found["cats.queue"]["acceptsInteractions"] is True and found["cats"]["acceptsInteractions"] is False


async def test_each_feed_of_a_community_is_published_and_unpublished_by_itself(
    config: Config, world: World, publisher: Account, capsys: Capture
) -> None:
    config.rules.write_text(FEEDS, encoding="utf-8")
    assert await command(publish, config, "cats") == 0
    found = records(publisher)
    assert found.keys() == {"cats", "cats.hot", "cats.video"}
    assert {rkey: record["displayName"] for rkey, record in found.items()} == {
        "cats": "Cats",
        "cats.hot": "Cats · Hot",
        "cats.video": "Cats · Videos",
    }
    assert [rkey for rkey, record in found.items() if record["contentMode"].endswith("Video")] == ["cats.video"]
    assert len({record["avatar"]["ref"].encode() for record in found.values()}) == 1
    assert f"cats.hot: created  at://{publisher.did}/{COLLECTION}/cats.hot" in capsys.readouterr().out
    assert await command(publish, config) == 0
    assert records(publisher).keys() == {"cats", "cats.hot", "cats.video", "dogs"}

    assert await command(unpublish, config, "cats.hot", "--yes") == 0
    assert records(publisher).keys() == {"cats", "cats.video", "dogs"}
    assert await command(publish, config, "cats.hot") == 0
    config.rules.write_text(FEEDS.replace('"newest", "hot", ', ""), encoding="utf-8")
    capsys.readouterr()
    assert await command(publish, config) == 0
    assert "still published: cats, cats.hot\n" in capsys.readouterr().out
    assert await command(publish, config, "cats.hot") == 2
    assert "not declared: cats.hot; there are cats.video, dogs" in capsys.readouterr().err
    assert await command(unpublish, config, "--orphans", "--yes") == 0
    assert records(publisher).keys() == {"cats.video", "dogs"}


async def test_a_second_publish_writes_nothing(
    config: Config, world: World, publisher: Account, capsys: Capture
) -> None:
    assert await command(publish, config) == 0
    head, calls = publisher.repo.head, dict(world.pds.calls)
    capsys.readouterr()
    assert await command(publish, config, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [feed["status"] for feed in answer["feeds"]] == ["unchanged", "unchanged"]
    assert publisher.repo.head == head
    for method in ("com.atproto.repo.putRecord", "com.atproto.repo.uploadBlob"):
        assert world.pds.calls[method] == calls[method]


async def test_a_change_keeps_created_at_and_unknown_fields_and_uploads_only_a_new_avatar(
    config: Config, world: World, publisher: Account, capsys: Capture
) -> None:
    await command(publish, config)
    first = publisher.read(f"{COLLECTION}/cats")
    publisher.update(first, {"org.example.note": "kept", "createdAt": "2023-01-01T00:00:00Z"})
    config.rules.write_text(RULES.replace("All cats.", "Only cats."), encoding="utf-8")
    assert await command(publish, config) == 0
    assert "cats: updated (description)" in capsys.readouterr().out
    now = records(publisher)["cats"]
    assert now["description"] == "Only cats."
    assert (now["org.example.note"], now["createdAt"]) == ("kept", "2023-01-01T00:00:00Z")
    assert world.pds.calls["com.atproto.repo.uploadBlob"] == 1

    (config.rules.parent / "cats.png").write_bytes(PNG + b"another")
    assert await command(publish, config) == 0
    assert "cats: updated (avatar)" in capsys.readouterr().out
    assert world.pds.calls["com.atproto.repo.uploadBlob"] == 2
    assert records(publisher)["cats"]["avatar"]["ref"] != now["avatar"]["ref"]


async def test_dry_run_says_and_writes_nothing(
    config: Config, world: World, publisher: Account, capsys: Capture
) -> None:
    head = publisher.repo.head
    assert await command(publish, config, "--dry-run") == 0
    assert "cats: would be created" in capsys.readouterr().out
    assert publisher.repo.head == head
    assert publisher.blobs == {}


async def test_only_the_named_communities_are_published(config: Config, publisher: Account, capsys: Capture) -> None:
    assert await command(publish, config, "dogs") == 0
    assert records(publisher).keys() == {"dogs"}
    assert await command(publish, config, "dogs", "birds") == 2
    assert "not declared: birds; there are cats, dogs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "avatar", "said"),
    [
        (RULES.replace('"Dogs"', f'"{"d" * 25}"'), PNG, "community[2].name: must have at most 24 characters"),
        (RULES.replace("All cats.", "é" * 301), PNG, "community[1].description: must have at most 300"),
        (RULES, b"GIF89a", "neither a PNG nor a JPEG"),
        (RULES, PNG + bytes(1_000_000), "more than 1,000,000 bytes"),
        (RULES.replace('"cats.png"', '"absent.png"'), PNG, "cannot be read: No such file"),
        (RULES.replace('"cats.png"', '"."'), PNG, "cannot be read: Is a directory"),
    ],
)
async def test_one_wrong_community_stops_all_before_the_first_call(
    *, config: Config, world: World, capsys: Capture, rules: str, avatar: bytes, said: str
) -> None:
    config.rules.write_text(rules, encoding="utf-8")
    (config.rules.parent / "cats.png").write_bytes(avatar)
    assert await command(publish, config) == 2
    assert said in capsys.readouterr().err
    assert not world.pds.calls


async def test_another_account_than_the_publisher_is_refused(
    config: Config, world: World, publisher: Account, capsys: Capture
) -> None:
    other = world.account("other")
    wrong = changed(config, handle=other.handle, app_password=other.password)
    for module, words in ((publish, ()), (unpublish, ("cats", "--yes"))):
        assert await command(module, wrong, *words) == 2
        assert f"set COMMUNITIES_PUBLISHER_DID={other.did}" in capsys.readouterr().err
    assert records(other) == records(publisher) == {}


async def test_a_did_web_as_publisher_is_named_as_the_mistake_it_is(config: Config, capsys: Capture) -> None:
    assert await command(publish, changed(config, publisher_did="")) == 2
    said = capsys.readouterr().err
    assert "in the repository of did:web:feeds.example.org" in said
    assert f"set COMMUNITIES_PUBLISHER_DID={config.publisher_did}" in said


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"app_password": ""}, 2, "COMMUNITIES_APP_PASSWORD must be set"),
        (
            {"handle": "", "app_password": ""},
            2,
            "COMMUNITIES_HANDLE and COMMUNITIES_APP_PASSWORD must be set",
        ),
        (
            {"app_password": "wr0ng-one"},
            2,
            "401 AuthenticationRequired Invalid identifier or password; check",
        ),
        (
            {"pds_url": "http://127.0.0.1:9"},
            1,
            "Connection refused); check COMMUNITIES_PDS_URL",
        ),
        ({"pds_url": "http://pds.example.org"}, 2, "would send the app password unencrypted; use https://"),
    ],
)
async def test_a_session_that_cannot_be_had_says_which_setting_to_mend(
    config: Config, capsys: Capture, settings: dict[str, str], code: int, said: str
) -> None:
    """S110 (plain http) and S169 (no secret in what is printed)."""
    assert await command(publish, changed(config, **settings)) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert config.app_password not in shown.err + shown.out
    assert "wr0ng-one" not in shown.err + shown.out


async def test_s109_a_redirect_does_not_carry_the_password_away(config: Config, world: World, capsys: Capture) -> None:
    async def away(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": world.pds_url + request.path})

    async with served(away) as url:
        assert await command(publish, changed(config, pds_url=url)) == 1
    assert "redirects to" in capsys.readouterr().err
    assert not world.pds.calls


async def test_s117_a_proxy_of_the_environment_is_not_used(
    config: Config, publisher: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await command(publish, config) == 0
    assert records(publisher).keys() == {"cats", "dogs"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Response, "is not what the lexicon says; is COMMUNITIES_PDS_URL really the address of a PDS?"),
        (lambda: web.json_response({"did": 1}), "the answer is not what the lexicon says"),
        (lambda: web.Response(text="{", content_type="application/json"), "is not what the lexicon says"),
        (lambda: web.Response(status=501), "501; is COMMUNITIES_PDS_URL really the address of a PDS?"),
        (
            lambda: web.json_response({"error": "RateLimitExceeded"}, status=429),
            "RateLimitExceeded; wait some min",
        ),
        (lambda: web.Response(status=503, text="<html>"), "503; try again later"),
    ],
)
async def test_what_is_no_pds_is_told_so(
    config: Config, capsys: Capture, answer: Callable[[], web.Response], said: str
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return answer()

    async with served(handle) as url:
        assert await command(publish, changed(config, pds_url=url)) == 1
    assert said in capsys.readouterr().err


async def test_a_feed_of_another_service_is_not_overwritten_without_being_told_to(
    config: Config, publisher: Account, capsys: Capture
) -> None:
    value = {"did": "did:web:skyfeed.example", "displayName": "Mine", "createdAt": "2023-01-01T00:00:00Z"}
    publisher.create(COLLECTION, value, "cats")
    assert await command(publish, config) == 1
    assert "is served by did:web:skyfeed.example" in capsys.readouterr().err
    assert records(publisher).keys() == {"cats"}
    assert records(publisher)["cats"]["displayName"] == "Mine"

    assert await command(publish, config, "--take-over") == 0
    assert records(publisher)["cats"]["did"] == "did:web:feeds.example.org"
    assert records(publisher)["cats"]["createdAt"] == "2023-01-01T00:00:00Z"


async def test_a_write_that_came_between_is_not_lost(
    config: Config, world: World, publisher: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A record changes after it was listed and before it is put: swapRecord refuses; the rest is undone."""
    await command(publish, config)
    capsys.readouterr()
    config.rules.write_text(RULES.replace('"Cats"', '"Kittens"').replace('"Dogs"', '"Puppies"'), encoding="utf-8")
    dogs, write = publisher.read(f"{COLLECTION}/dogs"), publisher.write

    def meanwhile(*writes: Write) -> int:
        monkeypatch.undo()
        seq = write(*writes)
        publisher.update(dogs, {"displayName": "By hand"})
        return seq

    monkeypatch.setattr(publisher, "write", meanwhile)
    assert await command(publish, config, "--json") == 1
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert [(feed["slug"], feed["status"]) for feed in answer["feeds"]] == [("cats", "updated")]
    assert "InvalidSwap" in answer["error"]
    assert "run the command again" in shown.err
    assert records(publisher)["dogs"]["displayName"] == "By hand"


async def test_orphans_are_named_and_removed(config: Config, publisher: Account, capsys: Capture) -> None:
    await command(publish, config)
    publisher.create(COLLECTION, {"did": "did:web:skyfeed.example", "displayName": "Not ours"}, "foreign")
    config.rules.write_text(RULES.replace('slug = "dogs"', 'slug = "hounds"'), encoding="utf-8")
    capsys.readouterr()
    assert await command(publish, config, "cats") == 0
    out = capsys.readouterr().out
    assert "still published: dogs\n" in out
    assert "communities unpublish dogs" in out
    assert await command(publish, config, "--json") == 0
    uri = f"at://{publisher.did}/{COLLECTION}/dogs"
    assert json.loads(capsys.readouterr().out)["orphans"] == [{"slug": "dogs", "uri": uri}]

    assert await command(unpublish, config, "--orphans", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == [{"slug": "dogs", "uri": uri}]
    assert records(publisher).keys() == {"cats", "hounds", "foreign"}
    assert await command(unpublish, config, "--orphans") == 0
    assert "no orphan" in capsys.readouterr().out


async def test_more_records_than_a_page_are_all_seen(config: Config, publisher: Account, capsys: Capture) -> None:
    for number in range(230):
        publisher.create(COLLECTION, {"did": "did:web:feeds.example.org"}, f"old-{number:03}")
    assert await command(publish, config, "--dry-run", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["orphans"]) == 230


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stdin", "code", "left", "said"),
    [
        (io.StringIO("delete\n"), 2, {"cats", "dogs"}, "say --yes to confirm"),
        (Terminal("\n"), 2, {"cats", "dogs"}, "Nothing was deleted."),
        (Terminal(""), 2, {"cats", "dogs"}, "Nothing was deleted."),
        (Terminal("delete\n"), 0, {"dogs"}, "Their likes and saves are lost"),
    ],
)
async def test_unpublish_asks_first(
    *,
    config: Config,
    publisher: Account,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    stdin: io.StringIO,
    code: int,
    left: set[str],
    said: str,
) -> None:
    await command(publish, config)
    monkeypatch.setattr("sys.stdin", stdin)
    assert await command(unpublish, config, "cats") == code
    err = capsys.readouterr().err
    assert "likes and saves are lost" in err
    assert said in err
    assert records(publisher).keys() == left


async def test_unpublish_deletes_all_or_nothing_of_what_was_named(
    config: Config, publisher: Account, capsys: Capture
) -> None:
    await command(publish, config)
    assert await command(unpublish, config, "cats", "absent", "--yes") == 1
    assert "absent: there is no at://" in capsys.readouterr().err
    assert await command(unpublish, changed(config, hostname="other.example.org"), "cats", "--yes") == 1
    assert "is served by did:web:feeds.example.org, not by did:web:other.example.org" in capsys.readouterr().err
    assert records(publisher).keys() == {"cats", "dogs"}
    assert await command(unpublish, config, "cats", "dogs", "--yes") == 0
    assert records(publisher) == {}


async def test_unpublish_spares_what_changed_meanwhile_and_tells_what_is_gone(
    config: Config, publisher: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    await command(publish, config)
    dogs, write = publisher.read(f"{COLLECTION}/dogs"), publisher.write

    def meanwhile(*writes: Write) -> int:
        monkeypatch.undo()
        seq = write(*writes)
        publisher.update(dogs, {"displayName": "By hand"})
        return seq

    monkeypatch.setattr(publisher, "write", meanwhile)
    capsys.readouterr()
    assert await command(unpublish, config, "cats", "dogs", "--yes", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert [entry["slug"] for entry in answer["deleted"]] == ["cats"]
    assert "InvalidSwap" in answer["error"]
    assert records(publisher).keys() == {"dogs"}


@pytest.mark.parametrize("module", ["service.publish", "service.unpublish", "service.doctor"])
def test_the_commands_do_not_pay_for_the_sdk_before_they_use_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('atproto_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(publish.__file__).parents[1])


@pytest.mark.parametrize("words", [(), ("cats", "--orphans")])
def test_unpublish_must_be_told_what(words: tuple[str, ...]) -> None:
    parser = argparse.ArgumentParser()
    unpublish.arguments(parser)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(words)
    assert stopped.value.code == 2


@asynccontextmanager
async def served(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """A server on a free port that answers every request like this."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
