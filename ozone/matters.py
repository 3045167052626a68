"""Whose matter an event is: a community's, or the site's. Read in the transaction that acts.

- The community that `modTool.meta.community` names (its slug), or the tag that takes a post out of its feed, or, of
  labels, with whose slug and a hyphen all values begin.
- For what takes down, gives back or labels, and is done by the team: the site. A labeler that names its communities
  takes down in these alone. What communities alone have taken down is given back there.
- For anything else, and for moderators of communities: every scope of theirs in which the subject is known already. If
  there is none: the site, or the communities of theirs to which the subject belongs.

Where a role is limited to some collections, a subject of another is not there.
"""

from communities.casebook import standing
from communities.deeds import Deed
from communities.mod_event import Kind
from communities.reasons import APPEALS
from labeler.permission import belongs
from models import mod_events, report_cases, subject_statuses
from models.mod_events import SubjectKey
from ozone.event_input import Intent, community_of_tags, named_community
from ozone.roles import Role
from ozone.visit import Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest

STRONG = frozenset((Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN, Kind.LABEL))
"""What is felt outside of this API."""
_BY_MODERATORS = STRONG | {Kind.RESOLVE_APPEAL, Kind.EMAIL, Kind.ACCOUNT, Kind.IDENTITY, Kind.RECORD}
_REPORTERS = frozenset((Kind.MUTE_REPORTER, Kind.UNMUTE_REPORTER))
_GENERATOR = "app.bsky.feed.generator"
_LONGEST_SLUG = 63
_NAMES = {
    Kind.TAKEDOWN: "take this type of action",
    Kind.REVERSE_TAKEDOWN: "take this type of action",
    Kind.LABEL: "label content",
    Kind.RESOLVE_APPEAL: "resolve an appeal",
}


def needs(kind: Kind, key: SubjectKey) -> Role:
    """The role that an event takes at least."""
    if kind is Kind.TAKEDOWN and key.collection == _GENERATOR:
        return Role.ADMIN
    return Role.MODERATOR if kind in _BY_MODERATORS else Role.TRIAGE


def need(role: Role | None, kind: Kind, key: SubjectKey) -> None:
    """Raise AuthenticationRequired unless a role is enough for an event."""
    needed = needs(kind, key)
    if role is None or role < needed:
        name = (
            "a full admin" if needed is Role.ADMIN else "a full moderator" if needed is Role.MODERATOR else "a member"
        )
        raise AuthenticationRequired(f"Must be {name} to {_NAMES.get(kind, 'do this')}")


def scopes(visit: Visit, key: SubjectKey, intent: Intent, deed: Deed) -> list[int]:
    """Whose matter the event is, the most important first. Raises AuthenticationRequired, InvalidRequest."""
    kind, removed_from = intent.kind, community_of_tags(intent)
    if removed_from is not None:
        return [_named(visit, removed_from, Kind.TAKEDOWN, key)]
    slug = named_community(deed)
    if slug is not None:
        return [_named(visit, slug, kind, key)]
    need(visit.role, kind, key)
    if kind is Kind.LABEL and (meant := _by_prefix(visit, intent, key)) is not None:
        return [meant]
    allowed = [scope for scope in _known(visit, key) if may(visit, scope, kind, key)]
    of_team = (visit.caller.team or 0) >= needs(kind, key)
    if of_team and kind in STRONG:
        return _of_team(visit, key, kind, allowed)
    if not allowed and of_team:
        return [-visit.labeler]
    theirs = [scope for scope in visit.caller.moderates if may(visit, scope, kind, key)]
    found = allowed or [scope for scope in theirs if _concerns(visit, scope, kind, key)]
    if not found:
        raise InvalidRequest("There is no such subject in a community that you moderate")
    return _to_change(visit, key, kind, sorted(found))


def may(visit: Visit, scope: int, kind: Kind, key: SubjectKey) -> bool:
    """Whether the caller may do so in a scope."""
    return scope in visit.scopes and (_role(visit, scope, kind, key) or 0) >= needs(kind, key)


