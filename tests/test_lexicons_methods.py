"""The lexicons of our methods: good calls and answers, and bad ones."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.membership import OTHERS
from lexicons.catalog import OURS, documents
from lexicons.examples import METHODS
from xrpc.lexicon import Catalog, LexiconError

CATALOG = Catalog(documents())
MAIN = {document["id"].removeprefix(OURS): document["defs"].get("main", {}) for document in documents()}
DEFS: dict[str, Any] = next(document["defs"] for document in documents() if document["id"] == f"{OURS}defs")
QUERIES = [name for name in METHODS if MAIN[name]["type"] == "query"]
PROCEDURES = [name for name in METHODS if MAIN[name]["type"] == "procedure"]
DID = "did:plc:u67flkjuxwlzuwprxwie4kdl"
POST = METHODS["explain"][0]["post"]
CID_1 = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
POST_REF = {"$type": "com.atproto.repo.strongRef", "uri": POST, "cid": CID_1}
ACCOUNT = {"$type": f"{OURS}defs#account", "did": DID}


def check(name: str, part: str, value: Any) -> None:
    """`part`: asked (parameters or input) or answered."""
    if part == "answered":
        CATALOG.check_output(OURS + name, value)
    elif name in QUERIES:
        CATALOG.check_params(OURS + name, value)
    else:
        CATALOG.check_input(OURS + name, value)


def example(name: str, part: str) -> dict[str, Any]:
    return copy.deepcopy(METHODS[name][part == "answered"])


def put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    """Puts another value at `path`; `...` takes what is there away."""
    for key in path[:-1]:
        value = value[key]
    if new is ...:
        del value[path[-1]]
    else:
        value[path[-1]] = new


def said(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Everything in a value, with its path."""
    if path:
        yield path, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


ALL = [
    (name, part, path, value)
    for name, part in product(METHODS, ("asked", "answered"))
    for path, value in places(example(name, part))
    if path[-1] != "$type" and "value" not in path[:-1]  # of records nothing is declared
]


def test_the_methods_are_these() -> None:
    assert QUERIES == [
        "getCommunity", "listCommunities", "listMembers", "getMembership", "getViewer", "getDecisions", "explain",
        "getEvidence", "listRecords", "listOwnReports", "listOwnDecisions", "getModeration", "listCommands",
    ]  # fmt: skip
    assert PROCEDURES == ["join", "leave", "decide", "label", "resolveAppeal", "undo", "setRole"]


@pytest.mark.parametrize(("name", "part"), [*product(METHODS, ("asked", "answered"))])
def test_the_examples_are_good(name: str, part: str) -> None:
    check(name, part, example(name, part))
    check(name, part, example(name, part) | {"more": {"a": [1, None]}})


def test_the_examples_show_every_field() -> None:
    """So the tests that change something in them miss none."""
    seen = {path[-1] for _, _, path, _ in ALL}
    schemas = [schema for name, schema in DEFS.items() if name.endswith(("View", "Basic", "State", "Ref", "Term"))]
    schemas += [DEFS[name] for name in ("decisionSalts", "decisionCommitments", "recordFault", "commandFault", "rule")]
    for name in METHODS:
        schemas += [MAIN[name].get("parameters") or MAIN[name]["input"]["schema"], MAIN[name]["output"]["schema"]]
    declared = {field for schema in schemas for field in schema.get("properties", {})}
    assert declared - seen == {"expiresAt", "waiting", "fault"} - seen, "which the table of good calls has"


@pytest.mark.parametrize(("name", "part", "path", "value"), ALL, ids=lambda value: str(value)[:30])
def test_no_field_takes_a_value_of_another_type(name: str, part: str, path: tuple[str | int, ...], value: Any) -> None:
    for other in (None, 1.5, "", 7, [], {}, True, b"a", {"$link": CID_1}):
        if type(other) is type(value) or (isinstance(other, dict) and isinstance(value, dict) and not other):
            continue
        changed = example(name, part)
        put(changed, path, other)
        with pytest.raises(LexiconError) as refused:
            check(name, part, changed)
        assert str(refused.value).startswith(f"{OURS}{name}: {said(path)}: ")


# The least that can be said: nothing of it can be left out.
BASIC = {"slug": "birds", "name": "Birds", "description": "", "type": "open", "state": "active", "memberCount": 0,
         "postCount": 0, "createdAt": "2026-01-31T12:00:00Z"}  # fmt: skip
