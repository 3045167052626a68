"""What is decided about posts: approve, remove, restore, pin, unpin (communities/post_decisions.py)."""

from collections.abc import Mapping
from typing import Any

from civic.entry import given_back, reason_and_rule
from civic.visit import Answer, Visit
from communities.access import Action
from communities.decision_view import view
from communities.directory import Settings
from communities.post_decisions import ABOUT_POSTS, PostDecision, decide_post
from communities.refs import read_cid, read_post_uri
from xrpc.errors import InvalidRequest

ACTIONS = ABOUT_POSTS


def decide(visit: Visit, settings: Settings, action: Action, body: Mapping[str, Any]) -> Answer:
    """One of ACTIONS. Raises InvalidRequest, and RefusedError as `decide_post` does."""
    if "expiresAt" in body:
        raise InvalidRequest("only a ban has an expiresAt")
    post, cid = read_post_uri(body["subject"]["uri"]), read_cid(body["subject"]["cid"])
    if post is None:
        raise InvalidRequest("subject.uri must be the at-uri of a post, with its author's DID")
    if cid is None:
        raise InvalidRequest("subject.cid must be the CID of a record")
    reason, rule = reason_and_rule(visit, settings, body)
    wanted = PostDecision(action, post, cid, reason, rule)
    caller = visit.signed()
    deed = given_back(visit, settings, action, post.uri)
    done = decide_post(visit.connection, visit.town.places, settings, caller, wanted, visit.now, visit.site, deed)
    return {"decision": view(settings.slug, done.entry)}
