"""What an account wrote is told from what it did not: real commits, and every way to be wrong (A60-A68, S85-S91)."""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cbrrr import CID, encode_dag_cbor
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.car import read_all_blocks
from firehose.frames import read_frame
from firehose.mst_node import read_node
from firehose.verify import (
    InversionError,
    SignatureError,
    Verified,
    VerifyError,
    verify_commit,
    verify_proof,
    verify_sync,
)
from tests.bad_commits import JSON_LIKE, commit_blocks, longer_varint, recar
from tests.consumer import blocks_of
from tests.world import Account, World, Write, frames, mst
from tests.world.car import cid_of, varint, write_car
from tests.world.keys import Curve, did_key, high_s
from xrpc.key import PublicKey, parse_did_key, parse_verification_method

Payload = dict[str, Any]
CURVES: tuple[Curve, ...] = ("k256", "p256")


def path_of(layer: int, after: int) -> str:
    """A path of the layer, in the midst of those that an account has."""
    return next(path for n in range(after, 9999) if mst.height(path := f"a.b.c/{n:05}x") == layer)


KEPT, GONE, NEW = path_of(0, 50), path_of(1, 100), path_of(1, 200)


def as_read(payload: Payload) -> Payload:
    """The payload as it comes out of a frame."""
    return read_frame(frames.message("#commit", {"seq": 1, "time": "2026-01-02T03:04:05Z"} | payload))[1]


def key_of(account: Account) -> PublicKey:
    return parse_did_key(did_key(account.key))


def account(name: str = "alice", curve: Curve = "k256", size: int = 300) -> Account:
    """An account with some records, and those that `writes` change."""
    found = World().account(name, curve, quiet=True)
    paths = [f"{collection}/{n:05}" for collection in ("a.b.c", "x.y.z") for n in range(size)]
    found.commit(*(Write("create", path, {"of": path}) for path in (KEPT, GONE, *paths)))
    return found


def writes() -> list[Write]:
    return [
        Write("create", NEW, {"$type": "a.b.c", "text": "new"}),
        Write("update", KEPT, {"$type": "a.b.c", "text": "changed"}),
        Write("delete", GONE),
    ]


ALICE = account()
ALICE_SINCE, ALICE_BEFORE = ALICE.repo.rev, ALICE.repo.tree
GOOD = ALICE.commit(*writes())
KEY = key_of(ALICE)
VERIFIED = Verified(ALICE.did, str(ALICE.repo.rev), bytes(ALICE.repo.tree.cid), ALICE_SINCE, bytes(ALICE_BEFORE.cid))


def refused(payload: Payload, key: PublicKey = KEY) -> VerifyError:
    with pytest.raises(VerifyError) as caught:
        verify_commit(as_read(payload), key)
    return caught.value


def assert_refused(payload: Payload, reason: str, kind: type[VerifyError] = VerifyError, key: PublicKey = KEY) -> None:
    error = refused(payload, key)
    assert (str(error), type(error)) == (reason, kind)


# The real thing


def test_f7_all_real_commits_verify(shared_data: Path) -> None:
    unpack = zstandard.ZstdDecompressor().decompress
    raw = unpack((shared_data / "frames/frames.bin.zst").read_bytes(), 1 << 26)
    documents = json.loads(unpack((shared_data / "frames/did_docs.json.zst").read_bytes(), 1 << 26))
    at, commits = 0, []
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        kind, payload = read_frame(raw[at + 4 : at + 4 + size])
        at += 4 + size
        if kind == "#commit":
            methods = documents[payload["repo"]]["verificationMethod"]
            method = next(method for method in methods if method["id"].endswith("#atproto"))
            commits.append((payload, parse_verification_method(method)))
    assert len(commits) == 148
    for payload, key in commits:
        found = verify_commit(payload, key)
        assert (found.did, found.rev, found.since) == (payload["repo"], payload["rev"], payload["since"])
        assert found.prev_data == payload["prevData"] != found.data
        # Not with other operations, and not with the key of another.
        with pytest.raises(InversionError, match="operations do not lead to prevData"):
            verify_commit(payload | {"ops": payload["ops"][1:]}, key)
        other = next(other for _, other in commits if other != key)
        with pytest.raises(SignatureError):
            verify_commit(payload, other)


