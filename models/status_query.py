"""Lists of how subjects stand (`subject_status`), in five orders, each up or down. Plain functions over a connection.
Times are microseconds.

What has no time or number to be ordered by comes last in both directions; what has the same is ordered by number, or,
where an account's records are counted, by account and then number. They are counted only where all of them are seen. Up
a list of times nothing comes that is later than
the latest was when its first page was asked for: what is reported again meanwhile would come twice.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.database import Connection
from models.looking import LAST, Scan, each, look, merged
from models.mod_events import SubjectKey
from models.scopes import Columns, statuses
from models.status_conditions import FROM, STATUS, Sought, conditions, few, fits
from models.subject_statuses import StatusRow

COUNTS = ("reported", "takendown")
"""What is ordered by is a column of `subject_status`, or one of these of `account_records`."""
STATES = (0, 1, 2, 3)


class Place(NamedTuple):
    """Where a status stands in the list. `last`: 1 if it has nothing to be ordered by; `did`: where that counts."""

    last: int
    value: int
    did: str
    id: int


@dataclass(frozen=True, slots=True)
class Order:
    """`by`: a column. `ceiling`: nothing beyond it comes."""

    by: str
    descending: bool
    ceiling: int = LAST


class Found(NamedTuple):
    """A status with its number, its scope and its subject."""

    id: int
    scope: int
    key: SubjectKey
    row: StatusRow


def page(
    connection: Connection, sought: Sought, order: Order, behind: Place | None, limit: int
) -> tuple[list[Found], Place | None]:
    """At most `limit` statuses, and behind which place the list goes on; None: that is all. A page may be short."""
    counts = order.by in COUNTS
    where, bindings = conditions(sought)
    whole, own = _whole(sought)
    among = f"a.scope = t.scope AND a.did = s.did{whole}"
    records = f"EXISTS (SELECT 1 FROM account_records a WHERE {among})" if counts else "0"
    query = f"SELECT t.id, s.did, t.comment, {records} {FROM} WHERE {where}"
    given = own if counts else ()

    def fitting(batch: list[Place]) -> list[Place]:
        rows = connection.execute(query, (*given, json.dumps([place.id for place in batch]), *bindings))
        good = {number: counted for number, did, comment, counted in rows if fits(sought, did, comment)}
        return [place for place in batch if place.id in good and (not counts or place.last != good[place.id])]

    found, last = look(candidates(connection, sought, order, behind), fitting, limit)
    return load(connection, [place.id for place in found]), last


def load(connection: Connection, numbers: list[int]) -> list[Found]:
    """Statuses by their numbers, in that order."""
    columns = ", ".join(f"t.{name}" for name in StatusRow._fields)
    rows = connection.execute(f"SELECT t.id, t.scope, s.did, s.path, s.convo, {columns} {FROM}", (json.dumps(numbers),))
    by_number = {row[0]: Found(row[0], row[1], SubjectKey(*row[2:5]), StatusRow(*row[5:])) for row in rows}
    return [by_number[number] for number in numbers]


def place(connection: Connection, order: Order, last: int, value: int, number: int) -> Place:
    """The place of a status that is known."""
    if order.by not in COUNTS or last:
        return Place(last, value, "", number)
    query = "SELECT s.did FROM subject_status t JOIN subject s ON s.id = t.subject WHERE t.id = ?"
    row = connection.execute(query, (number,)).fetchone()
    return Place(last, value, row[0] if row else "", number)


def highest(connection: Connection, sought: Sought, order: Order) -> int:
    """What the list ends with, as it stands, if it goes up."""
    column, top = order.by, 0
    for condition, bindings in _parts(sought):
        query = f"SELECT t.{column} FROM subject_status t WHERE {condition} ORDER BY t.{column} DESC LIMIT 1"
        row = connection.execute(query, bindings).fetchone()
        top = max(top, row[0] or 0) if row else top
    return top


def candidates(connection: Connection, sought: Sought, order: Order, behind: Place | None) -> Iterator[Place]:
    """All that may be sought, in its order: of a few by what they have in common, or of everything by scans."""
    numbers = few(connection, sought)
    if numbers is not None:
        yield from _sorted(connection, sought, order, numbers, behind)
        return
    if behind is None or not behind.last:
        build = _by_count if order.by in COUNTS else _by_column
        for row in merged(connection, build(sought, order, behind), descending=order.descending):
            yield Place(0, row[0], row[1] if order.by in COUNTS else "", row[-1])
    if order.by != "priority" and not sought.bounded(order.by):
        rest = _without(sought, order, behind if behind is not None and behind.last else None)
        for (number,) in merged(connection, rest, descending=order.descending):
            yield Place(1, 0, "", number)


def scans(sought: Sought, order: Order, behind: Place | None) -> list[Scan]:
    """The scans of a list of everything: of what has something to be ordered by, and of the rest."""
    build = _by_count if order.by in COUNTS else _by_column
    return [*build(sought, order, behind), *_without(sought, order, None)]


def _whole(sought: Sought) -> tuple[str, tuple[Any, ...]]:
    """What more is asked of sums over accounts (`account_records a`): that all which they are made of is seen."""
    if not sought.scopes.cuts:
        return "", ()
    seen, bindings = sought.scopes.whole.where(Columns("a.scope", ""))
    return f" AND {seen}", bindings


def _sorted(
    connection: Connection, sought: Sought, order: Order, numbers: list[int], behind: Place | None
) -> list[Place]:
    counts = order.by in COUNTS
    column = f"a.{order.by}, s.did" if counts else f"t.{order.by}, ''"
    whole, own = _whole(sought) if counts else ("", ())
    more = f" LEFT JOIN account_records a ON a.scope = t.scope AND a.did = s.did{whole}" if counts else ""
    rows = connection.execute(f"SELECT {column}, t.id {FROM}{more}", (json.dumps(numbers), *own)).fetchall()
    valued = [Place(0, value, did, number) for value, did, number in rows if value is not None]
    rest = [Place(1, 0, "", number) for value, _, number in rows if value is None]
    down = order.descending
    every = sorted((one for one in valued if one.value <= order.ceiling), reverse=down) + sorted(rest, reverse=down)
    if behind is None:
        return every
    return [
        one
        for one in every
        if one.last > behind.last or (one.last == behind.last and (one < behind if down else one > behind))
    ]


def _parts(sought: Sought) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The conditions of scans, which together hold what is sought: for each scope (if they are few) and state."""
    states = STATES if sought.state is None else (sought.state,)
    scopes = each(sought.scopes)
    if scopes is None:
        seen, bindings = sought.scopes.where(STATUS)
        yield from ((f"t.state = ? AND {seen}", (state, *bindings)) for state in states)
        return
    for scope in scopes:
        cut, own = sought.scopes.within(scope, statuses("t"))
        yield from ((f"t.scope = ? AND t.state = ?{cut}", (scope, state, *own)) for state in states)


