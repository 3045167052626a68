"""What an event has said of the labels of a subject, and is still so because of it: how to unsay it.

What it added is negated, unless it only gave another end to what held before: that holds again until its end then. What
it took away is issued again, if that would still hold. What anybody has said since stays. Times are milliseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from communities.effects import stands
from labeler.standing import Slot, slots_of
from models.database import Connection

_HISTORY = (
    "SELECT id, cid, added, removed, exp, undoes FROM label_event INDEXED BY label_event_subject"
    " WHERE substr(uri, -13) = substr(?1, -13) AND uri = ?1 AND labeler = ?2 ORDER BY id"
)


class LabelEvent(NamedTuple):
    """An event of a labeler about one subject."""

    id: int
    cid: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    exp: int | None
    undoes: int | None


class Again(NamedTuple):
    """What is to be issued again."""

    val: str
    cid: str
    exp: int | None


class Unsaying(NamedTuple):
    """What is to be done: which labels end, and which are issued."""

    end: tuple[Slot, ...] = ()
    again: tuple[Again, ...] = ()

    @property
    def values(self) -> set[str]:
        """All values that it is about."""
        return {slot.val for slot in self.end} | {one.val for one in self.again}


def unsaying(connection: Connection, labeler: int, uri: str, number: int, now: int) -> Unsaying:
    """How to undo the event with this number, which is of that labeler and about that subject."""
    rows = connection.execute(_HISTORY, (uri, labeler)).fetchall()
    past = [LabelEvent(id, cid, tuple(add.split()), tuple(gone.split()), *rest) for id, cid, add, gone, *rest in rows]
    by_id = {one.id: one for one in past}
    mine = by_id[number]
    slots = slots_of(connection, labeler, uri)
    end: list[Slot] = []
    again: list[Again] = []
    for val, cid in _said(past, by_id, mine):
        line = [(one.id, one.undoes) for one in past if _touches(one, by_id, val, cid)]
        if not stands(line, number):
            continue
        held = _before(past, by_id, number, val, cid, now)
        slot = slots.get(val, {}).get(cid)
        holds = slot is not None and slot.holds(now)
        if held is not None and not (holds and slot is not None and slot.newest.exp == held.exp):
            again.append(held)
        elif held is None and holds and slot is not None:
            end.append(slot)
    return Unsaying(tuple(end), tuple(again))


def _said(past: Sequence[LabelEvent], by_id: Mapping[int, LabelEvent], mine: LabelEvent) -> Iterable[tuple[str, str]]:
    """The values and versions that an event is about."""
    for val in mine.added:
        yield val, mine.cid
    for val in mine.removed:
        versions = dict.fromkeys(one.cid for one in past if one.id < mine.id and val in one.added)
        yield from ((val, cid) for cid in versions if _touches(mine, by_id, val, cid))


def _touches(event: LabelEvent, by_id: Mapping[int, LabelEvent], val: str, cid: str) -> bool:
    if val in event.added:
        return event.cid == cid
    if val not in event.removed:
        return False
    # To remove a value is to remove it of every version; to take an event back, of the one that it labelled.
    undone = by_id.get(event.undoes) if event.undoes is not None else None
    return undone is None or val not in undone.added or undone.cid == cid


def _before(
    past: Sequence[LabelEvent], by_id: Mapping[int, LabelEvent], number: int, val: str, cid: str, now: int
) -> Again | None:
    """What held before an event, if it would hold now."""
    held: Again | None = None
    for one in past:
        if one.id >= number:
            break
        if _touches(one, by_id, val, cid):
            held = Again(val, cid, one.exp) if val in one.added else None
    return held if held is not None and (held.exp is None or held.exp > now) else None
