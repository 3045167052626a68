"""Commits of any blocks and any CAR, otherwise right: the tree holds what the operations say, and it is signed."""

from collections.abc import Callable, Mapping
from typing import Any

from cbrrr import CID
from hypothesis import strategies as st

from tests.consumer import blocks_of
from tests.world import Account, mst
from tests.world.car import cid_of, varint, write_car

Payload = dict[str, Any]
POST = "app.bsky.feed.post"

JSON_LIKE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Whatever DAG-CBOR may hold, small."""


def commit_blocks(account: Account, records: Mapping[str, bytes]) -> Payload:
    """A `#commit` payload that puts these bytes under these paths, whatever they are."""
    repo = account.repo
    before, since = repo.tree, repo.rev
    ops = []
    for path, block in records.items():
        previous = mst.get(repo.tree, path)
        ops.append({"action": "update" if previous else "create", "path": path, "cid": cid_of(block)})
        if previous:
            ops[-1]["prev"] = previous
        repo.tree = mst.insert(repo.tree, path, cid_of(block))
    repo.rev = account.commit()["rev"]  # an empty commit over the new tree
    blocks = {repo.head: repo.commit_block, repo.tree.cid: repo.tree.block}
    for path in records:
        blocks |= {node.cid: node.block for node in mst.covering(repo.tree, path)}
    blocks |= {cid_of(block): block for block in records.values()}
    return {
        "repo": account.did,
        "commit": repo.head,
        "rev": repo.rev,
        "since": since,
        "prevData": before.cid,
        "blocks": write_car([repo.head], blocks.items()),  # type: ignore[list-item, arg-type]
        "ops": ops,
        "blobs": [],
        "rebase": False,
        "tooBig": False,
    }


def recar(payload: Payload, change: Callable[[dict[CID, bytes]], object], roots: list[CID] | None = None) -> Payload:
    """The payload with the blocks of its CAR changed, and with other roots."""
    root, blocks = blocks_of(payload["blocks"])
    change(blocks)
    return payload | {"blocks": write_car([root] if roots is None else roots, blocks.items())}


def record_cid(payload: Payload) -> CID:
    """The CID of the first operation's record."""
    cid: CID = payload["ops"][0]["cid"]
    return cid


def longer_varint(payload: Payload, extra: int) -> Payload:
    """The length of the record's block written in `extra` more bytes than it needs."""
    car, cid = payload["blocks"], record_cid(payload).cid_bytes
    at = car.rindex(cid)
    block = car[at + 36 :]
    right = varint(len(block) + 36)
    assert car[at - len(right) : at] == right
    wrong = right[:-1] + bytes([right[-1] | 0x80]) + b"\x80" * (extra - 1) + b"\x00"
    return payload | {"blocks": car[: at - len(right)] + wrong + car[at:]}
