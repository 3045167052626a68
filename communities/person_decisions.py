"""Decisions about accounts in a community: invite, accept, decline, ban, unban, expel. What each does to the
membership, to the posts, and to what the owner's records say, with the entry of the log, in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from communities.access import Action, Role, Site, Status, may_decide
from communities.acting import acting_as
from communities.bans import hide_posts_of
from communities.deeds import Deed, Done, write
from communities.directory import Places, Settings
from communities.faults import SUPERSEDED
from communities.log import Decision
from communities.members import Via, count_admins, find_actor, held, intern_actor, put, standing_of
from communities.membership import Membership, in_force, step
from communities.records import ROLE
from models.database import Connection

STRANGER = Via("ban")
"""How somebody came to be banned who never joined."""


@dataclass(frozen=True, slots=True)
class PersonDecision:
    """What somebody wants to decide about an account. `until`: when a ban ends, microseconds. `rule`: see
    `PostDecision`.
    """

    action: Action
    did: str
    reason: str | None = None
    rule: str | None = None
    until: int | None = None


def decide_person(
    connection: Connection,
    places: Places,
    settings: Settings,
    actor: str,
    wanted: PersonDecision,
    now: int,
    site: Mapping[str, Site] | None = None,
    deed: Deed | None = None,
) -> Done:
    """Decide, as the account `actor` (DID). Call inside a write. The arguments are those of `decide_post`.

    Raises RefusedError as the steps of a membership do.
    """
    did, action = wanted.did, wanted.action
    who = standing_of(connection, places, settings, actor, now, site)
    before, way = _membership(connection, settings, wanted, now)
    via = Via("invitation") if action is Action.INVITE else None
    if action is Action.BAN and before is None and may_decide(action, who) and _writes_here(connection, settings, did):
        # Somebody who never joined, where anyone may post.
        after: Membership | None = Membership(Status.BANNED, until=wanted.until)
        via = STRANGER
    else:
        after = step(
            action,
            before,
            kind=settings.kind,
            state=settings.state,
            subject=standing_of(connection, places, settings, did, now, site),
            actor=who,
            admins=count_admins(connection, settings),
            until=wanted.until,
        )
        if action is Action.UNBAN and way == STRANGER.way:
            after = None  # they were no member before
    change(connection, places, settings, did, after, action.value, actor, now, site, via=via)
    if action in (Action.EXPEL, Action.BAN):
        supersede(connection, settings, did)
    role = acting_as(action, settings, actor, who)
    decision = Decision(action, actor, role, did, None, wanted.reason, wanted.rule, wanted.until)
    return write(connection, settings, now, decision, deed)


def _membership(
    connection: Connection, settings: Settings, wanted: PersonDecision, now: int
) -> tuple[Membership | None, str]:
    """What is held of a membership, and the way in which it came about."""
    if wanted.did == settings.owner:
        return Membership(Status.MEMBER, Role.ADMIN), ""
    actor = find_actor(connection, wanted.did)
    row = connection.execute(
        "SELECT via FROM membership WHERE community = ? AND actor = ?", (settings.id, actor)
    ).fetchone()
    return in_force(held(connection, settings.id, actor), now), row[0] if row else ""


def _writes_here(connection: Connection, settings: Settings, did: str) -> bool:
    """Whether an account has posts in a community."""
    query = "SELECT 1 FROM post p CROSS JOIN feed_item i ON i.post = p.id AND i.community = ? WHERE p.actor = ? LIMIT 1"
    return connection.execute(query, (settings.id, find_actor(connection, did))).fetchone() is not None


def change(
    connection: Connection,
    places: Places,
    settings: Settings,
    did: str,
    after: Membership | None,
    act: str,
    by: str,
    now: int,
    site: Mapping[str, Site] | None = None,
    *,
    via: Via | None = None,
    granted: str | None = None,
) -> None:
    """Store what `by` made of a membership, and hide or show the posts of whom a ban begins or ends for. Call inside a
    write; see `members.put`.
    """
    actor = intern_actor(connection, did)
    before = held(connection, settings.id, actor)
    put(connection, settings.id, actor, after, act=act, by=by, now=now, via=via, granted=granted)
    if Status.BANNED in {one.status for one in (before, after) if one is not None}:
        who = standing_of(connection, places, settings, did, now, site)
        hide_posts_of(connection, settings.id, actor, who.status is Status.BANNED and not who.oversees)


def supersede(connection: Connection, settings: Settings, did: str) -> None:
    """What the owner's records say of somebody's role was said before: else it would be back whenever they join. Call
    inside a write.
    """
    query = "UPDATE declaration SET fault = ? WHERE subject = ? AND collection = ? AND about = ?"
    connection.execute(query, (SUPERSEDED, did, ROLE, settings.uri or ""))
