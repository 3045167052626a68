"""tools.ozone.moderation.emitEvent: whatever moderators do to a subject, as one event or several, in one transaction.

An event belongs to the scope whose matter it is: a community, or the site. Which one that is:

- The community that `modTool.meta.community` names (its slug), or, of labels, with whose slug and a hyphen all values
  begin.
- For what takes down, gives back or labels, and is done by the team: the site. What waits in communities because of a
  subject that the team takes down is acknowledged there.
- For anything else, and for moderators of communities: every scope of theirs in which the subject is known already. If
  there is none: the site, or the communities of theirs to which the subject belongs.
"""

import json
from collections.abc import Mapping
from typing import Any

from communities.appeals import deciders, resolve
from communities.casebook import Appended, standing
from communities.deeds import Deed
from communities.mod_event import Kind
from communities.reports import Around, Intake, report
from communities.review import Status
from labeler.permission import belongs
from models import mod_events, settings, subject_statuses
from models.mod_events import SubjectKey
from models.reports import Said
from ozone import views
from ozone.acts import act
from ozone.event_input import About, Intent, community_of_tags, named_community, read_about, read_deed, read_intent
from ozone.roles import Role
from ozone.setting_rules import PROTECTED
from ozone.visit import Answer, Procedure, Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest, Refused

STRONG = frozenset((Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN, Kind.LABEL))
"""What is felt outside of this API."""
_BY_MODERATORS = STRONG | {Kind.RESOLVE_APPEAL, Kind.EMAIL, Kind.ACCOUNT, Kind.IDENTITY, Kind.RECORD}
_GATED = frozenset((Kind.TAKEDOWN, Kind.LABEL))
"""What is not done to a subject with a protected tag, but by those for whom the tag is."""
_ACCOUNTS = frozenset((Kind.MUTE_REPORTER, Kind.UNMUTE_REPORTER, Kind.ACCOUNT, Kind.IDENTITY))
_GENERATOR = "app.bsky.feed.generator"
_NAMES = {
    Kind.TAKEDOWN: "take this type of action",
    Kind.REVERSE_TAKEDOWN: "take this type of action",
    Kind.LABEL: "label content",
    Kind.RESOLVE_APPEAL: "resolve an appeal",
}


