"""Random histories of many people, held against a naive reading of the same; and one history read several times."""

import itertools
import random
import time
from pathlib import Path

import pytest

from tests.history import History
from tests.ingest_rows import COUNTS
from tests.ingest_site import Site
from tests.world.faults import Edit, Script

EVENTS = 400


def stored_counts(site: Site) -> dict[str, tuple[int, ...]]:
    query = f"SELECT did, rkey, {', '.join(COUNTS)} FROM post JOIN actor ON actor.id = post.actor"
    return {f"at://{did}/app.bsky.feed.post/{rkey}": tuple(counts) for did, rkey, *counts in site.rows(query)}


@pytest.mark.parametrize("seed", range(6))
async def test_feeds_and_counts_are_what_happened(tmp_path: Path, seed: int) -> None:
    async with Site(tmp_path, seed=seed) as site:
        history = History(site.world, seed)
        for _ in range(4):
            history.run(EVENTS // 4)
            await site.caught_up()
            assert await site.feeds("python", "rust") == {slug: history.feed(slug) for slug in ("python", "rust")}
            assert stored_counts(site) == history.counts()
        assert site.dropped == {}
        assert site.ingest.index.counts["commit already applied"] == 0
        assert len(history.counts()) > 20
        assert all(map(any, zip(*history.counts().values(), strict=True)))


async def test_invariant_2_the_whole_log_again_changes_nothing(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        History(site.world, 99).run(EVENTS)
        await site.caught_up()
        expected = site.dump()
        for start in (0, site.world.relay.head // 2):
            await site.rewind(start)
            await site.caught_up()
            assert site.dump() == expected
            assert site.ingest.index.counts["commit already applied"] > 100


async def test_invariant_2_whatever_pieces_the_stream_comes_in(tmp_path: Path) -> None:
    """Connections that are cut anywhere, frames that come several times, restarts: the rows of an undisturbed run."""
    start = time.time_ns() // 1000 - 3_600_000_000
    dumps = []
    for disturbed in (False, True):
        folder = tmp_path / str(disturbed)
        folder.mkdir()
        clock = itertools.count(start, 1000)
        async with Site(folder, now=lambda clock=clock: next(clock)) as site:  # type: ignore[misc]
            rng = random.Random(7)
            history = History(site.world, 7)
            for _ in range(4):
                if disturbed:
                    for _ in range(12):
                        again: dict[int, Edit] = {rng.randrange(1, 9): lambda frame: (frame,) * 3}
                        site.world.relay.faults.add(Script(abort_after=rng.randrange(1, 12), edits=again))
                    await site.world.relay.drop()
                history.run(EVENTS // 4)
                await site.caught_up()
                assert ("seq not rising" in site.dropped) == disturbed
                if disturbed:
                    await site.again()
            assert (len(site.world.relay.sessions) > 30) == disturbed
            dumps.append(site.dump())
    assert len(dumps[0]["items"]) > 20
    assert dumps[0] == dumps[1]
