"""A repository: records, their tree, signed commits (version 3), and what a commit sends out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cbrrr import CID, decode_dag_cbor, encode_dag_cbor

from tests.world import mst
from tests.world.car import cid_of, write_car
from tests.world.keys import Key

Action = Literal["create", "update", "delete"]


@dataclass(frozen=True)
class Write:
    """One operation of a commit; `record` holds plain values, `CID`s and bytes, and is None for a delete."""

    action: Action
    path: str
    record: Mapping[str, Any] | None = None


class Repo:
    """The repository of one account.

    `records` maps a path to the record's block. A tree may be given to begin with, without its records.
    """

    def __init__(self, did: str, key: Key, tree: mst.Node | None = None) -> None:
        self.did = did
        self.key = key
        self.tree = tree or mst.Node(0)
        self.records: dict[str, bytes] = {}
        self.rev: str | None = None
        self.head: CID | None = None
        self.commit_block = b""

    def sign(
        self,
        rev: str,
        changes: Mapping[str, Any] | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> bytes:
        """A commit block over the tree as it is. `changes` and `sign` are for tests that need a wrong one."""
        commit: dict[str, Any] = {
            "did": self.did,
            "version": 3,
            "data": self.tree.cid,
            "rev": rev,
            "prev": None,
        } | dict(changes or {})
        commit["sig"] = (sign or self.key.sign)(encode_dag_cbor(commit))
        return encode_dag_cbor(commit)

    def commit(
        self,
        writes: Iterable[Write],
        rev: str,
        *,
        changes: Mapping[str, Any] | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> dict[str, Any]:
        """Apply the writes and return the `#commit` payload, without `seq` and `time`.

        Raises KeyError when an update or delete names a record that is not there.
        """
        writes = list(writes)
        since, before = self.rev, self.tree
        ops: list[dict[str, Any]] = []
        fresh: dict[CID, bytes] = {}
        for write in writes:
            previous = mst.get(self.tree, write.path)
            op: dict[str, Any] = {"action": write.action, "path": write.path, "cid": None}
            if write.action != "create":
                if previous is None:
                    raise KeyError(write.path)
                op["prev"] = previous
            if write.action == "delete":
                self.tree = mst.remove(self.tree, write.path)
                self.records.pop(write.path, None)
            else:
                block = encode_dag_cbor(dict(write.record or {}))
                op["cid"] = cid_of(block)
                fresh[op["cid"]] = self.records[write.path] = block
                self.tree = mst.insert(self.tree, write.path, op["cid"])
            ops.append(op)
        nodes = {self.tree.cid: self.tree.block}
        for write in writes:
            nodes |= {node.cid: node.block for node in mst.covering(self.tree, write.path)}
        self.commit_block = self.sign(rev, changes, sign)
        self.head, self.rev = cid_of(self.commit_block), rev
        payload: dict[str, Any] = {
            "repo": self.did,
            "commit": self.head,
            "rev": rev,
            "since": since,
            "blocks": write_car([self.head], {self.head: self.commit_block, **nodes, **fresh}.items()),
            "ops": ops,
            "blobs": [],
            "rebase": False,
            "tooBig": False,
        }
        return payload if since is None else payload | {"prevData": before.cid}

    def latest(self) -> bytes:
        """A CAR with nothing but the latest commit, as `#sync` carries it."""
        assert self.head is not None, "a repository without a commit"
        return write_car([self.head], [(self.head, self.commit_block)])

    def export(self) -> bytes:
        """The whole repository as a CAR, as getRepo answers it."""
        assert self.head is not None, "a repository without a commit"
        blocks = {self.head: self.commit_block} | {node.cid: node.block for node in mst.nodes(self.tree)}
        blocks |= {cid_of(block): block for block in self.records.values()}
        return write_car([self.head], blocks.items())

    def proof(self, path: str) -> bytes:
        """A CAR that proves that a record is or is not there, as `com.atproto.sync.getRecord` answers it."""
        assert self.head is not None, "a repository without a commit"
        blocks = {self.head: self.commit_block}
        blocks |= {node.cid: node.block for node in mst.covering(self.tree, path)}
        if path in self.records:
            blocks[cid_of(self.records[path])] = self.records[path]
        return write_car([self.head], blocks.items())

    def record(self, path: str) -> tuple[CID, dict[str, Any]] | None:
        """CID and value of a record, CIDs and bytes in their JSON form; None if it is not there."""
        block = self.records.get(path)
        if block is None:
            return None
        value: Any = decode_dag_cbor(block, atjson_mode=True)
        return cid_of(block), value
