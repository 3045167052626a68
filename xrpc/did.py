"""DID documents: what may be looked up, how a document is read, and what of it the service believes.

Sources: atproto.com/specs/did, w3id.org/did-core, the did:web and did:plc method specifications.
`xrpc.resolver` does the looking up.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from xrpc.key import BadKey, PublicKey, parse_verification_method
from xrpc.syntax import is_handle

# Documents are written by strangers: of 10,000 services or keys only the first ones are looked at (S113).
_MAX_ENTRIES = 100

_PLC = re.compile(r"did:plc:[a-z2-7]{24}")
# Lower case only: did:web:EXAMPLE.com would be a second identity, and a second vote, of the same host.
_WEB = re.compile(r"did:web:((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)")
_DEV_WEB = re.compile(r"did:web:([a-z0-9.-]+)(%3A[0-9]{1,5})?")
_ENDPOINT = re.compile(r"(https?)://([A-Za-z0-9.-]+)(:[0-9]{1,5})?/?")
# RFC 6761, 6762, 7686, 8375, 9476 and the private-use names of networks.
_RESERVED_TLDS = frozenset(
    ("alt", "arpa", "example", "home", "internal", "invalid", "lan", "local", "localhost", "onion", "test")
)


class BadDocument(ValueError):
    """Not the DID document of that DID."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a DID document: `id` with its `#`, `type`, and the origin it is reached at."""

    id: str
    type: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class DidDocument:
    """What the service believes of a DID document.

    `handle` is the claim in `alsoKnownAs`, not verified the other way round; `pds` the origin of the
    account's server; `key` the first valid `#atproto` signing key. Each is None when the document holds no
    good one.
    """

    did: str
    handle: str | None
    pds: str | None
    key: PublicKey | None
    services: tuple[Service, ...]


def document_url(did: str, plc_url: str, allow: Collection[str] = ()) -> str | None:
    """Where the document of `did` is fetched; None when it may not be looked up at all (S35, S110, S111).

    did:plc and did:web only; a did:web host must be a public-looking name without port or path. The hosts in
    `allow` (development) may be anything, over http and with a port as `%3A`.
    """
    if _PLC.fullmatch(did):
        return f"{plc_url}/{did}"
    if allow and (dev := _DEV_WEB.fullmatch(did)) and dev[1] in allow:
        return f"http://{dev[1]}{unquote(dev[2] or '')}/.well-known/did.json"
    web = _WEB.fullmatch(did)
    if web is None or len(web[1]) > 253 or web[1].rpartition(".")[2] in _RESERVED_TLDS:
        return None
    return f"https://{web[1]}/.well-known/did.json"


def parse_endpoint(url: object, *, development: bool = False) -> str | None:
    """The origin that a service endpoint names: https, no user, port, path or query; else None (S113).

    In development http and a port are good as well.
    """
    match = _ENDPOINT.fullmatch(url) if isinstance(url, str) and len(url) < 300 else None
    if match is None or (not development and (match[1] == "http" or match[3])):
        return None
    return f"{match[1]}://{match[2]}{match[3] or ''}"


def _entries(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = document.get(name)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries[:_MAX_ENTRIES] if isinstance(entry, dict)]


def _fragment(did: str, name: object) -> str | None:
    if not isinstance(name, str):
        return None
    fragment = name.removeprefix(did)
    return fragment if fragment.startswith("#") else None


def _signing_key(did: str, document: dict[str, Any]) -> PublicKey | None:
    for method in _entries(document, "verificationMethod"):
        if _fragment(did, method.get("id")) == "#atproto" and method.get("controller") == did:
            try:
                return parse_verification_method(method)
            except BadKey:
                continue
    return None


def parse_document(did: str, document: Any, *, development: bool = False) -> DidDocument:
    """Read the JSON value of a DID document. Raises BadDocument when it is not the document of `did`.

    Single faulty keys, services and names are passed over.
    """
    if not isinstance(document, dict) or document.get("id") != did:
        raise BadDocument("the document is of another DID")
    names = document.get("alsoKnownAs")
    handles = (
        (name[5:] for name in names[:_MAX_ENTRIES] if isinstance(name, str) and name.startswith("at://"))
        if (isinstance(names, list))
        else ()
    )
    services = []
    for entry in _entries(document, "service"):
        fragment, kind = _fragment(did, entry.get("id")), entry.get("type")
        endpoint = parse_endpoint(entry.get("serviceEndpoint"), development=development)
        if fragment and isinstance(kind, str) and endpoint:
            services.append(Service(fragment, kind, endpoint))
    return DidDocument(
        did=did,
        handle=next((handle.lower() for handle in handles if is_handle(handle)), None),
        pds=next(
            (s.endpoint for s in services if s.id == "#atproto_pds" and s.type == "AtprotoPersonalDataServer"),
            None,
        ),
        key=_signing_key(did, document),
        services=tuple(services),
    )
