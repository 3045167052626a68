"""social.communities.listOwnDecisions: what was decided about the caller's account and posts and applies now, and how
to appeal against it. Nobody is shown anybody else's.
"""

from collections.abc import Mapping
from typing import Any

from civic.people import PAGE
from civic.visit import Answer, Query, Visit
from communities import taken
from communities.access import Status, discoverable
from communities.community import Log
from communities.decision_view import moment
from communities.evidence import collection_of
from communities.log import Acting
from communities.own_decisions import FIRST, Kind, OwnDecision, Place, page
from communities.reasons import LEGACY, OZONE
from communities.taken import Labeler
from models.reports import SITE
from xrpc import cursor
from xrpc.params import Params, StringParam

REPORT = "com.atproto.moderation.createReport"
LABELER = "#atproto_labeler"
_REASONS = (f"{LEGACY}Appeal", f"{OZONE}Appeal")
_ROLES = frozenset(map(str, Acting))


def list_own_decisions(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of it: first what applies to the account, then to its posts."""
    did, limit = visit.signed(), params["limit"]
    scope = f"listOwnDecisions {did}"
    after = FIRST
    if "cursor" in params:
        number, text = cursor.decode_named(visit.key, scope, params["cursor"])
        kind, _, name = text.partition(" ")
        after = Place(int(kind), number, name)

    def log_of(community: int) -> Log | None:
        return _log(visit, community)

    found = page(visit.connection, did, log_of, after, limit + 1, visit.now)
    views = [_view(visit, one) for one in found[:limit] if one.community == SITE or log_of(one.community) is not None]
    answer: Answer = {"decisions": views}
    if len(found) <= limit:
        return answer
    last = found[limit - 1].place
    return answer | {"cursor": cursor.encode_named(visit.key, scope, last.number, f"{last.kind} {last.name}")}


def _log(visit: Visit, community: int) -> Log | None:
    """What the log of a community shows; None if the caller may not know of that."""
    settings = visit.town.places.get(community)
    if settings is None:
        return None
    who = visit.standing(settings)
    known = discoverable(settings.kind, who) or who.status is Status.BANNED
    return visit.declaration(settings).log if known else None


def _view(visit: Visit, one: OwnDecision) -> dict[str, Any]:
    """#ownDecisionView."""
    settings = visit.town.places.get(one.community) if one.community != SITE else None
    role = one.role if one.role in _ROLES or one.role is None else Acting.SITE.value
    optional: dict[str, Any] = {
        "community": settings.slug if settings else None,
        "labeler": one.labeler,
        "labels": list(one.values),
        "cid": one.cid,
        "rule": one.rule,
        "reason": one.reason,
        "role": role,
        "actor": one.actor,
        "since": None if one.since is None else moment(one.since),
        "until": None if one.until is None else moment(one.until),
    }
    return {
        "kind": one.kind.value,
        "subject": one.key.uri,
        **{name: value for name, value in optional.items() if value},
        "withheld": one.withheld,
        "appeal": _appeal(visit, one),
    }


def _appeal(visit: Visit, one: OwnDecision) -> dict[str, Any]:
    """#appealView: how an appeal stands, and where to send one if none waits."""
    made = one.appeal
    if made is None:
        return {"state": "none", **_way(visit, one)}
    view: dict[str, Any] = {"state": made.state, "at": moment(made.at)}
    if made.closed_at is None:
        return view | {"dueAt": moment(visit.course.due_at(made.at))}
    view |= {"closedAt": moment(made.closed_at), **({"note": made.note} if made.note else {})}
    return view | _way(visit, one)


def _way(visit: Visit, one: OwnDecision) -> dict[str, str]:
    """The call by which it is appealed against; nothing where no appeals are taken."""
    labeler: Labeler | None = None
    audience = visit.course.audience
    if one.kind is Kind.LABEL:
        labeler = next((declared for declared in visit.labelers if declared.did == one.labeler), None)
        if labeler is None:
            return {}
        audience = labeler.did + LABELER
    kind = taken.RECORD if one.key.path else taken.ACCOUNT
    for reason in _REASONS:
        if taken.fault(labeler, reason, kind, collection_of(one.key.uri) if one.key.path else "") is None:
            return {"audience": audience, "method": REPORT, "reasonType": reason}
    return {}


QUERIES = (
    Query(
        "listOwnDecisions",
        Params({**PAGE, "cursor": StringParam(max_length=cursor.MOST_NAMED)}),
        list_own_decisions,
    ),
)
