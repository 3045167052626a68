"""Who may see a community, write in it and decide for it: predicates over what is known of a community and a person.

`discoverable` (it may be found: lists, search, counts) and `readable` (its posts may be read) are two things; whoever
shows anything names the one that it goes by. Pure: the caller brings the facts, read inside the transaction that acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from communities.limits import ACCOUNT, UNLIMITED, Limits
from communities.refs import POST


class Type(StrEnum):
    """How visible a community is; never changes. A second word is about members of its parent."""

    OPEN = "open"
    PRIVATE = "private"
    HIDDEN = "hidden"
    PRIVATE_OPEN = "private-open"
    HIDDEN_OPEN = "hidden-open"
    HIDDEN_PRIVATE = "hidden-private"


_BELOW_PRIVATE = frozenset((Type.PRIVATE_OPEN, Type.PRIVATE, Type.HIDDEN))
_BELOW_HIDDEN = frozenset((Type.HIDDEN_OPEN, Type.HIDDEN_PRIVATE, Type.HIDDEN))
CHILDREN: Mapping[Type, frozenset[Type]] = {
    Type.OPEN: frozenset((Type.OPEN, Type.PRIVATE, Type.HIDDEN)),
    Type.PRIVATE: _BELOW_PRIVATE,
    Type.PRIVATE_OPEN: _BELOW_PRIVATE,
    Type.HIDDEN: _BELOW_HIDDEN,
    Type.HIDDEN_OPEN: _BELOW_HIDDEN,
    Type.HIDDEN_PRIVATE: _BELOW_HIDDEN,
}
"""What may stand below a community: a child is never more visible than those above it."""
AVAILABLE = frozenset((Type.OPEN,))
"""Types that can be kept: everything in a repository is public, so the others wait for permissioned data."""


class Posting(StrEnum):
    """Who may post."""

    ANYONE = "anyone"
    MEMBERS = "members"
    APPROVAL = "approval"
    RESTRICTED = "restricted"


class State(StrEnum):
    """What goes on in a community. `paused`: nothing new is admitted. `archived`: nor does anybody join."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class Status(StrEnum):
    """How a person's membership stands; no row at all is none of these."""

    REQUESTED = "requested"
    INVITED = "invited"
    MEMBER = "member"
    BANNED = "banned"


class Role(IntEnum):
    """What a member may decide; each may do what those below may."""

    MEMBER = 1
    MODERATOR = 2
    ADMIN = 3


class Site(IntEnum):
    """A person's role for the whole site, apart from any community."""

    NOBODY = 0
    MODERATOR = 1
    ADMIN = 2


class Scope(StrEnum):
    """A part of a moderator's work. A role without any scope named has them all."""

    POSTS = "posts"
    PINS = "pins"
    MEMBERS = "members"


EVERYTHING = frozenset(Scope)


class Action(StrEnum):
    """What is decided for a community."""

    APPROVE = "approve"
    REMOVE = "remove"
    RESTORE = "restore"
    PIN = "pin"
    UNPIN = "unpin"
    INVITE = "invite"
    ACCEPT = "accept"
    DECLINE = "decline"
    BAN = "ban"
    UNBAN = "unban"
    EXPEL = "expel"
    SET_ROLE = "setRole"
    EDIT = "edit"
    DELETE = "delete"
    CREATE_CHILD = "createChild"


_NEEDS: Mapping[Action, tuple[Role, Scope | None]] = {
    Action.APPROVE: (Role.MODERATOR, Scope.POSTS),
    Action.REMOVE: (Role.MODERATOR, Scope.POSTS),
    Action.RESTORE: (Role.MODERATOR, Scope.POSTS),
    Action.PIN: (Role.MODERATOR, Scope.PINS),
    Action.UNPIN: (Role.MODERATOR, Scope.PINS),
    Action.INVITE: (Role.MODERATOR, Scope.MEMBERS),
    Action.ACCEPT: (Role.MODERATOR, Scope.MEMBERS),
    Action.DECLINE: (Role.MODERATOR, Scope.MEMBERS),
    Action.BAN: (Role.MODERATOR, Scope.MEMBERS),
    Action.UNBAN: (Role.MODERATOR, Scope.MEMBERS),
    Action.EXPEL: (Role.MODERATOR, Scope.MEMBERS),
    Action.SET_ROLE: (Role.ADMIN, None),
    Action.EDIT: (Role.ADMIN, None),
    Action.DELETE: (Role.ADMIN, None),
    Action.CREATE_CHILD: (Role.ADMIN, None),
}


