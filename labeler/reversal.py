"""How one event of moderation is undone: what it did and is still so because of it becomes as it was before, by new
events that name it. Call inside a write.

    takedown, ban         given back, and its labels negated for every version, if no other scope has it taken down
    reversal, unban       taken down again, for as long as it would still be
    labels                `labeler.label_undo`
    mutes, tags           as they were, if that is not over; pins too
    score, sticky comment as they were
    anything else         nothing: that somebody has looked, written, answered or approved is no state to go back to
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from communities.access import Action
from communities.casebook import standing
from communities.deeds import PINNED, REMOVED, Deed
from communities.effects import COMMENT, DOWN, PRIORITY, REPORTER, TAG, before, effects, in_force, kept_tags
from communities.membership import RefusedError
from communities.mod_event import HOUR, Kind
from communities.person_decisions import PersonDecision, decide_person
from communities.post_decisions import PostDecision, decide_post
from communities.post_reversal import Removal, give_back
from communities.refs import PostRef, read_cid, read_post_uri
from communities.review import Status
from communities.shown import take_down, take_down_post
from labeler.label_reversal import relabel, say_back, unlabel
from labeler.second import SECOND
from labeler.undo_case import NOTHING, SAME, SINCE, Case
from models import event_selection

_GENERATOR = "app.bsky.feed.generator"


def reverse(case: Case) -> None:
    """Undo it. Raises RefusedError (also named NOTHING, SINCE, SAME), NotAllowedError, LabelRefusedError."""
    if case.event.kind is Kind.LABEL:
        say_back(case)
        return
    touched = effects(case.event)
    if not touched:
        raise RefusedError(NOTHING, "What this event did is not undone.")
    mine = [effect for effect in touched if in_force(case.past, case.number, effect)]
    if not mine:
        raise RefusedError(SINCE, "Something else was decided since.")
    if DOWN in mine:
        _down(case)
    elif case.event.kind is Kind.TAG and case.event.decision is not None:
        _pin(case)
    else:
        case.hand.moderates(case.connection, case.scope, case.key)
        _state(case, mine)


def _was(case: Case) -> Status:
    return before(case.past, case.number, set(effects(case.event)))


def _now(case: Case) -> Status:
    return standing(case.connection, case.scope, case.key) or Status()


def _state(case: Case, mine: Iterable[str]) -> None:
    """What stands in the status of the subject alone."""
    was, now = _was(case), _now(case)
    effect = next(iter(mine))
    if effect.startswith(TAG):
        _tags(case, {one.removeprefix(TAG) for one in mine}, was, now)
    elif effect == PRIORITY:
        _differ(was.priority, now.priority)
        case.append(Kind.PRIORITY_SCORE, {"score": was.priority})
    elif effect == COMMENT:
        _differ(was.comment, now.comment)
        case.append(Kind.COMMENT, {"sticky": True}, was.comment)
    else:
        reporter = effect == REPORTER
        ended, stands = (
            (was.mute_reporting_until, now.mute_reporting_until) if reporter else (was.mute_until, now.mute_until)
        )
        ends = ended if ended is not None and ended > case.hand.now else None
        _differ(ends, stands)
        if ends is None:
            case.append(Kind.UNMUTE_REPORTER if reporter else Kind.UNMUTE, {})
        else:
            kind = Kind.MUTE_REPORTER if reporter else Kind.MUTE
            case.append(kind, {"durationInHours": _hours(case, ends)}, ends=ends)


def _tags(case: Case, tags: set[str], was: Status, now: Status) -> None:
    add, remove = kept_tags(now, was, tags, case.hand.now)
    # Nobody asks for another person in somebody's place.
    add = {tag: until for tag, until in add.items() if not tag.startswith(SECOND)}
    if not add and not remove:
        raise RefusedError(SAME, "It is so already.")
    case.hand.touches(case.connection, case.scope, {*add, *remove})
    if remove:
        case.append(Kind.TAG, {"add": [], "remove": remove})
    for until in dict.fromkeys(add.values()):
        said: dict[str, Any] = {"add": [tag for tag, its in add.items() if its == until], "remove": []}
        if until is not None:
            said["durationInHours"] = _hours(case, until)
        case.append(Kind.TAG, said, ends=until)


def _pin(case: Case) -> None:
    post = _post(case)
    if post is None:
        raise RefusedError(NOTHING, "What this event did is not undone.")
    action = Action.UNPIN if PINNED in case.event.said["add"] else Action.PIN
    _decide_post(case, action, post, case.deed)


def _down(case: Case) -> None:
    was = _was(case)
    down = case.event.kind is Kind.TAKEDOWN or (case.event.kind is Kind.TAG and bool(case.event.said["add"]))
    tag = next((one for one in was.tags if one.startswith(REMOVED)), None)
    over = was.suspend_until is not None and was.suspend_until <= case.hand.now
    if not down and not (tag or (was.takendown and not over)):
        raise RefusedError(SAME, "It was not taken down before, or would not be any more.")
    case.hand.moderates(case.connection, case.scope, case.key)
    if not down:
        if case.key.collection == _GENERATOR and not case.hand.operator:
            raise RefusedError("NotPermitted", "Only admins of a labeler take feeds down.")
        case.hand.touches(case.connection, case.scope, _now(case).tags.keys())
        if any(one.two_person for one in case.hand.serving(case.connection, case.scope)):
            raise RefusedError("SecondNeeded", "It takes two people to take it down.")
    post, account = _post(case), not (case.key.path or case.key.convo)
    label = unlabel(case) if down else relabel(case)
    if case.scope <= 0:
        _on_site(case, post, account, was, label, down=down)
    elif post is not None and down:
        _give_back(case, post, label)
    elif post is not None:
        deed = _as_tag(case, tag, add=True) if tag else _as(case, Kind.TAKEDOWN, was, label)
        _decide_post(case, Action.REMOVE, post, deed)
    elif account:
        _decide_account(case, was, label, down=down)
    else:
        _note(case, was, label, down=down)


def _as(case: Case, kind: Kind, was: Status, label: int | None) -> Deed:
    said = dict(case.strikes)
    if kind is Kind.TAKEDOWN and was.suspend_until is not None:
        said["durationInHours"] = _hours(case, was.suspend_until)
    ends = was.suspend_until if kind is Kind.TAKEDOWN else None
    return replace(case.deed, said=said, kind=kind, label_event=label, ends=ends)


def _as_tag(case: Case, tag: str, *, add: bool) -> Deed:
    said = {"add": [tag] if add else [], "remove": [] if add else [tag]}
    return replace(case.deed, said=said, kind=Kind.TAG)


def _give_back(case: Case, post: PostRef, label: int | None) -> None:
    hand = case.hand
    settings = hand.community(case.scope)
    seqs = {one.id: one.event.decision for one in case.past}
    undone = {
        one.event.decision: seq
        for one in case.past
        if one.event.decision is not None and one.event.undoes and (seq := seqs.get(one.event.undoes)) is not None
    }
    tag = case.event.kind is Kind.TAG
    deed = (
        _as_tag(case, case.event.said["add"][0], add=False)
        if tag
        else _as(case, Kind.REVERSE_TAKEDOWN, Status(), label)
    )
    if case.event.decision is None:
        raise RefusedError(NOTHING, "No decision of the community took it out.")
    removal = Removal(post, case.event.decision, undone)
    give_back(case.connection, hand.places, settings, hand.actor, removal, hand.reason, hand.now, hand.site, deed)


def _decide_post(case: Case, action: Action, post: PostRef, deed: Deed) -> None:
    hand = case.hand
    settings = hand.community(case.scope)
    wanted = PostDecision(action, post, read_cid(case.event.cid), hand.reason, known=True)
    decide_post(case.connection, hand.places, settings, hand.actor, wanted, hand.now, hand.site, deed)


def _decide_account(case: Case, was: Status, label: int | None, *, down: bool) -> None:
    hand = case.hand
    action = Action.UNBAN if down else Action.BAN
    wanted = PersonDecision(action, case.key.did, hand.reason, until=None if down else was.suspend_until)
    deed = _as(case, Kind.REVERSE_TAKEDOWN if down else Kind.TAKEDOWN, Status(), label)
    settings = hand.community(case.scope)
    decide_person(case.connection, hand.places, settings, hand.actor, wanted, hand.now, hand.site, deed)


def _on_site(case: Case, post: PostRef | None, account: bool, was: Status, label: int | None, *, down: bool) -> None:
    elsewhere = [scope for scope in event_selection.taken_down_in(case.connection, case.subject) if scope <= 0]
    if not down or elsewhere == [case.scope]:
        if post is not None:
            cid = read_cid(case.event.cid) or b""
            take_down_post(case.connection, post, cid, case.hand.now, allowed=down)
        elif account:
            take_down(case.connection, case.key.did, allowed=down)
    _note(case, was, label, down=down)


def _note(case: Case, was: Status, label: int | None, *, down: bool) -> None:
    """Only that it is so is written down."""
    said, ends = dict(case.strikes), None
    if not down and was.suspend_until is not None:
        ends = was.suspend_until
        said["durationInHours"] = _hours(case, ends)
    case.append(Kind.REVERSE_TAKEDOWN if down else Kind.TAKEDOWN, said, ends=ends, label_event=label)


def _post(case: Case) -> PostRef | None:
    return read_post_uri(case.key.uri) if case.key.path else None


def _hours(case: Case, until: int) -> int:
    return max(1, -(-(until - case.hand.now) // HOUR))


def _differ(was: object, now: object) -> None:
    if was == now:
        raise RefusedError(SAME, "It is so already.")
