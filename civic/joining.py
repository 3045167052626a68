"""social.communities.join and leave: what people do to their own membership."""

from collections.abc import Mapping
from typing import Any

from civic.accounts import changed
from civic.views import place_of, viewer_state
from civic.visit import Answer, Procedure, Visit
from communities.access import Status
from communities.community import BY_XRPC
from communities.directory import Settings
from communities.members import Via, count_admins, find_actor
from communities.membership import MEMBER, Membership, Own, RefusedError, step
from communities.records import MEMBERSHIP

LEFT = "Left"
"""Why a membership record has no effect whose writer has left: until it is written anew."""
_RECORDS = (
    "UPDATE declaration SET fault = ? WHERE actor = ? AND collection = ? AND about = ? AND gone = 0"
    " AND (fault IS NULL OR fault = ?1) RETURNING rkey"
)


def join(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Join, ask to, accept an invitation, or as a member only set the volume."""
    settings, did = visit.find(body["community"], banned=True), visit.signed()
    place = place_of(visit, settings, did)
    if place is None or place.membership.status is not Status.MEMBER:
        _come(visit, settings, did, place and place.membership)
    elif place.volume is None:  # the owner, who is an admin without a row
        changed(visit, settings, did, MEMBER, Own.JOIN.value, via=Via(BY_XRPC))
    if "volume" in body:
        visit.connection.execute(
            "UPDATE membership SET volume = ? WHERE community = ? AND actor = ?",
            (body["volume"], settings.id, find_actor(visit.connection, did)),
        )
    return {"viewer": viewer_state(visit, settings, visit.standing(settings))}


def _come(visit: Visit, settings: Settings, did: str, held: Membership | None) -> None:
    invited = held is not None and held.status is Status.INVITED
    deed = Own.AGREE if invited else Own.JOIN
    after = _step(visit, settings, deed, held)
    if not invited and BY_XRPC not in settings.join_by:
        others = ", ".join(settings.join_by)
        told = f"People join this community in another way ({others})." if others else "It is by invitation only."
        raise RefusedError("InviteOnly", told)
    changed(visit, settings, did, after, deed.value, via=None if invited else Via(BY_XRPC))


def leave(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Leave, take back a request, or refuse an invitation. A membership record of the caller's has no effect any more
    until it is written anew; it is named, to be deleted.
    """
    settings, did = visit.find(body["community"], banned=True), visit.signed()
    if settings.owner == did:
        raise RefusedError("LastAdmin", "This community is yours: hand it over or delete it, you cannot leave it.")
    place = place_of(visit, settings, did)
    invited = place is not None and place.membership.status is Status.INVITED
    deed = Own.REFUSE if invited else Own.LEAVE
    after = _step(visit, settings, deed, place and place.membership)
    changed(visit, settings, did, after, deed.value)
    answer: Answer = {"viewer": viewer_state(visit, settings, visit.standing(settings))}
    records = _ended_records(visit, settings, did)
    return answer | ({"record": records[0]} if records else {})


def _ended_records(visit: Visit, settings: Settings, did: str) -> list[str]:
    """The caller's membership records of a community, which have no effect from now on."""
    actor = find_actor(visit.connection, did)
    rows = visit.connection.execute(
        _RECORDS,
        (
            LEFT,
            actor,
            MEMBERSHIP,
            settings.uri or "",
        ),
    )
    return sorted(f"at://{did}/{MEMBERSHIP}/{rkey}" for (rkey,) in rows.fetchall()) if settings.uri else []


def _step(visit: Visit, settings: Settings, deed: Own, held: Membership | None) -> Membership | None:
    who = visit.standing(settings)
    admins = count_admins(visit.connection, settings)
    kind, state = settings.kind, settings.state
    return step(deed, held, kind=kind, state=state, subject=who, actor=who, admins=admins)


PROCEDURES = (Procedure("join", join), Procedure("leave", leave))
