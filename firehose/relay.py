"""Frames of `com.atproto.sync.subscribeRepos`, as a relay or a PDS sends them, read into events. Pure."""

from typing import Any

from firehose.events import Account, Event, Identity, Message, Sync
from firehose.frames import read_frame, sequence
from firehose.ops import Commit, Scope
from firehose.triage import read_commit


def read_message(data: bytes, scope: Scope) -> Message:
    """A frame; its position is its seq. Raises FrameError, or StreamError for an error frame."""
    kind, payload = read_frame(data)
    return kind, payload, sequence(payload)


def read_event(kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
    """What matters of a message that `read_message` has read."""
    if kind == "#commit":
        return _read_commit(payload, seq, scope)
    did = payload.get("did")
    if type(did) is not str:
        return None
    if kind == "#account":
        scope.on_identity(did)  # it may be at another host now
        return read_account(payload.get("active"), payload.get("status"), did, seq, scope)
    if kind == "#sync":
        rev = payload.get("rev")
        if type(rev) is not str or rev > scope.latest_rev:
            scope.dropped["rev in the future" if type(rev) is str else "sync malformed"] += 1
        elif did in scope.actors:
            return Sync(seq, did)
    elif kind == "#identity":
        scope.on_identity(did)
        if did in scope.actors:
            return Identity(seq, did)
    return None


def _read_commit(payload: dict[str, Any], seq: int, scope: Scope) -> Commit | None:
    commit = read_commit(payload, seq, scope)
    if commit is None:
        did, rev = payload.get("repo"), payload.get("rev")
        if not scope.full or type(did) is not str or did not in scope.full or type(rev) is not str:
            return None
        if rev > scope.latest_rev:
            scope.dropped["rev in the future"] += 1
            return None
        commit = Commit(seq, did, rev, "", [])  # it takes the account's chain further
    scope.expect(commit)
    return commit


def read_account(active: object, status: object, did: str, seq: int, scope: Scope) -> Account | None:
    """How an account stands; None when no row points to it. Counts what is malformed. Any source's word."""
    if type(active) is not bool or not (status is None or type(status) is str):
        scope.dropped["account malformed"] += 1
        return None
    if did not in scope.actors:
        return None
    return Account(seq, did, active, status[:64] if type(status) is str and status else None)
