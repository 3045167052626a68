"""A whole repository is read as it is, or not at all (B5, A72, F9)."""

import mmap
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libipld
import pytest
from cbrrr import CID, encode_dag_cbor
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.repo import Repo, RepoError, read_repo
from tests.consumer import blocks_of
from tests.world import Account, World, Write, mst
from tests.world.car import cid_of, write_car
from tests.world.keys import Curve, did_key, high_s, make_did, make_key
from tests.world.repo import Repo as Written
from xrpc.key import PublicKey, parse_did_key

LATEST = "jzzzzzzzzzzzz"
CURVES: tuple[Curve, ...] = ("k256", "p256")
Records = list[tuple[str, bytes, bytes]]


def key_of(account: Account | Written) -> PublicKey:
    return parse_did_key(did_key(account.key))


def account(size: int = 60, curve: Curve = "k256") -> Account:
    found = World().account("alice", curve, quiet=True)
    found.commit(*(Write("create", f"a.b.c/{n:04}", {"$type": "a.b.c", "n": n}) for n in range(size)))
    return found


def expected(repo: Written) -> Records:
    return [(path, bytes(cid_of(block)), block) for path, block in sorted(repo.records.items())]


ALICE = account()
CAR = ALICE.repo.export()
ROOT, BLOCKS = blocks_of(CAR)
KEY = key_of(ALICE)


def refused(car: bytes, did: str = ALICE.did, key: PublicKey = KEY, latest: str = LATEST) -> tuple[str, bool]:
    with pytest.raises(RepoError) as caught:
        read_repo(car, did, key, latest)
    return str(caught.value), caught.value.transient


# What is good


def test_f9_a_real_repository(shared_data: Path) -> None:
    car = (shared_data / "frames/repo.car").read_bytes()
    lines = (shared_data / "frames/car_expected_records.tsv").read_text().splitlines()
    facts = dict(
        line.split(": ", 1) for line in (shared_data / "frames/car_expected_commit.txt").read_text().splitlines()
    )
    assert len(lines) == 23
    # Its key is not among the public data: all but the signature is held against what is known of it.
    reason, transient = refused(car, facts["DID"])
    assert (reason, transient) == ("signature is not the account's", False)
    root, blocks = blocks_of(car)
    commit = libipld.decode_dag_cbor(blocks[root])
    again = Written(facts["DID"], make_key("k256", "again"))
    signed = again.sign(commit["rev"], {"data": CID(commit["data"])})
    blocks = {cid_of(signed): signed} | {cid: block for cid, block in blocks.items() if cid != root}
    repo = read_repo(write_car([cid_of(signed)], blocks.items()), facts["DID"], key_of(again), LATEST)
    assert (repo.did, repo.rev, repo.data) == (facts["DID"], commit["rev"], commit["data"])
    assert CID(repo.data).encode() == facts["Data CID"]
    assert [f"{path}\t{CID(cid).encode()}" for path, cid, _ in repo.records()] == lines
    assert all(blocks[CID(cid)] == block for _, cid, block in repo.records())


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("size", [0, 1, 60])
def test_b5_all_records_in_the_order_of_the_tree(curve: Curve, size: int) -> None:
    alice = account(size, curve)
    repo = read_repo(alice.repo.export(), alice.did, key_of(alice), str(alice.repo.rev))
    assert (repo.did, repo.rev, repo.data) == (alice.did, alice.repo.rev, bytes(alice.repo.tree.cid))
    assert list(repo.records()) == expected(alice.repo)
    assert list(repo.records()) == list(repo.records())  # as often as one likes


def test_b5_twenty_thousand_records(tmp_path: Path) -> None:
    rng = random.Random(9)
    written = Written(make_did("many"), make_key("k256", "many"))
    for number in range(20_000):
        path = f"{rng.choice(('app.bsky.feed.like', 'app.bsky.feed.post', 'x.y.z'))}/{number:06}"
        written.records[path] = encode_dag_cbor({"n": number % 19_000, "text": "x" * rng.randrange(300)})
    written.tree = mst.build({path: cid_of(block) for path, block in written.records.items()})
    written.commit([], "3laaaaaaaaaaa")
    car, key = written.export(), key_of(written)
    file = tmp_path / "repo.car"
    file.write_bytes(car)
    wanted = expected(written)
    assert len(wanted) == 20_000
    root, blocks = blocks_of(car)
    shuffled = write_car([root], rng.sample(list(blocks.items()), len(blocks)))
    with file.open("rb") as opened:
        for form in (car, memoryview(car), shuffled):
            assert list(read_repo(form, written.did, key, LATEST).records()) == wanted
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            repo = read_repo(mapped, written.did, key, LATEST)
            assert list(repo.records()) == wanted
        assert mapped.closed  # nothing holds on to it
    blocks.popitem()
    assert refused(write_car([root], blocks.items()), written.did, key) == ("record block missing", True)


