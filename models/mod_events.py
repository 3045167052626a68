"""Rows of what moderators, reporters and rules have done (`mod_event`), and of what it was about (`subject`). Plain
functions over a connection. Times are microseconds.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from models.database import Connection
from models.scopes import TAGGER, Scopes, events

ACCOUNT, CONVERSATION = "account", "conversation"
"""What stands for subjects that are no records among collections, as in column `about` of `report_case`."""
SERVICE = 0
"""The scope of what is no community's: the service itself. That of a labeler is its number, below 0."""


class SubjectKey(NamedTuple):
    """What an event is about: an account, a record of it (`path`: COLLECTION/RKEY) or a conversation."""

    did: str
    path: str = ""
    convo: str = ""

    @property
    def uri(self) -> str:
        """The at-uri of a record; the DID of anything else."""
        return f"at://{self.did}/{self.path}" if self.path else self.did

    @property
    def collection(self) -> str:
        """Of a record; empty for anything else."""
        return self.path.partition("/")[0]

    @property
    def about(self) -> str:
        """The collection of a record, ACCOUNT or CONVERSATION."""
        return CONVERSATION if self.convo else self.collection or ACCOUNT

    @property
    def account(self) -> "SubjectKey":
        """The account whose it is."""
        return SubjectKey(self.did)


class EventRow(NamedTuple):
    """An event as it is kept; the columns of `mod_event` behind `id`."""

    at: int
    scope: int
    subject: int
    type: str
    actor: str
    role: str = ""
    cid: str = ""
    blobs: str = ""
    comment: str = ""
    said: str = "{}"
    tool: str = ""
    tool_meta: str = ""
    batch: str = ""
    external: str = ""
    until: int | None = None
    decision: int | None = None
    label_event: int | None = None
    undoes: int | None = None


COLUMNS = ", ".join(EventRow._fields)
_INSERT = f"INSERT INTO mod_event ({COLUMNS}) VALUES ({', '.join('?' * len(EventRow._fields))}) RETURNING id"


def key_of(did: str, uri: str = "", convo: str = "") -> SubjectKey:
    """A subject by its account and, of a record, its at-uri."""
    return SubjectKey(did, uri.removeprefix(f"at://{did}/"), convo)


def find_subject(connection: Connection, key: SubjectKey) -> int | None:
    """The number of a subject."""
    query = "SELECT id FROM subject WHERE did = ? AND path = ? AND convo = ?"
    row = connection.execute(query, key).fetchone()
    return row[0] if row else None


def enter_subject(connection: Connection, key: SubjectKey) -> int:
    """The number of a subject, which is given one if it has none. Call inside a write."""
    found = find_subject(connection, key)
    if found is not None:
        return found
    query = "INSERT INTO subject (did, path, convo) VALUES (?, ?, ?) RETURNING id"
    return int(connection.execute(query, key).fetchall()[0][0])


def subject(connection: Connection, number: int) -> SubjectKey:
    """The subject with a number that is known."""
    row = connection.execute("SELECT did, path, convo FROM subject WHERE id = ?", (number,)).fetchone()
    return SubjectKey(*row)


def last_moment(connection: Connection) -> int:
    """When the last event was."""
    row = connection.execute("SELECT max(at) FROM mod_event").fetchone()
    return row[0] or 0


def add(connection: Connection, row: EventRow, values: Iterable[tuple[str, str]]) -> int:
    """Append an event with what it is found by (kind, value); its number. Call inside a write."""
    number = int(connection.execute(_INSERT, row).fetchall()[0][0])
    found_by = [(kind, value, number) for kind, value in dict.fromkeys(values)]
    if found_by:
        connection.executemany("INSERT INTO mod_event_value (kind, value, event) VALUES (?, ?, ?)", found_by)
    return number


def find(connection: Connection, number: int) -> EventRow | None:
    """An event by its number."""
    row = connection.execute(f"SELECT {COLUMNS} FROM mod_event WHERE id = ?", (number,)).fetchone()
    return EventRow(*row) if row else None


def last_number(connection: Connection) -> int:
    """The number of the last event."""
    row = connection.execute("SELECT max(id) FROM mod_event").fetchone()
    return row[0] or 0


def undoing(connection: Connection, number: int, after: int = 0) -> list[int]:
    """The events that undo one, those behind the number `after`."""
    query = "SELECT id FROM mod_event WHERE undoes = ? AND id > ? ORDER BY id"
    return [found for (found,) in connection.execute(query, (number, after))]


def reason_of(row: EventRow) -> str | None:
    """Why something was reported; empty of tags that come of reports (`scopes.events`), None of anything else."""
    if row.actor == TAGGER:
        return ""
    return str(json.loads(row.said).get("reportType", "")) if row.type == "modEventReport" else None


def is_seen(connection: Connection, scopes: Scopes, scope: int, subject_number: int) -> bool:
    """Whether any event of a subject that has some in a scope is seen there."""
    cut, bindings = scopes.within(scope, events("e"))
    query = f"SELECT 1 FROM mod_event e WHERE e.subject = ? AND e.scope = ?{cut} LIMIT 1"
    return not cut or connection.execute(query, (subject_number, scope, *bindings)).fetchone() is not None


def find_external(connection: Connection, external: str, subject_number: int, kind: str, scope: int) -> int | None:
    """The event that a program calls so, of a type, about a subject, in a scope."""
    query = "SELECT id FROM mod_event WHERE external = ? AND subject = ? AND type = ? AND scope = ? AND external != ''"
    row = connection.execute(query, (external, subject_number, kind, scope)).fetchone()
    return row[0] if row else None


def last_with(connection: Connection, kind: str, value: str, scope: int, subject_number: int) -> tuple[str, str] | None:
    """Actor and version of the last event in a scope about a subject that is found by a value of a kind."""
    row = connection.execute(
        "SELECT e.actor, e.cid FROM mod_event e JOIN mod_event_value v ON v.event = e.id AND v.kind = ? AND v.value = ?"
        " WHERE e.subject = ? AND e.scope = ? ORDER BY e.id DESC LIMIT 1",
        (kind, value, subject_number, scope),
    ).fetchone()
    return (row[0], row[1]) if row else None


def issued_by_takedowns(connection: Connection, subject_number: int) -> list[tuple[int, str, list[str]]]:
    """What takedowns of a subject have ever issued: number and DID of each labeler, and its values."""
    rows = connection.execute(
        "SELECT l.labeler, b.did, group_concat(l.added, ' ') FROM mod_event e"
        " JOIN label_event l ON l.id = e.label_event JOIN labeler b ON b.id = l.labeler"
        " WHERE e.subject = ? AND e.type = 'modEventTakedown' GROUP BY l.labeler",
        (subject_number,),
    )
    return [(labeler, did, sorted(set(added.split()))) for labeler, did, added in rows]


def add_strikes(
    connection: Connection, event: int, scope: int, did: str, at: int, count: int, until: int | None
) -> None:
    """Strikes that an event gives an account, or (below 0) takes from it. Call inside a write."""
    query = "INSERT INTO strike (event, scope, did, at, count, until) VALUES (?, ?, ?, ?, ?, ?)"
    connection.execute(query, (event, scope, did, at, count, until))
