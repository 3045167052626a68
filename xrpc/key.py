"""Public keys of accounts, and the one signature check for service tokens, commits and labels.

Keys come from a DID document's verification methods or from a did:key. Sources:
atproto.com/specs/cryptography, atproto.com/specs/did. ES256K is checked by libsecp256k1 (about 40 us), ES256
by OpenSSL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import coincurve
import libipld
from atproto_crypto.did import parse_multikey as _sdk_parse_multikey  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ES256 = "ES256"
ES256K = "ES256K"

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_K256_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_ORDER = {ES256: _P256_ORDER, ES256K: _K256_ORDER}

# Longer than any key, shorter than anything that makes base58 (quadratic) slow.
_BASE58 = re.compile(r"z[1-9A-HJ-NP-Za-km-z]{1,200}")
_LEGACY = {"EcdsaSecp256r1VerificationKey2019": ES256, "EcdsaSecp256k1VerificationKey2019": ES256K}
_ECDSA_SHA256 = ec.ECDSA(SHA256())


class BadKey(ValueError):
    """Not a public key of one of the protocol's two curves."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: `alg` is ES256 (P-256) or ES256K (secp256k1), `point` its 65 uncompressed bytes."""

    alg: str
    point: bytes
    _native: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and (self.alg, self.point) == (other.alg, other.point)

    def __hash__(self) -> int:
        return hash((self.alg, self.point))


def _from_point(alg: str, point: bytes) -> PublicKey:
    try:
        if alg == ES256K:
            k256 = coincurve.PublicKey(point)
            return PublicKey(alg, k256.format(compressed=False), k256)
        p256 = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except Exception as fault:
        raise BadKey("not a point of the curve") from fault
    numbers = p256.public_numbers()
    return PublicKey(alg, b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"), p256)


def parse_multikey(text: str) -> PublicKey:
    """The key of a multikey, `z...` with a compressed point. Raises BadKey."""
    if not _BASE58.fullmatch(text):
        raise BadKey("not base58btc")
    try:
        multikey = _sdk_parse_multikey(text)
    except Exception as fault:
        raise BadKey("not a multikey of a known curve") from fault
    return _from_point(multikey.jwt_alg, multikey.key_bytes)


def parse_did_key(text: str) -> PublicKey:
    """The key that a did:key is. Raises BadKey."""
    if not text.startswith("did:key:"):
        raise BadKey("not a did:key")
    return parse_multikey(text[8:])


def parse_verification_method(method: Mapping[str, Any]) -> PublicKey:
    """The key of a verification method: a Multikey or one of the two older types. Raises BadKey.

    The older types hold a bare point, compressed or not; the PLC server in development networks still writes
    uncompressed ones (S39).
    """
    kind, text = method.get("type"), method.get("publicKeyMultibase")
    if not isinstance(kind, str) or not isinstance(text, str):
        raise BadKey("no key of a known type")
    if kind == "Multikey":
        return parse_multikey(text)
    alg = _LEGACY.get(kind)
    if alg is None or not _BASE58.fullmatch(text):
        raise BadKey("no key of a known type")
    try:
        _, point = libipld.decode_multibase(text)
    except Exception as fault:
        raise BadKey("not base58btc") from fault
    return _from_point(alg, bytes(point))


def verify(key: PublicKey, message: bytes, signature: bytes, *, low_s: bool) -> bool:
    """Whether `signature`, 64 bytes r||s, is the key's over the SHA-256 of `message`. Never raises.

    With `low_s` the twin signature with s over half the order is refused, as commits and labels demand;
    service tokens allow it, because common JWT libraries produce it half of the time.
    """
    if len(signature) != 64:
        return False
    order = _ORDER[key.alg]
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < order and 0 < s < order):
        return False
    if s > order // 2:
        if low_s:
            return False
        s = order - s  # (r, -s) signs the same message; libsecp256k1 takes the low form only
    der = encode_dss_signature(r, s)
    if key.alg == ES256K:
        return bool(key._native.verify(der, message))
    try:
        key._native.verify(der, message, _ECDSA_SHA256)
    except InvalidSignature:
        return False
    return True
