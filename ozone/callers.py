"""Who calls, read in the transaction that acts: a role that was taken away a second ago is none."""

import json
from collections.abc import Iterator, Mapping

from communities.access import Site
from communities.directory import Settings, owners_above
from communities.members import find_actor, memberships, standing_by
from communities.places import KeptPlaces
from communities.relatives import Relatives
from labeler.vocabulary import Declared
from models import team
from models.database import Connection
from ozone.roles import Caller, Role, of_community, of_team
from xrpc.errors import MemberDisabled

MOST_LOOKED_AT = 200
"""Communities of somebody that are looked at for a role (ours): of as many, one has it."""
_ROLES = (
    "SELECT m.community FROM membership m JOIN community c ON c.id = m.community WHERE m.actor = ?1"
    " AND m.status = 'member' AND m.role > 1 AND (m.until IS NULL OR m.until > ?2) AND c.declared = 1"
    " ORDER BY m.role DESC LIMIT ?3"
)
_OWNED = "SELECT id FROM community WHERE owner = ? AND declared = 1 LIMIT ?"
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
    return Caller(did, role, community_role(connection, declared, did, now))


def community_role(connection: Connection, declared: Declared, did: str, now: int) -> Role | None:
    """The role that an account has by a community that the labeler serves."""
    actor = find_actor(connection, did)
    of = memberships(connection, actor)
    places = KeptPlaces(Relatives(connection), lambda: now)
    for settings in _candidates(connection, places, declared, did, actor, now):
        role = of_community(standing_by(settings, did, of, owners_above(places, settings), now))
        if role is not None:
            return role
    return None


def _candidates(
    connection: Connection, places: KeptPlaces, declared: Declared, did: str, actor: int | None, now: int
) -> Iterator[Settings]:
    """The communities of the labeler by which an account might have a role."""
    if declared.communities:
        # Those above them count as well, so all are looked at: the operator has named them, and they are few.
        numbers = connection.execute(_SERVED, (json.dumps(sorted(declared.communities)),)).fetchall()
    else:
        numbers = connection.execute(_ROLES, (actor, now, MOST_LOOKED_AT)).fetchall()
        numbers += connection.execute(_OWNED, (did, MOST_LOOKED_AT)).fetchall()
    for (number,) in numbers:
        settings = places.get(number)
        if settings is not None:
            yield settings
