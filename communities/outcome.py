"""What became of a record of communities, for its author: whether it is in effect now, and if not, or not in all that
it says, why. Plain functions over a connection.
"""

import json
from typing import Any, NamedTuple

from communities.access import Status
from communities.directory import Settings
from communities.faults import BANNED, EXPIRED, INVALID, NOT_HERE, NOT_MEMBER, PASSED_ON, REMOVED, SUPERSEDED, message
from communities.members import find_actor, held
from communities.membership import in_force
from communities.places import KeptPlaces
from communities.records import COMMUNITY, MEMBERSHIP, OURS, ROLE
from models.communities import SLUG_TAKEN
from models.database import Connection
from xrpc.syntax import parse_at_uri

_COLUMNS = "collection, rkey, cid, about, subject, record, at, fault, why"
_OURS = ", ".join(f"'{collection}'" for collection in sorted(OURS))
LISTED = (
    f"SELECT {_COLUMNS} FROM declaration INDEXED BY declaration_listed WHERE actor = ?1 AND gone = 0"
    f" AND collection IN ({_OURS}) AND (at, rkey, collection) < (?2, ?3, ?4)"
    " AND (?5 IS NULL OR collection = ?5) ORDER BY at DESC, rkey DESC, collection DESC LIMIT ?6"
)
_ONE = f"SELECT {_COLUMNS} FROM declaration WHERE actor = ? AND collection = ? AND rkey = ? AND gone = 0"
_GRANTED = "SELECT granted FROM membership WHERE community = ? AND actor = ?"


class Place(NamedTuple):
    """Where a record stands in the list of its author's: when it was taken in, microseconds, its key and collection."""

    at: int
    rkey: str
    collection: str


class Written(NamedTuple):
    """A record as it is kept. `at`: when its newest version was taken in, microseconds."""

    did: str
    collection: str
    rkey: str
    cid: bytes
    about: str
    subject: str
    record: str
    at: int
    fault: str | None
    why: str | None

    @property
    def uri(self) -> str:
        """Its at-uri."""
        return f"at://{self.did}/{self.collection}/{self.rkey}"

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.at, self.rkey, self.collection)

    def read(self) -> dict[str, Any]:
        """What it says, in the last version that could be read; nothing if there is none."""
        found: dict[str, Any] | None = json.loads(self.record)
        return found or {}


class Outcome(NamedTuple):
    """Whether the newest version of a record is in effect. `fault`: the name of what keeps it from that, or from having
    all of it; `message` says that to its author.
    """

    in_effect: bool
    fault: str | None = None
    message: str = ""


MOST_OWNERS = 20
"""How often a community may have been passed on, to be found from the record of its first owner (ours)."""
FIRST = Place((1 << 63) - 1, "", "")
"""Before every record."""


def written_by(connection: Connection, did: str, after: Place, collection: str | None, most: int) -> list[Written]:
    """At most so many records of an account behind a place, the newest first. `collection`: only of this one."""
    actor = find_actor(connection, did)
    if actor is None:
        return []
    rows = connection.execute(LISTED, (actor, *after, collection, most)).fetchall()
    return [Written._make((did, *row)) for row in rows]


def written_at(connection: Connection, did: str, collection: str, rkey: str) -> Written | None:
    """One record, if it is kept."""
    row = connection.execute(_ONE, (find_actor(connection, did), collection, rkey)).fetchone()
    return Written._make((did, *row)) if row else None


def outcome(connection: Connection, places: KeptPlaces, written: Written, now: int) -> Outcome:
    """What became of a record. `now`: microseconds."""
    if written.collection == COMMUNITY:
        return _of_community(connection, places, written)
    if written.fault is not None:
        return _no(written.fault, written.why)
    settings = places.find(written.about)
    if settings is None:
        return _no(NOT_HERE)
    if written.collection == MEMBERSHIP:
        return _of_membership(connection, settings, written, now)
    if written.collection == ROLE:
        return _of_role(connection, settings, written, now)
    return Outcome(True)


def _no(fault: str, why: str | None = None, *, goes_on: bool = False) -> Outcome:
    return Outcome(False, fault, message(fault, why, goes_on=goes_on))


def _of_community(connection: Connection, places: KeptPlaces, written: Written) -> Outcome:
    kin = places.relatives.find(written.uri)
    if written.why is not None:
        return _no(written.fault or INVALID, written.why, goes_on=kin is not None)
    if kin is None and written.fault in (None, SLUG_TAKEN) and _has_passed_on(connection, places, written):
        return _no(PASSED_ON)
    if kin is None or written.fault is not None:
        return _no(written.fault or NOT_HERE)
    fault = places.fault(kin.id)
    return Outcome(True) if fault is None else Outcome(True, fault, message(fault, None))


def _has_passed_on(connection: Connection, places: KeptPlaces, written: Written) -> bool:
    """Whether the records that follow on this one, each of which names the one before, lead to a community."""
    at: Written | None = written
    for _ in range(MOST_OWNERS):
        parts = parse_at_uri((at.read().get("successor") if at else None) or "")
        if at is None or parts is None or not parts.collection or not parts.rkey:
            return False
        after = written_at(connection, parts.authority, parts.collection, parts.rkey)
        if after is None or after.read().get("predecessor") != at.uri:
            return False
        if places.find(after.uri) is not None:
            return True
        at = after
    return False


def _of_membership(connection: Connection, settings: Settings, written: Written, now: int) -> Outcome:
    mine = in_force(held(connection, settings.id, find_actor(connection, written.did)), now)
    if mine is not None and mine.status is Status.BANNED:
        return _no(BANNED)
    joined = settings.owner == written.did or (mine is not None and mine.status in (Status.MEMBER, Status.REQUESTED))
    return Outcome(True) if joined else _no(REMOVED)


def _of_role(connection: Connection, settings: Settings, written: Written, now: int) -> Outcome:
    until = written.read().get("until")
    if until is not None and until <= now:
        return _no(EXPIRED)
    actor = find_actor(connection, written.subject)
    theirs = in_force(held(connection, settings.id, actor), now)
    if theirs is None or theirs.status is not Status.MEMBER:
        return _no(NOT_MEMBER)
    (granted,) = connection.execute(_GRANTED, (settings.id, actor)).fetchone()
    return Outcome(True) if granted == written.rkey else _no(SUPERSEDED)