@pytest.mark.parametrize("curve", CURVES)
def test_a_commit_verifies(curve: Curve) -> None:
    alice = account(curve=curve)
    since, before = alice.repo.rev, alice.repo.tree.cid
    payload = alice.commit(*writes())
    found = verify_commit(as_read(payload), key_of(alice))
    after = alice.repo.tree.cid
    assert found == Verified(alice.did, str(alice.repo.rev), bytes(after), since, bytes(before))


def test_the_first_commit_of_an_account() -> None:
    alice = World().account("alice", quiet=True)
    payload = alice.commit(Write("create", NEW, {}))
    assert payload["prevData"] == mst.Node(0).cid
    assert verify_commit(as_read(payload), key_of(alice)).data == bytes(alice.repo.tree.cid)
    for first in ({"since": None, "prevData": None}, {"since": None}):
        found = verify_commit(as_read(payload | first), key_of(alice))
        assert found.since is None


def test_a50_empty_commits_take_the_chain_further() -> None:
    alice = account()
    since, data = alice.repo.rev, bytes(alice.repo.tree.cid)
    payload = alice.commit()
    found = verify_commit(as_read(payload), key_of(alice))
    assert found == Verified(alice.did, str(alice.repo.rev), data, since, data)
    # It needs no node at all.
    bare = recar(payload, lambda blocks: blocks.pop(alice.repo.tree.cid))
    assert verify_commit(as_read(bare), key_of(alice)) == found
    assert_refused(
        payload | {"prevData": ALICE.repo.tree.cid}, "operations do not lead to prevData", InversionError, key_of(alice)
    )


def test_a50_commits_of_a_removed_kind() -> None:
    for name in ("tooBig", "rebase"):
        payload = GOOD | {name: True, "ops": [], "blocks": b""}
        assert_refused(payload, "commit of a removed kind (tooBig, rebase)", InversionError)


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32), size=st.integers(0, 300), batch=st.integers(1, 20))
def test_any_history_verifies_commit_by_commit(seed: int, size: int, batch: int) -> None:
    rng = random.Random(seed)
    alice = World(seed=5).account("alice", quiet=True)
    paths = [f"{rng.choice(('a.b.c', 'x.y.z'))}/{number}" for number in range(size)]
    alice.commit(*(Write("create", path, {"n": 0}) for path in paths))
    data = bytes(alice.repo.tree.cid)
    for turn in range(3):
        chosen = rng.sample(paths, min(len(paths), batch))
        gone = {path for path in chosen if rng.random() < 0.5}
        done = [Write("delete", p) if p in gone else Write("update", p, {"turn": turn}) for p in chosen]
        fresh = [f"a.b.c/{turn}-{number}" for number in range(batch)]
        paths = [path for path in paths if path not in gone] + fresh
        done += [Write("create", path, {"n": 1}) for path in fresh]
        rng.shuffle(done)
        found = verify_commit(as_read(alice.commit(*done)), key_of(alice))
        assert (found.prev_data, found.data) == (data, bytes(alice.repo.tree.cid))
        data = found.data


def test_two_hundred_ops_and_no_more() -> None:
    alice = account()
    full = alice.commit(*(Write("create", f"n.e.w/{n}", {"n": n}) for n in range(200)))
    assert verify_commit(as_read(full), key_of(alice)).data == bytes(alice.repo.tree.cid)
    alice = account()
    over = alice.commit(*(Write("create", f"n.e.w/{n}", {"n": n}) for n in range(201)))
    assert_refused(over, "too many ops", key=key_of(alice))


# The file of blocks


