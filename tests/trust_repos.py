"""How accounts that are followed are struck while their repositories are read, and how they change themselves.

Each strikes a member who is followed as he is now, under the name of a fault (tests/trust_catalogue.py).
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.trust_stream import Strike, read_anew, tell_by_sync
from tests.world import Account, outages

if TYPE_CHECKING:
    from tests.fault_run import FaultRun

REFUSED, INACTIVE = "repositories refused", "accounts not active"

# Repositories that are not to be had, or are wrong


def answered(wrong: Callable[[random.Random], outages.Outage]) -> Strike:
    """The host answers wrongly when it is first asked for the repository."""

    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        run.history.withheld(member)
        await read_anew(run, member, tell_by_sync, replace(wrong(run.rng), name=name))

    return strike


def gone(status: str) -> Strike:
    """An account is not active for a while: its host says so when it is asked, and the stream when it is back."""

    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        run.history.withheld(member)
        run.history.vanish(member, status)
        member.sync()
        hidden = "SELECT 1 FROM actor WHERE did = ? AND active = 0 AND status = ?"
        await run.reach(name, lambda: run.site.rows(hidden, member.did, status))
        run.world.fired[name] += 1
        run.history.run(15)
        await run.settle()
        run.history.back(member)

    return strike


async def by_mistake(run: "FaultRun", member: Account, name: str) -> None:
    """The host says once that an account which is active were not; nobody else ever says a word of it."""
    run.history.withheld(member)
    before = run.noticed(INACTIVE)

    async def tell(run: "FaultRun", member: Account) -> None:
        member.sync()
        await run.reach(name, lambda: run.noticed(INACTIVE) > before)
        run.hours_later()

    await read_anew(run, member, tell, replace(outages.gone("RepoTakendown"), name=name))


async def old_key(run: "FaultRun", member: Account, name: str) -> None:
    run.history.withheld(member)
    run.history.rotate(member)
    await run.settle()
    before = run.noticed(REFUSED)
    run.hours_later()
    await run.reach("a refusal", lambda: run.noticed(REFUSED) > before)
    run.world.fired[name] += 1
    run.history.sign_anew(member)


async def behind(run: "FaultRun", member: Account, name: str) -> None:
    host = run.host(member)
    host.lag(member)
    run.history.withheld(member, lambda number, of: number < 2)
    await run.settle()
    before = run.noticed(REFUSED)
    member.sync()
    await run.reach("a refusal", lambda: run.noticed(REFUSED) > before)
    run.world.fired[name] += 1
    host.stale.clear()


async def ahead(run: "FaultRun", member: Account, name: str) -> None:
    await run.play_out()
    if not member.active:
        member = run.history.member()  # who was chosen has gone meanwhile, and nobody reads the repository
    await run.settle()
    relay, sessions = run.world.relay, len(run.world.relay.sessions)
    for _ in range(5):
        relay.faults.stall_after(0)
    await relay.drop()
    await run.reach("a stall", lambda: len(relay.sessions) > sessions)
    with run.history.staying(member):
        run.history.run(30)
    run.history.sign_anew(member)
    ahead, at = member.repo.rev, relay.head
    run.hours_later()
    await run.reach("the repository", lambda: run.rev(member) == ahead)
    run.world.fired[name] += (run.site.cursor or 0) < at
    relay.faults.clear()
    await relay.drop()
    await run.settle()


# What changes while a repository is read


def meanwhile(change: Callable[["FaultRun", Account], Any]) -> Strike:
    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        run.history.withheld(member)
        held = run.host(member).hold(member.did)
        member.sync()
        await run.reach("the repository to be asked for", held.asked.is_set)
        await run.settle()
        done = change(run, member)
        if done is not None:
            await done
        run.world.fired[name] += 1
        held.release()

    return strike


async def rotate(run: "FaultRun", member: Account) -> None:
    run.history.rotate(member)
    run.history.sign_anew(member)
    await run.settle()


async def move(run: "FaultRun", member: Account) -> None:
    run.history.migrate(member)
    run.history.sign_anew(member)
    await run.settle()


async def flood(run: "FaultRun", member: Account) -> None:
    before = run.noticed("account desynchronized")
    with patch("firehose.index.MOST_NOTED", 3):
        for write in run.history.say(member) + run.history.say(member):
            with suppress(KeyError):  # both may change the same
                run.history._tell(member, write)
        await run.reach("too much", lambda: run.noticed("account desynchronized") > before)
    await run.settle()


# The account itself


def changed(change: Callable[["FaultRun", Account], Any]) -> Strike:
    """A member signs with another key from now on, perhaps at another host: what he signs then is believed."""

    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        change(run, member)
        run.history.sign_anew(member)
        await run.settle()
        await run.followed(member)
        run.world.fired[name] += 1

    return strike


async def directory(run: "FaultRun", member: Account, name: str) -> None:
    fired = run.world.fired
    before = run.noticed("key not to be had")
    run.world.plc.failing = 503
    member.identity()
    run.history.withheld(member, lambda number, of: True)
    await run.reach("an unknown key", lambda: run.noticed("key not to be had") > before)
    fired[name] += 1
    run.world.plc.failing = None
