"""Merkle Search Tree, as the AT Protocol repository specification describes it (section "MST Structure").

Trees here are persistent: a change builds new nodes along one path and shares the rest with the tree before,
so an old root stays readable and two repositories may start from one tree. Every child stands exactly one
layer below its parent; where keys jump a layer there is a node without entries.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from cbrrr import CID, encode_dag_cbor

from tests.world.car import cid_of


class MissingNodeError(LookupError):
    """The walk needs a node whose block is not there."""


class Absent:
    """A subtree of which only the CID is known."""

    __slots__ = ("cid",)

    def __init__(self, cid: CID) -> None:
        self.cid = cid


class Node:
    """One node: `children` has one place more than `keys`, each a subtree one layer lower or None."""

    __slots__ = ("_block", "_cid", "children", "keys", "layer", "values")

    def __init__(
        self,
        layer: int,
        keys: tuple[str, ...] = (),
        values: tuple[CID, ...] = (),
        children: "tuple[Tree, ...]" = (None,),
    ) -> None:
        self.layer = layer
        self.keys = keys
        self.values = values
        self.children = children
        self._block: bytes | None = None
        self._cid: CID | None = None

    @property
    def block(self) -> bytes:
        """The node as DAG-CBOR."""
        if self._block is None:
            entries: list[Any] = []
            before = b""
            for key, value, right in zip(self.keys, self.values, self.children[1:], strict=True):
                raw = key.encode()
                shared = common_prefix(before, raw)
                entries.append({"p": shared, "k": raw[shared:], "v": value, "t": right.cid if right else None})
                before = raw
            left = self.children[0]
            self._block = encode_dag_cbor({"l": left.cid if left else None, "e": entries})
        return self._block

    @property
    def cid(self) -> CID:
        """Hash of `block`."""
        if self._cid is None:
            self._cid = cid_of(self.block)
        return self._cid


Tree = Node | Absent | None


def height(key: str) -> int:
    """Layer of a key: leading zeros of its SHA-256, counted two bits at a time."""
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")
    return (256 - digest.bit_length()) // 2


def common_prefix(left: bytes, right: bytes) -> int:
    """Number of equal bytes at the start of both."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def _present(tree: Tree) -> Node | None:
    if isinstance(tree, Absent):
        raise MissingNodeError(tree.cid.encode())
    return tree


def _node(layer: int, keys: tuple[str, ...], values: tuple[CID, ...], children: tuple[Tree, ...]) -> Node | None:
    """A node, or None when it would hold nothing at all."""
    return Node(layer, keys, values, children) if keys or children[0] is not None else None


def get(tree: Tree, key: str) -> CID | None:
    """Value under a key, or None."""
    node = _present(tree)
    while node is not None:
        at = bisect_left(node.keys, key)
        if at < len(node.keys) and node.keys[at] == key:
            return node.values[at]
        node = _present(node.children[at])
    return None


def insert(tree: Tree, key: str, value: CID) -> Node:
    """The tree with `key` set to `value`, whether it was there or not."""
    layer = height(key)
    node = _present(tree)
    if node is None or (not node.keys and node.children == (None,)):
        return Node(layer, (key,), (value,), (None, None))
    while node.layer < layer:
        node = Node(node.layer + 1, (), (), (node,))
    return _insert(node, key, value, layer)


def _insert(node: Node, key: str, value: CID, layer: int) -> Node:
    at = bisect_left(node.keys, key)
    keys, values, children = node.keys, node.values, node.children
    if layer == node.layer:
        if at < len(keys) and keys[at] == key:
            return Node(layer, keys, values[:at] + (value,) + values[at + 1 :], children)
        halves = split(children[at], key)
        return Node(
            layer,
            keys[:at] + (key,) + keys[at:],
            values[:at] + (value,) + values[at:],
            children[:at] + halves + children[at + 1 :],
        )
    below = _present(children[at]) or Node(node.layer - 1)
    child = _insert(below, key, value, layer)
    return Node(node.layer, keys, values, children[:at] + (child,) + children[at + 1 :])


