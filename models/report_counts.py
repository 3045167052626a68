"""How many reports there are, come and go (`report_case`, `report_activity`, `report_assignment`), counted when it is
asked for. Plain functions over a connection. Times are microseconds. Reports of muted reporters do not count.

Spans are counted in parts of one `width`, from `since` on; a part that is not in an answer has none.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.database import Connection
from models.scopes import Columns, Scopes, cases

_Part = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Counted:
    """Which reports count: of a queue (-1: of none), for some reasons; None and empty: all. `moderator`: the DID of who
    works on them, or has done to them what is counted.
    """

    queue: int | None = None
    reason_types: tuple[str, ...] = ()
    moderator: str = ""

    @property
    def where(self) -> _Part:
        """The condition on a row `c` of `report_case`."""
        condition, bindings = "c.muted = 0", list[Any]()
        if self.queue is not None:
            condition += " AND c.queue = ?"
            bindings.append(self.queue)
        if self.reason_types:
            condition += " AND c.reason_type IN (SELECT value FROM json_each(?))"
            bindings.append(json.dumps(self.reason_types))
        return condition, tuple(bindings)


class Reached(NamedTuple):
    """How many reports something was done to, each once; how long that took, all together, since they came or
    (`moderator`) came to be theirs; and how often it was done.
    """

    reports: int = 0
    took: int = 0
    times: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` to `until`, which is left out, in parts of `width`."""

    since: int
    until: int
    width: int


def pending(connection: Connection, scopes: Scopes, counted: Counted) -> int:
    """How many are not closed."""
    where, bindings = counted.where
    if counted.moderator:
        where, bindings = f"{where} AND c.assignee = ?", (*bindings, counted.moderator)
    found = 0
    for condition, own in _scopes(scopes, cases("c")):
        query = (
            "SELECT count(*) FROM report_case c INDEXED BY report_case_pending"
            f" WHERE c.state != 'closed' AND {condition} AND {where}"
        )
        found += connection.execute(query, (*own, *bindings)).fetchone()[0]
    return found


def inbound(connection: Connection, scopes: Scopes, counted: Counted, span: Span) -> Counter[int]:
    """How many came, or (`moderator`) came to be theirs, by part."""
    where, bindings = counted.where
    found: Counter[int] = Counter()
    if counted.moderator:
        seen, seen_bindings = scopes.where(cases("c", "s.scope"))
        query = (
            "SELECT (s.at - ?) / ?, count(DISTINCT s.report_case) FROM report_assignment s"
            " INDEXED BY report_assignment_began CROSS JOIN report_case c ON c.id = s.report_case"
            f" WHERE s.permanent = 1 AND s.did = ? AND s.at >= ? AND s.at < ? AND {seen} AND {where} GROUP BY 1"
        )
        given = (span.since, span.width, counted.moderator, span.since, span.until, *seen_bindings, *bindings)
        return Counter(dict(connection.execute(query, given).fetchall()))
    for condition, own in _scopes(scopes, cases("c")):
        everywhere = "" if own else "_everywhere"
        query = (
            f"SELECT (c.at - ?) / ?, count(*) FROM report_case c INDEXED BY report_case_inbound{everywhere}"
            f" WHERE {condition} AND c.at >= ? AND c.at < ? AND {where} GROUP BY 1"
        )
        given = (span.since, span.width, *own, span.since, span.until, *bindings)
        found.update(dict(connection.execute(query, given).fetchall()))
    return found


def reached(connection: Connection, scopes: Scopes, counted: Counted, span: Span, act: str) -> dict[int, Reached]:
    """To how many something was done, by part."""
    where, bindings = counted.where
    began = "c.at"
    if counted.moderator:
        began = (
            "coalesce((SELECT max(s.at) FROM report_assignment s WHERE s.report_case = c.id AND s.did = a.actor"
            " AND s.permanent = 1 AND s.at <= a.at), c.at)"
        )
    found: dict[int, Reached] = {}
    for condition, own in _acts(scopes, counted, act):
        # With max() alone, the other columns are those of the row that has it.
        query = (
            "SELECT part, count(*), sum(took), sum(times) FROM (SELECT (a.at - ?) / ? AS part, count(*) AS times,"
            f" max(a.at), a.at - {began} AS took FROM report_activity a {condition.replace('WHERE', _JOIN, 1)}"
            f" AND a.at >= ? AND a.at < ? AND {where} GROUP BY 1, a.report_case) GROUP BY 1"
        )
        given = (span.since, span.width, *own, span.since, span.until, *bindings)
        for part, *counts in connection.execute(query, given).fetchall():
            found[part] = Reached._make(map(sum, zip(found.get(part, Reached()), counts, strict=True)))
    return found


def held(connection: Connection, scopes: Scopes, counted: Counted, at: int) -> int:
    """How many were the moderator's at a moment."""
    where, bindings = counted.where
    seen, seen_bindings = scopes.where(cases("c", "s.scope"))
    query = (
        "SELECT count(*) FROM report_assignment s INDEXED BY report_assignment_began"
        " CROSS JOIN report_case c ON c.id = s.report_case WHERE s.permanent = 1 AND s.did = ? AND s.at < ?"
        f" AND (s.until IS NULL OR s.until >= ?) AND {seen} AND {where}"
    )
    return int(connection.execute(query, (counted.moderator, at, at, *seen_bindings, *bindings)).fetchone()[0])


def first(connection: Connection, scopes: Scopes) -> int | None:
    """When the first report came; None: there is none."""
    found = []
    for condition, own in _scopes(scopes, cases("report_case", "scope")):
        everywhere = "" if own else "_everywhere"
        query = (
            f"SELECT min(at) FROM report_case INDEXED BY report_case_inbound{everywhere}"
            f" WHERE muted = 0 AND {condition}"
        )
        found += [at for (at,) in connection.execute(query, own) if at is not None]
    return min(found, default=None)


_JOIN = "CROSS JOIN report_case c ON c.id = a.report_case WHERE"


def _scopes(scopes: Scopes, columns: Columns) -> Iterator[_Part]:
    """The scopes one by one, and all communities together."""
    for scope in sorted(scopes.listed):
        cut, own = scopes.within(scope, columns)
        yield f"{columns.scope} = ?{cut}", (scope, *own)
    if scopes.communities:
        yield f"{columns.scope} > 0", ()


def _acts(scopes: Scopes, counted: Counted, act: str) -> Iterator[_Part]:
    """Activities of a type in some scopes, each part by one index."""
    if counted.moderator:
        seen, bindings = scopes.where(cases("c", "a.scope"))
        theirs = f"INDEXED BY report_activity_actor WHERE a.actor = ? AND a.type = ? AND {seen}"
        yield theirs, (counted.moderator, act, *bindings)
        return
    for scope in sorted(scopes.listed):
        cut, own = scopes.within(scope, cases("c"))
        yield f"INDEXED BY report_activity_type WHERE a.scope = ? AND a.type = ?{cut}", (scope, act, *own)
    if scopes.communities:
        yield "INDEXED BY report_activity_everywhere WHERE a.scope > 0 AND a.type = ?", (act,)
