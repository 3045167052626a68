"""Asking for whole repositories: the ingest process reads those that are due."""

from models.database import Connection

_PENDING = "pending"
_READ = ("synced", "resyncing")
"""Read, or being read: what it is asked for now may be younger than that, so it is due again."""


def ask(connection: Connection, actor: int, why: str) -> None:
    """Let the repository of an account be due. Call inside a write. One that waits for its turn already keeps it:
    whoever asks cannot have a host that fails asked more often.
    """
    connection.execute(
        "INSERT INTO repo (actor, state, why) VALUES (?, ?, ?) ON CONFLICT (actor) DO UPDATE SET"
        " state = excluded.state, why = excluded.why, tries = 0, due_at = 0 WHERE state IN (?, ?)",
        (actor, _PENDING, why, *_READ),
    )
