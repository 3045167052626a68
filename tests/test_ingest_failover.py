"""Several sources in order of preference: the next is read when one fails, and nothing is lost or doubled (A3, A9)."""

import itertools
import random
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.history import History
from tests.ingest_site import QUICK, uris
from tests.source_site import RELAY, TAP, V1, V2, SourceSite, carried
from tests.world import frames
from tests.world.relay import Relay
from tests.world.retelling import retell

NOBODY = {"did": "did:plc:nobody", "handle": "nobody.test"}
SOON = replace(QUICK, preferred=0.05, silence=0.5)
PAIRS = [(RELAY, V2), (RELAY, V1), (V2, RELAY), (V1, RELAY), (V1, V2), (V2, V1), (TAP, RELAY), (RELAY, TAP)]


def poke(relay: Relay) -> bool:
    """Something happens that matters to nobody, so that a tip can be found; the clock stands still for it."""
    moment = next(told.time for entry in reversed(relay.history) for told in retell(entry))
    relay.emit(frames.message("#identity", NOBODY | {"seq": relay.head + 1, "time": moment}), did=NOBODY["did"])
    return False


async def fails(site: SourceSite, name: str) -> None:
    """A source ends its connections, and answers no more."""
    if name == RELAY:
        for _ in range(2000):
            site.world.relay.faults.refuse(503)
        await site.world.relay.drop()
    elif name == TAP:
        site.tap.password = "changed"
        await site.tap.drop()
    else:
        server = site.jetstreams[name]
        for _ in range(2000):
            server.faults.refuse(503)
        await server.drop()


def works(site: SourceSite, name: str) -> None:
    """It answers again."""
    if name == TAP:
        site.tap.password = "secret"
        return
    faults = site.world.relay.faults if name == RELAY else site.jetstreams[name].faults
    while faults.take().refuse is not None:
        pass


async def reads(site: SourceSite, name: str) -> None:
    """Wait until this source is read; meanwhile something always happens, so that a tip can be found."""
    count = itertools.count()

    def reading() -> bool:
        if next(count) % 20 == 0:
            poke(site.world.relay)
        return site.reading == name and site.ingest.pipeline.received > 0

    await site.until(f"{name} to be read", reading)


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a9_a_failover_in_the_middle_loses_and_doubles_nothing(tmp_path: Path, first: str, second: str) -> None:
    async with SourceSite(tmp_path, first, second, pace=replace(SOON, preferred=3600)) as site:
        site.world.pds.failing = 503  # nothing is mended by reading repositories
        alice, bob = site.people("alice", "bob")
        posts = [alice.post("#python")]
        like = bob.like(posts[0])
        await reads(site, first)
        await site.caught_up()
        away = bob.post("#python")
        await site.caught_up()
        await fails(site, first)
        # Of this, the first source tells nothing any more.
        posts += [alice.post("#python"), away]
        alice.reply(posts[0], "yes")
        bob.delete(like)
        bob.delete(away)
        await reads(site, second)
        posts.append(alice.post("#python"))
        bob.like(posts[-1])
        await site.caught_up()
        assert await site.feed() == uris(posts[3], posts[1], posts[0])
        assert site.counts(posts[0]) == (0, 0, 1, 0)
        assert site.counts(posts[3]) == (1, 0, 0, 0)
        assert site.ingest.subscription.states[site.urls()[0]].startswith("left: ")
        kinds = dict(site.rows("SELECT url, kind FROM source"))
        wanted = {RELAY: "seq", V2: "seq", V1: "time_us", TAP: "none"}
        assert kinds == {url: wanted[name] for url, name in zip(site.urls(), site.sources, strict=True)}


async def test_the_preferred_source_is_read_again_when_it_works_again(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2, V1, RELAY, pace=SOON) as site:
        (alice,) = site.people("alice")
        posts = [alice.post("#python")]
        await site.caught_up()
        await fails(site, V2)
        posts.append(alice.post("#python"))
        await fails(site, V1)
        posts.append(alice.post("#python"))
        await reads(site, RELAY)
        posts.append(alice.post("#python"))
        await site.caught_up()
        works(site, V2)
        await reads(site, V2)
        posts.append(alice.post("#python"))
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))
        assert site.ingest.subscription.states[site.urls()[2]] == "in reserve"
        assert site.closes["a better source is back"] == 1


async def test_a_source_that_falls_silent_is_left_at_once(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2, RELAY, pace=replace(SOON, preferred=3600, silence=0.3)) as site:
        server = site.jetstreams[V2]
        (alice,) = site.people("alice")
        await site.caught_up()
        server.faults.stall_after(120)
        await server.drop()
        await site.until("the next connection", lambda: len(server.visits) == 2 and site.reading)
        post = alice.post("#python")
        for _ in range(150):
            alice.like(post)
        await reads(site, RELAY)
        last = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == uris(last, post)
        assert site.closes["silent"] == 1


