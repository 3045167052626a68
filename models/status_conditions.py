"""By what statuses of subjects (`subject_status`) are sought: as conditions of queries, and as the few rows that can
fulfil them. Plain functions over a connection. Times are microseconds.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from models import subject_statuses
from models.database import Connection
from models.looking import LAST
from models.mod_events import SubjectKey, find_subject
from models.scopes import Columns, Scopes, about_of, statuses

FEW = 1_000
"""Rows that are sorted each time a page of them is asked for; more are gone through by an index of the order."""
FROM = "FROM json_each(?) k CROSS JOIN subject_status t ON t.id = k.value CROSS JOIN subject s ON s.id = t.subject"
"""Statuses by their numbers, with their subjects; in this order."""
STATUS = statuses("t", "+t.scope")
"""Of a status; with a plus: no index goes through all that is seen."""
_BY_TEXT = "SELECT value FROM json_each(?)"
_OF_KIND = {
    "account": "s.path = '' AND s.convo = ''",
    "record": "s.path != ''",
    "conversation": "s.convo != ''",
}
_TAGGED = "EXISTS (SELECT 1 FROM subject_tag g WHERE g.tag = ? AND g.scope = t.scope AND g.status = t.id)"


class Between(NamedTuple):
    """A time, in a column: neither end is included. `start` None: none is needed, `end` None: as `start`."""

    column: str
    after: int = -1
    before: int = LAST


class Tagged(NamedTuple):
    """All of these tags. `scope`: only there; None: anywhere."""

    tags: tuple[str, ...]
    scope: int | None = None


class Queue(NamedTuple):
    """One of so many parts of all accounts, which `seed` mixes."""

    parts: int
    part: int
    seed: str = ""

    def has(self, did: str) -> bool:
        """Whether an account, with all that is of it, is in this part. Each is in one."""
        digest = blake2b((self.seed + did).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.parts == self.part


@dataclass(frozen=True, slots=True)
class Sought:
    """Which statuses. `scopes`: of whose matters; `now`: which mutes and strikes hold. `subject`: its, or
    (`whole_account`) those of all that is of its account. `kind`: account, record or conversation; `collections`: any
    of them. `muted`: False: only what is not, True: only what is or whose reports are, None: both. `ignored`: without
    these records, and all that is of these accounts. `tagged`: any of them, if there are; `untagged`: none of these
    tags, `outside`: of no such scope. `words`: any of them in the comment, in lower case. The last five: at least so
    many.
    """

    scopes: Scopes
    now: int
    state: int | None = None
    subject: SubjectKey | None = None
    whole_account: bool = False
    kind: str = ""
    collections: tuple[str, ...] = ()
    between: tuple[Between, ...] = ()
    hosting: tuple[str, ...] = ()
    muted: bool | None = False
    ignored: tuple[SubjectKey, ...] = ()
    reviewed_by: str = ""
    takendown: bool = False
    appealed: bool | None = None
    tagged: tuple[Tagged, ...] = ()
    untagged: tuple[str, ...] = ()
    outside: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    queue: Queue | None = None
    priority: int = 0
    suspensions: int = 0
    reported_records: int = 0
    takendown_records: int = 0
    strikes: int = 0

    def bounded(self, column: str) -> bool:
        """Whether something is asked of this time."""
        return any(one.column == column for one in self.between)

    def bounds(self, column: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Between which places of a list by a column all stands that is sought, neither included."""
        low, high = (-1, LAST), (LAST, LAST)
        if column == "priority":
            low = (self.priority, -1)
        for one in self.between:
            if one.column == column:
                low, high = max(low, (one.after, LAST)), min(high, (one.before, 0))
        return low, high


def fits(sought: Sought, did: str, comment: str) -> bool:
    """Whether a status fulfils what no query says. `did`: of its account."""
    if sought.queue is not None and not sought.queue.has(did):
        return False
    text = comment.casefold() if sought.words else ""
    return not sought.words or any(word in text for word in sought.words)


def few(connection: Connection, sought: Sought) -> list[int] | None:
    """The numbers of rows among which all stands that is sought, where something common to them lists at most FEW of
    them, or they are one account's; None: there is no such.
    """
    if sought.subject is not None and sought.whole_account:
        seen, bindings = sought.scopes.where(STATUS)
        query = f"SELECT t.id FROM subject s CROSS JOIN subject_status t ON t.subject = s.id WHERE s.did = ? AND {seen}"
        return [number for (number,) in connection.execute(query, (sought.subject.did, *bindings))]
    if sought.subject is not None:
        subject = find_subject(connection, sought.subject)
        scopes = subject_statuses.scopes(connection, subject) if subject is not None else []
        query = "SELECT id FROM subject_status WHERE subject = ? AND scope = ?"
        scopes = [scope for scope in scopes if sought.scopes.shows(scope, sought.subject.about)]
        return [connection.execute(query, (subject, scope)).fetchone()[0] for scope in scopes]
    for lists in _lists(sought):
        numbers: set[int] = set()
        for query, bindings in lists:
            numbers.update(number for (number,) in connection.execute(query, (*bindings, FEW + 1)))
            if len(numbers) > FEW:
                break
        else:
            return sorted(numbers)
    return None


