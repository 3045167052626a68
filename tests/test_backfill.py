"""`communities backfill` and `communities takedown`, with and without a running ingest."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.service_process import Service
from tests.world import Account, World, Write

POST = "app.bsky.feed.post"
Start = Callable[..., Service]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(seed=5) as world:
        yield world


def quiet(world: World, name: str, posts: int = 3) -> Account:
    """An account with posts that the stream never brought."""
    account = world.account(name, quiet=True)
    for number in range(posts):
        value = {"$type": POST, "text": f"{number}", "createdAt": account._clock.iso(), "tags": ["club"]}
        account.commit(Write("create", f"{POST}/{account._clock.tid()}", value))
    return account


def rules(*members: Account) -> str:
    dids = json.dumps([member.did for member in members])
    return f'[[community]]\nslug = "club"\nname = "Club"\ninclude.hashtags = ["club"]\ninclude.members = {dids}\n'


def settings(world: World, **more: str) -> dict[str, str]:
    return {"source": world.relay_url, "plc_url": world.plc_url, "egress_allow": "127.0.0.1", **more}


async def command(service: Service, *words: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(service.command_line, *words)


def posts(service: Service, hidden: int = 0) -> int:
    with closing(sqlite3.connect(service.database)) as database:
        (count,) = database.execute("SELECT count(*) FROM feed_item WHERE hidden = ?", (hidden,)).fetchone()
        return int(count)


async def test_without_an_ingest_the_command_reads_by_itself(world: World, tmp_path: Path) -> None:
    alice, carol = quiet(world, "alice"), quiet(world, "carol")
    service = Service(tmp_path / "a", rules(alice), "ingest", **settings(world))
    asked = await command(service, "backfill", carol.did, "--json")
    assert asked.returncode == 0, asked.stderr
    said: dict[str, Any] = json.loads(asked.stdout)
    assert said == {"accounts": [{"did": carol.did, "outcome": "done", "why": ""}], "outcomes": {"done": 1}}
    whole = await command(service, "backfill", "club")
    assert (whole.returncode, whole.stdout) == (0, "1 done\n"), whole.stderr
    assert posts(service) == 6


async def test_a_running_ingest_is_asked_to(world: World, start_service: Start) -> None:
    alice, carol = quiet(world, "alice"), quiet(world, "carol")
    service = await asyncio.to_thread(start_service, rules(alice), "ingest", **settings(world))
    await world.relay.connected(1)
    both = [await command(service, "backfill", target) for target in (carol.did, "club")]
    assert [answer.returncode for answer in both] == [0, 0], [answer.stderr for answer in both]
    assert posts(service) == 6


async def test_what_cannot_be_read_is_named_and_is_exit_code_1(world: World, tmp_path: Path) -> None:
    alice, bob, carol = quiet(world, "alice"), quiet(world, "bob"), quiet(world, "carol")
    bob.active, bob.status = False, "takendown"
    world.plc.overrides[carol.did] = None
    service = Service(tmp_path / "a", rules(alice, bob, carol), "ingest", **settings(world))
    await command(service, "backfill", alice.did)
    asked = await command(service, "backfill", "club")
    assert asked.returncode == 1
    assert f"{bob.did}  not active: takendown" in asked.stdout
    assert f"{carol.did}  failed: its DID document is missing or names no host" in asked.stdout
    assert asked.stdout.endswith("1 done, 1 failed, 1 not active\n")


async def test_what_has_failed_is_read_when_it_is_asked_for_again(world: World, tmp_path: Path) -> None:
    """It would have to wait for its turn; the operator's word counts at once."""
    carol = quiet(world, "carol")
    world.plc.overrides[carol.did] = None
    service = Service(tmp_path / "a", rules(), "ingest", **settings(world))
    assert (await command(service, "backfill", carol.did)).returncode == 1
    with closing(sqlite3.connect(service.database)) as database, database:
        database.execute("UPDATE repo SET due_at = 1 << 60")
    del world.plc.overrides[carol.did]
    again = await command(service, "backfill", carol.did)
    assert (again.returncode, again.stdout, posts(service)) == (0, "1 done\n", 3), again.stderr


async def test_wrong_targets_are_named(world: World, tmp_path: Path) -> None:
    service = Service(tmp_path / "a", rules(), "ingest", **settings(world))
    for target, code, fault in (("did:nope", 2, "no DID"), ("clubs", 1, "no such community")):
        asked = await command(service, "backfill", target)
        assert asked.returncode == code and fault in asked.stderr, asked
        assert asked.stdout == ""


async def test_a_takedown_hides_and_shows_again(world: World, start_service: Start) -> None:
    alice, carol = quiet(world, "alice"), quiet(world, "carol")
    service = await asyncio.to_thread(start_service, rules(alice, carol), "ingest", **settings(world))
    await world.relay.connected(1)
    await command(service, "backfill", "club")
    assert (posts(service), posts(service, 1)) == (6, 0)
    down = await command(service, "takedown", carol.did)
    assert down.returncode == 0 and down.stdout == f"{carol.did}: taken down (3 posts in feeds)\n", down.stderr
    assert (posts(service), posts(service, 1)) == (3, 3)
    late = carol.post("late #club")
    await world.relay.delivered(late.seq)
    for _ in range(600):
        if posts(service, 1) == 4:
            break
        await asyncio.sleep(0.05)
    assert (posts(service), posts(service, 1)) == (3, 4)
    up = await command(service, "takedown", carol.did, "--undo", "--json")
    assert json.loads(up.stdout) == {"did": carol.did, "takenDown": False, "posts": 4}
    assert (posts(service), posts(service, 1)) == (7, 0)
    assert (await command(service, "takedown", "x")).returncode == 2
