"""Random histories of many people, held against a naive reading of the same; and one history read several times."""

import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.history import History, declaration, rules
from tests.ingest_rows import seen
from tests.ingest_site import Site
from tests.oracle import Verdict
from tests.world.faults import Edit, Script

EVENTS = 400


def stepping(start: int | None = None) -> Callable[[], int]:
    """A clock that gives the same times in every run that begins at the same time (default: an hour ago)."""
    clock = itertools.count(start or (time.time_ns() // 1_000_000 - 3_600_000) * 1000, 1000)
    return lambda: next(clock)


def site_of(folder: Path, seed: int, start: int | None = None) -> Site:
    """A site whose communities are those of the history of this seed."""
    return Site(folder, declaration(rules(seed)), seed=seed, now=stepping(start))


async def judge(site: Site, history: History) -> Verdict:
    """The index and what readers get, held against what people did."""
    await site.settled()
    found = seen(site.connection)
    for slug in found.feeds:
        assert await site.feed(slug) == found.feeds[slug][:100]
    return history.oracle.verdict(found)


@pytest.mark.parametrize("seed", range(6))
async def test_the_index_is_what_people_did(tmp_path: Path, seed: int) -> None:
    async with site_of(tmp_path, seed) as site:
        history = History(site.world, seed)
        for _ in range(4):
            history.run(EVENTS // 4)
            verdict = await judge(site, history)
            assert verdict.clean, verdict
            # True rows that the stream alone would not have brought: how many depends on what was read meanwhile.
            assert len(verdict.early) < EVENTS // 100, verdict
        must = history.oracle.index()
        assert len(must.posts) > 20
        assert all(map(any, zip(*(counts for _, counts in must.posts.values()), strict=True)))
        assert len(history.deeds) > 12


async def test_invariant_2_the_whole_log_again_changes_nothing(tmp_path: Path) -> None:
    async with site_of(tmp_path, 1) as site:
        History(site.world, 99).run(EVENTS)
        await site.rested()
        expected = site.dump()
        for start in (0, site.world.relay.head // 2):
            await site.rewind(start)
            await site.rested()
            assert site.dump() == expected
            assert site.ingest.index.counts["commit already applied"] > 100


async def test_invariant_2_whatever_pieces_the_stream_comes_in(tmp_path: Path) -> None:
    """Connections that are cut anywhere, frames that come several times, restarts: the rows of an undisturbed run."""
    start = (time.time_ns() // 1_000_000 - 3_600_000) * 1000
    dumps = []
    for disturbed in (False, True):
        folder = tmp_path / str(disturbed)
        folder.mkdir()
        async with site_of(folder, 1, start) as site:
            rng = random.Random(7)
            history = History(site.world, 7)
            for _ in range(4):
                if disturbed:
                    for _ in range(12):
                        again: dict[int, Edit] = {rng.randrange(1, 9): lambda frame: (frame,) * 3}
                        site.world.relay.faults.add(Script(abort_after=rng.randrange(1, 12), edits=again))
                    await site.world.relay.drop()
                history.run(EVENTS // 4)
                await site.settled()
                assert ("seq not rising" in site.dropped) == disturbed
                if disturbed:
                    await site.again()
            assert (len(site.world.relay.sessions) > 30) == disturbed
            dumps.append(site.dump())
    assert len(dumps[0]["items"]) > 20
    assert dumps[0] == dumps[1]
