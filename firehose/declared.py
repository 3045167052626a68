"""Records of communities into rows: who owns, joins, moderates, submits, follows and blocks. Runs inside the caller's
transaction.

Every record is kept as its author has it (table `declaration`), so that what came before its community counts once that
is there, and so that the same record changes nothing when it comes again. What has no effect is kept with the name of
the fault, or not at all, and logged.
"""

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

from communities.access import Role, Status
from communities.admission import BANNED
from communities.community import BY_FOLLOW, BY_RECORD, BY_TAG, Community
from communities.directory import Settings
from communities.members import (
    Via,
    count_admins,
    memberships,
    put,
    read_membership,
    scope_of,
    scope_text,
    standing_by,
)
from communities.members import (
    held as held_membership,
)
from communities.membership import MEMBER, Membership, Own, RefusedError, in_force, step
from communities.records import (
    BLOCK,
    COMMUNITY,
    FOLLOW,
    MEMBERSHIP,
    ROLE,
    SHAPING,
    SUBMISSION,
    CommunityRecord,
    MembershipRecord,
    RoleRecord,
    Said,
    SubmissionRecord,
)
from firehose.actors import Actor
from firehose.ops import Commit, Delete, PutPost, PutRecord
from firehose.rows import Rows
from models import communities as community_rows
from models.database import Connection

log = logging.getLogger(__name__)

MOST_DECLARED = 2000
"""Records of these collections that are kept of one account; later ones are ignored."""
LATER = "CommunityNotFound"
"""The fault of a record whose community may still come."""
MOST_OWNED = 100
"""Communities that one account may own by records."""
_DECLARED = "SELECT cid, record, gone, fault FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?"
_PUT = (
    "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at, fault)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (actor, collection, rkey) DO UPDATE SET cid = excluded.cid,"
    " about = excluded.about, subject = excluded.subject, record = excluded.record, at = excluded.at, gone = 0,"
    " fault = excluded.fault"
)
_ABOUT = (
    "SELECT a.did, d.collection, d.rkey, d.record, d.subject FROM declaration d JOIN actor a ON a.id = d.actor"
    " WHERE d.about = ? AND d.gone = 0 AND d.fault = ? ORDER BY d.at, d.rkey LIMIT ?"
)
MOST_CAUGHT_UP = 10_000
"""Records that came before their community and are caught up with in one go when it comes."""


