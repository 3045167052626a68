"""social.communities.decide: a decision about an account or a post, each kind of subject by its own module."""

from collections.abc import Callable, Mapping
from typing import Any

from civic import accounts, posts
from civic.visit import NSID, Answer, Procedure, Visit
from communities.access import Action
from communities.directory import Settings
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
    return decided(visit, settings, action, body)


PROCEDURES = (Procedure("decide", decide),)