def _by_column(sought: Sought, order: Order, behind: Place | None) -> Iterator[Scan]:
    column, direction = f"t.{order.by}", "DESC" if order.descending else "ASC"
    low, high = sought.bounds(order.by)
    high = min(high, (order.ceiling, LAST))
    if behind is not None:
        at = (behind.value, behind.id)
        low, high = (low, min(high, at)) if order.descending else (max(low, at), high)
    for condition, bindings in _parts(sought):
        yield Scan(
            f"SELECT {column}, t.id FROM subject_status t WHERE {condition} AND ({column}, t.id) > (?, ?)"
            f" AND ({column}, t.id) < (?, ?) ORDER BY {column} {direction}, t.id {direction}",
            (*bindings, *low, *high),
        )


def _by_count(sought: Sought, order: Order, behind: Place | None) -> Iterator[Scan]:
    """By account: its count, then whatever of it is in the scope; what state that is in is not looked at here."""
    column, direction = f"a.{order.by}", "DESC" if order.descending else "ASC"
    sign = "<" if order.descending else ">"
    start = ""
    after: tuple[Any, ...] = ()
    if behind is not None:
        start = f" AND ({column}, a.did) {sign}= (?, ?) AND ({column} {sign} ? OR a.did {sign} ? OR t.id {sign} ?)"
        after = (behind.value, behind.did, behind.value, behind.did, behind.id)
    few_scopes = each(sought.scopes.whole)
    parts: list[tuple[str, tuple[Any, ...]]] = [sought.scopes.whole.where(Columns("+a.scope", ""))]
    if few_scopes is not None:
        parts = [("a.scope = ?", (scope,)) for scope in few_scopes]
    for condition, bindings in parts:
        yield Scan(
            f"SELECT {column}, a.did, t.id FROM account_records a CROSS JOIN subject s ON s.did = a.did"
            f" CROSS JOIN subject_status t ON t.scope = a.scope AND t.subject = s.id WHERE {condition}{start}"
            f" ORDER BY {column} {direction}, a.did {direction}, t.id {direction}",
            (*bindings, *after),
        )


def _without(sought: Sought, order: Order, behind: Place | None) -> Iterator[Scan]:
    """Scans of what may have nothing to be ordered by, by number."""
    empty = "" if order.by in COUNTS else f" AND t.{order.by} IS NULL"
    direction, sign = ("DESC", "<") if order.descending else ("ASC", ">")
    start = behind.id if behind is not None else (LAST if order.descending else 0)
    for condition, bindings in _parts(sought):
        yield Scan(
            f"SELECT t.id FROM subject_status t WHERE {condition}{empty} AND t.id {sign} ? ORDER BY t.id {direction}",
            (*bindings, start),
        )
