"""Service authentication: who calls, proven by a service JWT that the account's key has signed.

Source: atproto.com/specs/xrpc, section "Inter-Service Authentication (JWT)". The rules beyond it: `lxm` is
required, the lifetime is capped, JSON and base64url have one reading only, and the issuer is judged before
anything is looked up. Tokens are never logged, and no message repeats a part of one.
"""

import binascii
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from xrpc.did import DidDocument
from xrpc.errors import (
    AuthMissing,
    BadJwt,
    BadJwtAudience,
    BadJwtIss,
    BadJwtKeyId,
    BadJwtLexiconMethod,
    BadJwtSignature,
    BadJwtType,
    InvalidRequest,
    JwtExpired,
    UpstreamFailure,
)
from xrpc.key import ES256, ES256K, PublicKey, verify
from xrpc.resolver import STALE_FOR_ACTS, STALE_FOR_READS, DidError, DidInvalid, DidResolver, DidUnavailable
from xrpc.strict_json import parse_json
from xrpc.syntax import MAX_DID

MAX_TOKEN = 4096
LEEWAY = 5
MAX_LIFETIME = 3900
ISSUED_AHEAD = 60
MAX_JTI = 256

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_URL_TO_STD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Token:
    """A verified service token. `exp` is in seconds since 1970.

    `jti_key` with `iss` identifies the token for single use: its `jti`, or a hash of what was signed. Never
    the bytes of the token, since a signature has a twin with the other s (S31).
    """

    iss: str
    aud: str
    lxm: str
    exp: int
    jti_key: str


