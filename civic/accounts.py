"""What is decided about accounts: invite, accept, decline, ban, unban, expel, and social.communities.setRole.

Nobody is told of a change but by what changes: a ban hides the posts of the banned in that community, in the same
transaction.
"""

from collections.abc import Mapping
from typing import Any

from civic.entry import enter, expiry, reason_and_rule
from civic.views import ROLE_OF, member_view, place_of
from civic.visit import Answer, Procedure, Visit
from communities.access import EVERYTHING, Action, Role, Scope, Status
from communities.bans import hide_posts_of
from communities.directory import Settings
from communities.members import Via, count_admins, held, intern_actor, put
from communities.membership import OTHERS, Membership, set_role, step
from communities.records import ROLE
from xrpc.errors import InvalidRequest

ACTIONS = OTHERS
SUPERSEDED = "Superseded"
"""Why a role record has no effect about whom something else was decided since: until it is written anew."""


def decide(visit: Visit, settings: Settings, action: Action, body: Mapping[str, Any]) -> Answer:
    """One of ACTIONS. Raises InvalidRequest, and RefusedError as the steps of a membership do."""
    did = body["subject"]["did"]
    if "expiresAt" in body and action is not Action.BAN:
        raise InvalidRequest("only a ban has an expiresAt")
    who, until = visit.standing(settings), expiry(visit, body)
    place = place_of(visit, settings, did)
    after = step(
        action,
        place and place.membership,
        kind=settings.kind,
        state=settings.state,
        subject=visit.standing(settings, did),
        actor=who,
        admins=count_admins(visit.connection, settings),
        until=until,
    )
    reason, rule = reason_and_rule(visit, settings, body)
    via = Via("invitation") if action is Action.INVITE else None
    change(visit, settings, did, after, action.value, via=via)
    if action in (Action.EXPEL, Action.BAN):
        _supersede(visit, settings, did)
    entry = enter(visit, settings, who, action, subject=did, reason=reason, rule=rule, until=until)
    return {"decision": entry, **_member(visit, settings, did)}


def give_role(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """social.communities.setRole."""
    settings = visit.find(body["community"])
    did, role = body["subject"], ROLE_OF[body["role"]]
    if "scope" in body and role is not Role.MODERATOR:
        raise InvalidRequest("only a moderator's role has a scope")
    if "expiresAt" in body and role is Role.MEMBER:
        raise InvalidRequest("only a moderator's or admin's role has an expiresAt")
    scope = frozenset(map(Scope, body["scope"])) if "scope" in body else EVERYTHING
    who, until = visit.standing(settings), expiry(visit, body)
    place = place_of(visit, settings, did)
    own = did == visit.caller
    after = set_role(place and place.membership, role, own=own, actor=who, scope=scope, until=until)
    # What gave the role before, a record perhaps, gives it no longer.
    change(visit, settings, did, after, Action.SET_ROLE.value, granted="")
    _supersede(visit, settings, did)
    said = body["role"] + (f": {' '.join(sorted(scope)) or 'nothing'}" if scope != EVERYTHING else "")
    entry = enter(visit, settings, who, Action.SET_ROLE, subject=did, reason=said, until=until)
    return {"decision": entry, **_member(visit, settings, did)}


def change(
    visit: Visit,
    settings: Settings,
    did: str,
    after: Membership | None,
    act: str,
    *,
    via: Via | None = None,
    granted: str | None = None,
) -> None:
    """Store what the caller made of a membership, and hide or show the posts of whom a ban begins or ends for."""
    connection, actor = visit.connection, intern_actor(visit.connection, did)
    before = held(connection, settings.id, actor)
    put(connection, settings.id, actor, after, act=act, by=visit.signed(), now=visit.now, via=via, granted=granted)
    if Status.BANNED in {one.status for one in (before, after) if one is not None}:
        who = visit.standing(settings, did)
        hide_posts_of(connection, settings.id, actor, who.status is Status.BANNED and not who.oversees)


def _supersede(visit: Visit, settings: Settings, did: str) -> None:
    """What the owner's records say of somebody's role was said before: else it would be back whenever they join."""
    query = "UPDATE declaration SET fault = ? WHERE subject = ? AND collection = ? AND about = ?"
    visit.connection.execute(query, (SUPERSEDED, did, ROLE, settings.uri or ""))


def _member(visit: Visit, settings: Settings, did: str) -> Answer:
    place = place_of(visit, settings, did)
    return {"member": member_view(did, place)} if place else {}


PROCEDURES = (Procedure("setRole", give_role),)
