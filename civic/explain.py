"""social.communities.explain: why a post is, or is not, in a community, for those whom it concerns."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from civic.people import NAME
from civic.visit import Answer, Query, Visit
from communities import logbook
from communities.community import Log
from communities.decision_view import view
from communities.decisions import sees_all, shown
from communities.directory import Settings
from communities.explanation import Explanation, explain, matcher_of, read_subject, too_old
from communities.own_decisions import POST, is_withheld
from communities.refs import PostRef, read_post_uri
from models.mod_events import SubjectKey
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import AtUriParam, Params


def explain_post(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """The explanation of a post, for its author, moderators of the community and those above it."""
    settings = visit.find(params["community"], banned=True)
    ref = read_post_uri(params["post"])
    if ref is None:
        raise InvalidRequest("post must be the at-uri of a post, with its author's DID")
    moderator = sees_all(visit.standing(settings))
    if visit.signed() != ref.did and not moderator:
        raise Refused("NotPermitted", "Only its author and moderators are told how a post stands here.", 403)
    community = visit.declaration(settings)
    found = explain(
        visit.connection,
        visit.town.places,
        settings,
        community.ranking,
        matcher_of(visit.connection, settings.id, community, ref.did),
        read_subject(visit.connection, ref),
        visit.now,
        too_old(ref, visit.now, visit.keep),
    )
    return {
        "evidences": list(found.evidences),
        "revision": found.revision,
        "state": found.judgement.outcome.value,
        "why": found.why,
        "score": [{"name": name, "value": value} for name, value in found.score],
        "hiddenBy": list(found.hidden_by),
        **_decision(visit, settings, ref, found, None if moderator else community.log),
    }


def _decision(visit: Visit, settings: Settings, ref: PostRef, found: Explanation, log: Log | None) -> Answer:
    """The decision in force. Its author is told about what and why, unless that is withheld, and of who
    decided what the log shows everybody.

    `log`: None for those who see all.
    """
    if found.decided is None:
        return {}
    event = logbook.event(visit.connection, settings.id, found.decided.decision)
    if event is None or event.get("subject") != ref.uri:
        return {}
    if log is not None:
        if is_withheld(visit.connection, settings.id, SubjectKey(ref.did, f"{POST}/{ref.rkey}")):
            return {}
        event = shown(event, replace(log, show_subject=True), everything=False)
    return {"decision": view(settings.slug, event)}


QUERIES = (Query("explain", Params({"community": NAME, "post": AtUriParam(required=True)}), explain_post),)
