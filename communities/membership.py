"""How memberships come, change and end: one pure step for each thing that somebody does.

    none -> requested -> member      asks; a moderator accepts, or declines
    none -> invited -> member        a moderator invites; the invited accepts, or refuses
    none -> member -> none           joins where everybody may; leaves
    requested, member <-> banned     a moderator bans, and lifts the ban

Each illegal step is refused by a name (`RefusedError.name`) that clients get as the error of the XRPC call.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from communities.access import (
    EVERYTHING,
    Action,
    Role,
    Scope,
    Standing,
    State,
    Status,
    Type,
    joins_as,
    may_decide,
    may_grant,
)
from communities.limits import UNLIMITED, Limits


class Own(StrEnum):
    """What people do to their own membership."""

    JOIN = "join"
    AGREE = "agree"
    REFUSE = "refuse"
    LEAVE = "leave"


OTHERS = frozenset((Action.INVITE, Action.ACCEPT, Action.DECLINE, Action.BAN, Action.UNBAN, Action.EXPEL))
"""What is decided about another one's membership."""


class RefusedError(Exception):
    """A step that cannot be taken. `name`: for programs; the message is for people."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Membership:
    """A row of a community's memberships. `role`, `scope` and `limits` mean something for members only. `until`: when
    the ban or the role ends, microseconds; None: never.
    """

    status: Status
    role: Role = Role.MEMBER
    scope: frozenset[Scope] = EVERYTHING
    until: int | None = None
    limits: Limits = UNLIMITED


MEMBER = Membership(Status.MEMBER)


def in_force(held: Membership | None, now: int) -> Membership | None:
    """What a row means at a moment (microseconds): a ban that has ended leaves nothing, a role that has ended a plain
    member.
    """
    if held is None or held.until is None or now < held.until:
        return held
    return None if held.status is Status.BANNED else MEMBER


def step(
    deed: Own | Action,
    held: Membership | None,
    *,
    kind: Type,
    state: State,
    subject: Standing,
    actor: Standing,
    admins: int,
    until: int | None = None,
) -> Membership | None:
    """What becomes of a membership by a deed, of which actions are those of OTHERS; None: no row. Raises RefusedError.

    `subject`: how the person stands whose membership it is, as `held` says, except that an owner stands as an admin
    whatever is held; `actor`: who acts, the same person for deeds of their own. `admins`: how many there are for good.
    `until`: when a ban is to end, microseconds.
    """
    if subject.joined and deed is not Own.LEAVE and (held is None or held.status is not Status.BANNED):
        held = replace(MEMBER, role=subject.role)
    if isinstance(deed, Own):
        return _own(deed, held, kind, state, subject, admins)
    if deed not in OTHERS:
        raise ValueError(f"{deed} decides about no membership")
    if not may_decide(deed, actor):
        raise RefusedError("NotPermitted", f"Your role does not allow you to {deed} anybody here.")
    if deed is Action.INVITE:
        if held is not None:
            raise _already(held)
        _open(state)
        return Membership(Status.INVITED)
    if held is None:
        raise RefusedError("NotFound", "There is no membership, request or invitation of this account.")
    if deed is Action.EXPEL:
        _may_expel(held, actor)
        return None
    if deed is Action.UNBAN:
        _need(held, Status.BANNED, "NotBanned", "The account is not banned.")
        return MEMBER
    if deed is Action.BAN:
        return _ban(held, until)
    _need(held, Status.REQUESTED, "NotRequested", "The account has not asked to join.")
    if deed is Action.DECLINE:
        return None
    _open(state)
    return MEMBER


def _own(
    deed: Own, held: Membership | None, kind: Type, state: State, subject: Standing, admins: int
) -> Membership | None:
    if held is not None and held.status is Status.BANNED:
        raise RefusedError("Banned", "You are banned from this community.")
    if deed is Own.JOIN:
        if held is not None:
            raise _already(held)
        _open(state)
        status = joins_as(kind, state, subject)
        if status is None:
            raise RefusedError("InviteOnly", "This community can be joined by invitation only.")
        return Membership(status)
    if deed is Own.LEAVE:
        if held is None:
            raise RefusedError("NotFound", "You are not a member of this community.")
        if held.status is Status.MEMBER and held.role is Role.ADMIN and held.until is None and admins <= 1:
            raise RefusedError("LastAdmin", "You are the last admin: make somebody else one first.")
        return None
    if held is None or held.status is not Status.INVITED:
        raise RefusedError("NotInvited", "You are not invited to this community.")
    if deed is Own.REFUSE:
        return None
    _open(state)
    return MEMBER


def _open(state: State) -> None:
    if state is State.ARCHIVED:
        raise RefusedError("Archived", "The community is archived; nobody joins any more.")


def _already(held: Membership) -> RefusedError:
    name, said = {
        Status.REQUESTED: ("AlreadyRequested", "has asked to join already"),
        Status.INVITED: ("AlreadyInvited", "is invited already"),
        Status.MEMBER: ("AlreadyMember", "is a member already"),
        Status.BANNED: ("Banned", "is banned"),
    }[held.status]
    return RefusedError(name, f"The account {said}.")


def _need(held: Membership, status: Status, name: str, message: str) -> None:
    if held.status is not status:
        raise RefusedError(name, message)


def _may_expel(held: Membership, actor: Standing) -> None:
    if held.status is Status.MEMBER and held.role is Role.ADMIN:
        raise RefusedError("IsAdmin", "An admin can only leave.")
    if held.status is Status.MEMBER and held.role is Role.MODERATOR and not may_decide(Action.SET_ROLE, actor):
        raise RefusedError("NotPermitted", "Only an admin takes a moderator out.")


def _ban(held: Membership, until: int | None) -> Membership:
    if held.status is Status.BANNED:
        raise _already(held)
    if held.status is Status.INVITED:
        raise RefusedError("IsInvited", "The account is invited, and not a member: take the invitation back.")
    if held.status is Status.MEMBER and held.role is not Role.MEMBER:
        raise RefusedError("DemoteFirst", "Only a plain member can be banned: take the role away first.")
    return Membership(Status.BANNED, until=until)


def set_role(
    held: Membership | None,
    role: Role,
    *,
    own: bool,
    actor: Standing,
    scope: frozenset[Scope] = EVERYTHING,
    limits: Limits = UNLIMITED,
    until: int | None = None,
) -> Membership:
    """A member with another role. `own`: whether somebody changes their own; `until`: when it ends, microseconds.

    Raises RefusedError.
    """
    if held is None or held.status is not Status.MEMBER:
        raise RefusedError("NotMember", "Only a member has a role.")
    if held.role is Role.ADMIN:
        raise RefusedError("IsAdmin", "An admin's role never changes; an admin can only leave.")
    down = role is Role.MEMBER and held.role is Role.MODERATOR
    if not (may_grant(actor, role, scope, limits) or (own and down)):
        raise RefusedError("NotPermitted", "Only an admin gives and takes roles.")
    if role is held.role is Role.MEMBER:
        raise RefusedError("NoChange", "The account has this role already.")
    if role is Role.MEMBER:
        return MEMBER
    if role is Role.ADMIN:
        scope, limits = EVERYTHING, UNLIMITED
    return replace(held, role=role, scope=scope, limits=limits, until=until)
