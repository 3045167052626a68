"""S61: whatever is sent to the methods of communities, the answer is JSON and no fault of ours."""

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from civic import labels, undoing
from civic.methods import PROCEDURES as CORE
from civic.methods import QUERIES
from lexicons.catalog import documents
from tests.civic_site import NSID, OWNER, Town, town
from tests.didnet import plc
from tests.label_scene import LABELS

SEEDS = range(20)
STRINGS = (
    "", "birds", "secret", "Birds", "\0", "é" * 40, "x" * 9000, "at://", f"at://{OWNER}/{NSID}community/birds", plc(1),
    OWNER, "did:web:x", "did:key:z", "0", "-1", "1e400", "true", "null", "{}", "[]", "' OR 1=1 --", "%", "_", "../..",
    "member", "banned", "admin", "ban", "expel", "approve", "2999-01-01T00:00:00Z", "1969-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "10000-01-01T00:00:00Z", "relevance", "newest", "\U0001f426", "\u202e", f"at://{plc(1)}/app.bsky.feed.post/3kznmn7xqxl22",
    "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq", "com.atproto.repo.strongRef", f"{NSID}defs#account",
)  # fmt: skip
PROCEDURES = (*CORE, *labels.procedures(tuple), *undoing.procedures(tuple))
MAIN = {document["id"].removeprefix(NSID): document["defs"].get("main", {}) for document in documents()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "labels.toml").write_text(LABELS)
    with town(folder, labels=str(folder / "labels.toml")) as found:
        found.found("birds")
        found.found("secret", kind="hidden")
        yield found


def value(choose: random.Random, depth: int = 3) -> Any:
    """Anything that JSON can say; most of it is a text that means something somewhere."""
    kind = choose.randrange(12)
    if kind < 7 or not depth:
        return choose.choice(STRINGS)
    if kind == 7:
        return choose.choice((0, -1, 3, 1 << 62, 1 << 70, 1.5, True, False, None))
    if kind == 8:
        return [value(choose, depth - 1) for _ in range(choose.randrange(4))]
    if kind == 9:
        return {choose.choice(("$type", "did", "uri", "cid", "x")): value(choose, depth - 1) for _ in range(3)}
    return {"$type": f"{NSID}defs#account", "did": choose.choice(STRINGS)}


def body(choose: random.Random, fields: list[str]) -> dict[str, Any]:
    """Something like a good body: each field mostly there, mostly with a good community."""
    made = {field: value(choose) for field in fields if choose.random() < 0.8}
    if choose.random() < 0.8:
        made["community"] = "birds"
    if "action" in made and choose.random() < 0.8:
        made["action"] = choose.choice(MAIN["decide"]["input"]["schema"]["properties"]["action"]["enum"])
    if "role" in made and choose.random() < 0.8:
        made["role"] = choose.choice(("member", "moderator", "admin"))
    return made


@pytest.mark.parametrize("seed", SEEDS)
def test_s61_no_call_is_a_fault_of_ours(place: Town, seed: int) -> None:
    choose = random.Random(seed)
    people = [place.admin("birds"), place.member("birds"), place.person()]
    statuses = set()
    for _ in range(15):
        for procedure in PROCEDURES:
            fields = [*MAIN[procedure.name]["input"]["schema"]["properties"]]
            who = choose.choice(people)
            sent = json.dumps(body(choose, fields)).encode()
            reply = place.act(procedure.name, who, sent)
            assert reply.status < 500, (procedure.name, sent, reply.body)
            assert isinstance(reply.json, dict)
            statuses.add(reply.status)
        for query in QUERIES:
            names = [*MAIN[query.name]["parameters"]["properties"]]
            asked = [(name, choose.choice(STRINGS)) for name in names if choose.random() < 0.6]
            if choose.random() < 0.7:
                asked = [pair for pair in asked if pair[0] != "community"] + [("community", "birds")]
            text = "&".join(f"{name}={quote(given, safe='')}" for name, given in asked)
            authorization = (
                [f"Bearer {place.token(choose.choice(people), query.name)}"] if choose.random() < 0.5 else []
            )
            reply = place.site.ask(text, *authorization, method=NSID + query.name)
            assert reply.status < 500 or reply.status == 501, (query.name, text, reply.body)
            assert isinstance(reply.json, dict)
            statuses.add(reply.status)
    assert {200, 400} <= statuses


def test_there_is_a_method_for_each_lexicon_and_none_besides() -> None:
    kinds = {name: main["type"] for name, main in MAIN.items() if main.get("type") in ("query", "procedure")}
    served = {query.name: "query" for query in QUERIES} | {one.name: "procedure" for one in PROCEDURES}
    assert served == kinds


def test_the_parameters_are_those_of_the_lexicons() -> None:
    for query in QUERIES:
        schema = MAIN[query.name]["parameters"]
        spec = query.params._spec
        assert {*spec} == {*schema["properties"]}, query.name
        for name, field in schema["properties"].items():
            assert spec[name].required == (name in schema.get("required", ())), (query.name, name)
            assert spec[name].default == field.get("default"), (query.name, name)
