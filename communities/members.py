"""Memberships as rows, and how somebody stands to a community by them.

Plain functions over a connection, so that whoever acts reads what it goes by in its own transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from communities.access import EVERYTHING, Role, Scope, Site, Standing, Status
from communities.directory import Places, Settings, owners_above
from communities.limits import limits_text, read_limits
from communities.membership import Membership, in_force
from models import communities as community_rows
from models.database import Connection

_ALL = "*"
COLUMNS = ("status", "role", "scope", "until", "limits")
"""Of a membership, as `read_membership` takes them."""
_COLUMNS = ", ".join(COLUMNS)
_OF_ACTOR = f"SELECT community, {_COLUMNS} FROM membership WHERE actor = ?"
_PUT = (
    "INSERT INTO membership (community, actor, status, role, scope, until, since, via, rkey, granted, limits)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, coalesce(?10, ''), ?12) ON CONFLICT (community, actor) DO UPDATE SET"
    " since = iif(status = excluded.status, since, excluded.since), status = excluded.status, role = excluded.role,"
    " scope = excluded.scope, until = excluded.until, limits = excluded.limits, via = iif(?11, excluded.via, via),"
    " rkey = iif(?11, excluded.rkey, rkey), granted = coalesce(?10, granted)"
)
MOST_REMEMBERED = 1000
"""Changes of an account's memberships, of which its own deeds are kept: anybody can join and leave all day."""
_FORGET = (
    "DELETE FROM membership_event WHERE actor = ?1 AND act IN ('join', 'agree', 'refuse', 'leave') AND id <="
    " (SELECT id FROM membership_event WHERE actor = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
)
_HAS_CHILDREN = (
    "SELECT 1 FROM community p JOIN community c ON c.parent IN (p.slug, p.uri) WHERE p.id = ? AND c.declared = 1"
    " LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Via:
    """How somebody became what they are: the way, and the key of the record if there is one."""

    way: str
    rkey: str = ""


def read_membership(row: tuple[Any, ...]) -> Membership:
    """A membership of COLUMNS."""
    status, role, scope, until, limits = row
    return Membership(Status(status), Role(role), scope_of(scope), until, read_limits(limits))


def scope_of(text: str) -> frozenset[Scope]:
    """A scope as it is stored."""
    return EVERYTHING if text == _ALL else frozenset(map(Scope, text.split()))


def scope_text(scope: frozenset[Scope]) -> str:
    """A scope as it is to be stored."""
    return _ALL if scope == EVERYTHING else " ".join(sorted(scope))


def find_actor(connection: Connection, did: str) -> int | None:
    """The number of an account that rows point to."""
    row = connection.execute("SELECT id FROM actor WHERE did = ?", (did,)).fetchone()
    return row[0] if row else None


def intern_actor(connection: Connection, did: str) -> int:
    """The number of an account, made if need be. Call inside a write."""
    connection.execute("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", (did,))
    number = find_actor(connection, did)
    assert number is not None  # noqa: S101 - it was made just now
    return number


def memberships(connection: Connection, actor: int | None) -> dict[int, Membership]:
    """All memberships of an account, by community, as they stand whether or not they have ended."""
    if actor is None:
        return {}
    rows = connection.execute(_OF_ACTOR, (actor,)).fetchall()
    return {community: read_membership(tuple(rest)) for community, *rest in rows}


def held(connection: Connection, community: int, actor: int | None) -> Membership | None:
    """One membership, as it stands whether or not it has ended."""
    if actor is None:
        return None
    query = f"SELECT {_COLUMNS} FROM membership WHERE community = ? AND actor = ?"
    row = connection.execute(query, (community, actor)).fetchone()
    return read_membership(row) if row else None


def standing_by(
    settings: Settings,
    did: str,
    of: Mapping[int, Membership],
    owners: Mapping[int, str | None],
    now: int,
    site: Site = Site.NOBODY,
) -> Standing:
    """How an account stands to a community. `of`: its memberships; `owners`: of the communities above this one;
    `now`: microseconds.
    """
    above = any(owners.get(number) == did or _is_admin(of.get(number), now) for number in settings.above)
    of_parent = bool(settings.above) and (
        owners.get(settings.above[0]) == did or _joined(of.get(settings.above[0]), now)
    )
    if settings.owner == did:
        return Standing(Status.MEMBER, Role.ADMIN, EVERYTHING, above, of_parent, site)
    mine = in_force(of.get(settings.id), now)
    if mine is None:
        return Standing(None, Role.MEMBER, EVERYTHING, above, of_parent, site)
    return Standing(mine.status, mine.role, mine.scope, above, of_parent, site, mine.limits)


def standing_of(
    connection: Connection,
    places: Places,
    settings: Settings,
    did: str,
    now: int,
    site: Mapping[str, Site] | None = None,
) -> Standing:
    """How an account stands to a community now (microseconds). `site`: who is what for the whole site."""
    of = memberships(connection, find_actor(connection, did))
    return standing_by(settings, did, of, owners_above(places, settings), now, (site or {}).get(did, Site.NOBODY))


def _is_admin(membership: Membership | None, now: int) -> bool:
    mine = in_force(membership, now)
    return mine is not None and mine.status is Status.MEMBER and mine.role is Role.ADMIN


def _joined(membership: Membership | None, now: int) -> bool:
    mine = in_force(membership, now)
    return mine is not None and mine.status is Status.MEMBER


def count_admins(connection: Connection, settings: Settings) -> int:
    """How many admins a community has for good, its owner included: one whose role ends may not be there tomorrow."""
    query = (
        "SELECT count(*) FROM membership m JOIN actor a ON a.id = m.actor WHERE m.community = ? AND m.status = 'member'"
        " AND m.role = ? AND m.until IS NULL AND a.did IS NOT ?"
    )
    row = connection.execute(query, (settings.id, Role.ADMIN.value, settings.owner)).fetchone()
    return int(row[0]) + (settings.owner is not None)


def put(
    connection: Connection,
    community: int,
    actor: int,
    after: Membership | None,
    *,
    act: str,
    by: str,
    now: int,
    via: Via | None = None,
    granted: str | None = None,
) -> None:
    """Store what became of a membership, and that it did. Call inside a write.

    `act`: what was done, `by`: the DID of who did it, `now`: microseconds. `via`: None keeps the way; `granted`: the
    key of the record that gave the role, None keeps it.
    """
    before = held(connection, community, actor)
    if Role.ADMIN in {one.role for one in (before, after) if one} and _has_children(connection, community):
        # Who may put communities below it is a matter of its admins.
        community_rows.revise(connection)
    if after is None:
        connection.execute("DELETE FROM membership WHERE community = ? AND actor = ?", (community, actor))
    else:
        way = via or Via("invitation")
        values = (after.status.value, after.role.value, scope_text(after.scope), after.until, now, way.way, way.rkey)
        connection.execute(_PUT, (community, actor, *values, granted, via is not None, limits_text(after.limits)))
    status, role = (after.status.value, after.role.value) if after else (None, None)
    connection.execute(
        "INSERT INTO membership_event (community, actor, act, by, status, role, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (community, actor, act, by, status, role, now),
    )
    connection.execute(_FORGET, (actor, MOST_REMEMBERED))


def _has_children(connection: Connection, community: int) -> bool:
    return connection.execute(_HAS_CHILDREN, (community,)).fetchone() is not None


def is_member(connection: Connection, community: int, did: str) -> bool:
    """Whether an account has a member's row."""
    mine = held(connection, community, find_actor(connection, did))
    return mine is not None and mine.status is Status.MEMBER


def account_agrees(connection: Connection, settings: Settings) -> bool:
    """Whether the account of a community wants to be it: anybody can name anybody's account, and whoever follows that
    would be a member of something that neither has heard of. The operator's file is believed.
    """
    if settings.account is None or settings.uri is None or settings.account == settings.owner:
        return True
    return is_member(connection, settings.id, settings.account)
