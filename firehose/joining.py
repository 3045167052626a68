"""Memberships as the stream tells of them: by records, tags and follows, and the roles that owners give.

Runs inside the caller's transaction.
"""

import json
import logging
from typing import Any

from communities.access import Role, Status
from communities.bans import hide_posts_of
from communities.community import BY_RECORD, BY_TAG
from communities.directory import Settings
from communities.limits import limits_of
from communities.members import (
    COLUMNS,
    Via,
    count_admins,
    memberships,
    put,
    read_membership,
    scope_of,
    standing_by,
)
from communities.members import held as held_membership
from communities.membership import MEMBER, Membership, Own, RefusedError, in_force, step
from communities.records import MEMBERSHIP, ROLE, RoleRecord
from firehose.actors import Actor
from firehose.ops import PutPost
from firehose.rows import Rows

log = logging.getLogger(__name__)


class Joining(Rows):
    """Lets people in and out, as far as each community lets them."""

    def _join(self, did: str, settings: Settings, via: Via, now: int, volume: int = 0) -> str | None:
        """Somebody says that they join. Returns the name of what forbids it."""
        actor = self.intern(did).id
        of = memberships(self._connection, actor)
        held = in_force(of.get(settings.id), now)
        if held is None and of.pop(settings.id, None) is not None:
            self.end_ban(settings.id, actor, now)  # nobody has come to that yet
        if via.way not in settings.join_by and (held is None or held.status is Status.BANNED):
            return "InviteOnly"
        if held is not None and held.status in (Status.MEMBER, Status.REQUESTED):
            if via.way == BY_RECORD:  # the record stands for it from now on
                self._sql(
                    "UPDATE membership SET via = ?, rkey = ? WHERE community = ? AND actor = ?",
                    (via.way, via.rkey, settings.id, actor),
                )
                self._turn(settings, actor, volume)
            return None
        who = standing_by(settings, did, of, self.admissions.owners(settings), now)
        invited = held is not None and held.status is Status.INVITED
        try:
            # The owner is an admin without a row, and gets one to have a volume.
            after = (
                MEMBER
                if settings.owner == did and held is None
                else step(
                    Own.AGREE if invited else Own.JOIN,
                    held,
                    kind=settings.kind,
                    state=settings.state,
                    subject=who,
                    actor=who,
                    admins=count_admins(self._connection, settings),
                )
            )
        except RefusedError as refused:
            return refused.name
        put(self._connection, settings.id, actor, after, act="join", by=did, now=now, via=via)
        self._turn(settings, actor, volume)
        self.counts["membership"] += 1
        return None

    def _turn(self, settings: Settings, actor: int, volume: int) -> None:
        if volume:
            self._sql(
                "UPDATE membership SET volume = ? WHERE community = ? AND actor = ?", (volume, settings.id, actor)
            )

    def _leave(self, actor: Actor, did: str, settings: Settings, way: str, rkey: str, now: int) -> None:
        """What somebody is a member by is gone."""
        query = f"SELECT {', '.join(COLUMNS)} FROM membership WHERE community = ? AND actor = ? AND via = ?"
        row = self._sql(f"{query} AND rkey = ?", (settings.id, actor.id, way, rkey)).get
        held = read_membership(row) if row else None
        if held is None or held.status is Status.BANNED:
            return
        if way == BY_RECORD:
            # There may be another record that says the same.
            other = self._sql(
                "SELECT rkey FROM declaration WHERE actor = ? AND collection = ? AND about = ? AND fault IS NULL"
                " LIMIT 1",
                (actor.id, MEMBERSHIP, settings.uri or ""),
            ).get
            if other is not None:
                self._sql(
                    "UPDATE membership SET rkey = ? WHERE community = ? AND actor = ?", (other, settings.id, actor.id)
                )
                return
        if held.role is Role.ADMIN and held.until is None and count_admins(self._connection, settings) <= 1:
            log.info("%s stays in %s, whose last admin it is", did, settings.slug)
            return
        put(self._connection, settings.id, actor.id, None, act="leave", by=did, now=now)
        self.counts["membership ended"] += 1

    def join_by_tag(self, did: str, op: PutPost, now: int) -> None:
        """The author of a post joins or leaves by its tags. It must be known to be theirs."""
        for community, comes in op.joins:
            settings = self.admissions.directory.get(community)
            if settings is None or BY_TAG not in settings.join_by:
                continue
            if comes:
                self._join(did, settings, Via(BY_TAG), now)
            elif actor := self.actor(did):
                self._leave(actor, did, settings, BY_TAG, "", now)

    # Roles, which the owner's records give.

    def _grant(self, settings: Settings, said: RoleRecord, rkey: str, by: str, now: int) -> None:
        actor = self.intern(said.subject).id
        held = in_force(held_membership(self._connection, settings.id, actor), now)
        if held is None or held.status is not Status.MEMBER:
            return  # it counts once they have joined
        after = Membership(Status.MEMBER, said.role, said.scope, said.until, said.limits)
        if in_force(after, now) == after:
            put(self._connection, settings.id, actor, after, act="setRole", by=by, now=now, granted=rkey)

    def grant_waiting(self, settings: Settings, did: str, now: int) -> None:
        """Somebody has joined whom the owner has given a role already."""
        rows = self._sql(
            "SELECT a.did, d.rkey, d.record FROM declaration d JOIN actor a ON a.id = d.actor"
            " WHERE d.subject = ? AND d.collection = ? AND d.about = ? AND d.fault IS NULL ORDER BY d.at, d.rkey",
            (did, ROLE, settings.uri),
        ).fetchall()
        for by, rkey, text in rows:
            if by == settings.owner:
                self._grant(settings, role_of(settings.uri or "", did, json.loads(text)), rkey, by, now)

    def _revoke(self, settings: Settings, subject: str, rkey: str, by: str, now: int) -> None:
        actor = self.actor(subject)
        row = (
            actor
            and self._sql(
                "SELECT 1 FROM membership WHERE community = ? AND actor = ? AND granted = ? AND status = 'member'",
                (settings.id, actor.id, rkey),
            ).get
        )
        if actor and row:
            put(self._connection, settings.id, actor.id, MEMBER, act="setRole", by=by, now=now, granted="")

    def end_ban(self, community: int, actor: int, now: int) -> None:
        """A ban has ended: what was in before is shown again."""
        put(self._connection, community, actor, None, act="expire", by="", now=now)
        hide_posts_of(self._connection, community, actor, banned=False)


def role_of(community: str, subject: str, record: dict[str, Any]) -> RoleRecord:
    """A role record, as it is kept; before there were limits, without any."""
    role, scope, limits = Role(record["role"]), scope_of(record["scope"]), limits_of(record.get("limits", {}))
    return RoleRecord(community, subject, role, scope, record["until"], limits)
