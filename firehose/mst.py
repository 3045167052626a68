"""The Merkle search tree of a repository, of which only some nodes may be at hand (https://atproto.com/specs/repository).

A node is a DAG-CBOR block `{e: [{k, p, t, v}], l}`: `v` the CID of a record, `p` how many bytes of the key before are
shared with this one and `k` the rest, `l` and `t` the subtrees before all and behind each of the keys. The height of
a key (leading zeros of its SHA-256, two bits at a time) is that of its node; a child is exactly one lower than its
parent, which bounds the depth. Whatever deviates from the one form in which a set of keys may be written is refused.

CIDs are their 36 bytes. Nodes are held against no hash here: the blocks must have been.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

MAX_ENTRIES = 1024
"""Keys in one node. A node has four on average; by chance, 200 do not happen."""
MAX_KEY = 1024
"""Bytes; a collection and a record key together have at most 830."""
PASSES = 4
"""How often what cannot be undone yet is tried again."""

_NODE_CID = b"\x01\x71\x12\x20"
_LINK = b"\xd8\x2aX\x25\x00"
_NULL = b"\xf6"


class MstError(Exception):
    """The tree is none; the message is the reason."""


class MissingNodeError(MstError):
    """A node is needed that is not at hand."""


class ChangeError(MstError):
    """A change says otherwise than the tree."""


class Change(NamedTuple):
    """One operation of a commit: the CIDs of the record at `path` after it and before it, None where there is none."""

    path: str
    cid: bytes | None
    prev: bytes | None


class _Node:
    """`kids` has one place more than `keys`, each a subtree. A node is never changed, but replaced.

    `block` is what it was read from, or what the node that it replaces was, as long as the keys and values are those;
    `links` are the subtrees there.
    """

    __slots__ = ("block", "cid", "keys", "kids", "layer", "links", "values")

    def __init__(
        self,
        layer: int,
        keys: list[bytes],
        values: list[bytes],
        kids: "list[_Node | bytes | None]",
        block: bytes = b"",
        links: "list[_Node | bytes | None] | None" = None,
    ) -> None:
        self.layer = layer
        self.keys = keys
        self.values = values
        self.kids = kids
        self.block = block
        self.links = links or kids
        self.cid = b""

    def with_kid(self, at: int, kid: "_Node | bytes | None") -> "_Node":
        """The node with another subtree at one place."""
        kids = self.kids.copy()
        kids[at] = kid
        return _Node(self.layer, self.keys, self.values, kids, self.block, self.links)


_Tree = _Node | bytes | None
"""A subtree: read, known by its CID alone, or not there."""


# Reading and writing a node

_CBOR_LINK = rb"\xd8\x2aX\x25\x00(\x01\x71\x12\x20.{32})"
_CBOR_NEXT = rb"(?:\xa4ak([\x40-\x57]|X[\x18-\xff]|Y[\x01-\xff].)|al(?:\xf6|" + _CBOR_LINK + rb")\Z)"
_FIRST = re.compile(rb"\xa2ae([\x80-\x97]|\x98[\x18-\xff]|\x99[\x01-\xff].)" + _CBOR_NEXT, re.DOTALL)
_REST = re.compile(
    rb"ap([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].)at(?:\xf6|" + _CBOR_LINK + rb")"
    # A record that is raw bytes is no record, but in the tree it is (it is passed over later, by itself).
    rb"av\xd8\x2aX\x25\x00(\x01[\x71\x55]\x12\x20.{32})" + _CBOR_NEXT,
    re.DOTALL,
)
_ZEROS = bytes((8 - byte.bit_length()) // 2 for byte in range(256))


def height(key: bytes) -> int:
    """The layer of the tree in which a key stands."""
    layer = 0
    for byte in sha256(key).digest():
        if byte:
            return layer + _ZEROS[byte]
        layer += 4
    return layer


def _number(head: bytes) -> int:
    """The number that the head of a data item holds."""
    return head[0] & 0x1F if len(head) == 1 else int.from_bytes(head[1:], "big")


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes((kind | number,))
    return bytes((kind | 24, number)) if number < 256 else bytes((kind | 25, number >> 8, number & 0xFF))


def _read(block: bytes, layer: int | None) -> _Node:
    """A node out of its block, checked by itself. `layer` is where it must stand; None for the root."""
    match = _FIRST.match(block)
    if match is None:
        raise MstError("tree node malformed")
    count, head, left = match.groups()
    entries = _number(count)
    if entries > MAX_ENTRIES:
        raise MstError("tree node too large")
    keys: list[bytes] = []
    values: list[bytes] = []
    kids: list[_Node | bytes | None] = [None]
    key = b""
    while head is not None:
        at = match.end()
        end = at + (head[0] - 0x40 if len(head) == 1 else _number(head))
        rest = block[at:end]
        match = _REST.match(block, end)
        if match is None:
            raise MstError("tree node malformed")
        prefix, kid, value, head, left = match.groups()
        shared = prefix[-1] if len(prefix) < 3 else _number(prefix)
        if shared != len(key):
            if shared > len(key):
                raise MstError("tree key prefix wrong")
            if not rest or rest[0] < key[shared]:
                raise MstError("tree keys not ascending")
            if rest[0] == key[shared]:
                raise MstError("tree key prefix wrong")
        elif not rest:
            raise MstError("tree keys not ascending")
        key = key[:shared] + rest
        if len(key) > MAX_KEY:
            raise MstError("tree key too long")
        if layer is None:
            layer = height(key)
        elif (_ZEROS[sha256(key).digest()[0]] if layer < 4 else height(key)) != layer:
            raise MstError("tree key at wrong height")
        keys.append(key)
        values.append(value)
        kids.append(kid)
    if len(keys) != entries:
        raise MstError("tree node malformed")
    kids[0] = left
    if layer is None:
        if left is not None:
            raise MstError("tree top empty")
        layer = 0
    elif not layer and any(kids):
        raise MstError("tree too deep")
    elif not keys and left is None:
        raise MstError("tree leaf empty")
    return _Node(layer, keys, values, kids, block)


def _write(node: _Node) -> bytes:
    """The block of a node whose children have their CIDs."""
    cids = [kid.cid if isinstance(kid, _Node) else kid for kid in node.kids]
    if node.block and (patched := _patch(node, cids)):
        return patched
    before = b""
    left, *right = [_NULL if cid is None else _LINK + cid for cid in cids]
    parts = [b"\xa2ae", _head(0x80, len(node.keys))]
    for key, value, kid in zip(node.keys, node.values, right, strict=True):
        shared = common_prefix(before, key)
        rest = key[shared:]
        parts += (b"\xa4ak", _head(0x40, len(rest)), rest, b"ap", _head(0, shared), b"at", kid, b"av", _LINK, value)
        before = key
    parts += (b"al", left)
    return b"".join(parts)


def _patch(node: _Node, cids: list[bytes | None]) -> bytes | None:
    """The block that the node has a claim to, with its links exchanged; None where that is not the whole difference."""
    block = node.block
    for kid, cid in zip(node.links, cids, strict=True):
        old = kid.cid if isinstance(kid, _Node) else kid
        if old != cid:
            if old is None or cid is None or block.count(old) != 1:
                return None
            block = block.replace(old, cid)
    return block


def common_prefix(left: bytes, right: bytes) -> int:
    """Number of equal bytes at the start of both."""
    size = min(len(left), len(right))
    differing = int.from_bytes(left[:size], "big") ^ int.from_bytes(right[:size], "big")
    return size - (differing.bit_length() + 7) // 8


def _seal(tree: "_Node | bytes") -> bytes:
    """The CID of a subtree, all of whose new nodes are given theirs."""
    if isinstance(tree, bytes):
        return tree
    if not tree.cid:
        for kid in tree.kids:
            if kid is not None:
                _seal(kid)
        tree.cid = _NODE_CID + sha256(_write(tree)).digest()
    return tree.cid


# Looking things up


class _Nodes:
    """The nodes at hand, each read once."""

    def __init__(self, blocks: Mapping[bytes, bytes]) -> None:
        self._blocks = blocks
        self._read: dict[bytes, _Node] = {}

    def root(self, cid: bytes) -> _Node:
        return self._open(cid, None)

    def kid(self, tree: "_Node | bytes", layer: int, low: bytes, high: bytes | None) -> _Node:
        """The node that `tree` is, in `layer`, whose keys lie between `low` and `high`."""
        if isinstance(tree, _Node):
            return tree
        node = self._open(tree, layer)
        if node.layer != layer:
            raise MstError("tree key at wrong height")
        if node.keys and (node.keys[0] <= low or (high is not None and node.keys[-1] >= high)):
            raise MstError("tree keys not ascending")
        return node

    def _open(self, cid: bytes, layer: int | None) -> _Node:
        node = self._read.get(cid)
        if node is None:
            block = self._blocks.get(cid)
            if block is None:
                raise MissingNodeError("tree node missing")
            node = self._read[cid] = _read(block, layer)
            node.cid = cid
        return node


def find(root: bytes, path: str, blocks: Mapping[bytes, bytes]) -> bytes | None:
    """The CID of the record at `path` in the tree of this root; None where the tree shows that there is none.

    Raises MissingNodeError when it cannot be told from the blocks, else MstError.
    """
    nodes, key = _Nodes(blocks), path.encode()
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
            node = _read(block, layer)
            if not any(node.kids):
                if node.keys:
                    if node.keys[0] <= last:
                        raise MstError("tree keys not ascending")
                    last = node.keys[-1]
                yield from zip(map(bytes.decode, node.keys), node.values, strict=True)
                continue
            for at in range(len(node.keys), -1, -1):
                if (kid := node.kids[at]) is not None:
                    waiting.append((_seal(kid), node.layer - 1, b""))
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
            return _seal(kid)  # it need not be at hand: its CID is known
    return _seal(top)


def _undo(nodes: _Nodes, top: _Node, change: Change) -> _Node:
    """The tree before one change."""
    key = change.path.encode()
    layer = height(key)
    if change.cid is not None:
        return _without(nodes, top, key, layer, b"", None, change) or _Node(0, [], [], [None])
    if change.prev is None:
        raise ChangeError("op without prev")
    if not top.keys and top.kids[0] is None:
        return _Node(layer, [key], [change.prev], [None, None])
    while top.layer < layer:
        top = _Node(top.layer + 1, [], [], [top])
    return _with(nodes, top, key, layer, b"", None, change.prev)


def _without(
    nodes: _Nodes, node: _Node, key: bytes, layer: int, low: bytes, high: bytes | None, change: Change
) -> _Node | None:
    """The subtree with the key's record put back to what it was, or the key taken out."""
    at = bisect_left(node.keys, key)
    kids = node.kids
    if node.layer <= layer:
        if node.layer < layer or at == len(node.keys) or node.keys[at] != key or node.values[at] != change.cid:
            raise ChangeError("op is not in the tree")
        if change.prev is not None:
            return _Node(layer, node.keys, [*node.values[:at], change.prev, *node.values[at + 1 :]], kids)
        low = node.keys[at - 1] if at else low
        high = node.keys[at + 1] if at + 1 < len(node.keys) else high
        between = _merge(nodes, kids[at], kids[at + 1], layer - 1, low, key, high)
        keys = [*node.keys[:at], *node.keys[at + 1 :]]
        if not keys and between is None:
            return None
        return _Node(layer, keys, [*node.values[:at], *node.values[at + 1 :]], [*kids[:at], between, *kids[at + 2 :]])
    kid = kids[at]
    if kid is None:
        raise ChangeError("op is not in the tree")
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    below = _without(nodes, nodes.kid(kid, node.layer - 1, low, high), key, layer, low, high, change)
    if below is None and not node.keys:
        return None
    return node.with_kid(at, below)


