"""How an event of the log of decisions is written in JSON: one form for the methods and for exports.

    {"community": "birds", "seq": 2, "at": "2026-09-21T10:00:00.000000Z", "action": "remove", "rule": "spam",
     "role": "moderator",                     what is shown of FIELDS; left out when there is none
     "salts": {"role": HEX},                  of each that is shown
     "commitments": {"actor": HEX, ...},      of each that is hidden
     "prev": HEX, "hash": HEX}

Each event has exactly one such form, so that nothing can be written otherwise, or added, without being noticed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from communities.log import FIELDS, HASH_BYTES, SALT_BYTES, Event, Opened

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)
_NEEDED = frozenset(("community", "seq", "at", "action", "salts", "commitments", "prev", "hash"))
_KNOWN = _NEEDED | {"rule", *FIELDS}


def view(slug: str, event: Event) -> dict[str, Any]:
    """An event of a community as a plain value."""
    shown = {name: event.opened[name].value for name in FIELDS if event.get(name) is not None}
    if "until" in shown:
        shown["until"] = moment(event.get("until"))
    return {
        "community": slug,
        "seq": event.seq,
        "at": moment(event.at),
        "action": event.action,
        **({} if event.rule is None else {"rule": event.rule}),
        **shown,
        "salts": {name: event.opened[name].salt.hex() for name in FIELDS if name in event.opened},
        "commitments": {name: event.sealed[name].hex() for name in FIELDS if name in event.sealed},
        "prev": event.prev.hex(),
        "hash": event.hash.hex(),
    }


def read_view(value: Any) -> tuple[str, Event]:
    """The community's slug and the event. Raises ValueError for anything that `view` would not have written."""
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    if missing := sorted(_NEEDED - value.keys()):
        raise ValueError(f"{missing[0]} is missing")
    if unknown := sorted(value.keys() - _KNOWN):
        raise ValueError(f"{unknown[0]!r} is unknown")
    seq = value["seq"]
    if type(seq) is not int or not 0 < seq < 1 << 63:
        raise ValueError("seq is no whole number from 1 on")
    salts, sealed = _hexes(value, "salts", SALT_BYTES), _hexes(value, "commitments", HASH_BYTES)
    if salts.keys() & sealed.keys() or salts.keys() | sealed.keys() != set(FIELDS):
        raise ValueError("salts and commitments do not name each field once")
    if untold := sorted(name for name in sealed if name in value):
        raise ValueError(f"{untold[0]} is both hidden and shown")
    opened = {name: Opened(_value(value, name), salt) for name, salt in salts.items()}
    return _text(value, "community"), Event(
        seq=seq,
        at=_micros(value, "at"),
        action=_text(value, "action"),
        rule=_text(value, "rule") if "rule" in value else None,
        opened=opened,
        sealed=sealed,
        prev=_hex(value, "prev", HASH_BYTES),
        hash=_hex(value, "hash", HASH_BYTES),
    )


def moment(micros: int) -> str:
    """Microseconds as a date, always with six digits behind the second."""
    return f"{(_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _value(value: Mapping[str, Any], name: str) -> str | int | None:
    if name not in value:
        return None
    return _micros(value, name) if name == "until" else _text(value, name)


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value[name]
    if not isinstance(text, str):
        raise ValueError(f"{name} is no text")
    return text


def _micros(value: Mapping[str, Any], name: str) -> int:
    text = _text(value, name)
    if not _MOMENT.fullmatch(text):
        raise ValueError(f"{name} is no date of the form 2026-09-21T10:00:00.000000Z")
    micros = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    if micros < 0 or moment(micros) != text:
        raise ValueError(f"{name} is before 1970, or no date")
    return micros


def _hexes(value: Mapping[str, Any], name: str, size: int) -> dict[str, bytes]:
    told = value[name]
    if not isinstance(told, dict):
        raise ValueError(f"{name} is no object")
    return {field: _hex(told, field, size) for field in told}


def _hex(value: Mapping[str, Any], name: str, size: int) -> bytes:
    text = _text(value, name)
    if not re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", text):
        raise ValueError(f"{name} is not {2 * size} digits of hexadecimal")
    return bytes.fromhex(text)
