"""What an operator sees of a running ingest: the command, `/xrpc/_health` and `/metrics` (A81)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from models.database import writing
from service.cli import main
from service.config import read_config
from service.status import public_status, read_status
from service.wiring import serving
from tests.ingest_site import QUICK, Site
from tests.test_feeds_site import parse_metrics

Ask = Callable[[], Any]
SECRET = "wss://inside.example"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


@asynccontextmanager
async def doors(site: Site) -> AsyncIterator[tuple[Ask, Ask]]:
    """How to ask the web process beside the ingest for its health, and for its metrics."""
    settings = {"data": site.path.parent, "rules": site.rules, "source": site.world.relay_url}
    ports = {"listen_port": "0", "metrics_port": "0", "hostname": "feeds.example.com"}
    config = read_config({f"COMMUNITIES_{name.upper()}": str(value) for name, value in (settings | ports).items()})
    async with serving(config) as (door, side, _), aiohttp.ClientSession() as session:

        async def health() -> Any:
            async with session.get(f"http://127.0.0.1:{door.port}/xrpc/_health") as answer:
                return await answer.json()

        async def metrics() -> Any:
            async with session.get(f"http://127.0.0.1:{side.port}/metrics") as answer:
                return parse_metrics(await answer.text())

        yield health, metrics


async def status(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `communities status` prints."""
    monkeypatch.setenv("COMMUNITIES_DATA", str(site.path.parent))
    monkeypatch.setenv("COMMUNITIES_SOURCE", site.world.relay_url)
    monkeypatch.chdir(site.folder)
    capsys.readouterr()
    assert await asyncio.to_thread(main, ["status", *words]) == 0
    return capsys.readouterr().out


def reported(site: Site) -> Any:
    return json.loads(site.rows("SELECT report FROM process WHERE name = 'ingest'")[0][0])


async def test_a81_how_it_stands_is_said_alike_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    async with site:
        alice, bob = site.people("alice", "bob")
        for one in (alice, bob):
            one.post("#python")
        await site.caught_up()
        with writing(site.ingest.database) as connection:
            connection.execute("INSERT INTO repo (actor, state, due_at) SELECT id, 'error', 1 << 60 FROM actor")
        cursor = site.cursor or 0
        # From now on nothing is stored until the stop, so that something waits.
        site.pace = replace(QUICK, batch=3600.0, cursor=3600.0)
        await site.again()
        await site.until("a report", lambda: reported(site)["state"] == "reading" and reported(site)["cursor"])
        before = len(site.world.relay.history)
        posts = [alice.post(f"{n} #python") for n in range(3)]
        alice.follow(bob)
        head = site.world.relay.head
        size = sum(len(entry.frame) for entry in site.world.relay.history[before : before + len(posts)])
        site.ingest.counters["sweep"]["accounts looked at"] += 7
        await site.until("the report of them", lambda: reported(site)["received"] == head)
        report = reported(site)
        assert (report["waiting"], report["waitingBytes"], report["cursor"]) == (3, size, cursor)
        assert report["accounts"] == {
            "pending": 0, "resyncing": 0, "synced": 0, "desynchronized": 0, "error": 2, "unresolvable": 0
        }  # fmt: skip

        seen = json.loads(await status(site, monkeypatch, capsys, "--json"))
        assert seen["lagEvents"] == head - cursor == 4 and 0 <= seen["idleSeconds"] < 600
        (source,) = seen["sources"]
        assert source.pop("lagSeconds") == pytest.approx(seen["lagSeconds"], abs=60)
        assert source == {
            "url": site.world.relay_url, "kind": "seq", "state": "reading", "cursor": cursor, "received": head,
            "eventAt": report["eventAt"], "closes": report["closes"], "lagEvents": 4,
        }  # fmt: skip
        said = " ".join((await status(site, monkeypatch, capsys)).split())
        assert "4 events to store" in said and f"waiting 3 events, {size:,} bytes" in said
        assert "accounts 2 error" in said and "gaps 0 gap suspected" in said and "s since anything" in said
        assert f"sweep {site.sweep.counts['accounts looked at']} accounts looked at" in said

        async with doors(site) as (health, metrics):
            asked, counted = await health(), await metrics()
        assert asked["lagEvents"] == 4 and asked["idleSeconds"] >= 0
        assert asked["sources"] == [
            {"kind": "seq", "state": "reading", "lagSeconds": asked["sources"][0]["lagSeconds"]}
        ]
        assert asked["gaps"] == {"gap": 0, "gap suspected": 0} and asked["dropped"] == {}
        assert counted["communities_ingest_lag_events", ""] == 4
        assert counted["communities_ingest_waiting_events", ""] == 3
        assert counted["communities_ingest_waiting_bytes", ""] == size
        assert counted["communities_ingest_idle_seconds", ""] >= 0
        assert counted["communities_accounts", 'state="error"'] == 2
        assert counted["communities_accounts", 'state="synced"'] == 0
        assert counted["communities_gaps_total", 'kind="gap"'] == 0
        assert counted["communities_beside_total", 'part="sweep",kind="accounts looked at"'] >= 7
        label = f'url="{site.world.relay_url}",kind="seq"'
        assert counted["communities_source_up", label] == 1
        assert counted["communities_source_received_seq", label] == head
        assert counted["communities_source_cursor", label] == cursor


