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
NOTHING = "null"
"""What is kept of a record of which no version could be read."""


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
            "SELECT a.did, d.rkey, d.record, d.fault, d.why IS NOT NULL FROM declaration d"
            " INDEXED BY declaration_community JOIN actor a ON a.id = d.actor"
            f" WHERE d.collection = '{COMMUNITY}' ORDER BY d.at, d.rkey"
        ).fetchall()
        for did, rkey, text, before, refused in rows:
            uri = f"at://{did}/{COMMUNITY}/{rkey}"
            if refused:
                self._judge_refused(uri, did, rkey, text, now)
                continue
            fault = before
            if before is None and not self.may_found(did):
                community_rows.end_record(self._connection, uri)
                fault = NOT_ALLOWED
            elif before is not None:
                fault = self._found(did, rkey, _said(text), now)
            if fault != before:
                self.set_fault(self.intern(did).id, COMMUNITY, rkey, fault)

    def _judge_refused(self, uri: str, did: str, rkey: str, text: str, now: int) -> None:
        """The newest version of a record is refused: what an earlier one has founded ends, or is there again. The
        refusal stays: that is to be mended first.
        """
        founded = community_rows.founded(self._connection, uri)
        if founded is None:
            return
        if not self.may_found(did):
            community_rows.end_record(self._connection, uri)
        elif not founded.declared and text != NOTHING:
            self._found(did, rkey, _said(text), now)


def _said(text: str) -> CommunityRecord:
    """The record of a community, as it is kept."""
    record = json.loads(text)
    return CommunityRecord(Community.from_json(record["community"]), record["predecessor"], record["successor"])
