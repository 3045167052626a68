"""Whether an account wrote what came in its name."""

from dataclasses import dataclass
from typing import Any

from xrpc.key import PublicKey


class VerifyError(Exception):
    """The event is not believed; the message is the reason."""


class SignatureError(VerifyError):
    """The signature is not by this key."""


class InversionError(VerifyError):
    """The operations do not lead from the earlier tree to this one."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a signed commit says. `data`: root of its tree; `since`, `prev_data`: rev and root before it, if stated."""

    did: str
    rev: str
    data: bytes
    since: str | None = None
    prev_data: bytes | None = None


def verify_commit(payload: dict[str, Any], key: PublicKey) -> Verified:
    """Verify."""
    raise NotImplementedError


def verify_sync(payload: dict[str, Any], key: PublicKey) -> Verified:
    """Verify."""
    raise NotImplementedError
