"""A label: its fields, the bytes that are signed, and the two forms in which it travels. Pure.

Source: atproto.com/specs/label. The signature is over the SHA-256 of the canonical CBOR of the fields below alone, and
nothing in it says what it is for: only `sign` may use a label key, and it takes nothing but a Label.
"""

import hashlib
import re
import time
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import coincurve
import libipld
from cbrrr import decode_dag_cbor, encode_dag_cbor

from xrpc.key import PublicKey, verify
from xrpc.syntax import is_did, parse_at_uri

VERSION = 1
LONGEST_VALUE = 100
"""Bytes of a value that we issue: as an identifier in a labeler's record (a label object could have 128)."""
VALUE = re.compile(r"!?[a-z]+(-[a-z]+)*")
"""Values that clients show: they ignore capital letters, digits and spaces without a word."""
_USUAL_SUBJECT = re.compile(r"at://did:plc:[a-z2-7]{24}/app\.bsky\.feed\.post/[a-z2-7]{13}")
RESERVED = frozenset(("!takedown", "!suspend"))
"""Never issued: they mean something only where an app lists a labeler as its own moderation."""


class Label(NamedTuple):
    """What is said of a subject. `uri`: an at-uri or a DID; `cid`: of the version that is meant, empty for all; times
    are milliseconds since 1970, `exp` None: it never expires.
    """

    src: str
    uri: str
    cid: str
    val: str
    neg: bool
    cts: int
    exp: int | None = None


def timestamp(millis: int) -> str:
    """A time as labels write it, always in the same length, so that strings compare as times."""
    seconds, rest = divmod(millis, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def fields(label: Label) -> dict[str, Any]:
    """The fields that are signed. What is absent is left out: a null or a `neg` that is false would break the
    signature.
    """
    said: dict[str, Any] = {
        "ver": VERSION,
        "src": label.src,
        "uri": label.uri,
        "val": label.val,
        "cts": timestamp(label.cts),
    }
    if label.cid:
        said["cid"] = label.cid
    if label.neg:
        said["neg"] = True
    if label.exp is not None:
        said["exp"] = timestamp(label.exp)
    return said


def sign(key: coincurve.PrivateKey, label: Label) -> bytes:
    """The signed label as it is stored and sent in frames: canonical CBOR with `sig`, 64 bytes r||s, low-S."""
    said = fields(label)
    digest = hashlib.sha256(encode_dag_cbor(said)).digest()
    # libsecp256k1 gives the low form of s always; behind r||s stands a byte that recovers the key.
    said["sig"] = key.sign_recoverable(digest, hasher=None)[:64]
    return encode_dag_cbor(said)


def check(signed: bytes, key: PublicKey) -> bool:
    """Whether a signed label, as it was received, is the key's. Raises ValueError for what is no label."""
    said = decode_dag_cbor(signed)
    if not isinstance(said, dict) or not isinstance(said.get("sig"), bytes):
        raise ValueError("not a signed label")
    signature = bytes(said.pop("sig"))  # type: ignore[arg-type]  # looked at just now
    return verify(key, encode_dag_cbor(said), signature, low_s=True)


def to_json(signed: bytes) -> dict[str, Any]:
    """A signed label as JSON has it."""
    return all_to_json((signed,))[0]


def all_to_json(signed: Sequence[bytes]) -> list[dict[str, Any]]:
    """Signed labels as JSON has them."""
    # It decodes twice as fast as the other library, and one list faster than many labels; only what it encodes may be
    # wrong (bytes that look like a CID).
    labels: list[dict[str, Any]] = libipld.decode_dag_cbor(_list_of(len(signed)) + b"".join(signed))
    for said in labels:
        said["sig"] = {"$bytes": b2a_base64(said["sig"], newline=False).rstrip(b"=").decode()}
    return labels


def _list_of(count: int) -> bytes:
    """How a list of so many (65,535 at most) begins in CBOR."""
    if count < 24:
        return bytes((0x80 | count,))
    return bytes((0x98, count)) if count < 0x100 else b"\x99" + count.to_bytes(2, "big")


@lru_cache(maxsize=1024)
def fault_of_value(val: str) -> str | None:
    """Why clients would not show labels of this value, or why it is never issued; None: it is good."""
    if val in RESERVED:
        return f"{val} is for the moderation of an app, and never issued here"
    if not VALUE.fullmatch(val) or len(val) > LONGEST_VALUE:
        return "a value is made of the letters a to z and single dashes between them, at most 100: others are ignored"
    return None


def fault_of_subject(uri: str) -> str | None:
    """Why nothing can be labelled by this name; None: it is good."""
    if _USUAL_SUBJECT.fullmatch(uri) or is_did(uri):  # nearly all are of this form, which needs no closer look
        return None
    parts = parse_at_uri(uri)
    if parts is not None and parts.authority.startswith("did:"):  # it was looked at whether it is one
        return None
    return "a subject is a DID, or an at-uri with a DID"
