"""CIDs and CAR v1 files (https://ipld.io/specs/transport/car/carv1/)."""

from collections.abc import Iterable

from cbrrr import CID, encode_dag_cbor


def cid_of(block: bytes) -> CID:
    """CID of a DAG-CBOR block: version 1, SHA-256."""
    return CID.cidv1_dag_cbor_sha256_32_from(block)


def varint(number: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def write_car(roots: Iterable[CID], blocks: Iterable[tuple[CID, bytes]]) -> bytes:
    """A CAR file of these roots and blocks, in the order given."""
    header = encode_dag_cbor({"version": 1, "roots": list(roots)})
    parts = [varint(len(header)), header]
    for cid, block in blocks:
        parts += (varint(len(cid.cid_bytes) + len(block)), cid.cid_bytes, block)
    return b"".join(parts)
