"""What servers without proofs tell of a relay's history: one operation at a time, records as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cbrrr import decode_dag_cbor, decode_multi_dag_cbor_in_violation_of_the_spec

from tests.world.account import Account, Record
from tests.world.relay import Entry


@dataclass(frozen=True)
class Told:
    """One operation, or one event of another kind. `body` is the operation, or the upstream event as JSON."""

    kind: str
    did: str
    time: str
    body: dict[str, Any]

    @property
    def collection(self) -> str:
        """Of an operation; empty for other kinds."""
        return str(self.body["collection"]) if self.kind == "commit" else ""


def retell(entry: Entry) -> Iterator[Told]:
    """What an entry of the relay's history says; nothing for frames that are none."""
    if not entry.retained or not entry.frame:
        return
    try:
        header, payload = decode_multi_dag_cbor_in_violation_of_the_spec(entry.frame)
    except ValueError:
        return
    kind = header.get("t", "").removeprefix("#")
    if kind == "commit":
        blocks = _blocks(payload["blocks"])
        for op in payload["ops"]:
            collection, rkey = op["path"].split("/")
            body = {"rev": payload["rev"], "operation": op["action"], "collection": collection, "rkey": rkey}
            if op["cid"] is not None:
                body["record"] = decode_dag_cbor(blocks[bytes(op["cid"])], atjson_mode=True)
                body["cid"] = op["cid"].encode()
            yield Told(kind, payload["repo"], payload["time"], body)
    elif kind in ("identity", "account", "sync"):
        body = {key: value for key, value in payload.items() if key != "blocks"}
        yield Told(kind, payload["did"], payload["time"], body)


def holdings(account: Account, *records: Record) -> Iterator[Told]:
    """What a server tells of a repository that it has read whole: `#sync`, and creates of what it holds.

    `records`: those that are told; none for all.
    """
    rev, time = account.repo.rev, account._clock.iso()
    yield Told("sync", account.did, time, {"did": account.did, "rev": rev})
    for record in records or [account.read(path) for path in sorted(account.repo.records)]:
        value = decode_dag_cbor(account.repo.records[record.path], atjson_mode=True)
        body = {"rev": rev, "operation": "create", "collection": record.collection, "rkey": record.rkey}
        yield Told("commit", account.did, time, {**body, "record": value, "cid": record.cid})


def _blocks(car: bytes) -> dict[bytes, bytes]:
    """The blocks of a CAR, by CID."""
    size, at = _varint(car, 0)
    at += size
    blocks = {}
    while at < len(car):
        size, at = _varint(car, at)
        blocks[car[at : at + 36]] = car[at + 36 : at + size]
        at += size
    return blocks


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
