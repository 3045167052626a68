"""What is known of each account when an event of it comes: a mirror of its rows, kept for those heard of last."""

from collections import OrderedDict

from models.database import Connection

_ACTOR = (
    "SELECT a.id, a.rev, a.active, a.counted, r.state, r.data, a.split,"
    " EXISTS (SELECT 1 FROM late WHERE actor = a.id), a.ahead"
    " FROM actor a LEFT JOIN repo r ON r.actor = a.id WHERE a.did = ?"
)
_CACHED_ACTORS = 50_000


class Actor:
    """What the fence and the chain need of an account; a mirror of its rows.

    `state`: empty without a repo row. `counted`: whether what it did is in the counts. `split`: whether its last commit
    may be here in part only. `late`: whether anything may be noted that it said of posts which are not here yet.
    `ahead`: whether its host alone has called it inactive so far.
    """

    __slots__ = ("active", "ahead", "counted", "data", "id", "late", "rev", "split", "state")

    def __init__(
        self,
        id: int,
        rev: str = "",
        active: int = 1,
        counted: int = 1,
        state: str | None = None,
        data: bytes | None = None,
        split: int = 0,
        late: int = 0,
        ahead: int = 0,
    ) -> None:
        self.id = id
        self.rev = rev
        self.active = bool(active)
        self.counted = bool(counted)
        self.state = state or ""
        self.data = data
        self.split = bool(split)
        self.late = bool(late)
        self.ahead = bool(ahead)


class Actors:
    """Looks accounts up, and makes their rows. Everything here runs inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        # One cursor for all, so every statement must run to its end: rows are taken with `get` or `fetchall`.
        self._sql = connection.cursor().execute
        self._connection = connection
        self._actors: OrderedDict[str, Actor] = OrderedDict()

    def forget_accounts(self) -> None:
        """Drop what is cached of accounts: another process may have changed them."""
        self._actors.clear()

    def actor(self, did: str) -> Actor | None:
        """The account's row, or None when nothing was ever stored for it."""
        cached = self._actors.get(did)
        if cached is not None:
            return cached
        row = self._sql(_ACTOR, (did,)).get
        return self._cache(did, Actor(*row)) if row else None

    def actor_anew(self, did: str) -> Actor | None:
        """As `actor`, as the rows are now, whoever has changed them."""
        self._actors.pop(did, None)
        return self.actor(did)

    def intern(self, did: str) -> Actor:
        """The account's row, made if need be."""
        known = self.actor(did)
        if known is not None:
            return known
        row: int = self._sql("INSERT INTO actor (did) VALUES (?) RETURNING id", (did,)).get
        return self._cache(did, Actor(row))

    def _cache(self, did: str, actor: Actor) -> Actor:
        self._actors[did] = actor
        if len(self._actors) > _CACHED_ACTORS:
            self._actors.popitem(last=False)
        return actor
