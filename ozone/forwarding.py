"""A moderator forwards a subject to another labeler: by the tag `forward:DID`, or, of an escalation, by what a program
names in `modTool.meta.forwardTo`. It is sent later (`service.forwarding`); until then, to take the tag off ends it.
"""

from communities.casebook import Appended, append, standing
from communities.deeds import FORWARD, Deed
from communities.forwards import ForwardError, Wish, ask, withdraw
from communities.mod_event import Kind, ModEvent
from models import mod_events, report_cases
from models.mod_events import SubjectKey
from ozone.acts import role
from ozone.event_input import About, Forward, Intent
from ozone.matters import scopes
from ozone.roles import Role
from ozone.views import NO_CID
from ozone.visit import Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest

LONGEST = 2_000
"""Characters of what is said of a forwarded report: as many as its lexicon has graphemes."""


def forwarding_scope(visit: Visit, about: About, intent: Intent, deed: Deed, forward: Forward) -> int:
    """Whose matter it is: of several scopes one, in which a report waits or which has the tag, so that the same is not
    sent twice. Raises AuthenticationRequired, InvalidRequest.
    """
    theirs = scopes(visit, about.key, intent, deed)
    able = [scope for scope in theirs if (visit.caller.role_in(scope) or 0) >= Role.MODERATOR]
    if not able:
        raise AuthenticationRequired("Must be a full moderator to forward to another labeler")
    if not forward.wanted:
        return next((scope for scope in able if _has_tag(visit, scope, about.key, forward)), able[0])
    _check(visit, about, intent, forward)
    subject = mod_events.find_subject(visit.connection, about.key)
    waiting = report_cases.scopes_waiting(visit.connection, subject) if subject is not None else []
    return next((scope for scope in able if scope in waiting), able[0])


def forward_to(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed, forward: Forward) -> Appended | None:
    """What goes with the event; the event of its own by which an escalation gets the tag. Call inside a write. Raises
    InvalidRequest.
    """
    if not forward.wanted:
        withdraw(visit.connection, scope, about.key, forward.recipient, visit.now)
        return None
    cid = about.cid if about.cid != NO_CID else ""
    wish = Wish(forward.recipient, visit.caller.did, intent.comment, cid)
    try:
        ask(visit.connection, scope, about.key, wish, visit.now)
    except ForwardError as error:
        raise InvalidRequest(str(error)) from error
    if intent.kind is Kind.TAG:
        return None
    said = {"add": [FORWARD + forward.recipient], "remove": []}
    who = visit.caller.did, role(visit, scope)
    event = ModEvent(Kind.TAG, visit.now, *who, said=said, tool=deed.tool, tool_meta=deed.tool_meta, batch=deed.batch)
    return append(visit.connection, scope, about.key, event)


def _has_tag(visit: Visit, scope: int, key: SubjectKey, forward: Forward) -> bool:
    status = standing(visit.connection, scope, key)
    return status is not None and FORWARD + forward.recipient in status.tags


def _check(visit: Visit, about: About, intent: Intent, forward: Forward) -> None:
    if visit.forwards.missing:
        raise InvalidRequest(f"Nothing is forwarded here: {' and '.join(visit.forwards.missing)} must be set")
    if forward.recipient not in visit.forwards.to:
        raise InvalidRequest(f"{forward.recipient[:200]!r} is none of COMMUNITIES_FORWARD_TO")
    if forward.recipient == visit.did:
        raise InvalidRequest("This is the labeler to which it was reported")
    if about.key.convo:
        raise InvalidRequest("Conversations are not forwarded: no other labeler could look at them")
    if len(intent.comment) > LONGEST:
        raise InvalidRequest(f"event.comment may have {LONGEST:,} characters where something is forwarded")
