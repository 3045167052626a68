"""The communities that there are, as methods see them: read again when the declared ones have changed."""

from dataclasses import dataclass, field
from functools import cached_property

from civic.search import NameIndex
from communities.access import Role
from communities.community import Community
from communities.directory import Directory, settle
from models import communities as community_rows
from models import meta
from models.database import Connection

_ADMIN = (
    "SELECT 1 FROM membership m JOIN actor a ON a.id = m.actor WHERE a.did = ? AND m.community = ?"
    " AND m.status = 'member' AND m.role = ? AND (m.until IS NULL OR m.until > ?)"
)


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

    def __init__(self) -> None:
        self._town: Town | None = None

    def look(self, connection: Connection, now: int) -> Town:
        """The communities as the caller's transaction sees them. `now`: microseconds."""
        revision = meta.get(connection, community_rows.REVISION)
        town = self._town
        if town is None or town.revision != revision:
            town = self._town = _read(connection, revision, now)
        return town


def _read(connection: Connection, revision: str | None, now: int) -> Town:
    def administers(did: str, community: int) -> bool:
        return connection.execute(_ADMIN, (did, community, Role.ADMIN.value, now)).fetchone() is not None

    rows, uris = community_rows.declared(connection), community_rows.uris(connection)
    communities = ((row.id, uris.get(row.id), Community.from_json(row.rule)) for row in rows)
    return Town(revision, settle(communities, administers), {row.id: row.name for row in rows})