def test_s85_no_byte_of_the_file_can_be_changed() -> None:
    car: bytes = GOOD["blocks"]
    payload = as_read(GOOD)
    assert verify_commit(payload, KEY) == VERIFIED
    reasons = set()
    for at in range(len(car)):
        wrong = bytearray(car)
        wrong[at] ^= 1 << at % 8
        with pytest.raises(VerifyError) as caught:
            verify_commit(payload | {"blocks": bytes(wrong)}, KEY)
        reasons.add(str(caught.value))
        assert not isinstance(caught.value, SignatureError | InversionError)
    assert "block does not match its hash" in reasons and len(reasons) < 12


def test_s85_a_file_cut_anywhere_is_refused() -> None:
    car: bytes = GOOD["blocks"]
    payload = as_read(GOOD)
    ends = boundaries(car)
    assert ends[-1] == len(car) and len(ends) == len(blocks_of(car)[1])
    for at in ends[:-1]:
        with pytest.raises(VerifyError, match="block missing"):
            verify_commit(payload | {"blocks": car[:at]}, KEY)
    for at in set(range(len(car))) - set(ends):
        with pytest.raises(VerifyError):
            verify_commit(payload | {"blocks": car[:at]}, KEY)


def boundaries(car: bytes) -> list[int]:
    """The offsets at which a block of the file ends."""
    root, blocks = blocks_of(car)
    at = len(write_car([root], []))
    ends = []
    for cid, block in blocks.items():
        at += len(write_car([root], [(cid, block)])) - len(write_car([root], []))
        ends.append(at)
    return ends


def test_a62_blocks_in_any_order_twice_and_in_excess() -> None:
    root, blocks = blocks_of(GOOD["blocks"])
    other = b"something else"
    extra = [*reversed(blocks.items()), *blocks.items(), (cid_of(other), other), (RAW, b"raw")]
    assert verify_commit(as_read(GOOD | {"blocks": write_car([root], extra)}), KEY) == VERIFIED
    empty = [(cid_of(b""), b"")]
    many = write_car([root], [*blocks.items(), *empty * 10_000])
    assert_refused(GOOD | {"blocks": many}, "too many blocks")
    read_all_blocks(many, most=20_000)


RAW = CID.cidv1_raw_sha256_32_from(b"raw")
ROOT, BLOCKS = blocks_of(GOOD["blocks"])
OTHER = cid_of(b"other")
HEADER_SIZE = len(write_car([ROOT], []))


def header(value: Any) -> Payload:
    head = encode_dag_cbor(value)
    return GOOD | {"blocks": varint(len(head)) + head + GOOD["blocks"][HEADER_SIZE:]}


def swapped(blocks: dict[CID, bytes]) -> None:
    """Another record's bytes under the CID of the first."""
    blocks[GOOD["ops"][0]["cid"]] = blocks[GOOD["ops"][1]["cid"]]


