"""Taking back what was issued: by a rule, in a batch, for a community, or by a person, and still holds because of that.

What somebody else has issued again since stays. It goes in pieces, each a transaction of the caller, of new events that
name what they undo; doing it again changes nothing.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

from labeler.issue import Wanted, take_back
from labeler.saying import tell
from labeler.standing import slots_of
from models.database import Connection

PIECE = 100
"""Events that are looked at in one transaction."""
_INDEXES = {
    "event": ("NOT INDEXED", "id = ?"),
    "batch": ("INDEXED BY label_event_batch", "batch = ? AND batch != ''"),
    "rule": ("INDEXED BY label_event_rule", "rule = ? AND rule != ''"),
    "actor": ("INDEXED BY label_event_actor", "actor = ?"),
    "community": ("INDEXED BY label_event_community", "community = ? AND community != 0"),
}
"""How the events are found; the first of those that are said is what SQLite goes by."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: those of which everything is true that is said, and something must be."""

    event: int | None = None
    batch: str | None = None
    rule: str | None = None
    actor: str | None = None
    community: int | None = None

    def __post_init__(self) -> None:
        said = [getattr(self, field.name) for field in fields(self)]
        if all(one is None for one in said) or any(one in ("", 0) for one in said):
            raise ValueError("a selection says an event, a batch, a rule, an actor or a community")


class Retracted(NamedTuple):
    """What a piece did. `after`: where the next one goes on, None at the end. `events`: looked at; `labels`: ended."""

    after: int | None
    events: int
    labels: int


def retract(
    connection: Connection,
    labeler: int,
    selection: Selection,
    actor: str,
    role: str,
    now: int,
    *,
    reason: str = "",
    batch: str = "",
    after: int = 0,
    limit: int = PIECE,
) -> Retracted:
    """Take back what the next `limit` selected events behind the number `after` have issued. Call inside a write.

    `batch` names the whole of a retraction that is large: its negations then wait behind those of single actions.
    """
    said = [name for name in _INDEXES if getattr(selection, name) is not None]
    conditions = " AND ".join(_INDEXES[name][1] for name in said)
    rows = connection.execute(
        f"SELECT id, uri, community, added FROM label_event {_INDEXES[said[0]][0]} WHERE {conditions} AND labeler = ?"
        " AND id > ? ORDER BY id LIMIT ?",
        (*(getattr(selection, name) for name in said), labeler, after, limit),
    ).fetchall()
    labels = 0
    for event, uri, community, added in rows:
        ended = added and [
            slot
            for versions in slots_of(connection, labeler, uri).values()
            for slot in versions.values()
            if slot.newest.event == event and slot.holds(now)
        ]
        if ended:
            wanted = Wanted(
                labeler, "", uri, actor=actor, role=role, community=community, reason=reason, batch=batch, undoes=event
            )
            tell(connection, wanted, take_back(connection, wanted, ended, now), now)
            labels += len(ended)
    return Retracted(rows[-1][0] if len(rows) == limit else None, len(rows), labels)
