"""Rows of how subjects stand (`subject_status`), of their tags, and of what an account's records make together. Plain
functions over a connection; what changes anything is called inside a write. Times are microseconds.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from models.database import Connection
from models.mod_events import SubjectKey


class StatusRow(NamedTuple):
    """How a subject stands in a scope; the columns of `subject_status` behind `subject`. See there."""

    state: int
    at: int
    changed_at: int
    cid: str
    blobs: str
    comment: str
    priority: int
    mute_until: int | None
    mute_reporting_until: int | None
    reviewed_by: str
    reviewed_at: int | None
    reported_at: int | None
    appealed_at: int | None
    appealed: int | None
    takendown: int
    suspend_until: int | None
    tags: str
    hosting: str
    hosting_changed_at: int | None
    hosting_deleted_at: int | None
    hosting_deactivated_at: int | None
    hosting_reactivated_at: int | None
    reports: int
    appeals: int
    suspensions: int
    escalations: int
    takedowns: int


class Sums(NamedTuple):
    """What an account's records make together in a scope; the columns of `account_records` behind `did`."""

    reports: int = 0
    reported: int = 0
    escalated: int = 0
    appealed: int = 0
    subjects: int = 0
    pending: int = 0
    takendown: int = 0


COLUMNS = ", ".join(StatusRow._fields)
_PUT = (
    f"INSERT INTO subject_status (scope, subject, {COLUMNS}) VALUES (?, ?, {', '.join('?' * len(StatusRow._fields))})"
    " ON CONFLICT (scope, subject) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in StatusRow._fields)
    + " RETURNING id"
)
_ADD_SUMS = (
    f"INSERT INTO account_records (scope, did, {', '.join(Sums._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (scope, did) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in Sums._fields)
)


def find(connection: Connection, scope: int, subject: int) -> tuple[int, StatusRow] | None:
    """The number of the row of a subject in a scope, and the row."""
    query = f"SELECT id, {COLUMNS} FROM subject_status WHERE scope = ? AND subject = ?"
    row = connection.execute(query, (scope, subject)).fetchone()
    return (row[0], StatusRow(*row[1:])) if row else None


def scopes(connection: Connection, subject: int) -> list[int]:
    """The scopes in which a subject has a row."""
    rows = connection.execute("SELECT scope FROM subject_status WHERE subject = ? ORDER BY scope", (subject,))
    return [scope for (scope,) in rows]


def takendown_in(connection: Connection, subject: int) -> list[int]:
    """The scopes in which a subject is taken down."""
    rows = connection.execute(
        "SELECT scope FROM subject_status WHERE subject = ? AND takendown ORDER BY scope", (subject,)
    )
    return [scope for (scope,) in rows]


def waiting_of(connection: Connection, did: str) -> list[tuple[int, SubjectKey, bool]]:
    """The records and conversations of an account that somebody has to look at: in which scope, and whether there is an
    appeal.
    """
    rows = connection.execute(
        "SELECT t.scope, s.did, s.path, s.convo, t.appealed FROM subject s JOIN subject_status t ON t.subject = s.id"
        " WHERE s.did = ? AND (s.path != '' OR s.convo != '') AND t.state IN (1, 2) ORDER BY s.id, t.scope",
        (did,),
    ).fetchall()
    return [(scope, SubjectKey(*key), bool(appealed)) for scope, *key, appealed in rows]


def due(connection: Connection, column: str, now: int, limit: int) -> list[tuple[int, SubjectKey]]:
    """Scopes and subjects for which the moment in a column has come, the earliest first."""
    rows = connection.execute(
        f"SELECT t.scope, s.did, s.path, s.convo FROM subject_status t JOIN subject s ON s.id = t.subject"
        f" WHERE t.{column} <= ? ORDER BY t.{column} LIMIT ?",
        (now, limit),
    ).fetchall()
    return [(scope, SubjectKey(*key)) for scope, *key in rows]


def due_tags(connection: Connection, now: int, limit: int) -> list[tuple[int, SubjectKey, list[str]]]:
    """The same of tags, with those of each."""
    rows = connection.execute(
        "SELECT t.scope, s.did, s.path, s.convo, g.tag FROM subject_tag g JOIN subject_status t ON t.id = g.status"
        " JOIN subject s ON s.id = t.subject WHERE g.until <= ? ORDER BY g.until LIMIT ?",
        (now, limit),
    ).fetchall()
    found: dict[tuple[int, SubjectKey], list[str]] = {}
    for scope, did, path, convo, tag in rows:
        found.setdefault((scope, SubjectKey(did, path, convo)), []).append(tag)
    return [(scope, key, names) for (scope, key), names in found.items()]


def put(connection: Connection, scope: int, subject: int, row: StatusRow) -> int:
    """Store a row, new or changed; its number."""
    return int(connection.execute(_PUT, (scope, subject, *row)).fetchall()[0][0])


def put_tags(connection: Connection, status: int, tags: Mapping[str, int | None]) -> None:
    """The tags of a row from now on, each with when it goes."""
    names = json.dumps(list(tags))
    connection.execute(
        "DELETE FROM subject_tag WHERE status = ? AND tag NOT IN (SELECT value FROM json_each(?))", (status, names)
    )
    connection.executemany(
        "INSERT INTO subject_tag (tag, scope, status, until) SELECT ?, scope, id, ? FROM subject_status WHERE id = ?"
        " ON CONFLICT DO UPDATE SET until = excluded.until",
        [(tag, until, status) for tag, until in tags.items()],
    )


def tags(connection: Connection, status: int) -> dict[str, int | None]:
    """The tags of a row, by name, each with when it goes."""
    query = "SELECT tag, until FROM subject_tag WHERE status = ? ORDER BY tag"
    return dict(connection.execute(query, (status,)).fetchall())


def add_sums(connection: Connection, scope: int, did: str, sums: Sums) -> None:
    """The records of an account make so much more together."""
    connection.execute(_ADD_SUMS, (scope, did, *sums))


def touch(connection: Connection, scope: int, subject: int, reported_at: int, *, appeal: bool) -> None:
    """A report of a subject was made again, or (`appeal`) an appeal. This alone is no event."""
    connection.execute(
        "UPDATE subject_status SET reported_at = max(coalesce(reported_at, 0), ?1),"
        " appealed_at = iif(?4, max(coalesce(appealed_at, 0), ?1), appealed_at) WHERE scope = ?2 AND subject = ?3",
        (reported_at, scope, subject, appeal),
    )


def is_appealed(connection: Connection, subject: int) -> bool:
    """Whether somebody has to decide about an appeal, in any scope."""
    query = "SELECT 1 FROM subject_status WHERE subject = ? AND appealed LIMIT 1"
    return connection.execute(query, (subject,)).fetchone() is not None
