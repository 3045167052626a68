"""What moderators decide about posts, each in one community and in no other.

    approve   it is let in, in this version: one that waits, that nothing selected, or that was removed
    remove    it is taken out, in this version and the later ones, until it is let in again
    restore   what was removed is let in again
    pin       it is shown first, before what was pinned earlier
    unpin     no longer

Everything that a decision goes by is read in the transaction that makes it. What it means for the post when it is
edited, or comes later, says `communities.admission.judge`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from communities.access import Action, Site, Standing, Status, may_decide
from communities.acting import acting_as
from communities.admission import BANNED, BY_HAND, HIDDEN_AUTHOR, PENDING, REMOVED, TAKEN_DOWN, Decided, Verdict
from communities.deeds import Deed, Done, write
from communities.directory import Places, Settings
from communities.log import Decision
from communities.members import find_actor, intern_actor, standing_of
from communities.membership import RefusedError
from communities.optout import opted_out
from communities.refs import PostRef, cid_text
from communities.stored import (
    Item,
    StoredPost,
    find_decided,
    find_item,
    find_post,
    put_decided,
    put_item,
)
from models import pins, reports, repos
from models.database import Connection
from models.reports import SITE

ABOUT_POSTS = frozenset((Action.APPROVE, Action.REMOVE, Action.RESTORE, Action.PIN, Action.UNPIN))
MAX_PINS = 5
"""Posts that moderators of a community may have pinned at a time (ours)."""
ASKED_FOR = "approved by a moderator"
"""Why the repository of an author is to be read."""


@dataclass(frozen=True, slots=True)
class PostDecision:
    """What somebody wants to decide. `cid`: the version that they have seen; None: whichever is indexed. `rule`: the
    name of one of the community's rules: the public log shows it, so the caller must have seen to that. `known`: the
    post is a matter of the community, in whatever version, also when it is not in it any more.
    """

    action: Action
    post: PostRef
    cid: bytes | None = None
    reason: str | None = None
    rule: str | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of the post. `row`: None if it is not indexed; `item`: None if it is not in the community."""

    author: int | None
    standing: Standing
    row: StoredPost | None
    item: Item | None
    decided: Decided | None
    taken_down: bool
    """Whether the site shows it nowhere."""
    pinned: bool | None
    """Whether a moderator pinned it; False: the declaration did; None: nobody."""

    @property
    def version(self) -> bytes | None:
        """The version that is indexed."""
        return self.row.cid if self.row else None

    @property
    def removed(self) -> bool:
        return self.decided is not None and self.decided.verdict is Verdict.REMOVED

    @property
    def awaited(self) -> bool:
        """Whether it was approved and has not come yet."""
        return self.decided is not None and self.decided.verdict is Verdict.APPROVED and self.row is None


def decide_post(
    connection: Connection,
    places: Places,
    settings: Settings,
    actor: str,
    wanted: PostDecision,
    now: int,
    site: Mapping[str, Site] | None = None,
    deed: Deed | None = None,
) -> Done:
    """Decide, as the account `actor` (DID). Call inside a write.

    `settings`: of the community; `now`: microseconds; `site`: who is what for the whole site; `deed`: what else is said
    of it. Raises
    RefusedError: NotPermitted, PostNotFound, NotInCommunity, VersionChanged, NoChange, AuthorOptedOut,
    AuthorBanned, TooManyPins.
    """
    who = standing_of(connection, places, settings, actor, now, site)
    if not may_decide(wanted.action, who):
        raise RefusedError("NotPermitted", f"Your role does not allow you to {wanted.action} posts here.")
    author = standing_of(connection, places, settings, wanted.post.did, now, site)
    case = _look(connection, settings, wanted.post, author)
    if case.version is not None and not wanted.known and wanted.cid not in (None, case.version):
        raise RefusedError("VersionChanged", "The post was edited since: look at it again.")
    if wanted.action in (Action.PIN, Action.UNPIN):
        _check_pin(connection, settings, wanted.action, case)
    else:
        _check_verdict(wanted, case)
        if wanted.action is not Action.REMOVE:
            _check_author(connection, settings, wanted.post, case)
    cid = case.version or wanted.cid or (case.decided.cid if case.decided else None)
    decision = Decision(
        action=wanted.action,
        actor=actor,
        role=acting_as(wanted.action, settings, actor, who),
        subject=wanted.post.uri,
        cid=cid_text(cid) if cid else None,
        reason=wanted.reason,
        rule=wanted.rule,
    )
    done = write(connection, settings, now, decision, deed)
    if wanted.action is Action.PIN:
        assert case.author is not None  # noqa: S101 - it is in the community
        pins.add(connection, settings.id, case.author, wanted.post.rkey)
    elif wanted.action is Action.UNPIN:
        pins.take(connection, settings.id, case.author, wanted.post.rkey)
    else:
        verdict = Verdict.REMOVED if wanted.action is Action.REMOVE else Verdict.APPROVED
        # Of a post that is gone, and of which no version was named, all are meant.
        _settle(connection, settings, wanted.post, case, Decided(verdict, cid or b"", done.entry.seq), now)
    return done


