"""What subscribeLabels sends, as bytes of CBOR and as JSON text. Pure.

Source: atproto.com/specs/event-stream: a message is a header and a payload, each canonical CBOR; the payload has no
`$type`. A label stands in it as it was signed and stored, byte for byte, so that a replay is identical.
"""

from collections.abc import Mapping, Sequence
from struct import pack

import orjson
from cbrrr import encode_dag_cbor

from labeler.label import to_json

LABELS_HEADER = bytes.fromhex("a2617467236c6162656c73626f7001")
"""`{"t": "#labels", "op": 1}`."""
INFO_HEADER = bytes.fromhex("a261746523696e666f626f7001")
"""`{"t": "#info", "op": 1}`."""
ERROR_HEADER = bytes.fromhex("a1626f7020")
"""`{"op": -1}`."""
_SEQ = b"\xa2cseq"
_ONE_LABEL = b"flabels\x81"
NSID = "com.atproto.label.subscribeLabels"

Rows = Sequence[tuple[int, bytes]]
"""`seq` and the signed label of each row, in order."""


def unsigned(number: int) -> bytes:
    """A whole number in the shortest form of CBOR."""
    if number < 24:
        return bytes((number,))
    if number < 0x100:
        return b"\x18" + bytes((number,))
    if number < 0x10000:
        return pack(">BH", 0x19, number)
    return pack(">BI", 0x1A, number) if number < 0x100000000 else pack(">BQ", 0x1B, number)


def labels_frame(seq: int, signed: bytes) -> bytes:
    """The message of one label."""
    return LABELS_HEADER + _SEQ + unsigned(seq) + _ONE_LABEL + signed


def info_frame(name: str, message: str) -> bytes:
    """A message that says something of the stream."""
    return INFO_HEADER + encode_dag_cbor({"name": name, "message": message})


def error_frame(error: str, message: str) -> bytes:
    """The last message before a close."""
    return ERROR_HEADER + encode_dag_cbor({"error": error, "message": message})


def websocket(message: bytes) -> bytes:
    """A binary message as a server puts it on the wire (RFC 6455, section 5.2): whole, unmasked, uncompressed; so the
    same bytes do for every connection.
    """
    size = len(message)
    if size < 126:
        return pack(">BB", 0x82, size) + message
    return (pack(">BBH", 0x82, 126, size) if size < 0x10000 else pack(">BBQ", 0x82, 127, size)) + message


def on_the_wire(rows: Rows) -> bytes:
    """The rows as messages of one label each, one behind the other as `websocket` gives them."""
    return b"".join([websocket(labels_frame(seq, signed)) for seq, signed in rows])


def _text(said: Mapping[str, object]) -> str:
    return orjson.dumps(said).decode()


def texts(rows: Rows) -> tuple[str, ...]:
    """The rows as JSON messages of one label each (proposal 0015)."""
    return tuple(
        _text({"$type": "message", "payload": {"$type": f"{NSID}#labels", "seq": seq, "labels": [to_json(signed)]}})
        for seq, signed in rows
    )


def info_text(name: str, message: str) -> str:
    """What `info_frame` says, as JSON."""
    return _text({"$type": "message", "payload": {"$type": f"{NSID}#info", "name": name, "message": message}})


def error_text(error: str, message: str) -> str:
    """What `error_frame` says, as JSON."""
    return _text({"$type": "error", "error": error, "message": message})