def test_b5_a_mapped_file_can_be_closed_when_it_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "repo.car"
    file.write_bytes(CAR[:-1])
    with (
        file.open("rb") as opened,
        pytest.raises(RepoError, match="blocks cut short"),
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        read_repo(mapped, ALICE.did, KEY, LATEST)


ODD = {
    "a.b.c/broken": b"\xff\xff",
    "a.b.c/deep": b"\x81" * 5_000 + b"\xf6",
    "a.b.c/empty": b"",
    "a.b.c/float": encode_dag_cbor({"x": 1.5}),
    "../../x": encode_dag_cbor({"x": 1}),
    "no-nsid": encode_dag_cbor({"x": 1}),
    "ä/ö": encode_dag_cbor({"x": 1}),
}


def test_a72_records_that_are_none_stop_no_other() -> None:
    alice = account()
    raw = CID.cidv1_raw_sha256_32_from(b"raw")
    for path, block in ODD.items():
        alice.repo.records[path] = block
        alice.repo.tree = mst.insert(alice.repo.tree, path, cid_of(block))
    wanted = [*expected(alice.repo), ("a.b.c/raw", bytes(raw), b"raw")]
    alice.repo.tree = mst.insert(alice.repo.tree, "a.b.c/raw", raw)
    alice.commit()
    root, blocks = blocks_of(alice.repo.export())
    car = write_car([root], [*blocks.items(), (raw, b"raw")])
    found = list(read_repo(car, alice.did, key_of(alice), LATEST).records())
    assert sorted(found) == sorted(wanted) and [path for path, *_ in found] == sorted(
        (path for path, *_ in wanted), key=str.encode
    )
    assert len(found) == 60 + 8


def test_a_block_larger_than_a_record_may_be_is_left_out() -> None:
    alice = account()
    alice.commit(Write("create", "a.b.c/large", {"x": bytes(1_000_001)}), Write("create", "a.b.c/last", {}))
    found = list(read_repo(alice.repo.export(), alice.did, key_of(alice), LATEST).records())
    assert found == [
        (*record[:2], None if record[0] == "a.b.c/large" else record[2]) for record in expected(alice.repo)
    ]
    assert [path for path, _, block in found if block is None] == ["a.b.c/large"] and found[-1][0] == "a.b.c/last"


def test_b5_blocks_twice_and_of_no_use() -> None:
    extra = [*BLOCKS.items(), *BLOCKS.items(), (cid_of(b"?"), b"?")]
    assert list(read_repo(write_car([ROOT], extra), ALICE.did, KEY, LATEST).records()) == expected(ALICE.repo)


@settings(max_examples=40)
@given(st.integers(0, 1 << 32), st.integers(0, 200))
def test_b5_any_repository(seed: int, turns: int) -> None:
    rng = random.Random(seed)
    alice = account(0)
    for turn in range(turns // 20):
        fresh = [Write("create", f"a.b.c/{turn}-{n}", {"n": rng.random() > 0.5}) for n in range(rng.randrange(20))]
        gone = [Write("delete", path) for path in alice.repo.records if rng.random() < 0.2]
        alice.commit(*fresh, *gone)
    found = read_repo(alice.repo.export(), alice.did, key_of(alice), LATEST)
    assert list(found.records()) == expected(alice.repo)


# What is not


def test_b5_a_file_cut_between_two_blocks_is_not_whole() -> None:
    for number in range(len(BLOCKS)):
        reason, transient = refused(write_car([ROOT], list(BLOCKS.items())[:number]))
        assert transient
        assert reason in {"commit block missing", "tree node missing", "record block missing"}


def test_b5_every_block_is_needed() -> None:
    nodes = {node.cid for node in mst.nodes(ALICE.repo.tree)}
    for cid in BLOCKS:
        rest = [(other, block) for other, block in BLOCKS.items() if other != cid]
        reason = "commit block missing" if cid == ROOT else "tree node missing" if cid in nodes else ""
        assert refused(write_car([ROOT], rest)) == (reason or "record block missing", True)


def test_b5_a_file_cut_anywhere() -> None:
    for at in range(len(CAR)):
        assert refused(CAR[:at])[1]


def test_b5_no_byte_can_be_changed() -> None:
    for at in range(len(CAR)):
        wrong = bytearray(CAR)
        wrong[at] ^= 1 << at % 8
        assert refused(bytes(wrong))[1]  # it may have come to harm on its way


def test_b5_what_another_time_would_not_mend() -> None:
    bob = World().account("bob")
    assert refused(CAR, bob.did) == ("commit is of another account", False)
    assert refused(CAR, key=key_of(bob)) == ("signature is not the account's", False)
    assert refused(CAR, latest="2222222222222") == ("rev in the future", False)
    assert read_repo(CAR, ALICE.did, KEY, str(ALICE.repo.rev)).rev == ALICE.repo.rev


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"version": 2}, "commit version is not 3"),
        ({"prev": ROOT}, "commit prev is not null"),
        ({"did": make_did("another")}, "commit is of another account"),
        ({"data": CID.cidv1_raw_sha256_32_from(b"")}, "commit data malformed"),
    ],
)
def test_a63_a_commit_that_is_none(wrong: dict[str, Any], reason: str) -> None:
    alice = account()
    alice.commit(changes=wrong)
    assert refused(alice.repo.export(), key=key_of(alice)) == (reason, False)


