"""Rows of reports, of whom they reach, and of the posts that wait for moderators because of them. Plain functions over
a connection. Times are microseconds.
"""

import json
from collections.abc import Collection
from typing import NamedTuple

from models.database import Connection

SITE = 0
"""In place of a community: the moderators of the whole site."""


class Said(NamedTuple):
    """What a reporter says. `did`: the account that is meant, or whose record is; `uri` and `cid` are empty for an
    account; `convo`, `message`: of a conversation. `labeler`: the DID of the labeler that was asked, if it was one;
    `host`: the domain of the reporter's PDS, if it is known.
    """

    reporter: str
    reason_type: str
    reason: str
    did: str
    uri: str = ""
    cid: str = ""
    convo: str = ""
    message: str = ""
    labeler: str = ""
    host: str = ""
    tool: str = ""
    tool_meta: str = ""


class Kept(NamedTuple):
    """A report as it is kept: its number, and when it was first made."""

    id: int
    at: int


_SAME = (
    "SELECT id, at FROM report WHERE reporter = ? AND did = ? AND uri = ? AND reason_type = ? AND convo = ?"
    " AND message = ? AND labeler = ? AND last_at >= ? AND (?9 OR (cid = ?10 AND EXISTS (SELECT 1 FROM report_case c"
    " WHERE c.report = report.id AND c.state != 'closed'))) ORDER BY id DESC LIMIT 1"
)
_NAMES = ", ".join(Said._fields)
_INSERT = f"INSERT INTO report (id, at, last_at, {_NAMES}) VALUES (?, ?, ?, {', '.join('?' * len(Said._fields))})"


def find_same(connection: Connection, said: Said, since: int, *, any_version: bool = False) -> Kept | None:
    """What the same reporter has said already of the same subject, for the same reason, at `since` or later: of the
    same version of a record while it waits for somebody, or of any version, also when nobody has to look at it.
    """
    subject = (said.reporter, said.did, said.uri, said.reason_type, said.convo, said.message, said.labeler)
    row = connection.execute(_SAME, (*subject, since, any_version, said.cid)).fetchone()
    return Kept(*row) if row else None


def put(connection: Connection, number: int, said: Said, at: int) -> Kept:
    """Keep a report as a new one; `number`: of the first event of it. Call inside a write."""
    connection.execute(_INSERT, (number, at, at, *said))
    return Kept(number, at)


def repeat(connection: Connection, kept: Kept, now: int) -> None:
    """A report was made again. Call inside a write."""
    connection.execute("UPDATE report SET last_at = ?, times = times + 1 WHERE id = ?", (now, kept.id))


def members(connection: Connection, communities: Collection[int]) -> dict[int, int]:
    """How many members communities have."""
    query = "SELECT community, members FROM community_count WHERE community IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (json.dumps(list(communities)),)).fetchall())


def nth_newest(connection: Connection, column: str, value: str | None, number: int, since: int) -> int | None:
    """When the last report but `number - 1` was made of those whose `column` (`reporter`, `host`) has this value, None:
    of all; None if there are not so many of `since` or later.
    """
    where = "" if value is None else f" AND {column} = ?3"
    bindings = (number - 1, since) if value is None else (number - 1, since, value)
    query = f"SELECT at FROM report WHERE at >= ?2{where} ORDER BY at DESC LIMIT 1 OFFSET ?1"
    row = connection.execute(query, bindings).fetchone()
    return row[0] if row else None


def nth_newest_about(connection: Connection, did: str, uri: str, number: int, since: int) -> int | None:
    """The same of those about a record, or about an account (the URI is empty)."""
    query = "SELECT at FROM report WHERE did = ? AND uri = ? AND at >= ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    row = connection.execute(query, (did, uri, since, number - 1)).fetchone()
    return row[0] if row else None


