"""How memberships and what they allow are written in answers: social.communities.defs#memberView and #viewerState."""

from typing import Any, NamedTuple

from civic.visit import Visit
from communities.access import (
    EVERYTHING,
    Action,
    Role,
    Scope,
    Standing,
    Status,
    discoverable,
    joins_as,
    may_decide,
    may_post,
    readable,
)
from communities.decision_view import moment
from communities.directory import Settings
from communities.members import COLUMNS, read_membership
from communities.membership import Membership, in_force
from models import communities as community_rows

ROLES = {Role.MEMBER: "member", Role.MODERATOR: "moderator", Role.ADMIN: "admin"}
ROLE_OF = {name: role for role, name in ROLES.items()}
DEFAULT_VOLUME = 3
"""Of a member who has said nothing, as the table has it."""
_ROW = (
    f"SELECT m.since, m.volume, {', '.join(f'm.{name}' for name in COLUMNS)} FROM membership m"
    " JOIN actor a ON a.id = m.actor WHERE m.community = ? AND a.did = ?"
)


class Place(NamedTuple):
    """Somebody's place in a community as it is now. `since`: microseconds; `volume` None: there is no row."""

    membership: Membership
    since: int
    volume: int | None


def place_of(visit: Visit, settings: Settings, did: str) -> Place | None:
    """The place of an account, of an owner too; None if it has none."""
    row = visit.connection.execute(_ROW, (settings.id, did)).fetchone()
    since, volume, *columns = row or (0, None)
    held = in_force(read_membership(tuple(columns)), visit.now) if row else None
    if did == settings.owner:
        since = since if held else community_rows.created_at(visit.connection, settings.id)
        return Place(Membership(Status.MEMBER, Role.ADMIN), since, volume if held else None)
    return Place(held, since, volume) if held else None


def member_view(did: str, place: Place) -> dict[str, Any]:
    """#memberView."""
    held = place.membership
    view: dict[str, Any] = {
        "did": did,
        "status": held.status.value,
        "role": ROLES[held.role if held.status is Status.MEMBER else Role.MEMBER],
        "since": moment(place.since),
    }
    if held.role is Role.MODERATOR and held.scope != EVERYTHING:
        view["scope"] = [scope.value for scope in Scope if scope in held.scope]
    if held.role is Role.MODERATOR:
        view |= held.limits.said()
    if held.until is not None:
        view["until"] = moment(held.until)
    return view


def viewer_state(visit: Visit, settings: Settings, who: Standing) -> dict[str, Any]:
    """#viewerState of the caller, who stands to the community as `who`."""
    state: dict[str, Any] = {
        "canDiscover": discoverable(settings.kind, who),
        "canRead": readable(settings.kind, who),
        "post": may_post(settings.kind, settings.posting, settings.state, who).value,
        "decides": [action.value for action in Action if may_decide(action, who)],
    }
    place = place_of(visit, settings, visit.caller) if visit.caller else None
    if place is not None:
        state["membership"] = member_view(visit.caller or "", place)
        if who.joined:
            state["volume"] = place.volume or DEFAULT_VOLUME
    becomes = joins_as(settings.kind, settings.state, who) if settings.join_by else None
    if becomes is not None:
        state["joinsAs"] = becomes.value
    return state
