"""How a subject stands, as a fold over its events: one small function for each thing that is known of it. Pure.

Source: tools.ozone.moderation.defs#subjectStatusView, and the table of effects in docs/OZONE.md. Times are
microseconds. A status is nothing but the fold of the subject's events in one scope, in their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from communities.mod_event import HOUR, Kind, ModEvent

MUTED_MICROS = 24 * HOUR
"""For how long something is muted where nothing else is said."""
MOST_SCORE = 100


class State(IntEnum):
    """Whether somebody has to look at a subject. As in table `subject_status`."""

    NONE = 0
    OPEN = 1
    ESCALATED = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class Hosting:
    """How the account or record stands where it is hosted, as events tell. `status`: empty for nothing known."""

    status: str = ""
    changed_at: int | None = None
    deleted_at: int | None = None
    deactivated_at: int | None = None
    reactivated_at: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How a subject stands in one scope. `appealed` None: never; True: nobody has decided; False: somebody has.
    `tags`: each with when it goes of itself. The last five count events.
    """

    state: State = State.NONE
    cid: str = ""
    blobs: tuple[str, ...] = ()
    comment: str = ""
    priority: int = 0
    mute_until: int | None = None
    mute_reporting_until: int | None = None
    reviewed_by: str = ""
    reviewed_at: int | None = None
    reported_at: int | None = None
    appealed_at: int | None = None
    appealed: bool | None = None
    takendown: bool = False
    suspend_until: int | None = None
    tags: Mapping[str, int | None] = field(default_factory=dict)
    hosting: Hosting = Hosting()
    reports: int = 0
    appeals: int = 0
    suspensions: int = 0
    escalations: int = 0
    takedowns: int = 0

    @property
    def waits(self) -> bool:
        """Whether somebody has to look at it."""
        return self.state in (State.OPEN, State.ESCALATED)


_BECOMES = {
    Kind.ACKNOWLEDGE: State.CLOSED,
    Kind.TAKEDOWN: State.CLOSED,
    Kind.REVERSE_TAKEDOWN: State.CLOSED,
    Kind.ESCALATE: State.ESCALATED,
}
REVIEWS = frozenset(
    (
        Kind.ACKNOWLEDGE,
        Kind.ESCALATE,
        Kind.MUTE,
        Kind.UNMUTE,
        Kind.MUTE_REPORTER,
        Kind.UNMUTE_REPORTER,
        Kind.COMMENT,
        Kind.TAKEDOWN,
        Kind.REVERSE_TAKEDOWN,
    )
)
"""By which a subject counts as looked at."""


def fold(before: Status | None, event: ModEvent) -> Status:
    """How a subject stands behind an event. `before`: None, if it is the first one."""
    was = before or Status()
    if is_unheard(event):
        return was
    return Status(
        state=state(was.state, event),
        cid=event.cid or was.cid,
        blobs=event.blobs or was.blobs,
        comment=comment(was.comment, event),
        priority=priority(was.priority, event),
        mute_until=mute_until(was.mute_until, event),
        mute_reporting_until=mute_reporting_until(was.mute_reporting_until, event),
        reviewed_by=event.actor if event.kind in REVIEWS else was.reviewed_by,
        reviewed_at=event.at if event.kind in REVIEWS else was.reviewed_at,
        reported_at=event.at if event.kind is Kind.REPORT else was.reported_at,
        appealed_at=event.at if event.is_appeal else was.appealed_at,
        appealed=appealed(was.appealed, event),
        takendown=takendown(event, was=was.takendown),
        suspend_until=suspend_until(was.suspend_until, event),
        tags=tags(was.tags, event),
        hosting=hosting(was.hosting, event),
        reports=was.reports + (event.kind is Kind.REPORT and not event.is_appeal),
        appeals=was.appeals + event.is_appeal,
        suspensions=was.suspensions + (event.kind is Kind.TAKEDOWN and event.until is not None),
        escalations=was.escalations + (event.kind is Kind.ESCALATE or event.is_appeal),
        takedowns=was.takedowns + (event.kind is Kind.TAKEDOWN and event.until is None),
    )


def is_unheard(event: ModEvent) -> bool:
    """Whether it is the report of somebody who was muted: it is kept, and moves nothing."""
    return event.kind is Kind.REPORT and bool(event.said.get("isReporterMuted"))


def state(was: State, event: ModEvent) -> State:
    """Nothing returns to none, and what was escalated is only closed: a further report leaves it escalated."""
    if event.kind is Kind.REPORT:
        return State.ESCALATED if event.is_appeal or was is State.ESCALATED else State.OPEN
    return _BECOMES.get(event.kind, was)


def comment(was: str, event: ModEvent) -> str:
    """The sticky comment; an empty one takes it away."""
    return event.comment if event.kind is Kind.COMMENT and event.said.get("sticky") else was


def priority(was: int, event: ModEvent) -> int:
    """The score by which queues may be ordered, 0 to MOST_SCORE."""
    return int(event.said["score"]) if event.kind is Kind.PRIORITY_SCORE else was


def mute_until(was: int | None, event: ModEvent) -> int | None:
    """Until when the subject is left out of queues."""
    if event.kind is Kind.MUTE:
        return event.until or event.at + MUTED_MICROS
    return None if event.kind is Kind.UNMUTE else was


def mute_reporting_until(was: int | None, event: ModEvent) -> int | None:
    """Until when what the account reports moves nothing."""
    if event.kind is Kind.MUTE_REPORTER:
        return event.until or event.at + MUTED_MICROS
    return None if event.kind is Kind.UNMUTE_REPORTER else was


def appealed(was: bool | None, event: ModEvent) -> bool | None:
    """Whether an appeal waits. Nothing answers one but what says so: whoever takes the subject down, or acknowledges
    it, may be the one whom the appeal is against.
    """
    if event.is_appeal:
        return True
    return False if event.kind is Kind.RESOLVE_APPEAL else was


def takendown(event: ModEvent, *, was: bool) -> bool:
    """Whether the subject is taken down."""
    return event.kind is Kind.TAKEDOWN or (was and event.kind is not Kind.REVERSE_TAKEDOWN)


def suspend_until(was: int | None, event: ModEvent) -> int | None:
    """When the takedown ends of itself; None: never, or there is none."""
    if event.kind in (Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN):
        return event.until if event.kind is Kind.TAKEDOWN else None
    return was


def tags(was: Mapping[str, int | None], event: ModEvent) -> Mapping[str, int | None]:
    """What was there with what is added, without what is removed. One that is added again ends as it says now."""
    if event.kind is not Kind.TAG:
        return was
    both = {**was, **dict.fromkeys(event.said["add"], event.until)}
    return {tag: both[tag] for tag in sorted(both) if tag not in event.said["remove"]}


def hosting(was: Hosting, event: ModEvent) -> Hosting:
    """How the account or record stands where it is hosted."""
    if event.kind is Kind.RECORD:
        gone = event.said["op"] == "delete"
        return Hosting("deleted" if gone else "unknown", event.at, event.at if gone else None)
    if event.kind is not Kind.ACCOUNT:
        return was
    told = event.said.get("status", "unknown")
    if event.said["active"]:
        back = event.at if was.status not in ("", "unknown") else was.reactivated_at
        return Hosting("unknown", event.at, None, was.deactivated_at, back)
    return Hosting(
        told,
        event.at,
        event.at if told in ("deleted", "tombstoned") else was.deleted_at,
        event.at if told == "deactivated" else was.deactivated_at,
        was.reactivated_at,
    )
