"""What admitting a post costs, and what putting a ranked feed in order anew, each on the rows of a town."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import libipld
from cbrrr import encode_dag_cbor

from bench.layer_town import ACCOUNTS
from communities.post import read_post
from feedgen.feeds import Feed
from feedgen.generations import make
from firehose.in_force import InForce
from firehose.index import Index
from firehose.ops import Commit, PutPost
from firehose.times import tid
from models.database import open_database, sql, writing
from tests.didnet import plc

SORTED = 41
"""Communities of which the ranked feed is put in order anew."""


class _Undone(Exception):
    """Nothing of it shall stay."""


def admit(path: Path, among: int, posts: int) -> float:
    """Microseconds a post, with tags of the first communities, by people of the town: matched, judged, and written."""
    database = open_database(path)
    connection = sql(database)
    in_force = InForce(connection)
    in_force.load(1 << 60)
    index = Index(connection, 1 << 60)
    index.admissions.use(in_force.matcher, in_force.places)
    now = time.time_ns() // 1000
    written = []
    for at in range(posts):
        # Those that anybody posts to, so that the same are admitted whoever has joined.
        tag = f"c{1 + 4 * (at % (among // 4))}"
        record: dict[str, Any] = {
            "$type": "app.bsky.feed.post",
            "text": "what everybody here thinks of it today",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "tags": [tag],
        }
        block = encode_dag_cbor(record)
        written.append((plc(1 + at * 97 % ACCOUNTS), libipld.decode_dag_cbor(block), block))
    took = 0.0
    with suppress(_Undone), writing(database):
        for turn in range(2):  # the first finds everything out
            began = time.perf_counter()
            for at, (did, record, block) in enumerate(written):
                post = read_post(record)
                assert post is not None
                matches, rkey = in_force.matcher.match(did, post), tid(now + turn * posts + at)
                put = PutPost(rkey, bytes(36), block, post, matches, None, None, revision=in_force.matcher.revision)
                index.commit(Commit(at, did, rkey, "", [put]), now)
            took = time.perf_counter() - began
        admitted = index.counts["post admitted"]
        raise _Undone
    assert admitted == 2 * posts, f"{admitted} of {2 * posts} posts were admitted: {dict(index.counts)}"
    database.close()
    return took / posts * 1e6


class Ordered(NamedTuple):
    """A community with so many posts, and how long the order of its feed took."""

    posts: int
    milliseconds: float


def order(path: Path) -> list[Ordered]:
    """Some communities that have posts, from the busiest to the least busy."""
    database = open_database(path)
    query = "SELECT community, posts FROM community_count WHERE posts > 0 ORDER BY posts DESC"
    active = sql(database).execute(query).fetchall()
    chosen = [active[at * (len(active) - 1) // (SORTED - 1)] for at in range(SORTED)]
    found = []
    for number, posts in chosen:
        feed = Feed("", number, "", "", None, "hot", union=(number,))
        times = []
        for turn in range(3):
            began = time.perf_counter()
            make(database, feed, time.time() + 120.0 * turn)
            times.append((time.perf_counter() - began) * 1000)
        found.append(Ordered(posts, sorted(times)[1]))
    database.close()
    return found