_ABOUT: Mapping[Action, str] = {
    **dict.fromkeys((Action.APPROVE, Action.REMOVE, Action.RESTORE, Action.PIN, Action.UNPIN), POST),
    **dict.fromkeys((Action.INVITE, Action.ACCEPT, Action.DECLINE, Action.BAN, Action.UNBAN, Action.EXPEL), ACCOUNT),
}
"""Of which collection that is about which it is decided."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a person stands to a community. Somebody unknown is `Standing()`.

    `role`, `scope` and `limits` mean something for members only. `above`: admin of any community above this one.
    `of_parent`: member of the one directly above.
    """

    status: Status | None = None
    role: Role = Role.MEMBER
    scope: frozenset[Scope] = EVERYTHING
    above: bool = False
    of_parent: bool = False
    site: Site = Site.NOBODY
    limits: Limits = UNLIMITED

    @property
    def joined(self) -> bool:
        """Whether the person is a member, of whatever role."""
        return self.status is Status.MEMBER

    @property
    def moderates(self) -> bool:
        """Whether the person is one of this community's moderators or admins."""
        return self.joined and self.role >= Role.MODERATOR

    @property
    def oversees(self) -> bool:
        """Whether the person stands above the community: no ban in it keeps them out."""
        return self.above or self.site > Site.NOBODY

    @property
    def bounds(self) -> Limits:
        """What the person is limited to: nothing limits whoever is more than a moderator."""
        free = self.above or self.site is Site.ADMIN or (self.joined and self.role is Role.ADMIN)
        return UNLIMITED if free else self.limits


def discoverable(kind: Type, who: Standing) -> bool:
    """Whether somebody may know that a community is there."""
    if who.oversees:
        return True
    if who.status is Status.BANNED:
        return False
    if kind in {Type.OPEN, Type.PRIVATE, Type.PRIVATE_OPEN} or who.joined or who.status is Status.INVITED:
        return True
    return kind is not Type.HIDDEN and who.of_parent


def readable(kind: Type, who: Standing) -> bool:
    """Whether somebody may read what is posted in a community, and see its members."""
    if who.oversees:
        return True
    if who.status is Status.BANNED:
        return False
    if kind is Type.OPEN or who.joined:
        return True
    return kind in {Type.PRIVATE_OPEN, Type.HIDDEN_OPEN} and who.of_parent


def joins_as(kind: Type, state: State, who: Standing) -> Status | None:
    """What somebody becomes who joins without being asked: a member, or one who asks to be; None: neither."""
    if state is State.ARCHIVED or who.status is not None:
        return None
    if kind is Type.OPEN:
        return Status.MEMBER
    if kind in {Type.PRIVATE_OPEN, Type.HIDDEN_OPEN} and who.of_parent:
        return Status.MEMBER
    if kind in {Type.PRIVATE, Type.PRIVATE_OPEN} or (kind is Type.HIDDEN_PRIVATE and who.of_parent):
        return Status.REQUESTED
    return None


class Admission(StrEnum):
    """What becomes of a post."""

    ADMITTED = "admitted"
    PENDING = "pending"
    REFUSED = "refused"


def may_post(kind: Type, posting: Posting, state: State, who: Standing) -> Admission:
    """What becomes of a post that somebody writes for a community, by who they are."""
    if state is not State.ACTIVE or not readable(kind, who):
        return Admission.REFUSED
    if posting is Posting.ANYONE:
        return Admission.ADMITTED
    if not who.joined:
        return Admission.REFUSED
    if posting is Posting.APPROVAL:
        return Admission.PENDING
    if posting is Posting.RESTRICTED and not (who.moderates or who.above or who.site is Site.ADMIN):
        return Admission.REFUSED
    return Admission.ADMITTED


def holds(action: Action, who: Standing) -> bool:
    """Whether somebody has the role and the scope that a decision takes, whatever limits the role otherwise."""
    if who.above or who.site is Site.ADMIN:
        return True
    role, scope = _NEEDS[action]
    return who.joined and who.role >= role and (who.role is Role.ADMIN or scope in who.scope)


def may_decide(action: Action, who: Standing) -> bool:
    """Whether somebody may take such a decision in a community."""
    return holds(action, who) and who.bounds.covers(_ABOUT.get(action))


def may_grant(who: Standing, role: Role, scope: frozenset[Scope], limits: Limits) -> bool:
    """Whether somebody may give such a role: nobody grants more than they hold."""
    if not may_decide(Action.SET_ROLE, who):
        return False
    if who.above or who.site is Site.ADMIN or who.role is Role.ADMIN:
        return True
    return role <= who.role and scope <= who.scope and limits.within(who.bounds)