def test_s87_a_high_s() -> None:
    alice = account()
    alice.commit(sign=lambda message: high_s(alice.key.sign(message), alice.key))
    assert refused(alice.repo.export(), key=key_of(alice)) == ("signature is not the account's", False)


def sign_tree(change: Callable[[dict[CID, bytes]], CID]) -> bytes:
    """The repository with another tree, signed."""
    blocks = {cid: block for cid, block in BLOCKS.items() if cid != ROOT}
    data = change(blocks)
    commit = ALICE.repo.sign(str(ALICE.repo.rev), {"data": data})
    return write_car([cid_of(commit)], [(cid_of(commit), commit), *blocks.items()])


def unsorted(blocks: dict[CID, bytes]) -> CID:
    """A node that has its last entry twice."""
    value = next(iter(blocks))
    path = next(path for n in range(99) if mst.height(path := f"a.b.c/{n}") == 0).encode()
    one = {"k": path, "p": 0, "v": value, "t": None}
    block = encode_dag_cbor({"e": [one, one | {"k": b"", "p": len(path)}], "l": None})
    blocks[cid_of(block)] = block
    return cid_of(block)


def twice(blocks: dict[CID, bytes]) -> CID:
    """One subtree on both sides of a key."""
    path = next(path for n in range(999) if mst.height(path := f"a.b.c/{n}") == 1)
    low = next(low for n in range(99) if (low := f"a.b.c/{n}") < path and mst.height(low) == 0)
    value = next(iter(blocks))
    leaf = mst.build({low: value})
    blocks[leaf.cid] = leaf.block
    entry = {"k": path.encode(), "p": 0, "v": value, "t": leaf.cid}
    block = encode_dag_cbor({"e": [entry], "l": leaf.cid})
    blocks[cid_of(block)] = block
    return cid_of(block)


def one_record(blocks: dict[CID, bytes]) -> CID:
    return next(cid for cid in blocks if cid not in {node.cid for node in mst.nodes(ALICE.repo.tree)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unsorted, "tree keys not ascending"),
        (twice, "tree keys not ascending"),
        (one_record, "tree node malformed"),
    ],
)
def test_a65_a_signed_tree_that_is_none(change: Callable[[dict[CID, bytes]], CID], reason: str) -> None:
    assert refused(sign_tree(change)) == (reason, False)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(data: bytes, behind: bool) -> None:
    assert refused(CAR[:600] + data if behind else data)[1]


def test_what_is_kept_of_a_repository_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(read_repo(CAR, ALICE.did, KEY, LATEST), Repo)
    monkeypatch.setattr("firehose.repo.MOST_PATHS", 60 * len("a.b.c/0000") - 1)
    assert refused(CAR) == ("too many records", False)
    monkeypatch.setattr("firehose.repo.MOST_BLOCKS", len(BLOCKS) - 1)
    assert refused(CAR) == ("too many blocks", False)
