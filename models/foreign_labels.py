"""Rows of what other labelers say, and of what was done because of that. Plain functions over a connection; what
changes anything is called inside a write. Times are milliseconds.
"""

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple

from models.database import Connection


class ForeignLabel(NamedTuple):
    """What a labeler says of a post or account."""

    src: str
    uri: str
    cid: str
    val: str
    neg: bool
    cts: int
    exp: int | None


class Act(NamedTuple):
    """What was done here because of a label: `act` for a community (0: none) to `subject`; `number`: of the decision or
    event.
    """

    src: str
    uri: str
    val: str
    act: str
    community: int
    subject: str
    number: int


_PUT = (
    "INSERT INTO foreign_label (src, uri, cid, val, neg, cts, exp) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (src, uri, cid, val) DO UPDATE SET neg = excluded.neg, cts = excluded.cts, exp = excluded.exp"
    " WHERE excluded.cts > cts OR (excluded.cts = cts AND excluded.neg > neg) RETURNING 1"
)
_ABOUT = (
    "SELECT src, uri, cid, val, neg, cts, exp FROM foreign_label WHERE uri = ? AND neg = 0"
    " AND (exp IS NULL OR exp > ?) ORDER BY src, val, cid"
)


def put(connection: Connection, label: ForeignLabel) -> bool:
    """Keep a label, unless what is known of the same is as new; whether it was news. A negation of no version is one of
    every version.
    """
    if label.neg and not label.cid:
        connection.execute(
            "UPDATE foreign_label SET neg = 1, cts = ?, exp = NULL WHERE src = ? AND uri = ? AND val = ? AND cid != ''"
            " AND cts < ?",
            (label.cts, label.src, label.uri, label.val, label.cts),
        )
    return bool(connection.execute(_PUT, label).fetchall())


def about(connection: Connection, subjects: Collection[str], now: int) -> list[ForeignLabel]:
    """What holds of subjects at `now`."""
    return [
        ForeignLabel(src, uri, cid, val, bool(neg), cts, exp)
        for subject in subjects
        for src, uri, cid, val, neg, cts, exp in connection.execute(_ABOUT, (subject, now)).fetchall()
    ]


def holds(connection: Connection, src: str, uri: str, val: str, now: int) -> bool:
    """Whether a labeler says this of a subject, in any version."""
    return any((one.src, one.val) == (src, val) for one in about(connection, (uri,), now))


def expired(connection: Connection, now: int, limit: int) -> list[ForeignLabel]:
    """Labels that have ended."""
    rows = connection.execute(
        "SELECT src, uri, cid, val, neg, cts, exp FROM foreign_label WHERE exp IS NOT NULL AND neg = 0 AND exp <= ?"
        " ORDER BY exp LIMIT ?",
        (now, limit),
    )
    return [ForeignLabel(src, uri, cid, val, bool(neg), cts, exp) for src, uri, cid, val, neg, cts, exp in rows]


def end(connection: Connection, label: ForeignLabel) -> None:
    """A label has ended: it is as if it had been negated."""
    connection.execute(
        "UPDATE foreign_label SET neg = 1, exp = NULL WHERE src = ? AND uri = ? AND cid = ? AND val = ?", label[:4]
    )


def note(connection: Connection, act: Act) -> None:
    """Remember what was done."""
    connection.execute("INSERT INTO foreign_act VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", act)


def is_noted(connection: Connection, act: Act) -> bool:
    """Whether it was done before, whatever became of it."""
    query = (
        "SELECT 1 FROM foreign_act WHERE src = ? AND uri = ? AND val = ? AND act = ? AND community = ? AND subject = ?"
    )
    return connection.execute(query, act[:6]).fetchone() is not None


def acts(connection: Connection, src: str, uri: str, val: str) -> list[Act]:
    """What was done because of a label."""
    query = (
        "SELECT src, uri, val, act, community, subject, number FROM foreign_act WHERE src = ? AND uri = ? AND val = ?"
    )
    return [Act._make(row) for row in connection.execute(query, (src, uri, val)).fetchall()]


def forget(connection: Connection, act: Act) -> None:
    """It was undone."""
    connection.execute(
        "DELETE FROM foreign_act WHERE src = ? AND uri = ? AND val = ? AND act = ? AND community = ? AND subject = ?",
        act[:6],
    )


def forget_gone(connection: Connection, after: str, limit: int) -> str | None:
    """Forget what is said of posts that are stored no more, among the next `limit` labels behind the subject `after`;
    where to go on, None at the end.
    """
    rows = connection.execute(
        "SELECT uri FROM foreign_label WHERE uri > ? AND uri < 'at:0' ORDER BY uri LIMIT ?", (max(after, "at:"), limit)
    ).fetchall()
    for uri in {uri for (uri,) in rows}:
        did, _, rkey = uri.removeprefix("at://").partition("/app.bsky.feed.post/")
        query = "SELECT 1 FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?"
        if connection.execute(query, (did, rkey)).fetchone() is None:
            connection.execute(
                "DELETE FROM foreign_act WHERE (src, uri) IN (SELECT src, uri FROM foreign_label WHERE uri = ?)", (uri,)
            )
            connection.execute("DELETE FROM foreign_label WHERE uri = ?", (uri,))
    return rows[-1][0] if len(rows) == limit else None


def cursor(connection: Connection, did: str) -> int | None:
    """Up to where the stream of a labeler was read."""
    row = connection.execute("SELECT cursor FROM label_input WHERE did = ?", (did,)).fetchone()
    return row[0] if row else None


def keep_cursor(connection: Connection, did: str, seq: int) -> None:
    """The stream of a labeler was read up to `seq`."""
    connection.execute(
        "INSERT INTO label_input (did, cursor) VALUES (?, ?) ON CONFLICT (did) DO UPDATE SET cursor = excluded.cursor",
        (did, seq),
    )


def keep_state(connection: Connection, did: str, at: int, state: str, counts: Mapping[str, int]) -> None:
    """How reading a labeler stands, for people. `at`: microseconds."""
    connection.execute(
        "INSERT INTO label_input (did, at, state, report) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (did) DO UPDATE SET at = excluded.at, state = excluded.state, report = excluded.report",
        (did, at, state, json.dumps(dict(counts))),
    )


def states(connection: Connection) -> list[tuple[str, int | None, int, str, dict[str, int]]]:
    """DID, cursor, time (microseconds), state and counts of each that is or was read."""
    rows = connection.execute("SELECT did, cursor, at, state, report FROM label_input ORDER BY did")
    return [(did, seq, at, state, json.loads(report)) for did, seq, at, state, report in rows]
