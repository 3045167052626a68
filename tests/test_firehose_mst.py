"""The Merkle search tree over some of its nodes, against public vectors and an independent tree (A65, A66, F1, F2)."""

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from cbrrr import CID, encode_dag_cbor
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.mst import Change, ChangeError, MissingNodeError, find, invert, walk
from firehose.mst_node import MAX_ENTRIES, MAX_KEY, MstError, common_prefix, height
from tests.world import mst
from tests.world.car import cid_of

Blocks = dict[bytes, bytes]
VALUES = [cid_of(bytes([number])) for number in range(5)]


def blocks_of(nodes: Iterable[mst.Node]) -> Blocks:
    return {bytes(node.cid): node.block for node in nodes}


def entries_of(paths: Iterable[str], rng: random.Random) -> dict[str, CID]:
    return {path: rng.choice(VALUES) for path in paths}


def proof(tree: mst.Node, changes: Iterable[Change]) -> Blocks:
    """The nodes that a producer must send with these changes."""
    found = {bytes(tree.cid): tree.block}
    for change in changes:
        found |= blocks_of(mst.covering(tree, change.path))
    return found


def changed(tree: mst.Node, changes: Iterable[Change]) -> mst.Node:
    """The tree after the changes."""
    for path, cid, _ in changes:
        tree = mst.remove(tree, path) if cid is None else mst.insert(tree, path, CID(cid))
    return tree


# Public vectors


def test_f2_heights_and_prefixes(shared_data: Path) -> None:
    heights = json.loads((shared_data / "interop/mst/key_heights.json").read_text())
    prefixes = json.loads((shared_data / "interop/mst/common_prefix.json").read_text())
    assert (len(heights), len(prefixes)) == (9, 13)
    for case in heights:
        assert height(case["key"].encode()) == case["height"]
    for case in prefixes:
        assert common_prefix(case["left"].encode(), case["right"].encode()) == case["len"]


def test_f2_example_keys(shared_data: Path) -> None:
    keys = (shared_data / "interop/mst/example_keys.txt").read_text().split()
    assert len(keys) == 156
    entries = {key: cid_of(key.encode()) for key in keys}
    tree = mst.build(entries)
    root, blocks = bytes(tree.cid), blocks_of(mst.nodes(tree))
    assert list(walk(root, blocks)) == [(key, bytes(entries[key])) for key in sorted(keys)]
    for key in keys:
        assert find(root, key, blocks) == bytes(entries[key])
        assert find(root, key + "x", blocks) is None
    everything = [Change(key, bytes(cid), None) for key, cid in entries.items()]
    assert invert(root, everything, blocks) == bytes(mst.Node(0).cid)


def test_f1_commit_proofs(shared_data: Path) -> None:
    cases = json.loads((shared_data / "interop/firehose/commit-proof-fixtures.json").read_text())
    assert len(cases) == 6
    for case in cases:
        leaf = CID.decode(case["leafValue"])
        changes = [Change(key, bytes(leaf), None) for key in case["adds"]]
        changes += [Change(key, None, bytes(leaf)) for key in case["dels"]]
        tree = changed(mst.build(dict.fromkeys(case["keys"], leaf)), changes)
        assert tree.cid.encode() == case["rootAfterCommit"]
        nodes = {node.cid.encode(): node for node in mst.nodes(tree)}
        blocks = blocks_of(nodes[cid] for cid in case["blocksInProof"])
        before = invert(bytes(tree.cid), changes, blocks)
        assert CID(before).encode() == case["rootBeforeCommit"], case["comment"]


# Any tree, any operations

