"""The rows that ingest makes: compared with those of another run, and checked for what must hold at any rest."""

from contextlib import closing
from pathlib import Path
from typing import Any

from cbrrr import CID

from firehose.housekeeping import recount, recount_communities
from models.database import Connection, open_database, sql, writing
from tests.oracle import KINDS, Seen

COUNTS = ("likes", "reposts", "replies", "quotes")


def dump(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """See `Site.dump`."""
    posts = "SELECT p.*, a.did FROM post p JOIN actor a ON a.id = p.actor"
    queries = {
        "accounts": "SELECT did, rev, active, status, allowed FROM actor ORDER BY did",
        "posts": f"SELECT did, rkey, cid, record, sort_at, {', '.join(COUNTS)} FROM ({posts}) ORDER BY did, rkey",
        "items": "SELECT c.slug, p.did, p.rkey, i.sort_at, i.evidence FROM feed_item i"
        f" JOIN community c ON c.id = i.community JOIN ({posts}) p ON p.id = i.post ORDER BY 1, 2, 3",
        "engagement": "SELECT a.did, e.kind, e.rkey, p.did, p.rkey FROM engagement e JOIN actor a ON a.id = e.actor"
        f" JOIN ({posts}) p ON p.id = e.post ORDER BY 1, 2, 3",
        "lists": "SELECT owner, rkey, list, subject FROM list_item ORDER BY 1, 2",
    }
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def seen(connection: Connection) -> Seen:
    """The whole index, in the words of the oracle."""
    posts = "SELECT p.*, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey AS uri FROM post p"
    posts = f"({posts} JOIN actor a ON a.id = p.actor)"
    rows = connection.execute(f"SELECT uri, cid, {', '.join(COUNTS)} FROM {posts}").fetchall()
    items = connection.execute(
        f"SELECT c.slug, i.hidden, i.uri, p.uri, i.evidence FROM feed_item i JOIN community c ON c.id = i.community"
        f" JOIN {posts} p ON p.id = i.post ORDER BY i.sort_at DESC, i.post DESC"
    ).fetchall()
    assert all(shown == uri for _, _, shown, uri, _ in items)
    edges = connection.execute(
        f"SELECT a.did, e.kind, e.rkey, p.uri FROM engagement e JOIN actor a ON a.id = e.actor"
        f" JOIN {posts} p ON p.id = e.post"
    ).fetchall()
    lists = connection.execute("SELECT owner, rkey, list, subject FROM list_item").fetchall()
    accounts = connection.execute("SELECT did, active, status FROM actor").fetchall()
    slugs = [slug for (slug,) in connection.execute("SELECT slug FROM community WHERE declared = 1").fetchall()]
    return Seen(
        {slug: [uri for place, hidden, _, uri, _ in items if place == slug and not hidden] for slug in slugs},
        {uri: (CID(cid).encode(), tuple(counts)) for uri, cid, *counts in rows},
        {(slug, uri): frozenset(evidence.split("\n")) for slug, _, _, uri, evidence in items},
        {(did, KINDS[kind - 1], rkey): uri for did, kind, rkey, uri in edges},
        {(owner, rkey): (uri, subject) for owner, rkey, uri, subject in lists},
        {did: (bool(active), status) for did, active, status in accounts},
    )


def dump_file(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """`dump` of a database that nobody has open."""
    with closing(open_database(path)) as database:
        with writing(database) as connection:
            check_rest(connection)
        return dump(sql(database))


def check_rest(connection: Connection) -> None:
    """What holds whenever nothing is under way; raises AssertionError. Mends wrong counts in passing."""
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert recount(connection) == 0, "counts are not what the rows say"
    assert recount_communities(connection) == 0, "counts of communities are not what the rows say"
    broken = {
        "items without a post": "feed_item i LEFT JOIN post p ON p.id = i.post WHERE p.id IS NULL",
        "items sorted unlike their post": "feed_item i JOIN post p ON p.id = i.post WHERE p.sort_at != i.sort_at",
        "items shown unlike their author": "feed_item i JOIN post p ON p.id = i.post JOIN actor a ON a.id = p.actor"
        " WHERE (i.hidden & 1) != 1 - a.shown OR i.uri != 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey",
        "communities without counts": "community c WHERE NOT EXISTS (SELECT 1 FROM community_count n"
        " WHERE n.community = c.id)",
        "memberships of nobody": "membership m LEFT JOIN actor a ON a.id = m.actor WHERE a.id IS NULL",
        "declarations of nobody": "declaration d LEFT JOIN actor a ON a.id = d.actor WHERE a.id IS NULL",
        "posts in no community": "post p WHERE NOT EXISTS (SELECT 1 FROM feed_item i WHERE i.post = p.id)",
        "posts without an account": "post p LEFT JOIN actor a ON a.id = p.actor WHERE a.id IS NULL",
        "engagement of nobody": "engagement e LEFT JOIN actor a ON a.id = e.actor WHERE a.id IS NULL",
        "engagement of nothing": "engagement e LEFT JOIN post p ON p.id = e.post WHERE p.id IS NULL",
        "notes of nobody": "late l LEFT JOIN actor a ON a.id = l.actor WHERE a.id IS NULL",
        "notes about a post that is here": "late l JOIN (SELECT 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey"
        " AS uri FROM post p JOIN actor a ON a.id = p.actor) ON uri = l.subject",
        "notes of what is engagement": "late l JOIN engagement e ON e.actor = l.actor AND e.kind = l.kind"
        " AND e.rkey = l.rkey",
    }
    for what, where in broken.items():
        assert connection.execute(f"SELECT count(*) FROM {where}").fetchone() == (0,), what
