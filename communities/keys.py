"""What each key of `communities.toml` must be: of every table its keys, each with the check of its value."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from communities.access import Posting, State, Type
from communities.commands import Word
from communities.community import JOIN_WAYS, WHO
from communities.post import MEDIA
from communities.ranking import EVERYTHING, SORTS
from communities.text import fold_tag, words
from xrpc.graphemes import graphemes

SLUG = re.compile(r"[a-z][a-z0-9_-]{1,62}")
RESERVED = frozenset((EVERYTHING,))
"""Slugs that no community has: feeds of the service itself stand there."""
_DID = re.compile(r"did:(plc:[a-z2-7]{24}|web:[A-Za-z0-9.-]+(%3A[0-9]+)?)")
LIST = re.compile(rf"at://{_DID.pattern}/app\.bsky\.graph\.list/[A-Za-z0-9._~:-]{{1,512}}")
_POST = re.compile(rf"at://{_DID.pattern}/app\.bsky\.feed\.post/[A-Za-z0-9._~:-]{{1,512}}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}|undeclared")
_PARENT = re.compile(rf"{SLUG.pattern}|at://{_DID.pattern}/social\.communities\.community/{SLUG.pattern}")
MAX_PINS = 5
MAX_RULES = 50


Check = Callable[[Any], Any]
"""Gives the value to keep, or raises ValueError with what the value must be."""


def _string(max_graphemes: int, max_bytes: int, *, empty: bool = False) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or (not value.strip() and not empty):
            raise ValueError("must be a text" + ("" if empty else " that is not empty"))
        if graphemes(value) > max_graphemes or len(value.encode()) > max_bytes:
            raise ValueError(f"must have at most {max_graphemes} characters ({max_bytes} bytes)")
        return value

    return check


def _pattern(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}, not {value!r}")
        return value

    return check


def _slug(value: Any) -> str:
    slug = str(_pattern(SLUG, "2 to 63 of a-z, 0-9, - and _, the first a letter")(value))
    if slug in RESERVED:
        raise ValueError(f"must be another one: {slug!r} is a feed of the service itself")
    return slug


def switch(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def count(least: int, most: int, zero: str = "") -> Check:
    """A whole number; `zero`: what its least value means, for people."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least}{zero} to {most}")
        return value

    return check


def one_of(*choices: str) -> Check:
    """One of these texts."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return check


def _each(item: Check, most: int = 100_000) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list (in brackets) of at most {most}")
        return tuple(dict.fromkeys(item(entry) for entry in value))

    return check


def _feeds(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = _each(one_of(*SORTS))(value)
    if not found:
        raise ValueError("must name at least one; without the key there is newest")
    return found


def _hashtag(value: Any) -> str:
    if (
        not isinstance(value, str)
        or not fold_tag(value)
        or len(value.encode()) > 640
        or re.search(r"\s", value.strip())
    ):
        raise ValueError(f"must be hashtags without spaces, not {value!r}")
    return fold_tag(value)


def _keyword(value: Any) -> str:
    if not isinstance(value, str) or not words(value) or len(value) > 300:
        raise ValueError(f"must be words or phrases with at least one letter or digit, not {value!r}")
    for sign in value:
        # Words are compared without signs: `C++` would match every "c". Saying so beats a feed full of them.
        if sign in "#@%*\\" or unicodedata.category(sign).startswith("S"):
            raise ValueError(f"must be words or phrases; {value!r} holds {sign!r}, and signs are not compared")
    return value


_did = _pattern(_DID, "a DID (did:plc:... or did:web:...)")

KEYS: dict[str, dict[str, Check]] = {
    "": {
        "slug": _slug,
        "name": _string(24, 240),
        "description": _string(300, 3000, empty=True),
        "owner": _did,
        "avatar": _string(1000, 1000),
        "pins": _each(_pattern(_POST, "the at:// URI of a post, with a DID"), MAX_PINS),
        "content_mode": one_of("unspecified", "video"),
        "accepts_interactions": switch,
        "feeds": _feeds,
        "about": _string(10_000, 100_000, empty=True),
        "type": one_of(*Type),
        "posting": one_of(*Posting),
        "join_by": _each(one_of(*JOIN_WAYS)),
        "state": one_of(*State),
        "account": _did,
        "parent": _pattern(_PARENT, "the slug of a community of this file, or the at:// URI of a community's record"),
        "queue_feed": switch,
        "commands": _each(one_of(*Word)),
        "admin_commands": _each(one_of(*Word)),
    },
    "include": {
        "hashtags": _each(_hashtag),
        "keywords": _each(_keyword),
        "mentions": _each(_did),
        "members": _each(_did),
        "lists": _each(_pattern(LIST, "the at:// URI of a list, with a DID"), 100),
        "joined": switch,
    },
    "require": {
        "languages": _each(_pattern(_LANGUAGE, "a language such as en, or undeclared")),
        "media": _each(one_of(*MEDIA)),
    },
    "exclude": {
        "hashtags": _each(_hashtag),
        "replies": switch,
        "languages": _each(_pattern(_LANGUAGE, "a language such as en, or undeclared")),
        "media": _each(one_of(*MEDIA)),
        "domains": _each(_pattern(_DOMAIN, "a domain in lower case, such as example.com")),
        "dids": _each(_did),
        "hashtags_over": count(0, 1000, " (no limit)"),
    },
    "ranking": {
        "half_life_hours": count(1, 720),
        "likes": count(0, 100),
        "reposts": count(0, 100),
        "replies": count(0, 100),
        "quotes": count(0, 100),
        "author_cap": count(0, 100, " (no limit)"),
    },
    "log": {
        "who": one_of(*WHO),
        "show_subject": switch,
    },
}
"""Of the table of a community itself (the empty name) and of each table in it."""
RULE: dict[str, Check] = {"name": _string(100, 1000), "text": _string(1000, 10_000, empty=True)}
"""Of each `[[community.rules]]`."""
