"""Which events of moderation are meant where some of them are to be undone: one, or those of a batch, by a rule, or of
somebody; the newest first, by indexes. Reports, and the tags that come of them, are none of them: not everybody sees
them, so they are in no piece either. Plain functions over a connection.
"""

from typing import NamedTuple

from models.database import Connection
from models.mod_events import COLUMNS, EventRow
from models.scopes import TAGGER

LAST = (1 << 63) - 1
WINDOW = 2_000
"""Events of a community that are looked at in one go for those by a rule (ours)."""
_DONE = f"type != 'modEventReport' AND actor != '{TAGGER}'"
_OF_ONE = {
    "event": f"SELECT id FROM mod_event WHERE id = ?1 AND id < ?2 AND scope = ?4 AND {_DONE} LIMIT ?3",
    "batch": "SELECT id FROM mod_event INDEXED BY mod_event_scope_batch WHERE batch = ?1 AND batch != '' AND id < ?2"
    f" AND scope = ?4 AND {_DONE} ORDER BY id DESC LIMIT ?3",
    "actor": "SELECT id FROM mod_event INDEXED BY mod_event_scope_actor WHERE actor = ?1 AND id < ?2 AND scope = ?4"
    f" AND {_DONE} ORDER BY id DESC LIMIT ?3",
}
# Times rise with the numbers, so an index that goes by time is read in the order of the numbers, and nothing is sorted.
_BELOW = f"id < ?2 AND at <= coalesce((SELECT at FROM mod_event WHERE id = ?2), {LAST})"
_OF_ALL = {
    "event": f"SELECT id FROM mod_event WHERE id = ?1 AND id < ?2 AND {_DONE} LIMIT ?3",
    "batch": "SELECT id FROM mod_event INDEXED BY mod_event_batch WHERE batch = ?1 AND batch != ''"
    f" AND {_BELOW} AND {_DONE} ORDER BY at DESC, id DESC LIMIT ?3",
    "actor": f"SELECT id FROM mod_event INDEXED BY mod_event_actor WHERE actor = ?1 AND {_BELOW} AND {_DONE}"
    " ORDER BY at DESC, id DESC LIMIT ?3",
    "rule": "SELECT event FROM mod_event_value WHERE kind = 'policy' AND value = ?1 AND event < ?2"
    " ORDER BY event DESC LIMIT ?3",
}


class Selection(NamedTuple):
    """`by`: event (a number), batch, rule (the name of a policy) or actor, `name`: which; `scope` None: whoever's."""

    by: str
    name: str | int
    scope: int | None = None


class Found(NamedTuple):
    """`below`: where the next piece goes on, None at the end."""

    events: list[tuple[int, EventRow]]
    below: int | None


def select(connection: Connection, selection: Selection, below: int, limit: int) -> Found:
    """The next events of a selection below a number, at most so many."""
    if selection.by == "rule" and selection.scope is not None:
        return _window(connection, selection.name, selection.scope, below, limit)
    of_one = selection.scope is not None
    query = (_OF_ONE if of_one else _OF_ALL)[selection.by]
    bindings = (selection.name, below, limit, *((selection.scope,) if of_one else ()))
    numbers = [number for (number,) in connection.execute(query, bindings)]
    return Found(_rows(connection, numbers), numbers[-1] if len(numbers) == limit else None)


def _window(connection: Connection, rule: str | int, scope: int, below: int, limit: int) -> Found:
    """Through the events of one community alone: how many others have by a rule of that name is not theirs to wait for,
    nor to learn.
    """
    rows = connection.execute(
        f"SELECT id FROM mod_event INDEXED BY mod_event_scope WHERE scope = ?1 AND {_BELOW}"
        " ORDER BY at DESC, id DESC LIMIT ?3",
        (scope, below, WINDOW),
    ).fetchall()
    numbers: list[int] = []
    for (number,) in rows:
        query = "SELECT 1 FROM mod_event_value WHERE kind = 'policy' AND value = ? AND event = ?"
        if connection.execute(query, (rule, number)).fetchone():
            numbers.append(number)
            if len(numbers) == limit:
                return Found(_rows(connection, numbers), number)
    return Found(_rows(connection, numbers), rows[-1][0] if len(rows) == WINDOW else None)


def _rows(connection: Connection, numbers: list[int]) -> list[tuple[int, EventRow]]:
    query = f"SELECT {COLUMNS} FROM mod_event WHERE id = ? AND {_DONE}"
    found = [(number, connection.execute(query, (number,)).fetchone()) for number in numbers]
    return [(number, EventRow(*row)) for number, row in found if row]


def history(connection: Connection, scope: int, subject: int, after: int = 0) -> list[tuple[int, EventRow]]:
    """What was done about a subject in a scope behind an event, but for reports, in order."""
    rows = connection.execute(
        f"SELECT id, {COLUMNS} FROM mod_event INDEXED BY mod_event_subject WHERE subject = ? AND scope = ?"
        " AND type != 'modEventReport' AND id > ? ORDER BY at, id",
        (subject, scope, after),
    )
    return [(row[0], EventRow(*row[1:])) for row in rows]


def taken_down_in(connection: Connection, subject: int) -> list[int]:
    """The scopes in which a subject is taken down."""
    query = "SELECT scope FROM subject_status WHERE subject = ? AND takendown = 1 ORDER BY scope"
    return [scope for (scope,) in connection.execute(query, (subject,))]


def takedown_labels(connection: Connection, subject: int) -> list[int]:
    """The numbers of the events by which takedowns have labelled a subject, the newest first; those are none of them by
    which something was only undone.
    """
    rows = connection.execute(
        "SELECT l.id FROM mod_event e INDEXED BY mod_event_subject JOIN label_event l ON l.id = e.label_event"
        " WHERE e.subject = ? AND e.type = 'modEventTakedown' AND l.undoes IS NULL ORDER BY l.id DESC",
        (subject,),
    )
    return [number for (number,) in rows]
