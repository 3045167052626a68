"""Records of communities into rows: who owns, joins, moderates, submits, follows and blocks. Runs inside the caller's
transaction.

Every record is kept as its author has it (table `declaration`), so that what came before its community counts once that
is there, and so that the same record changes nothing when it comes again. What has no effect is kept with the name of
the fault, for its author to see, and logged.
"""

import json
import logging
from collections.abc import Collection

from communities.community import BY_FOLLOW, BY_RECORD
from communities.directory import Settings
from communities.faults import NOT_AVAILABLE, NOT_HERE, TYPE_CHANGED_WHY
from communities.members import Via, account_agrees, is_member
from communities.records import (
    BLOCK,
    COMMUNITY,
    FOLLOW,
    MEMBERSHIP,
    OURS,
    ROLE,
    SHAPING,
    SUBMISSION,
    CommunityRecord,
    MembershipRecord,
    RoleRecord,
    Said,
    SubmissionRecord,
    concern,
)
from firehose.actors import Actor
from firehose.commands import note
from firehose.founding import NOTHING
from firehose.joining import role_of
from firehose.keeping import Keeping, text_of
from firehose.ops import Commit, Delete, PutPost, PutRecord, RefusedRecord
from firehose.succession import Kept
from models import communities as community_rows
from models.database import Connection

log = logging.getLogger(__name__)

LATER = NOT_HERE
"""The fault of a record whose community may still come."""
MOST_TAGGED, MOST_TAGS = 10_000, 100
"""Accounts, and posts of each, that are remembered until their repositories say whether they join by a tag."""
_ABOUT = (
    "SELECT a.did, d.collection, d.rkey, d.record, d.subject FROM declaration d JOIN actor a ON a.id = d.actor"
    " WHERE d.about = ? AND d.gone = 0 AND d.fault = ? ORDER BY d.at, d.rkey LIMIT ?"
)
MOST_CAUGHT_UP = 10_000
"""Records that came before their community and are caught up with in one go when it comes."""


