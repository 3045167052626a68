"""tools.ozone.set.*: a team's sets of texts are what a set is, for those who moderate in it."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.database import writing
from ozone.roles import Role
from ozone.sets import MOST_BYTES, MOST_SETS, MOST_VALUES
from tests.label_scene import OTHER
from tests.ozone_sets import ADD, DELETE, MISSING, QUERY, TAKE, UPSERT, VALUES, fill, names, put, values
from tests.ozone_site import Desk, callers, desk, unlimited


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with the set `words`, which nothing changes; the writes of its admin are not bounded."""
    with unlimited(tmp_path_factory.mktemp("sets")) as found:
        put(found, found.staff(), "words", "a", "b")
        yield found


def test_a_set_comes_is_filled_emptied_and_goes(place: Desk) -> None:
    admin, other = place.staff(), place.member(Role.MODERATOR)
    made = put(place, admin, "bad.domains", description="Where spam leads.")
    assert made == {
        "name": "bad.domains", "description": "Where spam leads.", "setSize": 0,
        "createdAt": made["createdAt"], "updatedAt": made["createdAt"],
    }  # fmt: skip
    assert place.ask(QUERY, other).json == {"sets": [made]}
    place.place.clock.now += 5
    assert place.act(ADD, other, {"name": "bad.domains", "values": ["b.example", "a.example", "b.example"]}).body == b""
    shown = place.ask(VALUES, admin, name="bad.domains").json
    assert shown["values"] == ["b.example", "a.example"], "each once, in the order in which they came"
    assert (shown["set"]["setSize"], shown["set"]["createdAt"]) == (2, made["createdAt"])
    assert shown["set"]["updatedAt"] > made["updatedAt"]
    place.place.clock.now += 5
    same = {"name": "bad.domains", "values": ["a.example"]}
    assert place.act(ADD, admin, same).status == 200
    assert place.act(TAKE, admin, {"name": "bad.domains", "values": ["c.example"]}).status == 200
    assert place.ask(VALUES, admin, name="bad.domains").json == shown, "what changes nothing is no change"
    changed = put(place, other, "bad.domains")
    assert (changed["setSize"], changed["createdAt"]) == (2, made["createdAt"]) and "description" not in changed
    assert changed["updatedAt"] > shown["set"]["updatedAt"]
    place.place.clock.now += 5
    assert place.act(TAKE, other, {"name": "bad.domains", "values": ["a.example", "x", "a.example"]}).body == b""
    after = place.ask(VALUES, admin, name="bad.domains").json
    assert after["values"] == ["b.example"] and after["set"]["updatedAt"] > changed["updatedAt"]
    made_by, changed_by = place.place.writer.sql("SELECT made_by, changed_by FROM value_set")[0]
    assert (made_by, changed_by) == (admin.did, other.did)
    assert place.act(DELETE, other, {"name": "bad.domains"}).json == {}
    assert place.ask(QUERY, admin).json == {"sets": []}
    assert place.rows("set_value") == []


def test_a_set_that_is_not_there(place: Desk) -> None:
    admin = place.staff()
    put(place, admin, "words")
    for name in ("nowhere", "Words", "word", "words ", ""):
        for method, more in ((ADD, {"values": ["a"]}), (TAKE, {"values": ["a"]}), (DELETE, {})):
            assert place.act(method, admin, {"name": name, **more}).fault == MISSING
        assert place.ask(VALUES, admin, name=name).fault == MISSING
    assert place.act(DELETE, admin, {"name": "words"}).status == 200
    assert place.act(DELETE, admin, {"name": "words"}).fault == MISSING


def test_who_sees_and_changes_sets(place: Desk) -> None:
    """S135: moderators of the team do; who is one by a community alone sees none, whatever else they are."""
    admin = place.member(Role.ADMIN)
    put(place, admin, "words", "a")
    calls: list[tuple[str, dict[str, Any]]] = [
        (UPSERT, {"name": "words", "description": "New."}),
        (UPSERT, {"name": "other"}),
        (ADD, {"name": "words", "values": ["b"]}),
        (TAKE, {"name": "words", "values": ["a"]}),
        (DELETE, {"name": "words"}),
    ]
    for who, kind in callers(place):
        before = [place.rows(table) for table in ("value_set", "set_value")]
        if kind == "team":
            assert who and names(place, who) == ["words"] and values(place, who, "words") == ["a"]
            for method, body in calls:
                assert place.act(method, who, body).status == 200, (who.did, method)
            assert names(place, who) == ["other"]
            assert place.act(DELETE, admin, {"name": "other"}).status == 200
            put(place, admin, "words", "a")
            continue
        fault = (401, "AuthenticationRequired" if kind == "community" else kind)
        assert {place.act(method, who, body).fault for method, body in calls} == {fault}
        if kind == "community":
            assert who and place.ask(QUERY, who).json == {"sets": []}
            assert {place.ask(VALUES, who, name=name).fault for name in ("words", "nowhere")} == {MISSING}
        else:
            assert {place.ask(QUERY, who).fault, place.ask(VALUES, who, name="words").fault} == {fault}
        assert [place.rows(table) for table in ("value_set", "set_value")] == before