def emit_event(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Do what the event says. Raises AuthenticationRequired, InvalidRequest, Refused (DuplicateExternalId, and what the
    decision itself raises).
    """
    intent, about = read_intent(body["event"]), read_about(body["subject"])
    deed = read_deed(body, intent, about.cid)
    if intent.kind in _ACCOUNTS and (about.key.path or about.key.convo):
        raise InvalidRequest(f"{intent.kind} is about an account")
    if intent.kind is Kind.REPORT:
        _need(visit.role, intent.kind, about.key)
        return _shown(visit, _report(visit, about, intent, deed))
    scopes = _scopes(visit, about.key, intent, deed)
    _check_external(visit, about.key, intent.kind, deed, scopes)
    for scope in scopes:
        _check_tags(visit, intent, standing(visit.connection, scope, about.key))
        _check_appeal(visit, scope, about.key, intent.kind)
    done = [act(visit, scope, about, intent, deed) for scope in scopes]
    for scope, appended in zip(scopes, done, strict=True):
        if intent.kind is Kind.RESOLVE_APPEAL:
            resolve(visit.connection, scope, about.key, visit.did, visit.now // 1000)
        if intent.said.get("acknowledgeAccountSubjects") and not (about.key.path or about.key.convo):
            _acknowledge_subjects(visit, scope, about.key.did, deed)
        if scope <= 0 and intent.kind is Kind.TAKEDOWN:
            _acknowledge_elsewhere(visit, appended, about, deed)
    return _shown(visit, done[0].id)


def _shown(visit: Visit, number: int) -> Answer:
    row = mod_events.find(visit.connection, number)
    if row is None:  # pragma: no cover - it was just appended
        raise RuntimeError(f"there is no event {number}")
    return views.event(visit, views.Told(number, mod_events.subject(visit.connection, row.subject), row))


def needs(kind: Kind, key: SubjectKey) -> Role:
    """The role that an event takes at least."""
    if kind is Kind.TAKEDOWN and key.collection == _GENERATOR:
        return Role.ADMIN
    return Role.MODERATOR if kind in _BY_MODERATORS else Role.TRIAGE


def _need(role: Role | None, kind: Kind, key: SubjectKey) -> None:
    needed = needs(kind, key)
    if role is None or role < needed:
        name = (
            "a full admin" if needed is Role.ADMIN else "a full moderator" if needed is Role.MODERATOR else "a member"
        )
        raise AuthenticationRequired(f"Must be {name} to {_NAMES.get(kind, 'do this')}")


def _scopes(visit: Visit, key: SubjectKey, intent: Intent, deed: Deed) -> list[int]:
    """Whose matter the event is, the most important first."""
    kind = intent.kind
    removed_from = community_of_tags(intent)
    slug = named_community(deed) if removed_from is None else removed_from
    if slug is not None:
        found = visit.places.find(slug)
        if found is None or found.id not in visit.scopes:
            raise InvalidRequest(f"There is no community {slug[:100]!r} for you here")
        _need(visit.caller.role_in(found.id), kind if removed_from is None else Kind.TAKEDOWN, key)
        return [found.id]
    _need(visit.role, kind, key)
    site, subject = -visit.labeler, mod_events.find_subject(visit.connection, key)
    known = visit.scopes.among(subject_statuses.scopes(visit.connection, subject)) if subject is not None else []
    allowed = [scope for scope in known if (visit.caller.role_in(scope) or 0) >= needs(kind, key)]
    of_team = (visit.caller.team or 0) >= needs(kind, key)
    if kind is Kind.LABEL and (meant := _by_prefix(visit, intent, allowed)):
        return meant
    if of_team and kind in STRONG:
        return _of_site(visit, key, kind, site, allowed)
    if allowed:
        return sorted(allowed)
    if of_team:
        return [site]
    theirs = [scope for scope in visit.caller.moderates if belongs(visit.connection, scope, key.uri)]
    if not theirs:
        raise InvalidRequest("There is no such subject in a community that you moderate")
    return sorted(theirs)


def _of_site(visit: Visit, key: SubjectKey, kind: Kind, site: int, known: list[int]) -> list[int]:
    """Where the team takes down, gives back or labels: on the site. What communities alone have taken down is given
    back there.
    """
    if kind is Kind.REVERSE_TAKEDOWN:
        down = [scope for scope in known if (found := standing(visit.connection, scope, key)) and found.takendown]
        return [site] if site in down or not down else down
    return [site]


def _by_prefix(visit: Visit, intent: Intent, scopes: list[int]) -> list[int]:
    """The communities with whose slug and a hyphen all values of a label begin."""
    values = (*intent.said["createLabelVals"], *intent.said["negateLabelVals"])
    names = views.slugs(visit.connection, scopes)
    return [scope for scope, slug in names.items() if all(val.startswith(f"{slug}-") for val in values)]


def _check_external(visit: Visit, key: SubjectKey, kind: Kind, deed: Deed, scopes: list[int]) -> None:
    subject = mod_events.find_subject(visit.connection, key) if deed.external else None
    if subject is None:
        return
    for scope in scopes:
        if mod_events.find_external(visit.connection, deed.external, subject, kind, scope) is not None:
            told = "An event of this type with this externalId exists for the subject already."
            raise Refused("DuplicateExternalId", told)


def _check_tags(visit: Visit, intent: Intent, status: Status | None) -> None:
    """Whether protected tags allow it. Admins may add and remove any; what such a tag protects they may not touch."""
    row = settings.find(visit.connection, visit.labeler, "", PROTECTED)
    protected = json.loads(row.value) if row else {}
    if intent.kind is Kind.TAG and not visit.caller.administers:
        touched = (tag for tag in (*intent.said["add"], *intent.said["remove"]) if tag in protected)
    elif intent.kind in _GATED and status is not None:
        touched = (tag for tag in status.tags if tag in protected)
    else:
        return
    for tag in touched:
        said = protected[tag]
        if visit.role.token not in said.get("roles", ()) and visit.caller.did not in said.get("moderators", ()):
            raise InvalidRequest(
                f"Not allowed to manage tag: {tag}"
                if intent.kind is Kind.TAG
                else f"The tag {tag!r} protects this subject: it is for others to decide about it"
            )


def _check_appeal(visit: Visit, scope: int, key: SubjectKey, kind: Kind) -> None:
    """Nobody decides about an appeal against their own decision."""
    if kind is not Kind.RESOLVE_APPEAL:
        return
    if visit.caller.did in deciders(visit.connection, scope, key, visit.did):
        raise Refused("NotPermitted", "This appeal is against your own decision: somebody else must resolve it.", 403)


def _acknowledge_subjects(visit: Visit, scope: int, did: str, deed: Deed) -> None:
    """Nobody has to look at what an account wrote any more."""
    for key, appealed in subject_statuses.waiting_of(visit.connection, scope, did):
        if appealed:
            act(visit, scope, About(key), *_as(Kind.RESOLVE_APPEAL, deed))
            resolve(visit.connection, scope, key, visit.did, visit.now // 1000)
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
    )
    around = Around(visit.places, visit.site, visit.declared.communities)
    return report(visit.connection, around, said, visit.now, Intake()).id


QUERIES = ()
PROCEDURES = (Procedure("moderation.emitEvent", emit_event),)
