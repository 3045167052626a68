"""social.communities.getEvidence: what was reported to a community, as it was then, and the history of its author
there, for its moderators. Of reports it tells those alone that the caller's role covers.
"""

from collections.abc import Mapping
from typing import Any

from civic.people import NAME
from civic.views import member_view, place_of
from civic.visit import Answer, Query, Visit
from communities import logbook
from communities.access import Action, holds
from communities.decision_view import moment, view
from communities.evidence import PROFILE, decoded
from communities.members import find_actor
from communities.stored import count_shown
from models import evidence, report_cases
from models.evidence import Snapshot
from models.scopes import Cut, Scopes
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import Params, StringParam
from xrpc.syntax import MAX_AT_URI, is_did, parse_at_uri

MOST_VERSIONS, MOST_DECISIONS, MOST_POSTS = 20, 50, 10_000


def get_evidence(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """The versions of a subject that were reported, and what there is of its author."""
    settings = visit.find(params["community"])
    visit.signed()
    who = visit.standing(settings)
    if not (who.oversees or holds(Action.REMOVE, who)):
        raise Refused("NotPermitted", "Only those who moderate its posts are told what was reported to it.", 403)
    did, uri = _subject(params["subject"])
    cuts = {settings.id: Cut(who.bounds.collections, who.bounds.reasons)} if who.bounds.cuts else {}
    scopes = Scopes(frozenset((settings.id,)), cuts=cuts)
    versions = [_view(uri, one) for one in evidence.snapshots(visit.connection, scopes, uri, "", MOST_VERSIONS)]
    reports, waiting = report_cases.count_about(visit.connection, scopes, did)
    place = place_of(visit, settings, did)
    decisions = logbook.about_account(visit.connection, settings.id, did, MOST_DECISIONS)
    return {
        "versions": [version for version in versions if version is not None],
        **({"member": member_view(did, place)} if place else {}),
        "posts": count_shown(visit.connection, settings.id, find_actor(visit.connection, did), MOST_POSTS),
        "reports": reports,
        "waiting": waiting,
        "decisions": [view(settings.slug, event) for event in decisions],
    }


def _subject(text: str) -> tuple[str, str]:
    """The account, and the at-uri of the record that is kept. Raises InvalidRequest."""
    if is_did(text):
        return text, f"at://{text}/{PROFILE}/self"
    parts = parse_at_uri(text)
    if parts is None or not parts.rkey or not is_did(parts.authority):
        raise InvalidRequest("subject must be a DID, or the at-uri of a record with its author's DID")
    return parts.authority, text


def _view(uri: str, kept: Snapshot) -> Answer | None:
    """#evidenceView; None of what nobody can read."""
    value = decoded(kept.record)
    if not isinstance(value, dict):
        return None
    optional = {"handle": kept.handle, "parent": kept.parent, "parentText": kept.parent_text}
    said = {name: text for name, text in optional.items() if text}
    return {"uri": uri, "cid": kept.cid, "value": value, "keptAt": moment(kept.at), **said}


QUERIES = (
    Query(
        "getEvidence",
        Params({"community": NAME, "subject": StringParam(max_length=MAX_AT_URI, required=True)}),
        get_evidence,
    ),
)