BAD_FILES: dict[str, tuple[Payload, str]] = {
    "no root": (recar(GOOD, len, []), "CAR has not one root"),
    "two roots": (recar(GOOD, len, [ROOT, ROOT]), "CAR has not one root"),
    "roots no list": (header({"version": 1, "roots": {}}), "CAR has not one root"),
    "a root of text": (header({"version": 1, "roots": ["x"]}), "CAR has not one root"),
    "another root": (recar(GOOD, len, [OTHER]), "CAR root is not the commit"),
    "the tree for a root": (recar(GOOD, len, [ALICE.repo.tree.cid]), "CAR root is not the commit"),
    "another commit named": (GOOD | {"commit": OTHER}, "CAR root is not the commit"),
    "CAR version 2": (header({"version": 2, "roots": [ROOT]}), "CAR version is not 1"),
    "CAR version true": (header({"version": True, "roots": [ROOT]}), "CAR version is not 1"),
    "no commit block": (recar(GOOD, lambda blocks: blocks.pop(ROOT)), "commit block missing"),
    "no record block": (recar(GOOD, lambda blocks: blocks.pop(GOOD["ops"][1]["cid"])), "record block missing"),
    "a block of other bytes": (recar(GOOD, swapped), "block does not match its hash"),
    "an overlong length": (longer_varint(recar(GOOD, lambda blocks: [blocks.pop(op["cid"]) for op in GOOD["ops"][1:2]]),
                                         1), "varint not minimal"),
    "an endless length": (GOOD | {"blocks": GOOD["blocks"] + b"\xff" * 9 + b"\x01"}, "varint too long"),
    "a block without a CID": (GOOD | {"blocks": GOOD["blocks"] + b"\x05hello"}, "block without a CID"),
    "a block of another CID": (recar(GOOD, lambda blocks: blocks.update({CID(b"\x12\x20" + bytes(34)): b""})),
                               "block without a CID"),
    "bytes behind it": (GOOD | {"blocks": GOOD["blocks"] + b"\x50"}, "blocks cut short"),
    "empty": (GOOD | {"blocks": b""}, "CAR header unreadable"),
    "a long header": (GOOD | {"blocks": varint(20_000) + bytes(20_000)}, "CAR header too large"),
    "a deep header": (GOOD | {"blocks": varint(9_001) + b"\x81" * 9_000 + b"\xf6"}, "CAR header unreadable"),
    "too large": (recar(GOOD, lambda blocks: [blocks.update({cid_of(big): big}) for big in
                                              (bytes([n]) * 900_000 for n in range(3))]), "blocks too large"),
    "a block larger than a record": (recar(GOOD, lambda blocks: blocks.update({cid_of(bytes(1_000_001)):
                                                                               bytes(1_000_001)})), "record too large"),
    "no bytes": (GOOD | {"blocks": "x"}, "commit malformed"),
    "nothing": ({name: value for name, value in GOOD.items() if name != "blocks"}, "commit malformed"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "reason"), BAD_FILES.values(), ids=BAD_FILES)
def test_s85_s86_a_file_that_is_refused(payload: Payload, reason: str) -> None:
    assert_refused(payload, reason)


# The commit


@pytest.mark.parametrize("curve", CURVES)
def test_s87_signatures(curve: Curve) -> None:
    def der(message: bytes) -> bytes:
        compact = alice.key.sign(message)
        return encode_dss_signature(int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big"))

    alice = account(curve=curve)
    key = key_of(alice)
    high = alice.commit(sign=lambda message: high_s(alice.key.sign(message), alice.key))
    assert_refused(high, "signature has a high s", key=key)
    assert_refused(alice.commit(sign=der), "commit signature is not 64 bytes", key=key)
    assert_refused(alice.commit(sign=lambda _: bytes(64)), "signature is not the account's", SignatureError, key)
    other = alice.commit(sign=lambda message: alice.key.sign(message + b"\0"))
    assert_refused(other, "signature is not the account's", SignatureError, key)
    alice.rotate_key("p256")
    assert_refused(alice.commit(), "signature is not the account's", SignatureError, key)
    verify_commit(as_read(alice.commit()), key_of(alice))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"repo": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}, "commit is of another account"),
        ({"repo": None}, "commit is of another account"),
        ({"rev": "3222222222222"}, "commit has another rev"),
        ({"rev": None}, "commit has another rev"),
        ({"since": 1}, "commit malformed"),
        ({"prevData": "x"}, "commit malformed"),
        ({"prevData": RAW}, "commit malformed"),
    ],
)
def test_s87_what_the_event_says_beside_the_commit(wrong: Payload, reason: str) -> None:
    assert_refused(GOOD | wrong, reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}, "commit is of another account"),
        ({"rev": "3222222222222"}, "commit has another rev"),
        ({"version": 2}, "commit version is not 3"),
        ({"prev": OTHER}, "commit prev is not null"),
        ({"data": RAW}, "commit data malformed"),
        ({"data": OTHER}, "tree node missing"),
    ],
)
def test_a63_what_the_commit_says(changes: Payload, reason: str) -> None:
    alice = account()
    payload = alice.commit(*writes(), changes=changes)
    kind = InversionError if reason == "tree node missing" else VerifyError
    assert_refused(payload, reason, kind, key_of(alice))