def _lists(sought: Sought) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """Sets of queries that list, by an index and by the scope, all that is sought; each takes a limit as well."""
    seen, scopes = sought.scopes.where(statuses("subject_status", "scope"))
    if sought.appealed:
        yield [(f"SELECT id FROM subject_status WHERE appealed = 1 AND {seen} LIMIT ?", scopes)]
    if sought.takendown:
        yield [(f"SELECT id FROM subject_status WHERE takendown = 1 AND {seen} LIMIT ?", scopes)]
    if sought.tagged and all(one.tags for one in sought.tagged):
        about = "(SELECT y.subject FROM subject_status y WHERE y.id = subject_tag.status)"
        seen, scopes = sought.scopes.where(Columns("scope", about_of(about)))
        query = f"SELECT status FROM subject_tag WHERE tag = ? AND {seen} LIMIT ?"
        yield [(query, (one.tags[0], *scopes)) for one in sought.tagged]


def conditions(sought: Sought) -> tuple[str, list[Any]]:
    """What every status that is sought fulfils, of FROM, and the bindings."""
    seen, scopes = sought.scopes.where(STATUS)
    parts, bindings = [seen], [*scopes]

    def add(condition: str, *values: Any) -> None:
        parts.append(condition)
        bindings.extend(json.dumps(value) if isinstance(value, tuple) else value for value in values)

    if sought.state is not None:
        add("t.state = ?", sought.state)
    if sought.kind:
        add(_OF_KIND[sought.kind])
    if sought.collections:
        add(f"substr(s.path, 1, instr(s.path, '/') - 1) IN ({_BY_TEXT})", sought.collections)
    for one in sought.between:
        add(f"t.{one.column} > ? AND t.{one.column} < ?", one.after, one.before)
    if sought.hosting:
        add(f"t.hosting IN ({_BY_TEXT})", sought.hosting)
    if sought.muted is False:
        add("(t.mute_until IS NULL OR t.mute_until <= ?)", sought.now)
    elif sought.muted:
        add("(t.mute_until > ? OR t.mute_reporting_until > ?)", sought.now, sought.now)
    accounts = tuple(key.did for key in sought.ignored if not key.path)
    if accounts:
        add(f"s.did NOT IN ({_BY_TEXT})", accounts)
    for key in sought.ignored:
        if key.path:
            add("NOT (s.did = ? AND s.path = ?)", key.did, key.path)
    if sought.reviewed_by:
        add("t.reviewed_by = ?", sought.reviewed_by)
    if sought.takendown:
        add("t.takendown = 1")
    if sought.appealed is not None:
        add("t.appealed = 1" if sought.appealed else "t.appealed IS NULL")
    _add_tags(sought, add)
    if sought.words:
        add("t.comment != ''")
    _add_least(sought, add)
    return " AND ".join(parts), bindings


def _add_tags(sought: Sought, add: Any) -> None:
    if sought.tagged:
        either, values = [], []
        for one in sought.tagged:
            both = [_TAGGED] * len(one.tags) + (["t.scope = ?"] if one.scope is not None else [])
            either.append(" AND ".join(both))
            values += [*one.tags, *([one.scope] if one.scope is not None else [])]
        add(f"(({') OR ('.join(either)}))", *values)
    for tag in sought.untagged:
        add(f"NOT {_TAGGED}", tag)
    if sought.outside:
        add(f"t.scope NOT IN ({_BY_TEXT})", sought.outside)


def _add_least(sought: Sought, add: Any) -> None:
    if sought.priority:
        add("t.priority >= ?", sought.priority)
    sums = (sought.suspensions, sought.reported_records, sought.takendown_records, sought.strikes)
    if sought.scopes.cuts and any(sums):
        # What is counted of an account is counted over all that is of it.
        add(f"t.scope IN ({_BY_TEXT})", tuple(sorted(sought.scopes.whole.listed)))
    if sought.suspensions:
        add(
            "EXISTS (SELECT 1 FROM subject x JOIN subject_status y ON y.subject = x.id AND y.scope = t.scope"
            " WHERE x.did = s.did AND x.path = '' AND x.convo = '' AND y.suspensions >= ?)",
            sought.suspensions,
        )
    records = "EXISTS (SELECT 1 FROM account_records a WHERE a.scope = t.scope AND a.did = s.did AND a.{} >= ?)"
    if sought.reported_records:
        add(records.format("reported"), sought.reported_records)
    if sought.takendown_records:
        add(records.format("takendown"), sought.takendown_records)
    if sought.strikes:
        add(
            "(SELECT coalesce(sum(count), 0) FROM strike r WHERE r.did = s.did AND r.scope = t.scope"
            " AND (r.until IS NULL OR r.until > ?)) >= ?",
            sought.now,
            sought.strikes,
        )
