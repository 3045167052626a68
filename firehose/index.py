"""The rows of one event: posts, feed items, engagement, accounts. Everything here runs inside the caller's transaction.

Each function may be called again with what it was already given and then changes nothing: a commit is applied only when
its rev is above the account's last one (the fence), and puts and deletes are idempotent by (did, collection, rkey).
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Collection
from dataclasses import replace

import apsw

from communities.matching import Match
from firehose.events import Account, Sync
from firehose.ops import (
    ENGAGEMENTS,
    LIKE,
    LIST,
    LIST_ITEM,
    POST,
    POST_URI,
    QUOTE,
    REPLY,
    REPOST,
    Commit,
    Delete,
    Op,
    PutEngagement,
    PutListItem,
    PutPost,
)
from firehose.snapshot import Snapshot
from firehose.times import event_micros, sort_micros
from models.database import Connection

PENDING, RESYNCING, SYNCED, DESYNCHRONIZED = "pending", "resyncing", "synced", "desynchronized"
ERROR, UNRESOLVABLE = "error", "unresolvable"
"""States of an account whose repository is followed or has to be read (ingest.md 12)."""
CONFIRMED, CONFIRM = 1, 2
"""Values of `actor.purge`: the rows are to go; they are to go once the account's host has said that it is gone."""
COLLECTIONS = {kind: collection for collection, kind in ENGAGEMENTS.items()}
LISTS_CHANGED = "lists_changed"
"""Meta key: a list changed, and the rules were not compiled with it yet."""
COUNTERS = {LIKE: "likes", REPOST: "reposts", REPLY: "replies", QUOTE: "quotes"}
_COUNT = {kind: f"UPDATE post SET {column} = {column} + ? WHERE id = ?" for kind, column in COUNTERS.items()}
_PUT_EDGE = "INSERT INTO engagement (actor, kind, rkey, post) VALUES (?, ?, ?, ?)"
_PUT_ITEM = (
    "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence)"
    " SELECT ?1, 1 - a.shown, p.sort_at, p.id, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey, ?2"
    " FROM post p JOIN actor a ON a.id = p.actor WHERE p.id = ?3"
    " ON CONFLICT DO UPDATE SET evidence = excluded.evidence"
)
_ACTOR = (
    "SELECT a.id, a.rev, a.active, a.shown, r.state, r.data FROM actor a LEFT JOIN repo r ON r.actor = a.id"
    " WHERE a.did = ?"
)
_FENCED = "SELECT id, active, allowed, purge FROM actor WHERE did = ? AND NOT (account_source = ? AND account_seq >= ?)"
_CACHED_ACTORS = 50_000
MOST_DOUBTS = 1000


def count_repos(connection: Connection) -> dict[str, int]:
    """How many accounts are in each of the states, those without any included."""
    rows = connection.execute(
        "SELECT state, count(*) FROM repo WHERE state != 'synced' GROUP BY state"
        " UNION ALL SELECT 'synced', count(*) FROM repo WHERE state = 'synced'"
    ).fetchall()
    return dict.fromkeys((PENDING, RESYNCING, SYNCED, DESYNCHRONIZED, ERROR, UNRESOLVABLE), 0) | dict(rows)


class Actor:
    """What the fence and the chain need of an account; a mirror of its rows. `state`: empty without a repo row."""

    __slots__ = ("active", "data", "id", "rev", "shown", "state")

    def __init__(self, id: int, rev: str, active: int, shown: int, state: str | None, data: bytes | None) -> None:
        self.id = id
        self.rev = rev
        self.active = bool(active)
        self.shown = bool(shown)
        self.state = state or ""
        self.data = data