# The operations

NEW_OP, KEPT_OP, GONE_OP = GOOD["ops"]


def with_ops(*ops: Any) -> Payload:
    return GOOD | {"ops": list(ops)}


BAD_OPS: dict[str, tuple[Payload, str]] = {
    "no list": (GOOD | {"ops": {}}, "commit malformed"),
    "an op that is none": (with_ops(None), "op malformed"),
    "no path": (with_ops({"action": "create", "cid": NEW_OP["cid"]}), "op malformed"),
    "an unknown action": (with_ops(NEW_OP | {"action": "put"}), "op of unknown action"),
    "no action": (with_ops({"path": NEW, "cid": NEW_OP["cid"]}), "op of unknown action"),
    "an action that is a list": (with_ops(NEW_OP | {"action": ["create"]}), "op of unknown action"),
    "a create without cid": (with_ops(NEW_OP | {"cid": None}), "op contradicts itself"),
    "a create of what was there": (with_ops(NEW_OP | {"prev": NEW_OP["cid"]}), "op contradicts itself"),
    "an update without cid": (with_ops(KEPT_OP | {"cid": None}), "op contradicts itself"),
    "a delete with cid": (with_ops(GONE_OP | {"cid": NEW_OP["cid"]}), "op contradicts itself"),
    "a cid of text": (with_ops(NEW_OP | {"cid": str(NEW_OP["cid"])}), "op cid malformed"),
    "an update without prev": (with_ops(NEW_OP, KEPT_OP | {"prev": None}, GONE_OP), "op without prev"),
    "a delete without prev": (with_ops(NEW_OP, KEPT_OP, GONE_OP | {"prev": None}), "op without prev"),
    "a prev of text": (with_ops(NEW_OP, KEPT_OP | {"prev": "x"}, GONE_OP), "op cid malformed"),
    "an op twice": (with_ops(*GOOD["ops"], NEW_OP), "path named twice"),
    "a path in two ops": (with_ops(NEW_OP, KEPT_OP | {"path": NEW}, GONE_OP), "path named twice"),
    "a cid without a block": (with_ops(NEW_OP | {"cid": OTHER}, KEPT_OP, GONE_OP), "record block missing"),
    "cids swapped": (with_ops(NEW_OP | {"cid": KEPT_OP["cid"]}, KEPT_OP | {"cid": NEW_OP["cid"]}, GONE_OP),
                     "op is not in the tree"),
    "a cid that is not in the tree": (recar(with_ops(NEW_OP | {"cid": OTHER}, KEPT_OP, GONE_OP),
                                            lambda blocks: blocks.update({OTHER: b"other"})), "op is not in the tree"),
    "a create of what was deleted": (with_ops(NEW_OP, KEPT_OP, {"action": "create", "path": GONE,
                                                                "cid": NEW_OP["cid"]}), "op is not in the tree"),
    "a delete of what is there": (with_ops(NEW_OP, KEPT_OP | {"action": "delete", "cid": None}, GONE_OP),
                                  "deleted record is in the tree"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "reason"), BAD_OPS.values(), ids=BAD_OPS)
def test_s90_operations_that_are_refused(payload: Payload, reason: str) -> None:
    assert_refused(payload, reason)


@pytest.mark.parametrize("name", [name for name, (_, reason) in BAD_OPS.items() if reason != "op without prev"])
def test_a68_and_without_prev_data_as_well(name: str) -> None:
    payload, reason = BAD_OPS[name]
    assert_refused({key: value for key, value in payload.items() if key != "prevData"}, reason)


