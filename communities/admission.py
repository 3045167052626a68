"""Whether a post is in a community, and in what state: from what selects it, who wrote it, and what was decided. Pure.

The order: what the author says (opting out, withdrawing) wins over everything; then a ban; then what moderators have
decided; then who may post. What was let in stays when rules of posting change later, until it is edited.
"""

from dataclasses import dataclass
from enum import StrEnum

from communities.access import Admission, Posting, Standing, Status, may_post
from communities.directory import Settings

HIDDEN_AUTHOR, PENDING, REMOVED, BANNED, TAKEN_DOWN = 1, 2, 4, 8, 16
"""What keeps a post out of sight (`feed_item.hidden`, added up): its author's account is not shown, it waits for
approval, a moderator removed it, its author is banned in the community, this site has taken it down. It is written by
these, and by no others:

    who                         when                                  what
    firehose.rows               the post is written or judged anew    2, 4, 8 as `judge` says; 1 and 16 as they stand
    communities.post_decisions  a moderator lets it in                2, 4, 8 cleared; 1 and 16 as they stand
                                a moderator removes it                4 set, 2 cleared, 8 kept; 1 and 16 as they stand
    communities.post_reversal   that it was removed is undone         4 cleared; 2 and 8 as `judge` says; 1 and 16 kept
    communities.automatic       a labeler that is trusted says so     4 set or cleared, 2 set
    communities.bans            a ban of its author begins or ends    8 set or cleared, in that community
    communities.shown           its author's account goes or is back  1 set or cleared, in all communities
                                the site takes it down, or no longer  16 set or cleared, in all communities

The last three leave the other bits alone, so that a post comes back as it was. 1, 4, 8 and 16 follow from other rows
(`actor`, `decided`, `membership`; 16 from a row of `decided` without a community); that a post waits stands here alone,
and `judge` is told so (`Held`).
"""
BY_HAND = "approved"
"""The evidence of a post that a moderator put in, or let in."""


class Outcome(StrEnum):
    """How a post stands to a community."""

    ADMITTED = "admitted"
    PENDING = "pending"
    REMOVED = "removed"
    BANNED = "banned"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class Verdict(StrEnum):
    """What was decided of a post."""

    APPROVED = "approved"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision in force: on which version (cid) of the post, and its number in the log."""

    verdict: Verdict
    cid: bytes
    decision: int


@dataclass(frozen=True, slots=True)
class Held:
    """How the post stands already: in which version it was let in, and whether it waits."""

    cid: bytes
    pending: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome and, for people, why. `after`: bits that keep it out of sight once its author is banned no more."""

    outcome: Outcome
    why: str = ""
    after: int = 0

    @property
    def hidden(self) -> int | None:
        """The bits of its feed item; None when it has none."""
        bits = _HIDDEN.get(self.outcome)
        return None if bits is None else bits | self.after


_HIDDEN = {Outcome.ADMITTED: 0, Outcome.PENDING: PENDING, Outcome.REMOVED: REMOVED, Outcome.BANNED: BANNED}


def judge(
    settings: Settings,
    author: Standing,
    cid: bytes,
    *,
    selected: bool,
    decided: Decided | None = None,
    held: Held | None = None,
    opted_out: str | None = None,
    refusal: str | None = None,
) -> Judgement:
    """How a post in the version `cid` stands to a community.

    `selected`: whether any selector, submission or membership speaks for it. `opted_out`: why its author keeps it out;
    `refusal`: which exclusion of the community does; None: nothing.
    """
    if opted_out is not None:
        return Judgement(Outcome.WITHDRAWN, opted_out)
    if author.status is Status.BANNED and not author.oversees:
        # What was in before comes back with its author, as it was; nothing new is kept.
        if held is None:
            return Judgement(Outcome.REFUSED, "its author is banned")
        if decided is not None and decided.verdict is Verdict.REMOVED:
            return Judgement(Outcome.BANNED, "its author is banned", REMOVED)
        waits = _held(settings, held, cid, Admission.REFUSED).outcome is Outcome.PENDING
        return Judgement(Outcome.BANNED, "its author is banned", PENDING if waits else 0)
    if decided is not None and decided.verdict is Verdict.REMOVED:
        return Judgement(Outcome.REMOVED, "a moderator removed it")
    if decided is not None and decided.cid == cid:
        return Judgement(Outcome.ADMITTED, "a moderator approved it")
    let_in = held is not None and held.cid == cid and not held.pending
    if decided is not None and (not selected or (settings.posting is Posting.APPROVAL and not let_in)):
        return Judgement(Outcome.PENDING, "it was edited after a moderator approved it")
    if not selected:
        return Judgement(Outcome.REFUSED, "nothing selects it")
    if refusal is not None:
        return Judgement(Outcome.REFUSED, refusal)
    now = may_post(settings.kind, settings.posting, settings.state, author)
    if held is not None:
        return _held(settings, held, cid, now)
    if now is Admission.ADMITTED:
        return Judgement(Outcome.ADMITTED)
    if now is Admission.PENDING:
        return Judgement(Outcome.PENDING, "every post waits for approval here")
    return Judgement(Outcome.REFUSED, _why_not(settings))


def _held(settings: Settings, held: Held, cid: bytes, now: Admission) -> Judgement:
    if held.pending and now is not Admission.ADMITTED:
        return Judgement(Outcome.PENDING, "it waits for approval")
    if held.cid != cid and settings.posting is Posting.APPROVAL:
        return Judgement(Outcome.PENDING, "it was edited, and every post waits for approval here")
    return Judgement(Outcome.ADMITTED)


def _why_not(settings: Settings) -> str:
    if settings.state != "active":
        return f"the community is {settings.state.value}"
    return {
        Posting.MEMBERS: "only members post here",
        Posting.APPROVAL: "only members post here",
        Posting.RESTRICTED: "only moderators post here",
    }.get(settings.posting, "its author may not read the community")
