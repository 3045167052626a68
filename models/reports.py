"""Rows of reports, and of the posts that wait for moderators because of them. Plain functions over a connection."""

from typing import NamedTuple

from models.database import Connection


class Said(NamedTuple):
    """What a reporter says. `did`: the account that is meant, or whose record is; `uri` and `cid` are empty for an
    account.
    """

    reporter: str
    reason_type: str
    reason: str
    did: str
    uri: str = ""
    cid: str = ""
    tool: str = ""


class Kept(NamedTuple):
    """A report as it is kept: its number, and when it was first made (microseconds). `again`: it was made before."""

    id: int
    at: int
    again: bool


def put(connection: Connection, said: Said, now: int, since: int) -> Kept:
    """Keep a report. What the same reporter has said already, at `since` or later, is the same report. Call inside a
    write. Times are microseconds.
    """
    row = connection.execute(
        "UPDATE report SET last_at = ?, times = times + 1 WHERE id = (SELECT id FROM report WHERE reporter = ?"
        " AND did = ? AND uri = ? AND reason_type = ? AND last_at >= ? ORDER BY id DESC LIMIT 1) RETURNING id, at",
        (now, said.reporter, said.did, said.uri, said.reason_type, since),
    ).fetchall()
    if row:
        number, first = row[0]
        return Kept(number, first, again=True)
    (number,) = connection.execute(
        "INSERT INTO report (at, last_at, reporter, reason_type, reason, did, uri, cid, tool)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (now, now, said.reporter, said.reason_type, said.reason, said.did, said.uri, said.cid, said.tool),
    ).fetchall()[0]
    return Kept(number, now, again=False)


def count_of_reporter(connection: Connection, reporter: str, since: int) -> int:
    """How many reports somebody has made since a moment (microseconds)."""
    query = "SELECT count(*) FROM report WHERE reporter = ? AND at >= ?"
    return int(connection.execute(query, (reporter, since)).fetchall()[0][0])


def count_of_subject(connection: Connection, did: str, uri: str, since: int) -> int:
    """How many reports of a record (or of an account: the URI is empty) were made since a moment (microseconds)."""
    query = "SELECT count(*) FROM report WHERE did = ? AND uri = ? AND at >= ?"
    return int(connection.execute(query, (did, uri, since)).fetchall()[0][0])


def flag(connection: Connection, community: int, post: int, reason_type: str, now: int, *, again: bool) -> None:
    """Let a post wait for the moderators of a community. `again`: it was counted before, if it waits already. Call
    inside a write.
    """
    connection.execute(
        "INSERT INTO flag (community, post, at, reason_type) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (community, post) DO UPDATE SET reports = reports + ?",
        (community, post, now, reason_type, 0 if again else 1),
    )


def unflag(connection: Connection, community: int, post: int) -> None:
    """The moderators have decided about a post. Call inside a write."""
    connection.execute("DELETE FROM flag WHERE community = ? AND post = ?", (community, post))


def is_flagged(connection: Connection, community: int, post: int) -> bool:
    """Whether a post was reported to a community, and nobody has decided since."""
    query = "SELECT 1 FROM flag WHERE community = ? AND post = ?"
    return connection.execute(query, (community, post)).fetchone() is not None