PATHS = [f"{collection}/{number}" for collection in ("a.b.c", "a.b.cd", "x.y") for number in range(400)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[mst.Node, mst.Node, list[Change]]:
    """A tree, the tree after some changes, and these."""
    rng = random.Random(draw(st.integers(0, 1 << 32)))
    before = entries_of(rng.sample(PATHS, draw(st.integers(0, 300))), rng)
    changes: dict[str, Change] = {}
    for path in rng.sample(sorted(before), min(len(before), draw(st.integers(0, 10)))):
        cid = bytes(rng.choice(VALUES)) if rng.random() < 0.4 else None
        changes[path] = Change(path, cid, bytes(before[path]))
    for path in rng.sample(PATHS, draw(st.integers(0, 10))):
        if path not in before:
            changes[path] = Change(path, bytes(rng.choice(VALUES)), None)
    shuffled = rng.sample(list(changes.values()), len(changes))
    tree = mst.build(before)
    return tree, changed(tree, shuffled), shuffled


@settings(max_examples=300)
@given(histories())
def test_a66_operations_are_undone_from_the_nodes_that_a_producer_must_send(
    history: tuple[mst.Node, mst.Node, list[Change]],
) -> None:
    before, after, changes = history
    blocks = proof(after, changes)
    assert invert(bytes(after.cid), changes, blocks) == bytes(before.cid)
    assert invert(bytes(after.cid), changes, blocks_of(mst.nodes(after))) == bytes(before.cid)
    for path, cid, _ in changes:
        assert find(bytes(after.cid), path, blocks) == cid


@settings(max_examples=150)
@given(histories(), st.data())
def test_a66_with_a_node_less_the_outcome_is_the_same_or_there_is_none(
    history: tuple[mst.Node, mst.Node, list[Change]], data: st.DataObject
) -> None:
    before, after, changes = history
    blocks = proof(after, changes)
    gone = data.draw(st.sampled_from(sorted(blocks)))
    del blocks[gone]
    try:
        # Where the trimming of the top ends at a node that is not at hand, that is taken for the root: it need not
        # be: then the outcome is not what the commit says, as if the operations did not fit.
        assert invert(bytes(after.cid), changes, blocks) in (bytes(before.cid), gone)
    except MissingNodeError as error:
        assert str(error) == "tree node missing"


@settings(max_examples=150)
@given(histories(), st.data())
def test_a64_a_change_that_is_not_in_the_tree_is_refused(
    history: tuple[mst.Node, mst.Node, list[Change]], data: st.DataObject
) -> None:
    _, after, changes = history
    if not changes:
        return
    at = data.draw(st.integers(0, len(changes) - 1))
    path, cid, prev = changes[at]
    if cid is None:
        wrong = Change(path, bytes(VALUES[0]), prev)
    else:
        wrong = data.draw(st.sampled_from((Change(path, None, prev or cid), Change(path, bytes(cid_of(b"?")), prev))))
    with pytest.raises(ChangeError):
        invert(bytes(after.cid), [*changes[:at], wrong, *changes[at + 1 :]], proof(after, changes))


@settings(max_examples=60)
@given(st.integers(0, 400), st.integers(0, 1 << 32), st.data())
def test_b5_a_walk_is_whole_or_raises(size: int, seed: int, data: st.DataObject) -> None:
    rng = random.Random(seed)
    entries = entries_of(rng.sample(PATHS, size), rng)
    tree = mst.build(entries)
    root, blocks = bytes(tree.cid), blocks_of(mst.nodes(tree))
    assert list(walk(root, blocks)) == [(path, bytes(cid)) for path, cid in sorted(entries.items())]
    del blocks[data.draw(st.sampled_from(sorted(blocks)))]
    with pytest.raises(MissingNodeError):
        list(walk(root, blocks))


def test_no_operations_need_no_nodes() -> None:
    root = bytes(cid_of(b"root"))
    assert invert(root, [], {}) == root


# What stands where in a tree


def key_of(layer: int, after: str = "") -> str:
    """The first path of a kind that stands in this layer, behind another."""
    return next(path for n in count() if (path := f"a.b.c/{n:07}") > after and mst.height(path) == layer)


LOW = key_of(0)
LOW_2 = key_of(0, LOW)
LOW_3 = key_of(0, LOW_2)
HIGH = key_of(1, LOW_3)
HIGHER = key_of(3, HIGH)
LATE = key_of(0, HIGHER)
VALUE = VALUES[0]
RAW = CID.cidv1_raw_sha256_32_from(b"raw")


def test_a66_the_node_that_becomes_the_top_need_not_be_there() -> None:
    before = mst.build({LOW: VALUE, HIGH: VALUE})
    after = mst.insert(before, HIGHER, VALUE)
    assert after.layer == before.layer + 2
    blocks = blocks_of(mst.nodes(after))
    del blocks[bytes(before.cid)]
    with pytest.raises(MissingNodeError):
        list(walk(bytes(after.cid), blocks))
    assert invert(bytes(after.cid), [Change(HIGHER, bytes(VALUE), None)], blocks) == bytes(before.cid)
    # But not where something still has to be undone in it.
    changes = [Change(HIGHER, bytes(VALUE), None), Change(LOW, None, bytes(VALUE))]
    without = mst.insert(mst.remove(before, LOW), HIGHER, VALUE)
    blocks = blocks_of(mst.nodes(without))
    del blocks[bytes(mst.remove(before, LOW).cid)]
    with pytest.raises(MissingNodeError):
        invert(bytes(without.cid), changes, blocks)


def test_a66_what_needs_another_operation_to_be_undone_first_waits_for_it() -> None:
    """From the last path on, HIGH comes first: between LOW alone and a leaf that is not there, which only then need not
    be merged when LOW is gone.
    """
    kept = key_of(0, HIGH)
    leaf, before = mst.build({kept: VALUE}), mst.build({kept: VALUE, key_of(1, kept): VALUE})
    after = mst.insert(mst.insert(before, LOW, VALUE), HIGH, VALUE)
    blocks = blocks_of(mst.nodes(after))
    assert len(blocks) == 3
    del blocks[bytes(leaf.cid)]
    low, high = Change(LOW, bytes(VALUE), None), Change(HIGH, bytes(VALUE), None)
    for changes in ([low, high], [high, low]):
        assert invert(bytes(after.cid), changes, blocks) == bytes(before.cid)
    with pytest.raises(MissingNodeError):
        invert(bytes(after.cid), [high], blocks)


def test_an_absence_is_seen_where_the_key_would_stand() -> None:
    tree = mst.build({LOW: VALUE, HIGH: VALUE, HIGHER: VALUE})
    top = {bytes(tree.cid): tree.block}
    assert find(bytes(tree.cid), key_of(3, HIGHER), top) is None
    assert find(bytes(tree.cid), HIGHER, top) == bytes(VALUE)
    with pytest.raises(MissingNodeError):
        find(bytes(tree.cid), LOW_2, top)
    assert find(bytes(mst.Node(0).cid), LOW, blocks_of([mst.Node(0)])) is None


def test_a72_a_record_of_raw_bytes_is_in_the_tree_like_any_other() -> None:
    before = mst.build({LOW: RAW, HIGH: VALUE})
    after = mst.insert(before, LOW_2, RAW)
    blocks = blocks_of(mst.nodes(after))
    assert dict(walk(bytes(after.cid), blocks))[LOW] == bytes(RAW)
    assert invert(bytes(after.cid), [Change(LOW_2, bytes(RAW), None)], blocks) == bytes(before.cid)


def entry(key: str | bytes, shared: Any = 0, value: Any = VALUE, below: Any = None, **more: Any) -> dict[str, Any]:
    raw = key.encode() if isinstance(key, str) else key
    return {"k": raw[shared:] if type(shared) is int else raw, "p": shared, "v": value, "t": below} | more


def node(*entries: Mapping[str, Any], left: Any = None, **more: Any) -> bytes:
    return encode_dag_cbor({"e": list(entries), "l": left} | more)


def without(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name}


def overlong(block: bytes) -> bytes:
    """The first prefix length, zero, written in two bytes."""
    assert block.count(b"ap\x00at") == 1
    return block.replace(b"ap\x00at", b"ap\x18\x00at")


SHARED = mst.common_prefix(LOW.encode(), LOW_2.encode())
LEAF = node(entry(LOW))
MANY = [key for n in range(3 * MAX_ENTRIES) if mst.height(key := f"a.b.c/{n:07}") == 0]


def wide(size: int) -> bytes:
    keys = MANY[:size]
    assert len(keys) == size
    shared = [0, *(mst.common_prefix(a.encode(), b.encode()) for a, b in pairwise(keys))]
    return node(*(entry(key, prefix) for key, prefix in zip(keys, shared, strict=True)))


def long_key(size: int) -> str:
    return next(key for n in count() if mst.height(key := f"{n:0{size}}") == 0)


BAD_NODES: dict[str, tuple[bytes, str]] = {
    "no map": (encode_dag_cbor([]), "tree node malformed"),
    "nothing": (b"", "tree node malformed"),
    "one key more": (node(entry(LOW), x=1), "tree node malformed"),
    "no l": (encode_dag_cbor({"e": [entry(LOW)]}), "tree node malformed"),
    "no e": (encode_dag_cbor({"l": None}), "tree node malformed"),
    "e a map": (encode_dag_cbor({"e": {}, "l": None}), "tree node malformed"),
    "l a number": (node(entry(LOW), left=1), "tree node malformed"),
    "l of raw bytes": (node(entry(LOW), left=RAW), "tree node malformed"),
    "an entry with one key more": (node(entry(LOW, x=1)), "tree node malformed"),
    "an entry without t": (node(without("t", entry(LOW))), "tree node malformed"),
    "an entry without v": (node(without("v", entry(LOW))), "tree node malformed"),
    "an entry that is null": (encode_dag_cbor({"e": [None], "l": None}), "tree node malformed"),
    "k a text": (node(entry(LOW, k=LOW)), "tree node malformed"),
    "p negative": (node(entry(LOW, p=-1)), "tree node malformed"),
    "p a float": (node(entry(LOW, p=0.0)), "tree node malformed"),
    "p false": (node(entry(LOW, p=False)), "tree node malformed"),
    "v null": (node(entry(LOW, value=None)), "tree node malformed"),
    "v bytes": (node(entry(LOW, value=bytes(VALUE))), "tree node malformed"),
    "v a short CID": (node(entry(LOW, value=CID(bytes(VALUE)[:-1]))), "tree node malformed"),
    "t of raw bytes": (node(entry(LOW, below=RAW)), "tree node malformed"),
    "bytes behind it": (LEAF + b"\x00", "tree node malformed"),
    "cut": (LEAF[:-1], "tree node malformed"),
    "a length that is too great": (LEAF.replace(b"\xa2ae\x81", b"\xa2ae\x82"), "tree node malformed"),
    "a length that is too small": (node(entry(LOW), entry(LOW_2, SHARED)).replace(b"ae\x82", b"ae\x81"),
                                   "tree node malformed"),
    "a number longer than it need be": (overlong(LEAF), "tree node malformed"),
    "a first prefix": (node(entry(b"a" + LOW.encode(), 1)), "tree key prefix wrong"),
    "a prefix that is too short": (node(entry(LOW), entry(LOW_2, SHARED - 1)), "tree key prefix wrong"),
    "no prefix": (node(entry(LOW), entry(LOW_2)), "tree key prefix wrong"),
    "a prefix of more than there is": (node(entry(LOW), entry(LOW_2, p=200)), "tree key prefix wrong"),
    "descending": (node(entry(LOW_2), entry(LOW, SHARED)), "tree keys not ascending"),
    "a key twice": (node(entry(LOW), entry(LOW, len(LOW))), "tree keys not ascending"),
    "a key that begins the one before": (node(entry(LOW_2), entry(b"", p=3)), "tree keys not ascending"),
    "an empty key": (node(entry(b"")), "tree keys not ascending"),
    "keys of two heights": (node(entry(LOW), entry(HIGH, mst.common_prefix(LOW.encode(), HIGH.encode()))),
                            "tree key at wrong height"),
    "a subtree below the lowest layer": (node(entry(LOW), left=cid_of(LEAF)), "tree too deep"),
    "a top without entries": (node(left=cid_of(LEAF)), "tree top empty"),
    "too many entries": (wide(MAX_ENTRIES + 1), "tree node too large"),
    "a key that is too long": (node(entry(long_key(MAX_KEY + 1))), "tree key too long"),
}  # fmt: skip


def every_way(root: bytes, blocks: Mapping[bytes, bytes], path: str = LOW) -> list[Callable[[], object]]:
    return [
        lambda: list(walk(root, blocks)),
        lambda: find(root, path, blocks),
        lambda: invert(root, [Change(path, bytes(VALUE), None)], blocks),
    ]


@pytest.mark.parametrize(("block", "reason"), BAD_NODES.values(), ids=BAD_NODES)
def test_a65_a_node_that_is_none(block: bytes, reason: str) -> None:
    root = bytes(cid_of(block))
    for way in every_way(root, {root: block}):
        with pytest.raises(MstError) as caught:
            way()
        assert str(caught.value) == reason and type(caught.value) is MstError


def test_a65_the_same_nodes_without_the_fault() -> None:
    good = [node(entry(LOW), entry(LOW_2, SHARED)), LEAF, wide(MAX_ENTRIES)]
    for block in good:
        root = bytes(cid_of(block))
        assert dict(walk(root, {root: block}))
    root = bytes(cid_of(block := node(entry(key := long_key(MAX_KEY)))))
    assert list(walk(root, {root: block})) == [(key, bytes(VALUE))]


BELOW: dict[str, tuple[bytes, str]] = {
    "an empty leaf": (node(), "tree leaf empty"),
    "another height": (node(entry(HIGH)), "tree key at wrong height"),
    "above its parent's key": (node(entry(LATE)), "tree keys not ascending"),
}


@pytest.mark.parametrize(("block", "reason"), BELOW.values(), ids=BELOW)
def test_a65_a_node_that_may_not_stand_where_it_does(block: bytes, reason: str) -> None:
    top = node(entry(HIGH), left=cid_of(block))
    root = bytes(cid_of(top))
    for way in every_way(root, {root: top, bytes(cid_of(block)): block}):
        with pytest.raises(MstError) as caught:
            way()
        assert str(caught.value) == reason


def test_a65_below_its_parents_key() -> None:
    leaf = node(entry(LOW))
    top = node(entry(HIGH, below=cid_of(leaf)))
    root = bytes(cid_of(top))
    for way in every_way(root, {root: top, bytes(cid_of(leaf)): leaf}, key_of(0, HIGH)):
        with pytest.raises(MstError, match="tree keys not ascending"):
            way()


def test_a65_a_layer_may_not_be_skipped() -> None:
    leaf = node(entry(LOW))
    top = node(entry(HIGHER), left=cid_of(leaf))
    root = bytes(cid_of(top))
    for way in every_way(root, {root: top, bytes(cid_of(leaf)): leaf}):
        with pytest.raises(MstError, match="tree key at wrong height"):
            way()


def test_a65_a_node_below_itself_ends_at_the_lowest_layer() -> None:
    """Hashes make it impossible; here they lie."""
    empty = node(left=cid_of(b"again"))
    top = node(entry(HIGHER), left=cid_of(b"again"))
    root = bytes(cid_of(top))
    blocks = {root: top, bytes(cid_of(b"again")): empty}
    for way in every_way(root, blocks):
        with pytest.raises(MstError, match=r"tree too deep|tree key at wrong height"):
            way()
    blocks[bytes(cid_of(b"again"))] = top
    for way in every_way(root, blocks):
        with pytest.raises(MstError, match="tree key at wrong height"):
            way()


def test_a_key_that_is_no_text() -> None:
    raw = next(key for n in count() if height(key := b"\xff%d" % n) == 0)
    block = node(entry(raw))
    root = bytes(cid_of(block))
    with pytest.raises(MstError, match="tree key is no text"):
        list(walk(root, {root: block}))


@given(st.binary(max_size=200), st.booleans())
def test_a65_any_bytes(data: bytes, behind: bool) -> None:
    block = b"\xa2ae\x82\xa4ak" + data if behind else data
    root = bytes(cid_of(block))
    for way in every_way(root, {root: block}):
        with pytest.raises(MstError):
            way()


@settings(max_examples=300)
@given(st.data())
def test_a65_a_changed_node_is_refused_or_says_something_else(data: st.DataObject) -> None:
    """Of every set of entries there is one form only: a node that is taken is the one its entries make."""
    good = node(entry(LOW), entry(LOW_2, SHARED), entry(LOW_3, SHARED))
    root = bytes(cid_of(good))
    assert dict(walk(root, {root: good})).keys() == {LOW, LOW_2, LOW_3}
    block = bytearray(good)
    at = data.draw(st.integers(0, len(block) - 1))
    block[at] ^= data.draw(st.integers(1, 255))
    root = bytes(cid_of(bytes(block)))
    try:
        found = list(walk(root, {root: bytes(block)}))
    except MstError:
        return
    assert bytes(mst.build({path: CID(cid) for path, cid in found}).cid) == root


def test_s86_two_hundred_operations_in_the_widest_nodes_cost_no_seconds() -> None:
    """Two levels of a thousand keys each, and operations that go through both."""
    low = [key for n in range(4_000) if mst.height(key := f"a.b.c/{n:07}") == 0][:1000]
    high = [key for n in range(5_000, 30_000) if mst.height(key := f"a.b.c/{n:07}") == 1][:1000]
    top = key_of(4, high[-1])
    tree = mst.build(dict.fromkeys([*low, *high, top], VALUE))
    changes = [Change(key, bytes(VALUE), None) for key in [*low[::10], *high[::10]]]
    assert len(changes) == 200
    before = tree
    for change in changes:
        before = mst.remove(before, change.path)
    blocks = blocks_of(mst.nodes(tree))
    began = time.process_time()
    assert invert(bytes(tree.cid), changes, blocks) == bytes(before.cid)
    # And with what they need not there: each is tried a few times and no more.
    del blocks[bytes(next(n.cid for n in mst.nodes(tree) if n.layer == 0))]
    with pytest.raises(MissingNodeError):
        invert(bytes(tree.cid), changes, blocks)
    assert time.process_time() - began < 2