REF = {"slug": "birds", "name": "Birds"}
FEED = {"sort": "queue", "uri": f"at://{DID}/app.bsky.feed.generator/birds.queue"}
VIEW = BASIC | {"rules": [{"name": "a"}], "posting": "members", "joinBy": [], "children": [REF], "feeds": [FEED]}
MEMBER = {"did": DID, "status": "banned", "role": "member", "since": "2026-01-31T12:00:00Z"}
VIEWER = {"canDiscover": False, "canRead": False, "post": "refused", "decides": []}
DECISION = {"community": "birds", "seq": 1, "at": "2026-01-31T12:00:00.000000Z", "action": "ban", "salts": {},
            "commitments": {}, "prev": "0" * 64, "hash": "f" * 64}  # fmt: skip
EVENT = {"id": 1, "at": "2026-01-31T12:00:00.000000Z", "labeler": DID, "community": "birds", "actor": DID,
         "role": "owner", "subject": DID, "added": [], "removed": []}  # fmt: skip
UNDONE = {"id": 1, "type": "modEventTag", "at": "2026-01-31T12:00:00.000000Z", "actor": "cli", "subject": DID,
          "undone": False}  # fmt: skip
EXPLAINED = {"evidences": [], "revision": "1", "state": "refused", "why": "No selector matches.",
             "score": [{"name": "likes", "value": "0.5"}], "hiddenBy": []}  # fmt: skip
EVIDENCE = {"uri": POST, "cid": CID_1, "value": {"$type": "a.b.c"}, "keptAt": "2026-01-31T12:00:00Z"}
RECORD = {"uri": f"at://{DID}/{OURS}community/birds", "cid": CID_1, "collection": f"{OURS}community",
          "indexedAt": "2026-01-31T12:00:00Z", "inEffect": False, "fault": {"name": "a", "message": "b"}}  # fmt: skip
OWN_REPORT = {"id": 1, "createdAt": "2026-01-31T12:00:00Z", "lastAt": "2026-01-31T12:00:00Z", "reasonType": "a#b",
              "subject": DID, "places": [{"state": "received"}]}  # fmt: skip
OWN_DECISION = {"kind": "ban", "subject": DID, "withheld": False, "appeal": {"state": "none"}}
RESOLVED = {"id": 1, "subject": DID, "state": "denied", "at": "2026-01-31T12:00:00Z", "dueAt": "2026-01-31T12:00:00Z",
            "closedAt": "2026-01-31T12:00:00Z"}  # fmt: skip
NUMBERS = {"community": "birds", "since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00Z",
           "decisions": [{"action": "ban", "count": 0}]}  # fmt: skip
COMMAND = {"uri": POST, "cid": CID_1, "community": "birds", "text": "", "at": "2026-01-31T12:00:00Z",
           "state": "waiting"}  # fmt: skip
LEAST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "getCommunity": ({"community": "b"}, VIEW),
    "listCommunities": ({}, {"communities": [BASIC]}),
    "listMembers": ({"community": "birds"}, {"members": [MEMBER]}),
    "getMembership": ({"community": "birds"}, {}),
    "getViewer": ({"community": "birds"}, VIEWER),
    "getDecisions": ({"community": "birds"}, {"decisions": [DECISION]}),
    "explain": ({"community": "birds", "post": POST}, EXPLAINED),
    "getEvidence": (
        {"community": "birds", "subject": DID},
        {"versions": [EVIDENCE], "posts": 0, "reports": 0, "waiting": 0, "decisions": []},
    ),
    "listRecords": ({}, {"records": [{key: value for key, value in RECORD.items() if key != "fault"}]}),
    "listOwnReports": ({}, {"reports": [OWN_REPORT]}),
    "listOwnDecisions": ({}, {"decisions": [OWN_DECISION]}),
    "getModeration": ({"community": "birds"}, NUMBERS),
    "listCommands": ({}, {"commands": [COMMAND]}),
    "join": ({"community": "birds"}, {"viewer": VIEWER}),
    "leave": ({"community": "birds"}, {"viewer": VIEWER}),
    "decide": ({"community": "birds", "action": "pin", "subject": POST_REF}, {"decision": DECISION}),
    "label": ({"community": "birds", "subject": POST_REF}, {}),
    "resolveAppeal": ({"subject": DID, "action": "deny", "reason": "a"}, {"appeals": [RESOLVED]}),
    "undo": ({"community": "birds"}, {"events": [UNDONE]}),
    "setRole": ({"community": "birds", "subject": DID, "role": "member"}, {"decision": DECISION, "member": MEMBER}),
}


