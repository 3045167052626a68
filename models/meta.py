"""Small facts of the installation, by name."""

import secrets

from models.database import Connection


def get(connection: Connection, key: str) -> str | None:
    """The value of `key`, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def put(connection: Connection, key: str, value: str) -> None:
    """Set `key`; call inside a write."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def secret(connection: Connection, key: str) -> bytes:
    """The 32 random bytes kept under `key`, made at the first call; call inside a write."""
    known = get(connection, key)
    if known is None:
        known = secrets.token_hex(32)
        put(connection, key, known)
    return bytes.fromhex(known)
