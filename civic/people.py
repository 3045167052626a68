"""Who is in a community, as far as the caller may know: getViewer, getMembership and listMembers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from civic.views import ROLE_OF, Place, member_view, place_of, viewer_state
from civic.visit import Answer, Query, Visit
from communities.access import Role, Standing, Status, readable
from communities.directory import Settings
from communities.members import COLUMNS, read_membership
from communities.membership import in_force
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import DidParam, IntParam, Param, Params, StringParam

NAME = StringParam(max_length=2200, required=True)
"""A community: its slug, or the at-uri of its record."""
PAGE: dict[str, Param] = {"limit": IntParam(1, 100, default=50), "cursor": StringParam(max_length=cursor.MAX_LENGTH)}
Key = tuple[int, int, int]
"""Where somebody stands in the list: role as it is stored, since when, number of the account."""
OWNER = 4
"""The place of the owner in the list, above all roles."""
_LISTED = (
    f"SELECT m.since, m.actor, a.did, {', '.join(f'm.{name}' for name in COLUMNS)}"
    " FROM membership m JOIN actor a ON a.id = m.actor"
    " WHERE m.community = ? AND m.status = ? AND m.role = ? AND (m.since, m.actor) > (?, ?)"
    " ORDER BY m.since, m.actor LIMIT ?"
)


def get_viewer(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """What the caller may do."""
    settings = visit.find(params["community"], banned=True)
    return viewer_state(visit, settings, visit.standing(settings))


def get_membership(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """One membership: the caller's own, or another one's if the caller may see it."""
    settings = visit.find(params["community"], banned=True)
    did = params.get("member") or visit.signed()
    who = visit.standing(settings)
    if did != visit.caller:
        _may_read(settings, who)
    place = place_of(visit, settings, did)
    seen = place is not None and (place.membership.status is Status.MEMBER or did == visit.caller or _sees_all(who))
    return {"membership": member_view(did, place)} if place is not None and seen else {}


def list_members(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """The members, those with a higher role first; for moderators also who asks, is invited or banned."""
    settings, status = visit.find(params["community"]), Status(params["status"])
    who = visit.standing(settings)
    _may_read(settings, who)
    if status is not Status.MEMBER and not _sees_all(who):
        raise Refused("NotPermitted", "Only moderators see who asks to join, is invited or banned.", 403)
    role = ROLE_OF[params["role"]] if "role" in params else None
    if status is not Status.MEMBER and role not in (None, Role.MEMBER):
        raise InvalidRequest("only members have a role")
    scope = f"listMembers {settings.id} {status} {role}"
    after: Key = (OWNER + 1, 0, 0)
    if "cursor" in params:
        first, since, actor = cursor.decode(visit.key, scope, params["cursor"], 3)
        after = first, since, actor
    limit = params["limit"]
    found = []
    # Whose role has ended is a plain member, and stands still where the role had put them.
    roles = (role,) if role in (Role.ADMIN, Role.MODERATOR) else (Role.ADMIN, Role.MODERATOR, Role.MEMBER)
    for at, did, place in _places(visit, settings, status, roles, after, limit + 1):
        if role is None or place.membership.role is role:
            found.append((at, member_view(did, place)))
            if len(found) > limit:
                break
    answer: Answer = {"members": [view for _, view in found[:limit]]}
    return answer | ({"cursor": cursor.encode(visit.key, scope, *found[limit - 1][0])} if len(found) > limit else {})


def _places(
    visit: Visit, settings: Settings, status: Status, roles: Iterable[Role], after: Key, batch: int
) -> Iterator[tuple[Key, str, Place]]:
    """Who comes behind `after` in the order of the list, of those with these roles in their row, and the owner."""
    if status is Status.MEMBER and after[0] > OWNER and settings.owner is not None:
        place = place_of(visit, settings, settings.owner)
        if place is not None:
            yield (OWNER, 0, 0), settings.owner, place
    for role in roles:
        if role <= after[0]:
            begin = after if role == after[0] else (role.value, -1, -1)
            for key, did, place in _rows(visit, settings.id, status, begin, batch):
                if did != settings.owner:
                    yield key, did, place


def _rows(visit: Visit, community: int, status: Status, after: Key, batch: int) -> Iterator[tuple[Key, str, Place]]:
    """Those of one stored role who are still what their row says, in the order of when they came to be it."""
    role, since, actor = after
    while True:
        rows = visit.connection.execute(_LISTED, (community, status.value, role, since, actor, batch)).fetchall()
        for at, number, did, *columns in rows:
            membership = in_force(read_membership(tuple(columns)), visit.now)
            if membership is not None:
                yield (role, at, number), did, Place(membership, at, None)
        if len(rows) < batch:
            return
        since, actor = rows[-1][:2]


def _may_read(settings: Settings, who: Standing) -> None:
    if not readable(settings.kind, who):
        raise Refused("NotPermitted", "Only members see who is in this community.", 403)


def _sees_all(who: Standing) -> bool:
    return who.moderates or who.oversees


QUERIES = (
    Query("getViewer", Params({"community": NAME}), get_viewer),
    Query("getMembership", Params({"community": NAME, "member": DidParam()}), get_membership),
    Query(
        "listMembers",
        Params({"community": NAME, "status": StringParam(default="member"), "role": StringParam(), **PAGE}),
        list_members,
    ),
)
