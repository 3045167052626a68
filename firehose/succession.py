"""Communities that pass to new owners: both records say so. Runs inside the caller's transaction.

Members and authors have named the old record, and need not write theirs anew: they are taken to mean the new one.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from communities.community import Community
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

DECLARED = "SELECT cid, record, gone, about, subject FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?"
MOST_OWNERS = 20
"""How often a community may have been passed on, to be found by the record of its first owner (ours)."""


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
        """Let a community pass to a new owner, if the records of both say so. `uri`: that of `said`."""
        for old, new in ((said.predecessor, uri), (uri, said.successor)):
            agreed = self._agreed(old, new)
            if old is None or new is None or agreed is None:
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
        did, _, path = uri.removeprefix("at://").partition("/")
        actor, (collection, _, rkey) = self.actor(did), path.partition("/")
        row = actor and self._sql(DECLARED, (actor.id, collection, rkey)).get
        found: dict[str, Any] | None = json.loads(row[1]) if row and collection == COMMUNITY else None
        return found

    def set_fault(self, actor: int, collection: str, rkey: str, fault: str | None) -> None:
        """Why a record of an account has no effect, or None."""
        self._sql(
            "UPDATE declaration SET fault = ? WHERE actor = ? AND collection = ? AND rkey = ?",
            (fault, actor, collection, rkey),
        )
