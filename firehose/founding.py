"""Communities that records found: they come into force, or have no effect for a named reason. Runs inside the caller's
transaction.
"""

import json

from communities.community import Community
from communities.records import COMMUNITY, CommunityRecord
from firehose.succession import Succession
from models import communities as community_rows

NOT_ALLOWED = "FounderNotAllowed"
"""The fault of a record whose author may not found communities here."""
MOST_OWNED = 100
"""Communities that one account may own by records."""


class Founding(Succession):
    """Puts communities of records in force, as far as their authors may found them."""

    def _found(self, did: str, slug: str, said: CommunityRecord, now: int) -> str | None:
        uri = f"at://{did}/{COMMUNITY}/{slug}"
        if not self.may_found(did):
            return NOT_ALLOWED
        self.succeed(uri, said)
        fault = community_rows.declare_record(self._connection, uri, said.community.to_json(), now, most=MOST_OWNED)
        if fault is None:
            self.counts["community declared"] += 1
        return fault

    def judge_founders(self, now: int) -> None:
        """Look at all records of communities anew: who may found them may have changed, and slugs may be free."""
        rows = self._sql(
            "SELECT a.did, d.rkey, d.record, d.fault FROM declaration d INDEXED BY declaration_community"
            f" JOIN actor a ON a.id = d.actor WHERE d.collection = '{COMMUNITY}' ORDER BY d.at, d.rkey"
        ).fetchall()
        for did, rkey, text, before in rows:
            uri = f"at://{did}/{COMMUNITY}/{rkey}"
            fault = before
            if before is None and not self.may_found(did):
                community_rows.end_record(self._connection, uri)
                fault = NOT_ALLOWED
            elif before is not None:
                record = json.loads(text)
                community = Community.from_json(record["community"])
                said = CommunityRecord(community, record["predecessor"], record["successor"])
                fault = self._found(did, rkey, said, now)
            if fault != before:
                self.set_fault(self.intern(did).id, COMMUNITY, rkey, fault)
