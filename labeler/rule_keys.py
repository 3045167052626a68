"""What each key of `[[rule]]` and `[[input]]` of `labels.toml` must be: each with the check of its value, which gives
the value to keep, or raises ValueError with what it must be.
"""

import re
from typing import Any, NamedTuple

from communities.keys import KEYS, LIST, SLUG, Check, count, switch
from xrpc.syntax import is_did

MOST_QUOTA = 1_000_000
LONGEST_VALUE = 128
"""Bytes of a value of others (com.atproto.label.defs)."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


class Rate(NamedTuple):
    """More than `posts` within so many microseconds."""

    posts: int
    within: int


def _matching(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}, not {value!r}")
        return value

    return check


def _span(value: Any) -> int:
    """Seconds."""
    found = re.fullmatch(r"([0-9]{1,5})([mhd])", value) if isinstance(value, str) else None
    if not found or int(found[1]) == 0:
        raise ValueError(f"must be a span of time such as 30m, 12h or 7d, not {value!r}")
    return int(found[1]) * _UNITS[found[2]]


def _did(value: Any) -> str:
    if not isinstance(value, str) or not is_did(value):
        raise ValueError(f"must be a DID, not {value!r}")
    return value


def _on(value: Any) -> str:
    if value not in ("post", "account"):
        raise ValueError(f"must be post or account, not {value!r}")
    return str(value)


def _each(item: Check) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("must be a list (in brackets) that is not empty")
        return tuple(dict.fromkeys(item(entry) for entry in value))

    return check


def _value(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value.encode()) > LONGEST_VALUE or any(map(str.isspace, value)):
        raise ValueError(f"must be the value of a label, not {value!r}")
    return value


def _said(value: Any) -> tuple[str, str]:
    src, _, val = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if not is_did(src):
        raise ValueError(f"must be the DID of a labeler, a space and a value, not {value!r}")
    return src, _value(val)


def _listed(value: Any) -> str:
    if not isinstance(value, str) or not (LIST.fullmatch(value) or is_did(value)):
        raise ValueError(f"must be the at:// URIs of lists, or DIDs, not {value!r}")
    return value


def _more_than(value: Any) -> Rate:
    if not isinstance(value, dict) or value.keys() != {"posts", "within"}:
        raise ValueError('must be written as { posts = 20, within = "1h" }')
    return Rate(count(1, 10_000)(value["posts"]), _span(value["within"]) * 1_000_000)


def _renamed(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise ValueError('must say ours for each of theirs, as in { porn = "graphic" }')
    return {_value(theirs): _value(ours) for theirs, ours in value.items()}


_SLUGS = _each(_matching(SLUG, "slugs of communities"))
RULE: dict[str, Check] = {
    "name": _matching(_NAME, "a name of a-z, 0-9, - and _"),
    "labeler": _did,
    "communities": _SLUGS,
    "value": _value,
    "on": _on,
    "keywords": KEYS["include"]["keywords"],
    "domains": KEYS["exclude"]["domains"],
    "account_younger_than": _span,
    "more_than": _more_than,
    "lists": _each(_listed),
    "labels": _each(_said),
    "for": _span,
    "quota": count(1, MOST_QUOTA),
    "dry_run": switch,
}
INPUT: dict[str, Check] = {
    "did": _did,
    "communities": _SLUGS,
    "hide": _each(_value),
    "queue": _each(_value),
    "adopt": _renamed,
    "labeler": _did,
    "quota": count(1, MOST_QUOTA),
    "history": switch,
}
