"""How it stands with an account whose repository is followed or has to be read, and who is next to be read."""

from collections.abc import Container

from models.database import Connection

PENDING, RESYNCING, SYNCED, DESYNCHRONIZED = "pending", "resyncing", "synced", "desynchronized"
ERROR, UNRESOLVABLE = "error", "unresolvable"
"""States of an account whose repository is followed or has to be read."""
CONFIRMED, CONFIRM = 1, 2
"""Values of `actor.purge`: the rows are to go; they are to go once the account's host has said that it is gone."""
MOST_DUE = 5000
"""Accounts that are looked at for who is next."""
_ORDER = {PENDING: 0, RESYNCING: 1, DESYNCHRONIZED: 2}


def due(connection: Connection, now: int, first: Container[str]) -> list[str]:
    """The accounts whose repositories are to be read now: those that go first, then new accounts, then broken
    ones, then those that failed. `now`: microseconds.
    """
    rows = connection.execute(
        "SELECT a.did, r.state FROM repo r JOIN actor a ON a.id = r.actor"
        " WHERE r.state != 'synced' AND r.due_at <= ? AND a.active = 1 AND a.purge = 0 ORDER BY r.due_at LIMIT ?",
        (now, MOST_DUE),
    ).fetchall()
    rows.sort(key=lambda row: (row[0] not in first, _ORDER.get(row[1], 9)))
    return [did for did, _ in rows]


def count_repos(connection: Connection) -> dict[str, int]:
    """How many accounts are in each of the states, those without any included."""
    rows = connection.execute(
        "SELECT state, count(*) FROM repo WHERE state != 'synced' GROUP BY state"
        " UNION ALL SELECT 'synced', count(*) FROM repo WHERE state = 'synced'"
    ).fetchall()
    return dict.fromkeys((PENDING, RESYNCING, SYNCED, DESYNCHRONIZED, ERROR, UNRESOLVABLE), 0) | dict(rows)