def _look(connection: Connection, settings: Settings, ref: PostRef, standing: Standing) -> _Case:
    author = find_actor(connection, ref.did)
    row = find_post(connection, ref)
    return _Case(
        author=author,
        standing=standing,
        row=row,
        item=find_item(connection, settings.id, row.id) if row else None,
        decided=find_decided(connection, settings.id, author, ref.rkey),
        taken_down=find_decided(connection, SITE, author, ref.rkey) is not None,
        pinned=pins.pinned(connection, settings.id, author, ref.rkey),
    )


def _check_verdict(wanted: PostDecision, case: _Case) -> None:
    """Whether there is anything to decide."""
    if wanted.action is Action.REMOVE:
        if case.removed:
            raise RefusedError("NoChange", "The post is removed already.")
        if case.item is None and not case.awaited and not wanted.known:
            raise RefusedError("NotInCommunity", "The post is not in this community.")
        return
    if wanted.action is Action.RESTORE and not case.removed:
        raise RefusedError("NoChange", "The post is not removed.")
    if case.row is None and wanted.cid is None and case.decided is None:
        raise RefusedError("PostNotFound", "The post is not known here: say which version of it is meant (cid).")
    if case.decided is None or case.removed:
        return
    cid = case.version or wanted.cid
    if case.decided.cid == cid and (case.row is None or (case.item and not case.item.hidden & (PENDING | REMOVED))):
        raise RefusedError("NoChange", "This version of the post is approved already.")


def _check_author(connection: Connection, settings: Settings, ref: PostRef, case: _Case) -> None:
    """Whether a post may be let in, by what its author says and is."""
    why = opted_out(connection, settings, ref, case.row.facts() if case.row else None)
    if why is not None:
        raise RefusedError("AuthorOptedOut", f"The post cannot be let in: {why}.")
    if case.standing.status is Status.BANNED and not case.standing.oversees:
        raise RefusedError("AuthorBanned", "Its author is banned: lift the ban first.")


def _check_pin(connection: Connection, settings: Settings, action: Action, case: _Case) -> None:
    if action is Action.UNPIN:
        if case.pinned is None:
            raise RefusedError("NoChange", "The post is not pinned.")
        if not case.pinned:
            raise RefusedError("NotPermitted", "The community's declaration pins this post, and no moderator.")
        return
    if case.pinned is not None:
        raise RefusedError("NoChange", "The post is pinned already.")
    if case.item is None or case.item.hidden:
        raise RefusedError("NotInCommunity", "Only a post that the community shows can be pinned.")
    if pins.count(connection, settings.id) >= MAX_PINS:
        raise RefusedError("TooManyPins", f"Moderators pin at most {MAX_PINS} posts: unpin one first.")


def _settle(connection: Connection, settings: Settings, ref: PostRef, case: _Case, decided: Decided, now: int) -> None:
    """Let the decision be in force, and the item of the post be as it says."""
    author = intern_actor(connection, ref.did) if case.author is None else case.author
    put_decided(connection, settings.id, author, ref.rkey, decided, now)
    if decided.verdict is Verdict.REMOVED:
        pins.take(connection, settings.id, author, ref.rkey)
    if case.row is None:
        if decided.verdict is Verdict.APPROVED:
            repos.ask(connection, author, ASKED_FOR)
        return
    reports.unflag(connection, settings.id, case.row.id)
    evidences = case.item.evidences if case.item else ()
    if decided.verdict is Verdict.APPROVED and BY_HAND not in evidences:
        evidences = (*evidences, BY_HAND)
    hidden = (0 if case.row.shown else HIDDEN_AUTHOR) | (TAKEN_DOWN if case.taken_down else 0)
    if decided.verdict is Verdict.REMOVED:
        # A ban may end: then it must still be removed.
        hidden |= REMOVED | ((case.item.hidden & BANNED) if case.item else 0)
    item = Item(hidden, evidences)
    put_item(connection, settings.id, ref, case.row, item)
