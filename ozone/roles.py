"""The roles of the moderation API: whose they are, and what each may change. Pure.

Source: `tools.ozone.team.defs`. Admin, moderator and triage each may do what those below may; a verifier reads, and
does nothing of what the others do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from communities.access import Action, Site, Standing, holds
from communities.limits import Limits

_PREFIX = "tools.ozone.team.defs#role"


class Role(IntEnum):
    """Higher roles come first where somebody has several. As in table `team_member`."""

    VERIFIER = 1
    TRIAGE = 2
    MODERATOR = 3
    ADMIN = 4

    @property
    def token(self) -> str:
        """As lexicons write it."""
        return _PREFIX + self.name.title()


BY_TOKEN = {role.token: role for role in Role}
_STAFF = {Site.ADMIN: Role.ADMIN, Site.MODERATOR: Role.MODERATOR}


def of_team(site: Site, role: Role | None, disabled: bool) -> tuple[Role | None, bool]:
    """The role of somebody in a team, and whether they are disabled. `site`: what the settings of the service say of
    them, which holds whatever the team does; `role`: what the team says, if it says anything.
    """
    staff = _STAFF.get(site)
    if role is None or (disabled and staff):
        return staff, False
    return max(role, staff or role), disabled


def of_community(who: Standing) -> Role | None:
    """The role of somebody who stands so to a community: whoever may take posts out of it moderates, and no more, for
    an admin of a community is none of the labeler; to what the role is limited there is another question. A role for
    the whole site is not asked for (`of_team`).
    """
    theirs = Standing(who.status, who.role, who.scope, who.above, who.of_parent)
    return Role.MODERATOR if holds(Action.REMOVE, theirs) else None


def manages(role: Role | None, manager: Role) -> bool:
    """Whether a role of the team may change a setting that `manager` is to look after."""
    if role is None:
        return False
    if Role.VERIFIER in (role, manager):
        return role in (Role.ADMIN, manager)
    return role >= manager


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `team`: the role in the labeler's team, also by the settings of the service; `moderates`: the
    communities that the labeler serves in which the account moderates, by number, with what it is limited to there.
    """

    did: str
    team: Role | None
    moderates: Mapping[int, Limits] = field(default_factory=dict)

    @property
    def role(self) -> Role | None:
        """The highest that the account has anywhere; None: this API is not for them."""
        return max((role for role in (self.team, self.community) if role), default=None)

    @property
    def community(self) -> Role | None:
        """The role by communities."""
        return Role.MODERATOR if self.moderates else None

    @property
    def administers(self) -> bool:
        """Whether the team is theirs to change."""
        return self.team is Role.ADMIN

    @property
    def in_charge(self) -> bool:
        """Whether the team itself has made them a moderator, or more: what it shares is theirs to see and change."""
        return self.team is not None and self.team >= Role.MODERATOR

    def role_in(self, scope: int, about: str | None = None, reasons: Iterable[str] = ()) -> Role | None:
        """The role in what is one community's (its number), or the site's (0 or less): for what is of a collection and
        was reported for these reasons, as limits name them. Nothing limits the team.
        """
        limits = self.moderates.get(scope)
        theirs = self.community if limits is not None and limits.covers(about, reasons) else None
        return max((role for role in (self.team, theirs) if role), default=None)
