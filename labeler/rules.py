"""`[[rule]]` and `[[input]]` of `labels.toml`: labels that are issued by themselves, and other labelers that are read.

    [[rule]]
    name = "new-spammers"                       # names what it does everywhere
    labeler = "did:plc:..."                     # left out: the only one
    communities = ["python"]                    # in whose posts; left out: of all that the labeler labels for
    value = "spam"
    on = "post"                                 # or "account": its author
    keywords, domains, lists, labels            # conditions: all that are given must hold, each by any of its entries
    account_younger_than = "7d"
    more_than = { posts = 20, within = "1h" }
    for = "30d"                                 # when the label ends
    quota = 200                                 # labels a day
    dry_run = true                              # label nothing, count

    [[input]]
    did = "did:plc:..."                         # a labeler of others
    communities = ["python"]                    # for which; left out: for all
    hide = ["porn"]                             # these values take posts out of the communities
    queue = ["rude"]                            # these let them wait in the queue
    adopt = { spam = "spam" }                   # these are said by our labeler too, under another name perhaps
    labeler                                     # as above, for what is adopted
    quota = 200                                 # of all that it brings about in a day
    history = true                              # read what it said before; left out: from now on

There are no patterns but words and domains: nothing that a post says can make a rule slow (S105).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from communities.keys import Check
from communities.lines import Lines
from labeler.permission import SYSTEM
from labeler.rule_keys import INPUT, RULE, Rate
from labeler.vocabulary import Declared

QUOTA = 200
"""Labels a day, or other acts, where the file does not say."""
MOST_RULES = 200
CONDITIONS = ("keywords", "domains", "account_younger_than", "more_than", "lists", "labels")


class Rule(NamedTuple):
    """A rule. `labeler`: a DID; `lists`: at-uris of lists, and DIDs; `labels`: sources and values; `younger_than` is
    microseconds, `lasts` milliseconds, None where they are not said.
    """

    name: str
    labeler: str
    communities: frozenset[str]
    value: str
    on: str = "post"
    keywords: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    younger_than: int | None = None
    more_than: Rate | None = None
    lists: tuple[str, ...] = ()
    labels: frozenset[tuple[str, str]] = frozenset()
    lasts: int | None = None
    quota: int = QUOTA
    dry_run: bool = False


class Input(NamedTuple):
    """A labeler of others. `adopt`: our value for each of theirs; `labeler`: which of ours says it, empty: none.
    `history`: it is read from its beginning.
    """

    did: str
    communities: frozenset[str]
    hide: frozenset[str]
    queue: frozenset[str]
    adopt: Mapping[str, str]
    labeler: str = ""
    quota: int = QUOTA
    history: bool = False

    @property
    def rule(self) -> str:
        """As which rule what it brings about stands in events."""
        return f"input {self.did}"


Fault = Callable[[int, str, str], None]
"""Notes what is wrong: in which table, at which key, and the problem."""


def read_rules(
    document: Mapping[str, Any], text: str, name: str, labelers: Sequence[Declared]
) -> tuple[tuple[Rule, ...], tuple[Input, ...], list[str]]:
    """The rules and inputs of a parsed file, and its faults; `name` stands before each. `labelers`: those that it
    declares.
    """
    faults: list[str] = []
    inputs = _tables(document, text, name, "input", INPUT, faults)
    rules = _tables(document, text, name, "rule", RULE, faults)
    if len(rules[0]) > MOST_RULES:
        rules[1](0, "", f"there are {len(rules[0])} rules, at most {MOST_RULES} may be")
    found_inputs = _unique([_input(*one, inputs[1], labelers) for one in inputs[0]], "did", inputs[1])
    sources = {one.did: {*one.hide, *one.queue, *one.adopt} for one in found_inputs}
    found = _unique([_rule(*one, rules[1], labelers, sources) for one in rules[0]], "name", rules[1])
    return tuple(found), tuple(found_inputs), faults


def _tables(
    document: Mapping[str, Any], text: str, name: str, root: str, keys: Mapping[str, Check], faults: list[str]
) -> tuple[list[tuple[int, dict[str, Any]]], Fault]:
    """The values that are good, of each table, and how to note what is wrong with one."""
    lines = Lines(text, root)

    def fault(index: int, key: str, problem: str) -> None:
        path = f"{root}[{index + 1}]" + (f".{key}" if key else "")
        faults.append(f"{name}:{lines.find(index, '', key)}: {path}: {problem}")

    entries = document.get(root, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        faults.append(f"{name}:{lines.find(-1, '', root)}: {root}: write [[{root}]], in two brackets")
        return [], fault
    found = []
    for index, entry in enumerate(entries):
        kept: dict[str, Any] = {}
        for key, value in entry.items():
            if key not in keys:
                fault(index, key, f"no such key; there are {', '.join(keys)}")
                continue
            try:
                kept[key] = keys[key](value)
            except ValueError as error:
                fault(index, key, str(error))
                kept[key] = None
        found.append((index, kept))
    return found, fault


def _unique(found: list[Any], key: str, fault: Fault) -> list[Any]:
    seen: dict[str, int] = {}
    for index, one in enumerate(found):
        if one is not None and seen.setdefault(value := getattr(one, key), index) != index:
            fault(index, key, f"{value!r} is also that of number {seen[value] + 1}")
    return [one for one in found if one is not None]


def _labeler(
    index: int, kept: Mapping[str, Any], fault: Fault, labelers: Sequence[Declared], values: Sequence[str]
) -> Declared | None:
    """Which of ours says these values; what is wrong with that is noted."""
    wanted = kept.get("labeler")
    found = [one for one in labelers if wanted in (None, one.did)]
    if len(found) != 1:
        problem = "say which labeler" if found else "is none that this file declares"
        if labelers or wanted is None:
            fault(index, "labeler", problem if labelers else "there is none: write a [[labeler]] first")
        return None
    for val in values:
        if val.startswith(SYSTEM):
            fault(index, "value", f"{val} is obeyed by every app: a person must decide it, not a rule")
        elif val not in found[0].values:
            fault(index, "value", f"{val!r} is not declared by {found[0].did}")
    for slug in sorted(kept.get("communities") or ()):
        if found[0].communities and slug not in found[0].communities:
            fault(index, "communities", f"{found[0].did} does not label for {slug}")
    return found[0]


def _rule(
    index: int,
    kept: Mapping[str, Any],
    fault: Fault,
    labelers: Sequence[Declared],
    sources: Mapping[str, Any],
) -> Rule | None:
    for key in ("name", "value"):
        if key not in kept:
            fault(index, key, "is missing")
    if not any(key in kept for key in CONDITIONS):
        fault(index, "", f"it has no condition; there are {', '.join(CONDITIONS)}")
    for src, val in kept.get("labels") or ():
        if src not in sources:
            fault(index, "labels", f"{src} is not read; write an [[input]] for it")
        elif val not in sources[src]:
            fault(index, "labels", f"the [[input]] of {src} does not name {val!r}; it keeps what it names alone")
    values = [kept["value"]] if kept.get("value") else []
    labeler = _labeler(index, kept, fault, labelers, values)
    if labeler is None or None in kept.values() or not values or "name" not in kept:
        return None
    younger, lasts = kept.get("account_younger_than"), kept.get("for")
    return Rule(
        name=kept["name"],
        labeler=labeler.did,
        communities=frozenset(kept.get("communities", ())) or labeler.communities,
        value=kept["value"],
        on=kept.get("on", "post"),
        keywords=kept.get("keywords", ()),
        domains=kept.get("domains", ()),
        younger_than=None if younger is None else younger * 1_000_000,
        more_than=kept.get("more_than"),
        lists=kept.get("lists", ()),
        labels=frozenset(kept.get("labels", ())),
        lasts=None if lasts is None else lasts * 1000,
        quota=kept.get("quota", QUOTA),
        dry_run=kept.get("dry_run", False),
    )


def _input(index: int, kept: Mapping[str, Any], fault: Fault, labelers: Sequence[Declared]) -> Input | None:
    if "did" not in kept:
        fault(index, "did", "is missing")
    if not kept.keys() & {"hide", "queue", "adopt"}:
        fault(index, "", "it does nothing; say which values hide, queue or adopt")
    if kept.get("did") in {one.did for one in labelers}:
        fault(index, "did", "is a labeler of this service, which needs no reading")
    adopt = kept.get("adopt") or {}
    labeler = _labeler(index, kept, fault, labelers, sorted(set(adopt.values()))) if adopt else None
    if None in kept.values() or "did" not in kept or (adopt and labeler is None):
        return None
    return Input(
        did=kept["did"],
        communities=frozenset(kept.get("communities", ())),
        hide=frozenset(kept.get("hide", ())),
        queue=frozenset(kept.get("queue", ())),
        adopt=adopt,
        labeler=labeler.did if labeler else "",
        quota=kept.get("quota", QUOTA),
        history=kept.get("history", False),
    )
