"""Posts and their versions as texts name them: at-uris and CIDs. Pure."""

import binascii
from base64 import b32decode, b32encode
from typing import NamedTuple

from xrpc.syntax import is_did, parse_at_uri

POST = "app.bsky.feed.post"
_LENGTH = 36
_PREFIX = b"\x01\x71\x12\x20"
"""CIDv1, dag-cbor, sha-256, 32 bytes: the only kind that records have."""
_CHARACTERS = 59


class PostRef(NamedTuple):
    """A post: its author's DID and its record key."""

    did: str
    rkey: str

    @property
    def uri(self) -> str:
        """Its at-uri."""
        return f"at://{self.did}/{POST}/{self.rkey}"


def read_post_uri(text: str) -> PostRef | None:
    """The post of an at-uri with a DID; None for anything else."""
    parts = parse_at_uri(text)
    if parts is None or parts.collection != POST or not parts.rkey or not is_did(parts.authority):
        return None
    return PostRef(parts.authority, parts.rkey)


def cid_text(cid: bytes) -> str:
    """A CID as records and links write it (base32)."""
    return "b" + b32encode(cid).decode().lower().rstrip("=")


def read_cid(text: str) -> bytes | None:
    """The bytes of a record's CID; None for anything else, also for another spelling of the same."""
    if len(text) != _CHARACTERS or not text.startswith("b"):
        return None
    try:
        cid = b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
    except binascii.Error:
        return None
    return cid if len(cid) == _LENGTH and cid.startswith(_PREFIX) and cid_text(cid) == text else None
