"""Service tokens of procedures: each is used once, in the transaction of what it does."""

from models.database import Connection


def use_up(connection: Connection, iss: str, jti: str, exp: int) -> bool:
    """Whether the token was not used before; from now on it was. Call inside a write. `exp`: seconds since 1970."""
    used = connection.execute(
        "INSERT INTO used_token (iss, jti, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
        (iss, jti, exp + 60),
    ).fetchone()
    return used is not None


def is_shown(connection: Connection, did: str) -> bool:
    """Whether an account is active and not taken down here, as far as is known."""
    row = connection.execute("SELECT shown FROM actor WHERE did = ?", (did,)).fetchone()
    return row is None or bool(row[0])
