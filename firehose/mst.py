"""The Merkle search tree of a repository, of which only some nodes may be at hand (https://atproto.com/specs/repository).

All keys of a node have the height of its layer and a child is exactly one layer lower than its parent, which bounds the
depth; all keys ascend. Nodes are held against no hash here: the blocks must have been. CIDs are their 36 bytes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from firehose.mst_node import MstError, Node, Tree, height, read_node, seal

PASSES = 4
"""How often what cannot be undone yet is tried again."""


class MissingNodeError(MstError):
    """A node is needed that is not at hand."""


class ChangeError(MstError):
    """A change says otherwise than the tree."""


class Change(NamedTuple):
    """One operation of a commit: the CIDs of the record at `path` after it and before it, None where there is none."""

    path: str
    cid: bytes | None
    prev: bytes | None


class _Nodes:
    """The nodes at hand, each read once."""

    def __init__(self, blocks: Mapping[bytes, bytes]) -> None:
        self._blocks = blocks
        self._read: dict[bytes, Node] = {}

    def root(self, cid: bytes) -> Node:
        return self._open(cid, None)

    def kid(self, tree: Node | bytes, layer: int, low: bytes, high: bytes | None) -> Node:
        """The node that `tree` is, in `layer`, whose keys lie between `low` and `high`."""
        if isinstance(tree, Node):
            return tree
        node = self._open(tree, layer)
        if node.layer != layer:
            raise MstError("tree key at wrong height")
        if node.keys and (node.keys[0] <= low or (high is not None and node.keys[-1] >= high)):
            raise MstError("tree keys not ascending")
        return node

    def _open(self, cid: bytes, layer: int | None) -> Node:
        node = self._read.get(cid)
        if node is None:
            block = self._blocks.get(cid)
            if block is None:
                raise MissingNodeError("tree node missing")
            node = self._read[cid] = read_node(block, layer)
            node.cid = cid
        return node


def find(root: bytes, path: str, blocks: Mapping[bytes, bytes]) -> bytes | None:
    """The CID of the record at `path` in the tree of this root; None where the tree shows that there is none.

    Raises MissingNodeError when it cannot be told from the blocks, else MstError.
    """
    return next(find_all(root, (path,), blocks))


def find_all(root: bytes, paths: Iterable[str], blocks: Mapping[bytes, bytes]) -> Iterator[bytes | None]:
    """As `find`, for each path in turn; no node is read twice: two hundred paths may lead through large ones."""
    nodes = _Nodes(blocks)
    for path in paths:
        yield _find(nodes, root, path.encode())


def _find(nodes: _Nodes, root: bytes, key: bytes) -> bytes | None:
    node, layer = nodes.root(root), height(key)
    low, high = b"", None
    while True:
        at = bisect_left(node.keys, key)
        if at < len(node.keys):
            high = node.keys[at]
            if high == key:
                return node.values[at]
        kid = node.kids[at]
        if kid is None or node.layer <= layer:
            return None
        low = node.keys[at - 1] if at else low
        node = nodes.kid(kid, node.layer - 1, low, high)


def walk(root: bytes, blocks: Mapping[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
    """Path and CID of every record of the tree, in order. Raises MissingNodeError where it is not whole, else MstError.

    No node is kept, so it costs no more memory than the blocks do.
    """
    last = b""
    # Subtrees with their layers, and keys with the CIDs of their records, from the last to the next.
    waiting: list[tuple[bytes, int | None, bytes]] = [(root, None, b"")]
    try:
        while waiting:
            cid, layer, key = waiting.pop()
            if key:
                if key <= last:
                    raise MstError("tree keys not ascending")
                last = key
                yield key.decode(), cid
                continue
            block = blocks.get(cid)
            if block is None:
                raise MissingNodeError("tree node missing")
            node = read_node(block, layer)
            if not any(node.kids):
                if node.keys:
                    if node.keys[0] <= last:
                        raise MstError("tree keys not ascending")
                    last = node.keys[-1]
                yield from zip(map(bytes.decode, node.keys), node.values, strict=True)
                continue
            for at in range(len(node.keys), -1, -1):
                if (kid := node.kids[at]) is not None:
                    waiting.append((seal(kid), node.layer - 1, b""))
                if at:
                    waiting.append((node.values[at - 1], None, node.keys[at - 1]))
    except UnicodeDecodeError:
        raise MstError("tree key is no text") from None


# Undoing changes


def invert(root: bytes, changes: Iterable[Change], blocks: Mapping[bytes, bytes]) -> bytes:
    """The root of the tree before `changes`, of which none may name a path twice, from the tree after them.

    What was deleted is put back first, then from the last path to the first, as most producers choose their blocks
    for that; what needs a node that is not at hand waits for the others, since the order does not change the outcome.
    Raises ChangeError where the tree does not hold what a change says, MissingNodeError, or another MstError.
    """
    waiting = sorted(changes, key=lambda change: (change.cid is None, change.path), reverse=True)
    if not waiting:
        return root
    nodes = _Nodes(blocks)
    top = nodes.root(root)
    for _ in range(PASSES):
        missing: list[Change] = []
        for change in waiting:
            try:
                top = _undo(nodes, top, change)
            except MissingNodeError:
                missing.append(change)
        if not missing or len(missing) == len(waiting):
            break
        waiting = missing[::-1]
    if missing:
        raise MissingNodeError("tree node missing")
    while not top.keys and (kid := top.kids[0]) is not None:
        try:
            top = nodes.kid(kid, top.layer - 1, b"", None)
        except MissingNodeError:
            return seal(kid)  # it need not be at hand: its CID is known
    return seal(top)


def _undo(nodes: _Nodes, top: Node, change: Change) -> Node:
    """The tree before one change."""
    key = change.path.encode()
    layer = height(key)
    if change.cid is not None:
        return _without(nodes, top, key, layer, b"", None, change) or Node(0, [], [], [None])
    if change.prev is None:
        raise ChangeError("op without prev")
    if not top.keys and top.kids[0] is None:
        return Node(layer, [key], [change.prev], [None, None])
    while top.layer < layer:
        top = Node(top.layer + 1, [], [], [top])
    return _with(nodes, top, key, layer, b"", None, change.prev)


def _without(
    nodes: _Nodes, node: Node, key: bytes, layer: int, low: bytes, high: bytes | None, change: Change
) -> Node | None:
    """The subtree with the key's record put back to what it was, or the key taken out."""
    at = bisect_left(node.keys, key)
    kids = node.kids
    if node.layer <= layer:
        if node.layer < layer or at == len(node.keys) or node.keys[at] != key or node.values[at] != change.cid:
            raise ChangeError("op is not in the tree")
        if change.prev is not None:
            return Node(layer, node.keys, [*node.values[:at], change.prev, *node.values[at + 1 :]], kids)
        low = node.keys[at - 1] if at else low
        high = node.keys[at + 1] if at + 1 < len(node.keys) else high
        between = _merge(nodes, kids[at], kids[at + 1], layer - 1, low, key, high)
        keys = [*node.keys[:at], *node.keys[at + 1 :]]
        if not keys and between is None:
            return None
        return Node(layer, keys, [*node.values[:at], *node.values[at + 1 :]], [*kids[:at], between, *kids[at + 2 :]])
    kid = kids[at]
    if kid is None:
        raise ChangeError("op is not in the tree")
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    below = _without(nodes, nodes.kid(kid, node.layer - 1, low, high), key, layer, low, high, change)
    if below is None and not node.keys:
        return None
    return node.with_kid(at, below)


