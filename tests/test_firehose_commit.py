"""The signed commit: what it must say, in which form, and by whose key (A63, S87, F4)."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cbrrr import CID, decode_dag_cbor, encode_dag_cbor
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.commit import CommitError, SignedCommit, read_signed_commit
from tests.bad_commits import JSON_LIKE
from tests.world import World
from tests.world.car import cid_of
from tests.world.keys import Curve, did_key, high_s
from xrpc.key import parse_did_key

CURVES: tuple[Curve, ...] = ("k256", "p256")
ALICE = World().account("alice", quiet=True)
FIELDS: dict[str, Any] = decode_dag_cbor(ALICE.repo.commit_block)  # type: ignore[assignment]


@pytest.mark.parametrize("curve", CURVES)
def test_a_commit_is_read_and_verifies(curve: Curve) -> None:
    world = World()
    alice, bob = world.account("alice", curve), world.account("bob", curve)
    alice.post("Hello")
    commit = read_signed_commit(alice.repo.commit_block)
    assert (commit.did, commit.rev, commit.data) == (alice.did, alice.repo.rev, bytes(alice.repo.tree.cid))
    assert commit.prev is None and len(commit.sig) == 64
    assert commit.is_signed_by(parse_did_key(did_key(alice.key)))
    assert not commit.is_signed_by(parse_did_key(did_key(bob.key)))
    assert not commit.is_signed_by(parse_did_key(did_key(world.account("carol", "p256").key)))


@pytest.mark.parametrize("curve", CURVES)
def test_s87_a_high_s_is_refused_and_known_as_such(curve: Curve) -> None:
    alice = World().account("alice", curve)
    key = alice.key
    alice.commit(sign=lambda message: high_s(key.sign(message), key))
    commit = read_signed_commit(alice.repo.commit_block)
    public = parse_did_key(did_key(key))
    assert not commit.is_signed_by(public) and commit.is_signed_high_by(public)
    alice.commit(sign=lambda message: high_s(key.sign(message + b"x"), key))
    commit = read_signed_commit(alice.repo.commit_block)
    assert not commit.is_signed_by(public) and not commit.is_signed_high_by(public)


def test_f4_signatures(shared_data: Path) -> None:
    """What is signed there is no commit, so it is put in the place of one."""
    cases = json.loads((shared_data / "interop/crypto/signature-fixtures.json").read_text())
    assert len(cases) == 6
    for case in cases:
        message, sig = (base64.b64decode(case[name] + "==") for name in ("messageBase64", "signatureBase64"))
        key = parse_did_key(case["publicKeyDid"])
        commit = SignedCommit("did:web:a.example", "2222222222222", b"", None, sig, message)
        assert commit.is_signed_by(key) is case["validSignature"], case["comment"]
        assert commit.is_signed_high_by(key) is ("high-s" in case["tags"]), case["comment"]


def der(message: bytes) -> bytes:
    compact = ALICE.key.sign(message)
    return encode_dss_signature(int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big"))


def changed(**changes: Any) -> bytes:
    """A commit with some fields changed, signed again."""
    return ALICE.repo.sign(str(ALICE.repo.rev), changes)


def without(name: str) -> bytes:
    return encode_dag_cbor({key: value for key, value in FIELDS.items() if key != name})


def twice(block: bytes) -> bytes:
    """The did a second time."""
    did = block[1 : block.index(b"crev")]
    return bytes((block[0] + 1,)) + did + block[1:]


RAW = CID.cidv1_raw_sha256_32_from(b"")
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "version 2": (lambda: changed(version=2), "commit version is not 3"),
    "version 4": (lambda: changed(version=4), "commit version is not 3"),
    "version 3.0": (lambda: changed(version=3.0), "commit version is not 3"),
    "version true": (lambda: changed(version=True), "commit version is not 3"),
    "no version": (lambda: without("version"), "commit version is not 3"),
    "prev is a commit": (lambda: changed(prev=cid_of(b"")), "commit prev is not null"),
    "no prev": (lambda: without("prev"), "commit prev is not null"),
    "no sig": (lambda: without("sig"), "commit signature is not 64 bytes"),
    "DER": (lambda: ALICE.repo.sign(str(ALICE.repo.rev), sign=der), "commit signature is not 64 bytes"),
    "63 bytes": (lambda: ALICE.repo.sign("2222222222222", sign=lambda _: bytes(63)),
                 "commit signature is not 64 bytes"),
    "sig a text": (lambda: encode_dag_cbor(FIELDS | {"sig": "x" * 64}), "commit signature is not 64 bytes"),
    "data null": (lambda: changed(data=None), "commit data malformed"),
    "data bytes": (lambda: changed(data=bytes(FIELDS["data"])), "commit data malformed"),
    "data raw": (lambda: changed(data=RAW), "commit data malformed"),
    "no data": (lambda: without("data"), "commit data malformed"),
    "rev a number": (lambda: changed(rev=1), "commit rev malformed"),
    "rev too short": (lambda: changed(rev="222222222222"), "commit rev malformed"),
    "rev with its top bit set": (lambda: changed(rev="z222222222222"), "commit rev malformed"),
    "no rev": (lambda: without("rev"), "commit rev malformed"),
    "did a handle": (lambda: changed(did="alice.test"), "commit did malformed"),
    "no did": (lambda: without("did"), "commit did malformed"),
    "a list": (lambda: encode_dag_cbor([]), "commit block is no map"),
    "null": (lambda: b"\xf6", "commit block is no map"),
    "empty": (lambda: b"", "commit block unreadable"),
    "a byte more": (lambda: ALICE.repo.commit_block + b"\x00", "commit block unreadable"),
    "a byte less": (lambda: ALICE.repo.commit_block[:-1], "commit block unreadable"),
    "a key twice": (lambda: twice(ALICE.repo.commit_block), "commit block unreadable"),
    "a number longer than it need be": (lambda: ALICE.repo.commit_block[:-1] + b"\x18\x03", "commit block unreadable"),
    "keys not sorted": (lambda: b"\xa2grevisedaadida1", "commit block unreadable"),
    "deep": (lambda: b"\x81" * 9_000 + b"\xf6", "commit block"),
    "large": (lambda: changed(note="x" * 10_000), "commit block too large"),
}  # fmt: skip


@pytest.mark.parametrize(("block", "reason"), BAD.values(), ids=BAD)
def test_a63_no_commit(block: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(CommitError, match=f"^{reason}"):
        read_signed_commit(block())


def test_a21_a_field_that_is_not_known_is_signed_with_the_rest() -> None:
    commit = read_signed_commit(changed(note="x"))
    assert commit.is_signed_by(parse_did_key(did_key(ALICE.key)))
    fields: Any = decode_dag_cbor(changed(note="x"))
    forged = read_signed_commit(encode_dag_cbor(fields | {"note": "y"}))
    assert not forged.is_signed_by(parse_did_key(did_key(ALICE.key)))


@given(st.integers(0, len(ALICE.repo.commit_block) - 1), st.integers(1, 255))
def test_s87_no_byte_of_it_can_be_changed(at: int, by: int) -> None:
    block = bytearray(ALICE.repo.commit_block)
    block[at] ^= by
    try:
        commit = read_signed_commit(bytes(block))
    except CommitError:
        return
    assert not commit.is_signed_by(parse_did_key(did_key(ALICE.key)))


@settings(max_examples=50)
@given(st.binary(max_size=300) | JSON_LIKE.map(encode_dag_cbor))
def test_any_bytes(block: bytes) -> None:
    with pytest.raises(CommitError):
        read_signed_commit(block)