@pytest.mark.parametrize(("name", "part"), [*product(LEAST, ("asked", "answered"))])
def test_the_least_that_can_be_said(name: str, part: str) -> None:
    least = LEAST[name][part == "answered"]
    check(name, part, least)
    for path, _ in places(least):
        if isinstance(path[-1], int) or path[-1] == "$type":  # the table of bad calls has one without
            continue
        if (name, *path) == ("label", "event"):  # it is not there where all of it waits
            continue
        changed = copy.deepcopy(least)
        put(changed, path, ...)
        with pytest.raises(LexiconError) as refused:
            check(name, part, changed)
        assert said(path) in str(refused.value)


BAD = [
    ("undo", "asked", "event", 0, "must be at least 1"),
    ("undo", "asked", "event", 1 << 53, "must be at most 9007199254740991"),
    ("undo", "asked", "batch", "", "must have at least 1 bytes"),
    ("undo", "asked", "limit", 51, "must be at most 50"),
    ("getCommunity", "asked", "community", "", "must have at least 1 bytes"),
    ("getCommunity", "asked", "community", "a" * 2201, "must have at most 2200 bytes"),
    ("listCommunities", "asked", "q", "", "must have at least 1 bytes"),
    ("listCommunities", "asked", "q", "é" * 101, "must have at most 100 graphemes"),
    ("listCommunities", "asked", "sort", "hot", "must be one of recent, active, biggest, newest, relevance"),
    ("listCommunities", "asked", "limit", 0, "must be at least 1"),
    ("listCommunities", "asked", "limit", 101, "must be at most 100"),
    ("listMembers", "asked", "status", "none", "must be one of requested, invited, member, banned"),
    ("listMembers", "asked", "role", "owner", "must be one of member, moderator, admin"),
    ("listMembers", "asked", "limit", 101, "must be at most 100"),
    ("getMembership", "asked", "member", "alice.example.com", "must have the format did"),
    ("getDecisions", "asked", "limit", -1, "must be at least 1"),
    ("getDecisions", "asked", "subject", "a" * 8193, "must have at most 8192 bytes"),
    ("explain", "asked", "post", "https://bsky.app/profile/alice.example.com/post/3k", "must have the format at-uri"),
    ("listRecords", "asked", "collection", "app.bsky.feed.post", "must be one of social.communities.community, social"),
    ("listRecords", "asked", "limit", 0, "must be at least 1"),
    ("listRecords", "answered", "records", [RECORD | {"cid": "1"}], "must have the format cid"),
    ("listRecords", "answered", "records", [RECORD | {"uri": "birds"}], "must have the format at-uri"),
    ("listRecords", "answered", "records", [RECORD | {"fault": {"name": "a"}}], "is required"),
    ("listOwnReports", "asked", "limit", 101, "must be at most 100"),
    ("listOwnReports", "answered", "reports", [OWN_REPORT | {"cid": "1"}], "must have the format cid"),
    ("listOwnDecisions", "asked", "limit", 0, "must be at least 1"),
    ("listOwnDecisions", "answered", "decisions", [OWN_DECISION | {"actor": "a"}], "must have the format did"),
    ("listOwnDecisions", "answered", "decisions", [OWN_DECISION | {"appeal": {}}], "is required"),
    ("getModeration", "asked", "days", 366, "must be at most 365"),
    ("getModeration", "answered", "decisions", [{"action": "ban", "count": -1}], "must be at least 0"),
    ("resolveAppeal", "asked", "action", "ignore", "must be one of grant, deny"),
    ("resolveAppeal", "asked", "reason", "", "must have at least 1 bytes"),
    ("resolveAppeal", "asked", "labeler", "labels.example.com", "must have the format did"),
    ("listCommands", "asked", "limit", 101, "must be at most 100"),
    ("listCommands", "answered", "commands", [COMMAND | {"uri": "birds"}], "must have the format at-uri"),
    ("listCommands", "answered", "commands", [COMMAND | {"decision": 0}], "must be at least 1"),
    ("listCommands", "answered", "commands", [COMMAND | {"fault": {"name": "a"}}], "is required"),
    ("join", "asked", "volume", 0, "must be at least 1"),
    ("join", "asked", "volume", 6, "must be at most 5"),
    ("decide", "asked", "action", "setRole", "must be one of approve, remove, restore, pin, unpin, invite, accept,"),
    ("decide", "asked", "subject", {"uri": POST, "cid": CID_1}, "must be an object with a $type"),
    (
        "decide",
        "asked",
        "subject",
        {"$type": f"{OURS}defs#rule", "name": "a"},
        "must be one of com.atproto.repo.strong",
    ),
    ("decide", "asked", "subject", ACCOUNT | {"did": "alice.example.com"}, "must have the format did"),
    ("decide", "asked", "subject", POST_REF | {"cid": "1"}, "must have the format cid"),
    ("decide", "asked", "reason", "a" * 5001, "must have at most 5000 graphemes"),
    ("decide", "asked", "rule", "", "must have at least 1 bytes"),
    ("decide", "asked", "expiresAt", "tomorrow", "must have the format datetime"),
    ("setRole", "asked", "role", "owner", "must be one of member, moderator, admin"),
    ("setRole", "asked", "scope", ["settings"], "must be one of posts, members, pins"),
    ("setRole", "asked", "scope", ["posts"] * 4, "must have at most 3 entries"),
    ("setRole", "asked", "expiresAt", "2026-02-30T00:00:00Z", "must have the format datetime"),
    ("label", "asked", "subject", POST_REF | {"cid": "1"}, "must have the format cid"),
    ("label", "asked", "add", [""], "must have at least 1 bytes"),
    ("label", "asked", "add", ["a" * 101], "must have at most 100 bytes"),
    ("label", "asked", "remove", ["a"] * 21, "must have at most 20 entries"),
    ("label", "asked", "labeler", "alice.example.com", "must have the format did"),
    ("label", "answered", "event", EVENT | {"id": 0}, "must be at least 1"),
    ("getCommunity", "answered", "memberCount", -1, "must be at least 0"),
    ("getCommunity", "answered", "owner", "alice.example.com", "must have the format did"),
    ("getCommunity", "answered", "uri", "birds", "must have the format at-uri"),
    ("getCommunity", "answered", "feeds", [{"sort": "hot", "uri": "hot"}], "must have the format at-uri"),
    ("getViewer", "answered", "volume", 6, "must be at most 5"),
    ("getDecisions", "answered", "decisions", [DECISION | {"seq": 0}], "must be at least 1"),
    ("getDecisions", "answered", "decisions", [DECISION | {"hash": "f" * 63}], "must have at least 64 bytes"),
    ("getDecisions", "answered", "decisions", [DECISION | {"salts": {"cid": "0" * 64}}], "must have at most 32 bytes"),
    ("getDecisions", "answered", "decisions", [DECISION | {"commitments": {"until": ""}}], "must have at least 64"),
    ("explain", "answered", "score", [{"name": "likes", "value": 0.5}], "must be a string"),
]