class Declared(Keeping):
    """Puts and takes away what records say of communities."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self.awaited: dict[str, str] = {}
        """Accounts whose repositories are to be read, and why: something of theirs matters now that did not before."""
        self.tagged: dict[str, set[str]] = {}
        """Keys of posts by which their authors join or leave, as a source without proofs says; by account."""

    def apply(self, commit: Commit, received_at: int) -> bool:
        """Apply the operations, whatever was applied before; whether any concerned the index."""
        applied = False
        for op in commit.ops:
            if isinstance(op, PutRecord | RefusedRecord):
                applied |= self._put_record(commit.did, op, received_at)
            elif type(op) is Delete and op.collection in SHAPING:
                applied |= self._delete_record(commit.did, op.collection, op.rkey, received_at)
        applied |= super().apply(commit, received_at)
        for op in commit.ops:
            if type(op) is PutPost and op.joins:
                if commit.signed:
                    self.join_by_tag(commit.did, op, received_at)
                else:
                    self._doubt_tag(commit.did, op.rkey)
                applied = True
        return applied | self.note_commands(commit, received_at)

    def note_commands(self, commit: Commit, now: int) -> bool:
        """Note what posts of a commit command, whether or not it is applied: each version once. Whether any did."""
        noted = False
        for op in commit.ops:
            if type(op) is PutPost and op.calls:
                noted |= note(self._connection, self.admissions, self.counts, commit, op, now)
        return noted

    def _put_record(self, did: str, op: PutRecord | RefusedRecord, now: int) -> bool:
        actor = self.intern(did)
        kept = self.kept(actor.id, op.collection, op.rkey)
        same = kept is not None and kept.cid == op.cid and not kept.gone
        if same and kept and (type(op) is RefusedRecord or not kept.refused):
            return True
        if kept is None and self.has_too_many(actor.id, ours=op.collection in OURS):
            self.counts["record ignored: too many of one account"] += 1
            return True
        if isinstance(op, RefusedRecord):
            name = self._refuse(did, actor, op, kept, now)
        else:
            name = self._keep(did, actor, op, kept, now)
        if name is not None:
            self.counts[f"record refused: {name}"] += 1
            log.info("at://%s/%s/%s has no effect: %s", did, op.collection, op.rkey, name)
        self.counts["record of communities"] += 1
        return True

    def _refuse(self, did: str, actor: Actor, op: RefusedRecord, kept: Kept | None, now: int) -> str | None:
        """Keep a record that is refused for what it says. Returns the name of the fault; None: that was known.

        A community goes on as the last version that could be read has it: a slip must not end it. Whatever else the
        record said before ends.
        """
        about, record, name, why = "", NOTHING, op.name, op.why
        if op.collection == COMMUNITY:
            about = f"at://{did}/{COMMUNITY}/{op.rkey}"
            record = kept.record if kept else NOTHING
            if name == NOT_AVAILABLE and community_rows.founded(self._connection, about):
                name, why = community_rows.TYPE_CHANGED, TYPE_CHANGED_WHY
        elif kept is not None:
            self._end_earlier(did, actor, op, kept, now)
        if kept is not None and kept.refused and kept.cid == op.cid:
            return None
        self.keep(actor.id, op.collection, op.rkey, op.cid, about, "", record, now, name, why)
        return name

    def _keep(self, did: str, actor: Actor, op: PutRecord, kept: Kept | None, now: int) -> str | None:
        """Keep a record, and let it have its effect. Returns the name of what forbids that."""
        said = self.of_today(op.said)
        about, subject = concern(did, op.rkey, said)
        if isinstance(said, CommunityRecord):
            founded = community_rows.founded(self._connection, about)
            if founded is not None and founded.kind != said.community.kind:
                changed = RefusedRecord(op.collection, op.rkey, op.cid, community_rows.TYPE_CHANGED, TYPE_CHANGED_WHY)
                return self._refuse(did, actor, changed, kept, now)
        # A membership whose volume changes is no new one: its role would go, and where nobody joins any more all of it.
        goes_on = kept is not None and (kept.about, kept.subject) == (about, subject) and op.collection != ROLE
        if kept is not None and not goes_on:
            self._end_earlier(did, actor, op, kept, now)
        self.keep(actor.id, op.collection, op.rkey, op.cid, about, subject, text_of(said), now)
        fault = self._take_effect(did, actor, op.collection, op.rkey, said, now)
        if fault is not None:
            self.set_fault(actor.id, op.collection, op.rkey, fault)
        return fault

    def _end_earlier(self, did: str, actor: Actor, op: PutRecord | RefusedRecord, kept: Kept, now: int) -> None:
        """What a record said before does not hold any more."""
        if not kept.gone:
            self._delete_record(did, op.collection, op.rkey, now)
        if op.collection == SUBMISSION and not kept.refused:
            self.keep_withdrawn(actor.id, op.rkey, kept)

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
            self._grant(settings, said, rkey, did, now)
            return None
        for settings in self.admissions.directory.of_account(said.subject):
            if collection == FOLLOW and BY_FOLLOW in settings.join_by and account_agrees(self._connection, settings):
                self._join(did, settings, Via(BY_FOLLOW, rkey), now)
            elif collection == BLOCK:
                self._part(settings, actor)
        if collection == BLOCK and (blocked := self.actor(said.subject)):
            for settings in self.admissions.directory.of_account(did):
                self._part(settings, blocked)
        return None

    def _delete_record(self, did: str, collection: str, rkey: str, now: int) -> bool:
        actor = self.actor(did)
        kept = self.kept(actor.id, collection, rkey) if actor else None
        if not actor or not kept or kept.gone:
            return False
        about, subject = kept.about, kept.subject
        if collection == SUBMISSION and not kept.refused:
            # A withdrawal, which must be remembered: it wins over whatever else speaks for the post.
            key = (actor.id, collection, rkey)
            self._sql("UPDATE declaration SET gone = 1 WHERE actor = ? AND collection = ? AND rkey = ?", key)
            self._judge_again(actor, subject.rpartition("/")[2], now)
            return True
        self.drop(actor.id, collection, rkey)
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
            for settings in directory.of_account(subject):
                self._leave(actor, did, settings, BY_FOLLOW, rkey, now)
        elif collection == BLOCK:
            # What was kept out is in the repository of whoever wrote it.
            if directory.of_account(subject):
                self.awaited[did] = "it is not kept out by a block any more"
            if any(is_member(self._connection, settings.id, subject) for settings in directory.of_account(did)):
                # Of others what they write from now on counts: an account can block and unblock anybody all day.
                self.awaited[subject] = "it is not kept out by a block any more"
        return True

    def _doubt_tag(self, did: str, rkey: str) -> None:
        """A source without proofs says that somebody joins or leaves by a tag: the repository is to say so (S95)."""
        if did in self.tagged or len(self.tagged) < MOST_TAGGED:
            keys = self.tagged.setdefault(did, set())
            if len(keys) < MOST_TAGS:
                keys.add(rkey)
                self.awaited[did] = "a source without proofs says that it joins or leaves a community by a tag"

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
                    self._grant(settings, role_of(uri, subject, record), rkey, did, now)
                else:
                    self.awaited[did] = "it submitted a post to a community that was not here"
                self.set_fault(self.intern(did).id, collection, rkey, fault)

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
        self.forget_crowds(actor)
        return bool(rows or left)