async def test_s84_a_source_that_was_set_up_anew_is_not_read_and_another_one_is(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, RELAY, V2, pace=SOON) as site:
        (alice,) = site.people("alice")
        posts = [alice.post("#python")]
        await site.caught_up()
        site.world.relay.rebuild()
        await site.world.relay.drop()
        posts.append(alice.post("#python"))
        await reads(site, V2)
        posts.append(alice.post("#python"))
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))
        assert site.ingest.subscription.states[site.urls()[0]].startswith("stopped: ")
        # It is not tried again, although it is preferred and answers.
        connections = len(site.world.relay.sessions)
        assert site.ingest.subscription._order.better() == []
        posts.append(alice.post("#python"))
        await site.caught_up()
        assert len(site.world.relay.sessions) == connections


async def test_a_start_goes_on_with_the_preferred_source_from_where_the_other_was_left(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V1, RELAY, pace=SOON) as site:
        (alice,) = site.people("alice")
        posts = [alice.post("#python")]
        await site.caught_up()
        await fails(site, V1)
        await reads(site, RELAY)
        posts.append(alice.post("#python"))
        await site.caught_up()
        await site.stop()
        works(site, V1)
        posts.append(alice.post("#python"))
        site.open()
        await site.start()
        await reads(site, V1)
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))


async def test_a3_a9_a_source_that_was_never_read_is_asked_from_a_time_or_found_by_steps(tmp_path: Path) -> None:
    """No cursor of one kind is ever sent to another (A3); the stretches overlap by a minute (A9)."""
    start = time.time_ns() // 1000 - 3_600_000_000
    clock = itertools.count(start, 200_000)  # five events a second
    async with SourceSite(tmp_path, V1, RELAY, V2, pace=replace(SOON, preferred=3600), now=lambda: next(clock)) as site:
        site.world.relay.jump(1_000_000)
        (alice,) = site.people("alice")
        for _ in range(1500):
            alice.follow(alice)
        post = alice.post("#python")
        await site.caught_up()
        (last,) = site.rows("SELECT event_at FROM source")[0]
        await fails(site, V1)
        await reads(site, RELAY)
        asked = site.world.relay.connections
        assert asked[0] is None  # where is the tip?
        seqs = [cursor for cursor in asked if cursor is not None]
        assert seqs and max(seqs) < site.world.relay.head and all(seq < 10**15 for seq in seqs)
        first = next(entry for entry in site.world.relay.history if entry.seq > seqs[-1])
        told = next(iter(retell(first)))
        began = int(datetime.fromisoformat(told.time).timestamp() * 1_000_000)
        assert began < last - 60_000_000
        await fails(site, RELAY)
        await reads(site, V2)
        cursor = site.jetstreams[V2].visits[-1].cursor
        assert cursor is not None and cursor > 10**15
        again = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == uris(again, post)


async def test_a9_whatever_is_cut_and_wherever_the_rows_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    start = time.time_ns() // 1000 - 3_600_000_000
    dumps = []
    for disturbed in (False, True):
        folder = tmp_path / str(disturbed)
        folder.mkdir()
        clock = itertools.count(start, 1000)
        names = (V2, RELAY, V1) if disturbed else (RELAY,)
        pace = replace(SOON, preferred=0.2)
        async with SourceSite(folder, *names, pace=pace, now=lambda clock=clock: next(clock)) as site:  # type: ignore[misc]
            site.world.pds.failing = 503
            rng = random.Random(11)
            history = History(site.world, 11, leave=False)
            used = set()
            for _ in range(6):
                history.run(40)
                if disturbed:
                    broken = rng.sample(names, rng.randrange(1, 3))
                    for name in broken:
                        await fails(site, name)
                    rest = [name for name in names if name not in broken]
                    history.run(20)

                    def moved(rest: list[str] = rest) -> object:
                        return site.reading in rest or poke(site.world.relay)

                    await site.until("another source", moved)
                    used.add(site.reading)
                    for name in broken:
                        works(site, name)
                else:
                    history.run(20)
                poke(site.world.relay)
                await site.until("reading", lambda: site.reading or poke(site.world.relay))
                await site.caught_up()
            if disturbed:
                assert len(used) > 1
            dumps.append(carried(site.dump(), V1))
    assert len(dumps[0]["items"]) > 10
    assert dumps[0] == dumps[1]
