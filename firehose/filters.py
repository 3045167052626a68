"""The filters of what the rows know, made of the rows (firehose/known.py)."""

from communities.records import SUBMISSION
from firehose.known import Known
from firehose.ops import Scope
from models.database import Connection


def known_posts(connection: Connection) -> Known:
    """The filter of indexed posts, by URI, pinned ones included."""
    count = connection.execute(
        "SELECT (SELECT count(*) FROM post) + (SELECT count(*) FROM pin) + (SELECT count(*) FROM decided)"
        " + (SELECT count(*) FROM declaration)"
    ).fetchone()
    rows = connection.execute(
        "SELECT a.did, p.rkey FROM post p JOIN actor a ON a.id = p.actor"
        " UNION ALL SELECT a.did, p.rkey FROM pin p JOIN actor a ON a.id = p.actor"
        " UNION ALL SELECT a.did, p.rkey FROM decided p JOIN actor a ON a.id = p.actor WHERE p.verdict = 'approved'"
    )
    known = Known.of((f"at://{did}/app.bsky.feed.post/{rkey}" for did, rkey in rows), count[0] if count else 0)
    submitted = "SELECT subject FROM declaration WHERE collection = ? AND subject != ''"  # a refused one names nothing
    for (uri,) in connection.execute(submitted, (SUBMISSION,)):
        known.add(uri)
    return known


def known_records(connection: Connection) -> Known:
    """The filter of records that shape communities, by URI."""
    (count,) = connection.execute("SELECT count(*) FROM declaration").fetchall()[0]
    rows = connection.execute("SELECT a.did, d.collection, d.rkey FROM declaration d JOIN actor a ON a.id = d.actor")
    return Known.of((f"at://{did}/{collection}/{rkey}" for did, collection, rkey in rows), count)


def known_actors(connection: Connection) -> Known:
    """The filter of accounts that rows point to, by DID."""
    count = connection.execute("SELECT count(*) FROM actor").fetchone()
    return Known.of((did for (did,) in connection.execute("SELECT did FROM actor")), count[0] if count else 0)


def add_pinned(connection: Connection, scope: Scope) -> None:
    """Let the filters know what is pinned: the rules of the file may pin what they did not know."""
    for did, rkey in connection.execute("SELECT a.did, p.rkey FROM pin p JOIN actor a ON a.id = p.actor"):
        scope.actors.add(did)
        scope.posts.add(f"at://{did}/app.bsky.feed.post/{rkey}")


def renew(connection: Connection, scope: Scope) -> None:
    """Make all filters anew, larger: one has become full."""
    scope.posts = known_posts(connection)
    scope.actors = known_actors(connection)
    scope.declared = known_records(connection)
