"""social.communities.resolveAppeal: somebody who has not decided what an appeal is against grants or denies it."""

from collections.abc import Mapping
from typing import Any

from civic.visit import Answer, Procedure, Visit
from communities.access import Action, Site, holds
from communities.acting import acting_as
from communities.decision_view import moment
from communities.log import Acting
from communities.membership import RefusedError
from communities.reasons import APPEALS
from labeler.redress import NOT_YOURS, Court, Matter, Ruling, look, refusal, rule
from models.appeals import find
from models.mod_events import SubjectKey, key_of
from models.reports import SITE
from xrpc.errors import InvalidRequest
from xrpc.syntax import is_did, parse_at_uri

GRANT = "grant"
_NOT_THERE = "There is no such appeal here about which nobody has decided."


def resolve_appeal(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Grant or deny. Raises InvalidRequest, Refused, RefusedError."""
    caller, key = visit.signed(), _key(body["subject"])
    if "\0" in body["reason"]:
        raise InvalidRequest("reason must not have NUL characters")
    if "community" in body:
        settings = visit.find(body["community"])
        who = visit.standing(settings)
        if not any(holds(action, who) for action in (Action.RESTORE, Action.UNBAN)):
            raise RefusedError("NotPermitted", NOT_YOURS)
        if not who.bounds.covers(key.about, APPEALS):
            # What a role is limited to says also what is there to be decided.
            raise RefusedError("AppealNotFound", _NOT_THERE)
        court = Court(visit.town.places, settings, visit.site)
        matter = _matter(visit, settings.id, key, body)
        if why := refusal(matter, who):
            raise RefusedError("NotPermitted", why)
        role = str(acting_as(min(matter.actions), settings, caller, who))
    else:
        if visit.site.get(caller, Site.NOBODY) < Site.MODERATOR:
            raise RefusedError("NotPermitted", NOT_YOURS)
        court, role = Court(), Acting.SITE.value
        matter = _matter(visit, SITE, key, body)
    ruling = Ruling(body["action"] == GRANT, body["reason"], caller, role)
    rule(visit.connection, court, matter, ruling, visit.now)
    return {"appeals": [_view(visit, one.id) for one in matter.appeals]}


def _key(subject: str) -> SubjectKey:
    parts = parse_at_uri(subject) if subject.startswith("at://") else None
    if parts is not None and is_did(parts.authority) and parts.rkey:
        return key_of(parts.authority, subject)
    if not is_did(subject):
        raise InvalidRequest("subject must be a DID, or the at-uri of a record with its author's DID")
    return SubjectKey(subject)


def _matter(visit: Visit, community: int, key: SubjectKey, body: Mapping[str, Any]) -> Matter:
    found = look(visit.connection, community, key, body.get("labeler"), visit.now)
    if found is None:
        raise RefusedError("AppealNotFound", _NOT_THERE)
    return found


def _view(visit: Visit, number: int) -> dict[str, Any]:
    """#resolvedAppeal."""
    row = find(visit.connection, number)
    if row is None or row.closed_at is None:  # pragma: no cover - it was just decided about
        raise RuntimeError(f"appeal {number} is open")
    return {
        "id": row.id,
        "subject": row.uri or row.did,
        "state": row.state,
        "at": moment(row.at),
        "dueAt": moment(visit.course.due_at(row.at)),
        "closedAt": moment(row.closed_at),
        **({"labeler": row.labeler} if row.labeler else {}),
    }


PROCEDURES = (Procedure("resolveAppeal", resolve_appeal),)
