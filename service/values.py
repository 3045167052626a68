"""How the texts of settings are read: each gives the value of a text, or raises ValueError with what it must be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xrpc.syntax import is_handle


def text(value: str) -> str:
    """Any text."""
    return value


def address(value: str) -> str:
    """An address or name of this machine. Empty would mean every one that it has."""
    if not value:
        raise ValueError("must be an address of this machine; 0.0.0.0 or :: is every one")
    return value


def path(value: str) -> Path:
    """The path of a file or folder."""
    if not value:
        raise ValueError("must name a file or folder")
    return Path(value)


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """A URL with one of these schemes, without a slash at its end."""

    def parse(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:  # .port raises above 65535
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/")

    return parse


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `parse` reads it, or empty."""
    return lambda value: parse(value) if value else ""


def did(value: str) -> str:
    """A did:plc or did:web."""
    if not re.fullmatch(r"did:(plc:[a-z2-7]{24}|web:[A-Za-z0-9.%-]+)", value):
        raise ValueError("must be a did:plc or did:web")
    return value


def account(value: str) -> str:
    """A handle, or a did:plc or did:web."""
    name = value.removeprefix("@")
    if is_handle(name):
        return name.lower()
    try:
        return did(value)
    except ValueError as error:
        raise ValueError("must be a handle, a did:plc or a did:web") from error


def founders(value: str) -> tuple[str, ...] | None:
    """DIDs; None: anyone."""
    if value == "anyone":
        return None
    try:
        return () if value == "nobody" else dids(value)
    except ValueError as error:
        raise ValueError("must be anyone, nobody, or DIDs by comma") from error


def hostname(value: str) -> str:
    """A host name, with a port or without."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", value):
        raise ValueError("must be a bare host name in lower case, such as feeds.example.org (no https://, no path)")
    if not 0 < int(value.partition(":")[2] or 443) <= 65535:
        raise ValueError("must have a port from 1 to 65535, or none")
    return value


def verify(value: str) -> str:
    """Whose commits are proven."""
    if value not in ("members", "all", "none"):
        raise ValueError("must be members, all or none")
    return value


def on_or_off(value: str) -> bool:
    """A switch."""
    if value not in ("on", "off"):
        raise ValueError("must be on or off")
    return value == "on"


def passphrase(value: str) -> str:
    """What keys are sealed with."""
    if len(value) < 12:
        raise ValueError("must have at least 12 characters")
    return value


def hex_key(value: str) -> str:
    """A private key."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("must be 64 hexadecimal digits")
    return value.lower()


def level(value: str) -> str:
    """Of the log."""
    if value not in ("debug", "info", "warning", "error"):
        raise ValueError("must be debug, info, warning or error")
    return value


def hosts(value: str) -> tuple[str, ...]:
    """Words by comma or space."""
    return tuple(part for part in re.split(r"[,\s]+", value) if part)


def dids(value: str) -> tuple[str, ...]:
    """DIDs by comma or space."""
    return tuple(map(did, hosts(value)))


def post_uri(value: str) -> str:
    """The at-uri of a post, with a DID."""
    if not re.fullmatch(r"at://did:(plc|web):[A-Za-z0-9.:%-]+/app\.bsky\.feed\.post/[A-Za-z0-9._:~-]{1,512}", value):
        raise ValueError("must be the at-uri of a post with its author's DID")
    return value
