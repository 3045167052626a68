"""Whether an account wrote what came in its name: the checks of a `#commit`, a `#sync` and the proof of a record.

Signature, blocks and tree are held against one another (https://atproto.com/specs/sync); whether it goes on from what
is known of the account is for those who know that. Reasons are short and fixed. Pure.
"""

from dataclasses import dataclass
from typing import Any

from firehose.car import CarError, is_block_cid, is_record_cid, read_all_blocks
from firehose.commit import CommitError, SignedCommit, read_signed_commit
from firehose.mst import Change, MissingNodeError, find, find_all, invert
from firehose.mst_node import MstError
from xrpc.key import PublicKey

MAX_OPS = 200
MAX_SYNC = 10_000
"""Bytes of the blocks of a `#sync`."""


class VerifyError(Exception):
    """The event is not believed; the message is the reason."""


class SignatureError(VerifyError):
    """The signature is not by this key."""


class InversionError(VerifyError):
    """The account signed it, but the operations do not lead from the earlier tree to this one, or it cannot be told."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a signed commit says. `data`: root of its tree; `since`, `prev_data`: rev and root before it, if stated."""

    did: str
    rev: str
    data: bytes
    since: str | None = None
    prev_data: bytes | None = None


def verify_commit(payload: dict[str, Any], key: PublicKey) -> Verified:
    """What the signed commit of a `#commit` payload says, when everything in it is borne out by the account's `key`.

    Records and the form of paths are not looked at: a bad one concerns its operation only. Raises VerifyError: what
    the account never signed, or signed in a form that the protocol does not know. Without `prevData`, as older
    producers write, the operations are held against the tree after them only.
    """
    if payload.get("tooBig") is True or payload.get("rebase") is True:
        raise InversionError("commit of a removed kind (tooBig, rebase)")
    root, since, prev_data = payload.get("commit"), payload.get("since"), payload.get("prevData")
    if since is not None and type(since) is not str:
        raise VerifyError("commit malformed")
    if prev_data is not None and not is_record_cid(prev_data):
        raise VerifyError("commit malformed")
    changes = _read_ops(payload.get("ops"), chained=prev_data is not None)
    named, blocks = _read_car(payload.get("blocks"))
    if named != root:
        raise VerifyError("CAR root is not the commit")
    commit = _read_commit(blocks, named, payload.get("repo"))
    if commit.rev != payload.get("rev"):
        raise VerifyError("commit has another rev")
    _check_signature(commit, key)
    for change in changes:
        if change.cid is not None and change.cid not in blocks:
            raise VerifyError("record block missing")
    try:
        if prev_data is None:
            _check_after(commit.data, changes, blocks)
        elif invert(commit.data, changes, blocks) != prev_data:
            raise InversionError("operations do not lead to prevData")
    except MissingNodeError as error:
        raise InversionError(str(error)) from error
    except MstError as error:
        raise VerifyError(str(error)) from error
    return Verified(commit.did, commit.rev, commit.data, since, prev_data)


def verify_sync(payload: dict[str, Any], key: PublicKey) -> Verified:
    """What the signed commit of a `#sync` payload says. Raises VerifyError."""
    car = payload.get("blocks")
    if type(car) is bytes and len(car) > MAX_SYNC:
        raise VerifyError("blocks too large")
    root, blocks = _read_car(car)
    commit = _read_commit(blocks, root, payload.get("did"))
    if commit.rev != payload.get("rev"):
        raise VerifyError("commit has another rev")
    _check_signature(commit, key)
    return Verified(commit.did, commit.rev, commit.data)


def verify_proof(car: bytes, did: str, path: str, key: PublicKey) -> bytes | None:
    """The block of the record at `path` that com.atproto.sync.getRecord proves, or None where it proves that there is
    none. Raises VerifyError.
    """
    root, blocks = _read_car(car)
    commit = _read_commit(blocks, root, did)
    _check_signature(commit, key)
    try:
        cid = find(commit.data, path, blocks)
    except MstError as error:
        raise VerifyError(str(error)) from error
    if cid is None:
        return None
    if cid not in blocks:
        raise VerifyError("record block missing")
    return blocks[cid]


def _read_car(car: object) -> tuple[bytes, dict[bytes, bytes]]:
    if type(car) is not bytes:
        raise VerifyError("commit malformed")
    try:
        return read_all_blocks(car)
    except CarError as error:
        raise VerifyError(str(error)) from error


def _read_commit(blocks: dict[bytes, bytes], root: bytes, did: object) -> SignedCommit:
    """The commit at the root of a CAR, of this account."""
    if root not in blocks:
        raise VerifyError("commit block missing")
    try:
        commit = read_signed_commit(blocks[root])
    except CommitError as error:
        raise VerifyError(str(error)) from error
    if commit.did != did:
        raise VerifyError("commit is of another account")
    return commit


def _check_signature(commit: SignedCommit, key: PublicKey) -> None:
    if not commit.is_signed_by(key):
        if commit.is_signed_high_by(key):
            raise VerifyError("signature has a high s")
        raise SignatureError("signature is not the account's")


def _read_ops(ops: object, *, chained: bool) -> list[Change]:
    """The operations; each of them says of itself what it must. `chained`: whether they name what was there before."""
    if type(ops) is not list:
        raise VerifyError("commit malformed")
    if len(ops) > MAX_OPS:
        raise VerifyError("too many ops")
    changes = []
    for op in ops:
        if type(op) is not dict or type(path := op.get("path")) is not str:
            raise VerifyError("op malformed")
        action, cid, prev = op.get("action"), op.get("cid"), op.get("prev")
        if action not in ("create", "update", "delete"):
            raise VerifyError("op of unknown action")
        if (cid is None) is not (action == "delete") or (prev is not None and action == "create"):
            raise VerifyError("op contradicts itself")
        if (cid is not None and not is_block_cid(cid)) or (prev is not None and not is_block_cid(prev)):
            raise VerifyError("op cid malformed")
        if chained and prev is None and action != "create":
            raise VerifyError("op without prev")
        changes.append(Change(path, cid, prev))
    if len({change.path for change in changes}) < len(changes):
        raise VerifyError("path named twice")
    return changes


def _check_after(data: bytes, changes: list[Change], blocks: dict[bytes, bytes]) -> None:
    """Hold the operations against the tree after them: what changed in it is enough to tell."""
    found = find_all(data, (change.path for change in changes), blocks)
    for change, cid in zip(changes, found, strict=True):
        if cid != change.cid:
            raise VerifyError("deleted record is in the tree" if change.cid is None else "op is not in the tree")