def test_labelers_have_sets_of_their_own(place: Desk) -> None:
    """S135."""
    admin = place.staff()
    put(place, admin, "words", "here")
    assert place.ask(VALUES, admin, name="words", aud=OTHER).fault == MISSING
    put(place, admin, "words", "there", aud=OTHER)
    assert (values(place, admin, "words"), values(place, admin, "words", OTHER)) == (["here"], ["there"])
    assert place.act(TAKE, admin, {"name": "words", "values": ["here"]}, aud=OTHER).status == 200
    assert place.act(DELETE, admin, {"name": "words"}, aud=OTHER).status == 200
    assert (names(place, admin), names(place, admin, aud=OTHER)) == (["words"], [])
    assert values(place, admin, "words") == ["here"]


TEXTS = st.sampled_from(["a", "A", "é", "e\u0301", "%", "_", " ", "\0", "a\0", "\U0010ffff"]) | st.text(
    min_size=1, max_size=4
)
STEPS = st.tuples(st.sampled_from((ADD, ADD, ADD, TAKE, TAKE, UPSERT, DELETE)), st.lists(TEXTS, min_size=1, max_size=6))


def step(model: dict[str, None] | None, method: str, given_values: list[str]) -> dict[str, None] | None:
    """What a set, its values in the order in which they came, is after a call; None: there is none."""
    if method == DELETE or (model is None and method != UPSERT):
        return None
    after = dict(model or {})
    for value in given_values:
        if method == ADD:
            after.setdefault(value)
        elif method == TAKE:
            after.pop(value, None)
    return after


@settings(max_examples=25)
@given(st.lists(STEPS, min_size=2, max_size=6), st.integers(2, 9))
def test_a_set_is_what_a_set_of_python_is(shared: Desk, steps: list[tuple[str, list[str]]], limit: int) -> None:
    who = shared.member(Role.MODERATOR)
    shared.act(DELETE, shared.staff(), {"name": "model"})  # of the example before
    put(shared, who, "model")
    model: dict[str, None] | None = {}
    for method, given_values in steps:
        changed_at = None if model is None else shared.ask(VALUES, who, name="model", limit=1).json["set"]["updatedAt"]
        shared.place.clock.now += 1
        body = {"name": "model"} | ({"values": given_values} if method in (ADD, TAKE) else {})
        reply = shared.act(method, who, body)
        if model is None and method != UPSERT:
            assert reply.fault == MISSING
            continue
        assert reply.status == 200, reply.body
        before, model = model, step(model, method, given_values)
        if model is None:
            assert shared.ask(VALUES, who, name="model").fault == MISSING
            continue
        assert [value for page in shared.every(VALUES, who, limit, name="model") for value in page] == [*model]
        (view,) = shared.ask(QUERY, who, namePrefix="model").json["sets"]
        assert view["setSize"] == len(model)
        assert (view["updatedAt"] == changed_at) == (method != UPSERT and before == model)


NAMED: list[Any] = [
    {}, {"name": None}, {"name": 1}, {"name": ["words"]}, [], "x", b"", b"{", b"\xff",
    b'{"name": "words", "name": "words", "values": ["a"]}',
]  # fmt: skip
BAD: list[tuple[str, Any]] = [
    *itertools.product((UPSERT, ADD, TAKE, DELETE), NAMED),
    *((UPSERT, {"name": name}) for name in ("", "ab", "x" * 129, "é" * 65, " abc", "abc\n", "a\0bc", "ab\u202ecd")),
    *((UPSERT, {"name": "words", "description": text}) for text in (None, 1, "x" * 10_241, "x" * 1025)),
    *(
        (method, {"name": "words", "values": some})
        for method in (ADD, TAKE)
        for some in (None, [], "a", {}, [1], ["a", None], [["a"]])
    ),
    *((ADD, {"name": "words", "values": some}) for some in ([""], ["c", ""], ["x" * (MOST_BYTES + 1)], ["é" * 513])),
    (ADD, {"name": "words", "values": ["c"] * 1001}),
    (ADD, b'{"name": "words", "values": ["c", "\\ud800"]}'),
]  # fmt: skip


