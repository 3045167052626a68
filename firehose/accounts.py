"""How accounts stand: what `#account` and `#identity` say, what their own hosts say, what this site says, and whose
repositories are followed.

Whether an account is shown is an overlay over its rows: they stay, hidden and not counted, until it is back or purged.
"""

from collections.abc import Container, Iterable

from communities import shown
from firehose.declared import Declared
from firehose.events import Account
from models.database import Connection
from models.repos import DESYNCHRONIZED, ERROR, PENDING, SYNCED, UNRESOLVABLE

_FENCED = "SELECT id, active, allowed, purge FROM actor WHERE did = ? AND NOT (account_source = ? AND account_seq >= ?)"
_REPO = "SELECT a.id, r.state, r.why FROM actor a LEFT JOIN repo r ON r.actor = a.id WHERE a.did = ?"
CONFIRMED, CONFIRM = 1, 2
"""Values of `actor.purge`: the rows are to go; they are to go once the account's host has said that it is gone."""
MOST_DOUBTS = 1000


class Accounts(Declared):
    """Shows, hides and counts accounts; everything here runs inside the caller's transaction."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self.doubts: dict[str, None] = {}
        """Accounts that the stream has just called inactive, each once; the sweep asks their own hosts."""

    def account(self, event: Account, source: str, now: int) -> None:
        """Apply `#account`: an overlay that hides or shows all of the account's posts and its share in counts (A46).

        `source` and the event's seq fence what is repeated and late. The rows of a deleted account are purged once its
        host has confirmed that; one that comes back is read anew if anything was missed.
        """
        row = self._sql(_FENCED, (event.did, source, event.seq)).get
        if row is None:
            return
        actor, was_active, allowed, purge = row
        active = event.active
        if active != bool(was_active) and allowed:
            self.show(actor, active)
        if active:
            if event.status:
                self.doubt(event.did)  # "desynchronized", "throttled": something of it may not have come
            purge = purge if purge == CONFIRMED else 0  # rows that are going already go, and are read anew
            self._sql("UPDATE repo SET due_at = ? WHERE actor = ? AND state != ?", (now, actor, SYNCED))
        elif event.status == "deleted":
            purge = purge or CONFIRM
        elif event.status != "takendown":
            self.doubt(event.did)  # it may be the host that the account has left (B9)
        self._sql(
            "UPDATE actor SET active = ?, status = ?, account_seq = ?, account_source = ?, purge = ?, ahead = 0"
            " WHERE id = ?",
            (int(active), None if active else event.status, event.seq, source, purge, actor),
        )
        self._actors.pop(event.did, None)
        self.counts["account " + ("shown" if active else "hidden")] += 1

    def doubt(self, did: str) -> None:
        """Have an account's own host asked before long, unless too many are to be asked already."""
        if len(self.doubts) < MOST_DOUBTS:
            self.doubts[did] = None

    def overlay(self, did: str, active: bool, status: str | None) -> None:
        """Let an account be active or not, as its own host says."""
        self._actors.pop(did, None)  # another process may have taken it down
        actor = self.intern(did)
        if not (active or actor.active or actor.ahead or status == "deleted"):
            return  # the stream has said so itself meanwhile, and stands by it until it says otherwise
        if active != actor.active and self._allowed(actor.id):
            self.show(actor.id, active)
        purge = CONFIRMED if status == "deleted" and not active else 0
        self._sql(
            "UPDATE actor SET active = ?, status = ?, purge = ?, ahead = ? WHERE id = ?",
            (int(active), None if active else status, purge, int(not active and not purge), actor.id),
        )
        self._actors.pop(did, None)
        self.counts["account " + ("shown" if active else "hidden")] += 1

    def _allowed(self, actor: int) -> bool:
        return bool(self._sql("SELECT allowed FROM actor WHERE id = ?", (actor,)).get)

    def show(self, actor: int, active: bool) -> None:
        """Show or hide what an account wrote, and count or discount what it did; if that is much, later."""
        shown.show(self._connection, actor, active=active)

    def count(self, actor: int, counted: bool) -> None:
        """Let the counts hold what an account did, or not."""
        shown.count(self._connection, actor, counted=counted)

    def refollow(self, dids: Iterable[str], full: Container[str], first: Container[str], now: int) -> None:
        """Some accounts may have come to those whose repositories are followed (`full`), or have left them. Those of
        `first` are read before whoever waits already. `now`: microseconds.
        """
        for did in dids:
            row = self._sql(_REPO, (did,)).get
            actor, state, why = row or (None, None, None)
            if did in full:
                if state is None:
                    self._await(did, 0 if did in first else now)
            elif state == SYNCED or (state == PENDING and not why):
                self._sql("DELETE FROM repo WHERE actor = ?", (actor,))
                self._actors.pop(did, None)

    def _await(self, did: str, due_at: int) -> None:
        self._sql("INSERT INTO repo (actor, state, due_at) VALUES (?, ?, ?)", (self.intern(did).id, PENDING, due_at))
        self._actors.pop(did, None)

    def follow(self, dids: Iterable[str], first: Container[str], now: int) -> set[str]:
        """Let exactly these be the accounts whose repositories are followed; new ones are to be read whole first, as
        with `refollow`. Returns those.
        """
        new, gone = set(dids), []
        # One after the other: there may be a million.
        query = "SELECT a.did, a.id, r.state, r.why FROM repo r JOIN actor a ON a.id = r.actor"
        for did, actor, state, why in self._connection.execute(query):
            if did in new:
                new.remove(did)
            elif state == SYNCED or (state == PENDING and not why):
                gone.append((did, actor))
        for did, actor in gone:
            self._sql("DELETE FROM repo WHERE actor = ?", (actor,))
            self._actors.pop(did, None)
        for did in new:
            self._await(did, 0 if did in first else now)
        return new

    def identity(self, did: str, now: int) -> None:
        """What could not be read may be read now: the account may have another host, or a document again (A45)."""
        self._sql(
            "UPDATE repo SET due_at = min(due_at, ?), tries = 0 WHERE state IN (?, ?, ?)"
            " AND actor = (SELECT id FROM actor WHERE did = ?)",
            (now, DESYNCHRONIZED, ERROR, UNRESOLVABLE, did),
        )
