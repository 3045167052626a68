"""Rows of labelers and of their keys. Plain functions over a connection; all that change anything are called inside a
write.

A key is `new` (made, not in the DID document yet), `active` (it signs; one at a time), `held` (it was active and signs
nothing while its successor is brought into the document) or `retired` (it signs no more).
"""

from typing import NamedTuple

from models.database import Connection

NEW, ACTIVE, HELD, RETIRED = "new", "active", "held", "retired"
HELD_BACK = 100
"""Is added to the priority of what waits and is not to go out, because its value is not declared any more."""


class KeyRow(NamedTuple):
    """A key. `public`: as a did:key; `secret`: sealed, None where it is not stored; `at`: microseconds."""

    id: int
    public: str
    secret: bytes | None
    state: str
    at: int


class Waiting(NamedTuple):
    """What waits to be published, of one priority. `oldest`: the `cts` of the oldest, in milliseconds."""

    priority: int
    labels: int
    oldest: int


def find(connection: Connection, did: str) -> int | None:
    """The number of the labeler with this DID."""
    row = connection.execute("SELECT id FROM labeler WHERE did = ?", (did,)).fetchone()
    return None if row is None else int(row[0])


def every(connection: Connection) -> list[str]:
    """The DIDs of all that this service is or was, the oldest first."""
    return [did for (did,) in connection.execute("SELECT did FROM labeler ORDER BY id")]


def first(connection: Connection) -> int | None:
    """The number of the labeler that was the first here."""
    found: int | None = connection.execute("SELECT min(id) FROM labeler").fetchone()[0]
    return found


def did_of(connection: Connection, labeler: int) -> str:
    """The DID of the labeler with a number that is known."""
    (did,) = connection.execute("SELECT did FROM labeler WHERE id = ?", (labeler,)).fetchone()
    return str(did)


def enter(connection: Connection, did: str) -> int:
    """The number of the labeler with this DID, which is entered if it is not there."""
    connection.execute("INSERT INTO labeler (did) VALUES (?) ON CONFLICT (did) DO NOTHING", (did,))
    return int(connection.execute("SELECT id FROM labeler WHERE did = ?", (did,)).fetchone()[0])


def keys(connection: Connection, labeler: int) -> list[KeyRow]:
    """All keys that the labeler has or had, the oldest first."""
    rows = connection.execute(
        "SELECT id, public, secret, state, at FROM label_key WHERE labeler = ? ORDER BY id", (labeler,)
    )
    return [KeyRow(*row) for row in rows]


def active_key(connection: Connection, labeler: int) -> KeyRow | None:
    """The key that signs; None: nothing is signed now."""
    return next((key for key in keys(connection, labeler) if key.state == ACTIVE), None)


def add_key(connection: Connection, labeler: int, public: str, secret: bytes | None, at: int) -> int:
    """Enter a new key; returns its number."""
    row = connection.execute(
        "INSERT INTO label_key (labeler, public, secret, state, at) VALUES (?, ?, ?, 'new', ?) RETURNING id",
        (labeler, public, secret, at),
    ).fetchone()
    return int(row[0])


def change_state(connection: Connection, key: int, before: str, after: str) -> bool:
    """Set the state of a key that is `before`; False, and nothing is changed, when it is not."""
    row = connection.execute(
        "UPDATE label_key SET state = ? WHERE id = ? AND state = ? RETURNING id", (after, key, before)
    ).fetchone()
    return row is not None


def forget_secret(connection: Connection, key: int) -> None:
    """Delete the secret of a key that is retired; its public form stays."""
    connection.execute("UPDATE label_key SET secret = NULL WHERE id = ? AND state = 'retired'", (key,))


def drop_new(connection: Connection, key: int) -> None:
    """Delete a key that has never signed anything."""
    connection.execute("DELETE FROM label_key WHERE id = ? AND state = 'new'", (key,))


def last_seq(connection: Connection, labeler: int) -> int:
    """The highest `seq` that stands; 0: nothing was published."""
    found = connection.execute("SELECT max(seq) FROM label WHERE labeler = ?", (labeler,)).fetchone()[0]
    return int(found or 0)


def waiting(connection: Connection, labeler: int) -> list[Waiting]:
    """What waits in the outbox to go out, by priority."""
    rows = connection.execute(
        "SELECT priority, count(*), min(cts) FROM label_outbox WHERE labeler = ? AND priority < ?"
        " GROUP BY priority ORDER BY priority",
        (labeler, HELD_BACK),
    )
    return [Waiting(*row) for row in rows]


def held_back(connection: Connection, labeler: int) -> dict[str, int]:
    """How many labels are held back in the outbox, by value."""
    query = "SELECT val, count(*) FROM label_outbox WHERE labeler = ? AND priority >= ? GROUP BY val ORDER BY val"
    return dict(connection.execute(query, (labeler, HELD_BACK)).fetchall())


def signed_by(connection: Connection, key: int) -> int:
    """How many of the labels that stand are signed with this key."""
    return int(connection.execute("SELECT count(*) FROM label WHERE label_key = ?", (key,)).fetchone()[0])
