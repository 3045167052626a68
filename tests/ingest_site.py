"""The way from the relay to the feed, in one process: the simulated network, the real ingest on a real file, the real
web app beside it. Whoever leaves it without a failure has its database checked for what must hold at any rest.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import apsw

from firehose.backoff import Backoff
from firehose.housekeeping import DAY
from firehose.ingest import Ingest
from firehose.lists import ListReader
from firehose.pace import Pace
from firehose.proofs import Proofs
from firehose.resync import Resync
from firehose.source import parse_sources
from firehose.sweep import Sweep
from firehose.times import now_micros
from models.database import Connection, open_database, sql, writing
from service.config import read_config
from service.wiring import serving
from tests.ingest_rows import COUNTS, check_rest, dump
from tests.service_process import PATIENCE
from tests.world import Account, Record, World
from tests.world.clock import wall
from xrpc.egress import egress_session
from xrpc.resolver import DidResolver

T = TypeVar("T")

QUICK = Pace(tick=0.01, batch=0.02, cursor=0.02, rules=0.03, report=0.1, stand_still=0.02, lists=0.02,
             resync=0.01, sweep=0.01, patience=0.001)  # fmt: skip
PUBLISHER = "did:web:feeds.example.com"
RULES = """
[[community]]
slug = "python"
name = "Python"
include.hashtags = ["python"]
include.keywords = ["type hints"]

