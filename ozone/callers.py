"""Who calls, read in the transaction that acts: a role that was taken away a second ago is none."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from communities.access import Site
from communities.directory import Settings, owners_above
from communities.limits import Limits
from communities.members import find_actor, memberships, standing_by
from communities.places import KeptPlaces
from communities.relatives import Relatives
from labeler.vocabulary import Declared
from models import team
from models.database import Connection
from models.mod_events import SERVICE
from models.scopes import Cut, Scopes
from ozone.roles import Caller, Role, of_community, of_team
from xrpc.errors import MemberDisabled

MOST_LOOKED_AT = 200
"""Communities of somebody that are looked at for a role (ours): of as many, one has it."""
_ROLES = (
    "SELECT m.community, m.role = 3 FROM membership m JOIN community c ON c.id = m.community WHERE m.actor = ?1"
    " AND m.status = 'member' AND m.role > 1 AND (m.until IS NULL OR m.until > ?2) AND c.declared = 1"
    " ORDER BY m.role DESC LIMIT ?3"
)
_OWNED = "SELECT id, 1 FROM community WHERE owner = ? AND declared = 1 LIMIT ?"
_SERVED = "SELECT id FROM community WHERE slug IN (SELECT value FROM json_each(?)) AND declared = 1"


def team_role(connection: Connection, labeler: int, site: Mapping[str, Site], did: str) -> Role | None:
    """The role of an account in the team of a labeler (its number); None: it has none. Raises MemberDisabled."""
    row = team.find(connection, labeler, did)
    said, off = (Role(row.role), row.disabled) if row else (None, False)
    role, disabled = of_team(site.get(did, Site.NOBODY), said, off)
    if disabled:
        raise MemberDisabled
    return role


def caller(
    connection: Connection, labeler: int, declared: Declared, site: Mapping[str, Site], did: str, now: int
) -> Caller:
    """Somebody with all roles that matter. `labeler`: the number of what is `declared`; `now`: microseconds.

    Raises MemberDisabled, whatever role the account has in communities.
    """
    role = team_role(connection, labeler, site, did)
    if role is not None and role >= Role.MODERATOR:
        return Caller(did, role)  # no community gives more
    return Caller(did, role, moderated(connection, declared, did, now))


def moderated(connection: Connection, declared: Declared, did: str, now: int) -> dict[int, Limits]:
    """The communities that the labeler serves in which an account moderates, also because it is an admin above, with
    what it is limited to in each.
    """
    actor = find_actor(connection, did)
    of = memberships(connection, actor)
    places = KeptPlaces(Relatives(connection), lambda: now)
    found: dict[int, Limits] = {}
    for settings in _candidates(connection, places, declared, did, actor, now):
        if len(found) == MOST_LOOKED_AT:
            break
        who = standing_by(settings, did, of, owners_above(places, settings), now)
        if of_community(who) is not None:
            found[settings.id] = who.bounds
    return found


def sees(caller: Caller, labeler: int, declared: Declared, served: Callable[[], Iterable[int]]) -> Scopes:
    """Whose matters somebody looks into. `labeler`: the number of what is `declared`; `served`: gives the communities
    that it names.

    The team of a labeler that serves every community looks into all of them, and into what was sent to the service
    itself; that of any other into the communities that it names. Who is no member of the team sees what they moderate,
    as far as their role there is not limited.
    """
    if caller.team is None:
        cuts = {one: Cut(limits.collections, limits.reasons) for one, limits in caller.moderates.items() if limits.cuts}
        return Scopes(frozenset(caller.moderates), cuts=cuts)
    if declared.communities:
        return Scopes(frozenset((-labeler, *served())))
    return Scopes(frozenset((-labeler, SERVICE)), communities=True)


def served(connection: Connection, declared: Declared) -> list[int]:
    """The communities that a labeler names, by number."""
    rows = connection.execute(_SERVED, (json.dumps(sorted(declared.communities)),))
    return [number for (number,) in rows]


def _candidates(
    connection: Connection, places: KeptPlaces, declared: Declared, did: str, actor: int | None, now: int
) -> Iterator[Settings]:
    """The communities of the labeler in which an account might moderate, each once."""
    if declared.communities:
        # Those above them count as well, so all are looked at: the operator has named them, and they are few.
        yield from filter(None, map(places.get, served(connection, declared)))
        return
    numbers = connection.execute(_ROLES, (actor, now, MOST_LOOKED_AT)).fetchall()
    numbers += connection.execute(_OWNED, (did, MOST_LOOKED_AT)).fetchall()
    seen: set[int] = set()
    for number, administers in numbers:
        kin = places.relatives.get(number) if administers and number not in seen else None
        # Whoever is an admin of it is one of all that are part of it.
        below = places.relatives.family(kin, now).descendants(number) if kin else ()
        for one in (number, *below):
            settings = places.get(one) if one not in seen else None
            seen.add(one)
            if settings is not None:
                yield settings
