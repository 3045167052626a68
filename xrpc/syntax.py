"""Identifier and datetime syntax of the AT Protocol, as pure functions over strings.

Sources: atproto.com/specs/{did,handle,nsid,record-key,tid,at-uri-scheme} and the `datetime`, `cid`, `language` and
`uri` formats of atproto.com/specs/lexicon. Every pattern is ASCII only and anchored at both ends, so a trailing
newline or a full-width digit never passes. Nothing here looks anything up.
"""

import re
from datetime import date
from typing import NamedTuple

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DID = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
_HANDLE = re.compile(rf"(?:{_LABEL}\.)+[a-zA-Z](?:[a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?")
_NSID = re.compile(rf"[a-zA-Z](?:[a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?(?:\.{_LABEL})+\.[a-zA-Z][a-zA-Z0-9]{{0,62}}")
_RKEY = re.compile(r"[a-zA-Z0-9_~.:-]{1,512}")
_TID = re.compile(r"[2-7a-j][2-7a-z]{12}")
_CID = re.compile(r"[a-zA-Z0-9+=]{8,256}")
_DATETIME = re.compile(
    r"([0-9]{4})-([01][0-9])-([0-3][0-9])T([0-2][0-9]):([0-6][0-9]):([0-6][0-9])(?:\.([0-9]+))?"
    r"(?:Z|(?!-00:00)([+-])([0-2][0-9]):([0-5][0-9]))"
)
# Subtags are counted, not looked up (RFC 5646 section 2.1; `i-` and `x-` are its irregular and private forms).
_LANGUAGE = re.compile(r"(?:i|[a-z]{2,3})(?:-[a-zA-Z0-9]{1,8})*|[xX](?:-[a-zA-Z0-9]{1,8})+")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[!-~]+")  # RFC 3986 section 3, of visible ASCII

MAX_DID = 2048
MAX_HANDLE = 253
MAX_NSID = 317
MAX_AT_URI = 8192
MAX_DATETIME = 64
MAX_LANGUAGE = 128
MAX_URI = 8192

_EPOCH = date(1970, 1, 1).toordinal()
_ERA = 146_097  # days in 400 years, after which the calendar repeats; Python's begins with the year 1
_YEAR_ZERO = (date(400, 1, 1).toordinal() - _ERA - _EPOCH) * 86_400_000_000
# TIDs write base32 with an alphabet that sorts; Python reads base32 as 0-9a-v.
_TID_DIGITS = str.maketrans("234567abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghijklmnopqrstuv")


class AtUri(NamedTuple):
    """The parts of an AT-URI; `collection` and `rkey` are empty when the URI has none."""

    authority: str
    collection: str
    rkey: str


def is_did(text: str) -> bool:
    """Whether `text` is a DID of any method."""
    return len(text) <= MAX_DID and _DID.fullmatch(text) is not None


def is_handle(text: str) -> bool:
    """Whether `text` is a handle (a host name of two labels or more; letter case is free)."""
    return len(text) <= MAX_HANDLE and _HANDLE.fullmatch(text) is not None


def is_nsid(text: str) -> bool:
    """Whether `text` is a namespaced identifier such as `app.bsky.feed.post`."""
    return len(text) <= MAX_NSID and _NSID.fullmatch(text) is not None


def is_rkey(text: str) -> bool:
    """Whether `text` is a record key: 1 to 512 characters, and neither `.` nor `..`."""
    return _RKEY.fullmatch(text) is not None and text not in (".", "..")


def is_tid(text: str) -> bool:
    """Whether `text` is a timestamp identifier: 13 characters with the top bit clear."""
    return _TID.fullmatch(text) is not None


def is_cid(text: str) -> bool:
    """Whether `text` looks like a CID in a multibase; version 0 (`Qm...`) is not part of the protocol."""
    return _CID.fullmatch(text) is not None and not text.startswith("Qm")


def parse_at_uri(text: str) -> AtUri | None:
    """Split `at://authority[/collection[/rkey]]`, the form that lexicons allow; None for anything else."""
    if not text.startswith("at://") or len(text) > MAX_AT_URI:
        return None
    parts = text[5:].split("/")
    authority = parts[0]
    if not (is_did(authority) if authority.startswith("did:") else is_handle(authority)):
        return None
    if len(parts) == 1:
        return AtUri(authority, "", "")
    if len(parts) > 3 or not is_nsid(parts[1]):
        return None
    if len(parts) == 2:
        return AtUri(authority, parts[1], "")
    return AtUri(authority, parts[1], parts[2]) if is_rkey(parts[2]) else None


def is_at_uri(text: str) -> bool:
    """Whether `text` is an AT-URI as lexicons allow it."""
    return parse_at_uri(text) is not None


def is_at_identifier(text: str) -> bool:
    """Whether `text` is a DID or a handle."""
    return is_did(text) or is_handle(text)


def is_language(text: str) -> bool:
    """Whether `text` is formed like a language tag such as `en` or `pt-BR`; whether there is one is not looked up."""
    return len(text) <= MAX_LANGUAGE and _LANGUAGE.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """Whether `text` is a URI of any scheme."""
    return len(text) <= MAX_URI and _URI.fullmatch(text) is not None


def is_datetime(text: str) -> bool:
    """Whether `text` is a lexicon datetime that the calendar has, from the year 0 on."""
    micros = _micros(text)
    return micros is not None and micros >= _YEAR_ZERO


def parse_datetime(text: str) -> int | None:
    """Microseconds since 1970 of a lexicon datetime; a finer fraction is cut off, not rounded.

    None when the syntax is wrong, the moment is in no calendar (month 13, second 60) or it lies before 1970.
    The time zone of this machine plays no part.
    """
    micros = _micros(text)
    return micros if micros is not None and micros >= 0 else None


def _micros(text: str) -> int | None:
    """As `parse_datetime`, but less than 0 before 1970."""
    match = _DATETIME.fullmatch(text) if len(text) <= MAX_DATETIME else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    try:
        days = date(int(year) or 400, int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    if year == "0000":
        days -= _ERA
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds
    if sign:
        if int(zone_hour) > 23:
            return None
        offset = int(zone_hour) * 3600 + int(zone_minute) * 60
        total += offset if sign == "-" else -offset
    return total * 1_000_000 + (int(fraction[:6].ljust(6, "0")) if fraction else 0)


def tid_micros(tid: str) -> int:
    """Microseconds since 1970 that a TID claims. Raises ValueError when it is no TID."""
    if not is_tid(tid):
        raise ValueError("not a TID")
    return int(tid.translate(_TID_DIGITS), 32) >> 10
