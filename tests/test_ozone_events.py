"""tools.ozone.moderation.queryEvents through HTTP, against the same told in the simplest way: every filter, both
orders, any page size, for everybody who may ask.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.mod_event import Kind, ModEvent
from models import looking
from ozone.event_query import QUERIES
from tests.didnet import plc
from tests.event_oracle import DEFS, PARAMS, SUBJECTS, asked, expected, timed
from tests.label_scene import LABELER
from tests.ozone_history import (
    ACCOUNTS,
    ACTORS,
    KEYS,
    LABELS,
    LIST,
    MODERATORS,
    POST,
    RUDE,
    History,
    Person,
    history,
    pages,
    people,
)  # fmt: skip
from tests.ozone_site import MAIN_PARAMS

EVENTS = "moderation.queryEvents"
NAMES = ("admin", "triage", "python", "rust", "both", "other")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with history(tmp_path_factory.mktemp("events"), 3, 260) as found:
        yield found


@pytest.fixture(scope="module")
def who(past: History) -> dict[str, Person]:
    return people(past.place)


def test_every_parameter_of_the_lexicon_is_tried() -> None:
    assert {*PARAMS, "limit", "cursor"} == MAIN_PARAMS[EVENTS]
    (query,) = QUERIES
    assert set(query.params.parse("")) == MAIN_PARAMS[EVENTS]


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=asked(), name=st.sampled_from(NAMES), limit=st.sampled_from((100, 40, 20)))
def test_what_is_asked_for_is_what_comes(
    past: History, who: dict[str, Person], params: dict[str, Any], name: str, limit: int
) -> None:
    person = who[name]
    wanted = expected(past, person, params)
    most = limit if len(wanted) > 30 else limit // 20
    found = pages(past, EVENTS, person, most, timed(past, params))
    assert [view["id"] for view in found] == wanted


@pytest.mark.parametrize("name", PARAMS)
def test_each_parameter_by_itself(past: History, who: dict[str, Person], name: str) -> None:
    """Each finds something for somebody, except what nothing here has; and leaves something out."""
    values = {
        "types": [f"{DEFS}modEventLabel"], "createdBy": MODERATORS[0], "sortDirection": "asc", "createdAfter": 100,
        "createdBefore": 100, "subject": SUBJECTS[1], "includeAllUserRecords": True, "collections": [LIST],
        "subjectType": "conversation", "hasComment": True, "comment": "STRASSE||é", "addedLabels": list(LABELS),
        "removedLabels": ["spam"], "addedTags": ["x y", "vip"], "removedTags": ["vip"], "reportTypes": [RUDE],
        "policies": ["p1", "p2"], "modTool": ["rule:greens", "automod"], "batchId": "b1", "withStrike": True,
        "ageAssuranceState": "pending",
    }  # fmt: skip
    params = {name: values[name]}
    sizes = []
    for person in who.values():
        found = [view["id"] for view in pages(past, EVENTS, person, 50, timed(past, params))]
        assert found == expected(past, person, params)
        sizes.append(len(found))
        assert len(found) < len(expected(past, person, {})) or name in ("sortDirection", "includeAllUserRecords")
    assert any(sizes) or name == "ageAssuranceState"


def test_what_an_event_shows(past: History, who: dict[str, Person]) -> None:
    by_number = {one.id: one for one in past.entries}
    for view in pages(past, EVENTS, who["admin"], 100, {}):
        one = by_number[view["id"]]
        event = one.event
        assert view["event"]["$type"] == DEFS + event.kind and view["event"].get("comment", "") == event.comment
        assert view["event"].items() >= {key: value for key, value in event.said.items() if value}.items()
        account = event.actor if event.actor.startswith("did:") else LABELER
        assert view["createdBy"] == account
        name = event.tool or ("" if event.actor.startswith("did:") else event.actor)
        meta = {"meta": {"batchId": event.batch}} if event.batch else {}
        assert view.get("modTool", {"name": ""}) == {"name": name, **(meta if name else {})}
        assert view["subject"].get("uri", view["subject"].get("did")) == one.key.uri


def test_a_page_of_what_is_rare_is_short_and_the_list_goes_on(
    past: History, who: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOKED_AT", 20)
    for name, (comment, order) in itertools.product(who, (("ÉTÉ", "asc"), ("nothing like it", "desc"))):
        params: dict[str, Any] = {"comment": comment, "sortDirection": order}
        found, asked_for, cursor = [], 0, None
        while asked_for == 0 or cursor is not None:
            reply = past.place.ask(EVENTS, who[name].who, aud=who[name].aud, **params, limit=5, cursor=cursor)
            found += [view["id"] for view in reply.json["events"]]
            cursor, asked_for = reply.cursor, asked_for + 1
        assert found == expected(past, who[name], params)
        seen = len(expected(past, who[name], {}))
        assert asked_for >= seen // 20


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0}, {"limit": 101}, {"sortDirection": "up"}, {"createdAfter": "yesterday"}, {"createdBy": "alice"},
        {"subject": "alice"}, {"subject": "https://example.com"}, {"subject": f"at://{plc(1)}/{POST}"},
        {"hasComment": 1}, {"collections": ["x"]}, {"collections": [POST] * 21}, {"batchId": ["a", "b"]},
        {"types": ["x"] * 101}, {"comment": "x" * 2000},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_value_of_a_parameter(past: History, params: dict[str, Any]) -> None:
    assert past.place.ask(EVENTS, past.place.staff(), **params).fault == (400, "InvalidRequest")


def test_cursors_are_of_one_list(past: History, who: dict[str, Person]) -> None:
    first = past.place.ask(EVENTS, who["admin"].who, limit=2).cursor
    assert first is not None
    other = past.place.ask(EVENTS, who["admin"].who, limit=2, hasComment=True).cursor
    for wrong in (other, first[:-2], first.upper(), "x", "00" * 24):
        assert past.place.ask(EVENTS, who["admin"].who, limit=2, cursor=wrong).fault == (400, "InvalidCursor")
    assert past.place.ask(EVENTS, who["admin"].who, limit=5, cursor=first).status == 200
    assert past.place.ask(EVENTS, who["admin"].who, types=["x"], cursor=first).fault == (400, "InvalidCursor")


def test_who_may_ask(past: History) -> None:
    for account in (past.place.place.person(), past.place.place.member("python")):
        assert past.place.ask(EVENTS, account).fault == (401, "AuthenticationRequired")
    assert past.place.ask(EVENTS, None).fault == (401, "AuthMissing")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_paging_while_more_happens(past: History, who: dict[str, Person], order: str) -> None:
    """Each event comes once at most, and each that was there exactly once."""
    person = who["both"]
    there = expected(past, person, {})
    seen: list[int] = []
    cursor = None
    for step in itertools.count():
        reply = past.place.ask(EVENTS, person.who, sortDirection=order, limit=9, cursor=cursor)
        seen += [view["id"] for view in reply.json["events"]]
        cursor = reply.cursor
        if cursor is None:
            break
        if step < 10:
            for name in ("python", "rust", "other"):
                past.add(past.scopes[name], KEYS[step % len(KEYS)], ModEvent(Kind.COMMENT, 0, ACTORS[0], comment="hm"))
    assert len(seen) == len(set(seen)) and set(there) <= set(seen)
    assert seen == sorted(seen, reverse=order == "desc")
    if order == "desc":
        assert seen == there
    else:
        assert seen == expected(past, person, {"sortDirection": "asc"})


def test_the_account_alone_or_all_that_is_of_it(past: History, who: dict[str, Person]) -> None:
    person, did = who["admin"], ACCOUNTS[0]
    alone = [view["subject"] for view in pages(past, EVENTS, person, 100, {"subject": did})]
    assert {view["$type"] for view in alone} == {"com.atproto.admin.defs#repoRef"}
    whole = {"subject": did, "includeAllUserRecords": True}
    every = [view["subject"] for view in pages(past, EVENTS, person, 100, whole)]
    assert len({view["$type"] for view in every}) == 3
    lists = [view["subject"]["uri"] for view in pages(past, EVENTS, person, 100, whole | {"collections": [LIST]})]
    assert lists and all(f"/{LIST}/" in uri for uri in lists)
