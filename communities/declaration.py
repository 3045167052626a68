"""`communities.toml`: the communities that an operator declares in a file.

    [[community]]
    slug = "python"
    name = "Python"
    description = "People who write Python."
    owner = "did:plc:..."

    [community.include]            # a post that any of these selects belongs to the community
    hashtags = ["python"]          #   facets and `tags` of the post
    keywords = ["type hints"]      #   whole words or phrases of its text
    mentions = ["did:plc:..."]     #   accounts that it mentions
    members = ["did:plc:..."]      #   its author
    lists = ["at://did:plc:.../app.bsky.graph.list/..."]

    [community.require]            # and it must satisfy these
    languages = ["en", "undeclared"]
    media = ["image", "video"]

    [community.exclude]            # unless one of these holds
    hashtags = ["offtopic"]
    replies = true
    languages, media, domains, dids, hashtags_over

    [community.ranking]            # how its feeds in other orders than newest first are made
    half_life_hours, likes, reposts, replies, quotes, author_cap

Every fault names the file, the line and the key, and all faults are reported at once.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from communities.community import Community, Exclude, Include, Require
from communities.lines import Lines
from communities.post import MEDIA
from communities.ranking import EVERYTHING, SORTS, Ranking
from communities.text import fold_tag, words
from xrpc.graphemes import graphemes

SLUG = re.compile(r"[a-z][a-z0-9_-]{1,62}")
RESERVED = frozenset((EVERYTHING,))
"""Slugs that no community has: feeds of the service itself stand there."""
_DID = re.compile(r"did:(plc:[a-z2-7]{24}|web:[A-Za-z0-9.-]+(%3A[0-9]+)?)")
_LIST = re.compile(rf"at://{_DID.pattern}/app\.bsky\.graph\.list/[A-Za-z0-9._~:-]{{1,512}}")
_POST = re.compile(rf"at://{_DID.pattern}/app\.bsky\.feed\.post/[A-Za-z0-9._~:-]{{1,512}}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}|undeclared")
MAX_PINS = 5


class DeclarationError(Exception):
    """The file cannot be used; the message names every fault, a line each."""


_Check = Callable[[Any], Any]
"""Gives the value to keep, or raises ValueError with what the value must be."""


def _string(max_graphemes: int, max_bytes: int, *, empty: bool = False) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or (not value.strip() and not empty):
            raise ValueError("must be a text" + ("" if empty else " that is not empty"))
        if graphemes(value) > max_graphemes or len(value.encode()) > max_bytes:
            raise ValueError(f"must have at most {max_graphemes} characters ({max_bytes} bytes)")
        return value

    return check


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise ValueError(f"must be 2 to 63 of a-z, 0-9, - and _, the first a letter, not {value!r}")
    if value in RESERVED:
        raise ValueError(f"must be another one: {value!r} is a feed of the service itself")
    return value


def _pattern(pattern: re.Pattern[str], what: str) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {what}, not {value!r}")
        return value

    return check


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _count(least: int, most: int, zero: str = "") -> _Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least}{zero} to {most}")
        return value

    return check


def _one_of(*choices: str) -> _Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return check


def _each(item: _Check, most: int = 100_000) -> _Check:
    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"must be a list (in brackets) of at most {most}")
        return tuple(dict.fromkeys(item(entry) for entry in value))

    return check


def _feeds(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = _each(_one_of(*SORTS))(value)
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

_KEYS: dict[str, dict[str, _Check]] = {
    "": {
        "slug": _slug,
        "name": _string(24, 240),
        "description": _string(300, 3000, empty=True),
        "owner": _did,
        "avatar": _string(1000, 1000),
        "pins": _each(_pattern(_POST, "the at:// URI of a post, with a DID"), MAX_PINS),
        "content_mode": _one_of("unspecified", "video"),
        "accepts_interactions": _switch,
        "feeds": _feeds,
    },
    "include": {
        "hashtags": _each(_hashtag),
        "keywords": _each(_keyword),
        "mentions": _each(_did),
        "members": _each(_did),
        "lists": _each(_pattern(_LIST, "the at:// URI of a list, with a DID"), 100),
    },
    "require": {
        "languages": _each(_pattern(_LANGUAGE, "a language such as en, or undeclared")),
        "media": _each(_one_of(*MEDIA)),
    },
    "exclude": {
        "hashtags": _each(_hashtag),
        "replies": _switch,
        "languages": _each(_pattern(_LANGUAGE, "a language such as en, or undeclared")),
        "media": _each(_one_of(*MEDIA)),
        "domains": _each(_pattern(_DOMAIN, "a domain in lower case, such as example.com")),
        "dids": _each(_did),
        "hashtags_over": _count(0, 1000, " (no limit)"),
    },
    "ranking": {
        "half_life_hours": _count(1, 720),
        "likes": _count(0, 100),
        "reposts": _count(0, 100),
        "replies": _count(0, 100),
        "quotes": _count(0, 100),
        "author_cap": _count(0, 100, " (no limit)"),
    },
}


def read_declaration(path: Path) -> tuple[Community, ...]:
    """The communities that the file declares, in its order.

    Raises DeclarationError when it cannot be read or anything in it is wrong.
    """
    try:
        if path.exists() and not path.is_file():
            raise DeclarationError(f"{path}: cannot be read: it is no file")  # a pipe would be waited for
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: cannot be read: {error}") from error
    return parse_declaration(text, str(path))


def parse_declaration(text: str, name: str = "communities.toml") -> tuple[Community, ...]:
    """As `read_declaration`, from the text of the file; `name` stands before each fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = line.group(1) if line else text.count("\n") + 1
        raise DeclarationError(f"{name}:{number}: no valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        raise DeclarationError(f"{name}:1: cannot be read: {error}") from error
    lines = Lines(text)
    faults: list[str] = []

    def fault(index: int, table: str, key: str, problem: str) -> None:
        where = f"community[{index + 1}]" if index >= 0 else ""
        path = ".".join(part for part in (where, table, key) if part)
        faults.append(f"{name}:{lines.find(index, table, key)}: {path}: {problem}")

    for key in document.keys() - {"community"}:
        fault(-1, "", key, "no such key; a community starts with [[community]]")
    entries = document.get("community", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DeclarationError(
            f"{name}:{lines.find(-1, '', 'community')}: community: write [[community]], in two brackets"
        )
    if not entries and not faults:
        raise DeclarationError(f"{name}:1: community: none is declared; start one with [[community]]")
    found: list[Community] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        before = len(faults)
        community = _read_community(entry, lambda *at, index=index: fault(index, *at))
        slug = entry.get("slug")
        if isinstance(slug, str):
            if slug in seen:
                fault(index, "", "slug", f"{slug!r} is also the slug of community[{seen[slug] + 1}]")
            seen.setdefault(slug, index)
        if len(faults) == before and community:
            found.append(community)
    if faults:
        raise DeclarationError("\n".join(faults))
    return tuple(found)


def _read_community(entry: dict[str, Any], fault: Callable[[str, str, str], None]) -> Community | None:
    tables: dict[str, dict[str, Any]] = {}
    for table, keys in _KEYS.items():
        source = entry.get(table, {}) if table else {k: v for k, v in entry.items() if k not in _KEYS or not k}
        if not isinstance(source, dict):
            fault("", table, f"must be a table: [community.{table}]")
            continue
        kept = tables[table] = {}
        for key, value in source.items():
            if key not in keys:
                known = ", ".join(keys) + ("" if table else ", include, require, exclude, ranking")
                fault(table, key, f"no such key; there are {known}")
                continue
            try:
                kept[key] = keys[key](value)
            except ValueError as error:
                fault(table, key, str(error))
    for key in ("slug", "name"):
        if key not in entry:
            fault("", key, "is missing")
    if not any(entry.get("include", {}).values() if isinstance(entry.get("include", {}), dict) else [True]):
        fault("include", "", "selects nothing; name hashtags, keywords, mentions, members or lists")
    plain = tables.get("", {})
    if "slug" not in plain or "name" not in plain:
        return None
    return Community(
        **plain,
        include=Include(**tables.get("include", {})),
        require=Require(**tables.get("require", {})),
        exclude=Exclude(**tables.get("exclude", {})),
        ranking=Ranking(**tables.get("ranking", {})),
    )
