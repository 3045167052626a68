"""Lists of events of moderation (`mod_event`), newest or oldest first, by whatever they can be sought by. Plain
functions over a connection. Times are microseconds; the order is that of times, then numbers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from models import subject_statuses
from models.database import Connection
from models.looking import LAST, MOST_SCANS, Scan, each, look, merged
from models.mod_events import EventRow, SubjectKey, find_subject
from models.scopes import Scopes, events

MOST_BY_TYPE = 100
"""Scans for each scope and type; more are scans for each scope."""
_BY_TEXT = "SELECT value FROM json_each(?)"
_FROM = "FROM json_each(?) k CROSS JOIN mod_event e ON e.id = k.value CROSS JOIN subject s ON s.id = e.subject"
_EVENT = events("e", "+e.scope")  # a plus: not by an index
_IS_DID = "substr(e.actor, 1, 4) = 'did:'"
_OF_KIND = {
    "account": "s.path = '' AND s.convo = ''",
    "record": "s.path != ''",
    "conversation": "s.convo != ''",
}


class Place(NamedTuple):
    """Where an event stands in the list."""

    at: int
    id: int


class Found(NamedTuple):
    """An event with its number and its subject."""

    id: int
    key: SubjectKey
    row: EventRow


@dataclass(frozen=True, slots=True)
class Sought:
    """Which events. `scopes`: of whose matters. `after`, `before`: in between, neither included. `subject`: about it,
    or (`whole_account`) about anything of its account. `kind`: account, record or conversation; `collections`: any of
    them. `types`: any of them; None: all. `actor`: who did it, `nobody`: or what no account did. `words`: any of them
    in the comment, in lower case. `values`: all of them, as in `mod_event_value`; `report_types`, `policies`, `tools`:
    any of each. `strikes`: only events that say how many they are.
    """

    scopes: Scopes
    descending: bool = True
    after: int = -1
    before: int = LAST
    subject: SubjectKey | None = None
    whole_account: bool = False
    kind: str = ""
    collections: tuple[str, ...] = ()
    types: tuple[str, ...] | None = None
    actor: str = ""
    nobody: bool = False
    has_comment: bool = False
    words: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    report_types: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    batch: str = ""
    strikes: bool = False


def page(connection: Connection, sought: Sought, behind: Place | None, limit: int) -> tuple[list[Found], Place | None]:
    """At most `limit` events, and behind which place the list goes on; None: that is all. A page may be short."""
    where, bindings = _conditions(sought)
    query = f"SELECT e.id, e.comment {_FROM} WHERE {where}"

    def fitting(batch: list[Place]) -> list[Place]:
        rows = connection.execute(query, (json.dumps([place.id for place in batch]), *bindings))
        good = {number for number, comment in rows if _has_word(sought.words, comment)}
        return [place for place in batch if place.id in good]

    candidates = map(Place._make, merged(connection, scans(connection, sought, behind), descending=sought.descending))
    found, last = look(candidates, fitting, limit)
    return load(connection, [place.id for place in found]), last


def load(connection: Connection, numbers: list[int]) -> list[Found]:
    """Events by their numbers, in that order."""
    columns = ", ".join(f"e.{name}" for name in EventRow._fields)
    rows = connection.execute(f"SELECT e.id, s.did, s.path, s.convo, {columns} {_FROM}", (json.dumps(numbers),))
    by_number = {row[0]: Found(row[0], SubjectKey(*row[1:4]), EventRow(*row[4:])) for row in rows}
    return [by_number[number] for number in numbers]


def scans(connection: Connection, sought: Sought, behind: Place | None) -> Iterator[Scan]:
    """The scans of indexes that hold all that is sought, in the order of the list."""
    low, high = Place(sought.after, LAST), Place(sought.before, 0)
    if behind is not None:
        low, high = (low, min(high, behind)) if sought.descending else (max(low, behind), high)
    direction = "DESC" if sought.descending else "ASC"
    between = f"(e.at, e.id) > (?, ?) AND (e.at, e.id) < (?, ?) ORDER BY e.at {direction}, e.id {direction}"

    def scan(condition: str, *bindings: Any) -> Scan:
        return Scan(f"SELECT e.at, e.id FROM mod_event e WHERE {condition} AND {between}", (*bindings, *low, *high))

    listed = _listed(connection, sought)
    if listed is not None:
        column, value, few = listed
        more = " AND e.batch != ''" if column == "batch" else ""  # by which the index is known to hold it
        for scope in few:
            cut, own = sought.scopes.within(scope, _EVENT)
            yield scan(f"e.{column} = ? AND e.scope = ?{more}{cut}", value, scope, *own)
        return
    seen, scopes = sought.scopes.where(_EVENT)
    if sought.subject is not None and sought.whole_account:
        yield Scan(
            "SELECT e.at, e.id FROM subject s CROSS JOIN mod_event e ON e.subject = s.id"
            f" WHERE s.did = ? AND {seen} AND {between}",
            (sought.subject.did, *scopes, *low, *high),
        )
        return
    types = (None,) if sought.types is None else sought.types
    every = each(sought.scopes)
    if every is None:
        yield from (
            scan(seen, *scopes) if one is None else scan(f"e.type = ? AND {seen}", one, *scopes) for one in types
        )
        return
    if len(every) * len(types) > MOST_BY_TYPE:
        types = (None,)
    for scope in every:
        cut, own = sought.scopes.within(scope, _EVENT)
        yield from (
            scan(f"e.scope = ?{cut}", scope, *own)
            if one is None
            else scan(f"e.scope = ? AND e.type = ?{cut}", scope, one, *own)
            for one in types
        )


def _listed(connection: Connection, sought: Sought) -> tuple[str, Any, list[int]] | None:
    """What one index lists by scope: the column, its value, and the scopes. None: no index does, or in too many."""
    if sought.subject is not None and not sought.whole_account:
        number = find_subject(connection, sought.subject)
        known = subject_statuses.scopes(connection, number) if number is not None else []
        return "subject", number, sought.scopes.among(known)
    for column, value in (("batch", sought.batch), ("actor", "" if sought.nobody else sought.actor)):
        if value:
            few = each(sought.scopes)
            found = list(few) if few is not None else _scopes_of(connection, sought.scopes, column, value)
            return (column, value, found) if len(found) <= MOST_SCANS else None
    return None


def _scopes_of(connection: Connection, scopes: Scopes, column: str, value: str) -> list[int]:
    """Those of the scopes in which an event with this value is seen; not many more than MOST_SCANS are looked for."""
    more = " AND batch != ''" if column == "batch" else ""
    query = f"SELECT min(scope) FROM mod_event WHERE {column} = ? AND scope > ?{more}"
    found: list[int] = []
    scope = -LAST
    while len(found) <= MOST_SCANS:
        scope = connection.execute(query, (value, scope)).fetchone()[0]
        if scope is None:
            break
        cut, own = scopes.within(scope, _EVENT)
        seen = f"SELECT 1 FROM mod_event e WHERE e.{column} = ? AND e.scope = ?{more}{cut} LIMIT 1"
        if scope in scopes and (not cut or connection.execute(seen, (value, scope, *own)).fetchone() is not None):
            found.append(scope)
    return found


def _conditions(sought: Sought) -> tuple[str, list[Any]]:
    """What every event that is sought fulfils, apart from its words."""
    seen, scopes = sought.scopes.where(_EVENT)
    parts, bindings = [seen, "e.at > ?", "e.at < ?"], [*scopes, sought.after, sought.before]

    def add(condition: str, *values: Any) -> None:
        parts.append(condition)
        bindings.extend(json.dumps(value) if isinstance(value, tuple) else value for value in values)

    if sought.subject is not None and sought.whole_account:
        add("s.did = ?", sought.subject.did)
    elif sought.subject is not None:
        add("s.did = ? AND s.path = ? AND s.convo = ?", *sought.subject)
    if sought.kind:
        add(_OF_KIND[sought.kind])
    if sought.collections:
        add(f"substr(s.path, 1, instr(s.path, '/') - 1) IN ({_BY_TEXT})", sought.collections)
    if sought.types is not None:
        add(f"e.type IN ({_BY_TEXT})", sought.types)
    if sought.actor:
        add(f"(e.actor = ?{f' OR NOT {_IS_DID}' if sought.nobody else ''})", sought.actor)
    if sought.has_comment or sought.words:
        add("e.comment != ''")
    for kind, value in sought.values:
        add("EXISTS (SELECT 1 FROM mod_event_value WHERE kind = ? AND value = ? AND event = e.id)", kind, value)
    for kind, anything in (("report", sought.report_types), ("policy", sought.policies)):
        if anything:
            add(
                "EXISTS (SELECT 1 FROM mod_event_value v WHERE v.event = e.id AND v.kind = ?"
                f" AND v.value IN ({_BY_TEXT}))",
                kind,
                anything,
            )
    if sought.tools:
        named = f"CASE WHEN e.tool != '' THEN e.tool WHEN NOT {_IS_DID} THEN e.actor END"
        add(f"{named} IN ({_BY_TEXT})", sought.tools)
    if sought.batch:
        add("e.batch = ?", sought.batch)
    if sought.strikes:
        add("json_extract(e.said, '$.strikeCount') IS NOT NULL")
    return " AND ".join(parts), bindings


def _has_word(words: tuple[str, ...], comment: str) -> bool:
    if not words:
        return True
    text = comment.casefold()
    return any(word in text for word in words)
