"""Our lexicons: good documents, described to the last field, the rules of `communities.toml`, shown in the docs."""

import copy
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import cbrrr
import pytest

from communities.access import Posting, Role, Scope, State, Type
from communities.community import Exclude, Include, Require
from communities.limits import ACCOUNT
from communities.post import MEDIA
from communities.reasons import APPEALS, LEGACY, REASONS
from communities.refs import POST
from firehose.records import read_record
from lexicons.catalog import OURS, documents, moderation_documents
from lexicons.examples import METHODS, RECORDS
from lexicons.page import page
from xrpc.lexicon import Catalog, LexiconError

ROOT = Path(__file__).parents[1]
LINK = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
DID = "did:plc:u67flkjuxwlzuwprxwie4kdl"
BIRDS = f"at://{DID}/{OURS}community/birds"
PNG = {"$type": "blob", "mimeType": "image/png", "size": 1_000_000, "ref": {"$link": LINK}}
OFFICIAL = (
    "com.atproto.repo.strongRef",
    "com.atproto.admin.defs",
    "com.atproto.moderation.defs",
    "com.atproto.moderation.createReport",
)
CONVERSATIONS = "chat.bsky.convo.defs"
CATALOG = Catalog(documents())
BY_ID = {document["id"]: document for document in documents()}
DEFS = BY_ID[f"{OURS}defs"]["defs"]
COMMUNITY: dict[str, Any] = BY_ID[f"{OURS}community"]["defs"]["main"]["record"]["properties"]
ROLE: dict[str, Any] = BY_ID[f"{OURS}role"]["defs"]["main"]["record"]["properties"]


def example(name: str) -> dict[str, Any]:
    return copy.deepcopy({"$type": OURS + name} | RECORDS[name])


FULL = example("community") | {
    "about": "Long.",
    "avatar": PNG,
    "banner": PNG | {"mimeType": "image/jpeg"},
    "parent": f"at://{DID}/{OURS}community/animals",
    "account": DID,
    "include": {
        "hashtags": ["birds", "Vögel"],
        "keywords": ["bird of the day"],
        "mentions": [DID],
        "members": [DID],
        "lists": [f"at://{DID}/app.bsky.graph.list/3klist2222222"],
        "joined": True,
    },
    "require": {"languages": ["en", "undeclared"], "media": list(MEDIA)},
    "exclude": {
        "hashtags": ["notbirds"],
        "replies": True,
        "languages": ["de"],
        "media": ["gif"],
        "domains": ["spam.example"],
        "dids": [DID],
        "hashtagsOver": 1000,
    },
    "ranking": {
        "halfLifeHours": 720,
        "weights": {"like": 0, "repost": 100, "reply": 1, "quote": 1},
        "authorCap": 0,
    },
    "queueFeed": True,
    "state": "active",
    "successor": f"at://did:web:birds.example/{OURS}community/birds",
    "predecessor": BIRDS,
}


def test_they_stand_where_their_names_say() -> None:
    assert CATALOG.missing == frozenset()
    paths = (ROOT / "lexicons").rglob("*.json")
    names = {".".join(path.relative_to(ROOT / "lexicons").with_suffix("").parts) for path in paths}
    moderation = {document["id"] for document in moderation_documents()}
    assert set(BY_ID) == {*OFFICIAL, *(OURS + name for name in (*RECORDS, *METHODS, "defs"))}
    assert names == {*BY_ID, *moderation}


def official(shared_data: Path, nsid: str) -> Any:
    path = (shared_data / "lexicons").joinpath(*nsid.split(".")).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8"))


def bare(value: Any) -> Any:
    """A part of a document without its descriptions."""
    return {k: bare(v) for k, v in value.items() if k != "description"} if isinstance(value, dict) else value


def test_those_of_the_moderation_api_are_the_official_ones(shared_data: Path) -> None:
    for document in moderation_documents():
        if document["id"] not in (*BY_ID, CONVERSATIONS):
            assert document == official(shared_data, document["id"])
    catalog = Catalog(moderation_documents(), partial=True)
    # Of these, nothing is answered where the lexicon names them.
    assert {target.partition("#")[0] for target in catalog.missing} == {
        "app.bsky.actor.defs",
        "app.bsky.ageassurance.defs",
    }


def test_what_both_refer_to_is_the_official_one_but_for_what_is_not_of_use_and_the_descriptions(
    shared_data: Path,
) -> None:
    for name in ("com.atproto.admin.defs", "com.atproto.moderation.defs", "com.atproto.repo.strongRef"):
        theirs, ours = official(shared_data, name)["defs"], BY_ID[name]["defs"]
        assert {key: bare(value) for key, value in ours.items()} == {key: bare(theirs[key]) for key in ours}


