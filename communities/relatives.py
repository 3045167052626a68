"""A community among those above and below it, read from the rows only as far as one question needs them.

A service may have a hundred thousand communities, and any of them may change at any moment; a page depends on a few.
What is read here are whole lines of descent, so that `directory.settle` judges each of them as it would among all.
"""

import json
from typing import NamedTuple

from communities.community import Community
from communities.directory import Directory, settle
from models.database import Connection

MOST_BELOW = 500
"""Communities below one that its feeds take in, the nearest first and the oldest of those (ours)."""
MOST_WALKED = 1000
"""Communities that are looked at above one. Whoever names more stands below nobody (ours)."""
_CACHED = 5_000
_COLUMNS = "c.id, c.uri, c.rule"
_BY_SLUG = f"SELECT {_COLUMNS} FROM community c WHERE c.slug = ? AND c.declared = 1"
_BY_URI = f"SELECT {_COLUMNS} FROM community c WHERE c.uri = ? AND c.declared = 1"
_BY_ID = f"SELECT {_COLUMNS} FROM community c WHERE c.id = ? AND c.declared = 1"
_BY_ACCOUNT = f"SELECT {_COLUMNS} FROM community c WHERE c.account = ? AND c.declared = 1 ORDER BY c.id"
_ADMINS = (
    "SELECT a.did FROM membership m INDEXED BY membership_listed JOIN actor a ON a.id = m.actor WHERE m.community IN"
    " (SELECT value FROM json_each(?4)) AND m.status = 'member' AND m.role = 3 AND (m.until IS NULL OR m.until > ?5)"
)
CHILDREN = (
    f"SELECT {_COLUMNS} FROM community c WHERE c.parent IN (?1, ?2) AND c.declared = 1 AND c.owner IN"
    f" (SELECT value FROM json_each(?3) UNION {_ADMINS}) ORDER BY c.id LIMIT ?6"
)
"""Only those of people who may: anybody can name any parent, in any number."""
UNOWNED = (
    f"SELECT {_COLUMNS} FROM community c WHERE c.parent IN (?1, ?2) AND c.declared = 1 AND c.owner IS NULL"
    " ORDER BY c.id LIMIT ?3"
)
_ADMINISTERS = (
    "SELECT 1 FROM membership m WHERE m.community = ? AND m.actor = (SELECT id FROM actor WHERE did = ?) AND m.role = 3"
    " AND m.status = 'member' AND (m.until IS NULL OR m.until > ?)"
)


class Kin(NamedTuple):
    """A declared community. `uri`: of its record; None: the file declares it."""

    id: int
    uri: str | None
    community: Community


class Relatives:
    """Reads communities over a connection; keeps what it has parsed, for as long as the rows say the same."""

    def __init__(self, connection: Connection) -> None:
        """All calls come from the thread of the connection."""
        self._connection = connection
        self._parsed: dict[int, tuple[str, Kin]] = {}

    def find(self, name: str) -> Kin | None:
        """The community with this slug, or whose record has this at-uri."""
        return self._one(_BY_URI if name.startswith("at://") else _BY_SLUG, name)

    def get(self, number: int) -> Kin | None:
        """The community with this number."""
        return self._one(_BY_ID, number)

    def of_account(self, did: str) -> list[Kin]:
        """The communities of which this is the account."""
        return self._all(_BY_ACCOUNT, (did,))

    def children(self, one: Kin, most: int, now: int) -> list[Kin]:
        """At most so many of those directly below it, the oldest first; `now`: microseconds."""
        line = self._line(one)
        found = dict(line)
        below = self._children(one, tuple(line.values()), most, now)
        found |= {child.id: child for child in below}
        counted = self._settled(found, now).below.get(one.id, ())
        return sorted((found[number] for number in counted), key=lambda kin: kin.id)

    def above(self, one: Kin, now: int) -> Directory:
        """It, and those that it is part of; `now`: microseconds."""
        return self._settled(self._line(one), now)

    def family(self, one: Kin, now: int) -> Directory:
        """It, those that it is part of, and at most MOST_BELOW of those that are part of it; `now`: microseconds."""
        line = self._line(one)
        chains = {one.id: tuple(line.values())}
        found = dict(line)
        level = [one]
        while level and len(found) - len(line) < MOST_BELOW:
            below: list[Kin] = []
            for parent in level:
                left = MOST_BELOW - (len(found) - len(line))
                for child in self._children(parent, chains[parent.id], left, now):
                    if child.id not in found:
                        found[child.id] = child
                        chains[child.id] = (child, *chains[parent.id])
                        below.append(child)
            level = below
        return self._settled(found, now)

    def _line(self, one: Kin) -> dict[int, Kin]:
        """It, and all that are named above it, the nearest first."""
        line = {one.id: one}
        at = one
        while at.community.parent is not None:
            parent = self.find(at.community.parent)
            if parent is None or parent.id in line:
                break
            if len(line) > MOST_WALKED:
                return {one.id: one}
            line[parent.id] = at = parent
        return line

    def _children(self, parent: Kin, chain: tuple[Kin, ...], most: int, now: int) -> list[Kin]:
        if most <= 0:
            return []
        slug, uri = parent.community.slug, parent.uri
        if parent.community.owner is None:
            unowned = self._all(UNOWNED, (slug, uri, most))
            if len(unowned) == most:
                return unowned
        else:
            unowned = []
        owners = json.dumps([kin.community.owner for kin in chain if kin.community.owner])
        numbers = json.dumps([kin.id for kin in chain])
        return unowned + self._all(CHILDREN, (slug, uri, owners, numbers, now, most - len(unowned)))

    def _settled(self, kin: dict[int, Kin], now: int) -> Directory:
        def administers(did: str, number: int) -> bool:
            return self._connection.execute(_ADMINISTERS, (number, did, now)).fetchone() is not None

        return settle(kin.values(), administers)

    def _one(self, query: str, value: str | int) -> Kin | None:
        row = self._connection.execute(query, (value,)).fetchone()
        return self._kin(*row) if row else None

    def _all(self, query: str, bindings: tuple[str | int | None, ...]) -> list[Kin]:
        return [self._kin(*row) for row in self._connection.execute(query, bindings).fetchall()]

    def _kin(self, number: int, uri: str | None, rule: str) -> Kin:
        known = self._parsed.get(number)
        if known is not None and known[0] == rule and known[1].uri == uri:
            return known[1]
        if len(self._parsed) >= _CACHED:
            self._parsed.clear()
        kin = Kin(number, uri, Community.from_json(json.loads(rule)))
        self._parsed[number] = (rule, kin)
        return kin
