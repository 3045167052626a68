"""Rows of posts that a community shows first: by its declaration, and before those by its moderators."""

from models.database import Connection

_ONE = "WHERE community = ? AND actor = ? AND rkey = ?"


def pinned(connection: Connection, community: int, actor: int | None, rkey: str) -> bool | None:
    """Whether a moderator pinned the post; False: only the declaration does; None: it is not pinned."""
    query = f"SELECT max(moderator) FROM pin {_ONE} AND gone = 0"
    (moderator,) = connection.execute(query, (community, actor, rkey)).fetchall()[0]
    return None if moderator is None else bool(moderator)


def count(connection: Connection, community: int) -> int:
    """How many posts moderators have pinned, those left out that their authors deleted."""
    query = "SELECT count(*) FROM pin WHERE community = ? AND moderator = 1 AND gone = 0"
    return int(connection.execute(query, (community,)).fetchall()[0][0])


def add(connection: Connection, community: int, actor: int, rkey: str) -> None:
    """Pin a post for moderators, before all others. Call inside a write."""
    connection.execute("DELETE FROM pin WHERE community = ? AND moderator = 1 AND gone = 1", (community,))
    query = "SELECT min(0, coalesce(min(position), 0)) - 1 FROM pin WHERE community = ?"
    (position,) = connection.execute(query, (community,)).fetchall()[0]
    connection.execute(
        "INSERT INTO pin (community, position, actor, rkey, moderator) VALUES (?, ?, ?, ?, 1)",
        (community, position, actor, rkey),
    )


def take(connection: Connection, community: int, actor: int | None, rkey: str) -> None:
    """Let a post be pinned by moderators no longer. Call inside a write."""
    connection.execute(f"DELETE FROM pin {_ONE} AND moderator = 1", (community, actor, rkey))
