"""tools.ozone.moderation.emitEvent: whatever moderators do to a subject, as one event or several, in one transaction.

Whose matter an event is says `ozone.matters`. What waits in communities because of a subject that the team takes down
on the whole site is acknowledged there.
"""

import json
from collections.abc import Mapping
from typing import Any

from communities.appeals import resolve
from communities.casebook import Appended, standing
from communities.deeds import FORWARD, Deed
from communities.members import standing_of
from communities.mod_event import Kind
from communities.own_decisions import WITHHELD
from communities.reports import Around, Intake, report
from communities.review import Status
from labeler.redress import OWN, look_in, partial, refusal
from models import mod_events, settings, subject_statuses
from models.mod_events import SubjectKey
from models.reports import Said
from ozone import automation, views
from ozone.acts import act, community
from ozone.event_input import (
    About,
    Forward,
    Intent,
    named_community,
    read_about,
    read_deed,
    read_forward,
    read_intent,
)
from ozone.forwarding import forward_to, forwarding_scope
from ozone.matters import may, need, scopes
from ozone.report_action import read_report_action, settle_reports
from ozone.setting_rules import PROTECTED
from ozone.visit import Answer, Procedure, Visit
from xrpc.errors import InvalidRequest, Refused

_GATED = frozenset((Kind.TAKEDOWN, Kind.LABEL))
"""What is not done to a subject with a protected tag, but by those for whom the tag is."""
_ACCOUNTS = frozenset((Kind.MUTE_REPORTER, Kind.UNMUTE_REPORTER, Kind.ACCOUNT, Kind.IDENTITY))


