"""What a ban does to the posts that its author has in the community: they are out of sight, and come back with them."""

from communities.admission import BANNED
from models.database import Connection

_HIDE = (
    "UPDATE feed_item SET hidden = (hidden & ~?1) | ?2"
    " WHERE community = ?3 AND post IN (SELECT id FROM post WHERE actor = ?4) AND hidden & ?1 != ?2"
)


def hide_posts_of(connection: Connection, community: int, actor: int, banned: bool) -> None:
    """Hide the posts of an account in one community because it is banned there, or no longer. Call inside a write."""
    connection.execute(_HIDE, (BANNED, BANNED if banned else 0, community, actor))