class Declared(Rows):
    """Puts and takes away what records say of communities."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self._connection = connection
        self.founders: Callable[[str], bool] = lambda _: True
        """Whether an account may found communities here by records."""
        self.awaited: dict[str, str] = {}
        """Accounts whose repositories are to be read, and why: something of theirs matters now that did not before."""

    def apply(self, commit: Commit, received_at: int) -> bool:
        """Apply the operations, whatever was applied before; whether any concerned the index."""
        applied = False
        for op in commit.ops:
            if type(op) is PutRecord:
                applied |= self._put_record(commit.did, op, received_at)
            elif type(op) is Delete and op.collection in SHAPING:
                applied |= self._delete_record(commit.did, op.collection, op.rkey, received_at)
        applied |= super().apply(commit, received_at)
        for op in commit.ops:
            if type(op) is PutPost and op.joins:
                applied |= self._join_by_tag(commit.did, op, received_at)
        return applied

    def _put_record(self, did: str, op: PutRecord, now: int) -> bool:
        actor = self.intern(did)
        stands = self._sql(_DECLARED, (actor.id, op.collection, op.rkey)).get
        if stands is not None and stands[0] == op.cid and not stands[2]:
            return True
        count = "SELECT count(*) FROM (SELECT 1 FROM declaration WHERE actor = ? LIMIT ?)"
        if stands is None and self._sql(count, (actor.id, MOST_DECLARED)).get >= MOST_DECLARED:
            self.counts["record ignored: too many of one account"] += 1
            return True
        said = op.said
        if stands is not None and not stands[2] and not isinstance(said, CommunityRecord):
            self._delete_record(did, op.collection, op.rkey, now)  # what it said before does not hold any more
        about, subject = _about(did, op.rkey, said)
        values = (actor.id, op.collection, op.rkey, op.cid, about, subject, _text(said), now)
        self._sql(_PUT, (*values, None))
        fault = self._take_effect(did, actor, op.collection, op.rkey, said, now)
        if fault is not None:
            self._sql(_PUT, (*values, fault))
            self.counts[f"record refused: {fault}"] += 1
            log.info("at://%s/%s/%s has no effect: %s", did, op.collection, op.rkey, fault)
        self.counts["record of communities"] += 1
        return True

    def _take_effect(self, did: str, actor: Actor, collection: str, rkey: str, said: Said, now: int) -> str | None:
        """Let a record that is kept have its effect. Returns the name of what forbids it."""
        if isinstance(said, CommunityRecord):
            return self._found(did, rkey, said, now)
        if isinstance(said, SubmissionRecord):
            self._judge_again(actor, said.post.rpartition("/")[2], now)
            return None if self.admissions.directory.find(said.community) else LATER
        if isinstance(said, MembershipRecord | RoleRecord):
            settings = self.admissions.directory.find(said.community)
            if settings is None:
                return LATER
            if isinstance(said, MembershipRecord):
                return self._join(did, settings, Via(BY_RECORD, rkey), now, said.volume)
            return self._grant(settings, said, rkey, did, now)
        for settings in self._of_account(said.subject):
            if collection == FOLLOW and BY_FOLLOW in settings.join_by:
                self._join(did, settings, Via(BY_FOLLOW, rkey), now)
            elif collection == BLOCK:
                self._part(settings, actor)
        if collection == BLOCK and (blocked := self.actor(said.subject)):
            for settings in self._of_account(did):
                self._part(settings, blocked)
        return None

    def _delete_record(self, did: str, collection: str, rkey: str, now: int) -> bool:
        actor = self.actor(did)
        stands = (
            actor
            and self._sql(
                "SELECT about, subject, gone FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?",
                (actor.id, collection, rkey),
            ).get
        )
        if not actor or not stands or stands[2]:
            return False
        about, subject, _ = stands
        key = (actor.id, collection, rkey)
        if collection == SUBMISSION:
            # A withdrawal, which must be remembered: it wins over whatever else speaks for the post.
            self._sql("UPDATE declaration SET gone = 1 WHERE actor = ? AND collection = ? AND rkey = ?", key)
            self._judge_again(actor, subject.rpartition("/")[2], now)
            return True
        self._sql("DELETE FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?", key)
        directory = self.admissions.directory
        if collection == COMMUNITY:
            if community_rows.end_record(self._connection, about):
                self.counts["community ended"] += 1
        elif collection == MEMBERSHIP:
            if settings := directory.find(about):
                self._leave(actor, did, settings, BY_RECORD, rkey, now)
        elif collection == ROLE:
            if settings := directory.find(about):
                self._revoke(settings, subject, rkey, did, now)
        elif collection == FOLLOW:
            for settings in self._of_account(subject):
                self._leave(actor, did, settings, BY_FOLLOW, rkey, now)
        elif collection == BLOCK:
            # What was kept out is in the repository of whoever wrote it.
            if self._of_account(subject):
                self.awaited[did] = "it is not kept out by a block any more"
            if self._of_account(did):
                self.awaited[subject] = "it is not kept out by a block any more"
        return True

    def _of_account(self, did: str) -> list[Settings]:
        """The communities of which this is the account."""
        return self.admissions.directory.of_account(did)

    # Communities.

    def _found(self, did: str, slug: str, said: CommunityRecord, now: int) -> str | None:
        uri = f"at://{did}/{COMMUNITY}/{slug}"
        if not self.founders(did):
            return "FounderNotAllowed"
        self._succeed(uri, slug, did, said)
        fault = community_rows.declare_record(self._connection, uri, said.community.to_json(), now, most=MOST_OWNED)
        if fault is None:
            self.counts["community declared"] += 1
        return fault

    def _succeed(self, uri: str, slug: str, did: str, said: CommunityRecord) -> None:
        """Let a community pass to a new owner, if the records of both say so."""
        for old, new in ((said.predecessor, uri), (uri, said.successor)):
            if old is None or new is None:
                continue
            before, after = self._community_record(old), self._community_record(new)
            if before is None or after is None or before.get("successor") != new or after.get("predecessor") != old:
                continue
            same = before["community"]["slug"] == after["community"]["slug"]
            if same and before["community"]["kind"] == after["community"]["kind"]:
                rule = Community.from_json(after["community"]).to_json()
                if community_rows.transfer(self._connection, old, new, rule):
                    self.counts["community passed on"] += 1

    def _community_record(self, uri: str) -> dict[str, Any] | None:
        did, _, path = uri.removeprefix("at://").partition("/")
        actor, (collection, _, rkey) = self.actor(did), path.partition("/")
        row = actor and self._sql(_DECLARED, (actor.id, collection, rkey)).get
        found: dict[str, Any] | None = json.loads(row[1]) if row and collection == COMMUNITY else None
        return found

    def catch_up(self, uris: Collection[str], now: int) -> None:
        """Let records that came before their communities have their effect, now that those are in force."""
        for uri in uris:
            settings = self.admissions.directory.find(uri)
            if settings is None:
                continue
            rows = self._sql(_ABOUT, (uri, LATER, MOST_CAUGHT_UP)).fetchall()
            # Somebody must be a member to have a role.
            for did, collection, rkey, text, subject in sorted(rows, key=lambda row: row[1] == ROLE):
                record, fault = json.loads(text), None
                if collection == MEMBERSHIP:
                    fault = self._join(did, settings, Via(BY_RECORD, rkey), now, record["volume"])
                elif collection == ROLE:
                    self._grant(settings, _role(uri, subject, record), rkey, did, now)
                else:
                    self.awaited[did] = "it submitted a post to a community that was not here"
                self._sql(
                    "UPDATE declaration SET fault = ? WHERE actor = ? AND collection = ? AND rkey = ?",
                    (fault, self.intern(did).id, collection, rkey),
                )

    # Memberships.

    def _join(self, did: str, settings: Settings, via: Via, now: int, volume: int = 0) -> str | None:
        """Somebody says that they join. Returns the name of what forbids it."""
        actor = self.intern(did).id
        of = memberships(self._connection, actor)
        held = in_force(of.get(settings.id), now)
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
            after = step(
                Own.AGREE if invited else Own.JOIN,
                held,
                kind=settings.kind,
                state=settings.state,
                subject=who,
                actor=who,
                admins=count_admins(self._connection, settings),
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
        query = "SELECT status, role, scope, until FROM membership WHERE community = ? AND actor = ? AND via = ?"
        row = self._sql(f"{query} AND rkey = ?", (settings.id, actor.id, way, rkey)).get
        if row is None or read_membership(row).status is Status.BANNED:
            return
        if way == BY_RECORD:
            # There may be another record that says the same.
            other = self._sql(
                "SELECT rkey FROM declaration WHERE actor = ? AND collection = ? AND about = ? LIMIT 1",
                (actor.id, MEMBERSHIP, settings.uri or ""),
            ).get
            if other is not None:
                self._sql(
                    "UPDATE membership SET rkey = ? WHERE community = ? AND actor = ?", (other, settings.id, actor.id)
                )
                return
        put(self._connection, settings.id, actor.id, None, act="leave", by=did, now=now)
        self.counts["membership ended"] += 1

    def _join_by_tag(self, did: str, op: PutPost, now: int) -> bool:
        for community, comes in op.joins:
            settings = self.admissions.directory.get(community)
            if settings is None or BY_TAG not in settings.join_by:
                continue
            if comes:
                self._join(did, settings, Via(BY_TAG), now)
            elif actor := self.actor(did):
                self._leave(actor, did, settings, BY_TAG, "", now)
        return True

    # Roles, which the owner's records give.

    def _grant(self, settings: Settings, said: RoleRecord, rkey: str, by: str, now: int) -> str | None:
        actor = self.intern(said.subject).id
        held = in_force(held_membership(self._connection, settings.id, actor), now)
        if held is None or held.status is not Status.MEMBER:
            return None  # it counts once they have joined
        after = Membership(Status.MEMBER, said.role, said.scope, said.until)
        if in_force(after, now) == after:
            put(self._connection, settings.id, actor, after, act="setRole", by=by, now=now, granted=rkey)
        return None

    def grant_waiting(self, settings: Settings, did: str, now: int) -> None:
        """Somebody has joined whom the owner has given a role already."""
        rows = self._sql(
            "SELECT a.did, d.rkey, d.record FROM declaration d JOIN actor a ON a.id = d.actor"
            " WHERE d.subject = ? AND d.collection = ? AND d.about = ? ORDER BY d.at, d.rkey",
            (did, ROLE, settings.uri),
        ).fetchall()
        for by, rkey, text in rows:
            if by == settings.owner:
                self._grant(settings, _role(settings.uri or "", did, json.loads(text)), rkey, by, now)

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

    # Posts.

    def _part(self, settings: Settings, actor: Actor) -> None:
        """Somebody and the account of a community block each other: no post of theirs is in it."""
        posts = self._sql(
            "DELETE FROM feed_item WHERE community = ? AND post IN (SELECT id FROM post WHERE actor = ?)"
            " RETURNING post",
            (settings.id, actor.id),
        ).fetchall()
        for (post,) in posts:
            if not self._sql("SELECT 1 FROM feed_item WHERE post = ? LIMIT 1", (post,)).get:
                self.remove_post(post)

    def _judge_again(self, actor: Actor, rkey: str, now: int) -> None:
        """A post was submitted or withdrawn."""
        row = self._sql("SELECT id FROM post WHERE actor = ? AND rkey = ?", (actor.id, rkey)).get
        if row is not None:
            self.judge_stored(row, now)
        else:
            (did,) = self._sql("SELECT did FROM actor WHERE id = ?", (actor.id,)).fetchall()[0]
            self.awaited[did] = "it submitted a post that is not here"

    def forget_records(self, actor: int, most: int, now: int) -> bool:
        """Take away what an account that is gone said of communities, and what it was in them, but for its bans; at
        most so much in one go. Returns whether there was any.
        """
        (did,) = self._sql("SELECT did FROM actor WHERE id = ?", (actor,)).fetchall()[0]
        # No event will tell that it is no member any more.
        for (community,) in self._sql("SELECT community FROM membership WHERE actor = ?", (actor,)).fetchall():
            self.admissions.matcher.remove_member(community, did)
        query = "SELECT collection, rkey, gone FROM declaration WHERE actor = ? LIMIT ?"
        rows = self._sql(query, (actor, most)).fetchall()
        for collection, rkey, gone in rows:
            if not gone:
                self._delete_record(did, collection, rkey, now)
            key = (actor, collection, rkey)
            self._sql("DELETE FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?", key)
        query = "DELETE FROM membership WHERE actor = ? AND status != 'banned' RETURNING 1"
        left = self._sql(query, (actor,)).fetchall()
        self._sql("DELETE FROM membership_event WHERE actor = ?", (actor,))
        return bool(rows or left)

    def end_ban(self, community: int, actor: int, now: int) -> None:
        """A ban has ended: what was in before is shown again."""
        put(self._connection, community, actor, None, act="expire", by="", now=now)
        self._sql(
            "UPDATE feed_item SET hidden = hidden & ~? WHERE community = ? AND hidden & ?"
            " AND post IN (SELECT id FROM post WHERE actor = ?)",
            (BANNED, community, BANNED, actor),
        )


def _about(did: str, rkey: str, said: Said) -> tuple[str, str]:
    """The community (at-uri, empty: none) and the account or post that a record is about."""
    if isinstance(said, CommunityRecord):
        return f"at://{did}/{COMMUNITY}/{rkey}", ""
    if isinstance(said, RoleRecord):
        return said.community, said.subject
    if isinstance(said, MembershipRecord):
        return said.community, ""
    if isinstance(said, SubmissionRecord):
        return said.community, said.post
    return "", said.subject


def _text(said: Said) -> str:
    """A record as it is kept."""
    if isinstance(said, RoleRecord):
        return json.dumps({"role": said.role.value, "scope": scope_text(said.scope), "until": said.until})
    return json.dumps(asdict(said), ensure_ascii=False)


def _role(community: str, subject: str, record: dict[str, Any]) -> RoleRecord:
    return RoleRecord(community, subject, Role(record["role"]), scope_of(record["scope"]), record["until"])
