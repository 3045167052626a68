"""Rows of automatic labels: posts that are to be looked at, and what rules did. Plain functions over a connection; what
changes anything is called inside a write.
"""

from typing import NamedTuple

from models.database import Connection

DAY = 86_400_000_000
SAMPLES = 20
"""Of each rule that are kept."""
_DUE = (
    "SELECT d.post, d.times, p.actor, a.did, p.rkey, p.cid, p.record, p.event_at FROM label_due d"
    " LEFT JOIN post p ON p.id = d.post LEFT JOIN actor a ON a.id = p.actor WHERE d.waits = '' ORDER BY d.post LIMIT ?"
)
_STORED = (
    "SELECT p.id, 0, p.actor, a.did, p.rkey, p.cid, p.record, p.event_at FROM post p JOIN actor a ON a.id = p.actor"
    " WHERE p.id < ? ORDER BY p.id DESC LIMIT ?"
)
_AGAIN = "INSERT INTO label_due (post) {} ON CONFLICT (post) DO UPDATE SET times = times + 1, waits = ''"


class DuePost(NamedTuple):
    """A post that is to be looked at. `actor` and what follows is None of one that is there no more; `event_at`:
    microseconds.
    """

    id: int
    times: int
    actor: int
    did: str
    rkey: str
    cid: bytes
    record: bytes
    event_at: int


class DayOf(NamedTuple):
    """What a rule did on a day."""

    matched: int = 0
    labelled: int = 0
    over: int = 0


def watch(connection: Connection, wanted: bool) -> None:
    """Whether posts that come and change are noted from now on. What was noted and is not wanted any more, goes."""
    known = connection.execute("SELECT EXISTS (SELECT 1 FROM label_watch)").fetchone()[0]
    if wanted and not known:
        connection.execute("INSERT INTO label_watch VALUES (1)")
    elif known and not wanted:
        connection.execute("DELETE FROM label_watch")
        connection.execute("DELETE FROM label_due")


def due(connection: Connection, limit: int) -> list[DuePost]:
    """Posts that can be looked at now, the oldest first."""
    return [DuePost._make(row) for row in connection.execute(_DUE, (limit,)).fetchall()]


def stored(connection: Connection, before: int, limit: int) -> list[DuePost]:
    """Stored posts with numbers below `before`, the newest first."""
    return [DuePost._make(row) for row in connection.execute(_STORED, (before, limit)).fetchall()]


def looked_at(connection: Connection, post: DuePost) -> bool:
    """A post was looked at; False when there is a new reason to do it again."""
    query = "DELETE FROM label_due WHERE post = ? AND times = ? RETURNING 1"
    return bool(connection.execute(query, (post.id, post.times)).fetchall())


def look_at_post(connection: Connection, did: str, rkey: str) -> None:
    """Have a post looked at again."""
    query = _AGAIN.format("SELECT p.id FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?")
    connection.execute(query, (did, rkey))


def look_at_posts_of(connection: Connection, did: str, limit: int) -> None:
    """Have the newest posts of an account looked at again."""
    query = _AGAIN.format(
        "SELECT id FROM (SELECT p.id FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? ORDER BY p.id DESC"
        " LIMIT ?) WHERE true"
    )
    connection.execute(query, (did, limit))


def wait_for_age(connection: Connection, post: int, did: str) -> None:
    """A post can be looked at when it is known how old its author's account is."""
    connection.execute("INSERT INTO account_age (did) VALUES (?) ON CONFLICT DO NOTHING", (did,))
    connection.execute("UPDATE label_due SET waits = ? WHERE post = ?", (did, post))


def ages_to_ask(connection: Connection, now: int, limit: int) -> list[str]:
    """Accounts whose age is asked for now (microseconds)."""
    query = (
        "SELECT did FROM account_age WHERE created_at IS NULL AND due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ?"
    )
    return [did for (did,) in connection.execute(query, (now, limit))]


def put_age(connection: Connection, did: str, created_at: int | None, due_at: int) -> None:
    """What is known of the age of an account. `due_at`: when to ask again, 0: never."""
    connection.execute("UPDATE account_age SET created_at = ?, due_at = ? WHERE did = ?", (created_at, due_at, did))
    if created_at is not None or due_at == 0:
        connection.execute("UPDATE label_due SET waits = '' WHERE waits = ?", (did,))