UNCHAINED: dict[str, Payload] = {
    "one op less": with_ops(KEPT_OP, GONE_OP),
    "one delete less": with_ops(NEW_OP, KEPT_OP),
    "another record before": with_ops(NEW_OP, KEPT_OP | {"prev": OTHER}, GONE_OP),
    "another record deleted": with_ops(NEW_OP, KEPT_OP, GONE_OP | {"prev": OTHER}),
    "a create told as an update": with_ops(NEW_OP | {"action": "update", "prev": OTHER}, KEPT_OP, GONE_OP),
    "an update told as a create": with_ops(NEW_OP, {"action": "create", "path": KEPT, "cid": KEPT_OP["cid"]}, GONE_OP),
    "a delete of what was never there": with_ops(*GOOD["ops"], GONE_OP | {"path": "a.b.c/never"}),
    "another tree before": GOOD | {"prevData": OTHER},
}


@pytest.mark.parametrize("payload", UNCHAINED.values(), ids=UNCHAINED)
def test_s89_operations_that_lead_elsewhere(payload: Payload) -> None:
    whole = recar(payload, lambda blocks: blocks.update({node.cid: node.block for node in mst.nodes(ALICE.repo.tree)}))
    assert_refused(whole, "operations do not lead to prevData", InversionError)


def test_a66_a_node_that_is_missing_is_said_to_be() -> None:
    nodes = set(BLOCKS) - {ROOT, *(op["cid"] for op in GOOD["ops"])}
    assert len(nodes) > 9
    missing = 0
    for cid in nodes:
        payload = as_read(recar(GOOD, lambda blocks, cid=cid: blocks.pop(cid)))  # type: ignore[misc]
        try:
            assert verify_commit(payload, KEY) == VERIFIED
        except InversionError as error:
            assert str(error) == "tree node missing"
            missing += 1
    assert missing > len(nodes) // 2
    bare = recar(GOOD, lambda blocks: [blocks.pop(cid) for cid in nodes])
    assert_refused(bare, "tree node missing", InversionError)


def test_a68_without_prev_data_it_is_held_against_the_tree_after_it() -> None:
    legacy = {key: value for key, value in GOOD.items() if key != "prevData"}
    ops = [{key: value for key, value in op.items() if key != "prev"} for op in GOOD["ops"]]
    found = verify_commit(as_read(legacy | {"ops": ops}), KEY)
    assert found == Verified(VERIFIED.did, VERIFIED.rev, VERIFIED.data, ALICE_SINCE, None)
    # Such producers send what changed and no more.
    old = {node.cid for node in mst.nodes(ALICE_BEFORE)}
    assert old & set(BLOCKS)
    recent = recar(legacy, lambda blocks: [blocks.pop(cid) for cid in old & set(blocks)])
    assert verify_commit(as_read(recent), KEY) == found
    nodes = {node.cid for node in mst.nodes(ALICE.repo.tree)}
    bare = recar(legacy, lambda blocks: [blocks.pop(cid) for cid in nodes & set(blocks)])
    assert_refused(bare, "tree node missing", InversionError)


@pytest.mark.parametrize("without", [(), ("prevData",)], ids=["inverted", "held against the tree"])
def test_s115_no_node_is_read_twice_however_many_operations_lead_through_it(
    monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    """A node of a thousand long keys takes milliseconds to read, and two hundred operations may lead through it."""
    bob = account("bob", size=3000)
    payload = bob.commit(*(Write("create", f"a.b.c/x{number}", {"of": number}) for number in range(200)))
    read: list[bytes] = []
    monkeypatch.setattr("firehose.mst.read_node", lambda block, layer: read.append(block) or read_node(block, layer))
    verify_commit(as_read({key: value for key, value in payload.items() if key not in without}), key_of(bob))
    assert len(read) == len(set(read)) > 10


def test_s89_is_not_said_of_what_the_account_did_not_sign() -> None:
    """Or anybody could have an account read anew again and again."""
    payload = GOOD | {"prevData": OTHER}
    assert_refused(payload, "signature is not the account's", SignatureError, key_of(World().account("mallory")))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/b/c", ".", "..", "", "a.b.c/..", "a.b.c/" + "x" * 513, "a.b.c/\0", "bad/x", "a.b.c", "ä.ö/ü", "/"],
)
def test_s91_an_odd_path_does_not_spoil_the_commit(path: str) -> None:
    alice = account()
    payload = alice.commit(Write("create", path or "/", {"$type": "a.b.c"}), *writes())
    assert verify_commit(as_read(payload), key_of(alice)).data == bytes(alice.repo.tree.cid)


