"""The labels of an event that is undone: its own, or those that a takedown issued, or that giving back has negated."""

from collections.abc import Iterator

from communities.casebook import standing
from communities.deeds import Deed
from communities.membership import RefusedError
from communities.mod_event import Kind
from labeler.issue import Issued, Wanted, issue, take_back
from labeler.label_undo import Unsaying, unsaying
from labeler.saying import tell
from labeler.undo_case import NOTHING, SINCE, Case
from models import event_selection
from models.database import Connection


def say_back(case: Case) -> None:
    """A label event: what it added, and what it took away."""
    number = case.event.label_event
    if number is None:
        raise RefusedError(NOTHING, "It only said what held already.")
    labeler = _labeler(case.connection, number)
    found = unsaying(case.connection, labeler, case.key.uri, number, case.hand.now // 1000)
    if not found.values:
        raise RefusedError(SINCE, "Something else was said since, or what it said is over.")
    status = standing(case.connection, case.scope, case.key)
    tags = status.tags.keys() if status else ()
    case.hand.touches(case.connection, case.scope, tags)
    ended, again = [slot.val for slot in found.end], [one.val for one in found.again]
    case.hand.may_say(case.connection, case.scope, labeler, case.key.uri, ended, again)
    for wanted, issued in _say(case, labeler, number, found):
        tell(case.connection, wanted, issued, case.hand.now // 1000, Deed(undoes=case.number))


def unlabel(case: Case) -> int | None:
    """Take back what takedowns have labelled, of every version; the number of the first event that does."""
    if case.event.kind is Kind.TAG:
        return None
    first: int | None = None
    others = [one for one in event_selection.taken_down_in(case.connection, case.subject) if one != case.scope]
    own = () if case.event.label_event is None else (case.event.label_event,)
    for number in dict.fromkeys((*own, *event_selection.takedown_labels(case.connection, case.subject))):
        labeler = _labeler(case.connection, number)
        if any(case.hand.looks_into(case.connection, labeler, scope) for scope in others):
            continue  # it stands for what is taken down there as well
        found = unsaying(case.connection, labeler, case.key.uri, number, case.hand.now // 1000)
        for _, issued in _say(case, labeler, number, found):
            first = first or issued.event
    return first


def relabel(case: Case) -> int | None:
    """Issue again what was negated when it was given back."""
    number = case.event.label_event
    if number is None:
        return None
    labeler = _labeler(case.connection, number)
    found = unsaying(case.connection, labeler, case.key.uri, number, case.hand.now // 1000)
    first: int | None = None
    for _, issued in _say(case, labeler, number, Unsaying(again=found.again)):
        first = first or issued.event
    return first


def _say(case: Case, labeler: int, number: int, found: Unsaying) -> Iterator[tuple[Wanted, Issued]]:
    """Say it, an event each."""
    hand, now = case.hand, case.hand.now // 1000
    hand.labels(case.connection, case.scope, found.values)
    declared = hand.declared(case.connection, labeler)
    if found.again and declared is None:
        raise RefusedError("LabelerNotFound", "The labeler is not declared any more.")
    wanted = Wanted(
        labeler, declared.did if declared else "", case.key.uri, actor=hand.actor,
        role=hand.role(case.connection, case.scope), community=max(case.scope, 0), reason=hand.reason,
        batch=hand.batch, undoes=number,
    )  # fmt: skip
    if found.end:
        yield wanted, take_back(case.connection, wanted, found.end, now)
    for one in found.again:
        assert declared is not None  # noqa: S101 - said above
        anew = wanted._replace(add=(one.val,), cid=one.cid, exp=one.exp)
        yield anew, issue(case.connection, declared, anew, now)


def _labeler(connection: Connection, number: int) -> int:
    (labeler,) = connection.execute("SELECT labeler FROM label_event WHERE id = ?", (number,)).fetchone()
    return int(labeler)
