"""Accounts whose repositories are followed or have to be read (table `repo`): how each stands, and who is next."""

from collections.abc import Container

from models.database import Connection

PENDING, RESYNCING, SYNCED, DESYNCHRONIZED = "pending", "resyncing", "synced", "desynchronized"
ERROR, UNRESOLVABLE = "error", "unresolvable"
"""States (`repo.state`): to be read for the first time, or because somebody asked; being read; read, and followed
since; to be read anew, for something was missed. And of what could not be read: it failed too often, or will fail for
long; there is no document or no host.
"""
AWAITED = frozenset((PENDING, RESYNCING, DESYNCHRONIZED))
"""To be read, and that may happen before long."""
GIVEN_UP = frozenset((ERROR, UNRESOLVABLE))
"""To be read, and tried now and then; that may never happen."""
TO_BE_READ = AWAITED | GIVEN_UP
BEGUN = (SYNCED, RESYNCING)
"""Read, or being read: what is younger than that may not be in it."""
MOST_DUE = 5000
"""Accounts that are looked at for who is next."""
_ORDER = {PENDING: 0, RESYNCING: 1, DESYNCHRONIZED: 2}


def ask(connection: Connection, actor: int, why: str, *, at_once: bool = False) -> None:
    """Let the repository of an account be due, so that the ingest process reads it. Call inside a write. One that waits
    for its turn already keeps it: whoever asks cannot have a host that fails asked more often. Unless it is the
    operator (`at_once`).
    """
    connection.execute(
        "INSERT INTO repo (actor, state, why) VALUES (?, ?, ?) ON CONFLICT (actor) DO UPDATE SET"
        " state = excluded.state, why = excluded.why, tries = 0, due_at = 0 WHERE ? OR state IN (?, ?)",
        (actor, PENDING, why, at_once, *BEGUN),
    )


def due(connection: Connection, now: int, first: Container[str]) -> list[str]:
    """The accounts whose repositories are to be read now: those that go first, then new accounts, then broken
    ones, then those that failed. `now`: microseconds.
    """
    rows = connection.execute(
        "SELECT a.did, r.state FROM repo r JOIN actor a ON a.id = r.actor"
        f" WHERE r.state != '{SYNCED}' AND r.due_at <= ? AND a.active = 1 AND a.purge = 0 ORDER BY r.due_at LIMIT ?",
        (now, MOST_DUE),
    ).fetchall()
    rows.sort(key=lambda row: (row[0] not in first, _ORDER.get(row[1], 9)))
    return [did for did, _ in rows]


def count_repos(connection: Connection) -> dict[str, int]:
    """How many accounts are in each of the states, those without any included."""
    rows = connection.execute(
        f"SELECT state, count(*) FROM repo WHERE state != '{SYNCED}' GROUP BY state"
        f" UNION ALL SELECT '{SYNCED}', count(*) FROM repo WHERE state = '{SYNCED}'"
    ).fetchall()
    return dict.fromkeys((PENDING, RESYNCING, SYNCED, DESYNCHRONIZED, ERROR, UNRESOLVABLE), 0) | dict(rows)
