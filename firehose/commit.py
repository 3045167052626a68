"""The signed commit of a repository (https://atproto.com/specs/repository, version 3)."""

from dataclasses import dataclass
from typing import Any

from cbrrr import StrictCID, decode_dag_cbor, encode_dag_cbor

from firehose.car import is_record_cid
from xrpc.key import PublicKey, verify
from xrpc.syntax import is_did, is_tid

MAX_COMMIT = 10_000
"""Bytes; more than any commit block has."""


class CommitError(Exception):
    """It is no signed commit; the message is the reason."""


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """`data`: CID of the root of the tree; `unsigned`: the bytes that `sig` signs; `prev`: always None in version 3."""

    did: str
    rev: str
    data: bytes
    prev: None
    sig: bytes
    unsigned: bytes

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the signature is the key's, with a low s."""
        return verify(key, self.unsigned, self.sig, low_s=True)

    def is_signed_high_by(self, key: PublicKey) -> bool:
        """Whether the signature is the key's but for a high s, which commits may not have."""
        return not self.is_signed_by(key) and verify(key, self.unsigned, self.sig, low_s=False)


def read_signed_commit(block: bytes) -> SignedCommit:
    """The commit of a block. Raises CommitError; the signature is not looked at."""
    if len(block) > MAX_COMMIT:
        raise CommitError("commit block too large")
    try:
        fields: Any = decode_dag_cbor(block, cid_ctor=StrictCID)
    except (ValueError, RecursionError) as error:
        raise CommitError("commit block unreadable") from error
    if type(fields) is not dict:
        raise CommitError("commit block is no map")
    if type(version := fields.get("version")) is not int or version != 3:
        raise CommitError("commit version is not 3")
    did, rev, data, sig = fields.get("did"), fields.get("rev"), fields.get("data"), fields.pop("sig", None)
    if type(did) is not str or not is_did(did):
        raise CommitError("commit did malformed")
    if type(rev) is not str or not is_tid(rev):
        raise CommitError("commit rev malformed")
    if type(data) is not StrictCID or not is_record_cid(data.cid_bytes):
        raise CommitError("commit data malformed")
    if "prev" not in fields or fields["prev"] is not None:
        raise CommitError("commit prev is not null")
    if type(sig) is not bytes or len(sig) != 64:
        raise CommitError("commit signature is not 64 bytes")
    # The decoder takes canonical bytes only, so what it read is written as it was.
    return SignedCommit(did, rev, data.cid_bytes, None, sig, encode_dag_cbor(fields, cid_type=StrictCID))
