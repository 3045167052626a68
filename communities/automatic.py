"""Posts that are taken out of a community by no person: because a labeler that the operator trusts says something of
them. Whatever a person decides about a post stands above that.
"""

from communities.access import Action
from communities.admission import PENDING, REMOVED, Decided, Verdict
from communities.deeds import Deed, write
from communities.directory import Settings
from communities.log import Acting, Decision, Event
from communities.members import find_actor
from communities.refs import PostRef, cid_text
from communities.stored import Item, StoredPost, find_decided, find_item, find_post, put_decided, put_item
from models import pins, reports
from models.database import Connection

SEEN = frozenset((0, PENDING))
"""How a post stands that moderators can be asked about."""


def remove(
    connection: Connection, settings: Settings, ref: PostRef, post: StoredPost, actor: str, reason: str, now: int
) -> Event | None:
    """Take an indexed post out of a community; None where it is not in it, or somebody has decided about this version.

    Call inside a write. `actor`: the DID on whose word it is done; `now`: microseconds.
    """
    item = find_item(connection, settings.id, post.id)
    if item is None or item.hidden & REMOVED or _is_decided(connection, settings, ref, post):
        return None
    decision = Decision(Action.REMOVE, actor, Acting.AUTOMATION, ref.uri, cid_text(post.cid), reason)
    event = write(connection, settings, now, decision).entry
    put_decided(connection, settings.id, post.actor, ref.rkey, Decided(Verdict.REMOVED, post.cid, event.seq), now)
    pins.take(connection, settings.id, post.actor, ref.rkey)
    put_item(connection, settings.id, ref, post, Item(item.hidden | REMOVED, item.evidences))
    return event


def give_back(
    connection: Connection, settings: Settings, ref: PostRef, post: StoredPost, actor: str, reason: str, removal: int,
    now: int, deed: Deed | None = None,
) -> Event | None:  # fmt: skip
    """Undo the removal with that number in the log; None where another decision is in force. As `remove`. `deed`: what
    else is to be said of it.

    The post then stands as it did before, and nobody has decided about it.
    """
    decided = find_decided(connection, settings.id, post.actor, ref.rkey)
    if decided is None or decided.decision != removal:
        return None
    decision = Decision(Action.RESTORE, actor, Acting.AUTOMATION, ref.uri, cid_text(post.cid), reason)
    event = write(connection, settings, now, decision, deed).entry
    connection.execute(
        "DELETE FROM decided WHERE community = ? AND actor = ? AND rkey = ?", (settings.id, post.actor, ref.rkey)
    )
    item = find_item(connection, settings.id, post.id)
    if item is not None:
        put_item(connection, settings.id, ref, post, Item(item.hidden & ~REMOVED, item.evidences))
    return event


def end_removal(
    connection: Connection, community: int, ref: PostRef, actor: str, reason: str, now: int, deed: Deed | None = None
) -> bool:
    """The time is over for which a post was removed from a community; False where it is not removed. As `give_back`."""
    slug = connection.execute("SELECT slug FROM community WHERE id = ?", (community,)).fetchone()
    author = find_actor(connection, ref.did)
    decided = find_decided(connection, community, author, ref.rkey)
    if slug is None or decided is None or decided.verdict is not Verdict.REMOVED:
        return False
    settings, post = Settings(community, slug[0]), find_post(connection, ref)
    if post is not None:
        return give_back(connection, settings, ref, post, actor, reason, decided.decision, now, deed) is not None
    decision = Decision(Action.RESTORE, actor, Acting.AUTOMATION, ref.uri, cid_text(decided.cid), reason)
    write(connection, settings, now, decision, deed)
    connection.execute(
        "DELETE FROM decided WHERE community = ? AND actor = ? AND rkey = ?", (community, author, ref.rkey)
    )
    return True


def let_wait(
    connection: Connection, settings: Settings, ref: PostRef, post: StoredPost, reason_type: str, now: int
) -> bool:
    """Let a post that is shown wait for the moderators; False where it is not, or they have approved this version."""
    item = find_item(connection, settings.id, post.id)
    if item is None or item.hidden not in SEEN or _is_decided(connection, settings, ref, post):
        return False
    reports.flag(connection, settings.id, post.id, reason_type, now)
    return True


def _is_decided(connection: Connection, settings: Settings, ref: PostRef, post: StoredPost) -> bool:
    decided = find_decided(connection, settings.id, post.actor, ref.rkey)
    return decided is not None and (decided.verdict is Verdict.REMOVED or decided.cid == post.cid)