def _with(nodes: _Nodes, node: Node, key: bytes, layer: int, low: bytes, high: bytes | None, value: bytes) -> Node:
    """The subtree with a key that it does not hold put in."""
    at = bisect_left(node.keys, key)
    if at < len(node.keys) and node.keys[at] == key:
        raise ChangeError("deleted record is in the tree")
    kids, kid = node.kids, node.kids[at]
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    if node.layer == layer:
        halves = _split(nodes, kid, layer - 1, key, low, high)
        return Node(
            layer,
            [*node.keys[:at], key, *node.keys[at:]],
            [*node.values[:at], value, *node.values[at:]],
            [*kids[:at], *halves, *kids[at + 1 :]],
        )
    below = Node(node.layer - 1, [], [], [None]) if kid is None else nodes.kid(kid, node.layer - 1, low, high)
    return node.with_kid(at, _with(nodes, below, key, layer, low, high, value))


def _merge(nodes: _Nodes, left: Tree, right: Tree, layer: int, low: bytes, middle: bytes, high: bytes | None) -> Tree:
    """One subtree of two neighbours, below and above the key `middle` that stood between them."""
    if left is None or right is None:
        return right if left is None else left
    one, other = nodes.kid(left, layer, low, middle), nodes.kid(right, layer, middle, high)
    low = one.keys[-1] if one.keys else low
    high = other.keys[0] if other.keys else high
    between = _merge(nodes, one.kids[-1], other.kids[0], layer - 1, low, middle, high)
    return Node(layer, one.keys + other.keys, one.values + other.values, [*one.kids[:-1], between, *other.kids[1:]])


def _split(nodes: _Nodes, tree: Tree, layer: int, key: bytes, low: bytes, high: bytes | None) -> tuple[Tree, Tree]:
    """The parts of a subtree below and above a key that it does not hold."""
    if tree is None:
        return None, None
    node = nodes.kid(tree, layer, low, high)
    at = bisect_left(node.keys, key)
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    left, right = _split(nodes, node.kids[at], layer - 1, key, low, high)
    one = Node(layer, node.keys[:at], node.values[:at], [*node.kids[:at], left])
    other = Node(layer, node.keys[at:], node.values[at:], [right, *node.kids[at + 1 :]])
    return (one if at or left is not None else None), (other if at < len(node.keys) or right is not None else None)
