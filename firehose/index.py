"""Commits and whole repositories into rows: the fence and the chain. Everything here runs inside the caller's
transaction.

Each function may be called again with what it was already given and then changes nothing: a commit is applied only when
its rev is above the account's last one (the fence).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from firehose.accounts import Accounts
from firehose.actors import Actor
from firehose.events import Sync
from firehose.noted import COLLECTIONS, Noted
from firehose.ops import LIST, LIST_ITEM, POST, QUOTE, REPLY, Commit, Delete, Op
from firehose.snapshot import Snapshot
from firehose.times import tid_micros
from models.database import Connection
from models.repos import BEGUN, DESYNCHRONIZED, PENDING, SYNCED

MOST_NOTED, MOST_NOTED_BYTES = 2000, 16 * 1024 * 1024
"""Commits, and bytes of what they say, that are noted of an account while its repository is read (B6)."""


class Index(Accounts):
    """Applies events to the tables. `forget` must be called when a transaction that it wrote in was rolled back."""

    def __init__(self, connection: Connection, max_age: int) -> None:
        """`max_age`: microseconds; a post older than that at its event is not admitted."""
        super().__init__(connection, max_age)
        self.buffers: dict[str, Noted] = {}
        """What was applied of accounts whose repositories are being read just now, since that began."""

    def forget(self) -> None:
        """Drop what is cached of the rows, and what was noted for repositories that are being read."""
        self._actors.clear()
        self.buffers.clear()
        self.admissions.directory.forget()

    def forget_account(self, actor: int) -> None:
        """Drop what is cached of one account, after its rows were changed behind this one's back."""
        (did,) = self._sql("SELECT did FROM actor WHERE id = ?", (actor,)).fetchall()[0]
        self._actors.pop(did, None)
        self.buffers.pop(did, None)

    def commit(self, commit: Commit, received_at: int) -> None:
        """Apply the operations of one commit. `received_at`: microseconds, our clock."""
        known = self.actor(commit.did)
        if known is not None and not self._is_next(commit, known, received_at):
            if commit.makes_members:
                self._list_changed(commit.did)  # the matcher has believed it already
            if known.active:
                # The repository may have been read with it; what that tells commands nothing.
                self.note_commands(commit, received_at)
            # What an inactive account deletes must not come back with it.
            removed: list[Op] = [op for op in commit.ops if type(op) is Delete]
            if known.active or known.ahead or commit.rev <= known.rev or not removed:
                return
            commit = replace(commit, ops=removed)
        applied = self.apply(commit, received_at)
        if applied or (known is not None and known.state == SYNCED):
            # The fence: this commit, and any before it, will not be applied again.
            self.advance(self.intern(commit.did), commit)
        if (buffer := self.buffers.get(commit.did)) is not None:
            buffer.add(commit)
            if len(buffer) > MOST_NOTED or buffer.size > MOST_NOTED_BYTES:
                self.desynchronize(commit.did, "it wrote too much while its repository was read", received_at)

    def disbelieve(self, did: str) -> None:
        """The matcher has believed a commit to the account's lists that was not proven: they are taken over anew."""
        self._list_changed(did)

    def advance(self, actor: Actor, commit: Commit) -> None:
        """Set how far an account has come."""
        if commit.rev <= actor.rev and not (actor.split and commit.signed):
            return
        actor.rev, actor.split = commit.rev, not commit.signed
        self._sql("UPDATE actor SET rev = ?, split = ? WHERE id = ?", (actor.rev, actor.split, actor.id))
        if actor.state == SYNCED:
            actor.data = commit.proof.data if commit.proof else None
            self._sql("UPDATE repo SET data = ? WHERE actor = ?", (actor.data, actor.id))

    def _is_next(self, commit: Commit, known: Actor, now: int) -> bool:
        """Whether a commit goes on from what is known of its account (A43, A46, A67)."""
        # Sources without proofs split a commit into its operations, which all have its rev (J1). When another source
        # is read then, the whole commit may bring what is still missing of it.
        again = commit.rev == known.rev
        if commit.rev < known.rev or (again and commit.signed and not known.split):
            self.counts["commit already applied"] += 1
            return False
        if not known.active and not known.ahead:  # what it did before the host said so may still come, and stays hidden
            self.counts["commit of an inactive account"] += 1
            self.desynchronize(commit.did, "it wrote while it was not active", now)
            return False
        proof = commit.proof
        if proof is not None and proof.since is not None and proof.prev_data is None:
            self.counts["commit without prevData"] += 1
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
        """Mark an account whose repository must be read anew. `now`: microseconds."""
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
            (DESYNCHRONIZED, why[:500], now, *BEGUN),
        ).fetchall()
        self.forget()
        self.counts["account desynchronized"] += len(marked)
        return len(marked)

    def replace(self, did: str, snapshot: Snapshot, now: int) -> Iterator[None]:
        """Make the rows of an account equal to its repository: what it holds comes, all else goes (B6).

        In steps, between which the transaction may end and the stream go on: what is older than the repository is
        fenced from the first step on, what is newer must be noted, is left alone, and applied again behind the last.
        The keys of its records tell when it did what it did. `now`: microseconds.
        """
        noted = self.buffers.get(did) or Noted()

        def newer(collection: str, rkey: str) -> bool:
            return noted.wrote(collection, rkey, snapshot.rev)

        actor = self._fence(did, snapshot.rev)
        if actor.late:
            self.engagement.late.drop_all(actor)
        yield from self._replace_records(did, actor, snapshot, newer, now)
        puts = {put.rkey: (put, event_at) for put, event_at in zip(snapshot.puts, snapshot.event_at, strict=True)}
        held = dict(self._sql("SELECT rkey, cid FROM post WHERE actor = ?", (actor.id,)).fetchall())
        wanted = {(op.kind, op.rkey): op.subject for op in snapshot.engagements}
        for put, _ in puts.values():
            wanted |= {
                (kind, put.rkey): uri for kind, uri in ((REPLY, put.parent), (QUOTE, put.quote)) if uri is not None
            }
        late = {(op.kind, op.rkey): op.subject for op in snapshot.late}
        wanted |= late
        for rkey in held:
            # One that no word of its own speaks for may be submitted, or approved.
            kept = rkey in puts and (self.matches(did, puts[rkey][0]) or puts[rkey][0].stands)
            if not kept and not newer(POST, rkey):
                self._delete_post(did, rkey, snapshot.rev)
                yield
        edges = self._sql("SELECT kind, rkey FROM engagement WHERE actor = ?", (actor.id,)).fetchall()
        for kind, rkey in edges:
            if (kind, rkey) not in wanted and not newer(COLLECTIONS.get(kind, POST), rkey):
                self.engagement.remove(did, kind, rkey)
                yield
        latest = min(tid_micros(snapshot.rev), now)
        for rkey, (put, event_at) in puts.items():
            if newer(POST, rkey):
                continue
            if held.get(rkey) == put.cid:
                # It may belong elsewhere too by now: its author has joined, or submitted it.
                self._judge_again(actor, rkey, now)
            else:
                # Its key may be older than what stands under it now.
                self._put_post(did, put, event_at, now, latest)
            yield
        for rkey in sorted(self.tagged.pop(did, set()) & puts.keys()):
            self.join_by_tag(did, puts[rkey][0], now)
        for (kind, rkey), subject in wanted.items():
            if newer(COLLECTIONS.get(kind, POST), rkey):
                continue
            self.engagement.put(did, kind, rkey, subject, min(tid_micros(rkey), now))
            if (kind, rkey) in late:
                self.engagement.expect(did, kind, rkey, subject, now)
            yield
        for rkey, gone in self._sql("SELECT rkey, gone FROM pin WHERE actor = ?", (actor.id,)).fetchall():
            if bool(gone) == (rkey in snapshot.keys) and not newer(POST, rkey):
                self._sql("UPDATE pin SET gone = ? WHERE actor = ? AND rkey = ?", (1 - gone, actor.id, rkey))
        members = {member.rkey: member for member in snapshot.members}
        items = self._sql("SELECT rkey, list, subject FROM list_item WHERE owner = ?", (did,)).fetchall()
        for rkey, _, _ in items:
            if rkey not in members and not newer(LIST_ITEM, rkey):
                self._delete(did, Delete(LIST_ITEM, rkey), snapshot.rev)
                yield
        said = {(rkey, uri, subject) for rkey, uri, subject in items}
        for member in members.values():
            list_rkey = member.list.rpartition("/")[2]
            if newer(LIST_ITEM, member.rkey) or newer(LIST, list_rkey):
                continue
            if (member.rkey, member.list, member.subject) not in said:
                self._put_list_item(did, member)
                yield
        self._fence(did, snapshot.rev)  # what came meanwhile is applied anew
        self.counts["repository read"] += 1

    def _replace_records(
        self, did: str, actor: Actor, snapshot: Snapshot, newer: Callable[[str, str], bool], now: int
    ) -> Iterator[None]:
        """Make what the account says of communities equal to its repository."""
        query = "SELECT collection, rkey FROM declaration WHERE actor = ? AND gone = 0"
        for collection, rkey in self._sql(query, (actor.id,)).fetchall():
            if (collection, rkey) not in snapshot.told and not newer(collection, rkey):
                self._delete_record(did, collection, rkey, now)
                yield
        for put in snapshot.said:
            if not newer(put.collection, put.rkey):
                self._put_record(did, put, now)
                yield

    def _fence(self, did: str, rev: str) -> Actor:
        """Let nothing be applied of an account up to this rev, and anything above it."""
        actor = self.intern(did)
        self._sql("UPDATE actor SET rev = ?, split = 0 WHERE id = ?", (rev, actor.id))
        actor.rev, actor.split = rev, False
        return actor