[[community]]
slug = "rust"
name = "Rust"
include.hashtags = ["rust"]
exclude.hashtags = ["game"]
"""
DUE = (
    "SELECT 1 FROM repo r JOIN actor a ON a.id = r.actor WHERE a.active = 1 AND a.purge = 0 AND (r.state = 'resyncing'"
    " OR (r.state IN ('pending', 'desynchronized') AND r.due_at <= ?))"
)
REAPPLIED = "SELECT 1 FROM meta WHERE key = 'reapply_after' UNION ALL SELECT 1 FROM reapply"
"""No row: all stored posts were held against the rules in force."""
REVISION = "SELECT value FROM meta WHERE key = 'rules_revision'"


class Site:
    """`ingest` is the real one; it reads `world.relay` when `start` was called, as `async with` does."""

    def __init__(
        self,
        folder: Path,
        rules: str = RULES,
        *,
        seed: int = 1,
        now: Callable[[], int] = wall,
        retention: int = 90 * DAY,
        max_age: int = 7 * DAY,
        pace: Pace = QUICK,
        check: bool = True,
        verify: str = "none",
    ) -> None:
        self.world = World(seed, now)
        self.folder = folder
        self.rules = folder / "communities.toml"
        self.rules.write_text(rules, encoding="utf-8")
        self.path = folder / "data" / "communities.db"
        self.retention = retention
        self.max_age = max_age
        self.pace = pace
        self.check = check
        self.verify = verify
        self._stack = AsyncExitStack()
        self._starts = 0
        self._door: tuple[aiohttp.ClientSession, str] | None = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.world)
        self.session = await self._stack.enter_async_context(egress_session(("127.0.0.1",)))
        await self.begin()
        self.open()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
            if error is None and self.check:
                with writing(self._database) as connection:
                    check_rest(connection)
        finally:
            self._database.close()
            await self._stack.aclose()

    # What is read

    async def begin(self) -> None:
        """Start what is needed beside the world."""

    def source(self) -> str:
        """The setting of that name."""
        return self.world.relay_url

    def connections(self) -> int:
        """How many connections the ingest has made so far."""
        return len(self.world.relay.sessions)

    # The ingest process

    def open(self) -> Ingest:
        """Build the ingest as a process does that starts on the database as it is, without reading yet."""
        self._database = open_database(self.path)
        self.resolver = DidResolver(self.session, self.world.plc_url, allow=("127.0.0.1",), plc_per_second=10_000.0)
        self.proofs = None if self.verify == "none" else Proofs(self.resolver, everything=self.verify == "all")
        self.ingest = Ingest(
            self._database,
            parse_sources(self.source()),
            self.rules,
            "communities/test (+https://feeds.example.com)",
            retention=self.retention,
            max_age=self.max_age,
            proofs=self.proofs,
            session=self.session,
            pace=self.pace,
            backoff=Backoff(first=0.001, longest=0.02),
        )
        self.ingest.on_identity(self.resolver.forget)
        index, scope = self.ingest.index, self.ingest.scope
        self.resync = Resync(
            self._database, index, scope, self.resolver, self.session, retention=self.retention, pace=self.pace
        )
        self.sweep = Sweep(self._database, index, self.resolver, self.session, pace=self.pace)
        self.ingest.counters |= {"resync": self.resync.counts, "sweep": self.sweep.counts}
        return self.ingest

    async def start(self) -> None:
        """Read; returns once connected, so that everything sent afterwards arrives."""
        connections = self.connections()
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(self.ingest.run(self._stop))
        self._beside = [asyncio.create_task(one.run(self._stop)) for one in (self.resync, self.sweep)]
        await self.until("the connection", lambda: self.connections() > connections)

    async def stop(self) -> None:
        """As SIGTERM does. A failure of the ingest is raised here."""
        self._stop.set()
        await asyncio.wait_for(self.task, 20 * PATIENCE)
        await asyncio.wait_for(asyncio.gather(*self._beside), 20 * PATIENCE)
        if self.proofs is not None:
            await self.proofs.close()
        await self.resolver.close()

    async def again(self) -> None:
        """Stop, and start anew on the same file."""
        await self.stop()
        self.reopen()
        await self.start()

    def reopen(self) -> None:
        """`open` anew what was stopped."""
        self._database.close()
        self.open()

    async def read_lists(self, interval: float = 3600.0) -> ListReader:
        """Read the lists that rules name from their owners' PDS, and again every `interval` seconds, until the end."""
        session = await self._stack.enter_async_context(egress_session(("127.0.0.1",)))
        reader = ListReader(
            self.ingest.database,
            self.ingest.index,
            DidResolver(session, self.world.plc_url, allow=("127.0.0.1",)),
            session,
            int(interval * 1_000_000),
            self.ingest.lists_changed,
            pace=self.pace,
        )
        self.ingest.on_doubt(reader.doubt)
        reading = asyncio.create_task(reader.run(self._stop))
        self._stack.push_async_callback(asyncio.wait_for, reading, 20 * PATIENCE)
        return reader

    async def declare(self, rules: str) -> None:
        """Write the rules file anew; returns once the rules are in force and all posts were held against them."""
        before = self.rows(REVISION)
        self.rules.write_text(rules, encoding="utf-8")
        await self.until("the rules", lambda: self.rows(REVISION) != before)
        await self.until("reapplied", lambda: not self.rows(REAPPLIED))

    async def rewind(self, seq: int) -> None:
        """Stop, move the cursor as an operator does with `communities cursor reset --to`, and start anew."""
        await self.stop()
        with writing(self._database) as connection:
            connection.execute("UPDATE source SET cursor = ?", (seq,))
            connection.execute("UPDATE actor SET account_seq = 0")
        self.reopen()
        await self.start()

    async def until(self, what: str, check: Callable[[], T], deadline: float = 20) -> T:
        """The first truthy answer of `check`; AssertionError at the deadline, or the failure of the ingest."""
        end = time.monotonic() + deadline * PATIENCE
        while not (answer := check()):
            if self.task.done():
                await self.task
            assert time.monotonic() < end, f"waited in vain for {what}: {self.ingest.state()}"
            await asyncio.sleep(0.002)
        return answer

    async def caught_up(self, seq: int | None = None) -> None:
        """Until everything that the relay has sent so far, or up to `seq`, is committed."""
        wanted = self.world.relay.head if seq is None else seq
        await self.until(f"cursor {wanted}", lambda: (self.cursor or 0) >= wanted)

    async def settled(self) -> None:
        """`caught_up`, no list and no account to be purged waits, and housekeeping has nothing to do."""
        await self.caught_up()
        changed = "SELECT 1 FROM meta WHERE key = 'lists_changed'"
        await self.until("lists taken over", lambda: not self.rows(changed))
        await self.until("purged", lambda: not self.rows("SELECT 1 FROM actor WHERE purge != 0"))
        await self.until("in force", lambda: not self.ingest.in_force.stale)
        await self.until("reapplied", lambda: not self.rows(REAPPLIED))
        await self.until("no housekeeping", lambda: not self.ingest.housekeeping.step(self.ingest.scope.matcher))

    async def rested(self) -> None:
        """`settled`, and nobody's host is still to be asked, nobody's repository to be read."""
        await self.caught_up()
        index, sweep = self.ingest.index, self.sweep
        await self.until("asked for", lambda: not index.doubts and not sweep.looking)
        await self.until("read", lambda: not self.rows(DUE, now_micros()))
        await self.settled()

    async def marked(self) -> None:
        """An event that certainly arrives is committed; for streams whose last frames have no position."""
        await self.caught_up(self.world.account(f"marker{len(self.world.accounts)}").post("#marker").seq)

    # What came of it

    @property
    def connection(self) -> Connection:
        """That of the ingest."""
        return sql(self._database)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database as the connection of the ingest sees them."""
        return sql(self._database).execute(query, values).fetchall()

    @property
    def cursor(self) -> int | None:
        """The stored cursor."""
        rows = self.rows("SELECT cursor FROM source WHERE url = ?", self.world.relay_url)
        return rows[0][0] if rows else None

    @property
    def dropped(self) -> dict[str, int]:
        """What was left out, by reason."""
        return dict(self.ingest.scope.dropped)

    @property
    def closes(self) -> dict[str, int]:
        """How connections ended."""
        return dict(self.ingest.subscription.closes)

    def counts(self, post: Record) -> tuple[int, ...] | None:
        """Likes, reposts, replies and quotes of a post; None when it is not indexed."""
        query = (
            f"SELECT {', '.join(COUNTS)} FROM post JOIN actor ON actor.id = post.actor WHERE actor.did = ? AND rkey = ?"
        )
        rows = self.rows(query, post.did, post.rkey)
        return rows[0] if rows else None

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that was made of the stream, free of ids, to be compared with another run."""
        return dump(sql(self._database))

    async def door(self) -> tuple[aiohttp.ClientSession, str]:
        """A session, and the URL of the real web app beside the ingest, which is started when first asked for."""
        if self._door is None:
            settings = {
                "hostname": "feeds.example.com",
                "data": str(self.path.parent),
                "rules": str(self.rules),
                "source": self.world.relay_url,
                "plc_url": self.world.plc_url,
                "egress_allow": "127.0.0.1",
                "listen_port": "0",
                "metrics_port": "0",
            }
            config = read_config({"COMMUNITIES_" + key.upper(): value for key, value in settings.items()})
            door, *_ = await self._stack.enter_async_context(serving(config))
            session = await self._stack.enter_async_context(aiohttp.ClientSession())
            self._door = session, f"http://127.0.0.1:{door.port}"
        return self._door

    async def feed(self, slug: str = "python", status: int = 200, publisher: str = PUBLISHER) -> list[str]:
        """The posts of a feed as a client gets them; [] when another `status` is expected."""
        session, url = await self.door()
        query = {"feed": f"at://{publisher}/app.bsky.feed.generator/{slug}", "limit": "100"}
        async with session.get(f"{url}/xrpc/app.bsky.feed.getFeedSkeleton", params=query) as answer:
            body = await answer.json()
            assert answer.status == status, body
            return [item["post"] for item in body.get("feed", ())]

    async def feeds(self, *slugs: str) -> dict[str, set[str]]:
        """The posts of several feeds."""
        return {slug: set(await self.feed(slug)) for slug in slugs}

    def people(self, *names: str) -> list[Account]:
        """Accounts that arrive on the stream now."""
        return [self.world.account(name) for name in names]


@contextmanager
def write_lock(site: Site) -> Iterator[None]:
    """Another process is in the middle of a write, for longer than the ingest waits (here 20 ms, else 10 s)."""
    connection: Any = sql(site.ingest.database)
    connection.setbusytimeout(20)
    with closing(apsw.Connection(str(site.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def uris(*posts: Record) -> list[str]:
    """The URIs of posts, in the order given."""
    return [post.uri for post in posts]
