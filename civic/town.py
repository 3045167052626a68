"""The communities that there are, as methods see them: read again when the declared ones have changed."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from civic.search import NameIndex
from communities.access import Role
from communities.community import Community, Include
from communities.directory import Directory, settle
from models import communities as community_rows
from models import meta
from models.database import Connection

_KEPT = ("slug", "owner", "kind", "posting", "state", "account", "parent", "queue_feed")
_PLAIN = Community("", "")
_JOINED = replace(_PLAIN, include=Include(joined=True))
_ADMIN = (
    "SELECT 1 FROM membership m JOIN actor a ON a.id = m.actor WHERE a.did = ? AND m.community = ?"
    " AND m.status = 'member' AND m.role = ? AND (m.until IS NULL OR m.until > ?)"
)
_LONG = 0.1
"""Seconds. What takes no longer is read again whenever it has changed."""


@dataclass(frozen=True)
class Town:
    """All communities at one revision. `names`: what people see, by id."""

    revision: str | None = None
    directory: Directory = field(default_factory=Directory)
    names: dict[int, str] = field(default_factory=dict)

    @cached_property
    def index(self) -> NameIndex:
        """To search the names; made when first asked for."""
        return NameIndex(self.names)


class TownWatch:
    """Keeps the communities for whoever asks, from any thread: a Town is never changed, only replaced."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, worked: Callable[[], float] = time.thread_time
    ) -> None:
        """`clock` gives seconds, `worked` those in which this thread has worked."""
        self._clock = clock
        self._worked = worked
        self._town: Town | None = None
        self._due = 0.0
        self._read: dict[int, tuple[int, Community]] = {}

    def look(self, connection: Connection, now: int, *, late: bool = False) -> Town:
        """The communities as the caller's transaction sees them. `now`: microseconds. `late`: as they were a little
        before will do where there are very many. Anybody can change one all day: they are read again for a tenth of the
        time at most.
        """
        revision = meta.get(connection, community_rows.REVISION)
        town = self._town
        if town is None or (town.revision != revision and not (late and self._clock() < self._due)):
            began, before = self._clock(), self._worked()
            town = self._town = self._take(connection, revision, now)
            took = self._worked() - before
            self._due = began + (10 * took if took > _LONG else 0)
        return town

    def _take(self, connection: Connection, revision: str | None, now: int) -> Town:
        def administers(did: str, community: int) -> bool:
            return connection.execute(_ADMIN, (did, community, Role.ADMIN.value, now)).fetchone() is not None

        before, read = self._read, dict[int, tuple[int, Community]]()
        names: dict[int, str] = {}
        uris: dict[int, str | None] = {}
        for row in community_rows.rules(connection):
            digest = hash(row.rule)
            known = before.get(row.id)
            # Of many communities few change at a time, and reading all their declarations takes seconds.
            read[row.id] = known if known and known[0] == digest else (digest, _outline(json.loads(row.rule)))
            names[row.id], uris[row.id] = row.name, row.uri
        self._read = read
        directory = settle(((number, uris[number], one) for number, (_, one) in read.items()), administers)
        return Town(revision, directory, names)


def _outline(rule: dict[str, Any]) -> Community:
    """The part of a declaration that a directory is made of: all of them are kept in memory."""
    kept: dict[str, Any] = {name: rule[name] for name in _KEPT if name in rule}
    kept |= {name: sys.intern(value) for name, value in kept.items() if isinstance(value, str)}
    if "join_by" in rule:
        kept["join_by"] = tuple(map(sys.intern, rule["join_by"]))
    return replace(_JOINED if rule.get("include", {}).get("joined") else _PLAIN, **kept)
