"""Rows of reports whose subjects are still to be tagged (`report_tagging`). Plain functions over a connection; what
changes anything is called inside a write. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection
from models.mod_events import SubjectKey


class Untagged(NamedTuple):
    """A report in a scope. `id`, `at`: its number, and when it came; `named`: whether its reason is a tag already.
    `record`: the bytes of what was reported, None if it is not here; `awaited`: whether it is still to be fetched.
    """

    id: int
    named: bool
    scope: int
    key: SubjectKey
    reason_type: str
    at: int
    record: bytes | None
    awaited: bool


_DUE = (
    "SELECT t.report_case, t.named, c.scope, s.did, s.path, s.convo, c.reason_type, c.at, e.record,"
    " e.due_at IS NOT NULL FROM report_tagging t INDEXED BY report_tagging_due"
    " JOIN report_case c ON c.id = t.report_case JOIN subject s ON s.id = c.subject JOIN report r ON r.id = c.report"
    " LEFT JOIN evidence e ON e.id = r.evidence"
    " WHERE t.due_at <= ? ORDER BY t.due_at, t.report_case LIMIT ?"
)
_POSTS = "SELECT p.record FROM actor a JOIN post p ON p.actor = a.id WHERE a.did = ? ORDER BY p.rkey DESC LIMIT ?"


def put(connection: Connection, case: int, now: int) -> None:
    """The subject of a report is to be tagged; `case`: the number of the report in its scope."""
    connection.execute("INSERT INTO report_tagging (report_case, due_at) VALUES (?, ?)", (case, now))


def due(connection: Connection, now: int, most: int) -> list[Untagged]:
    """What is to be looked at now, what was due first first."""
    return [
        Untagged(number, bool(named), scope, SubjectKey(*key), reason_type, at, record, bool(awaited))
        for number, named, scope, *key, reason_type, at, record, awaited in connection.execute(_DUE, (now, most))
    ]


def wait(connection: Connection, case: int, due_at: int) -> None:
    """Its reason is a tag; for the rest it is looked at again."""
    connection.execute("UPDATE report_tagging SET named = 1, due_at = ? WHERE report_case = ?", (due_at, case))


def drop(connection: Connection, case: int) -> None:
    """It has all its tags."""
    connection.execute("DELETE FROM report_tagging WHERE report_case = ?", (case,))


def last_posts(connection: Connection, did: str, most: int) -> list[bytes]:
    """The records of the last posts of an account that are indexed."""
    return [record for (record,) in connection.execute(_POSTS, (did, most))]
