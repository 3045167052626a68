"""What a moderator forwards to another labeler: it waits with its subject, is sent by the service, and a tag says how
it stands. Nothing is sent here (`service.forwarding`).

What is sent tells of no reporter: the reason of the newest report that is open, and the moderator's own words. A report
is sent once: after it went well never again. Between the sending and the note of it a machine can die, and an answer
can get lost; then it is sent once more. Source: com.atproto.moderation.createReport.
"""

from collections.abc import Collection
from typing import NamedTuple

from communities.casebook import append, standing
from communities.deeds import FORWARD, FORWARD_FAILED, FORWARDED
from communities.endings import SCHEDULE
from communities.log import Acting
from communities.mod_event import Kind, ModEvent
from communities.reasons import APPEALS, LEGACY
from models import forwards, mod_events, report_cases
from models.database import Connection
from models.forwards import FAILED, SENT, WAITING, WITHDRAWN, ForwardRow
from models.mod_events import SubjectKey

MOST_TRIES = 10
MOST_A_DAY = 100
"""Reports that are sent in a day of UTC, to all labelers together (ours)."""
DAY = 86_400_000_000
_FIRST_WAIT, _LONGEST_WAIT = 60_000_000, 6 * 3_600_000_000
"""After the first try that failed; it doubles from then on."""


class Allowed(NamedTuple):
    """To which labelers may be forwarded. `missing`: the settings without which that is to none."""

    to: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


NOBODY = Allowed()


class Wish(NamedTuple):
    """What somebody wants forwarded: to whom, in their own words, and which version of a record."""

    recipient: str
    by: str
    comment: str
    cid: str = ""


class Taken(NamedTuple):
    """What is to be sent now."""

    row: ForwardRow
    key: SubjectKey


class ForwardError(Exception):
    """It cannot be forwarded; the message says why."""


def ask(connection: Connection, scope: int, key: SubjectKey, wish: Wish, now: int) -> None:
    """Let it wait. Call inside a write. Raises ForwardError."""
    place = (scope, mod_events.enter_subject(connection, key), wish.recipient)
    before = forwards.find_at(connection, place)
    if before is not None and before.state in (WAITING, SENT):
        stands = "waits to be forwarded" if before.state == WAITING else "was forwarded"
        raise ForwardError(f"It {stands} to {wish.recipient} already")
    waiting = report_cases.waiting(connection, scope, place[1])
    # What muted reporters say moves nothing, and an appeal is for those who have decided.
    found = [(number, row) for number, row in waiting if not row.muted and row.reason_type not in APPEALS]
    number, reason = (found[-1][0], found[-1][1].reason_type) if found else (None, f"{LEGACY}Other")
    cid = wish.cid
    if key.path and not cid and number is not None:
        cid = report_cases.told(connection, (number,))[0].cid
    if key.path and not cid:
        raise ForwardError("To forward a record takes the version of it (subject.cid)")
    forwards.put(connection, place, wish.by, wish.comment, reason, cid, now)


def withdraw(connection: Connection, scope: int, key: SubjectKey, recipient: str, now: int) -> None:
    """What still waits is not sent. Call inside a write."""
    subject = mod_events.find_subject(connection, key)
    row = forwards.find_at(connection, (scope, subject, recipient)) if subject is not None else None
    if row is not None and row.state == WAITING:
        forwards.settle(connection, row.id, WITHDRAWN, now)


def take(connection: Connection, allowed: Collection[str], now: int) -> Taken | None:
    """What is to be sent now, its try noted already, so that a crash counts as one; None: nothing, or as much was sent
    today as may be. Call inside a write.
    """
    while (row := forwards.due(connection, now)) is not None:
        key = mod_events.subject(connection, row.subject)
        status = standing(connection, row.scope, key)
        if status is None or FORWARD + row.recipient not in status.tags:
            forwards.settle(connection, row.id, WITHDRAWN, now)  # by whatever door the tag was taken off
        elif row.recipient not in allowed:
            _fail(connection, row, key, "this service forwards nothing to this labeler any more", now)
        elif row.tries >= MOST_TRIES:
            _fail(connection, row, key, row.fault or "nothing is known of how the last try went", now)
        elif forwards.count_since(connection, SENT, now - now % DAY) >= MOST_A_DAY:
            return None
        else:
            wait = min(_FIRST_WAIT << row.tries, _LONGEST_WAIT)
            forwards.tried(connection, row.id, row.tries + 1, now + wait)
            return Taken(row._replace(tries=row.tries + 1), key)
    return None


def sent(connection: Connection, taken: Taken, remote: int | None, now: int) -> None:
    """The labeler has it, by this number. Call inside a write."""
    row, key = taken
    forwards.settle(connection, row.id, SENT, now, remote=remote)
    number = f"its number there is {remote}" if remote is not None else "its number there was not told"
    _tag(connection, row, key, FORWARDED, f"Forwarded to {row.recipient}; {number}.", now)


def missed(connection: Connection, taken: Taken, fault: str, now: int, *, final: bool) -> None:
    """It was not sent. `final`: and never will be. Call inside a write."""
    row = forwards.find(connection, taken.row.id)
    if row is None or row.state != WAITING:
        return
    if final or row.tries >= MOST_TRIES:
        _fail(connection, row, taken.key, fault, now)
    else:
        forwards.blame(connection, row.id, fault)


def _fail(connection: Connection, row: ForwardRow, key: SubjectKey, fault: str, now: int) -> None:
    forwards.settle(connection, row.id, FAILED, now, fault)
    told = f"Not forwarded to {row.recipient} (tries: {row.tries}): {fault}."
    _tag(connection, row, key, FORWARD_FAILED, told, now)


def _tag(connection: Connection, row: ForwardRow, key: SubjectKey, tag: str, told: str, now: int) -> None:
    """Say how it stands now, in place of how it stood."""
    status = standing(connection, row.scope, key)
    gone = [one + row.recipient for one in (FORWARD, FORWARD_FAILED) if one != tag]
    said = {
        "add": [tag + row.recipient],
        "remove": [one for one in gone if status is not None and one in status.tags],
    }
    event = ModEvent(Kind.TAG, now, SCHEDULE, str(Acting.AUTOMATION), comment=told, said=said)
    append(connection, row.scope, key, event)
