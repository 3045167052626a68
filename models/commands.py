"""Rows of what moderators have commanded by posts. Plain functions over a connection; what changes anything is called
inside a write. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection

UNPROVEN, WAITING, DONE, REFUSED = "unproven", "waiting", "done", "refused"


class CommandRow(NamedTuple):
    """One post and one community. `target`: the post that is meant; see the table."""

    id: int
    uri: str
    cid: str
    community: int
    actor: str
    text: str
    target: str
    target_cid: str
    at: int
    state: str
    fault: str = ""
    outcome: str = ""
    decision: int | None = None
    done_at: int | None = None


_COLUMNS = ", ".join(CommandRow._fields)
_NEW = CommandRow._fields[1:]
_PUT = (
    f"INSERT INTO command ({', '.join(_NEW)}) VALUES ({', '.join('?' * len(_NEW))}) ON CONFLICT DO NOTHING RETURNING id"
)


def put(connection: Connection, row: CommandRow) -> bool:
    """Note a command, whose `id` is not looked at; False: it is noted already."""
    return bool(connection.execute(_PUT, row[1:]).fetchall())


def is_noted(connection: Connection, uri: str, cid: str, community: int) -> bool:
    """Whether this version of a post was noted before."""
    query = "SELECT 1 FROM command WHERE uri = ? AND cid = ? AND community = ?"
    return connection.execute(query, (uri, cid, community)).fetchone() is not None


def count_since(connection: Connection, actor: str, since: int) -> int:
    """How many of somebody's were noted since a moment."""
    row = connection.execute("SELECT count(*) FROM command WHERE actor = ? AND at >= ?", (actor, since)).fetchone()
    return int(row[0])


def count_open(connection: Connection) -> int:
    """How many of all wait to be done."""
    query = f"SELECT count(*) FROM command WHERE state IN ('{UNPROVEN}', '{WAITING}')"
    return int(connection.execute(query).fetchone()[0])


def waiting(connection: Connection) -> CommandRow | None:
    """The first that is to be done."""
    query = f"SELECT {_COLUMNS} FROM command WHERE state = '{WAITING}' ORDER BY id LIMIT 1"
    row = connection.execute(query).fetchone()
    return CommandRow(*row) if row else None


def unproven(connection: Connection, most: int) -> list[CommandRow]:
    """The first of those that their authors' hosts are to be asked for."""
    query = f"SELECT {_COLUMNS} FROM command WHERE state = '{UNPROVEN}' ORDER BY id LIMIT ?"
    return [CommandRow(*row) for row in connection.execute(query, (most,))]


def prove(connection: Connection, number: int) -> None:
    """Its author's host has confirmed it."""
    connection.execute(f"UPDATE command SET state = '{WAITING}' WHERE id = ? AND state = '{UNPROVEN}'", (number,))


def settle(connection: Connection, row: CommandRow) -> None:
    """Let that have become of a command which is open."""
    values = (row.state, row.fault, row.outcome, row.decision, row.done_at, row.id)
    connection.execute(
        "UPDATE command SET state = ?, fault = ?, outcome = ?, decision = ?, done_at = ? WHERE id = ?"
        f" AND state IN ('{UNPROVEN}', '{WAITING}')",
        values,
    )


def page(connection: Connection, before: int, most: int, actor: str | None = None) -> list[CommandRow]:
    """At most so many below a number, the newest first; of somebody, or of all."""
    where, of = ("actor = ? AND", (actor,)) if actor is not None else ("", ())
    query = f"SELECT {_COLUMNS} FROM command WHERE {where} id < ? ORDER BY id DESC LIMIT ?"
    return [CommandRow(*row) for row in connection.execute(query, (*of, before, most))]
