"""social.communities.getDecisions: the log of a community, as its reader may see it."""

from collections.abc import Mapping
from typing import Any

from civic.people import NAME, PAGE
from civic.visit import Answer, Query, Visit
from communities import decisions
from communities.access import readable
from communities.decision_view import view
from xrpc import cursor
from xrpc.errors import Refused
from xrpc.params import Params, StringParam


def get_decisions(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of the log, the newest first."""
    settings = visit.find(params["community"])
    who = visit.standing(settings)
    if not readable(settings.kind, who):
        raise Refused("NotPermitted", "Only members see what is decided in this community.", 403)
    subject = params.get("subject")
    scope = f"getDecisions {settings.id} {subject or ''}"
    before = cursor.decode(visit.key, scope, params["cursor"], 1)[0] if "cursor" in params else None
    found, end = decisions.page(
        visit.connection,
        settings.id,
        visit.declaration(settings).log,
        everything=decisions.sees_all(who),
        limit=params["limit"],
        before=before,
        subject=subject,
    )
    answer: Answer = {"decisions": [view(settings.slug, event) for event in found]}
    return answer | ({} if end is None else {"cursor": cursor.encode(visit.key, scope, end)})


QUERIES = (
    Query("getDecisions", Params({"community": NAME, "subject": StringParam(max_length=8192), **PAGE}), get_decisions),
)