class Index:
    """Applies events to the tables. `forget` must be called when a transaction that it wrote in was rolled back."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        # One cursor for all, so every statement must run to its end: rows are taken with `get` or `fetchall`.
        self._sql = connection.cursor().execute
        self._max_age = max_age
        self._actors: OrderedDict[str, Actor] = OrderedDict()
        self.splits = False
        """Whether commits may have been applied in part: sources without proofs give them operation by operation."""
        self.counts: Counter[str] = Counter()
        self.doubts: deque[str] = deque(maxlen=MOST_DOUBTS)
        """Accounts that the stream has just called inactive; the sweep asks their own hosts."""
        self.late: dict[str, set[tuple[str, str]]] = {}
        """What repositories held that were read ahead of the stream, until it has come as far."""
        self.buffers: dict[str, list[Commit]] = {}
        """What was applied of accounts whose repositories are being read just now, since that began."""
        self.list_changes: Counter[str] = Counter()
        """How often the lists of each owner were changed by the stream, since start."""

    def forget(self) -> None:
        """Drop what is cached of the rows, and what was noted for repositories that are being read."""
        self._actors.clear()
        self.buffers.clear()
        self.late.clear()

    def forget_accounts(self) -> None:
        """Drop what is cached of accounts: another process may have changed them."""
        self._actors.clear()

    def forget_account(self, actor: int) -> None:
        """Drop what is cached of one account, after its rows were changed behind this one's back."""
        (did,) = self._sql("SELECT did FROM actor WHERE id = ?", (actor,)).fetchall()[0]
        self._actors.pop(did, None)
        self.buffers.pop(did, None)

    # Accounts

    def actor(self, did: str) -> Actor | None:
        """The account's row, or None when nothing was ever stored for it."""
        cached = self._actors.get(did)
        if cached is not None:
            return cached
        row = self._sql(_ACTOR, (did,)).get
        return self._cache(did, Actor(*row)) if row else None

    def intern(self, did: str) -> Actor:
        """The account's row, made if need be."""
        known = self.actor(did)
        if known is not None:
            return known
        row: int = self._sql("INSERT INTO actor (did) VALUES (?) RETURNING id", (did,)).get
        return self._cache(did, Actor(row, "", 1, 1, None, None))

    def _cache(self, did: str, actor: Actor) -> Actor:
        self._actors[did] = actor
        if len(self._actors) > _CACHED_ACTORS:
            self._actors.popitem(last=False)
        return actor

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
            purge = purge if purge == CONFIRMED else 0  # rows that are going already go, and are read anew
            self._sql("UPDATE repo SET due_at = ? WHERE actor = ? AND state != ?", (now, actor, SYNCED))
        elif event.status == "deleted":
            purge = purge or CONFIRM
        elif event.status != "takendown":
            self.doubts.append(event.did)  # it may be the host that the account has left (B9)
        self._sql(
            "UPDATE actor SET active = ?, status = ?, account_seq = ?, account_source = ?, purge = ? WHERE id = ?",
            (int(active), None if active else event.status, event.seq, source, purge, actor),
        )
        self._actors.pop(event.did, None)
        self.counts["account " + ("shown" if active else "hidden")] += 1

    def overlay(self, did: str, active: bool, status: str | None) -> None:
        """Let an account be active or not, as its own host says."""
        self._actors.pop(did, None)  # another process may have taken it down
        actor = self.intern(did)
        if active != actor.active and self._allowed(actor.id):
            self.show(actor.id, active)
        purge = CONFIRMED if status == "deleted" and not active else 0
        self._sql(
            "UPDATE actor SET active = ?, status = ?, purge = ? WHERE id = ?",
            (int(active), None if active else status, purge, actor.id),
        )
        self._actors.pop(did, None)
        self.counts["account " + ("shown" if active else "hidden")] += 1

    def take_down(self, did: str, allowed: bool) -> None:
        """Let this site show an account or not, whatever its host says of it (A47)."""
        self._actors.pop(did, None)
        actor = self.intern(did)
        if self._allowed(actor.id) != allowed:
            if actor.active:
                self.show(actor.id, allowed)
            self._sql("UPDATE actor SET allowed = ? WHERE id = ?", (int(allowed), actor.id))
            self._actors.pop(did, None)

    def _allowed(self, actor: int) -> bool:
        return bool(self._sql("SELECT allowed FROM actor WHERE id = ?", (actor,)).get)

    def show(self, actor: int, active: bool) -> None:
        """Show or hide what an account wrote, and count or discount what it did."""
        for kind in COUNTERS:
            self._recount(actor, kind, 1 if active else -1)
        self._sql(
            "UPDATE feed_item SET hidden = ? WHERE post IN (SELECT id FROM post WHERE actor = ?)",
            (int(not active), actor),
        )

    def _recount(self, actor: int, kind: int, by: int) -> None:
        self._sql(
            f"UPDATE post SET {COUNTERS[kind]} = {COUNTERS[kind]} + ? WHERE id IN"
            " (SELECT DISTINCT post FROM engagement WHERE actor = ? AND kind = ?)",
            (by, actor, kind),
        )

    def follow(self, dids: frozenset[str]) -> None:
        """Let these be the accounts whose repositories are followed; new ones are to be read whole first."""
        rows = self._sql("SELECT a.did, a.id, r.state, r.why FROM repo r JOIN actor a ON a.id = r.actor").fetchall()
        held = {did for did, *_ in rows}
        for did, actor, state, why in rows:
            if did not in dids and (state == SYNCED or (state == PENDING and not why)):
                self._sql("DELETE FROM repo WHERE actor = ?", (actor,))
                self._actors.pop(did, None)
        for did in dids - held:
            self._sql("INSERT INTO repo (actor, state) VALUES (?, ?)", (self.intern(did).id, PENDING))
            self._actors.pop(did, None)

    # Commits

    def commit(self, commit: Commit, received_at: int) -> None:
        """Apply the operations of one commit. `received_at`: microseconds, our clock."""
        known = self.actor(commit.did)
        if known is not None and not self._is_next(commit, known, received_at):
            if commit.rev <= known.rev and (late := self.late.get(commit.did)):
                self._catch_up(commit, late)
            if any(type(op) is PutListItem for op in commit.ops):
                self._list_changed(commit.did)  # the matcher has believed it already: it is compiled anew
            # What an inactive account deletes must not come back with it.
            removed: list[Op] = [op for op in commit.ops if type(op) is Delete]
            if known.active or commit.rev <= known.rev or not removed:
                return
            commit = replace(commit, ops=removed)
        self.late.pop(commit.did, None)
        applied = self.apply(commit, received_at)
        if applied or (known is not None and known.state == SYNCED):
            # The fence: this commit, and any before it, will not be applied again.
            self.advance(self.intern(commit.did), commit)
        if (buffer := self.buffers.get(commit.did)) is not None:
            buffer.append(commit)

    def _catch_up(self, commit: Commit, late: set[tuple[str, str]]) -> None:
        """A repository was read before the stream had brought a post that it likes or answers; now it has.

        Only what the repository held then counts: what it held no more was undone.
        """
        for op in commit.ops:
            if type(op) is PutEngagement and (COLLECTIONS[op.kind], op.rkey) in late:
                self._put_engagement(commit.did, op.kind, op.rkey, op.subject)
            elif type(op) is PutPost and (POST, op.rkey) in late:
                for kind, subject in ((REPLY, op.parent), (QUOTE, op.quote)):
                    if subject is not None:
                        self._put_engagement(commit.did, kind, op.rkey, subject)

    def apply(self, commit: Commit, received_at: int) -> bool:
        """Apply the operations, whatever was applied before; whether any concerned the index."""
        applied = False
        for op in commit.ops:
            if type(op) is PutPost:
                applied |= self._put_post(commit.did, op, event_micros(commit.time, received_at))
            elif type(op) is PutEngagement:
                applied |= self._put_engagement(commit.did, op.kind, op.rkey, op.subject)
            elif type(op) is PutListItem:
                applied |= self._put_list_item(commit.did, op)
            elif type(op) is Delete:
                applied |= self._delete(commit.did, op)
        return applied

    def advance(self, actor: Actor, commit: Commit) -> None:
        """Set how far an account has come."""
        if commit.rev > actor.rev:
            self._sql("UPDATE actor SET rev = ? WHERE id = ?", (commit.rev, actor.id))
            actor.rev = commit.rev
        if actor.state == SYNCED:
            actor.data = commit.proof.data if commit.proof else None
            self._sql("UPDATE repo SET data = ? WHERE actor = ?", (actor.data, actor.id))

    def _is_next(self, commit: Commit, known: Actor, now: int) -> bool:
        """Whether a commit goes on from what is known of its account (A43, A46, A67)."""
        # Sources without proofs split a commit into its operations, which all have its rev (J1). When another source
        # is read then, the whole commit may bring what is still missing of it.
        again = commit.rev == known.rev
        if commit.rev < known.rev or (again and commit.signed and not self.splits):
            self.counts["commit already applied"] += 1
            return False
        if not known.active:
            self.counts["commit of an inactive account"] += 1
            self.desynchronize(commit.did, "it wrote while it was not active", now)
            return False
        proof = commit.proof
        if known.state == SYNCED and proof is not None and not again:
            if proof.since != known.rev:
                broken = "a commit does not follow the last one known"
            elif proof.prev_data is not None and known.data is not None and proof.prev_data != known.data:
                broken = "a commit follows another tree"
            else:
                return True
            self.counts["chain broken"] += 1
            self.desynchronize(commit.did, broken, now)
            return False
        return True

    def identity(self, did: str, now: int) -> None:
        """What could not be read may be read now: the account may have another host, or a document again (A45)."""
        self._sql(
            "UPDATE repo SET due_at = min(due_at, ?), tries = 0 WHERE state IN (?, ?, ?)"
            " AND actor = (SELECT id FROM actor WHERE did = ?)",
            (now, DESYNCHRONIZED, ERROR, UNRESOLVABLE, did),
        )

    def sync(self, event: Sync, now: int) -> None:
        """Apply `#sync`: an account whose repository stands elsewhere than known is read anew (A51)."""
        known, proof = self.actor(event.did), event.proof
        if known is None or proof is None or proof.rev <= known.rev:
            return
        if known.state == SYNCED and known.data == proof.data:
            self._sql("UPDATE actor SET rev = ? WHERE id = ?", (proof.rev, known.id))
            known.rev = proof.rev
        else:
            self.desynchronize(event.did, "#sync names another commit", now)

    def desynchronize(self, did: str, why: str, now: int) -> None:
        """Mark an account whose repository must be read anew ("mark D" of ingest.md). `now`: microseconds."""
        actor = self.intern(did)
        if actor.state in (PENDING, DESYNCHRONIZED):
            return
        self._sql(
            "INSERT INTO repo (actor, state, why, due_at) VALUES (?, ?, ?, ?) ON CONFLICT (actor) DO UPDATE"
            " SET state = excluded.state, why = excluded.why, data = NULL, due_at = max(due_at, excluded.due_at)",
            (actor.id, DESYNCHRONIZED, why[:500], now),
        )
        actor.state, actor.data = DESYNCHRONIZED, None
        self.buffers.pop(did, None)
        self.counts["account desynchronized"] += 1

    def desynchronize_all(self, why: str, now: int) -> int:
        """Mark all accounts whose repositories were read, or are being read just now: events of theirs may be missing.

        Returns how many. `now`: microseconds.
        """
        marked = self._sql(
            "UPDATE repo SET state = ?, why = ?, data = NULL, due_at = max(due_at, ?) WHERE state IN (?, ?)"
            " RETURNING 1",
            (DESYNCHRONIZED, why[:500], now, SYNCED, RESYNCING),
        ).fetchall()
        self.forget()
        self.counts["account desynchronized"] += len(marked)
        return len(marked)

    def _put_post(self, did: str, op: PutPost, event_at: int) -> bool:
        known = self.actor(did)
        row = known and self._sql("SELECT id, sort_at FROM post WHERE actor = ? AND rkey = ?", (known.id, op.rkey)).get
        matches = op.matches
        sort_at = row[1] if row else sort_micros(op.post.created_at, event_at)
        if not row and matches and sort_at < event_at - self._max_age:
            self.counts["post too old to admit"] += 1
            matches = []
        applied = False
        if matches and row:
            self._sql("UPDATE post SET cid = ?, record = ? WHERE id = ?", (op.cid, op.block, row[0]))
            self.admit(row[0], matches)
            self.counts["post changed"] += 1
            applied = True
        elif matches:
            actor = self.intern(did)
            post = self._sql(
                "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (actor.id, op.rkey, op.cid, op.block, sort_at, event_at),
            ).get
            self.admit(post, matches)
            self._sql("UPDATE pin SET gone = 0 WHERE actor = ? AND rkey = ?", (actor.id, op.rkey))
            self.counts["post admitted"] += 1
            applied = True
        elif row:
            self.remove_post(row[0])
            self.counts["post no longer matches"] += 1
            applied = True
        for kind, subject in ((REPLY, op.parent), (QUOTE, op.quote)):
            if subject is not None:
                applied |= self._put_engagement(did, kind, op.rkey, subject)
            elif known is not None:
                # It may have answered or quoted something before it was changed.
                applied |= self._remove_engagement(did, kind, op.rkey)
        return applied

    def replace(self, did: str, snapshot: Snapshot, now: int) -> None:
        """Make the rows of an account equal to its repository: what it holds comes, all else goes (B6)."""
        actor = self.intern(did)
        puts = {put.rkey: (put, event_at) for put, event_at in zip(snapshot.puts, snapshot.event_at, strict=True)}
        held = dict(self._sql("SELECT rkey, cid FROM post WHERE actor = ?", (actor.id,)).fetchall())
        wanted = {(op.kind, op.rkey): op.subject for op in snapshot.engagements}
        for put, _ in puts.values():
            wanted |= {
                (kind, put.rkey): uri for kind, uri in ((REPLY, put.parent), (QUOTE, put.quote)) if uri is not None
            }
        for rkey in held:
            if rkey not in puts or not puts[rkey][0].matches:
                self._delete_post(did, rkey)
        edges = self._sql("SELECT kind, rkey FROM engagement WHERE actor = ?", (actor.id,)).fetchall()
        for kind, rkey in edges:
            if (kind, rkey) not in wanted:
                self._remove_engagement(did, kind, rkey)
        for rkey, (put, event_at) in puts.items():
            if held.get(rkey) != put.cid:
                self._put_post(did, put, event_at)
        for (kind, rkey), subject in wanted.items():
            self._put_engagement(did, kind, rkey, subject)
        for rkey, gone in self._sql("SELECT rkey, gone FROM pin WHERE actor = ?", (actor.id,)).fetchall():
            if bool(gone) == (rkey in snapshot.keys):
                self._sql("UPDATE pin SET gone = ? WHERE actor = ? AND rkey = ?", (1 - gone, actor.id, rkey))
        members = {member.rkey: member for member in snapshot.members}
        items = self._sql("SELECT rkey, list, subject FROM list_item WHERE owner = ?", (did,)).fetchall()
        for rkey, _, _ in items:
            if rkey not in members:
                self._delete(did, Delete(LIST_ITEM, rkey))
        said = {(rkey, uri, subject) for rkey, uri, subject in items}
        for member in members.values():
            if (member.rkey, member.list, member.subject) not in said:
                self._put_list_item(did, member)
        self._sql("UPDATE actor SET rev = ? WHERE id = ?", (snapshot.rev, actor.id))
        actor.rev = snapshot.rev
        if snapshot.late:
            self.late[did] = snapshot.late
        self.counts["repository read"] += 1

    def admit(self, post: int, matches: list[Match], judged: Collection[int] | None = None) -> bool:
        """Make the feed items of a post equal to `matches`; returns whether any came or went.

        `judged`: the communities whose items may go (None: all).
        """
        wanted = {match.community: "\n".join(match.evidences) for match in matches}
        held = dict(self._sql("SELECT community, evidence FROM feed_item WHERE post = ?", (post,)))
        for community in held.keys() - wanted.keys():
            if judged is not None and community not in judged:
                continue
            self._sql("DELETE FROM feed_item WHERE post = ? AND community = ?", (post, community))
        for community, evidence in wanted.items():
            if held.get(community) != evidence:
                self._sql(_PUT_ITEM, (community, evidence, post))
        return held.keys() != wanted.keys()

    def remove_post(self, post: int) -> None:
        """Take a post out, with its items and the engagement of others with it."""
        self._sql("DELETE FROM feed_item WHERE post = ?", (post,))
        self._sql("DELETE FROM engagement WHERE post = ?", (post,))
        self._sql("DELETE FROM post WHERE id = ?", (post,))

    # Engagement

    def _put_engagement(self, did: str, kind: int, rkey: str, subject: str) -> bool:
        post = self.find_post(subject)
        if post is None:
            return self._remove_engagement(did, kind, rkey)
        actor = self.intern(did)
        held = self._engaged(post, kind, actor.id)
        if (rkey,) in held:
            return True
        try:
            self._sql(_PUT_EDGE, (actor.id, kind, rkey, post))
        except apsw.ConstraintError:
            # The record was there before, and named another post.
            self._remove_engagement(did, kind, rkey)
            self._sql(_PUT_EDGE, (actor.id, kind, rkey, post))
        if not held and actor.shown:
            self._count(post, kind, 1)
        self.counts[COUNTERS[kind]] += 1
        return True

    def _remove_engagement(self, did: str, kind: int, rkey: str) -> bool:
        actor = self.actor(did)
        if actor is None:
            return False
        query = "DELETE FROM engagement WHERE actor = ? AND kind = ? AND rkey = ? RETURNING post"
        post = self._sql(query, (actor.id, kind, rkey)).get
        if post is None:
            return False
        # Two like records of one account count once: the count falls with the last of them.
        if actor.shown and not self._engaged(post, kind, actor.id):
            self._count(post, kind, -1)
        self.counts[COUNTERS[kind] + " undone"] += 1
        return True

    def _engaged(self, post: int, kind: int, actor: int) -> list[tuple[str]]:
        """The record keys of what the account has of this kind for the post: each counts, all together once."""
        query = "SELECT rkey FROM engagement WHERE post = ? AND kind = ? AND actor = ?"
        return self._sql(query, (post, kind, actor)).fetchall()

    def _count(self, post: int, kind: int, by: int) -> None:
        self._sql(_COUNT[kind], (by, post))

    def find_post(self, uri: str) -> int | None:
        """The id of the indexed post with this URI."""
        parts = POST_URI.fullmatch(uri)
        actor = self.actor(parts[1]) if parts else None
        if not parts or actor is None:
            return None
        post: int | None = self._sql("SELECT id FROM post WHERE actor = ? AND rkey = ?", (actor.id, parts[2])).get
        return post

    # Deletions and lists

    def _delete(self, did: str, op: Delete) -> bool:
        if op.collection == POST:
            return self._delete_post(did, op.rkey)
        if op.collection == LIST_ITEM:
            gone = self._sql("DELETE FROM list_item WHERE owner = ? AND rkey = ? RETURNING 1", (did, op.rkey)).get
        elif op.collection == LIST:
            query = "DELETE FROM list_item WHERE list = ? RETURNING 1"
            gone = self._sql(query, (f"at://{did}/{LIST}/{op.rkey}",)).get
        else:
            return self._remove_engagement(did, ENGAGEMENTS[op.collection], op.rkey)
        if gone:
            self._list_changed(did)
        return gone is not None

    def _list_changed(self, owner: str) -> None:
        """Note it in the same transaction, for the process may end before the stored posts were looked at again."""
        self.list_changes[owner] += 1
        self._sql("INSERT INTO meta (key, value) VALUES (?, '') ON CONFLICT DO NOTHING", (LISTS_CHANGED,))

    def _delete_post(self, did: str, rkey: str) -> bool:
        actor = self.actor(did)
        if actor is None:
            return False
        applied = self._remove_engagement(did, REPLY, rkey) | self._remove_engagement(did, QUOTE, rkey)
        pinned = self._sql(
            "UPDATE pin SET gone = 1 WHERE actor = ? AND rkey = ? AND gone = 0 RETURNING 1", (actor.id, rkey)
        ).fetchall()
        post = self._sql("SELECT id FROM post WHERE actor = ? AND rkey = ?", (actor.id, rkey)).get
        if post is not None:
            self.remove_post(post)
            self.counts["post deleted"] += 1
        return applied or bool(pinned) or post is not None

    def _put_list_item(self, did: str, op: PutListItem) -> bool:
        if not op.list.startswith(f"at://{did}/"):
            return False  # only its owner adds to a list
        self._sql(
            "INSERT INTO list_item (owner, rkey, list, subject) VALUES (?, ?, ?, ?) ON CONFLICT (owner, rkey)"
            " DO UPDATE SET list = excluded.list, subject = excluded.subject",
            (did, op.rkey, op.list, op.subject),
        )
        self._list_changed(did)
        return True
