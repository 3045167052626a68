"""The lexicon validator: the official vectors and documents, every rule by hand, and any value at all."""

import copy
import json
from pathlib import Path
from typing import Any

import cbrrr
import pytest
from cbrrr import StrictCID
from hypothesis import given, settings
from hypothesis import strategies as st

from firehose.records import read_record
from xrpc.lexicon import Catalog, LexiconError

NSID = "example.lexicon.record"
LINK = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
CID = StrictCID.decode(LINK)
FAMILY = "👩‍👩‍👦‍👦"


def official(folder: Path) -> list[Any]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]


def vectors(shared_data: Path, name: str) -> list[Any]:
    return json.loads((shared_data / "interop" / "lexicon" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def catalog(shared_data: Path) -> Catalog:
    """The documents of the official vectors and those that they refer to."""
    documents = official(shared_data / "interop" / "lexicon" / "catalog") + official(shared_data / "lexicons")
    return Catalog(documents, partial=True)


# The official vectors and documents


def test_official_documents_are_good(shared_data: Path) -> None:
    documents = official(shared_data / "lexicons")
    assert len(documents) > 200
    for document in documents:
        Catalog([document], partial=True)
    outside = {name.rpartition(".")[0] for name in Catalog(documents, partial=True).missing}
    assert outside == {"app.bsky.notification", "app.bsky.ageassurance", "chat.bsky.convo"}, (
        "the folder leaves these out"
    )
    with pytest.raises(LexiconError, match="which is not in the catalog"):
        Catalog(documents)


def test_official_lexicon_vectors(shared_data: Path) -> None:
    good, bad = vectors(shared_data, "lexicon-valid.json"), vectors(shared_data, "lexicon-invalid.json")
    assert len(good) >= 3 and len(bad) >= 7
    for vector in good:
        Catalog([vector["lexicon"]])
    for vector in bad:
        with pytest.raises(LexiconError):
            Catalog([vector["lexicon"]])


def test_official_record_vectors(shared_data: Path, catalog: Catalog) -> None:
    good, bad = vectors(shared_data, "record-data-valid.json"), vectors(shared_data, "record-data-invalid.json")
    assert len(good) >= 3 and len(bad) >= 50
    for vector in good:
        catalog.check_record(NSID, vector["data"], vector["rkey"])
    for vector in bad:
        with pytest.raises(LexiconError):
            catalog.check_record(NSID, vector["data"], vector["rkey"])
        if vector["name"] != "missing required field":  # some vectors break this rule too, and only one is said
            with pytest.raises(LexiconError) as refused:
                catalog.check_record(NSID, vector["data"] | {"integer": vector["data"].get("integer", 1)})
            assert "is required" not in str(refused.value)


# One rule at a time


def one(schema: dict[str, Any], **definitions: Any) -> Catalog:
    """A catalog of a record with the field `x`, and of what that may refer to."""
    record = {"type": "object", "properties": {"x": schema}}
    main = {"type": "record", "key": "tid", "record": record}
    return Catalog([{"lexicon": 1, "id": NSID, "defs": {"main": main, **definitions}}])


def said(catalog: Catalog, value: Any) -> str:
    """What is said of the field, or nothing."""
    try:
        catalog.check_record(NSID, {"$type": NSID, "x": value})
    except LexiconError as fault:
        return str(fault).removeprefix(f"{NSID}: ")
    return ""


POINT = {
    "type": "object",
    "required": ["a"],
    "nullable": ["b"],
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
}
BLOB = {"$type": "blob", "mimeType": "image/png", "size": 10, "ref": {"$link": LINK}}
SMALL = {"type": "bytes", "minLength": 2, "maxLength": 3}
PAIR = {"type": "array", "items": {"type": "integer"}, "minLength": 1, "maxLength": 2}
PICTURE = {"type": "blob", "accept": ["image/*", "text/plain"], "maxSize": 10}
CLOSED = {"type": "union", "refs": ["#point", f"{NSID}#main"], "closed": True}
A_POINT = {"$type": f"{NSID}#point", "a": 1}
WIDE = ": must be an integer of 64 bits"
OBJECT = ": must be an object"
NAMED = {
    f".$type: must be one of {NSID}#point, {NSID}": [{"$type": t, "a": 1} for t in ("a.b.c", "#point", f"{NSID}#main")]
}
RULES: list[tuple[dict[str, Any], list[Any], dict[str, list[Any]]]] = [
    ({"type": "boolean"}, [True, False], {": must be true or false": [1, "true"], ": must not be null": [None]}),
    ({"type": "boolean", "const": True}, [True], {": must be true": [False]}),
    ({"type": "integer"}, [0, -(2**63), 2**63 - 1], {WIDE: [True, 1.0, 2**63, -(2**63) - 1, "1", []]}),
    (
        {"type": "integer", "minimum": 0, "maximum": 9},
        [0, 9],
        {": must be at least 0": [-1], ": must be at most 9": [10]},
    ),
    ({"type": "integer", "enum": [1, 3]}, [3], {": must be one of 1, 3": [2]}),
    ({"type": "string"}, ["", "é"], {": must be a string": [b"a", 1, {}], ": must be valid Unicode": ["\ud800"]}),
    (
        {"type": "string", "minLength": 2, "maxLength": 4},
        ["éé", "abcd", "é"],
        {": must have at least 2 bytes": ["a"], ": must have at most 4 bytes": ["ééa", "abcde"]},
    ),
    (
        {"type": "string", "minGraphemes": 1, "maxGraphemes": 2},
        [FAMILY * 2, "\r\n\r\n"],
        {": must have at least 1 graphemes": [""], ": must have at most 2 graphemes": [FAMILY * 3, "abc"]},
    ),
    ({"type": "string", "maxGraphemes": 1}, ["", FAMILY], {": must have at most 1 graphemes": [FAMILY * 2, "ab"]}),
    ({"type": "string", "enum": ["a", "b"]}, ["a"], {": must be one of a, b": ["c", "ab", ""]}),
    ({"type": "string", "const": "a"}, ["a"], {": must be a": ["b"]}),
    ({"type": "string", "knownValues": ["a"]}, ["a", "whatever"], {": must be a string": [1]}),
    ({"type": "string", "format": "did"}, ["did:plc:abc"], {": must have the format did": ["alice.example.com"]}),
    (
        SMALL,
        [b"ab", b"abc", {"$bytes": "YWJj"}, {"$bytes": "YWI="}, {"$bytes": "YWI"}],
        {
            ": must have at least 2 bytes": [b"a", {"$bytes": ""}],
            ": must have at most 3 bytes": [{"$bytes": "YWJjZA"}],
            ": must be bytes": ["ab", {"$bytes": "YWJj", "b": 1}, *({"$bytes": b} for b in ("YW-_", "YWJjZ", [1]))],
        },
    ),
    (
        {"type": "cid-link"},
        [CID, {"$link": LINK}],
        {": must be a link (a CID)": [LINK, {}, CID.cid_bytes, {"$link": LINK, "b": 1}, {"$link": "."}, {"$link": 1}]},
    ),
    (
        PICTURE,
        [BLOB, BLOB | {"ref": CID}, BLOB | {"mimeType": "text/plain; charset=utf-8"}, BLOB | {"mimeType": "IMAGE/PNG"}],
        {
            ".size: must be at most 10 bytes": [BLOB | {"size": 11}],
            ".size: must be a whole number from 0": [BLOB | {"size": size} for size in (True, -1, "10", 2**63)],
            ".mimeType: must be one of image/*, text/plain": [
                BLOB | {"mimeType": m} for m in ("text/html", "images/x")
            ],
            ".mimeType: must be a media type": [BLOB | {"mimeType": None}, BLOB | {"mimeType": "/"}],
            ": must be a blob": [
                BLOB | {"ref": LINK},
                {"cid": LINK, "mimeType": "image/png"},
                BLOB | {"$type": []},
                [],
            ],
        },
    ),
    ({"type": "blob", "accept": ["*/*"]}, [BLOB | {"mimeType": "x/y"}], {": must be a blob": [1]}),
    (
        PAIR,
        [[1], [1, 2]],
        {
            ": must have at least 1 entries": [[]],
            ": must have at most 2 entries": [[1, 2, 3]],
            "[1]: must be an integer of 64 bits": [[1, "2"], [1, None]],
            ": must be an array": [{}, 1],
        },
    ),
    (
        {"type": "ref", "ref": "#point"},
        [{"a": 1}, {"a": 1, "b": None}, {"a": 1, "more": 1.5}],
        {
            ".a: is required": [{}],
            ".a: must not be null": [{"a": None}],
            ".b: must be an integer of 64 bits": [{"a": 1, "b": "1"}],
            OBJECT: [{"a": 1, "$link": LINK}, [], "a"],
        },
    ),
    (
        {"type": "array", "items": {"type": "ref", "ref": f"{NSID}#point"}},
        [[{"a": 1}]],
        {"[1].a: must be an integer of 64 bits": [[{"a": 1}, {"a": []}]]},
    ),
    ({"type": "ref", "ref": "#name"}, [f"{NSID}#name"], {f": must be {NSID}#name": ["name", "#name", []]}),
    (
        {"type": "ref", "ref": NSID},
        [{"$type": NSID}, {"$type": NSID, "x": {"$type": NSID}}],
        {f".$type: must be {NSID}": [{}, {"$type": []}, 1], f".x.$type: must be {NSID}": [{"$type": NSID, "x": {}}]},
    ),
    (
        {"type": "union", "refs": ["#point"]},
        [A_POINT, {"$type": "a.b.c", "a": []}],
        {
            ".a: is required": [{"$type": f"{NSID}#point"}],
            ": must be an object with a $type": [{"a": 1}, {"$type": []}, {"$type": ""}, 1, [], CID],
        },
    ),
    (CLOSED, [{"$type": NSID}, A_POINT], NAMED),
    (
        {"type": "unknown"},
        [{}, {"$type": "a.b.c", "a": [1.5, None]}],
        {OBJECT: [1, "a", [], CID, b"", BLOB, {"$bytes": "YWJj"}, {"$link": LINK}]},
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), RULES, ids=lambda value: json.dumps(value, default=str)[:40])
def test_one_rule(schema: dict[str, Any], good: list[Any], bad: dict[str, list[Any]]) -> None:
    catalog = one(schema, point=POINT, name={"type": "token"})
    assert [(value, said(catalog, value)) for value in good] == [(value, "") for value in good]
    expected = [(value, f"x{message}") for message, values in bad.items() for value in values]
    assert [(value, said(catalog, value)) for value, _ in expected] == expected


def test_the_record_says_what_it_is() -> None:
    catalog = one({"type": "integer"})
    catalog.check_record(NSID, {"$type": NSID, "more": {"$link": 7}}, "3kznmn7xqxl22")
    for record in ({}, {"$type": "other.lexicon.record"}, {"$type": [NSID]}):
        with pytest.raises(LexiconError, match=rf"^{NSID}: \$type: must be {NSID}$"):
            catalog.check_record(NSID, record)
    with pytest.raises(LexiconError, match="is no record of the catalog"):
        catalog.check_record("other.lexicon.record", {"$type": "other.lexicon.record"})
    with pytest.raises(LexiconError, match="is no record of the catalog"):
        catalog.check_record(f"{NSID}#point", {})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("tid", "3kznmn7xqxl22", "birds"),
        ("any", "birds", ".."),
        ("nsid", "com.example.thing", "birds"),
        ("literal:self", "self", "other"),
    ],
)
def test_record_keys(key: str, good: str, bad: str) -> None:
    record = {"type": "record", "key": key, "record": {"type": "object", "properties": {}}}
    catalog = Catalog([{"lexicon": 1, "id": NSID, "defs": {"main": record}}])
    catalog.check_record(NSID, {"$type": NSID}, good)
    with pytest.raises(LexiconError, match=f"^{NSID}: record key: must be "):
        catalog.check_record(NSID, {"$type": NSID}, bad)


