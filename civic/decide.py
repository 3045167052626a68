"""social.communities.decide: a decision about an account or a post, each kind of subject by its own module. Its author
is told rule and reason of it (`social.communities.listOwnDecisions`), unless whoever decides has them withheld.
"""

from collections.abc import Callable, Mapping
from typing import Any

from civic import accounts, posts
from civic.visit import NSID, Answer, Procedure, Visit
from communities.access import Action
from communities.acting import acting_as
from communities.casebook import append
from communities.deeds import subject_key
from communities.directory import Settings
from communities.mod_event import Kind, ModEvent
from communities.own_decisions import WITHHELD
from xrpc.errors import InvalidRequest

Decide = Callable[[Visit, Settings, Action, Mapping[str, Any]], Answer]
SUBJECTS: Mapping[str, tuple[frozenset[Action], Decide]] = {
    f"{NSID}defs#account": (accounts.ACTIONS, accounts.decide),
    "com.atproto.repo.strongRef": (posts.ACTIONS, posts.decide),
}
"""By the `$type` of the subject: what can be decided about it, and who does it."""


def decide(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A decision as the caller asks for it. Raises InvalidRequest, Refused, RefusedError."""
    settings = visit.find(body["community"])
    action = Action(body["action"])
    kind = body["subject"]["$type"]
    actions, decided = SUBJECTS.get(kind, (frozenset(), None))
    if decided is None or action not in actions:
        raise InvalidRequest(f"{action} is not decided about a {kind}")
    withhold = body.get("withhold", False)
    if withhold and action not in WITHHELD_OF:
        raise InvalidRequest("only of a removal or a ban the rule and the reason can be withheld")
    answer = decided(visit, settings, action, body)
    if withhold:
        _withhold(visit, settings, action, body["subject"])
    return answer


def _withhold(visit: Visit, settings: Settings, action: Action, subject: Mapping[str, Any]) -> None:
    """Tag the subject, as the moderation API could."""
    role = acting_as(action, settings, visit.signed(), visit.standing(settings))
    event = ModEvent(Kind.TAG, visit.now, visit.signed(), str(role), said={"add": [WITHHELD], "remove": []})
    append(visit.connection, settings.id, subject_key(subject.get("uri") or subject["did"]), event)


WITHHELD_OF = frozenset((Action.REMOVE, Action.BAN))
"""The actions of which an author is told rule and reason."""
PROCEDURES = (Procedure("decide", decide),)
