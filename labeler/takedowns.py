"""The label that goes with a takedown: issued when something is taken down, taken back when no takedown of it stands.

Several may have taken the same thing down, each for their own matter: the label stays until the last of them gives it
back, by whatever door.
"""

from collections.abc import Mapping

from communities.access import Action, Site, may_decide
from communities.acting import acting_as
from communities.deeds import subject_key
from communities.directory import Places, Settings
from communities.members import standing_of
from labeler.issue import Vocabulary, Wanted, issue, take_back
from labeler.permission import check_values
from labeler.standing import Slot, slots_of
from models import mod_events, subject_statuses
from models.database import Connection
from models.mod_events import SubjectKey

GIVING_BACK = frozenset((Action.APPROVE, Action.RESTORE, Action.UNBAN, Action.EXPEL))
"""By which what was taken down is so no more."""


def begin(connection: Connection, vocabulary: Vocabulary, value: str, wanted: Wanted, now: int) -> int | None:
    """Issue the value of a takedown for every version, and return the number of the event; None where it holds as long
    already. Call inside a write. `wanted`: whose, of what, by whom, until when; `now`: milliseconds.

    Raises LabelRefusedError as `issue` does.
    """
    slot = slots_of(connection, wanted.labeler, wanted.uri).get(value, {}).get("")
    if slot is not None and slot.holds(now):
        held = slot.newest.exp
        if held is None or (wanted.exp is not None and wanted.exp <= held):
            return None  # the shorter of two takedowns does not end the label of the longer one
    return issue(connection, vocabulary, wanted._replace(cid="", add=(value,), remove=()), now).event


def end(connection: Connection, scope: int, key: SubjectKey, actor: str, role: str, now: int) -> int | None:
    """Take back what takedowns of a subject have issued, of every version, unless it is taken down in another scope;
    the number of the event, None where there is nothing to take back. Call inside a write, before the event that gives
    the subject back in `scope`. `now`: milliseconds.
    """
    event: int | None = None
    for labeler, did, ended in _ending(connection, scope, key, now):
        wanted = Wanted(labeler, did, key.uri, actor=actor, role=role, community=max(scope, 0))
        event = take_back(connection, wanted, ended, now).event
    return event


def giving_back(
    connection: Connection, places: Places, settings: Settings, actor: str, action: Action, subject: str, now: int,
    site: Mapping[str, Site],
) -> int | None:  # fmt: skip
    """What goes before a decision of a community that may give back what was taken down, as `end`. The arguments are
    those of `decide_post`; `subject`: an at-uri or a DID. Raises NotAllowedError where a role does not cover the label.
    """
    who = standing_of(connection, places, settings, actor, now, site)
    if action not in GIVING_BACK or not may_decide(action, who):
        return None
    to = (connection, settings.id, subject_key(subject))
    check_values(who, ending(*to, now // 1000))
    return end(*to, actor, str(acting_as(action, settings, actor, who)), now // 1000)


def ending(connection: Connection, scope: int, key: SubjectKey, now: int) -> set[str]:
    """The values that `end` would take back."""
    return {slot.val for _, _, slots in _ending(connection, scope, key, now) for slot in slots}


def _ending(connection: Connection, scope: int, key: SubjectKey, now: int) -> list[tuple[int, str, list[Slot]]]:
    """Of each labeler (number, DID) what holds because of takedowns that would stand no more."""
    subject = mod_events.find_subject(connection, key)
    if subject is None or scope not in (down := subject_statuses.takendown_in(connection, subject)) or len(down) > 1:
        return []
    found = []
    for labeler, did, values in mod_events.issued_by_takedowns(connection, subject):
        known = slots_of(connection, labeler, key.uri)
        ended = [slot for val in values for slot in known.get(val, {}).values() if slot.holds(now)]
        if ended:
            found.append((labeler, did, ended))
    return found