def test_a_decoded_record_is_as_good_as_its_json() -> None:
    fields = {"bytes": {"type": "bytes"}, "link": {"type": "cid-link"}, "blob": {"type": "blob"}}
    catalog = one({"type": "object", "required": list(fields), "properties": fields})
    link = cbrrr.CID.decode(LINK)
    inner = {"bytes": b"abc", "link": link, "blob": BLOB | {"ref": link}}
    record = read_record(cbrrr.encode_dag_cbor({"$type": NSID, "x": inner}))
    assert type(record["x"]["link"]) is StrictCID and type(record["x"]["bytes"]) is bytes
    catalog.check_record(NSID, record)
    assert said(catalog, {"bytes": {"$bytes": "YWJj"}, "link": {"$link": LINK}, "blob": BLOB}) == ""


def test_values_are_left_as_they_are() -> None:
    catalog = one({"type": "object", "properties": {"a": {"type": "integer", "default": 3}}})
    record = {"$type": NSID, "x": {}, "more": 1}
    catalog.check_record(NSID, record)
    assert record == {"$type": NSID, "x": {}, "more": 1}


# Methods


def test_methods(catalog: Catalog) -> None:
    query, procedure = "example.lexicon.query", "example.lexicon.procedure"
    catalog.check_params(query, {"stringField": "a", "array": [1, 2], "unheardOf": "x"})
    catalog.check_params("com.atproto.server.describeServer", {"unheardOf": "x"})
    catalog.check_params("com.atproto.sync.subscribeRepos", {"cursor": 1})
    catalog.check_output(query, {"a": 1})
    catalog.check_output("com.atproto.sync.getRepo", b"any bytes")
    catalog.check_input(procedure, {"preferences": []})
    for check, nsid, value, message in (
        (catalog.check_params, query, {}, "stringField: is required"),
        (catalog.check_params, query, {"stringField": 1}, "stringField: must be a string"),
        (catalog.check_params, query, {"stringField": "a", "array": ["1"]}, r"array\[0\]: must be an .*"),
        (catalog.check_params, query, [], "must be an object"),
        (catalog.check_params, NSID, {}, "is no query or procedure or subscription of the catalog"),
        (catalog.check_output, query, {"a": "1"}, "a: must be an integer of 64 bits"),
        (catalog.check_input, procedure, {}, "preferences: is required"),
        (catalog.check_input, procedure, [], "must be an object"),
        (catalog.check_input, query, {}, "is no procedure of the catalog"),
        (catalog.check_input, "com.atproto.server.deleteSession", {}, "has no input"),
        (catalog.check_output, "app.bsky.graph.muteActor", {}, "has no output"),
    ):
        with pytest.raises(LexiconError, match=f"^{nsid}: {message}$"):
            check(nsid, value)


