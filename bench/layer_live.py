"""Joining and changing while the stream goes on: the real ingest and web app in one process, a simulated network.

Nobody else does anything, so what is measured is how long each has to wait, and how long everybody would.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import uvloop

from firehose.pace import Pace
from service.config import read_config
from service.process import settle
from service.wiring import serving
from tests.town_site import TownSite
from tests.world import Account

BY_RECORD = "from a join by record to the member's post in the feed"
BY_XRPC = "from a join by XRPC to the member's post in the feed"
EARLIER = "from a join by record to what the member wrote before"
CHANGED = "from a changed record to the new rule in force"
STALL = "the loop stands still for a changed record"
IDLE = "the loop stands still while nothing happens"
_JOIN = "social.communities.join"
_SKELETON = "app.bsky.feed.getFeedSkeleton"
_SERVICE = "did:web:feeds.example.org"


class Live(NamedTuple):
    """Milliseconds of each, by what was measured."""

    times: dict[str, list[float]]


def measure(folder: Path, rounds: int) -> Live:
    """On the town whose database and rules stand in `folder`."""
    return uvloop.run(_measure(folder, rounds))


async def _measure(folder: Path, rounds: int) -> Live:
    rules = (folder / "communities.toml").read_text(encoding="utf-8")
    async with TownSite(folder, rules=rules, pace=Pace(resync=0.5), check=False) as site:
        config = read_config(
            {
                "COMMUNITIES_HOSTNAME": _SERVICE.removeprefix("did:web:"),
                "COMMUNITIES_DATA": str(folder / "data"),
                "COMMUNITIES_RULES": str(site.rules),
                "COMMUNITIES_SOURCE": site.world.relay_url,
                "COMMUNITIES_PLC_URL": site.world.plc_url,
                "COMMUNITIES_EGRESS_ALLOW": "127.0.0.1",
                "COMMUNITIES_LISTEN_PORT": "0",
                "COMMUNITIES_METRICS_PORT": "0",
            }
        )
        async with serving(config) as (door, _, _), aiohttp.ClientSession(f"http://127.0.0.1:{door.port}") as client:
            settle()  # as the processes do
            return Live(await _Town(site, client).turns(rounds))


class _Town:
    def __init__(self, site: TownSite, client: aiohttp.ClientSession) -> None:
        self._site = site
        self._client = client
        self._found: dict[str, list[float]] = {}

    async def turns(self, rounds: int) -> dict[str, list[float]]:
        """Everything, several times."""
        site = self._site
        (olga,) = site.people("olga")
        club = site.found(olga, "club", posting="members")
        fans = site.found(olga, "fans", include={"joined": True}, posting="members")
        await site.founded(club, fans)
        uri = f"at://{olga.did}/app.bsky.feed.generator/"
        for turn in range(rounds):
            ann, bob, cat = site.people(f"ann{turn}", f"bob{turn}", f"cat{turn}")

            async def by_record(ann: Account = ann) -> None:
                site.join(ann, club)
                await self._shown(uri + "club", ann.post("hello #club").uri)

            async def by_xrpc(bob: Account = bob) -> None:
                token = {"Authorization": f"Bearer {bob.service_jwt(_SERVICE, _JOIN)}"}
                async with self._client.post(f"/xrpc/{_JOIN}", json={"community": "club"}, headers=token) as answer:
                    assert answer.status == 200, await answer.text()
                await self._shown(uri + "club", bob.post("hello #club").uri)

            async def earlier(cat: Account = cat) -> None:
                before = cat.post("long ago")
                site.join(cat, fans)
                await self._shown(uri + "fans", before.uri)

            async def changed(tag: str = f"tag{turn}") -> None:
                olga.update(club, {"include": {"hashtags": ["club", tag]}})
                await site.until(tag, lambda: tag in site.ingest.scope.matcher.tags)

            async def nothing() -> None:
                await asyncio.sleep(1.5)

            for what, work in ((BY_RECORD, by_record), (BY_XRPC, by_xrpc), (EARLIER, earlier)):
                await self._time(what, work)
            self._note(STALL, await self._stall(lambda: self._time(CHANGED, changed)))
            self._note(IDLE, await self._stall(nothing))
        return self._found

    def _note(self, what: str, milliseconds: float) -> None:
        self._found.setdefault(what, []).append(milliseconds)

    async def _time(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        began = time.perf_counter()
        await work()
        self._note(what, (time.perf_counter() - began) * 1000)

    async def _stall(self, work: Callable[[], Awaitable[None]]) -> float:
        """The longest that the loop stood still meanwhile, milliseconds."""
        longest, over = 0.0, asyncio.Event()

        async def tick() -> None:
            nonlocal longest
            last = time.perf_counter()
            while not over.is_set():
                await asyncio.sleep(0.001)
                longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

        ticking = asyncio.create_task(tick())
        await work()
        await asyncio.sleep(0.5)
        over.set()
        await ticking
        return longest * 1000

    async def _shown(self, feed: str, post: str) -> None:
        """Until a post is on page one of a feed."""
        query = {"feed": feed, "limit": "50"}
        end = time.monotonic() + 60
        while time.monotonic() < end:
            async with self._client.get(f"/xrpc/{_SKELETON}", params=query) as answer:
                body = await answer.json()
                assert answer.status == 200, body
            if any(item["post"] == post for item in body["feed"]):
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{post} is not in {feed}: {self._site.ingest.state()}")
