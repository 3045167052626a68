"""`labels.toml`: the accounts that label for communities, what they may say, and the record that tells clients so.

    [[labeler]]
    did = "did:plc:..."                         # of the labeler's account, best one of its own
    endpoint = "https://labels.example.org"     # where this service is reached as that labeler
    communities = ["python"]                    # for whom it labels; left out: for every community here
    system = ["!warn"]                          # values of every app that it may issue too
    reason_types, subject_types, subject_collections    # which reports it takes
    negate_expired = true                       # whether what has expired is taken back for good
    takedown = "removed"                        # the value that a takedown issues; left out: none
    two_person = true                           # whether a takedown takes two people; the same of a label

    [[labeler.label]]
    value = "spoiler"
    severity = "inform"                         # inform, alert, none
    blurs = "content"                           # content, media, none
    default_setting = "warn"                    # ignore, warn, hide
    adult_only = false

    [labeler.label.locales.en]                  # the first language is shown where no other fits
    name = "Spoiler"
    description = "Tells how a story ends."

What each key must be stands in `labeler.vocabulary_keys`. Clients ignore in silence what is not as they expect, so all
of it is refused here: every fault names the file, the line and the key, and all are reported at once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from communities.lines import Lines
from communities.reasons import APPEALS, REASONS
from communities.toml_file import DeclarationError, load
from labeler.vocabulary_keys import LABEL, LABELER, LOCALE, NOT_OURS, Check, language

COLLECTION, RKEY = "app.bsky.labeler.service", "self"
MOST_BYTES = 140_000
"""Of a record as JSON: a PDS takes 150 KB, the request around it included (bluesky-social/atproto#2803)."""
SUBJECT_TYPES = ("account", "record")
SUBJECT_COLLECTIONS = (
    "app.bsky.actor.profile",
    "app.bsky.feed.generator",
    "app.bsky.feed.post",
    "app.bsky.graph.list",
    "app.bsky.graph.starterpack",
)
"""What the record says where the file says nothing: it must say something, for readers of it disagree on what it means
that it says nothing.
"""

_Fault = Callable[[str, str, str], None]
"""Notes what is wrong: in which table (empty: the labeler itself), at which key, and the problem."""


@dataclass(frozen=True, slots=True)
class Locale:
    """How a label is shown in a language."""

    lang: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Definition:
    """What a value means: how clients show it."""

    value: str
    severity: str
    blurs: str
    default_setting: str
    adult_only: bool
    locales: tuple[Locale, ...]
    two_person: bool = False
    """Whether two people must want it before it is issued."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One labeler. `communities`: the slugs of those that it labels for; empty: every one. Of what reports it takes,
    None: the file does not say.
    """

    did: str
    endpoint: str
    communities: frozenset[str]
    definitions: Mapping[str, Definition]
    system: frozenset[str]
    reason_types: frozenset[str] | None
    subject_types: frozenset[str] | None
    subject_collections: frozenset[str] | None
    negate_expired: bool = True
    takedown: str | None = None
    """The value that a takedown by this labeler issues; None: none."""
    two_person: bool = False
    """Whether two people must want a takedown before it is done."""

    @property
    def values(self) -> frozenset[str]:
        """All values that may be issued."""
        return self.system | self.definitions.keys()

    @property
    def host(self) -> str:
        """The Host of requests that are meant for it, the port included where it is not the usual one."""
        return self.endpoint.partition("://")[2]


def parse_labelers(text: str, name: str = "labels.toml") -> tuple[Declared, ...]:
    """The labelers that the text of the file declares, in its order; `name` stands before each fault.

    Raises DeclarationError when it cannot be read or anything in it is wrong.
    """
    document = load(text, name)
    lines = Lines(text, "labeler")
    faults: list[str] = []

    def fault(index: int, table: str, key: str, problem: str) -> None:
        where = f"labeler[{index + 1}]" if index >= 0 else ""
        path = ".".join(part for part in (where, table, key) if part)
        faults.append(f"{name}:{lines.find(index, table, key)}: {path}: {problem}")

    for key in document.keys() - {"labeler", "rule", "input"}:
        fault(-1, "", key, "no such key; a labeler starts with [[labeler]]")
    entries = document.get("labeler", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DeclarationError(f"{name}:{lines.find(-1, '', 'labeler')}: labeler: write [[labeler]], in two brackets")
    found = []
    seen: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries):
        declared = _read_labeler(entry, lambda *at, index=index: fault(index, *at))
        for key in ("did", "endpoint"):
            if isinstance(value := entry.get(key), str):
                first = seen.setdefault((key, value), index)
                if first != index:
                    fault(index, "", key, f"{value} is also that of labeler[{first + 1}]; each needs its own")
        if declared is not None:
            found.append(declared)
    if faults:
        raise DeclarationError("\n".join(faults))
    return tuple(found)


def _read_labeler(entry: dict[str, Any], fault: _Fault) -> Declared | None:
    kept = _read_table("", LABELER, {k: v for k, v in entry.items() if k != "label"}, fault, ("label",))
    for key in ("did", "endpoint"):
        if key not in entry:
            fault("", key, "is missing")
    definitions = _read_labels(entry.get("label", []), fault)
    if not definitions and not entry.get("label") and not kept.get("system"):
        fault("label", "", "declares nothing to say; write a [[labeler.label]]")
    if "did" not in kept or "endpoint" not in kept:
        return None
    takedown = definitions.get(kept.get("takedown", ""))
    declared = Declared(
        did=kept["did"],
        endpoint=kept["endpoint"],
        communities=kept.get("communities", frozenset()),
        definitions=definitions,
        system=kept.get("system", frozenset()),
        reason_types=kept.get("reason_types"),
        subject_types=kept.get("subject_types"),
        subject_collections=kept.get("subject_collections"),
        negate_expired=kept.get("negate_expired", True),
        takedown=kept.get("takedown"),
        # Else who takes something down would issue alone what takes two.
        two_person=kept.get("two_person", False) or (takedown is not None and takedown.two_person),
    )
    if declared.takedown is not None and declared.takedown not in declared.values:
        fault("", "takedown", f"{declared.takedown!r} is not declared here: a takedown issues a value of this labeler")
    if (size := record_bytes(declared)) > MOST_BYTES:
        largest = sorted(((len(_json(_definition(d))), d.value) for d in definitions.values()), reverse=True)[:5]
        told = ", ".join(f"{value} {count:,}" for count, value in largest)
        fault(
            "label",
            "",
            f"the record would have {size:,} bytes, and a PDS takes at most {MOST_BYTES:,}: shorten the descriptions,"
            f" leave out languages, or share the labels out among several labelers (the largest: {told})",
        )
    return declared


def _read_labels(entries: Any, fault: _Fault) -> dict[str, Definition]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        fault("", "label", "write [[labeler.label]], in two brackets")
        return {}
    found: dict[str, Definition] = {}
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        table = f"label[{number}]"
        kept = _read_table(table, LABEL, {k: v for k, v in entry.items() if k != "locales"}, fault, ("locales",))
        for key in ("value", "severity", "blurs"):
            if key not in entry:
                fault(table, key, "is missing")
        if isinstance(value := entry.get("value"), str):
            if value in seen:
                fault(table, "value", f"{value!r} is also the value of label[{seen[value]}]")
            seen.setdefault(value, number)
        locales = _read_locales(table, entry.get("locales"), fault)
        if kept.keys() >= {"value", "severity", "blurs"}:
            found[kept["value"]] = Definition(
                kept["value"],
                kept["severity"],
                kept["blurs"],
                kept.get("default_setting", "warn"),
                kept.get("adult_only", False),
                locales,
                kept.get("two_person", False),
            )
    return found


def _read_locales(table: str, entries: Any, fault: _Fault) -> tuple[Locale, ...]:
    if not isinstance(entries, dict) or not entries:
        fault(table, "locales", "says nothing to readers; write [labeler.label.locales.en] with name and description")
        return ()
    found: dict[str, Locale] = {}
    for lang, entry in entries.items():
        where = f"{table}.locales.{lang}"
        if problem := language(lang):
            fault(f"{table}.locales", lang, problem)
        elif lang.lower() in found:
            fault(f"{table}.locales", lang, f"is also there as {found[lang.lower()].lang}")
        if not isinstance(entry, dict):
            fault(f"{table}.locales", lang, "must be a table with name and description")
            continue
        kept = _read_table(where, LOCALE, entry, fault)
        for key in LOCALE.keys() - entry.keys():
            fault(where, key, "is missing")
        if kept.keys() == LOCALE.keys():
            found.setdefault(lang.lower(), Locale(lang, kept["name"], kept["description"]))
    return tuple(found.values())


def _read_table(
    table: str, keys: Mapping[str, Check], source: dict[str, Any], fault: _Fault, more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of a table that are good. `more`: keys that are read elsewhere."""
    kept = {}
    for key, value in source.items():
        if key not in keys:
            fault(table, key, f"no such key; there are {', '.join((*keys, *more))}")
            continue
        try:
            kept[key] = keys[key](value)
        except ValueError as error:
            fault(table, key, str(error))
    return kept


def service_record(declared: Declared, created_at: str) -> dict[str, Any]:
    """The record that stands at `app.bsky.labeler.service/self` of the labeler's repository. `created_at`: RFC 3339."""
    reasons = (REASONS | APPEALS) - NOT_OURS if declared.reason_types is None else declared.reason_types
    subjects = SUBJECT_TYPES if declared.subject_types is None else declared.subject_types
    collections = SUBJECT_COLLECTIONS if declared.subject_collections is None else declared.subject_collections
    return {
        "$type": COLLECTION,
        "policies": {
            "labelValues": [*declared.definitions, *sorted(declared.system)],
            "labelValueDefinitions": [_definition(definition) for definition in declared.definitions.values()],
        },
        "createdAt": created_at,
        "reasonTypes": sorted(reasons),
        "subjectTypes": sorted(subjects),
        "subjectCollections": sorted(collections) if "record" in subjects else [],
    }


def _definition(definition: Definition) -> dict[str, Any]:
    return {
        "identifier": definition.value,
        "severity": definition.severity,
        "blurs": definition.blurs,
        "defaultSetting": definition.default_setting,
        "adultOnly": definition.adult_only,
        "locales": [
            {"lang": locale.lang, "name": locale.name, "description": locale.description}
            for locale in definition.locales
        ],
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def record_bytes(declared: Declared) -> int:
    """How many bytes of JSON the record has."""
    return len(_json(service_record(declared, "2026-01-01T00:00:00.000Z")))
