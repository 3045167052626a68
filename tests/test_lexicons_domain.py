"""The lexicons of our methods say what the domain says: its words, the names of its refusals, and how its log is
verified.
"""

import hashlib
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from cbrrr import encode_dag_cbor

from communities.access import Action, Admission, Posting, Role, Scope, Site, Standing, State, Status, Type
from communities.membership import OTHERS, Membership, Own, RefusedError, set_role, step
from communities.ranking import SORTS
from lexicons.catalog import OURS, documents
from lexicons.examples import METHODS

MAIN = {document["id"].removeprefix(OURS): document["defs"].get("main", {}) for document in documents()}
DEFS: dict[str, Any] = next(document["defs"] for document in documents() if document["id"] == f"{OURS}defs")
QUERIES = [name for name in METHODS if MAIN[name]["type"] == "query"]
FIELDS = ("actor", "role", "subject", "cid", "reason", "until")
"""Of a decision what can be hidden, in the order in which its hash takes them in."""


def known(definition: str, field: str) -> set[str]:
    schema = DEFS[definition]["properties"][field]
    return set(schema.get("items", schema)["knownValues"])


def asks(name: str, field: str) -> set[str]:
    schema = (MAIN[name].get("parameters") or MAIN[name]["input"]["schema"])["properties"][field]
    return set(schema.get("items", schema)["enum"])


def test_the_words_are_those_of_the_domain() -> None:
    roles, not_logged = {role.name.lower() for role in Role}, {Action.EDIT, Action.DELETE, Action.CREATE_CHILD}
    assert asks("decide", "action") == set(Action) - not_logged - {Action.SET_ROLE}
    assert known("decisionView", "action") == set(Action) - not_logged
    assert known("viewerState", "decides") == set(Action)
    assert known("viewerState", "post") == set(Admission)
    assert known("viewerState", "joinsAs") == {Status.MEMBER, Status.REQUESTED}
    assert known("memberView", "status") == asks("listMembers", "status") == set(Status)
    assert known("memberView", "role") == asks("listMembers", "role") == asks("setRole", "role") == roles
    assert known("memberView", "scope") == asks("setRole", "scope") == set(Scope)
    assert known("communityView", "type") == known("communityViewBasic", "type") == set(Type)
    assert known("communityView", "state") == known("communityViewBasic", "state") == set(State)
    assert known("communityView", "posting") == set(Posting)
    assert known("feedRef", "sort") == {*SORTS, "queue"}


HELD = [None, *(Membership(status) for status in Status), *(Membership(Status.MEMBER, role) for role in Role)]
ACTORS = [Standing(), *(Standing(Status.MEMBER, role) for role in Role), Standing(site=Site.ADMIN)]


def refusals(*deeds: Own | Action) -> set[str]:
    """The names of all refusals of such steps. Joining is what the method makes of it: the invited accept."""
    found = set()
    for deed, held, actor, kind, state in product(deeds, HELD, ACTORS, Type, State):
        if deed is Own.JOIN and held is not None and held.status in (Status.MEMBER, Status.INVITED):
            continue
        subject = Standing(held.status, held.role) if held else Standing()
        try:
            step(deed, held, kind=kind, state=state, subject=subject, actor=actor, admins=1)
        except RefusedError as refusal:
            found.add(refusal.name)
    return found


def role_refusals() -> set[str]:
    found = set()
    for held, role, actor, own in product(HELD, Role, ACTORS, (False, True)):
        try:
            set_role(held, role, own=own, actor=actor)
        except RefusedError as refusal:
            found.add(refusal.name)
    return found


ABOUT_POSTS = {"NotInCommunity", "VersionChanged", "NoChange", "AuthorOptedOut", "AuthorBanned", "TooManyPins"}
"""What test_civic_decisions.py has decisions about posts refused by."""


def errors(name: str) -> set[str]:
    names = [error["name"] for error in MAIN[name]["errors"]]
    assert len(names) == len(set(names))
    return set(names)


def test_the_errors_of_procedures_are_those_of_the_steps() -> None:
    assert errors("join") == refusals(Own.JOIN) | {"CommunityNotFound"}
    assert errors("leave") == refusals(Own.LEAVE) | {"CommunityNotFound"}
    assert errors("decide") == refusals(*OTHERS) | ABOUT_POSTS | {"CommunityNotFound"}
    assert errors("setRole") == role_refusals() | {"CommunityNotFound"}


def test_the_errors_of_queries() -> None:
    paged = {name for name in QUERIES if "cursor" in MAIN[name]["parameters"]["properties"]}
    assert paged == {
        "listCommunities",
        "listMembers",
        "getDecisions",
        "listRecords",
        "listOwnReports",
        "listOwnDecisions",
        "listCommands",
    }
    own = {"listRecords", "listCommands", "listOwnReports", "listOwnDecisions"}
    for_readers = {"listMembers", "getMembership", "getDecisions", "explain", "getEvidence", "getModeration"}
    for name in QUERIES:
        expected = {"CommunityNotFound"} if name not in own else set()
        expected |= {"InvalidCursor"} if name in paged else set()
        expected |= {"NotPermitted"} if name in for_readers else set()
        assert errors(name) == expected


# The log, by what the description of a decision says


def digest(tag: str, *parts: Any) -> bytes:
    return hashlib.sha256(encode_dag_cbor([f"social.communities.log#{tag}", *parts])).digest()


@pytest.mark.parametrize(
    ("name", "path"), [("decide", ("decision",)), ("getDecisions", ("decisions", 0)), ("setRole", ("decision",))]
)
def test_decisions_can_be_verified_by_what_is_shown(name: str, path: tuple[str | int, ...]) -> None:
    view: Any = METHODS[name][1]
    for key in path:
        view = view[key]
    assert view["salts"].keys() | view["commitments"].keys() == set(FIELDS)
    sealed = {field: bytes.fromhex(text) for field, text in view["commitments"].items()}
    for field, salt in view["salts"].items():
        sealed[field] = digest("field", field, bytes.fromhex(salt), view.get(field))
    at = int(datetime.fromisoformat(view["at"]).timestamp()) * 1_000_000
    parts = (view["seq"], at, view["action"], view.get("rule"), bytes.fromhex(view["prev"]))
    assert digest("event", *parts, *(sealed[field] for field in FIELDS)).hex() == view["hash"]