def age(connection: Connection, did: str) -> tuple[bool, int | None]:
    """Whether anything is known of the age of an account, and when it came to be (microseconds; None: nobody knows)."""
    row = connection.execute("SELECT created_at, due_at FROM account_age WHERE did = ?", (did,)).fetchone()
    return (row is not None and (row[0] is not None or row[1] == 0), row[0] if row else None)


def today(connection: Connection, rule: str, now: int) -> DayOf:
    """What a rule did since midnight (UTC). `now`: microseconds."""
    query = "SELECT matched, labelled, over FROM label_rule_day WHERE rule = ? AND day = ?"
    row = connection.execute(query, (rule, now // DAY)).fetchone()
    return DayOf(*row) if row else DayOf()


def all_today(connection: Connection, now: int) -> dict[str, DayOf]:
    """The same of every rule that did anything."""
    rows = connection.execute("SELECT rule, matched, labelled, over FROM label_rule_day WHERE day = ?", (now // DAY,))
    return {rule: DayOf(*counts) for rule, *counts in rows}


def count(connection: Connection, rule: str, now: int, *, labelled: bool = False, over: bool = False) -> None:
    """A rule fits; whether it labelled, or could not because of its quota."""
    connection.execute(
        "INSERT INTO label_rule_day (rule, day, matched, labelled, over) VALUES (?1, ?2, 1, ?3, ?4)"
        " ON CONFLICT (rule, day) DO UPDATE SET matched = matched + 1, labelled = labelled + ?3, over = over + ?4",
        (rule, now // DAY, int(labelled), int(over)),
    )
    connection.execute("DELETE FROM label_rule_day WHERE rule = ? AND day < ?", (rule, now // DAY - 30))


def keep_sample(connection: Connection, rule: str, now: int, uri: str, why: str) -> None:
    """Keep what a rule fits for people to look at, and forget the oldest."""
    connection.execute("INSERT INTO label_rule_sample (rule, at, uri, why) VALUES (?, ?, ?, ?)", (rule, now, uri, why))
    connection.execute(
        "DELETE FROM label_rule_sample WHERE rule = ?1 AND id <="
        " (SELECT id FROM label_rule_sample WHERE rule = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (rule, SAMPLES),
    )


def samples(connection: Connection, rule: str) -> list[tuple[int, str, str]]:
    """Time (microseconds), subject and why of the last ones, the newest first."""
    query = "SELECT at, uri, why FROM label_rule_sample WHERE rule = ? ORDER BY id DESC"
    return [(at, uri, why) for at, uri, why in connection.execute(query, (rule,))]


def communities_of(connection: Connection, post: int) -> dict[str, int]:
    """The communities that have a post, in whatever state: their numbers by slug."""
    query = "SELECT c.slug, c.id FROM feed_item i JOIN community c ON c.id = i.community WHERE i.post = ? ORDER BY c.id"
    return dict(connection.execute(query, (post,)).fetchall())


def was_done_by_rule(connection: Connection, labeler: int, rule: str, uri: str, cid: str) -> bool:
    """Whether a rule has labelled this version of a subject before."""
    query = (
        "SELECT 1 FROM label_event INDEXED BY label_event_subject WHERE substr(uri, -13) = substr(?1, -13) AND uri = ?1"
        " AND labeler = ?2 AND rule = ?3 AND cid = ?4 AND added != '' AND actor LIKE 'rule:%' LIMIT 1"
    )
    return connection.execute(query, (uri, labeler, rule, cid)).fetchone() is not None


def was_overruled(connection: Connection, labeler: int, uri: str, cid: str, val: str) -> bool:
    """Whether a person has taken a value away from this version of a subject: of a post, behind what labelled that
    version, or naming it.
    """
    rows = connection.execute(
        "SELECT cid, added, removed, actor FROM label_event INDEXED BY label_event_subject"
        " WHERE substr(uri, -13) = substr(?1, -13) AND uri = ?1 AND labeler = ?2 ORDER BY id",
        (uri, labeler),
    )
    labelled = overruled = False
    for version, added, removed, actor in rows:
        by_person = actor == "cli" or actor.startswith("did:")
        if val in added.split() and version in ("", cid):
            labelled, overruled = True, overruled and not by_person
        if val in removed.split() and by_person and (labelled or version == cid):
            overruled = True
    return overruled
