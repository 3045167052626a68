"""getFeedSkeleton: the real `communities serve` over a database of a million posts, against a bare aiohttp handler.

Server, baseline and load are processes of their own; the server has a core to itself. Rounds alternate, and ratios
are taken within a round.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median
from urllib.parse import quote

import uvloop
from aiohttp import web

from bench.cores import Cores, pin, share_out
from bench.load import Load, drive
from bench.report import Report, Table, Target, number, ratios, spread
from communities.community import Community, Include
from feedgen import cursor
from models import communities as community_rows
from models import meta
from models.database import open_database, writing
from tests.didnet import Account, DidNet, plc

COMMUNITIES, LIMIT = 1000, 50
CONNECTIONS = 16
PAGE_OF_BARE, DEEP_OF_BARE, SIGNED_PER_SECOND = 0.80, 0.40, 3_000.0
NSID = "app.bsky.feed.getFeedSkeleton"
DID = "did:web:feeds.example.org"
FIRST, DEEP, SIGNED = "page 1, anonymous", "deep pages, anonymous", "page 1, signed"
DEEP_SIGNED = "deep pages, signed"
HOT, RANKED = "page 1 of hot, anonymous", 100
"""How many of the communities have a ranked feed."""


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when an answer is not what it must be."""
    posts, seconds, rounds = (20_000, 0.5, 1) if quick else (1_000_000, 5.0, 5)
    measured, others = share_out()
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name:
        folder = Path(name)
        print(f"skeleton: writing {posts:,} posts of {COMMUNITIES:,} communities ...", file=sys.stderr, flush=True)
        requests = {
            FIRST: [request(feed_uri(number)) for number in range(COMMUNITIES)],
            DEEP: write_database(folder, posts),
            HOT: [request(f"{feed_uri(number)}.hot") for number in range(RANKED)],
        }
        pin(others)
        found = uvloop.run(_measure(folder, requests, seconds, rounds, measured, others))
    return _report(found, posts)


def feed_uri(number: int) -> str:
    """The URI of a feed."""
    return f"at://{DID}/app.bsky.feed.generator/community{number}"


def request(feed: str, after: str = "", token: str = "") -> bytes:
    """A request for one page."""
    query = f"feed={quote(feed, safe='')}&limit={LIMIT}" + (f"&cursor={after}" if after else "")
    signed = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET /xrpc/{NSID}?{query} HTTP/1.1\r\nHost: localhost\r\n{signed}\r\n".encode()


def write_database(folder: Path, posts: int) -> list[bytes]:
    """Fill a database of the real schema; returns requests for pages deep in its feeds."""
    rng = random.Random(11)
    accounts = 50_000
    database = open_database(folder / "communities.db")
    start = 1_760_000_000_000_000
    with writing(database) as connection:
        rules = (
            Community(
                f"community{number}",
                f"Community {number}",
                feeds=("newest", "hot") if number < RANKED else ("newest",),
                include=Include(hashtags=(f"community{number}",)),
            )
            for number in range(COMMUNITIES)
        )
        community_rows.declare(connection, [rule.to_json() for rule in rules], 0)
        key = meta.secret(connection, "cursor_key")
        connection.executemany(
            "INSERT INTO actor (id, did) VALUES (?, ?)", ((number, plc(number)) for number in range(1, accounts + 1))
        )
        record = bytes(270)
        connection.executemany(
            "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (post, rng.randint(1, accounts), f"3m{post:011d}", bytes(36), record, start + post, start + post)
                for post in range(1, posts + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence, context)"
            " SELECT 1 + (p.id - 1) % ?1, 0, p.sort_at, p.id, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey,"
            " 'hashtag:community' || ((p.id - 1) % ?1), 'h:community' || ((p.id - 1) % ?1)"
            " FROM post p JOIN actor a ON a.id = p.actor",
            [(COMMUNITIES,)],
        )
    database.close()
    requests = []
    for _ in range(20_000):
        # Anywhere but in the last page, which would be short.
        post = rng.randint(LIMIT * COMMUNITIES + 1, posts) if posts > LIMIT * COMMUNITIES else posts
        feed = feed_uri((post - 1) % COMMUNITIES)
        requests.append(request(feed, cursor.encode(key, feed, cursor.Position(start + post, post))))
    return requests