def _with(nodes: _Nodes, node: _Node, key: bytes, layer: int, low: bytes, high: bytes | None, value: bytes) -> _Node:
    """The subtree with a key that it does not hold put in."""
    at = bisect_left(node.keys, key)
    if at < len(node.keys) and node.keys[at] == key:
        raise ChangeError("deleted record is in the tree")
    kids, kid = node.kids, node.kids[at]
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    if node.layer == layer:
        halves = _split(nodes, kid, layer - 1, key, low, high)
        return _Node(
            layer,
            [*node.keys[:at], key, *node.keys[at:]],
            [*node.values[:at], value, *node.values[at:]],
            [*kids[:at], *halves, *kids[at + 1 :]],
        )
    below = _Node(node.layer - 1, [], [], [None]) if kid is None else nodes.kid(kid, node.layer - 1, low, high)
    return node.with_kid(at, _with(nodes, below, key, layer, low, high, value))


def _merge(
    nodes: _Nodes, left: _Tree, right: _Tree, layer: int, low: bytes, middle: bytes, high: bytes | None
) -> _Tree:
    """One subtree of two neighbours, below and above the key `middle` that stood between them."""
    if left is None or right is None:
        return right if left is None else left
    one, other = nodes.kid(left, layer, low, middle), nodes.kid(right, layer, middle, high)
    low = one.keys[-1] if one.keys else low
    high = other.keys[0] if other.keys else high
    between = _merge(nodes, one.kids[-1], other.kids[0], layer - 1, low, middle, high)
    return _Node(layer, one.keys + other.keys, one.values + other.values, [*one.kids[:-1], between, *other.kids[1:]])


def _split(nodes: _Nodes, tree: _Tree, layer: int, key: bytes, low: bytes, high: bytes | None) -> tuple[_Tree, _Tree]:
    """The parts of a subtree below and above a key that it does not hold."""
    if tree is None:
        return None, None
    node = nodes.kid(tree, layer, low, high)
    at = bisect_left(node.keys, key)
    low, high = node.keys[at - 1] if at else low, node.keys[at] if at < len(node.keys) else high
    left, right = _split(nodes, node.kids[at], layer - 1, key, low, high)
    one = _Node(layer, node.keys[:at], node.values[:at], [*node.kids[:at], left])
    other = _Node(layer, node.keys[at:], node.values[at:], [right, *node.kids[at + 1 :]])
    return (one if at or left is not None else None), (other if at < len(node.keys) or right is not None else None)
