"""What a careful consumer of the event stream checks, with libraries that the simulated network does not sign with."""

from typing import Any

import libipld
from atproto_crypto.verify import verify_signature  # type: ignore[import-untyped]
from cbrrr import CID, decode_dag_cbor, encode_dag_cbor

from tests.world.car import cid_of
from tests.world.proof import invert


def blocks_of(car: bytes) -> tuple[CID, dict[CID, bytes]]:
    """Root and blocks of a CAR, read by hand; every block must have the hash that its CID says."""

    def varint(at: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            byte = car[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
            shift += 7

    size, at = varint(0)
    header: Any = decode_dag_cbor(car[at : at + size])
    assert header["version"] == 1
    assert len(header["roots"]) == 1
    at += size
    blocks = {}
    while at < len(car):
        size, at = varint(at)
        cid, block = CID(car[at : at + 36]), car[at + 36 : at + size]
        assert cid == cid_of(block)
        blocks[cid] = block
        at += size
    return header["roots"][0], blocks


def decode(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a frame; exactly two objects."""
    header, payload = libipld.decode_dag_cbor_multi(frame)
    return header, payload


def check_commit(payload: dict[str, Any], did_key: str) -> dict[str, Any]:
    """Verify a #commit payload as a careful consumer would; returns the signed commit."""
    root, blocks = blocks_of(payload["blocks"])
    assert root == CID(payload["commit"])
    commit: Any = decode_dag_cbor(blocks[root])
    signature = commit.pop("sig")
    assert len(signature) == 64
    assert verify_signature(did_key, encode_dag_cbor(commit), signature)
    assert (commit["version"], commit["did"], commit["rev"]) == (3, payload["repo"], payload["rev"])
    ops = [
        {
            **op,
            "cid": op["cid"] and CID(op["cid"]),
            "prev": CID(op["prev"]) if op.get("prev") else None,
        }
        for op in payload["ops"]
    ]
    assert all(op["cid"] is None or op["cid"] in blocks for op in ops)
    if "prevData" in payload:
        assert invert(commit["data"], ops, blocks) == CID(payload["prevData"])
    return dict(commit)
