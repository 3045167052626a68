"""What the DID document of a labeler's account must hold, what it holds, and the operation that mends it. Pure.

Sources: atproto.com/specs/label (Labeler Identity), the did:plc method specification.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xrpc.key import BadKey, PublicKey, parse_did_key, parse_verification_method

METHOD, SERVICE, TYPE = "atproto_label", "atproto_labeler", "AtprotoLabeler"
_UNCHANGED = ("rotationKeys", "alsoKnownAs")


@dataclass(frozen=True, slots=True)
class Change:
    """What an operation changes: lines for people, and whether something that stands is replaced by another."""

    lines: tuple[str, ...]
    replaces: bool
    methods: Mapping[str, Any]
    services: Mapping[str, Any]


def label_key(did: str, document: Any) -> PublicKey | None:
    """The key of `#atproto_label` in a DID document. Verifiers take no other, whatever else is there."""
    for method in _entries(document, "verificationMethod"):
        if method.get("id") in (f"#{METHOD}", f"{did}#{METHOD}"):
            try:
                return parse_verification_method(method)
            except BadKey:
                return None
    return None


def label_endpoint(did: str, document: Any) -> str | None:
    """The endpoint of `#atproto_labeler` in a DID document."""
    for entry in _entries(document, "service"):
        if entry.get("id") in (f"#{SERVICE}", f"{did}#{SERVICE}") and entry.get("type") == TYPE:
            endpoint = entry.get("serviceEndpoint")
            return endpoint if isinstance(endpoint, str) else None
    return None


def _entries(document: Any, name: str) -> list[Mapping[str, Any]]:
    entries = document.get(name) if isinstance(document, Mapping) else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def shows(did: str, document: Any, public: str, endpoint: str) -> bool:
    """Whether a DID document has this key and leads to this endpoint."""
    return label_key(did, document) == parse_did_key(public) and label_endpoint(did, document) == endpoint


def document_entries(did: str, public: str, endpoint: str) -> dict[str, Any]:
    """What a did:web's document must hold, beside what it holds."""
    method = {
        "id": f"{did}#{METHOD}",
        "type": "Multikey",
        "controller": did,
        "publicKeyMultibase": public.removeprefix("did:key:"),
    }
    service = {"id": f"#{SERVICE}", "type": TYPE, "serviceEndpoint": endpoint}
    return {"verificationMethod": [method], "service": [service]}


def change_of(state: Mapping[str, Any], public: str, endpoint: str) -> Change | None:
    """What must change in the directory's state of a did:plc (`/DID/data`); None: nothing. Whatever else stands there
    stays.

    Raises ValueError when it is no such state.
    """
    methods, services = state.get("verificationMethods"), state.get("services")
    if not isinstance(methods, Mapping) or not isinstance(services, Mapping):
        raise ValueError("the directory's answer has no verificationMethods and services")
    service = {"type": TYPE, "endpoint": endpoint}
    lines, replaces = [], False
    for kind, name, old, new in (
        ("verification method", METHOD, methods.get(METHOD), public),
        ("service", SERVICE, services.get(SERVICE), service),
    ):
        if old == new:
            continue
        replaces |= old is not None
        lines.append(f"{'change' if old else 'add'} {kind} #{name}: {f'{_shown(old)} -> ' if old else ''}{_shown(new)}")
    if not lines:
        return None
    return Change(tuple(lines), replaces, {**methods, METHOD: public}, {**services, SERVICE: service})


def _shown(value: Any) -> str:
    return f"{value.get('type')} at {value.get('endpoint')}" if isinstance(value, Mapping) else str(value)


def faults_of_operation(operation: Any, state: Mapping[str, Any], change: Change) -> list[str]:
    """In which fields a signed operation is another one than was asked for, so that it must not be submitted."""
    if not isinstance(operation, Mapping):
        return ["operation"]
    wanted: dict[str, Any] = {name: state.get(name) for name in _UNCHANGED}
    wanted |= {"verificationMethods": change.methods, "services": change.services, "type": "plc_operation"}
    return sorted(name for name, value in wanted.items() if operation.get(name) != value)
