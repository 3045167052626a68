"""What is decided about accounts: invite, accept, decline, ban, unban, expel, and social.communities.setRole.

Nobody is told of a change but by what changes: a ban hides the posts of the banned in that community, in the same
transaction.
"""

from collections.abc import Mapping
from typing import Any

from civic.entry import enter, expiry, given_back, reason_and_rule
from civic.views import ROLE_OF, member_view, place_of
from civic.visit import Answer, Procedure, Visit
from communities.access import EVERYTHING, Action, Role, Scope
from communities.decision_view import view
from communities.directory import Settings
from communities.limits import PARTS, Limits, limits_of
from communities.members import Via
from communities.membership import OTHERS, Membership, set_role
from communities.person_decisions import PersonDecision, change, decide_person, supersede
from xrpc.errors import InvalidRequest

ACTIONS = OTHERS
MOST_TOLD = 2000
"""Characters of what a role is limited to that its entry of the log tells; who moderates sees all of it."""


def decide(visit: Visit, settings: Settings, action: Action, body: Mapping[str, Any]) -> Answer:
    """One of ACTIONS. Raises InvalidRequest, and RefusedError as the steps of a membership do."""
    did = body["subject"]["did"]
    if "expiresAt" in body and action is not Action.BAN:
        raise InvalidRequest("only a ban has an expiresAt")
    until = expiry(visit, body)
    reason, rule = reason_and_rule(visit, settings, body)
    wanted = PersonDecision(action, did, reason, rule, until)
    deed, places = given_back(visit, settings, action, did), visit.town.places
    done = decide_person(visit.connection, places, settings, visit.signed(), wanted, visit.now, visit.site, deed)
    return {"decision": view(settings.slug, done.entry), **_member(visit, settings, did)}


def give_role(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """social.communities.setRole."""
    settings = visit.find(body["community"])
    did, role = body["subject"], ROLE_OF[body["role"]]
    for name in ("scope", *PARTS):
        if name in body and role is not Role.MODERATOR:
            raise InvalidRequest(f"only a moderator's role has {name}")
    if "expiresAt" in body and role is Role.MEMBER:
        raise InvalidRequest("only a moderator's or admin's role has an expiresAt")
    scope = frozenset(map(Scope, body["scope"])) if "scope" in body else EVERYTHING
    limits = limits_of(body)
    who, until = visit.standing(settings), expiry(visit, body)
    place = place_of(visit, settings, did)
    own = did == visit.caller
    held = place and place.membership
    after = set_role(held, role, own=own, actor=who, scope=scope, limits=limits, until=until)
    # What gave the role before, a record perhaps, gives it no longer.
    changed(visit, settings, did, after, Action.SET_ROLE.value, granted="")
    supersede(visit.connection, settings, did)
    entry = enter(visit, settings, who, Action.SET_ROLE, subject=did, reason=_told(body, scope, limits), until=until)
    return {"decision": entry, **_member(visit, settings, did)}


def _told(body: Mapping[str, Any], scope: frozenset[Scope], limits: Limits) -> str:
    """A role with all that it is limited to, for the log."""
    parts: list[tuple[str, list[str]]] = [] if scope == EVERYTHING else [("", [part.value for part in sorted(scope)])]
    parts += [(f"{name} ", names) for name, names in limits.said().items()]
    told = "; ".join(name + (" ".join(names) or "nothing") for name, names in parts)
    return str(body["role"]) + (f": {told}" if told else "")[:MOST_TOLD]


def changed(
    visit: Visit,
    settings: Settings,
    did: str,
    after: Membership | None,
    act: str,
    *,
    via: Via | None = None,
    granted: str | None = None,
) -> None:
    """Store what the caller made of a membership."""
    change(
        visit.connection, visit.town.places, settings, did, after, act, visit.signed(), visit.now, visit.site,
        via=via, granted=granted,
    )  # fmt: skip


def _member(visit: Visit, settings: Settings, did: str) -> Answer:
    place = place_of(visit, settings, did)
    return {"member": member_view(did, place)} if place else {}


PROCEDURES = (Procedure("setRole", give_role),)