@pytest.mark.parametrize("block", [b"", b"\xff", b"\x81" * 2_000 + b"\xf6", encode_dag_cbor({"a": 1.5}), b"\xa0\x00"])
def test_s92_s93_a_bad_record_does_not_spoil_the_commit(block: bytes) -> None:
    alice = account()
    payload = commit_blocks(alice, {NEW: block, "a.b.c/other": encode_dag_cbor({"$type": "a.b.c"})})
    assert verify_commit(as_read(payload), key_of(alice)).data == bytes(alice.repo.tree.cid)


def test_a72_a_record_of_raw_bytes_does_not_spoil_the_commit() -> None:
    alice = account()
    before = alice.repo.tree
    alice.repo.tree = mst.insert(before, NEW, RAW)
    payload = alice.commit() | {"prevData": before.cid, "ops": [{"action": "create", "path": NEW, "cid": RAW}]}
    nodes = {node.cid: node.block for node in mst.covering(alice.repo.tree, NEW)}
    payload = recar(payload, lambda blocks: blocks.update(nodes | {RAW: b"raw"}))
    assert verify_commit(as_read(payload), key_of(alice)).prev_data == bytes(before.cid)


def test_a65_a_bad_tree_is_refused_though_it_is_signed() -> None:
    key = next(path for n in range(99) if mst.height(path := f"a.b.c/{n}") == 1)
    value = cid_of(b"\xa0")
    low = next(path for n in range(99) if mst.height(path := f"a.b.c/{n}") == 0)
    # The key of a higher layer beside one of the lowest.
    entries = [{"k": path.encode(), "p": 0, "v": value, "t": None} for path in sorted((key, low))]
    shared = mst.common_prefix(key.encode(), low.encode())
    entries[1] |= {"p": shared, "k": sorted((key, low))[1].encode()[shared:]}
    block = encode_dag_cbor({"e": entries, "l": None})
    alice = account()
    payload = alice.commit(changes={"data": cid_of(block)}) | {"ops": [{"action": "create", "path": low, "cid": value}]}
    payload = recar(payload, lambda blocks: blocks.update({cid_of(block): block, value: b"\xa0"}))
    assert_refused(payload, "tree key at wrong height", key=key_of(alice))
    del payload["prevData"]
    assert_refused(payload, "tree key at wrong height", key=key_of(alice))


@settings(max_examples=300)
@given(st.data())
def test_any_payload_is_verified_or_refused(data: st.DataObject) -> None:
    payload = as_read(GOOD)
    for name in data.draw(st.sets(st.sampled_from(sorted({*payload, "tooBig"})), min_size=1, max_size=3)):
        if name == "ops" and data.draw(st.booleans()):
            op = dict(data.draw(st.sampled_from(payload["ops"])))
            op[data.draw(st.sampled_from(("action", "path", "cid", "prev")))] = data.draw(JSON_LIKE)
            payload["ops"] = [*payload["ops"], op]
        else:
            payload[name] = data.draw(JSON_LIKE)
    for verify in (verify_commit, verify_sync):
        try:
            found = verify(payload, KEY)
        except VerifyError as error:
            assert str(error)
        else:
            assert (found.did, found.rev, found.data) == (VERIFIED.did, VERIFIED.rev, VERIFIED.data)


# #sync, and the proof of a record


def sync_of(account: Account) -> Payload:
    return {"did": account.did, "rev": account.repo.rev, "blocks": account.repo.latest()}


