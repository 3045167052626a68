"""The feed of everything, and a parent's: the real `communities serve` with 100,000 communities of records, a million
memberships and a million posts.

Server and load are processes of their own. Every request is of another viewer, so no page is one that was kept.
"""

import json
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import uvloop

from bench.cores import Cores, pin, share_out
from bench.load import Load, drive
from bench.report import Report, Table, Target, number, spread
from bench.skeleton import DID, LIMIT, fresh_tokens, request, serving, sign
from communities.community import Community, Include
from communities.ranking import SORTS
from feedgen import cursor
from models import communities as community_rows
from models import meta
from models.database import open_database, writing
from tests.didnet import Account, DidNet, plc

VIEWERS, JOINED, CHILDREN = 200, 200, 200
GOAL_MS = 20.0
COLD, FIRST, DEEP, BUSY, FAMILY = (
    "everything, each viewer's first look",
    "everything, page 1",
    "everything, deep pages",
    "everything, page 1, 8 at once",
    f"deep pages of a parent of {CHILDREN}",
)
_DAY = 86_400_000_000
_OWNER = plc(1)
_EVERYTHING = f"at://{DID}/app.bsky.feed.generator/everything"
_PARENT = f"at://{_OWNER}/app.bsky.feed.generator/c1"


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when an answer is not what it must be."""
    size = (2_000, 20_000, 20_000) if quick else (100_000, 1_000_000, 1_000_000)
    seconds, rounds = (0.5, 1) if quick else (4.0, 5)
    measured, others = share_out()
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name:
        folder = Path(name)
        said = "everything: writing {:,} communities, {:,} memberships, {:,} posts ..."
        print(said.format(*size), file=sys.stderr, flush=True)
        deep, family = write_database(folder, *size)
        pin(others)
        found = uvloop.run(_measure(folder, deep, family, seconds, rounds, measured, others))
    return _report(found, *size)


def write_database(folder: Path, communities: int, memberships: int, posts: int) -> tuple[list[bytes], list[bytes]]:
    """Fill a database of the real schema; returns requests for deep pages of everything and of the parent."""
    rng = random.Random(12)
    accounts = 50_000
    now = time.time_ns() // 1000
    database = open_database(folder / "communities.db")
    with writing(database) as connection:
        connection.executemany(
            "INSERT INTO actor (id, did) VALUES (?, ?)", ((number, plc(number)) for number in range(1, accounts + 1))
        )
        parent = f"at://{_OWNER}/social.communities.community/c1"
        plain = Community("c", "Community", owner=_OWNER, feeds=SORTS, include=Include(hashtags=("tag",)))

        def row(number: int) -> tuple[object, ...]:
            child = 1 < number <= 1 + CHILDREN
            rule = replace(plain, slug=f"c{number}", parent=parent if child else None)
            uri = f"at://{_OWNER}/social.communities.community/c{number}"
            return number, rule.slug, rule.name, _OWNER, json.dumps(rule.to_json()), uri

        connection.executemany(
            "INSERT INTO community (id, slug, name, description, owner, rule, declared, uri)"
            " VALUES (?, ?, ?, '', ?, ?, 1, ?)",
            map(row, range(1, communities + 1)),
        )
        meta.put(connection, community_rows.REVISION, "1")
        key = meta.secret(connection, "cursor_key")
        joined = {(rng.randint(1, communities), rng.randint(VIEWERS + 1, accounts)) for _ in range(memberships)}
        for viewer in range(1, VIEWERS + 1):
            joined |= {(community, viewer) for community in rng.sample(range(1, communities + 1), JOINED)}
        connection.executemany(
            "INSERT INTO membership (community, actor, status, since, via, volume)"
            " VALUES (?, ?, 'member', ?, 'xrpc', ?)",
            ((community, actor, now, rng.randint(1, 5)) for community, actor in sorted(joined)),
        )
        # A few communities have most of the posts; all posts are of the last month.
        start = now - 30 * _DAY
        step = 30 * _DAY // posts
        connection.executemany(
            "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at, likes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (post, rng.randint(1, accounts), f"3m{post:011d}", bytes(36), bytes(270), start + post * step, now,
                 int(rng.paretovariate(1)) - 1)
                for post in range(1, posts + 1)
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence, context)"
            " SELECT ?, 0, p.sort_at, p.id, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey, 'hashtag:tag',"
            " 'h:tag'"
            " FROM post p JOIN actor a ON a.id = p.actor WHERE p.id = ?",
            ((1 + int(communities * rng.random() ** 3), post) for post in range(1, posts + 1)),
        )
    database.close()
    deep, family = [], []
    minute = now // 60_000_000
    for _ in range(5_000):
        post = rng.randint(posts // 2, posts)
        at = start + post * step
        after = cursor.encode(key, _EVERYTHING, cursor.Position(at, post, (minute,)), cursor.EVERYTHING)
        deep.append(request(_EVERYTHING, after))
        family.append(request(_PARENT, cursor.encode(key, _PARENT, cursor.Position(at, post))))
    return deep, family


async def _measure(
    folder: Path, deep: list[bytes], family: list[bytes], seconds: float, rounds: int, measured: Cores, others: Cores
) -> dict[str, list[Load]]:
    found: dict[str, list[Load]] = {}
    async with DidNet() as directory:
        accounts = [directory.publish(Account(plc(number))) for number in range(1, VIEWERS + 1)]
        with serving(folder, directory.url, measured) as port:

            async def ask(what: str, asked: list[bytes], seconds: float, connections: int) -> None:
                load = await drive(port, asked, seconds, connections)
                if load.refused:
                    raise AssertionError(f"{what}: {load.refused} refusals, such as {load.body[:300]!r}")
                if b'"post"' not in load.body:
                    raise AssertionError(f"{what}: an empty page")
                found.setdefault(what, []).append(load)

            def signed(requests: list[bytes]) -> list[bytes]:
                tokens = fresh_tokens(accounts, max(VIEWERS, int(seconds * 2_000)))
                return [sign(requests[number % len(requests)], token) for number, token in enumerate(tokens)]

            # Their documents are known, their communities are not.
            warm = [request(_PARENT, token=token) for token in fresh_tokens(accounts, VIEWERS)]
            await drive(port, warm, 2.0, 2)
            first = [request(_EVERYTHING)]
            began = signed(first)[:VIEWERS]
            await ask(COLD, began, 0.001 * VIEWERS, 1)
            await drive(port, began, 1.0 if seconds < 1 else 8.0, 2)
            for turn in range(rounds):
                print(f"everything: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
                await ask(FIRST, signed(first), seconds, 1)
                await ask(DEEP, signed(deep), seconds, 1)
                await ask(BUSY, signed(first), seconds, 8)
                await ask(FAMILY, family, seconds, 1)
    return found


def _report(found: dict[str, list[Load]], communities: int, memberships: int, posts: int) -> Report:
    rows = tuple(
        (
            what,
            spread([load.rate for load in loads]),
            number(median(load.p50 for load in loads), "ms"),
            number(median(load.p99 for load in loads), "ms"),
        )
        for what, loads in found.items()
    )
    return Report(
        name="everything",
        title="Everything",
        notes=(
            f"{communities:,} communities of records, {memberships:,} memberships, {posts:,} posts of a month; pages of"
            f" {LIMIT}; {VIEWERS} viewers of {JOINED} communities each, at volumes 1 to 5. One connection asks for one"
            " page after the other, each with a fresh ES256K token of another viewer, unless the row says otherwise. A"
            " first look also finds out how loud each community is, which then holds for an hour.",
        ),
        tables=(Table("Requests:", ("what", "a second, median (least to most)", "p50", "p99"), rows),),
        targets=tuple(
            Target(f"{what}, p99", median(load.p99 for load in found[what]), GOAL_MS, "ms", at_most=True)
            for what in (COLD, FIRST, DEEP)
        ),
        command="make bench ARGS=everything",
    )
