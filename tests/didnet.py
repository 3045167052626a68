"""A DID directory for tests: real HTTP, real keys, every look-up counted, faults on demand.

It answers did:plc at `/<did>` as the PLC directory does, and `/.well-known/did.json` for
`did:web:localhost%3A<port>`.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import coincurve
import libipld
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORDER = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
LXM = "app.bsky.feed.getFeedSkeleton"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Signer:
    """A private key of either curve."""

    def __init__(self, alg: str) -> None:
        self.alg = alg
        if alg == "ES256K":
            self.k256 = coincurve.PrivateKey()
            self.compressed = self.k256.public_key.format()
            self.uncompressed = self.k256.public_key.format(compressed=False)
        else:
            self.p256 = ec.generate_private_key(ec.SECP256R1())
            public = self.p256.public_key()
            self.compressed = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
            self.uncompressed = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def multikey(self) -> str:
        prefix = b"\xe7\x01" if self.alg == "ES256K" else b"\x80\x24"
        return str(libipld.encode_multibase("z", prefix + self.compressed))

    def sign(self, message: bytes, *, high_s: bool = False) -> bytes:
        der = self.k256.sign(message) if self.alg == "ES256K" else self.p256.sign(message, ec.ECDSA(SHA256()))
        r, s = decode_dss_signature(der)
        order = ORDER[self.alg]
        if (s > order // 2) != high_s:
            s = order - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Account:
    """A DID, its key and its tokens."""

    def __init__(self, did: str, alg: str = "ES256K") -> None:
        self.did = did
        self.signer = Signer(alg)

    def document(self, **changes: Any) -> dict[str, Any]:
        method = {
            "id": f"{self.did}#atproto",
            "type": "Multikey",
            "controller": self.did,
            "publicKeyMultibase": self.signer.multikey,
        }
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": "https://pds.example.com",
        }
        return {
            "id": self.did,
            "alsoKnownAs": ["at://alice.example.com"],
            "verificationMethod": [method],
            "service": [service],
        } | changes

    def token(
        self,
        claims: Mapping[str, Any],
        header: Mapping[str, Any] | None = None,
        *,
        high_s: bool = False,
        signer: Signer | None = None,
    ) -> str:
        """A signed token; a value of None takes the claim or header out."""
        signer = signer or self.signer
        head = {"typ": "JWT", "alg": signer.alg} | dict(header or {})
        parts = [{k: v for k, v in part.items() if v is not None} for part in (head, {"iss": self.did, **claims})]
        return self.token_of(*(json.dumps(part).encode() for part in parts), high_s=high_s, signer=signer)

    def token_of(self, header: bytes, payload: bytes, *, high_s: bool = False, signer: Signer | None = None) -> str:
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64((signer or self.signer).sign(signed.encode(), high_s=high_s))}"


class DidNet:
    """The directory. `answers` maps a path to a JSON value or to a ready response; unknown paths are 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.lookups: Counter[str] = Counter()
        self.status = 200
        self.gate: asyncio.Event | None = None
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._server = TestServer(app, host="localhost")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.port}"

    @property
    def web_did(self) -> str:
        return f"did:web:localhost%3A{self._server.port}"

    @property
    def total(self) -> int:
        return self.lookups.total()

    def publish(self, account: Account, **changes: Any) -> Account:
        path = "/.well-known/did.json" if account.did.startswith("did:web:") else f"/{account.did}"
        self.answers[path] = account.document(**changes)
        return account

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.lookups[request.path] += 1
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.get(request.path)
        if self.status != 200 or answer is None:
            return web.Response(status=self.status if self.status != 200 else 404)
        if callable(answer):
            response: web.StreamResponse = await answer(request)
            return response
        return web.json_response(answer)


def plc(number: int) -> str:
    """A well-formed did:plc for each number."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    text = ""
    for _ in range(24):
        number, digit = divmod(number, 32)
        text = digits[digit] + text
    return f"did:plc:{text}"
