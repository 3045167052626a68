"""How accounts that are followed are struck on the stream: events that do not come, and commits that are wrong.

Each strikes a member who is followed as he is now, under the name of a fault (tests/trust_catalogue.py).
"""

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cbrrr import CID, decode_dag_cbor

from tests.bad_commits import Payload
from tests.consumer import blocks_of
from tests.fault_catalogue import OUTDATED
from tests.followed import Heard
from tests.world import Account, Write, outages
from tests.world.clock import tid, wall
from tests.world.faults import Script

if TYPE_CHECKING:
    from tests.fault_run import FaultRun

Strike = Callable[["FaultRun", Account, str], Awaitable[None]]
"""Strikes a member with the fault of that name."""
Tell = Callable[["FaultRun", Account], Awaitable[None] | None]
"""Lets it be known that a member must be read."""
GET_REPO = "com.atproto.sync.getRepo"

# Ways to let it be known that something was not heard


def tell_by_sync(run: "FaultRun", member: Account) -> None:
    member.sync()


def tell_by_commit(run: "FaultRun", member: Account) -> None:
    run.history.sign_anew(member)


def tell_nothing(run: "FaultRun", member: Account) -> None:
    """An hour later the host is asked."""
    run.hours_later()


async def read_anew(run: "FaultRun", member: Account, tell: Tell, *wrong: outages.Outage) -> None:
    """Let it be known that a member must be read; his host answers wrongly first, and people go on meanwhile."""
    host = run.host(member)
    host.outages.add(GET_REPO, *wrong)
    held = host.hold(member.did)
    told = tell(run, member)
    if told is not None:
        await told
    await run.reach("the repository to be asked for", held.asked.is_set)
    run.history.run(15)
    await run.settle()
    held.release()
    await run.read_unread()


# Events that do not come


def swallowed(heard: Heard, tell: Tell) -> Strike:
    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        run.world.fired[name] += run.history.withheld(member, heard)
        await read_anew(run, member, tell)

    return strike


async def all_of_all(run: "FaultRun", member: Account, name: str) -> None:
    for one in run.history.members():
        await run.followed(one)
    for one in run.history.members():
        run.world.fired[name] += run.history.withheld(one)
    for one in run.history.members():
        run.history.sign_anew(one)


async def while_down(run: "FaultRun", member: Account, name: str) -> None:
    with run.history.staying(member):
        await run.play_out()
        await run.settle()
        await run.followed(member)
    await run.site.stop()
    run.history.withheld(member, lambda number, of: True)
    run.world.relay.trim()
    run.site.reopen()
    await run.site.start()
    run.world.fired[name] += 1
    run.history.sign_anew(run.history.curator)
    await run.settle()


async def jumped(run: "FaultRun", member: Account, name: str) -> None:
    with run.history.staying(member):
        await run.play_out()
        await run.settle()
        await run.followed(member)
    run.history.withheld(member)
    run.world.relay.jump(10**6)
    run.world.relay.faults.add(Script(first=(replace(OUTDATED, name=name),)))
    await read_anew(run, member, lambda run, member: run.world.relay.drop())


# Commits that are wrong


def wrong(change: Callable[[Payload], Payload], sign: Callable[[Account, bytes], bytes] | None = None) -> Strike:
    """A commit is sent wrong, as `change` makes it or as `sign` signs it, and never right; then comes the next."""

    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        signed = {"sign": lambda data: sign(member, data)} if sign else {}

        def tell(run: "FaultRun", member: Account) -> None:
            run.history.wrongly(member, name, change, **signed)
            run.history.sign_anew(member)

        await read_anew(run, member, tell)

    return strike


def same(payload: Payload) -> Payload:
    return payload


def flip(at: float) -> Callable[[Payload], Payload]:
    def change(payload: Payload) -> Payload:
        car = bytearray(payload["blocks"])
        car[int(at * len(car))] ^= 1
        return payload | {"blocks": bytes(car)}

    return change


def root_of(payload: Payload) -> CID:
    """The root of the tree that a commit names."""
    root, blocks = blocks_of(payload["blocks"])
    commit: Any = decode_dag_cbor(blocks[root])
    return commit["data"]


async def unchained(run: "FaultRun", member: Account, name: str) -> None:
    run.history.wrongly(member, name, lambda payload: {key: payload[key] for key in payload if key != "prevData"})
    await run.settle()


def forge(
    sign: Callable[["FaultRun", Account, bytes], bytes], *, ahead: int = 0, changes: Mapping[str, Any] | None = None
) -> Strike:
    """A commit that no repository holds: it brings one record, and deletes others. `ahead`: of our clock, microseconds;
    `changes`: of the commit block.
    """

    async def strike(run: "FaultRun", member: Account, name: str) -> None:
        forged, now = copy.copy(member.repo), run.world.clock
        forged.records = dict(forged.records)
        value = {"$type": "app.bsky.feed.post", "text": "forged", "tags": ["python", "rust"], "createdAt": now.iso()}
        writes = [Write("create", f"app.bsky.feed.post/{now.tid()}", value)]
        writes += [Write("delete", path) for path in list(forged.records)[:2]]
        rev = tid(wall() + ahead) if ahead else now.tid()
        payload = forged.commit(writes, rev, sign=lambda data: sign(run, member, data), changes=changes)
        run.world.relay.send("#commit", payload, fault=name)
        await run.settle()

    return strike


async def backup(run: "FaultRun", member: Account, name: str) -> None:
    backup = vars(member.repo) | {"records": dict(member.repo.records)}
    for write in run.history.say(member):
        run.history._tell(member, write)
    await run.settle()
    run.history.restore(member, backup)
    run.world.fired[name] += 1
    await read_anew(run, member, tell_by_commit)