def split(tree: Tree, key: str) -> tuple[Tree, Tree]:
    """The parts of a tree before and after a key that it does not hold."""
    node = _present(tree)
    if node is None:
        return None, None
    at = bisect_left(node.keys, key)
    left, right = split(node.children[at], key)
    return (
        _node(node.layer, node.keys[:at], node.values[:at], node.children[:at] + (left,)),
        _node(node.layer, node.keys[at:], node.values[at:], (right,) + node.children[at + 1 :]),
    )


def merge(left: Tree, right: Tree) -> Tree:
    """One tree of two neighbours of the same layer; the inverse of `split`."""
    if left is None or right is None:
        return right if left is None else left
    left, right = _present(left), _present(right)
    assert left and right
    middle = merge(left.children[-1], right.children[0])
    children = left.children[:-1] + (middle,) + right.children[1:]
    return Node(left.layer, left.keys + right.keys, left.values + right.values, children)


def remove(tree: Tree, key: str) -> Node:
    """The tree without `key`; KeyError if it was not there. Tops without entries are trimmed off."""
    node = _remove(tree, key)
    while node is not None and not node.keys and node.children[0] is not None:
        below = node.children[0]
        if isinstance(below, Absent):
            raise MissingNodeError(below.cid.encode())
        node = below
    return node or Node(0)


def _remove(tree: Tree, key: str) -> Node | None:
    node = _present(tree)
    if node is None:
        raise KeyError(key)
    at = bisect_left(node.keys, key)
    keys, values, children = node.keys, node.values, node.children
    if at < len(keys) and keys[at] == key:
        middle = merge(children[at], children[at + 1])
        children = children[:at] + (middle,) + children[at + 2 :]
        return _node(node.layer, keys[:at] + keys[at + 1 :], values[:at] + values[at + 1 :], children)
    child = _remove(children[at], key)
    return _node(node.layer, keys, values, children[:at] + (child,) + children[at + 1 :])


def covering(tree: Node, key: str) -> Iterator[Node]:
    """The nodes that prove a key, or its absence, and let a reader undo its change.

    These are the nodes on the way to the key and, below a key that is there, the edges of the subtrees left
    and right of it: undoing the insertion merges them, undoing a removal splits the nodes on the way.
    """
    node: Node | None = tree
    while node is not None:
        yield node
        at = bisect_left(node.keys, key)
        if at < len(node.keys) and node.keys[at] == key:
            left, right = _present(node.children[at]), _present(node.children[at + 1])
            while left is not None:
                yield left
                left = _present(left.children[-1])
            while right is not None:
                yield right
                right = _present(right.children[0])
            return
        node = _present(node.children[at])


def nodes(tree: Tree) -> Iterator[Node]:
    """Every node, parents first."""
    node = _present(tree)
    if node is not None:
        yield node
        for child in node.children:
            yield from nodes(child)


def items(tree: Tree) -> Iterator[tuple[str, CID]]:
    """Every key with its value, in order."""
    node = _present(tree)
    if node is None:
        return
    for at, child in enumerate(node.children):
        yield from items(child)
        if at < len(node.keys):
            yield node.keys[at], node.values[at]


def build(entries: Mapping[str, CID]) -> Node:
    """A tree of many entries at once, in one pass from the bottom layer to the top."""
    if not entries:
        return Node(0)
    ordered = [(key, value, height(key)) for key, value in sorted(entries.items())]

    def below(low: int, high: int, layer: int) -> Node | None:
        if low == high:
            return None
        here = [at for at in range(low, high) if ordered[at][2] == layer]
        edges = [low - 1, *here, high]
        children = tuple(below(a + 1, b, layer - 1) for a, b in pairwise(edges))
        return Node(layer, tuple(ordered[at][0] for at in here), tuple(ordered[at][1] for at in here), children)

    top = below(0, len(ordered), max(layer for _, _, layer in ordered))
    assert top
    return top
