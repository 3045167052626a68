"""What authors say against a post of theirs being in a community. It wins over whatever moderators decide.

Plain functions over a connection: whoever acts reads it in its own transaction.
"""

from communities.directory import Settings
from communities.matching import OPT_OUT_TAGS
from communities.members import find_actor
from communities.post import Post
from communities.records import BLOCK, SUBMISSION
from communities.refs import PostRef
from models.database import Connection

_BLOCKS = "SELECT 1 FROM declaration WHERE actor = ? AND collection = ? AND subject = ? AND gone = 0 LIMIT 1"
_SUBMITTED = (
    "SELECT min(gone) FROM declaration WHERE actor = ? AND collection = ? AND about = ? AND subject = ?"
    " AND fault IS NULL"
)


def opted_out(connection: Connection, settings: Settings, ref: PostRef, post: Post | None) -> str | None:
    """Why a post must not be in a community, in words for people; None: its author says nothing against it.

    `post`: its facts, None where they are not known.
    """
    tags = sorted(OPT_OUT_TAGS & post.tags) if post else []
    if tags:
        return f"its author opted out with #{tags[0]}"
    author = find_actor(connection, ref.did)
    if author is None:
        return None
    account = settings.account
    if account is not None:
        if connection.execute(_BLOCKS, (author, BLOCK, account)).fetchone():
            return "its author blocks the community's account"
        own = find_actor(connection, account)
        if own is not None and connection.execute(_BLOCKS, (own, BLOCK, ref.did)).fetchone():
            return "the community's account blocks its author"
    if submission(connection, settings, author, ref) is False:
        return "its author took its submission back"
    return None


def submission(connection: Connection, settings: Settings, author: int, ref: PostRef) -> bool | None:
    """Whether a post is submitted to a community by its author (number `author`); False: it was, and was taken back."""
    if settings.uri is None:
        return None
    (gone,) = connection.execute(_SUBMITTED, (author, SUBMISSION, settings.uri, ref.uri)).fetchall()[0]
    return None if gone is None else not gone