# Documents


def document(**definitions: Any) -> dict[str, Any]:
    return {"lexicon": 1, "id": NSID, "defs": definitions}


def thing(**properties: Any) -> dict[str, Any]:
    return document(thing={"type": "object", "properties": properties})


EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
NESTED = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
PERMISSION = {"type": "permission", "resource": "repo"}
X = "defs.thing.properties.x"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "id: must be an NSID"),
        ({**document(), "lexicon": True}, "lexicon: must be 1"),
        ({**document(), "more": 1}, "'more' is no field here"),
        ({"lexicon": 1, "id": NSID}, "defs: must be an object"),
        (document(**{"a b": {"type": "token"}}), "defs.a b: must be named with letters and digits"),
        (document(thing={"type": "query"}), "defs.thing.type: must be one of array, "),
        (document(thing={"type": []}), "defs.thing.type: must be one of array, "),
        (document(thing={"type": "object"}), "defs.thing.properties: is required"),
        (thing(x={"type": "token"}), f"{X}.type: must be one of array, "),
        (thing(x={"type": "string", "maxGrapheme": 3}), f"{X}: 'maxGrapheme' is no field here"),
        (thing(x={"type": "string", "maxLength": "3"}), f"{X}.maxLength: must be a whole number from 0"),
        (thing(x={"type": "string", "minLength": 3, "maxLength": 2}), f"{X}.minLength: must not exceed maxLength"),
        (thing(x={"type": "string", "format": "email"}), f"{X}.format: must be one of at-identifier, "),
        (thing(x={"type": "string", "enum": [1]}), f"{X}.enum: must be a list of texts"),
        (thing(x={"type": "integer", "default": True}), f"{X}.default: must be a whole number"),
        (thing(x={"type": "boolean", "default": 1}), f"{X}.default: must be true or false"),
        (thing(x={"type": "blob", "accept": ["png"]}), f"{X}.accept: must be a list of media types"),
        (thing(x={"type": "array"}), f"{X}.items: is required"),
        (thing(x={"type": "array", "items": {"type": "float"}}), f"{X}.items.type: must be one of array, "),
        (thing(x={"type": "ref", "ref": "a b"}), f"{X}: must refer to #name, an NSID or NSID#name"),
        (thing(x={"type": "ref", "ref": ""}), f"{X}: must refer to #name, an NSID or NSID#name"),
        (thing(x={"type": "ref", "ref": "#gone"}), f"{X}: refers to {NSID}#gone, which is not in the catalog"),
        (thing(x={"type": "union", "refs": [], "closed": True}), f"{X}.refs: must not be empty in a closed union"),
        (document(main={"type": "record", "record": EMPTY}), "defs.main.key: is required"),
        (
            document(main={"type": "record", "key": "uuid", "record": EMPTY}),
            "defs.main.key: must be any, nsid, tid or literal:<record key>",
        ),
        (
            document(thing={"type": "object", "properties": {}, "required": ["y"]}),
            "defs.thing.required: must name properties of the object",
        ),
        (
            document(main={"type": "query"}, thing={"type": "array", "items": {"type": "ref", "ref": NSID}}),
            f"defs.thing.items: cannot refer to {NSID}, which is a query",
        ),
        (
            document(name={"type": "token"}, thing={"type": "array", "items": {"type": "union", "refs": ["#name"]}}),
            f"defs.thing.items: cannot refer to {NSID}#name, which is a token",
        ),
        (document(main={"type": "query", "parameters": EMPTY}), "defs.main.parameters.type: must be one of params"),
        (
            document(main={"type": "query", "parameters": {"type": "params", "properties": {"x": {"type": "blob"}}}}),
            "defs.main.parameters.properties.x.type: must be one of array, boolean, ",
        ),
        (
            document(main={"type": "query", "parameters": {"type": "params", "properties": {"x": NESTED}}}),
            "defs.main.parameters.properties.x.items.type: must be one of boolean, ",
        ),
        (document(main={"type": "query", "output": {}}), "defs.main.output.encoding: must be a media type"),
        (
            document(main={"type": "query", "output": {"encoding": "a/b", "schema": {"type": "string"}}}),
            "defs.main.output.schema.type: must be one of object, ref, union",
        ),
        (document(main={"type": "query", "errors": [{"name": "a b"}]}), "defs.main.errors[0].name: must be a word"),
        (
            document(main={"type": "permission-set", "permissions": [{"type": "permission"}]}),
            "defs.main.permissions[0]: must be of type permission and name a resource",
        ),
        (
            document(main={"type": "permission-set", "permissions": [PERMISSION | {"action": [{}]}]}),
            "defs.main.permissions[0].action: must be a text, a switch or a list of texts",
        ),
    ],
)
def test_bad_documents(bad: Any, message: str) -> None:
    with pytest.raises(LexiconError) as refused:
        Catalog([bad])
    assert str(refused.value).partition(": ")[2].startswith(message), str(refused.value)


