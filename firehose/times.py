"""The times of a post: when it says it was written, when its event came, and where it sorts. Integer microseconds."""

import re
import time

from xrpc.syntax import parse_datetime

_PLAUSIBLE = 4 * 86_400_000_000  # no relay holds events for longer


def now_micros() -> int:
    """The clock."""
    return time.time_ns() // 1000


def event_micros(stated: str, received_at: int) -> int:
    """When the event happened: what the stream says, unless that is in our future or older than any stream could
    hold.
    """
    said = parse_datetime(stated) if stated else None
    return said if said is not None and received_at - _PLAUSIBLE < said <= received_at else received_at


def sort_micros(created_at: str, event_at: int, latest: int | None = None) -> int:
    """Where a post stands in a feed: its `createdAt`, unless that is later than `latest` (None: than its event), before
    1970 or unreadable.
    """
    created = parse_datetime(created_at)
    return created if created is not None and 0 < created <= (event_at if latest is None else latest) else event_at


_TID = "234567abcdefghijklmnopqrstuvwxyz"
_TID_TEXT = re.compile(r"[2-7a-j][2-7a-z]{12}")


def tid_micros(text: str) -> int:
    """The microsecond of a TID; 0 for anything else."""
    if not _TID_TEXT.fullmatch(text):
        return 0
    value = 0
    for sign in text:
        value = value << 5 | _TID.index(sign)
    return value >> 10


def tid(micros: int) -> str:
    """The first TID of a microsecond (https://atproto.com/specs/tid); revs compare with it as plain strings."""
    value = micros << 10
    return "".join(_TID[value >> shift & 31] for shift in range(60, -1, -5))
