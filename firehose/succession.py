"""Communities that pass to new owners: both records say so. Runs inside the caller's transaction.

Members and authors have named the old record, and need not write theirs anew: they are taken to mean the new one.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

from communities.community import Community
from communities.outcome import MOST_OWNERS
from communities.records import (
    COMMUNITY,
    CommunityRecord,
    MembershipRecord,
    Said,
    SubmissionRecord,
)
from firehose.joining import Joining
from models import communities as community_rows
from models.database import Connection

_KEPT = (
    "SELECT cid, record, gone, about, subject, why IS NOT NULL FROM declaration"
    " WHERE actor = ? AND collection = ? AND rkey = ?"
)


class Kept(NamedTuple):
    """A record as it is kept. `refused`: its newest version is, and `record` an earlier one of a community, or null."""

    cid: bytes
    record: str
    gone: int
    about: str
    subject: str
    refused: int


class Succession(Joining):
    """Lets a community pass on, and finds it by the records that were its own."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self.founders: Collection[str] | None = None
        """Who may found communities here by records, or have them passed on to them; None: anyone."""

    def may_found(self, did: str) -> bool:
        """Whether an account may found communities here."""
        return self.founders is None or did in self.founders

    def succeed(self, uri: str, said: CommunityRecord) -> None:
        """Let a community pass to a new owner, if the records of both say so, in their newest versions. `uri`: that of
        `said`.
        """
        for old, new in ((said.predecessor, uri), (uri, said.successor)):
            agreed = self._agreed(old, new)
            if old is None or new is None or agreed is None or self._is_refused(old) or self._is_refused(new):
                continue
            before, after = agreed
            same = before.slug == after.slug and before.kind == after.kind
            if not same or not self.may_found(after.owner or ""):
                continue
            if community_rows.transfer(self._connection, old, new, after.to_json()):
                self.set_fault(self.intern(after.owner or "").id, COMMUNITY, after.slug, None)
                self.counts["community passed on"] += 1

    def of_today(self, said: Said) -> Said:
        """A membership or submission that names the record of an earlier owner, as one that names today's. Roles are
        not passed on by that: an earlier owner gives none.
        """
        if not isinstance(said, MembershipRecord | SubmissionRecord):
            return said
        uri = said.community
        for _ in range(MOST_OWNERS):
            if self.admissions.directory.find(uri) is not None:
                break
            successor = (self._community_record(uri) or {}).get("successor")
            if successor is None or self._agreed(uri, successor) is None:
                break
            uri = successor
        return said if uri == said.community else replace(said, community=uri)

    def _agreed(self, old: str | None, new: str | None) -> tuple[Community, Community] | None:
        """What two records declare that name each other; None when they do not."""
        before, after = (self._community_record(uri) if uri else None for uri in (old, new))
        if before is None or after is None or before.get("successor") != new or after.get("predecessor") != old:
            return None
        return Community.from_json(before["community"]), Community.from_json(after["community"])

    def _community_record(self, uri: str) -> dict[str, Any] | None:
        """What the record of a community says, as far as it could be read last; None when there is none."""
        kept = self._kept_at(uri)
        found: dict[str, Any] | None = json.loads(kept.record) if kept else None
        return found

    def _is_refused(self, uri: str) -> bool:
        kept = self._kept_at(uri)
        return kept is not None and bool(kept.refused)

    def _kept_at(self, uri: str) -> Kept | None:
        """The record of a community, by its at-uri."""
        did, _, path = uri.removeprefix("at://").partition("/")
        actor, (collection, _, rkey) = self.actor(did), path.partition("/")
        return self.kept(actor.id, collection, rkey) if actor and collection == COMMUNITY else None

    def kept(self, actor: int, collection: str, rkey: str) -> Kept | None:
        """A record of an account, as it is kept."""
        row = self._sql(_KEPT, (actor, collection, rkey)).get
        return Kept._make(row) if row else None

    def set_fault(self, actor: int, collection: str, rkey: str, fault: str | None) -> None:
        """Why a record of an account has no effect, or None."""
        self._sql(
            "UPDATE declaration SET fault = ? WHERE actor = ? AND collection = ? AND rkey = ?",
            (fault, actor, collection, rkey),
        )
