"""One node of a repository's Merkle search tree (https://atproto.com/specs/repository), read and written.

It is a DAG-CBOR block `{e: [{k, p, t, v}], l}`: `v` the CID of a record, `p` how many bytes of the key before are
shared with this one and `k` the rest, `l` and `t` the subtrees before all and behind each of the keys. The height of
a key (leading zeros of its SHA-256, two bits at a time) is that of its node. Whatever deviates from the one form in
which the entries may be written is refused. CIDs are their 36 bytes.
"""

import re
from hashlib import sha256

MAX_ENTRIES = 1024
"""Keys in one node. A node has four on average; by chance, 200 do not happen."""
MAX_KEY = 1024
"""Bytes; a collection and a record key together have at most 830."""

_NODE_CID = b"\x01\x71\x12\x20"
_LINK = b"\xd8\x2aX\x25\x00"
_NULL = b"\xf6"


class MstError(Exception):
    """The tree is none; the message is the reason."""


class Node:
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
        kids: "list[Node | bytes | None]",
        block: bytes = b"",
        links: "list[Node | bytes | None] | None" = None,
    ) -> None:
        self.layer = layer
        self.keys = keys
        self.values = values
        self.kids = kids
        self.block = block
        self.links = links or kids
        self.cid = b""

    def with_kid(self, at: int, kid: "Node | bytes | None") -> "Node":
        """The node with another subtree at one place."""
        kids = self.kids.copy()
        kids[at] = kid
        return Node(self.layer, self.keys, self.values, kids, self.block, self.links)


Tree = Node | bytes | None
"""A subtree: read, known by its CID alone, or not there."""


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


def read_node(block: bytes, layer: int | None) -> Node:
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
    kids: list[Node | bytes | None] = [None]
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
    return Node(layer, keys, values, kids, block)


def _write(node: Node) -> bytes:
    """The block of a node whose children have their CIDs."""
    cids = [kid.cid if isinstance(kid, Node) else kid for kid in node.kids]
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


def _patch(node: Node, cids: list[bytes | None]) -> bytes | None:
    """The block that the node has a claim to, with its links exchanged; None where that is not the whole difference."""
    block = node.block
    for kid, cid in zip(node.links, cids, strict=True):
        old = kid.cid if isinstance(kid, Node) else kid
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


def seal(tree: Node | bytes) -> bytes:
    """The CID of a subtree, all of whose new nodes are given theirs."""
    if isinstance(tree, bytes):
        return tree
    if not tree.cid:
        for kid in tree.kids:
            if kid is not None:
                seal(kid)
        tree.cid = _NODE_CID + sha256(_write(tree)).digest()
    return tree.cid
