"""Backfill: from the bytes of a whole repository to committed rows, on one core.

The repository is one of a member, so every post of it is stored; its likes and reposts are of posts of others, a few
of them indexed. Shares are those of the public network's repositories.
"""

import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from cbrrr import encode_dag_cbor

from bench.cores import pin, share_out
from bench.report import Report, Table, Target, number, spread
from communities.community import Community, Include
from communities.directory import settle
from communities.matching import compile_rules
from firehose.index import Index
from firehose.known import Known
from firehose.ops import Scope
from firehose.snapshot import read_snapshot
from firehose.times import now_micros
from models.database import open_database, sql, writing
from tests.world import mst
from tests.world.car import cid_of
from tests.world.clock import iso, tid
from tests.world.keys import make_did, make_key, multikey
from tests.world.repo import Repo
from tests.world.words import sentence
from xrpc.key import parse_multikey

RECORDS_PER_SECOND = 25_000.0
DAY = 86_400_000_000
POST, LIKE, REPOST, FOLLOW = (
    "app.bsky.feed.post",
    "app.bsky.feed.like",
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
)
SHARES = {LIKE: 0.60, REPOST: 0.12, POST: 0.15, FOLLOW: 0.13}
INDEXED, OF_INDEXED = 2_000, 0.05
"""Posts of others in the index, and the share of likes and reposts that are of them."""


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when the rows are not what they must be."""
    records, rounds = (3_000, 1) if quick else (50_000, 7)
    measured, _ = share_out()
    pin(measured)
    repo, indexed, kinds = make_repo(records)
    car = repo.export()
    reading, whole = [], []
    for _ in range(rounds):
        seconds = measure(car, repo, indexed, kinds)
        reading.append(records / seconds[0])
        whole.append(records / sum(seconds))
    share = median(read / total for read, total in zip(whole, reading, strict=True))
    rows = (
        ("read, verified and judged", spread(reading), number(1e6 / median(reading))),
        ("and stored, committed", spread(whole), number(1e6 / median(whole))),
    )
    return Report(
        name="backfill",
        title="Backfill",
        notes=(
            f"A repository of {records:,} records ({kinds[POST]:,} posts, all of which are stored; {kinds['edges']:,}"
            f" likes and reposts of indexed posts), a CAR of {len(car) / 1e6:.1f} MB. Every block is hashed, the"
            " signature checked, the tree walked to its last record; then one transaction makes the rows equal to it."
            f" Reading takes {share:.0%} of the time.",
        ),
        tables=(Table("Records a second:", ("to", "records/s, median (least to most)", "us/record"), rows),),
        targets=(Target("records a second, to committed rows", median(whole), RECORDS_PER_SECOND, ""),),
        command="make bench ARGS=backfill",
    )


def make_repo(count: int) -> tuple[Repo, list[tuple[str, str]], dict[str, int]]:
    """The repository; author and key of each indexed post; how many posts and edges there must be."""
    rng = random.Random(3)
    now = now_micros() - DAY
    authors = [make_did(f"author {number}") for number in range(200)]
    indexed = [(rng.choice(authors), tid(now - rng.randrange(60 * DAY))) for _ in range(INDEXED)]
    repo = Repo(make_did("member"), make_key("k256", "member"))
    kinds = {POST: 0, "edges": 0}
    edges = set()
    for collection in rng.choices(list(SHARES), list(SHARES.values()), k=count):
        at = now - rng.randrange(60 * DAY)
        record: dict[str, Any] = {"$type": collection, "createdAt": iso(at)}
        path = f"{collection}/{tid(at, rng.randrange(1024))}"
        if path in repo.records:
            continue
        if collection == POST:
            record |= {"text": sentence(rng)[1], "langs": ["en"]}
            kinds[POST] += 1
        elif collection == FOLLOW:
            record["subject"] = rng.choice(authors)
        else:
            known = rng.random() < OF_INDEXED
            did, rkey = rng.choice(indexed) if known else (rng.choice(authors), tid(now - rng.randrange(90 * DAY)))
            record["subject"] = {"uri": f"at://{did}/{POST}/{rkey}", "cid": cid_of(bytes(3)).encode()}
            if (did, rkey) in indexed:
                edges.add(path)
        repo.records[path] = encode_dag_cbor(record)
    kinds["edges"] = len(edges)
    repo.tree = mst.build({path: cid_of(block) for path, block in repo.records.items()})
    repo.rev = tid(now)
    repo.commit_block = repo.sign(repo.rev)
    repo.head = cid_of(repo.commit_block)
    return repo, indexed, kinds


def measure(car: bytes, repo: Repo, indexed: list[tuple[str, str]], kinds: dict[str, int]) -> tuple[float, float]:
    """Seconds until the repository was read, and from then until its rows were committed, into a new database."""
    key = parse_multikey(multikey(repo.key))
    club = Community("club", "Club", include=Include(members=(repo.did,), hashtags=("club",)))
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as folder:
        database = open_database(Path(folder) / "communities.db")
        try:
            connection = sql(database)
            index = Index(connection, 10**18)
            with writing(database):
                connection.executemany(
                    "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (?, ?, x'', x'', 1, 1)",
                    [(index.intern(did).id, rkey) for did, rkey in set(indexed)],
                )
            uris = [f"at://{did}/{POST}/{rkey}" for did, rkey in indexed]
            scope = Scope(Known.of(uris, len(uris)), Known.of([repo.did], 1), compile_rules([(1, club)], {}))
            index.admissions.use(scope.matcher, settle([(1, None, club)], lambda did, community: False))
            scope.latest_rev = tid(now_micros())
            began = time.perf_counter()
            snapshot = read_snapshot(car, repo.did, key, scope, 0, now_micros())
            read = time.perf_counter()
            with writing(database):
                for _ in index.replace(repo.did, snapshot, now_micros()):
                    pass
            done = time.perf_counter()
            posts = connection.execute("SELECT count(*) FROM feed_item").fetchone()[0]
            edges = connection.execute("SELECT count(*) FROM engagement").fetchone()[0]
            assert (posts, edges) == (kinds[POST], kinds["edges"]), (posts, edges, kinds)
            return read - began, done - read
        finally:
            database.close()
