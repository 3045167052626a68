"""Who joins, leaves and comes to moderate, wherever that happens, as the stream has to know it."""

from playhouse.apsw_ext import APSWDatabase

from communities.access import Posting
from communities.directory import Settings
from communities.records import POST
from firehose.in_force import InForce
from firehose.index import Index
from firehose.ops import Scope
from firehose.proofs import Proofs
from firehose.times import now_micros
from models import meta
from models.database import sql, writing

MEMBERS_NOTICED = "members_noticed"
"""Meta key: the number of the last change of a membership that was taken notice of."""
MOST_NOTICED = 1000
"""Changes of memberships, and decisions, that are noticed in one go."""
_CHANGED = (
    "SELECT e.id, e.community, a.did, e.act, e.status, e.role FROM membership_event e JOIN actor a ON a.id = e.actor"
    " WHERE e.id > ? ORDER BY e.id LIMIT ?"
)
_APPROVED = (
    "SELECT d.at, a.did, d.rkey FROM decided d JOIN actor a ON a.id = d.actor WHERE d.at > ?"
    " AND d.verdict = 'approved' ORDER BY d.at LIMIT ?"
)


class Members:
    """Takes notice of memberships and decisions that other processes, or the stream, have stored."""

    def __init__(
        self, database: APSWDatabase, index: Index, in_force: InForce, scope: Scope, proofs: Proofs | None
    ) -> None:
        """Without `proofs` nobody's repository is followed."""
        connection = sql(database)
        self.noticed = int(meta.get(connection, MEMBERS_NOTICED) or 0)
        """The number of the last change."""
        (self._decided_after,) = connection.execute("SELECT coalesce(max(at), 0) FROM decided").fetchall()[0]
        self._database = database
        self._index = index
        self._in_force = in_force
        self._scope = scope
        self._proofs = proofs

    def notice(self) -> None:
        """Take notice of who has joined or left, and of what moderators have put in: their posts may not be here."""
        connection = sql(self._database)
        changed = connection.execute(_CHANGED, (self.noticed, MOST_NOTICED)).fetchall()
        approved = connection.execute(_APPROVED, (self._decided_after, MOST_NOTICED)).fetchall()
        for at, did, rkey in approved:
            self._decided_after = at
            self._scope.actors.add(did)
            self._scope.posts.add(f"at://{did}/{POST}/{rkey}")
        index, now = self._index, now_micros()
        if not changed and not index.awaited:
            return
        with writing(self._database) as connection:
            for _, community, did, act, status, role in changed:
                self._in_force.note(community, did, status, role)
                settings = index.admissions.directory.get(community)
                if settings is not None and status == "member" and act != "setRole":
                    self._welcome(settings, did, now)
            if changed:
                meta.put(connection, MEMBERS_NOTICED, str(changed[-1][0]))
            if self._proofs is not None:
                dids = dict.fromkeys(did for _, _, did, *_ in changed)
                index.refollow(dids, self._scope.full, self._scope.first, now)
            for did, why in index.awaited.items():
                index.desynchronize(did, why, now)
        index.awaited.clear()
        if changed:
            self.noticed = changed[-1][0]

    def _welcome(self, settings: Settings, did: str, now: int) -> None:
        """Somebody has become a member: what they wrote before may belong now, and a role may wait for them."""
        if settings.uri is not None:
            self._index.grant_waiting(settings, did, now)
        if settings.joined:
            self._scope.matcher.add_member(settings.id, did)
            self._scope.actors.add(did)
        if settings.joined or settings.posting is not Posting.ANYONE:
            self._index.awaited[did] = "it has joined a community"
