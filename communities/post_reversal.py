"""A post that was removed from a community stands as it did before: for that decision is undone, and no new one is made
about the post. Who lets a post in decides (`communities.post_decisions`); who undoes does not.
"""

from collections.abc import Mapping
from typing import NamedTuple

from communities.access import Action, Admission, Site, may_decide, may_post
from communities.acting import acting_as
from communities.admission import BY_HAND, HIDDEN_AUTHOR, PENDING, TAKEN_DOWN, Decided, Held, Verdict, judge
from communities.deeds import Deed, Done, write
from communities.directory import Places, Settings
from communities.log import Acting, Decision
from communities.members import find_actor, standing_of
from communities.membership import RefusedError
from communities.optout import opted_out
from communities.refs import PostRef, cid_text, read_cid
from communities.stored import Item, StoredPost, find_decided, find_item, find_post, put_decided, put_item
from models import decisions
from models.database import Connection

_PAGE = 100


class Removal(NamedTuple):
    """What is undone. `seq`: its number in the log; `undone`: of decisions that undo others, by number, which."""

    post: PostRef
    seq: int
    undone: Mapping[int, int]


def decided_before(connection: Connection, community: int, removal: Removal) -> Decided | None:
    """What people had decided about the post before; None: nothing that is in force."""
    below = removal.seq
    while True:
        rows = decisions.newest(connection, community, _PAGE, below, removal.post.uri)
        for row in rows:
            cid = read_cid(row.cid or "")
            if row.seq >= below or cid is None:
                continue
            if row.action == Action.REMOVE:
                return Decided(Verdict.REMOVED, cid, row.seq)
            if row.action in (Action.APPROVE, Action.RESTORE):
                if row.seq in removal.undone:
                    below = removal.undone[row.seq]
                    break
                return None if row.role == Acting.AUTOMATION else Decided(Verdict.APPROVED, cid, row.seq)
        else:
            if len(rows) < _PAGE:
                return None
            below = rows[-1].seq


def give_back(
    connection: Connection,
    places: Places,
    settings: Settings,
    actor: str,
    removal: Removal,
    reason: str,
    now: int,
    site: Mapping[str, Site],
    deed: Deed,
) -> Done:
    """Undo it, as the account `actor` (DID), who must be allowed to restore posts. Call inside a write.

    What waited for approval waits again; so does a version that nobody let in, where every post waits. Raises
    RefusedError: NotPermitted, NoChange, AuthorOptedOut.
    """
    ref = removal.post
    who = standing_of(connection, places, settings, actor, now, site)
    if not may_decide(Action.RESTORE, who):
        raise RefusedError("NotPermitted", "Your role does not allow you to restore posts here.")
    author = find_actor(connection, ref.did)
    decided = find_decided(connection, settings.id, author, ref.rkey)
    before = decided_before(connection, settings.id, removal)
    if decided is None or decided.verdict is not Verdict.REMOVED or (before and before.verdict is Verdict.REMOVED):
        raise RefusedError("NoChange", "The post is not removed, or was before.")
    row = find_post(connection, ref)
    item = find_item(connection, settings.id, row.id) if row else None
    hidden = _hidden(connection, places, settings, ref, row, item, decided, before, now, site) if row and item else 0
    role = acting_as(Action.RESTORE, settings, actor, who)
    decision = Decision(Action.RESTORE, actor, role, ref.uri, cid_text(decided.cid), reason)
    done = write(connection, settings, now, decision, deed)
    if before is not None and author is not None:
        put_decided(connection, settings.id, author, ref.rkey, before, now)
    else:
        connection.execute(
            "DELETE FROM decided WHERE community = ? AND actor = ? AND rkey = ?", (settings.id, author, ref.rkey)
        )
    if row is not None and item is not None:
        put_item(connection, settings.id, ref, row, Item(hidden, item.evidences))
    return done


def _hidden(
    connection: Connection,
    places: Places,
    settings: Settings,
    ref: PostRef,
    row: StoredPost,
    item: Item,
    removed: Decided,
    before: Decided | None,
    now: int,
    site: Mapping[str, Site],
) -> int:
    """The bits of the item from now on."""
    why = opted_out(connection, settings, ref, row.facts())
    if why is not None:
        raise RefusedError("AuthorOptedOut", f"The post cannot be let in: {why}.")
    author = standing_of(connection, places, settings, ref.did, now, site)
    # That a post waited is not kept while it is removed: it did where its author's posts wait, and nobody had decided.
    waits = may_post(settings.kind, settings.posting, settings.state, author) is Admission.PENDING
    judged = judge(
        settings,
        author,
        row.cid,
        selected=any(evidence != BY_HAND for evidence in item.evidences),
        decided=before,
        held=Held(removed.cid, before is None and waits),
    )
    bits = PENDING if judged.hidden is None else judged.hidden
    return item.hidden & (HIDDEN_AUTHOR | TAKEN_DOWN) | bits
