"""`Site` on other sources than the relay: Jetstream and Tap servers retell its history beside it."""

from pathlib import Path
from typing import Any

import zstandard

from tests.ingest_site import Site
from tests.world.jetstream import Jetstream, wanted
from tests.world.tap import Tap

RELAY, V2, V1, TAP = "relay", "jetstream", "jetstream1", "tap"
KINDS = (RELAY, V2, V1, TAP)


class SourceSite(Site):
    """Reads `sources`, of KINDS, in this order of preference. Of each Jetstream there is one server, `jetstreams`."""

    def __init__(self, folder: Path, *sources: str, dictionary: bytes | None = None, **options: Any) -> None:
        super().__init__(folder, **options)
        self.sources = sources
        self.jetstreams = {
            name: Jetstream(self.world.relay, first_seq=seq) for name, seq in ((V2, 50_000_000), (V1, 70_000_000))
        }
        for jetstream in self.jetstreams.values():
            jetstream.dictionary = dictionary
        self.tap = Tap(self.world.relay, password="secret")

    async def begin(self) -> None:
        """Start the servers."""
        for server in (*self.jetstreams.values(), self.tap):
            await server.start()
            self._stack.push_async_callback(server.stop)

    @property
    def jetstream(self) -> Jetstream:
        """The Jetstream server among the sources."""
        (name,) = set(self.sources) & {V1, V2}
        return self.jetstreams[name]

    def urls(self) -> list[str]:
        """The sources as their cursors are stored."""
        names = {RELAY: self.world.relay_url, TAP: self.tap.url("admin")}
        names |= {name: server.url(name) for name, server in self.jetstreams.items()}
        return [names[source] for source in self.sources]

    def source(self) -> str:
        return ", ".join(self.urls()).replace("admin@", "admin:secret@")

    def connections(self) -> int:
        visits = sum(len(jetstream.visits) for jetstream in self.jetstreams.values())
        return len(self.world.relay.sessions) + visits + self.tap.connections

    @property
    def reading(self) -> str:
        """Which of the sources is read."""
        url = self.ingest.pipeline.source
        return self.sources[self.urls().index(url)] if self.ingest.subscription.state == "reading" else ""

    async def caught_up(self, seq: int | None = None) -> None:
        """Until everything that the source has sent so far is committed. `seq` is of the relay."""
        await self.until("reading", lambda: self.reading)
        if self.reading == RELAY:
            await super().caught_up(seq)
        elif self.reading == TAP:
            await self.until("acknowledgements", lambda: not self.tap.waiting)
        else:
            jetstream = self.jetstreams[self.reading]
            visit = jetstream.visits[-1]
            last = max(
                (line for line in jetstream.lines if line.told and wanted(visit, line.told)), key=lambda it: it.seq
            )
            by_time = self.ingest.pipeline.dialect.kind == "time_us"
            position = last.time_us if by_time else last.seq
            await self.until(f"position {position}", lambda: (self.ingest.pipeline.committed or 0) >= position)


def make_dictionary(seed: int = 1) -> bytes:
    """A small dictionary, trained on messages such as are sent."""
    samples = [
        b'{"did":"did:plc:%d","time_us":%d,"kind":"commit","commit":{"rev":"3l%d","operation":"create",'
        b'"collection":"app.bsky.feed.post","rkey":"3k%d"}}' % (seed * n, n * 7919, n * 31, n * seed)
        for n in range(2000)
    ]
    return zstandard.train_dictionary(4096, samples).as_bytes()


def carried(rows: dict[str, list[Any]], kind: str) -> dict[str, list[Any]]:
    """Rows without what a source cannot carry: of the time of an event, Tap says nothing and others something close.

    It decides where those posts stand whose own time makes no sense.
    """
    step = 10**18 if kind == TAP else 1000
    posts = [(*post[:4], post[4] // step, *post[5:]) for post in rows["posts"]]
    items = [(*item[:3], item[3] // step, *item[4:]) for item in rows["items"]]
    return rows | {"posts": posts, "items": items}
