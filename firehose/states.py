"""How it stands with an account whose repository is followed or has to be read."""

from models.database import Connection

PENDING, RESYNCING, SYNCED, DESYNCHRONIZED = "pending", "resyncing", "synced", "desynchronized"
ERROR, UNRESOLVABLE = "error", "unresolvable"
"""States of an account whose repository is followed or has to be read."""
CONFIRMED, CONFIRM = 1, 2
"""Values of `actor.purge`: the rows are to go; they are to go once the account's host has said that it is gone."""


def count_repos(connection: Connection) -> dict[str, int]:
    """How many accounts are in each of the states, those without any included."""
    rows = connection.execute(
        "SELECT state, count(*) FROM repo WHERE state != 'synced' GROUP BY state"
        " UNION ALL SELECT 'synced', count(*) FROM repo WHERE state = 'synced'"
    ).fetchall()
    return dict.fromkeys((PENDING, RESYNCING, SYNCED, DESYNCHRONIZED, ERROR, UNRESOLVABLE), 0) | dict(rows)
