"""Signing keys of both curves that the protocol allows, their public forms, and service tokens."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from coincurve import PrivateKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Curve = Literal["k256", "p256"]

K256_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Key(Protocol):
    """A private key that signs commits and tokens."""

    curve: Curve
    algorithm: str
    order: int
    public: bytes

    def sign(self, message: bytes) -> bytes:
        """ECDSA over SHA-256 of the message: 64 bytes r || s with low s, the same for the same message."""
        ...


class K256:
    """A secp256k1 key."""

    curve: Curve = "k256"
    algorithm = "ES256K"
    order = K256_ORDER

    def __init__(self, secret: int) -> None:
        self._key = PrivateKey.from_int(secret)
        self.public: bytes = self._key.public_key.format(compressed=True)

    def sign(self, message: bytes) -> bytes:
        """See Key.sign; libsecp256k1 makes s low by itself."""
        return bytes(self._key.sign_recoverable(message)[:64])


class P256:
    """A NIST P-256 key."""

    curve: Curve = "p256"
    algorithm = "ES256"
    order = P256_ORDER

    def __init__(self, secret: int) -> None:
        self._key = ec.derive_private_key(secret, ec.SECP256R1())
        self.public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, message: bytes) -> bytes:
        """See Key.sign; OpenSSL leaves s as it falls, so a high one is turned over."""
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


def make_key(curve: Curve, seed: str) -> Key:
    """The key of a curve that belongs to a seed."""
    secret = int.from_bytes(hashlib.sha256(f"key {curve} {seed}".encode()).digest(), "big")
    return K256(secret % (K256_ORDER - 1) + 1) if curve == "k256" else P256(secret % (P256_ORDER - 1) + 1)


def high_s(signature: bytes, key: Key) -> bytes:
    """The twin of a signature with high s: mathematically good, forbidden by the protocol."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + (key.order - s).to_bytes(32, "big")


def multikey(key: Key) -> str:
    """Public key as a DID document's `publicKeyMultibase` has it: multicodec prefix, base58btc, `z`."""
    prefix = b"\xe7\x01" if key.curve == "k256" else b"\x80\x24"
    number = int.from_bytes(prefix + key.public, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE58[digit] + digits
    return "z" + digits


def did_key(key: Key) -> str:
    """Public key as a did:key."""
    return "did:key:" + multikey(key)


def make_did(seed: str) -> str:
    """A did:plc of the right shape that belongs to a seed."""
    digest = hashlib.sha256(f"did {seed}".encode()).digest()
    return "did:plc:" + base64.b32encode(digest).decode().lower()[:24]


def base64url(data: bytes) -> str:
    """Base64 with the URL alphabet and no padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_jwt(key: Key, payload: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """A JSON web token signed with `key`; `header` adds to or replaces `typ` and `alg`."""
    head = {"typ": "JWT", "alg": key.algorithm} | dict(header or {})
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, payload))
    return f"{signed}.{base64url(key.sign(signed.encode()))}"