@pytest.mark.parametrize(("name", "part", "field", "value", "message"), BAD, ids=lambda value: str(value)[:30])
def test_bad_calls_and_answers(name: str, part: str, field: str, value: Any, message: str) -> None:
    with pytest.raises(LexiconError) as refused:
        check(name, part, example(name, part) | {field: value})
    assert str(refused.value).startswith(f"{OURS}{name}: {field}")
    assert f": {message}" in str(refused.value)


GOOD = [
    ("getCommunity", "asked", {"community": f"at://{DID}/{OURS}community/birds"}),
    *(("decide", "asked", {"action": action, "subject": POST_REF}) for action in ("approve", "restore", "unpin")),
    *(("decide", "asked", {"action": str(action), "subject": ACCOUNT}) for action in sorted(OTHERS)),
    ("decide", "asked", {"action": "ban", "subject": ACCOUNT, "expiresAt": "2026-03-01T00:00:00Z"}),
    ("setRole", "asked", {"scope": [], "expiresAt": "2026-03-01T00:00:00+01:00"}),
    ("label", "asked", {"subject": ACCOUNT, "expiresAt": "2026-03-01T00:00:00Z"}),
    ("label", "answered", {"event": EVENT | {"cid": CID_1, "expiresAt": "2026-03-01T00:00:00Z", "role": "jury"}}),
    ("label", "answered", {"waiting": ["spam"]}),
    ("listCommands", "answered", {"commands": [COMMAND | {"fault": {"name": "a", "message": "b"}, "state": "asleep"}]}),
    ("getCommunity", "answered", {"type": "secret", "joinBy": ["post"], "state": "asleep"}),
    ("getDecisions", "answered", {"decisions": [DECISION | {"action": "edit", "role": "jury"}]}),
]


@pytest.mark.parametrize(("name", "part", "more"), GOOD, ids=lambda value: str(value)[:40])
def test_more_good_calls_and_answers(name: str, part: str, more: dict[str, Any]) -> None:
    check(name, part, example(name, part) | more)


KEYS = st.sampled_from(sorted({str(path[-1]) for _, _, path, _ in ALL} | {"$type", "$link"}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)
)


@given(VALUES, st.sampled_from([*product(METHODS, ("asked", "answered"))]))
def test_whatever_comes_is_judged(value: Any, where: tuple[str, str]) -> None:
    with suppress(LexiconError):
        check(*where, value)
        assert isinstance(value, dict)
