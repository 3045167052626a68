"""Undoing what moderators have done: one event, a batch, what was done by a rule, or by somebody. The one function
below the method `social.communities.undo` and the command `communities undo`.

It goes from the newest event to the oldest, so that what a batch did to a subject one after the other is unwound, in
pieces, each a transaction of the caller. Doing it again changes nothing.
"""

from typing import NamedTuple

from communities.casebook import read_event
from communities.effects import Past
from communities.membership import RefusedError
from labeler.hand import Hand
from labeler.issue import LabelRefusedError
from labeler.permission import RULE_ACTOR, NotAllowedError
from labeler.reversal import reverse
from labeler.undo_case import Case
from models import event_selection, mod_events
from models.database import Connection
from models.event_selection import Selection
from models.mod_events import EventRow, SubjectKey

REASON = "What was decided before is undone."
"""Where nobody gives another. It names nobody: authors are told it."""
PIECE = 50
"""Events that are looked at in one transaction."""


class Looked(NamedTuple):
    """An event that was selected. `by`: the numbers of the events that undo it now; none: it was left alone, and `why`
    is the name of the reason.
    """

    id: int
    key: SubjectKey
    row: EventRow
    by: tuple[int, ...]
    why: str


class Piece(NamedTuple):
    """What was looked at. `below`: where the next piece goes on, None at the end."""

    events: list[Looked]
    below: int | None


def selection(by: str, name: str | int, scope: int | None) -> Selection:
    """What is selected: `by` event, batch, rule or actor. A rule is a policy, or an automatic one (`rule:NAME`)."""
    if by == "rule" and str(name).startswith(RULE_ACTOR):
        by = "actor"
    return Selection(by, name, scope)


def batch_of(by: str, name: object) -> str:
    """How the events are called together that undo a selection, so that they can be undone; a single one: nothing."""
    return "" if by == "event" else f"undo {by} {name}"


def undo(
    connection: Connection, hand: Hand, selected: Selection, below: int, limit: int = PIECE, *, dry: bool = False
) -> Piece:
    """Undo the next selected events below a number. Call inside a write. `dry`: only say what would be undone. What the
    role of whoever undoes does not cover is not there.
    """
    found = event_selection.select(connection, selected, below, limit)
    known: dict[tuple[int, int], list[Past]] = {}
    connection.execute("SAVEPOINT undo")
    try:
        subjects = [mod_events.subject(connection, row.subject) for _, row in found.events]
        events = [
            _one(connection, hand, known, number, key, row)
            for key, (number, row) in zip(subjects, found.events, strict=True)
            if hand.covers(connection, row.scope, key)
        ]
    except BaseException:
        connection.execute("ROLLBACK TO undo")
        connection.execute("RELEASE undo")
        raise
    if dry:
        connection.execute("ROLLBACK TO undo")
    connection.execute("RELEASE undo")
    return Piece(events, found.below)


def _one(
    connection: Connection, hand: Hand, known: dict[tuple[int, int], list[Past]], number: int, key: SubjectKey,
    row: EventRow,
) -> Looked:  # fmt: skip
    """All of what an event did is undone, or nothing. `known`: what was done about subjects, by scope and subject."""
    past = known.setdefault((row.scope, row.subject), [])
    later = event_selection.history(connection, row.scope, row.subject, past[-1].id if past else 0)
    past.extend(Past(id, read_event(one)) for id, one in later)
    connection.execute("SAVEPOINT undo_one")
    try:
        last = mod_events.last_number(connection)
        reverse(Case(connection, hand, row.scope, key, row.subject, past, number, read_event(row)))
        by, why = mod_events.undoing(connection, number, last), ""
    except (RefusedError, NotAllowedError, LabelRefusedError) as refusal:
        connection.execute("ROLLBACK TO undo_one")
        by, why = [], refusal.name
    finally:
        connection.execute("RELEASE undo_one")
    return Looked(number, key, row, tuple(by), why)