def _role(visit: Visit, scope: int, kind: Kind, key: SubjectKey) -> Role | None:
    """The role in a scope for what is like that. An appeal is a report, by either of the names of its reason."""
    return visit.caller.role_in(scope, key.about, APPEALS if kind is Kind.RESOLVE_APPEAL else ())


def _known(visit: Visit, key: SubjectKey) -> list[int]:
    """The scopes that the caller looks into in which something was said of a subject."""
    subject = mod_events.find_subject(visit.connection, key)
    if subject is None:
        return []
    known = [one for one in subject_statuses.scopes(visit.connection, subject) if visit.scopes.shows(one, key.about)]
    return [one for one in known if mod_events.is_seen(visit.connection, visit.scopes, one, subject)]


def _concerns(visit: Visit, scope: int, kind: Kind, key: SubjectKey) -> bool:
    """Whether a subject of which nothing was said yet is a community's matter: it belongs there, or, where a reporter
    is muted, has reported something to it. Conversations are not.
    """
    if key.convo:
        return False
    if kind in _REPORTERS and report_cases.has_reported(visit.connection, visit.scopes, scope, key.did):
        return True
    return belongs(visit.connection, scope, key.uri)


def _named(visit: Visit, slug: str, kind: Kind, key: SubjectKey) -> int:
    """The community that the caller's program names."""
    found = visit.places.find(slug)
    if found is None or found.id not in visit.scopes:
        raise InvalidRequest(f"There is no community {slug[:100]!r} for you here")
    if visit.caller.role_in(found.id) is not None and visit.caller.role_in(found.id, key.about) is None:
        raise InvalidRequest(f"There is no such subject in {slug}")
    need(_role(visit, found.id, kind, key), kind, key)
    if found.id not in _known(visit, key) and not _concerns(visit, found.id, kind, key):
        raise InvalidRequest(f"There is no such subject in {slug}")
    return found.id


def _by_prefix(visit: Visit, intent: Intent, key: SubjectKey) -> int | None:
    """The community with whose slug and a hyphen all values of a label begin; of several, that with the longest."""
    values = (*intent.said["createLabelVals"], *intent.said["negateLabelVals"])
    first = values[0][: _LONGEST_SLUG + 1]
    for end in [at for at, letter in enumerate(first) if letter == "-"][::-1]:
        slug = first[:end]
        found = visit.places.find(slug) if all(val.startswith(f"{slug}-") for val in values) else None
        if found is None or not may(visit, found.id, Kind.LABEL, key):
            continue
        if found.id in _known(visit, key) or _concerns(visit, found.id, Kind.LABEL, key):
            return found.id
    return None


def _of_team(visit: Visit, key: SubjectKey, kind: Kind, allowed: list[int]) -> list[int]:
    """Where the team takes down, gives back or labels. `allowed`: where the subject is known, and it may."""
    site = -visit.labeler
    if kind is Kind.LABEL:
        return [site]
    if kind is Kind.REVERSE_TAKEDOWN:
        down = [scope for scope in allowed if _is_down(visit, scope, key)]
        return [scope for scope in down if scope <= 0] or down or [site]
    if not visit.declared.communities:
        return [site]
    # Whom some communities have made their labeler hides nothing in others.
    served = [scope for scope in visit.scopes.listed if scope > 0]
    found = [scope for scope in served if scope in allowed or _concerns(visit, scope, kind, key)]
    if not found:
        raise InvalidRequest("There is no such subject in a community that this labeler serves")
    return _to_change(visit, key, kind, sorted(found))


def _to_change(visit: Visit, key: SubjectKey, kind: Kind, found: list[int]) -> list[int]:
    """Of several scopes, those in which a takedown, its reversal or the end of an appeal changes anything; all, if it
    changes nothing.
    """
    if kind in (Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN):
        wanted = kind is Kind.TAKEDOWN
        return [scope for scope in found if _is_down(visit, scope, key) is not wanted] or found
    if kind is Kind.RESOLVE_APPEAL:
        return [scope for scope in found if (one := standing(visit.connection, scope, key)) and one.appealed] or found
    return found


def _is_down(visit: Visit, scope: int, key: SubjectKey) -> bool:
    status = standing(visit.connection, scope, key)
    return status is not None and status.takendown