def test_a_conversation_as_a_subject_is_the_official_one() -> None:
    """https://github.com/bluesky-social/atproto/blob/main/lexicons/chat/bsky/convo/defs.json."""
    (ours,) = (document["defs"] for document in moderation_documents() if document["id"] == CONVERSATIONS)
    did, text = {"type": "string", "format": "did"}, {"type": "string"}
    assert {name: bare(definition) for name, definition in ours.items()} == {
        "messageRef": {
            "type": "object",
            "required": ["did", "messageId", "convoId"],
            "properties": {"did": did, "convoId": text, "messageId": text},
        },
        "convoRef": {"type": "object", "required": ["did", "convoId"], "properties": {"did": did, "convoId": text}},
    }


def described(schema: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Every definition, field, parameter and error with its description."""
    yield where, schema.get("description", "")
    yield from fields_of(schema.get("record", schema), where)
    for part in ("parameters", "input", "output"):
        yield from fields_of(schema.get(part, {}).get("schema", schema.get(part, {})), f"{where}.{part}")
    for error in schema.get("errors", []):
        yield f"{where}.{error['name']}", error.get("description", "")


def fields_of(schema: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for name, field in schema.get("properties", {}).items():
        assert field["type"] != "object" and field.get("items", {}).get("type") != "object", "has a name of its own"
        yield f"{where}.{name}", field.get("description", "")


def test_every_field_is_described() -> None:
    for document in documents():
        for name, definition in document["defs"].items():
            for where, description in described(definition, f"{document['id']}#{name}"):
                assert len(description) > 10 and description.endswith("."), where


def test_the_page_shows_the_documents() -> None:
    written = (ROOT / "docs" / "LEXICONS.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m lexicons.page > docs/LEXICONS.md"
    for document in documents():
        if document["id"].startswith(OURS):
            texts = [text for definition in document["defs"].values() for _, text in described(definition, "")]
            assert [text for text in texts if text not in written] == []


def test_the_reference_to_a_record_is_the_official_one(shared_data: Path) -> None:
    theirs, ours = official(shared_data, "com.atproto.repo.strongRef"), BY_ID["com.atproto.repo.strongRef"]
    assert bare(ours) == bare(theirs)


def test_name_and_description_fit_into_a_feed_record(shared_data: Path) -> None:
    path = shared_data / "lexicons" / "app" / "bsky" / "feed" / "generator.json"
    feed = json.loads(path.read_text(encoding="utf-8"))["defs"]["main"]["record"]["properties"]
    for ours, theirs in (("name", "displayName"), ("description", "description"), ("avatar", "avatar")):
        for limit in ("maxLength", "maxGraphemes", "maxSize", "accept"):
            assert COMMUNITY[ours].get(limit) == feed[theirs].get(limit)


@pytest.mark.parametrize("table", [Include, Require, Exclude])
def test_the_rules_are_those_of_the_file(table: type[Any]) -> None:
    names = [field.name.split("_") for field in fields(table)]
    camel = [first + "".join(map(str.title, rest)) for first, *rest in names]
    assert list(DEFS[table.__name__.lower()]["properties"]) == camel


def test_the_media_are_those_of_the_file() -> None:
    for table in ("require", "exclude"):
        assert DEFS[table]["properties"]["media"]["items"]["knownValues"] == list(MEDIA)


@pytest.mark.parametrize(
    ("field", "known"),
    [
        (COMMUNITY["type"], set(Type)),
        (COMMUNITY["posting"], set(Posting)),
        (COMMUNITY["state"], set(State)),
        (ROLE["role"], {role.name.lower() for role in Role} - {"member"}),
        (ROLE["scope"]["items"], set(Scope)),
        (ROLE["collections"]["items"], {ACCOUNT, POST}),
        (ROLE["reasons"]["items"], {one for one in REASONS | APPEALS if one.startswith(LEGACY)}),
    ],
)
def test_the_words_are_those_that_decide(field: dict[str, Any], known: set[str]) -> None:
    assert set(field["knownValues"]) == known


# Records


@pytest.mark.parametrize(
    ("name", "rkey"),
    [("community", "birds"), *((name, "3kznmn7xqxl22") for name in ("role", "membership", "submission"))],
)
def test_the_examples_are_good(name: str, rkey: str) -> None:
    CATALOG.check_record(OURS + name, example(name), rkey)
    required = BY_ID[OURS + name]["defs"]["main"]["record"]["required"]
    for key in required:
        record = example(name)
        del record[key]
        with pytest.raises(LexiconError, match=f"^{OURS}{name}: {key}: is required$"):
            CATALOG.check_record(OURS + name, record)
    CATALOG.check_record(OURS + name, {"$type": OURS + name} | {key: RECORDS[name][key] for key in required})


def test_a_community_with_everything() -> None:
    CATALOG.check_record(f"{OURS}community", FULL)
    assert FULL.keys() - {"$type"} == COMMUNITY.keys()
    block = cbrrr.encode_dag_cbor(FULL, atjson_mode=True)
    CATALOG.check_record(f"{OURS}community", read_record(block))


def put(record: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for key in above:
        record = record[key]
    record[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("include.hashtags", ["a", "b", "c", "é" * 65], "include.hashtags[3]: must have at most 64 graphemes"),
        ("include.hashtags", [""], "include.hashtags[0]: must have at least 1 bytes"),
        ("include.hashtags", "birds", "include.hashtags: must be an array"),
        ("include.keywords", ["a" * 301], "include.keywords[0]: must have at most 300 graphemes"),
        ("include.members", ["alice.example.com"], "include.members[0]: must have the format did"),
        ("include.mentions", [DID] * 100_001, "include.mentions: must have at most 100000 entries"),
        ("include.lists", [BIRDS] * 101, "include.lists: must have at most 100 entries"),
        ("include.joined", "yes", "include.joined: must be true or false"),
        ("include", [], "include: must be an object"),
        ("exclude.hashtagsOver", 1001, "exclude.hashtagsOver: must be at most 1000"),
        ("exclude.hashtagsOver", 8.0, "exclude.hashtagsOver: must be an integer of 64 bits"),
        ("exclude.replies", "yes", "exclude.replies: must be true or false"),
        ("exclude.domains", ["a" * 254], "exclude.domains[0]: must have at most 253 bytes"),
        ("name", "a" * 25, "name: must have at most 24 graphemes"),
        ("name", "", "name: must have at least 1 bytes"),
        ("name", None, "name: must not be null"),
        ("description", "a" * 10_000_000, "description: must have at most 3000 bytes"),
        ("about", "a" * 10_001, "about: must have at most 10000 graphemes"),
        ("rules", [{"name": "a"}] * 51, "rules: must have at most 50 entries"),
        ("rules", [{"name": "a", "text": "a" * 1001}], "rules[0].text: must have at most 1000 graphemes"),
        ("rules", [{"text": "a"}], "rules[0].name: is required"),
        ("avatar", PNG | {"size": 1_000_001}, "avatar.size: must be at most 1000000 bytes"),
        ("banner", PNG | {"mimeType": "image/gif"}, "banner.mimeType: must be one of image/png, image/jpeg"),
        ("parent", "https://example.com", "parent: must have the format at-uri"),
        ("account", "alice.example.com", "account: must have the format did"),
        ("type", 1, "type: must be a string"),
        ("joinBy", ["tag"] * 11, "joinBy: must have at most 10 entries"),
        ("ranking.halfLifeHours", 0, "ranking.halfLifeHours: must be at least 1"),
        ("ranking.halfLifeHours", 721, "ranking.halfLifeHours: must be at most 720"),
        ("ranking.weights.like", -1, "ranking.weights.like: must be at least 0"),
        ("ranking.weights.quote", 101, "ranking.weights.quote: must be at most 100"),
        ("ranking.authorCap", 101, "ranking.authorCap: must be at most 100"),
        ("log.showSubject", 1, "log.showSubject: must be true or false"),
        ("queueFeed", 1, "queueFeed: must be true or false"),
        ("successor", DID[4:], "successor: must have the format at-uri"),
        ("predecessor", ["a"], "predecessor: must be a string"),
        ("createdAt", "2026-13-01T00:00:00Z", "createdAt: must have the format datetime"),
        ("$type", "app.bsky.feed.post", f"$type: must be {OURS}community"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_community_that_is_none(path: str, value: Any, message: str) -> None:
    record = copy.deepcopy(FULL)
    put(record, path, value)
    with pytest.raises(LexiconError) as refused:
        CATALOG.check_record(f"{OURS}community", record, "birds")
    assert str(refused.value) == f"{OURS}community: {message}"


def test_values_to_come_are_no_fault() -> None:
    record = FULL | {"type": "secret", "posting": "paid", "state": "asleep", "joinBy": ["post"], "more": {"a": []}}
    CATALOG.check_record(f"{OURS}community", record)


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("role", "subject", "alice.example.com", "subject: must have the format did"),
        ("role", "scope", "posts", "scope: must be an array"),
        ("role", "expiresAt", "soon", "expiresAt: must have the format datetime"),
        ("membership", "volume", 0, "volume: must be at least 1"),
        ("membership", "volume", 6, "volume: must be at most 5"),
        ("membership", "volume", "3", "volume: must be an integer of 64 bits"),
        ("membership", "community", DID, "community: must have the format at-uri"),
        ("submission", "post", BIRDS, "post: must be an object"),
        ("submission", "post.cid", "abc", "post.cid: must have the format cid"),
    ],
)
def test_other_records_that_are_none(name: str, path: str, value: Any, message: str) -> None:
    record = example(name)
    put(record, path, value)
    with pytest.raises(LexiconError) as refused:
        CATALOG.check_record(OURS + name, record)
    assert str(refused.value) == f"{OURS}{name}: {message}"


@pytest.mark.parametrize("name", ["role", "submission"])
def test_keys(name: str) -> None:
    with pytest.raises(LexiconError, match=f"^{OURS}{name}: record key: must be a TID$"):
        CATALOG.check_record(OURS + name, example(name), "birds")
