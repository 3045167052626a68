"""How labels of a subject stand: what was published of each, and what waits in the outbox, which is the newer."""

from collections.abc import Collection
from typing import NamedTuple

import orjson

from models.database import Connection, Rows

# The columns of `Fact` at the end; a waiting row has its priority, a published one none.
_STANDING = (
    "SELECT {0}, cid, val, neg, cts, exp, event, NULL FROM {1} label WHERE labeler = ?1 AND uri = {0} UNION ALL"
    " SELECT {0}, cid, val, neg, cts, exp, event, priority FROM {1} label_outbox WHERE labeler = ?1 AND uri = {0}"
)
_OF_ONE = _STANDING.format("?2", "")
_OF_MANY = _STANDING.format("value", "json_each(?2) CROSS JOIN")


class Fact(NamedTuple):
    """What is said of a version and value. Times are milliseconds; `priority` is None of what was published."""

    neg: int
    cts: int
    exp: int | None
    event: int
    priority: int | None


class Slot:
    """What is said of one version (`cid`, empty for all) and value of a subject."""

    __slots__ = ("cid", "published", "val", "waiting")

    def __init__(self, cid: str, val: str) -> None:
        self.cid, self.val = cid, val
        self.published: Fact | None = None
        self.waiting: Fact | None = None

    @property
    def newest(self) -> Fact:
        """What holds, or will when it is published."""
        fact = self.waiting or self.published
        if fact is None:
            raise ValueError("nothing was said yet")
        return fact

    def holds(self, now: int) -> bool:
        """Whether the label is there, neither negated nor expired."""
        fact = self.newest
        return not fact.neg and (fact.exp is None or fact.exp > now)


Slots = dict[str, dict[str, Slot]]
"""By value, then by version."""


class Held(NamedTuple):
    """A label that holds. Times are milliseconds. `waiting`: it was not published yet."""

    cid: str
    val: str
    cts: int
    exp: int | None
    event: int
    waiting: bool


def slots_of(connection: Connection, labeler: int, uri: str) -> Slots:
    """Everything that is, or was once, said of a subject."""
    return _slots(connection.execute(_OF_ONE, (labeler, uri))).get(uri, {})


def slots_of_all(connection: Connection, labeler: int, uris: Collection[str]) -> dict[str, Slots]:
    """The same of several subjects, by subject; none where nothing was said."""
    if len(uris) == 1:
        return _slots(connection.execute(_OF_ONE, (labeler, *uris)))
    return _slots(connection.execute(_OF_MANY, (labeler, orjson.dumps(list(uris)).decode())))


def _slots(rows: Rows) -> dict[str, Slots]:
    found: dict[str, Slots] = {}
    for uri, cid, val, *fact in rows:
        versions = found.setdefault(uri, {}).setdefault(val, {})
        slot = versions.get(cid)
        if slot is None:
            slot = versions[cid] = Slot(cid, val)
        if fact[-1] is None:
            slot.published = Fact._make(fact)
        else:
            slot.waiting = Fact._make(fact)
    return found


def active(connection: Connection, labeler: int, uri: str, now: int, cid: str | None = None) -> list[Held]:
    """The labels that hold for a subject at `now` (milliseconds), what waits in the outbox included, by value.

    `cid`: only those of this version, and those of all versions.
    """
    held = [
        Held(slot.cid, slot.val, slot.newest.cts, slot.newest.exp, slot.newest.event, slot.waiting is not None)
        for versions in slots_of(connection, labeler, uri).values()
        for slot in versions.values()
        if slot.holds(now) and (cid is None or slot.cid in ("", cid))
    ]
    return sorted(held, key=lambda one: (one.val, one.cid))
