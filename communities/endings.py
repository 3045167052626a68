"""What moderators have done for a time ends: mutes, suspensions, tags. Each end is an event of its own, in the
transaction in which it comes about, so that a restart forgets none and none comes twice.

Bans end by the clock (`communities.membership.in_force`), and labels by their `exp`; here it is written down.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from communities import automatic
from communities.casebook import Appended, append
from communities.deeds import Deed
from communities.log import Acting
from communities.mod_event import Kind, ModEvent
from communities.refs import PostRef, read_post_uri
from communities.shown import take_down, take_down_post
from models import subject_statuses
from models.database import Connection
from models.mod_events import SubjectKey
from models.subject_statuses import takendown_in

SCHEDULE = "schedule"
"""The actor of what ends because its time is over."""
_ENDS = (
    ("mute_until", Kind.UNMUTE),
    ("mute_reporting_until", Kind.UNMUTE_REPORTER),
    ("suspend_until", Kind.REVERSE_TAKEDOWN),
)
"""Columns of `subject_status`, and what happens when that moment has come."""


Unlabel = Callable[[Connection, int, SubjectKey, int], int | None]
"""Take back what takedowns of a subject have labelled, before it is given back in a scope; the number of the event of
the labeler, if it is one. Time: microseconds.
"""


class _Due(NamedTuple):
    """A subject in a scope for which something is over."""

    scope: int
    key: SubjectKey


def is_due(connection: Connection, now: int) -> bool:
    """Whether anything is over. `now`: microseconds."""
    return any(subject_statuses.due(connection, column, now, 1) for column, _ in _ENDS) or bool(
        subject_statuses.due_tags(connection, now, 1)
    )


def end_due(connection: Connection, now: int, limit: int, unlabel: Unlabel) -> int:
    """End what is over, at most so much of each kind; how much. Call inside a write. `now`: microseconds."""
    done = 0
    for column, kind in _ENDS:
        for scope, key in subject_statuses.due(connection, column, now, limit):
            _end(connection, _Due(scope, key), kind, now, unlabel)
            done += 1
    for scope, key, tags in subject_statuses.due_tags(connection, now, limit):
        _note(connection, _Due(scope, key), Kind.TAG, now, add=[], remove=list(tags))
        done += 1
    return done


def _end(connection: Connection, due: _Due, kind: Kind, now: int, unlabel: Unlabel) -> None:
    post = read_post_uri(due.key.uri) if due.key.path else None
    down = kind is Kind.REVERSE_TAKEDOWN
    # A label may hold longer than this takedown, because of one that was given back meanwhile.
    label = unlabel(connection, due.scope, due.key, now) if down else None
    if down and due.scope > 0 and post is not None and _give_back(connection, due.scope, post, now, label):
        return  # by the log of the community, which is an event already
    done = _note(connection, due, kind, now, label)
    if not down or due.scope > 0 or any(one <= 0 for one in takendown_in(connection, done.subject)):
        return  # several may have it down for the whole site
    if post is not None:
        take_down_post(connection, post, b"", now, allowed=True)
    elif not due.key.path and not due.key.convo:
        take_down(connection, due.key.did, allowed=True)


def _give_back(connection: Connection, scope: int, post: PostRef, now: int, label: int | None) -> bool:
    """A post was removed for a time that is over; False where nobody has it removed any more."""
    why, deed = "the time for which it was removed is over", Deed(label_event=label)
    return automatic.end_removal(connection, scope, post, SCHEDULE, why, now, deed)


def _note(
    connection: Connection, due: _Due, kind: Kind, now: int, label: int | None = None, **said: Iterable[str]
) -> Appended:
    event = ModEvent(kind, now, SCHEDULE, str(Acting.AUTOMATION), said=said, label_event=label)
    return append(connection, due.scope, due.key, event)