@pytest.mark.parametrize("curve", CURVES)
def test_a51_a_sync_says_where_the_account_stands(curve: Curve) -> None:
    alice = account(curve=curve)
    found = verify_sync(as_read(sync_of(alice)), key_of(alice))
    assert found == Verified(alice.did, str(alice.repo.rev), bytes(alice.repo.tree.cid))


def test_a51_a_sync_that_is_refused() -> None:
    root = ALICE.repo.head
    assert root is not None
    good = sync_of(ALICE)
    extra = write_car([root], [(root, ALICE.repo.commit_block), (cid_of(bytes(10_000)), bytes(10_000))])
    bob = account("bob")
    cases = [
        (good, "signature is not the account's", key_of(bob)),
        (good | {"did": bob.did}, "commit is of another account", KEY),
        (good | {"rev": "3222222222222"}, "commit has another rev", KEY),
        (good | {"blocks": write_car([root], [])}, "commit block missing", KEY),
        (good | {"blocks": write_car([], [(root, ALICE.repo.commit_block)])}, "CAR has not one root", KEY),
        (good | {"blocks": extra}, "blocks too large", KEY),
        (good | {"blocks": None}, "commit malformed", KEY),
        (sync_of(bob) | {"did": ALICE.did}, "commit is of another account", KEY),
    ]
    for payload, reason, key in cases:
        with pytest.raises(VerifyError) as caught:
            verify_sync(as_read(payload), key)
        assert str(caught.value) == reason
        assert isinstance(caught.value, SignatureError) is reason.startswith("signature")


@settings(max_examples=30)
@given(st.integers(0, 299))
def test_b2_a_record_is_proven_to_be_there_or_not(number: int) -> None:
    path = f"x.y.z/{number:05}"
    repo = ALICE.repo
    assert verify_proof(repo.proof(path), ALICE.did, path, KEY) == repo.records[path]
    for absent in (path + "0", GONE, f"x.y.z/{number:04}"):
        assert verify_proof(repo.proof(absent), ALICE.did, absent, KEY) is None


def test_b2_a_proof_that_is_none() -> None:
    repo, path = ALICE.repo, "x.y.z/00007"
    record = mst.get(repo.tree, path)
    assert record is not None and repo.head is not None
    car = repo.proof(path)
    root, blocks = blocks_of(car)
    without = write_car([root], [(cid, block) for cid, block in blocks.items() if cid != record])
    node = next(node.cid for node in mst.nodes(repo.tree) if path in node.keys)
    blind = write_car([root], [(cid, block) for cid, block in blocks.items() if cid != node])
    bob = account("bob")
    cases: list[tuple[bytes, str, PublicKey, str]] = [
        (car, bob.did, KEY, "commit is of another account"),
        (car, ALICE.did, key_of(bob), "signature is not the account's"),
        (bob.repo.proof(path), ALICE.did, KEY, "commit is of another account"),
        (without, ALICE.did, KEY, "record block missing"),
        (blind, ALICE.did, KEY, "tree node missing"),
        (repo.latest(), ALICE.did, KEY, "tree node missing"),
        (car[:-1], ALICE.did, KEY, "blocks cut short"),
        (b"", ALICE.did, KEY, "CAR header unreadable"),
    ]
    for file, did, key, reason in cases:
        with pytest.raises(VerifyError) as caught:
            verify_proof(file, did, path, key)
        assert str(caught.value) == reason


def test_b2_a_proof_shows_nothing_of_another_path() -> None:
    """What proves one record says nothing of one in another corner of the tree."""
    car = ALICE.repo.proof("x.y.z/00007")
    told = []
    for number in range(300):
        path = f"x.y.z/{number:05}"
        call: Callable[[], bytes | None] = lambda path=path: verify_proof(car, ALICE.did, path, KEY)  # type: ignore[misc]  # noqa: E731
        try:
            told.append(call())
        except VerifyError as error:
            assert str(error) in {"tree node missing", "record block missing"}
    assert told == [ALICE.repo.records["x.y.z/00007"]]
