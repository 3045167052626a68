"""social.communities.getModeration: how a community is moderated, in numbers, for whoever may read it."""

from collections.abc import Mapping
from typing import Any

from civic.people import NAME
from civic.visit import Answer, Query, Visit
from communities.access import readable
from communities.decision_view import moment
from communities.transparency import DAYS, Numbers, numbers
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import IntParam, Params


def get_moderation(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """The numbers of one community."""
    settings = visit.find(params["community"])
    if not readable(settings.kind, visit.standing(settings)):
        raise Refused("NotPermitted", "Only members see how this community is moderated.", 403)
    if params["days"] not in DAYS:
        raise InvalidRequest(f"days must be one of {', '.join(map(str, DAYS))}")
    return view(settings.slug, numbers(visit.connection, settings.id, params["days"], visit.now))


def view(slug: str, found: Numbers) -> Answer:
    """The answer; what is too little to be told is left out."""
    answer: Answer = {
        "community": slug,
        "since": moment(found.since),
        "until": moment(found.until),
        "decisions": [
            {"action": action, **({"rule": rule} if rule is not None else {}), "count": count}
            for action, rule, count in found.decisions
        ],
    }
    if found.times is not None:
        answer["reports"] = {"medianHours": found.times.median, "p90Hours": found.times.p90}
    if found.appeals is not None:
        made = {"granted": found.appeals.granted, "denied": found.appeals.denied, "waiting": found.appeals.waiting}
        overturned = found.appeals.overturned
        answer["appeals"] = made | ({} if overturned is None else {"overturnedPercent": overturned})
    return answer


QUERIES = (Query("getModeration", Params({"community": NAME, "days": IntParam(1, 365, default=30)}), get_moderation),)
