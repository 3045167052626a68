"""What the blocks of a CAR say: trees read from them, whole or in part, and commits undone."""

from collections.abc import Iterable, Mapping
from typing import Any

from cbrrr import CID, decode_dag_cbor

from tests.world import mst
from tests.world.mst import Absent, MissingNodeError, Node, Tree, height


def load(root: CID, blocks: Mapping[CID, bytes]) -> Node:
    """Read a tree; a node that is not among the blocks becomes `Absent`.

    The root must be there: MissingNodeError. The layer of a node comes from its keys or, where it has none,
    from the nodes around it.
    """
    tree = _read(root, None, blocks)
    if not isinstance(tree, Node):
        raise MissingNodeError(root.encode())
    return tree


def invert(root: CID, ops: Iterable[Mapping[str, Any]], blocks: Mapping[CID, bytes]) -> CID:
    """Root of the tree before a commit: its operations undone, deletes first, then paths from last to first.

    Raises MissingNodeError when the blocks do not cover the operations, and KeyError when the tree lacks one.
    """
    tree = load(root, blocks)
    for op in sorted(ops, key=lambda op: (op["action"] == "delete", op["path"]), reverse=True):
        if mst.get(tree, op["path"]) != op["cid"]:
            raise KeyError(op["path"])
        if op["action"] == "create":
            tree = mst.remove(tree, op["path"])
        else:
            tree = mst.insert(tree, op["path"], op["prev"])
    return tree.cid


def _read(cid: CID, layer: int | None, blocks: Mapping[CID, bytes]) -> Tree:
    block = blocks.get(cid)
    if block is None:
        return Absent(cid)
    data: Any = decode_dag_cbor(block)
    keys: list[str] = []
    for entry in data["e"]:
        before = keys[-1].encode() if keys else b""
        keys.append((before[: entry["p"]] + entry["k"]).decode())
    if keys:
        layer = height(keys[0])
    elif layer is None:
        layer = _layer_above(data["l"], blocks)
    links = [data["l"], *(entry["t"] for entry in data["e"])]
    children = tuple(None if link is None else _read(link, layer - 1, blocks) for link in links)
    return Node(layer, tuple(keys), tuple(entry["v"] for entry in data["e"]), children)


def _layer_above(link: CID | None, blocks: Mapping[CID, bytes]) -> int:
    """Layer of a root without entries: one more than that of its only child."""
    if link is None:
        return 0
    block = blocks.get(link)
    if block is None:
        raise MissingNodeError(link.encode())
    data: Any = decode_dag_cbor(block)
    return 1 + (height(data["e"][0]["k"].decode()) if data["e"] else _layer_above(data["l"], blocks))
