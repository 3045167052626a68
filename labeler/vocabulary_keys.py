"""What each key of `labels.toml` must be: of every table its keys, each with the check of its value.

A check gives the value to keep, or raises ValueError with what the value must be. Limits are those of
`com.atproto.label.defs` and `app.bsky.labeler.service`.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from communities.keys import SLUG, one_of, switch
from communities.reasons import APPEALS, REASONS
from labeler.label import fault_of_value
from xrpc.graphemes import graphemes
from xrpc.syntax import is_language, is_nsid

SYSTEM = ("!hide", "!warn")
"""Values that every app knows and shows from any labeler that a reader follows, also undeclared: only by choice."""
SEVERITIES, BLURS, SETTINGS = ("inform", "alert", "none"), ("content", "media", "none"), ("ignore", "warn", "hide")
SUBJECTS = ("account", "record", "chat")
_OZONE = "tools.ozone.report.defs#reason"
NOT_OURS = frozenset(
    _OZONE + name for name in ("ChildSafetyCSAM", "ChildSafetyGroom", "ChildSafetyOther", "ViolenceExtremistContent")
)
"""Reasons of reports that go to an app's own moderation and that no other labeler may ask for."""
NAME_GRAPHEMES, NAME_BYTES = 64, 640
DESCRIPTION_GRAPHEMES, DESCRIPTION_BYTES = 10_000, 100_000
_DID = re.compile(r"did:(plc:[a-z2-7]{24}|web:[a-z0-9.-]+(%3A[0-9]{1,5})?)")
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LOOPBACK = ("localhost", "127.0.0.1")

Check = Callable[[Any], Any]


def _text(most_graphemes: int, most_bytes: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be a text that is not empty")
        if (count := graphemes(value)) > most_graphemes:
            raise ValueError(f"has {count:,} characters, at most {most_graphemes:,} may be")
        if (size := len(value.encode())) > most_bytes:
            raise ValueError(f"has {size:,} bytes, at most {most_bytes:,} may be")
        return value

    return check


def _each(item: Callable[[Any], str]) -> Check:
    def check(value: Any) -> frozenset[str]:
        if not isinstance(value, list):
            raise ValueError("must be a list (in brackets)")
        return frozenset(item(entry) for entry in value)

    return check


def _did(value: Any) -> str:
    if not isinstance(value, str) or not _DID.fullmatch(value):
        raise ValueError(f"must be the DID of the labeler's account (did:plc:... or did:web:...), not {value!r}")
    return value


def _endpoint(value: Any) -> str:
    wanted = "must be the public address of this service, such as https://labels.example.org, without a path"
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.path or parts.query or parts.fragment or "@" in parts.netloc or "?" in value:
        raise ValueError(f"{wanted}, not {value!r}: clients add /xrpc/... themselves")
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host) or parts.netloc != parts.netloc.lower():
        raise ValueError(f"{wanted}, not {value!r}")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError(f"{wanted}, not {value!r}: http:// is for this machine only")
    if parts.netloc.endswith(":") or parts.port == 0:  # .port raises above 65535
        raise ValueError(f"{wanted}, not {value!r}: the port is none")
    return f"{parts.scheme}://{parts.netloc}"


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise ValueError(f"must be slugs of communities, not {value!r}")
    return value


def _system(value: Any) -> str:
    return str(one_of(*SYSTEM)(value))


def _takedown(value: Any) -> str:
    return value if value in SYSTEM else _value(value)


def _reason(value: Any) -> str:
    if isinstance(value, str) and value in NOT_OURS:
        raise ValueError(f"{value} belongs to the app's own moderation; leave it out")
    if not isinstance(value, str) or value not in REASONS | APPEALS:
        raise ValueError(
            "must be known reasons in full, such as com.atproto.moderation.defs#reasonSpam or"
            f" {_OZONE}HarassmentTroll, not {value!r}"
        )
    return value


def _collection(value: Any) -> str:
    if not isinstance(value, str) or not is_nsid(value):
        raise ValueError(f"must be names of collections, such as app.bsky.feed.post, not {value!r}")
    return value


def _value(value: Any) -> str:
    if isinstance(value, str) and value.startswith("!"):
        raise ValueError(f'{value} cannot be defined anew; for {" and ".join(SYSTEM)} write system = ["!hide"]')
    if not isinstance(value, str) or (fault := fault_of_value(value)):
        raise ValueError(f"{value!r}: {fault if isinstance(value, str) else 'must be a text'}")
    return value


def language(value: str) -> str | None:
    """What is wrong with a language that texts are in; None: it is good."""
    return None if is_language(value) else f"must be a language such as en or pt-BR, not {value!r}"


LABELER: dict[str, Check] = {
    "did": _did,
    "endpoint": _endpoint,
    "communities": _each(_slug),
    "system": _each(_system),
    "reason_types": _each(_reason),
    "subject_types": _each(one_of(*SUBJECTS)),
    "subject_collections": _each(_collection),
    "negate_expired": switch,
    "takedown": _takedown,
    "two_person": switch,
}
"""Of `[[labeler]]` itself."""
LABEL: dict[str, Check] = {
    "value": _value,
    "severity": one_of(*SEVERITIES),
    "blurs": one_of(*BLURS),
    "default_setting": one_of(*SETTINGS),
    "adult_only": switch,
    "two_person": switch,
}
"""Of `[[labeler.label]]`."""
LOCALE: dict[str, Check] = {
    "name": _text(NAME_GRAPHEMES, NAME_BYTES),
    "description": _text(DESCRIPTION_GRAPHEMES, DESCRIPTION_BYTES),
}
"""Of `[labeler.label.locales.en]`."""
