"""Who owns the communities that records declare: they are founded, change, pass to other owners and end by these.

Runs inside the caller's transaction.
"""

import json
from collections.abc import Collection
from typing import Any

from communities.community import Community
from communities.records import COMMUNITY, CommunityRecord
from firehose.joining import Joining
from models import communities as community_rows
from models.database import Connection

NOT_ALLOWED = "FounderNotAllowed"
"""The fault of a record whose author may not found communities here."""
MOST_OWNED = 100
"""Communities that one account may own by records."""
MOST_PASSED_ON = 10
"""New owners of a community, one after the other, that are looked at for where it is now."""
DECLARED = (
    "SELECT cid, record, gone, fault, about, subject FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?"
)
"""Asks for the record that an account has under a name, as it is kept."""


class Founding(Joining):
    """Puts communities of records in force, as far as their authors may found them."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self.founders: Collection[str] | None = None
        """Who may found communities here by records; None: anyone."""

    def _found(self, did: str, slug: str, said: CommunityRecord, now: int) -> str | None:
        uri = f"at://{did}/{COMMUNITY}/{slug}"
        if not self._may_found(did):
            return NOT_ALLOWED
        self._succeed(uri, slug, did, said)
        fault = community_rows.declare_record(self._connection, uri, said.community.to_json(), now, most=MOST_OWNED)
        if fault is None:
            self._list_changed(did)  # compiled anew, and what came before it is caught up with then
            self.counts["community declared"] += 1
        return fault

    def _may_found(self, did: str) -> bool:
        return self.founders is None or did in self.founders

    def judge_founders(self, now: int) -> None:
        """Look at all records of communities anew: who may found them may have changed, and slugs may be free."""
        rows = self._sql(
            "SELECT a.did, d.rkey, d.record, d.fault FROM declaration d INDEXED BY declaration_community"
            f" JOIN actor a ON a.id = d.actor WHERE d.collection = '{COMMUNITY}' ORDER BY d.at, d.rkey"
        ).fetchall()
        for did, rkey, text, before in rows:
            uri = f"at://{did}/{COMMUNITY}/{rkey}"
            fault = before
            if before is None and not self._may_found(did):
                community_rows.end_record(self._connection, uri)
                fault = NOT_ALLOWED
            elif before is not None:
                record = json.loads(text)
                community = Community.from_json(record["community"])
                said = CommunityRecord(community, record["predecessor"], record["successor"])
                fault = self._found(did, rkey, said, now)
            if fault != before:
                self._set_fault(self.intern(did).id, COMMUNITY, rkey, fault)

    def _set_fault(self, actor: int, collection: str, rkey: str, fault: str | None) -> None:
        self._sql(
            "UPDATE declaration SET fault = ? WHERE actor = ? AND collection = ? AND rkey = ?",
            (fault, actor, collection, rkey),
        )

    def _succeed(self, uri: str, slug: str, did: str, said: CommunityRecord) -> None:
        """Let a community pass to a new owner, if the records of both say so."""
        for old, new in ((said.predecessor, uri), (uri, said.successor)):
            if old is None or new is None:
                continue
            before, after = self._community_record(old), self._community_record(new)
            if before is None or after is None or before.get("successor") != new or after.get("predecessor") != old:
                continue
            if not self._may_found(after["community"]["owner"]):
                continue
            same = before["community"]["slug"] == after["community"]["slug"]
            if same and before["community"]["kind"] == after["community"]["kind"]:
                rule = Community.from_json(after["community"]).to_json()
                if community_rows.transfer(self._connection, old, new, rule):
                    self._list_changed(did)
                    self.counts["community passed on"] += 1

    def _heir(self, uri: str) -> str:
        """The record that a community has now which once had this one: not everybody has heard of its new owner."""
        by_uri, at = self.admissions.directory.by_uri, uri
        for _ in range(MOST_PASSED_ON):
            if at in by_uri:
                return at
            before = self._community_record(at)
            after = before and before["successor"] and self._community_record(before["successor"])
            if not before or not after or after["predecessor"] != at:
                break
            at = before["successor"]
        return uri

    def _community_record(self, uri: str) -> dict[str, Any] | None:
        did, _, path = uri.removeprefix("at://").partition("/")
        actor, (collection, _, rkey) = self.actor(did), path.partition("/")
        row = actor and self._sql(DECLARED, (actor.id, collection, rkey)).get
        found: dict[str, Any] | None = json.loads(row[1]) if row and collection == COMMUNITY else None
        return found