def test_a_document_stands_in_a_catalog_once() -> None:
    with pytest.raises(LexiconError, match="is there twice"):
        Catalog([document(), document()])


def test_what_is_not_in_the_catalog_is_not_believed() -> None:
    catalog = Catalog(
        [document(main={"type": "query", "output": {"encoding": "a/b", "schema": {"type": "ref", "ref": "a.b.c"}}})],
        partial=True,
    )
    assert catalog.missing == {"a.b.c"}
    with pytest.raises(LexiconError, match=r"cannot be checked: a\.b\.c is not in the catalog"):
        catalog.check_output(NSID, {})
    with pytest.raises(LexiconError, match="which is not in the catalog"):
        Catalog([thing(x={"type": "ref", "ref": "#gone"})], partial=True)


# Any value at all


def test_depth_is_bounded() -> None:
    catalog = one({"type": "ref", "ref": "#nest"}, nest={"type": "array", "items": {"type": "ref", "ref": "#nest"}})
    value: Any = []
    for _ in range(50):
        value = [value]
    assert said(catalog, value) == ""
    for _ in range(50_000):
        value = [value]
    assert said(catalog, value).endswith("must be nested at most 64 deep")
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(50_000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(LexiconError, match="must be nested at most 32 deep"):
        Catalog([thing(x=deep)])


WORDS = [
    "type",
    "ref",
    "refs",
    "string",
    "object",
    "$type",
    "$link",
    "$bytes",
    "blob",
    "x",
    NSID,
    f"{NSID}#point",
    "#main",
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=4)
    | st.just(CID)
    | st.sampled_from([*WORDS, "\ud800", LINK]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
EVERY = [*(schema for schema, _, _ in RULES), POINT]
RICH = one(
    {"type": "object", "required": ["f0"], "properties": {f"f{n}": schema for n, schema in enumerate(EVERY)}},
    point=POINT,
    name={"type": "token"},
)


@given(ANYTHING, st.dictionaries(st.sampled_from([f"f{n}" for n in range(len(EVERY))]), ANYTHING))
def test_any_value_is_judged_and_nothing_else(record: Any, fields: dict[str, Any]) -> None:
    for value in (record, {"$type": NSID, "x": record}, {"$type": NSID, "x": {"f0": True, **fields}}):
        try:
            RICH.check_record(NSID, value)
        except LexiconError as fault:
            assert str(fault).startswith(f"{NSID}: ")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a value."""
    keys = value if type(value) is dict else range(len(value)) if type(value) is list else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@settings(max_examples=300)
@given(st.data())
def test_any_document_is_judged_and_nothing_else(data: st.DataObject) -> None:
    """A good document with anything in one place: it is refused, or it is a catalog that judges."""
    bad = copy.deepcopy(
        document(
            main={"type": "record", "key": "tid", "record": POINT},
            thing={"type": "object", "properties": {f"f{n}": schema for n, schema in enumerate(EVERY)}},
            point=POINT,
            name={"type": "token"},
        )
    )
    container, key = data.draw(st.sampled_from(places(bad)))
    container[key] = data.draw(ANYTHING)
    try:
        catalog = Catalog([bad], partial=data.draw(st.booleans()))
        catalog.check_record(NSID, {"$type": NSID, "a": 1})
    except LexiconError as fault:
        assert str(fault)
