"""Records of communities as rows (table `declaration`), one a record, and how many are kept of an account. Runs inside
the caller's transaction.
"""

import json
from dataclasses import asdict

from communities.members import scope_text
from communities.records import OURS, RELATIONS, SUBMISSION, RoleRecord, Said
from firehose.founding import Founding
from firehose.succession import Kept
from models.database import Connection

MOST_DECLARED, MOST_RELATIONS = 2000, 10_000
"""Records of ours, and follows and blocks, that are kept of one account; later ones are ignored. Each by themselves:
the account of a community may block very many, and must be able to speak for the community nevertheless.
"""
MOST_CROWDED = 10_000
"""Accounts of which it is remembered that they have said too much."""
_COUNT = {
    collections: "SELECT count(*) FROM (SELECT 1 FROM declaration WHERE actor = ? AND collection IN ("
    + ", ".join(f"'{collection}'" for collection in sorted(collections))
    + ") LIMIT ?)"
    for collections in (OURS, RELATIONS)
}
_WITHDRAW = (
    "INSERT OR REPLACE INTO declaration (actor, collection, rkey, cid, about, subject, record, at, gone)"
    " SELECT actor, collection, ?, cid, about, subject, record, at, 1 FROM declaration"
    " WHERE actor = ? AND collection = ? AND rkey = ?"
)
_OLDEST = (
    "SELECT rkey FROM declaration WHERE actor = ? AND collection = ? AND gone = 1 AND rkey != ? ORDER BY at, rkey"
    " LIMIT 1"
)
_PUT = (
    "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at, fault, why)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (actor, collection, rkey) DO UPDATE SET cid = excluded.cid,"
    " about = excluded.about, subject = excluded.subject, record = excluded.record, at = excluded.at, gone = 0,"
    " fault = excluded.fault, why = excluded.why"
)


class Keeping(Founding):
    """Keeps what accounts have written, and no more of each than is good."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self._crowded: set[tuple[int, bool]] = set()

    def keep(
        self,
        actor: int,
        collection: str,
        rkey: str,
        cid: bytes,
        about: str,
        subject: str,
        record: str,
        now: int,
        fault: str | None = None,
        why: str | None = None,
    ) -> None:
        """Keep a record in its newest version; `why`: for what it says it is refused."""
        self._sql(_PUT, (actor, collection, rkey, cid, about, subject, record, now, fault, why))

    def keep_withdrawn(self, actor: int, rkey: str, kept: Kept) -> None:
        """What a submission submitted before is withdrawn, and stays so: under a key that no record can have."""
        key = f"{rkey}/{kept.about}/{kept.subject}"
        if self.kept(actor, SUBMISSION, key) is None and self.has_too_many(actor, ours=True):
            # Anybody can change a submission all day: then the newest withdrawals hold.
            oldest = self._sql(_OLDEST, (actor, SUBMISSION, rkey)).get
            if oldest is not None:
                self.drop(actor, SUBMISSION, oldest)
        self._sql(_WITHDRAW, (key, actor, SUBMISSION, rkey))

    def drop(self, actor: int, collection: str, rkey: str) -> None:
        """Forget a record."""
        self._crowded.discard((actor, collection in OURS))
        self._sql("DELETE FROM declaration WHERE actor = ? AND collection = ? AND rkey = ?", (actor, collection, rkey))

    def has_too_many(self, actor: int, *, ours: bool) -> bool:
        """Whether no further record of an account is kept."""
        if (actor, ours) in self._crowded:
            return True  # it may go on for ever, and counting takes a moment
        kind, most = (OURS, MOST_DECLARED) if ours else (RELATIONS, MOST_RELATIONS)
        if self._sql(_COUNT[kind], (actor, most)).get < most:
            return False
        if len(self._crowded) >= MOST_CROWDED:
            self._crowded.clear()
        self._crowded.add((actor, ours))
        return True

    def forget_crowds(self, actor: int) -> None:
        """Records of an account have gone."""
        self._crowded -= {(actor, True), (actor, False)}


def text_of(said: Said) -> str:
    """A record as it is kept."""
    if isinstance(said, RoleRecord):
        kept = {"role": said.role.value, "scope": scope_text(said.scope), "until": said.until}
        return json.dumps({**kept, "limits": said.limits.said()})
    return json.dumps(asdict(said), ensure_ascii=False)