def emit_event(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Do what the event says. Raises AuthenticationRequired, InvalidRequest, RateLimitExceeded, Refused
    (DuplicateExternalId, ToolStopped, and what the decision itself raises).
    """
    intent, about = read_intent(body["event"]), read_about(body["subject"])
    kind, account = intent.kind, not (about.key.path or about.key.convo)
    deed = read_deed(body, intent, about.cid)
    if kind in _ACCOUNTS and not account:
        raise InvalidRequest(f"{kind} is about an account")
    if kind is Kind.RECORD and not about.key.path:
        raise InvalidRequest(f"{kind} is about a record")
    automation.check(visit, intent, deed)
    if kind is Kind.REPORT:
        need(visit.role, kind, about.key)
        return _shown(visit, _report(visit, about, intent, deed))
    forward = read_forward(intent, deed)
    if forward is None:
        theirs = scopes(visit, about.key, intent, deed)
    else:
        theirs = [forwarding_scope(visit, about, intent, deed, forward)]
    _check_external(visit, about.key, kind, deed, theirs)
    for scope in theirs:
        _check_tags(visit, scope, intent, standing(visit.connection, scope, about.key), forward)
        if kind is Kind.TAG and WITHHELD in (*intent.said["add"], *intent.said["remove"]):
            # What is told of a decision is for those who may decide.
            need(visit.caller.role_in(scope), Kind.TAKEDOWN, about.key)
        if kind is Kind.RESOLVE_APPEAL and (why := _unfit(visit, scope, about.key)):
            raise Refused("NotPermitted", why, 403)
    wanted = read_report_action(body)
    done = [_act(visit, scope, about, intent, deed) for scope in theirs]
    if forward is not None:
        forward_to(visit, theirs[0], about, intent, deed, forward)
    if wanted is not None:
        events = {scope: one.id for scope, one in zip(theirs, done, strict=True)}
        settle_reports(visit, events, done[0].subject, wanted)
    if account and intent.said.get("acknowledgeAccountSubjects"):
        _acknowledge_subjects(visit, theirs, about.key, deed)
    if kind is Kind.TAKEDOWN and theirs[0] <= 0:
        _acknowledge_elsewhere(visit, done[0], about, deed)
    return _shown(visit, done[0].id)


def _act(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    """Do it in a scope, and let appeals be decided that it decides."""
    before = standing(visit.connection, scope, about.key)
    appealed = before is not None and bool(before.appealed)
    # Who takes down what was appealed decides no appeal against what they decided themselves, and none that is not
    # theirs to hear.
    hears = may(visit, scope, Kind.RESOLVE_APPEAL, about.key) and not _unfit(visit, scope, about.key)
    decides = intent.kind is Kind.RESOLVE_APPEAL or (intent.kind is Kind.TAKEDOWN and appealed and hears)
    done = act(visit, scope, about, intent, deed)
    if decides and (intent.kind is Kind.RESOLVE_APPEAL or done.status.takendown):
        if intent.kind is Kind.TAKEDOWN:
            act(visit, scope, about, *_as(Kind.RESOLVE_APPEAL, deed))
        resolve(visit.connection, scope, about.key, visit.did, visit.now // 1000)
    return done


def _shown(visit: Visit, number: int) -> Answer:
    row = mod_events.find(visit.connection, number)
    if row is None:  # pragma: no cover - it was just appended
        raise RuntimeError(f"there is no event {number}")
    return views.event(visit, views.Told(number, mod_events.subject(visit.connection, row.subject), row))


def _check_external(visit: Visit, key: SubjectKey, kind: Kind, deed: Deed, scopes: list[int]) -> None:
    subject = mod_events.find_subject(visit.connection, key) if deed.external else None
    if subject is None:
        return
    for scope in scopes:
        if mod_events.find_external(visit.connection, deed.external, subject, kind, scope) is not None:
            told = "An event of this type with this externalId exists for the subject already."
            raise Refused("DuplicateExternalId", told)


def _check_tags(visit: Visit, scope: int, intent: Intent, status: Status | None, forward: Forward | None) -> None:
    """Whether protected tags allow it. Admins may add and remove any; what such a tag protects they may not touch."""
    if intent.kind is Kind.TAG and not visit.caller.administers:
        touched = (*intent.said["add"], *intent.said["remove"])
    elif forward is not None and not visit.caller.administers:
        touched = (FORWARD + forward.recipient,)
    elif intent.kind in _GATED and status is not None:
        touched = tuple(status.tags)
    else:
        return
    row = settings.find(visit.connection, visit.labeler, "", PROTECTED) if touched else None
    protected = json.loads(row.value) if row else {}
    role = visit.caller.role_in(scope)
    for tag in touched:
        said = protected.get(tag)
        if said is None or visit.caller.did in said.get("moderators", ()):
            continue
        if role is None or role.token not in said.get("roles", ()):
            raise InvalidRequest(
                f"Not allowed to manage tag: {tag}"
                if intent.kind not in _GATED
                else f"The tag {tag!r} protects this subject: it is for others to decide about it"
            )


def _unfit(visit: Visit, scope: int, key: SubjectKey) -> str:
    """Why the caller does not decide about what is appealed: it is their own, or against their own decision, or their
    role in the community is not that which the decisions take; empty: nothing speaks against it.
    """
    matter = look_in(visit.connection, scope, key, visit.did, visit.now)
    if matter is None:
        return ""
    if visit.caller.did in partial(visit.connection, matter):
        return OWN
    if scope <= 0 or visit.caller.in_charge:
        return ""
    to = (visit.connection, visit.places, community(visit, scope), visit.caller.did)
    return refusal(matter, standing_of(*to, visit.now, visit.stands))


def _acknowledge_subjects(visit: Visit, theirs: list[int], account: SubjectKey, deed: Deed) -> None:
    """Nobody has to look at what an account wrote any more: in the community that was named, or wherever the caller may
    say so. What was appealed against the caller's own decision goes on waiting for somebody else.
    """
    named = named_community(deed) is not None
    for scope, key, appealed in subject_statuses.waiting_of(visit.connection, account.did):
        if (scope not in theirs and named) or not may(visit, scope, Kind.ACKNOWLEDGE, key):
            continue
        if appealed:
            if _unfit(visit, scope, key) or not may(visit, scope, Kind.RESOLVE_APPEAL, key):
                continue
            _act(visit, scope, About(key), *_as(Kind.RESOLVE_APPEAL, deed))
        act(visit, scope, About(key), *_as(Kind.ACKNOWLEDGE, deed))


def _acknowledge_elsewhere(visit: Visit, done: Appended, about: About, deed: Deed) -> None:
    """What the site takes down waits in no community."""
    for scope in subject_statuses.scopes(visit.connection, done.subject):
        status = standing(visit.connection, scope, about.key) if scope > 0 and scope in visit.scopes else None
        if status is not None and status.waits:
            act(visit, scope, about, *_as(Kind.ACKNOWLEDGE, deed))


def _as(kind: Kind, deed: Deed) -> tuple[Intent, Deed]:
    """Another event that goes with one."""
    other = Deed(comment=deed.comment, tool=deed.tool, tool_meta=deed.tool_meta, batch=deed.batch, kind=kind)
    return Intent(kind, {}, deed.comment), other


def _report(visit: Visit, about: About, intent: Intent, deed: Deed) -> int:
    """A moderator reports something, or appeals for its author."""
    subject = mod_events.find_subject(visit.connection, about.key)
    known = subject_statuses.scopes(visit.connection, subject) if subject is not None else []
    _check_external(visit, about.key, intent.kind, deed, known)
    said = Said(
        visit.caller.did,
        intent.said["reportType"],
        intent.comment,
        about.key.did,
        about.key.uri if about.key.path else "",
        about.cid,
        about.key.convo,
        labeler=visit.did,
        tool=deed.tool,
        tool_meta=json.dumps(deed.tool_meta) if deed.tool_meta else "",
    )
    around = Around(visit.places, visit.site, visit.declared.communities)
    return report(visit.connection, around, said, visit.now, Intake(), deed).id


QUERIES = ()
PROCEDURES = (Procedure("moderation.emitEvent", emit_event),)
