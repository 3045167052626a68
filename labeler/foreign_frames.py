"""One message of another labeler's `com.atproto.label.subscribeLabels`, which may hold anything. Pure.

Sources: atproto.com/specs/event-stream, atproto.com/specs/label.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import libipld
from cbrrr import encode_dag_cbor

from labeler.label import fault_of_subject
from models.foreign_labels import ForeignLabel
from xrpc.key import PublicKey, verify
from xrpc.syntax import is_cid, parse_datetime

MOST_BYTES = 1 << 20
MOST_LABELS = 1000
"""In one message (ours); the usual number is one."""
LONGEST_URI = 2500
AHEAD = 5 * 60_000
"""Milliseconds that a label may be ahead of our clock: a later one could not be negated for as long."""


class BadFrameError(Exception):
    """The message is none, or holds what none can; the stream cannot go on behind it."""


class StreamEndedError(Exception):
    """The labeler ends the stream. `name`: its error, such as FutureCursor."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name


class Signed(NamedTuple):
    """A label as it was received: what it says, and what is signed."""

    label: ForeignLabel
    message: bytes
    signature: bytes

    def is_by(self, key: PublicKey) -> bool:
        """Whether the signature is the key's."""
        return verify(key, self.message, self.signature, low_s=True)


class Frame(NamedTuple):
    """A message. `seq` is None for one that tells something else; `outdated`: history is missing. `bad`: how many of
    its labels are none; `passed`: how many say something that is not asked for.
    """

    seq: int | None
    labels: tuple[Signed, ...] = ()
    bad: int = 0
    passed: int = 0
    outdated: bool = False


def read_frame(data: bytes, src: str, values: Collection[str], now: int) -> Frame:
    """What a message says: of its labels those of the labeler `src` with these values. `now`: milliseconds.

    Raises BadFrameError or StreamEndedError.
    """
    try:
        parts = libipld.decode_dag_cbor_multi(data) if len(data) <= MOST_BYTES else []
    except (ValueError, RecursionError) as error:
        raise BadFrameError("the message is no DAG-CBOR") from error
    if len(parts) != 2 or not all(type(part) is dict for part in parts):
        raise BadFrameError("the message is not two maps")
    header, payload = parts
    op, kind = header.get("op"), header.get("t")
    if type(op) is not int:
        raise BadFrameError("the message has no op")
    if op == -1:
        raise StreamEndedError(_text(payload.get("error")) or "Unknown", _text(payload.get("message")))
    if op != 1 or kind not in ("#labels", "#info"):
        return Frame(None)  # something that may come later
    if kind == "#info":
        return Frame(None, outdated=payload.get("name") == "OutdatedCursor")
    seq, labels = payload.get("seq"), payload.get("labels")
    if type(seq) is not int or not 0 < seq < 1 << 53:
        raise BadFrameError("the message has no seq")
    if type(labels) is not list:
        raise BadFrameError("the message has no labels")
    found, bad, passed = [], max(0, len(labels) - MOST_LABELS), 0
    for one in labels[:MOST_LABELS]:
        if type(one) is dict and type(one.get("val")) is str and one["val"] not in values:
            passed += 1
            continue
        signed = _read(one, src, now)
        if signed is None:
            bad += 1
        else:
            found.append(signed)
    return Frame(seq, tuple(found), bad, passed)


def _text(value: Any) -> str:
    """The beginning of a text that somebody else wrote, for people."""
    return "".join(sign for sign in value[:200] if sign.isprintable()) if type(value) is str else ""


def _read(said: Any, src: str, now: int) -> Signed | None:
    """A label; None for what is none, or is another's."""
    if type(said) is not dict or type(said.get("sig")) is not bytes or said.get("src") != src or said.get("ver") != 1:
        return None
    uri, val, cid, neg = said.get("uri"), said.get("val"), said.get("cid", ""), said.get("neg", False)
    if type(uri) is not str or type(val) is not str or type(cid) is not str or type(neg) is not bool:
        return None
    if len(uri) > LONGEST_URI:
        return None
    if fault_of_subject(uri) is not None or (cid and not is_cid(cid)):
        return None
    cts, exp = _millis(said.get("cts")), _millis(said.get("exp"))
    if cts is None or cts > now + AHEAD or ("exp" in said and exp is None):
        return None
    try:
        message = encode_dag_cbor({name: value for name, value in said.items() if name != "sig"})
    except (ValueError, TypeError, OverflowError):
        return None
    return Signed(ForeignLabel(src, uri, cid, val, neg, cts, None if neg else exp), message, said["sig"])


def _millis(value: Any) -> int | None:
    micros = parse_datetime(value) if type(value) is str else None
    return None if micros is None else micros // 1000
