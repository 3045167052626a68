"""What an event of a moderator does in one scope, whose matter it is: by the same functions as every other door.

Taking down means what it can mean here. In a community: a post is removed, an account is banned, for as long as it
says. On the site: no feed shows it. In both the value is issued that the labeler declares for it, if it does. Nothing
is done to what is on anybody's PDS.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from communities.access import Action, Site
from communities.acting import acting_as
from communities.casebook import Appended, append, standing
from communities.deeds import PINNED, Deed, Done
from communities.directory import Settings
from communities.log import Acting
from communities.members import standing_of
from communities.membership import RefusedError
from communities.mod_event import HOUR, Kind, ModEvent
from communities.person_decisions import PersonDecision, decide_person
from communities.post_decisions import PostDecision, decide_post
from communities.refs import PostRef, read_cid, read_post_uri
from communities.shown import take_down, take_down_post
from labeler.issue import LabelRefusedError, Wanted, issue
from labeler.permission import SYSTEM, Facts, NotAllowedError, belongs, judge, own_values
from labeler.saying import say
from labeler.standing import active
from models import mod_events
from models.mod_events import SubjectKey
from ozone.event_input import About, Intent
from ozone.visit import Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest, Refused

REMOVED_TAG = "feed-removed:"
"""Before the slug of a community: tagging a post with it removes that from its feed, and nothing else."""
EVERY_VERSION = "bafkqaaa"


def act(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    """Do it. Call inside a write. Raises InvalidRequest, AuthenticationRequired, Refused."""
    try:
        if intent.kind in (Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN):
            return _take_down(visit, scope, about, intent, deed)
        if intent.kind is Kind.LABEL:
            return _label(visit, scope, about, intent, deed)
        return append(visit.connection, scope, about.key, event(visit, scope, deed))
    except RefusedError as refusal:
        raise Refused(refusal.name, str(refusal), 403 if refusal.name == "NotPermitted" else 400) from refusal
    except NotAllowedError as error:
        raise Refused(error.name, str(error), 400 if error.name == "SubjectNotInCommunity" else 403) from error
    except LabelRefusedError as error:
        raise InvalidRequest(str(error)) from error


def event(visit: Visit, scope: int, deed: Deed, **more: Any) -> ModEvent:
    """The event as it is appended."""
    if deed.kind is None:
        raise ValueError("an event has a kind")
    said = dict(deed.said)
    if deed.kind is Kind.EMAIL:
        said["isDelivered"] = False  # this service has nobody's address
    return ModEvent(
        deed.kind,
        visit.now,
        visit.caller.did,
        role(visit, scope),
        comment=deed.comment,
        said=said,
        cid=deed.cid,
        blobs=deed.blobs,
        tool=deed.tool,
        tool_meta=deed.tool_meta,
        batch=deed.batch,
        external=deed.external,
        label_event=deed.label_event,
        undoes=deed.undoes,
        **more,
    )


def role(visit: Visit, scope: int) -> str:
    """As what the caller acts."""
    if scope <= 0 or visit.caller.team is not None:
        return str(Acting.SITE)
    settings = community(visit, scope)
    return str(acting_as(Action.REMOVE, settings, visit.caller.did, _standing(visit, settings)))


def community(visit: Visit, scope: int) -> Settings:
    """The community that a scope is."""
    settings = visit.places.get(scope)
    if settings is None:
        raise InvalidRequest("There is no such community here.")
    return settings


def _standing(visit: Visit, settings: Settings) -> Any:
    return standing_of(visit.connection, visit.places, settings, visit.caller.did, visit.now, visit.stands)