class Witness(NamedTuple):
    """Somebody who has reported a subject. `known`: rows point to the account; `status`: of its membership, if any."""

    reporter: str
    host: str
    known: bool
    status: str | None


def witnesses(connection: Connection, community: int, did: str, uri: str, since: int, most: int) -> list[Witness]:
    """Who has reported a subject at `since` or later, each once, the newest of them; as seen from a community."""
    rows = connection.execute(
        "SELECT r.reporter, max(r.host), a.id IS NOT NULL, m.status FROM"
        " (SELECT reporter, host FROM report WHERE did = ? AND uri = ? AND at >= ? ORDER BY at DESC LIMIT ?) r"
        " LEFT JOIN actor a ON a.did = r.reporter LEFT JOIN membership m ON m.community = ? AND m.actor = a.id"
        " GROUP BY r.reporter",
        (did, uri, since, most, community),
    )
    return [Witness(reporter, host, bool(known), status) for reporter, host, known, status in rows]


_FLAG = (
    "INSERT INTO flag (community, post, at, reason_type) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (community, post)"
    " DO UPDATE SET reports = reports + NOT EXISTS (SELECT 1 FROM report r JOIN report_case t ON t.report = r.id"
    " AND t.scope = ?1 WHERE r.reporter = ?5 AND r.did = ?6 AND r.uri = ?7 AND r.last_at >= flag.at)"
)


def flag(
    connection: Connection, community: int, post: int, reason_type: str, now: int, said: Said | None = None
) -> None:
    """Let a post wait for the moderators of a community. Call inside a write.

    `said`: a report because of which it waits, and which is not kept or repeated yet: each reporter counts once while a
    post waits, for whatever reasons. None: nobody has reported it, and this counts.
    """
    subject = (said.reporter, said.did, said.uri) if said else ("", "", "")
    connection.execute(_FLAG, (community, post, now, reason_type, *subject))


MOST_AGAIN = 500
"""Reports of a post, the newest, that are looked at when it comes again: its author can take it out and in all day."""
_FLAG_AGAIN = (
    "INSERT INTO flag (community, post, at, reason_type, reports)"
    " SELECT t.scope, ?1, min(r.at), r.reason_type, count(DISTINCT r.reporter)"
    " FROM (SELECT id, at, last_at, reporter, reason_type FROM report WHERE did = ?4 AND uri = ?5"
    f" ORDER BY at DESC LIMIT {MOST_AGAIN}) r JOIN report_case t ON t.report = r.id"
    " LEFT JOIN decided d ON d.community = t.scope AND d.actor = ?2 AND d.rkey = ?3"
    " WHERE t.scope > ?6 AND NOT t.muted AND r.last_at > coalesce(d.at, 0)"
    " AND NOT EXISTS (SELECT 1 FROM appeal WHERE report = r.id)"
    " GROUP BY t.scope ON CONFLICT DO NOTHING"
)


def flag_again(connection: Connection, post: int, actor: int, did: str, rkey: str, uri: str) -> None:
    """Let a post that was away and is here again wait where it was reported and nobody has decided since. `actor`: its
    author's number. Call inside a write.
    """
    connection.execute(_FLAG_AGAIN, (post, actor, rkey, did, uri, SITE))


def mark(connection: Connection, community: int, post: int) -> None:
    """Let moderators know that those who report a post may have agreed to. Call inside a write."""
    connection.execute("UPDATE flag SET brigade = 1 WHERE community = ? AND post = ?", (community, post))


def unflag(connection: Connection, community: int, post: int) -> None:
    """The moderators have decided about a post. Call inside a write."""
    connection.execute("DELETE FROM flag WHERE community = ? AND post = ?", (community, post))


def is_flagged(connection: Connection, community: int, post: int) -> bool:
    """Whether a post was reported to a community, and nobody has decided since."""
    query = "SELECT 1 FROM flag WHERE community = ? AND post = ?"
    return connection.execute(query, (community, post)).fetchone() is not None
