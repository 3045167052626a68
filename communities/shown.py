"""Accounts and posts that this site shows or does not, whatever their host and the communities say of them.

What is taken down stays, hidden and not counted, and comes back as it was. Plain functions over a connection; all of
them are called inside a write.
"""

from communities.admission import HIDDEN_AUTHOR, TAKEN_DOWN, Decided, Verdict
from communities.members import intern_actor
from communities.refs import PostRef
from communities.stored import put_decided
from models.database import Connection
from models.reports import SITE

COUNTERS = {1: "likes", 2: "reposts", 3: "replies", 4: "quotes"}
"""The counts of a post, by kind of engagement (`firehose.ops`)."""
MOST_COUNTED = 5000
"""Likes, reposts, replies and quotes of an account that are counted, or not any more, in one transaction."""


def take_down(connection: Connection, did: str, *, allowed: bool) -> bool:
    """Let this site show an account or not, whatever its host says of it (A47); returns whether that is a change."""
    actor = intern_actor(connection, did)
    was, active = connection.execute("SELECT allowed, active FROM actor WHERE id = ?", (actor,)).fetchone()
    if bool(was) == allowed:
        return False
    if active:
        show(connection, actor, active=allowed)
    connection.execute("UPDATE actor SET allowed = ? WHERE id = ?", (int(allowed), actor))
    return True


def take_down_post(connection: Connection, post: PostRef, cid: bytes, now: int, *, allowed: bool) -> None:
    """Let this site show a post in any community or not, whatever those decide. `now`: microseconds."""
    actor = intern_actor(connection, post.did)
    if allowed:
        connection.execute(
            "DELETE FROM decided WHERE community = ? AND actor = ? AND rkey = ?", (SITE, actor, post.rkey)
        )
    else:
        put_decided(connection, SITE, actor, post.rkey, Decided(Verdict.REMOVED, cid, 0), now)
    connection.execute(
        "UPDATE feed_item SET hidden = hidden & ~?1 | ?2"
        " WHERE post IN (SELECT id FROM post WHERE actor = ?3 AND rkey = ?4)",
        (TAKEN_DOWN, 0 if allowed else TAKEN_DOWN, actor, post.rkey),
    )


def show(connection: Connection, actor: int, *, active: bool) -> None:
    """Show or hide what an account wrote, and count or discount what it did; if that is much, later.

    Anybody can like anything any number of times, and then go and come back all day.
    """
    connection.execute(
        "UPDATE feed_item SET hidden = hidden & ~? | ? WHERE post IN (SELECT id FROM post WHERE actor = ?)",
        (HIDDEN_AUTHOR, 0 if active else HIDDEN_AUTHOR, actor),
    )
    some = "SELECT count(*) FROM (SELECT 1 FROM engagement WHERE actor = ? LIMIT ?)"
    if connection.execute(some, (actor, MOST_COUNTED + 1)).fetchone()[0] <= MOST_COUNTED:
        count(connection, actor, counted=active)


def count(connection: Connection, actor: int, *, counted: bool) -> None:
    """Let the counts of posts hold what an account did, or not."""
    (was,) = connection.execute("SELECT counted FROM actor WHERE id = ?", (actor,)).fetchone()
    if bool(was) == counted:
        return
    for kind, column in COUNTERS.items():
        connection.execute(
            f"UPDATE post SET {column} = {column} + ? WHERE id IN"
            " (SELECT DISTINCT post FROM engagement WHERE actor = ? AND kind = ?)",
            (1 if counted else -1, actor, kind),
        )
    connection.execute("UPDATE actor SET counted = ? WHERE id = ?", (int(counted), actor))