async def _measure(
    folder: Path, requests: dict[str, list[bytes]], seconds: float, rounds: int, measured: Cores, others: Cores
) -> dict[str, list[Load]]:
    async with DidNet() as directory:
        accounts = [directory.publish(Account(plc(number))) for number in range(1, 201)]
        with serving(folder, directory.url, measured) as port:
            page = (await drive(port, requests[FIRST][:1], 0.01, 1)).body
            with bare_handler(page, measured) as bare_port:
                # Every document and every page once: what is measured is a service that has been running.
                warm = [request(feed_uri(0), token=token) for token in fresh_tokens(accounts, len(accounts))]
                await drive(port, warm, 1.0, 4)
                await drive(port, requests[FIRST], 1.0, CONNECTIONS)
                await drive(port, requests[HOT], 1.0, CONNECTIONS)
                found: dict[str, list[Load]] = {}
                for turn in range(rounds):
                    print(f"skeleton: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
                    tokens = fresh_tokens(accounts, int(seconds * 9_000))
                    signed = {
                        what: [sign(one, token) for one, token in zip(cycle(requests[plain]), tokens, strict=False)]
                        for what, plain in ((SIGNED, FIRST), (DEEP_SIGNED, DEEP))
                    }
                    for what, asked in (requests | signed).items():
                        # The same requests to both, one behind the other.
                        bare = await drive(bare_port, asked, seconds, CONNECTIONS)
                        load = await drive(port, asked, seconds, CONNECTIONS)
                        if load.refused:
                            raise AssertionError(f"{what}: {load.refused} refusals, such as {load.body[:300]!r}")
                        found.setdefault(what, []).append(load)
                        found.setdefault(f"bare handler, {what}", []).append(bare)
    return found


def fresh_tokens(accounts: list[Account], count: int) -> list[str]:
    """Tokens that were never sent, each with its own `jti`."""
    until = int(time.time()) + 1800
    serial = time.time_ns()
    return [
        accounts[number % len(accounts)].token({"aud": DID, "lxm": NSID, "exp": until, "jti": f"{serial}-{number}"})
        for number in range(count)
    ]


def sign(plain: bytes, token: str) -> bytes:
    """The request with the token."""
    return plain[:-2] + f"Authorization: Bearer {token}\r\n\r\n".encode()


@contextmanager
def serving(folder: Path, plc_url: str, cores: Cores) -> Iterator[int]:
    """`communities serve` on the database of `folder`; gives its port."""
    port = 39_431
    environ = os.environ | {
        "COMMUNITIES_DATA": str(folder),
        "COMMUNITIES_HOSTNAME": DID.removeprefix("did:web:"),
        "COMMUNITIES_LISTEN_PORT": str(port),
        "COMMUNITIES_METRICS_PORT": "0",
        "COMMUNITIES_PLC_URL": plc_url,
        "COMMUNITIES_EGRESS_ALLOW": "localhost,127.0.0.1",
    }
    process = subprocess.Popen([sys.executable, "-P", "-m", "service", "serve"], env=environ, cwd=folder)
    try:
        pin(cores, process.pid)
        wait_for(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def bare_handler(body: bytes, cores: Cores) -> Iterator[int]:
    """An aiohttp server whose one handler answers `body`; gives its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_bare, args=(body, theirs), daemon=True)
    process.start()
    try:
        pin(cores, process.pid or 0)
        if not ours.poll(60):
            raise RuntimeError("the bare server did not start")
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _serve_bare(body: bytes, tell: Pipe) -> None:
    async def serve() -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(body=body, content_type="application/json")

        app = web.Application()
        app.router.add_get(f"/xrpc/{NSID}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        tell.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(serve())


def _report(found: dict[str, list[Load]], posts: int) -> Report:
    rates = {what: [load.rate for load in loads] for what, loads in found.items()}
    shares = {
        what: median(ratios(rate, rates[f"bare handler, {what}"])) if f"bare handler, {what}" in rates else 1.0
        for what, rate in rates.items()
    }
    rows = tuple(
        (
            what,
            spread(rates[what]),
            number(shares[what], "%"),
            number(median(load.p50 for load in loads), "ms"),
            number(median(load.p99 for load in loads), "ms"),
        )
        for what, loads in found.items()
    )
    return Report(
        name="skeleton",
        title="Skeleton",
        notes=(
            f"{posts:,} posts in {COMMUNITIES:,} communities; pages of {LIMIT}; {CONNECTIONS} keep-alive connections"
            " from another process. Deep pages start anywhere in any feed. Signed requests carry an ES256K token each"
            f" that was never sent before, of 200 accounts whose documents are known. {RANKED} communities have a feed"
            " in the order hot, which is made anew once a minute.",
            "The baseline is an aiohttp handler on the same event loop (uvloop) that answers a constant body of the"
            f" same size ({len(found[FIRST][-1].body):,} bytes) to the same requests.",
        ),
        tables=(Table("Requests:", ("what", "a second, median (least to most)", "of bare", "p50", "p99"), rows),),
        targets=(
            Target("page 1, of bare", shares[FIRST], PAGE_OF_BARE, "%"),
            Target("deep pages, of bare", shares[DEEP], DEEP_OF_BARE, "%"),
            Target("signed requests a second", median(rates[SIGNED]), SIGNED_PER_SECOND, ""),
        ),
        command="make bench ARGS=skeleton",
    )


def wait_for(port: int) -> None:
    """Until something listens at a port of this machine, for a minute at most."""
    import socket

    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("communities serve did not start")
