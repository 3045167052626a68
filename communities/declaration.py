"""`communities.toml`: the communities that an operator declares in a file.

    [[community]]
    slug = "python"
    name = "Python"
    description = "People who write Python."
    owner = "did:plc:..."
    parent = "programming"         # the slug of another community of the file, or the at:// URI of a record
    posting, join_by, state, type, account, about, queue_feed, commands, admin_commands, ...

    [community.include]            # a post that any of these selects belongs to the community
    hashtags = ["python"]          #   facets and `tags` of the post
    keywords = ["type hints"]      #   whole words or phrases of its text
    mentions = ["did:plc:..."]     #   accounts that it mentions
    members = ["did:plc:..."]      #   its author
    lists = ["at://did:plc:.../app.bsky.graph.list/..."]
    joined = true                  #   every post by a member

    [community.require]            # and it must satisfy these
    languages = ["en", "undeclared"]
    media = ["image", "video"]

    [community.exclude]            # unless one of these holds
    hashtags = ["offtopic"]
    replies = true
    languages, media, domains, dids, hashtags_over

    [community.ranking]            # how its feeds in other orders than newest first are made
    half_life_hours, likes, reposts, replies, quotes, author_cap

    [[community.rules]]            # what it asks of its members
    name, text

    [community.log]                # what its public log of decisions shows
    who, show_subject

What each key must be stands in `communities.keys`.
Every fault names the file, the line and the key, and all faults are reported at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from communities.access import AVAILABLE, Posting
from communities.community import Community, Exclude, Include, Log, Require, Rule
from communities.directory import MOST_ABOVE, settle
from communities.keys import KEYS, MAX_RULES, RULE, Check
from communities.lines import Lines
from communities.ranking import Ranking
from communities.toml_file import DeclarationError, load, read_text

_TABLES: dict[str, Callable[..., Any]] = {
    "include": Include, "require": Require, "exclude": Exclude, "ranking": Ranking, "log": Log,
}  # fmt: skip
_NOT_AVAILABLE = (
    "{!r} cannot be kept yet: whatever is in a public repository can be read by all, so all types but"
    f" {', '.join(sorted(AVAILABLE))} wait for permissioned data in the protocol"
)
_NOTHING = (
    "selects nothing; name hashtags, keywords, mentions, members or lists, or joined = true; only a community with an"
    ' account, whose mention submits posts, or with posting = "restricted" does without'
)
_PARENTS = {
    "UnknownParent": "no community of this file has this slug",
    "ParentCycle": "the community would be part of itself: {cycle}",
    "MoreVisible": "a community of type {kind} is more visible than one of type {above} and cannot be part of it",
    "TooDeep": f"more than {MOST_ABOVE} communities would stand above it",
}

_Fault = Callable[[str, str, str], None]
"""Notes what is wrong: in which table (empty: the community itself), at which key, and the problem."""


def read_declaration(path: Path) -> tuple[Community, ...]:
    """The communities that the file declares, in its order.

    Raises DeclarationError when it cannot be read or anything in it is wrong.
    """
    return parse_declaration(read_text(path), str(path))


def parse_declaration(text: str, name: str = "communities.toml") -> tuple[Community, ...]:
    """As `read_declaration`, from the text of the file; `name` stands before each fault."""
    document = load(text, name)
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
    found: dict[int, Community] = {}
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        community = _read_community(entry, lambda *at, index=index: fault(index, *at))
        slug = entry.get("slug")
        if isinstance(slug, str):
            if slug in seen:
                fault(index, "", "slug", f"{slug!r} is also the slug of community[{seen[slug] + 1}]")
            seen.setdefault(slug, index)
        if community:
            found[index] = community
    for index, problem in _misplaced(found, seen.keys()):
        fault(index, "", "parent", problem)
    if faults:
        raise DeclarationError("\n".join(faults))
    return tuple(found.values())


def _read_community(entry: dict[str, Any], fault: _Fault) -> Community | None:
    tables: dict[str, dict[str, Any]] = {}
    for table, keys in KEYS.items():
        source = entry.get(table, {}) if table else {k: v for k, v in entry.items() if _of_itself(k)}
        if isinstance(source, dict):
            tables[table] = _read_table(table, keys, source, fault)
        else:
            fault("", table, f"must be a table: [community.{table}]")
    rules = _read_rules(entry.get("rules", []), fault)
    for key in ("slug", "name"):
        if key not in entry:
            fault("", key, "is missing")
    plain = tables[""]
    if "type" in plain:
        plain["kind"] = plain.pop("type")
        if plain["kind"] not in AVAILABLE:
            fault("", "type", _NOT_AVAILABLE.format(plain["kind"]))
    if "follow" in plain.get("join_by", ()) and "account" not in entry:
        fault("", "join_by", "nobody can follow a community without an account")
    for key in ("commands", "admin_commands"):
        if plain.get(key) and "account" not in entry:
            fault("", key, "nobody can mention a community without an account")
    include = entry.get("include", {})
    if isinstance(include, dict) and not any(include.values()) and not _filled_otherwise(entry):
        fault("include", "", _NOTHING)
    if "slug" not in plain or "name" not in plain:
        return None
    return Community(**plain, rules=rules, **{name: shape(**tables.get(name, {})) for name, shape in _TABLES.items()})


def _of_itself(key: str) -> bool:
    """Whether a key of `[[community]]` is read with the community itself; there is no table with an empty name."""
    return key != "rules" and (not key or key not in KEYS)


def _read_table(table: str, keys: dict[str, Check], source: dict[str, Any], fault: _Fault) -> dict[str, Any]:
    """The values of a table that are good."""
    kept = {}
    for key, value in source.items():
        if key not in keys:
            known = ", ".join(keys) + ("" if table else f", rules, {', '.join(_TABLES)}")
            fault(table, key, f"no such key; there are {known}")
            continue
        try:
            kept[key] = keys[key](value)
        except ValueError as error:
            fault(table, key, str(error))
    return kept


def _read_rules(entries: Any, fault: _Fault) -> tuple[Rule, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        fault("", "rules", "write [[community.rules]], in two brackets")
        return ()
    if len(entries) > MAX_RULES:
        fault("", "rules", f"must be at most {MAX_RULES}")
    found = []
    for number, entry in enumerate(entries, 1):
        kept = _read_table(f"rules[{number}]", RULE, entry, fault)
        if "name" not in entry:
            fault(f"rules[{number}]", "name", "is missing")
        elif "name" in kept:
            found.append(Rule(**kept))
    return tuple(found)


def _filled_otherwise(entry: dict[str, Any]) -> bool:
    """Whether posts may come that no selector finds: whoever mentions its account submits a post; where nobody but
    moderators posts, they choose.
    """
    return "account" in entry or entry.get("posting") == Posting.RESTRICTED


def _misplaced(found: dict[int, Community], slugs: Iterable[str]) -> list[tuple[int, str]]:
    """Which communities cannot be part of the one that they name, and why.

    Whether a record is there, and lets the owner put a community below it, shows only when the service runs.
    """
    by_slug = {community.slug: community for community in found.values()}
    unread = set(slugs) - by_slug.keys()  # those have faults of their own
    placed = [
        (index, None, replace(community, parent=None) if _elsewhere(community.parent, unread) else community)
        for index, community in found.items()
    ]
    misplaced = []
    for index, fault in settle(placed, lambda did, community: False).faults.items():
        community = found[index]
        above = by_slug.get(community.parent or "")
        cycle = " > ".join(_upwards(community, by_slug))
        misplaced.append((index, _PARENTS[fault].format(cycle=cycle, kind=community.kind, above=above and above.kind)))
    return misplaced


def _elsewhere(parent: str | None, unread: set[str]) -> bool:
    return parent is not None and (parent.startswith("at://") or parent in unread)


def _upwards(community: Community, by_slug: dict[str, Community]) -> list[str]:
    """The slugs from a community to its parent and so on, up to the first that comes again."""
    path = [community.slug]
    at = by_slug.get(community.parent or "")
    while at is not None and at.slug not in path:
        path.append(at.slug)
        at = by_slug.get(at.parent or "")
    return [*path, at.slug] if at else path
