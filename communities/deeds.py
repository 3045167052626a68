"""A decision of a community is written down here, in one transaction with what it changes: in the log that members see,
and as an event of moderation, by which the subject stands as it does from then on.

Whoever decides, and by what door, it is the same: `social.communities.decide`, the buttons of the queue, the moderation
API, a rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from communities import logbook
from communities.access import Action
from communities.casebook import Appended, append, standing
from communities.directory import Settings
from communities.log import Acting, Decision, Event
from communities.mod_event import HOUR, Kind, ModEvent
from communities.report_actions import ReportAction, settle
from communities.review import Status
from models.database import Connection
from models.mod_events import SubjectKey, key_of
from xrpc.syntax import parse_at_uri

PINNED = "pinned"
"""The tag of what the moderators of a community have pinned."""
REMOVED = "feed-removed:"
"""With the slug of a community behind it: the tag of a post that is taken out of its feed by being tagged so."""
FORWARD, FORWARDED, FORWARD_FAILED = "forward:", "forwarded:", "forward-failed:"
"""With the DID of another labeler behind it: the tag of what waits to be reported there, was, or could not be."""
REPORTED, LANG, EMBED = "report:", "lang:", "embed:"
"""With something behind them: the tags that come of reports by themselves (`communities.tagging`)."""
_KINDS = {
    Action.REMOVE: Kind.TAKEDOWN,
    Action.BAN: Kind.TAKEDOWN,
    Action.RESTORE: Kind.REVERSE_TAKEDOWN,
    Action.UNBAN: Kind.REVERSE_TAKEDOWN,
    Action.APPROVE: Kind.ACKNOWLEDGE,
    Action.PIN: Kind.TAG,
    Action.UNPIN: Kind.TAG,
}
"""What a decision is among the events of moderation; others are matters of membership alone."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What a moderator's client says besides what is decided. `said`: fields of the event; see `ModEvent`. `ends`: of
    what is no ban.
    """

    comment: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    cid: str = ""
    blobs: tuple[str, ...] = ()
    tool: str = ""
    tool_meta: Mapping[str, Any] = field(default_factory=dict)
    batch: str = ""
    external: str = ""
    kind: Kind | None = None
    label_event: int | None = None
    undoes: int | None = None
    ends: int | None = None


class Done(NamedTuple):
    """A decision as it stands in the log, and the event of moderation that it is, if it is one."""

    entry: Event
    event: Appended | None


def write(connection: Connection, settings: Settings, now: int, decision: Decision, deed: Deed | None = None) -> Done:
    """Write a decision of a community down. Call inside a write. `now`: microseconds. Raises ValueError as `log.make`.

    `deed`: what else is to be said of it; None: nothing.
    """
    entry = logbook.write(connection, settings.id, settings.slug, now, decision)
    if decision.subject is None:
        return Done(entry, None)
    key, deed = subject_key(decision.subject), deed or Deed()
    status = standing(connection, settings.id, key)
    kind = deed.kind or _kind(status, decision.action)
    if kind is None:
        return Done(entry, None)
    done = append(connection, settings.id, key, _event(kind, decision, entry, deed))
    if deed.kind is None:
        # Whoever decides by a door of communities has nothing else to say of the reports: what they were about is done.
        automated = decision.role is Acting.AUTOMATION
        every = ReportAction(everything=True)
        settle(connection, settings.id, done.subject, done.id, kind, every, decision.actor, now, automated=automated)
    tag = REMOVED + settings.slug
    if kind in (Kind.REVERSE_TAKEDOWN, Kind.ACKNOWLEDGE) and status is not None and tag in status.tags:
        # It was taken out of the feed by this tag, and is in it again.
        said = {"add": [], "remove": [tag]}
        append(connection, settings.id, key, ModEvent(Kind.TAG, now, decision.actor, str(decision.role), said=said))
    return Done(entry, done)


def subject_key(subject: str) -> SubjectKey:
    """A subject by its DID or at-uri."""
    parts = parse_at_uri(subject) if subject.startswith("at://") else None
    return key_of(parts.authority, subject) if parts else SubjectKey(subject)


def _kind(status: Status | None, action: Action) -> Kind | None:
    if action in (Action.APPROVE, Action.EXPEL) and status is not None and status.takendown:
        # Who approves what was removed lets it in again, and who is expelled is banned no more.
        return Kind.REVERSE_TAKEDOWN
    return _KINDS.get(action)


def _event(kind: Kind, decision: Decision, entry: Event, deed: Deed) -> ModEvent:
    said = dict(deed.said)
    if decision.rule is not None:
        said.setdefault("policies", [decision.rule])
    if decision.action is Action.BAN and decision.until is not None:
        said.setdefault("durationInHours", max(1, -(-(decision.until - entry.at) // HOUR)))
    if kind is Kind.TAG and deed.kind is None:
        pinned = [PINNED]
        said |= {"add": pinned, "remove": []} if decision.action is Action.PIN else {"add": [], "remove": pinned}
    return ModEvent(
        deed.kind or kind,
        entry.at,
        decision.actor,
        str(decision.role),
        comment=deed.comment or decision.reason or "",
        said=said,
        cid=deed.cid or decision.cid or "",
        blobs=deed.blobs,
        tool=deed.tool,
        tool_meta=deed.tool_meta,
        batch=deed.batch,
        external=deed.external,
        ends=decision.until if decision.action is Action.BAN else deed.ends,
        decision=entry.seq,
        label_event=deed.label_event,
        undoes=deed.undoes,
    )