@pytest.mark.parametrize(("method", "body"), BAD, ids=lambda value: str(value)[:60])
def test_missing_malformed_and_oversized_fields(shared: Desk, method: str, body: Any) -> None:
    before = [shared.rows(table) for table in ("value_set", "set_value")]
    assert shared.act(method, shared.staff(), body).fault == (400, "InvalidRequest")
    assert [shared.rows(table) for table in ("value_set", "set_value")] == before


def test_what_is_as_large_as_it_may_be(place: Desk) -> None:
    admin, name = place.staff(), "é" * 64
    put(place, admin, name, description="e" * 1024)
    thousand, longest = [f"did:plc:{n:024}" for n in range(1000)], "é" * (MOST_BYTES // 2)
    for some in (thousand, [longest]):
        assert place.act(ADD, admin, {"name": name, "values": some}).status == 200
    assert place.ask(VALUES, admin, name=name, limit=1000).json["values"] == thousand
    assert [len(page) for page in place.every(VALUES, admin, 1000, name=name)] == [1000, 1]
    assert place.act(ADD, admin, {"name": name, "values": ["x" * 140] * 1000}).fault == (413, "PayloadTooLarge")
    assert place.act(TAKE, admin, {"name": name, "values": [*thousand, *thousand]}).status == 200
    assert values(place, admin, name) == [longest]


def test_s166_there_is_an_end_of_sets(place: Desk) -> None:
    """For each labeler; what is there can still be changed."""
    admin = place.staff()
    put(place, admin, "first")
    fill(place, *(f"set.n{n:03}" for n in range(MOST_SETS - 1)))
    assert place.act(UPSERT, admin, {"name": "more"}).fault == (400, "InvalidRequest")
    put(place, admin, "first", "a", description="Still.")
    put(place, admin, "more", aud=OTHER)
    assert place.act(DELETE, admin, {"name": "set.n001"}).status == 200
    put(place, admin, "more")


def test_s166_there_is_an_end_of_values(place: Desk) -> None:
    """In all sets of a labeler; all of a call come, or none."""
    admin = place.staff()
    for name in ("full", "other"):
        put(place, admin, name)
        put(place, admin, name, aud=OTHER)
    with writing(place.place.writer.database) as connection:
        connection.execute("UPDATE value_set SET size = ?1, last = ?1 WHERE id = 1", (MOST_VALUES - 2,))
        connection.execute(
            "INSERT INTO set_value WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)"
            " SELECT 1, n, 'v' || n FROM n",
            (MOST_VALUES - 2,),
        )
    assert place.act(ADD, admin, {"name": "other", "values": ["a", "b", "c"]}).fault == (400, "InvalidRequest")
    assert values(place, admin, "other") == []
    assert place.act(ADD, admin, {"name": "other", "values": ["a", "b", "a"]}).status == 200
    assert place.act(ADD, admin, {"name": "full", "values": ["v1", "v2"]}).status == 200, "they are there already"
    assert place.act(ADD, admin, {"name": "full", "values": ["v0"]}).fault == (400, "InvalidRequest")
    assert place.act(ADD, admin, {"name": "other", "values": ["c"]}, aud=OTHER).status == 200
    assert place.act(TAKE, admin, {"name": "full", "values": ["v1"]}).status == 200
    assert place.act(ADD, admin, {"name": "other", "values": ["c"]}).status == 200
    assert values(place, admin, "other") == ["a", "b", "c"]


def test_s23_a_token_is_used_once(place: Desk) -> None:
    who = place.member(Role.MODERATOR)
    for method, more in ((UPSERT, {}), (ADD, {"values": ["a"]}), (TAKE, {"values": ["a"]}), (DELETE, {})):
        sent = place.token(who, method)
        with ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda _: place.act(method, who, {"name": "words", **more}, sent=sent), range(12))]  # noqa: B023
        assert sorted(reply.status for reply in replies) == [200] + [401] * 11
        assert {reply.fault for reply in replies if reply.status != 200} == {(401, "JwtReplayed")}


def test_s137_what_else_a_body_says_is_not_believed(place: Desk) -> None:
    who = place.member(Role.MODERATOR)
    more = {"setSize": 9, "createdAt": "2020-01-01T00:00:00Z", "createdBy": OTHER, "id": 7, "labeler": 2}
    made = put(place, who, "words", **more)
    assert made["setSize"] == 0 and made["createdAt"] > "2020-01-02" and names(place, place.staff(), aud=OTHER) == []
    assert place.place.writer.sql("SELECT id, made_by FROM value_set") == [(1, who.did)]