async def test_closes_and_drops_are_told_by_their_causes(site: Site) -> None:
    (alice,) = site.people("alice")
    site.world.emit(b"poison")
    alice.post("#python")
    await site.caught_up()
    await site.until("the report", lambda: reported(site)["closes"])
    async with doors(site) as (health, metrics):
        asked, counted = await health(), await metrics()
    label = f'url="{site.world.relay_url}",kind="seq",cause="unreadable frame"'
    assert counted["communities_source_closes_total", label] == 2
    assert asked["dropped"] == {"frame is no DAG-CBOR": 1}


async def test_what_brings_nothing_any_more_is_idle(site: Site) -> None:
    """Idle says how long nothing came; lag says how old what came was."""
    site.people("alice")
    await site.caught_up()
    await site.until("the report", lambda: reported(site)["heardAt"])
    with writing(site.ingest.database) as connection:
        said = reported(site) | {"heardAt": site.ingest.pipeline.heard_at - 90_000_000}
        connection.execute("UPDATE process SET report = ? WHERE name = 'ingest'", (json.dumps(said),))
        found = read_status(connection, (site.world.relay_url,))
    assert found["idleSeconds"] >= 90 > found["lagSeconds"]


async def test_several_sources_are_listed_and_their_names_stay_inside(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.people("alice")
    await site.caught_up()
    await site.stop()
    own = reported(site)["sources"][0] | {"state": "reading"}
    other = own | {"url": SECRET, "kind": "time_us", "state": f"reconnecting: refused by {SECRET}", "eventAt": 0}

    def report(age: int) -> None:
        with writing(site.ingest.database) as connection:
            connection.execute(
                "UPDATE process SET at = unixepoch() * 1000000 - ?, report = ?",
                (age * 1_000_000, json.dumps({"state": "reading", "sources": [own, other]})),
            )

    report(0)
    said = await status(site, monkeypatch, capsys)
    assert f"{SECRET} (time_us): reconnecting: refused by {SECRET}, lag unknown" in said
    async with doors(site) as (health, metrics):
        asked, counted = await health(), await metrics()
        assert SECRET not in json.dumps(asked)
        assert [one["state"] for one in asked["sources"]] == ["reading", "reconnecting"]
        assert counted["communities_source_up", f'url="{SECRET}",kind="time_us"'] == 0
        assert ("communities_source_lag_seconds", f'url="{SECRET}",kind="time_us"') not in counted
        report(100)
        asked, counted = await health(), await metrics()
    assert [one["state"] for one in asked["sources"]] == ["no sign of life"] * 2
    assert counted["communities_source_up", f'url="{site.world.relay_url}",kind="seq"'] == 0
    site.open()
    await site.start()


async def test_nothing_of_a_report_is_public_but_what_is_meant_to_be(site: Site) -> None:
    """Whatever is added to the report later stays out of `_health` unless it is named there."""
    await site.marked()
    with writing(site.ingest.database) as connection:
        said = json.dumps(
            site.ingest.state() | {"secret": SECRET, "beside": {"x": {SECRET: 1}}, "applied": {SECRET: 1}}
        )
        connection.execute("UPDATE process SET report = ? WHERE name = 'ingest'", (said,))
        shown = public_status(read_status(connection, (site.world.relay_url,)))
    assert SECRET not in json.dumps(shown)
    assert set(shown) == {
        "state", "source", "cursor", "lagSeconds", "lagEvents", "lastEventAt", "idleSeconds", "rulesFault", "sources",
        "dropped", "gaps",
    }  # fmt: skip
