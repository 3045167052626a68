"""The communities as methods see them: each is read when somebody asks for it, their names when they have changed."""

from collections.abc import Callable

from civic.search import NameIndex
from communities.directory import Settings
from communities.places import KeptPlaces
from communities.relatives import Relatives
from models import communities as community_rows
from models.database import Connection


class Town:
    """All communities, as the caller's transaction sees them. `places`: to find them."""

    def __init__(self, relatives: Relatives, now: int, index: Callable[[], NameIndex]) -> None:
        """`now`: microseconds."""
        self.places = KeptPlaces(relatives, lambda: now)
        self._relatives = relatives
        self._now = now
        self._index = index

    @property
    def index(self) -> NameIndex:
        """To search the names of all."""
        return self._index()

    def name(self, community: int) -> str:
        """What people see of a community that there is."""
        kin = self._relatives.get(community)
        return kin.community.name if kin else ""

    def children(self, settings: Settings, most: int) -> list[Settings]:
        """At most so many of those directly below one, the oldest first."""
        kin = self._relatives.get(settings.id)
        below = self._relatives.children(kin, most, self._now) if kin else []
        return [found for child in below if (found := self.places.get(child.id))]


class TownWatch:
    """Shows the communities to the one thread of a connection; keeps what was read, for as long as it holds."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._names = NameIndex()
        self._revised = 0

    def look(self, connection: Connection, now: int) -> Town:
        """The communities as the caller's transaction sees them. `now`: microseconds."""
        if connection is not self._connection:
            self._connection, self._relatives = connection, Relatives(connection)
        return Town(self._relatives, now, lambda: self._index(connection))

    def _index(self, connection: Connection) -> NameIndex:
        """Of the names that are so now: only those that have changed are read."""
        for change in community_rows.changes(connection, self._revised):
            self._names.put(change.id, change.name if change.declared else None)
            self._revised = change.revised
        return self._names
