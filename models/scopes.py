"""Whose matters somebody looks into, as a condition of queries. Pure.

A scope is the number of a community, 0 for the service itself, or below 0 the number of a labeler (`mod_event`). What
is seen of one may be cut: to some collections of what it is about, and to reports for some reasons. Every list and
count goes through `Scopes.where`, or `Scopes.within` where it reads scope by scope, so what is cut off is in none.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

Condition = tuple[str, tuple[Any, ...]]
"""Of a query, and its bindings."""


TAGGER = "tagger"
"""The actor of the tags that come of reports (`communities.tagging`)."""


class Cut(NamedTuple):
    """What is seen of a scope. `collections`: of what it is about, as column `about` of `report_case`; `reasons`: of
    reports. None: whichever.
    """

    collections: frozenset[str] | None = None
    reasons: frozenset[str] | None = None


class Columns(NamedTuple):
    """Expressions over a row: its scope, of which collection that is which it is about, and the reason of a report;
    NULL for what is no report.
    """

    scope: str
    about: str
    reason: str = "NULL"


def about_of(subject: str) -> str:
    """Of which collection a subject is: an expression over its number, as column `about` of `report_case`."""
    return (
        "(SELECT iif(x.convo != '', 'conversation', iif(x.path = '', 'account',"
        f" substr(x.path, 1, instr(x.path, '/') - 1))) FROM subject x WHERE x.id = {subject})"
    )


def events(row: str, scope: str = "") -> Columns:
    """Of a row of `mod_event`, with this name. `scope`: how its scope is written there.

    Tags that come of reports come of all reports of a subject together. Theirs is an empty reason, which is in no cut,
    so who sees some reasons alone sees none of them.
    """
    reported = f"{row}.type = 'modEventReport' THEN coalesce({row}.said ->> '$.reportType', '')"
    reason = f"CASE WHEN {reported} WHEN {row}.actor = '{TAGGER}' THEN '' END"
    return Columns(scope or f"{row}.scope", about_of(f"{row}.subject"), reason)


def statuses(row: str, scope: str = "") -> Columns:
    """Of a row of `subject_status`; see `Scopes.sums`. Its subject is looked up by number, so that an index which does
    not have it is still enough, and the scope's own goes first.
    """
    return Columns(scope or f"{row}.scope", about_of(f"(SELECT y.subject FROM subject_status y WHERE y.id = {row}.id)"))


def cases(row: str, scope: str = "") -> Columns:
    """Of a row of `report_case`. `scope`: of another row that belongs to it."""
    return Columns(scope or f"{row}.scope", f"{row}.about", f"{row}.reason_type")


def parts_of_cases(row: str, scope: str = "") -> Columns:
    """Of a row that belongs to a report (`report_case`)."""
    of = f"(SELECT x.{{}} FROM report_case x WHERE x.id = {row}.report_case)"
    return Columns(scope or f"{row}.scope", of.format("about"), of.format("reason_type"))


@dataclass(frozen=True, slots=True)
class Scopes:
    """`listed`: scopes one by one; `communities`: besides those, all that are communities. `cuts`: those of `listed` of
    which not all is seen.
    """

    listed: frozenset[int]
    communities: bool = False
    cuts: Mapping[int, Cut] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def few(self) -> tuple[int, ...] | None:
        """The scopes, where they can be counted; None: there is no end of them."""
        return None if self.communities else tuple(sorted(self.listed))

    @property
    def whole(self) -> "Scopes":
        """Those of which all is seen."""
        return self._without(frozenset(self.cuts)) if self.cuts else self

    @property
    def sums(self) -> "Scopes":
        """Those of which it is seen how subjects stand: that comes about by all reports of a subject together, so not
        where only some of them are seen.
        """
        return self._without(frozenset(scope for scope, cut in self.cuts.items() if cut.reasons is not None))

    def __contains__(self, scope: int) -> bool:
        return scope in self.listed or (self.communities and scope > 0)

    def shows(self, scope: int, about: str, reason: str | None = None) -> bool:
        """Whether something in a scope is seen. `about`: see `Columns`; `reason`: of a report, None: it is none."""
        cut = self.cuts.get(scope, Cut())
        return (
            scope in self
            and (cut.collections is None or about in cut.collections)
            and (cut.reasons is None or reason is None or reason in cut.reasons)
        )

    def among(self, scopes: Iterable[int]) -> list[int]:
        """Those of them that are looked into."""
        return [scope for scope in scopes if scope in self]

    def narrowed(self, scopes: Iterable[int]) -> "Scopes":
        """Only these, which are looked into."""
        named = frozenset(scopes)
        return Scopes(named, cuts={scope: cut for scope, cut in self.cuts.items() if scope in named})

    def where(self, columns: Columns) -> Condition:
        """A condition on a row, and its bindings."""
        listed = json.dumps(sorted(self.listed - self.cuts.keys()))
        condition = f"{columns.scope} IN (SELECT value FROM json_each(?))"
        if self.communities:
            condition = f"({columns.scope} > 0 OR {condition})"
        if not self.cuts:
            return condition, (listed,)
        parts, bindings = [condition], [listed]
        alike: dict[Cut, list[int]] = {}
        for scope, cut in self.cuts.items():
            alike.setdefault(cut, []).append(scope)
        for cut, scopes in alike.items():
            more, own = _seen(cut, columns)
            parts.append(f"{columns.scope} IN (SELECT value FROM json_each(?)){more}")
            bindings += [json.dumps(sorted(scopes)), *own]
        return f"({' OR '.join(parts)})", tuple(bindings)

    def within(self, scope: int, columns: Columns) -> Condition:
        """What more is asked of the rows of one scope; it begins with AND, or is empty."""
        return _seen(self.cuts[scope], columns) if scope in self.cuts else ("", ())

    def _without(self, scopes: frozenset[int]) -> "Scopes":
        left = {scope: cut for scope, cut in self.cuts.items() if scope not in scopes}
        return Scopes(self.listed - scopes, self.communities, left) if scopes else self


def _seen(cut: Cut, columns: Columns) -> Condition:
    condition, bindings = "", []
    if cut.collections is not None:
        condition += f" AND {columns.about} IN (SELECT value FROM json_each(?))"
        bindings.append(json.dumps(sorted(cut.collections)))
    if cut.reasons and columns.reason != "NULL":
        condition += f" AND coalesce({columns.reason} IN (SELECT value FROM json_each(?)), 1)"
        bindings.append(json.dumps(sorted(cut.reasons)))
    elif cut.reasons is not None:
        condition += f" AND {columns.reason} IS NULL"  # NULL is in no empty list, and that is false
    return condition, tuple(bindings)