def bearer(authorization: Sequence[str]) -> str | None:
    """The bearer token among the request's Authorization values; None when there are none.

    Raises InvalidRequest for more than one value and AuthMissing for another scheme.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise InvalidRequest("More than one Authorization header")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer":
        raise AuthMissing("Authorization must be a bearer token")
    return token


def _decode_segment(segment: str) -> bytes:
    if not _SEGMENT.fullmatch(segment):
        raise BadJwt
    padded = segment.translate(_URL_TO_STD) + "=" * (-len(segment) % 4)
    try:
        data = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        raise BadJwt from None
    # The last character may hold bits that decoding drops: a second spelling of the same token.
    if binascii.b2a_base64(data, newline=False) != padded.encode():
        raise BadJwt
    return data


def _decode_object(segment: str) -> dict[str, Any]:
    try:
        value = parse_json(_decode_segment(segment))
    except (ValueError, RecursionError):
        raise BadJwt from None
    if not isinstance(value, dict):
        raise BadJwt
    return value


def _check_header(header: dict[str, Any]) -> str:
    if "crit" in header:
        raise BadJwt
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") != "jwt":
        raise BadJwtType
    if header.get("kid", "#atproto") != "#atproto":
        raise BadJwtKeyId
    alg = header.get("alg")
    if alg not in (ES256, ES256K):
        raise BadJwtSignature("The token is signed with an unknown algorithm")
    return str(alg)


def _time(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if name in claims and type(value) is not int:  # a bool is an int to isinstance
        raise BadJwt
    return value


class ServiceAuth:
    """Verifies service tokens for one service.

    `audiences` are the exact `aud` values that mean this service, such as its DID and `<did>#bsky_fg`; leave
    the bare DID out to accept the qualified form only. `clock` gives seconds since 1970.
    """

    def __init__(
        self, resolver: DidResolver, audiences: frozenset[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._resolver = resolver
        self._audiences = audiences
        self._clock = clock

    def also(self, audiences: Iterable[str]) -> "ServiceAuth":
        """The same that also takes tokens for these audiences."""
        return ServiceAuth(self._resolver, self._audiences.union(audiences), clock=self._clock)

    def host_of(self, did: str) -> str:
        """The host name of an account's PDS, as its document had it when it was last looked up; empty if it is not
        known. Asks nobody.
        """
        document = self._resolver.last_known(did)
        return (urlsplit(document.pds).hostname or "") if document and document.pds else ""

    async def verify(self, authorization: Sequence[str], lxm: str, *, act: bool = False) -> Token | None:
        """The caller of the method `lxm`, from the Authorization values of the request; None without any.

        `act` marks a call that does something in the caller's name: its issuer's key may be an hour old at
        most while the directory is down, instead of a day. Raises InvalidRequest (two values), a 401 named
        after the fault, or UpstreamFailure when the issuer cannot be looked up; a caller with a public answer
        may then serve it to nobody in particular.
        """
        token = bearer(authorization)
        if token is None:
            return None
        if len(token) > MAX_TOKEN:
            raise BadJwt
        segments = token.split(".")
        if len(segments) != 3:
            raise BadJwt
        alg = _check_header(_decode_object(segments[0]))
        claims = _decode_object(segments[1])
        signature = _decode_segment(segments[2])
        signed = token[: token.rindex(".")].encode("ascii")
        checked = self._check_claims(claims, lxm, signed)
        if len(signature) != 64:
            raise BadJwtSignature
        await self._check_signature(checked.iss, alg, signed, signature, STALE_FOR_ACTS if act else STALE_FOR_READS)
        return checked

    async def require(self, authorization: Sequence[str], lxm: str, *, act: bool = False) -> Token:
        """As `verify`, and AuthMissing when there is no Authorization header."""
        token = await self.verify(authorization, lxm, act=act)
        if token is None:
            raise AuthMissing
        return token

    def _check_claims(self, claims: dict[str, Any], lxm: str, signed: bytes) -> Token:
        now = int(self._clock())
        exp, iat, nbf = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf")
        if exp is None or exp > now + MAX_LIFETIME:
            raise BadJwt("The token needs an expiry time of at most an hour ahead")
        if exp < now - LEEWAY:
            raise JwtExpired
        if iat is not None and (iat > now + ISSUED_AHEAD or iat > exp):
            raise BadJwt("The token was issued in the future")
        if nbf is not None and nbf > now + LEEWAY:
            raise BadJwt("The token is not valid yet")
        aud = claims.get("aud")
        if not isinstance(aud, str):
            raise BadJwt
        if aud not in self._audiences:
            raise BadJwtAudience
        if claims.get("lxm") != lxm:
            raise BadJwtLexiconMethod(f"The token is not for {lxm}")
        jti = claims.get("jti")
        if "jti" in claims and not (isinstance(jti, str) and 0 < len(jti) <= MAX_JTI and "\0" not in jti):
            raise BadJwt
        iss = claims.get("iss")
        if not isinstance(iss, str) or len(iss) > MAX_DID or not self._resolver.can_resolve(iss):
            raise BadJwtIss
        jti_key = f"jti:{jti}" if jti is not None else f"sha256:{hashlib.sha256(signed).hexdigest()}"
        return Token(iss=iss, aud=aud, lxm=lxm, exp=exp, jti_key=jti_key)

    async def _check_signature(self, iss: str, alg: str, signed: bytes, signature: bytes, max_stale: float) -> None:
        document = self._resolver.cached(iss)
        refreshable = document is not None
        if document is None:
            document = await self._document(iss, max_stale)
        if _signed_by(document, alg, signed, signature):
            return
        # The key may have changed since it was cached: ask once more. A document fetched just now is current.
        if refreshable:
            try:
                document = await self._resolver.resolve(iss, fresh=True)
            except DidError:
                raise BadJwtSignature from None
            if _signed_by(document, alg, signed, signature):
                return
        raise BadJwtSignature

    async def _document(self, iss: str, max_stale: float) -> DidDocument:
        try:
            return await self._resolver.resolve(iss, max_stale=max_stale)
        except DidUnavailable:
            if iss.startswith("did:web:"):
                # The issuer's own host is down, which is the issuer's fault and not an outage of ours.
                raise BadJwtIss("The host of the token's issuer cannot be reached") from None
            raise UpstreamFailure("The account directory cannot be reached") from None
        except DidInvalid:
            raise BadJwtSignature from None
        except DidError:
            raise BadJwtIss from None


def _signed_by(document: DidDocument, alg: str, signed: bytes, signature: bytes) -> bool:
    key: PublicKey | None = document.key
    return key is not None and key.alg == alg and verify(key, signed, signature, low_s=False)
