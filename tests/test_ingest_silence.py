"""A relay that answers pings and sends nothing any more: the connection is made anew; a quiet server is left alone."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.ingest_site import QUICK, Site


async def test_s82_a_busy_stream_that_falls_silent_is_asked_again(tmp_path: Path) -> None:
    site = Site(tmp_path, pace=replace(QUICK, silence=0.3))
    site.world.relay.faults.stall_after(60)
    async with site:
        (alice,) = site.people("alice")
        posts = [alice.post(f"#python {n}") for n in range(100)]
        await site.caught_up(posts[-1].seq)
        assert site.closes.get("silent") and len(site.world.relay.sessions) >= 2
        assert len(await site.feed()) == 100


async def test_a_server_that_has_brought_nothing_yet_keeps_its_connection(tmp_path: Path) -> None:
    async with Site(tmp_path, pace=replace(QUICK, silence=0.03)) as site:
        await asyncio.sleep(0.3)  # the quietness of the server, ten times as long
        assert not site.closes and len(site.world.relay.sessions) == 1


async def test_a26_a_connection_that_brings_nothing_at_all_is_left_too(tmp_path: Path) -> None:
    async with Site(tmp_path, pace=replace(QUICK, silence=0.2)) as site:
        first = site.world.account("alice").post("#python")
        await site.caught_up()
        for _ in range(2):
            site.world.relay.faults.stall_after(0)
        await site.world.relay.drop()
        last = site.world.account("bob").post("#python")
        await site.caught_up()
        assert await site.feed() == [last.uri, first.uri]
        assert site.closes["silent"] >= 2
