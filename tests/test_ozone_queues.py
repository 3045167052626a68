"""tools.ozone.queue.*: the queues of a team come, change and go, by the role that its moderators have in it."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from communities.reasons import APPEALS, REASONS
from models import queues as rows
from models.database import writing
from ozone.queues import MOST_BYTES, MOST_POLICIES, MOST_QUEUES
from ozone.roles import Role
from tests.civic_reports import OTHER as OTHER_REASON
from tests.civic_reports import SPAM
from tests.didnet import plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_queues import (
    ACCOUNTS,
    ASSIGN,
    ASSIGNMENTS,
    CREATE,
    DELETE,
    LIST,
    MANUAL,
    NONE,
    POST,
    POSTS,
    RUDE,
    SEXUAL,
    UPDATE,
    case,
    listed,
    make,
    names,
    policies,
    reported,
)  # fmt: skip
from tests.ozone_site import Desk, callers, desk, unlimited

INVALID, CONFLICT, NO_POLICY = (
    (400, name) for name in ("InvalidRequest", "ConflictingQueue", "InvalidRecommendedPolicies")
)
EMPTY = {"pendingCount": 0, "actionedCount": 0, "escalatedCount": 0, "inboundCount": 0}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with one queue, number 1, that nothing changes, for many calls that are refused."""
    with unlimited(tmp_path_factory.mktemp("queues")) as found:
        policies(found, found.staff(), "spam")
        assert make(found, found.staff(), ACCOUNTS)["id"] == 1
        yield found


def test_a_queue_comes_changes_and_goes(place: Desk) -> None:
    admin, other = place.staff(), place.member(Role.MODERATOR)
    policies(place, admin, "spam", "rude")
    made = make(place, admin, POSTS, description="What is sold.", recommendedPolicies=["spam", "rude", "spam"])
    assert made == POSTS | {
        "id": 1, "description": "What is sold.", "recommendedPolicies": ["spam", "rude"], "createdBy": admin.did,
        "createdAt": made["createdAt"], "updatedAt": made["createdAt"], "enabled": True,
        "stats": EMPTY | {"lastUpdated": made["createdAt"]},
    }  # fmt: skip
    place.place.clock.now += 5
    reply = place.act(UPDATE, other, {"queueId": 1, "name": "Sold", "enabled": False, "recommendedPolicies": ["rude"]})
    changed = reply.json["queue"]
    told = {"name": "Sold", "enabled": False, "recommendedPolicies": ["rude"], "updatedAt": changed["updatedAt"]}
    assert changed == made | told | {"stats": EMPTY | {"lastUpdated": changed["updatedAt"]}}
    assert made["updatedAt"] < changed["updatedAt"]
    assert listed(place, admin) == [changed]
    same = place.act(UPDATE, admin, {"queueId": 1}).json["queue"]
    assert same == changed, "what is not given stays"
    cleared = place.act(UPDATE, admin, {"queueId": 1, "description": "", "recommendedPolicies": [], "enabled": True})
    assert "description" not in cleared.json["queue"] and cleared.json["queue"]["recommendedPolicies"] == []
    assert place.act(DELETE, other, {"queueId": 1}).json == {"deleted": True, "reportsMigrated": 0}
    assert listed(place, admin) == []
    again = make(place, admin, POSTS)
    assert (again["id"], "description" in again) == (2, False), "its name and what came in are free, no number is"


def test_one_that_is_filled_by_hand_says_nothing_of_what_comes(place: Desk) -> None:
    made = make(place, place.staff(), MANUAL)
    assert (made["subjectTypes"], made["reportTypes"], "collection" in made) == ([], [], False)
    assert case(place, reported(place)) == ("open", NONE)


def test_what_comes_in_never_changes(place: Desk) -> None:
    admin = place.staff()
    made = make(place, admin, POSTS)
    more = {"subjectTypes": ["account"], "collection": "a.b.c", "reportTypes": [RUDE], "createdBy": plc(1), "id": 9}
    changed = place.act(UPDATE, admin, {"queueId": 1, "name": "New", **more}).json["queue"]
    assert changed == made | {"name": "New"}


FIRST = {"name": "first", "subjectTypes": ["account", "record"], "collection": POST, "reportTypes": [SPAM, RUDE]}
MEET = [
    ({"subjectTypes": ["account"], "reportTypes": [SPAM]}, True),
    ({"subjectTypes": ["account", "message"], "reportTypes": [SEXUAL, RUDE]}, True),
    ({"subjectTypes": ["record"], "collection": POST, "reportTypes": [SPAM]}, True),
    ({"subjectTypes": ["record"], "collection": POST, "reportTypes": [SEXUAL]}, False),
    ({"subjectTypes": ["record"], "collection": "app.bsky.graph.list", "reportTypes": [SPAM]}, False),
    ({"subjectTypes": ["account", "record"], "collection": "app.bsky.graph.list", "reportTypes": [SPAM]}, True),
    ({"subjectTypes": ["message", "conversation"], "reportTypes": [SPAM]}, False),
    ({"subjectTypes": ["account"], "reportTypes": [OTHER_REASON]}, False),
    ({}, False),
]


@pytest.mark.parametrize(("more", "meets"), MEET, ids=str)
def test_no_two_queues_take_the_same_report(place: Desk, more: dict[str, Any], meets: bool) -> None:
    admin = place.staff()
    make(place, admin, FIRST)
    assert place.act(UPDATE, admin, {"queueId": 1, "enabled": False}).status == 200, "it may be enabled again"
    reply = place.act(CREATE, admin, {"name": "second", **more})
    assert reply.fault == CONFLICT if meets else reply.status == 200
    assert len(names(place, admin)) == 2 - meets
    make(place, admin, {"name": "second", **more}, aud=OTHER)
    if meets:
        assert place.act(DELETE, admin, {"queueId": 1}).status == 200
        make(place, admin, {"name": "second", **more})


def test_a_name_is_there_once(place: Desk) -> None:
    admin = place.staff()
    make(place, admin, ACCOUNTS, name="b")
    make(place, admin, POSTS, name="a")
    assert place.act(CREATE, admin, {"name": "b"}).fault == CONFLICT
    assert place.act(UPDATE, admin, {"queueId": 2, "name": "b", "description": "new"}).fault == CONFLICT
    assert [(one["name"], "description" in one) for one in listed(place, admin)] == [("b", False), ("a", False)]
    assert place.act(UPDATE, admin, {"queueId": 1, "name": "b", "description": "new"}).status == 200, "its own"
    assert make(place, admin, {"name": "B"})["id"] == 3
    assert place.act(DELETE, admin, {"queueId": 1}).status == 200
    assert place.act(UPDATE, admin, {"queueId": 2, "name": "b"}).status == 200, "the name is free again"


def test_policies_are_those_of_the_team(place: Desk) -> None:
    admin = place.staff()
    assert place.act(CREATE, admin, MANUAL | {"recommendedPolicies": ["spam"]}).fault == NO_POLICY
    policies(place, admin, "spam", aud=OTHER)
    assert place.act(CREATE, admin, MANUAL | {"recommendedPolicies": ["spam"]}).fault == NO_POLICY
    policies(place, admin, "spam")
    for keys in (["rude"], ["spam", "rude"], ["Spam"], [""]):
        assert place.act(CREATE, admin, MANUAL | {"recommendedPolicies": keys}).fault == NO_POLICY
    make(place, admin, MANUAL, recommendedPolicies=["spam"])
    assert place.act(UPDATE, admin, {"queueId": 1, "recommendedPolicies": ["rude"]}).fault == NO_POLICY
    policies(place, admin, "rude")
    changed = place.act(UPDATE, admin, {"queueId": 1, "name": "New"}).json["queue"]
    assert changed["recommendedPolicies"] == ["spam"], "what was good stays until it is said anew"


def test_who_sees_and_changes_queues(place: Desk) -> None:
    """S135: the team sees them, and its moderators change them; who moderates by a community alone does neither."""
    admin = place.member(Role.ADMIN)
    made = make(place, admin, ACCOUNTS)
    calls: list[tuple[str, dict[str, Any]]] = [
        (CREATE, MANUAL), (UPDATE, {"queueId": 1, "name": ACCOUNTS["name"]}), (DELETE, {"queueId": 1}),
        ("queue.routeReports", {"startReportId": 1, "endReportId": 2}), (ASSIGN, {"queueId": 1, "did": admin.did}),
    ]  # fmt: skip
    reads = [place.member(Role.TRIAGE), place.member(Role.VERIFIER)]
    for who, kind in itertools.chain(callers(place), ((who, "reads") for who in reads)):
        if kind == "team":
            assert who and names(place, who) == [ACCOUNTS["name"]]
            assert place.act(UPDATE, who, {"queueId": 1, "name": ACCOUNTS["name"]}).status == 200
            assert place.act(DELETE, who, {"queueId": make(place, who, MANUAL)["id"]}).status == 200
            continue
        before = place.rows("report_queue")
        fault = (401, "AuthenticationRequired" if kind in ("community", "reads") else kind)
        assert {place.act(method, who, body).fault for method, body in calls} == {fault}
        reply = place.ask(LIST, who)
        by_team = bool(who and place.place.writer.sql("SELECT 1 FROM team_member t JOIN labeler l ON l.id = t.labeler"
            " WHERE t.did = ? AND l.did = ? AND disabled = 0", who.did, LABELER))  # fmt: skip
        if by_team:
            assert [one["id"] for one in reply.json["queues"]] == [1]
        elif kind == "community":
            assert reply.json == {"queues": []} and place.ask(ASSIGNMENTS, who).json == {"assignments": []}
        else:
            assert {reply.fault, place.ask(ASSIGNMENTS, who).fault} == {fault}
        assert place.rows("report_queue") == before
    assert listed(place, admin)[0]["id"] == made["id"]


def test_labelers_have_queues_of_their_own(place: Desk) -> None:
    """S135."""
    admin, theirs = place.staff(), place.member(Role.ADMIN, labeler=OTHER)
    make(place, admin, ACCOUNTS)
    make(place, theirs, ACCOUNTS, aud=OTHER)
    assert ([one["id"] for one in listed(place, admin)], [one["id"] for one in listed(place, theirs, aud=OTHER)]) == (
        [1],
        [2],
    )
    for method, body in ((UPDATE, {"name": "x"}), (DELETE, {}), (DELETE, {"migrateToQueueId": 2})):
        assert place.act(method, theirs, {"queueId": 1, **body}, aud=OTHER).fault == INVALID
    assert place.act(DELETE, theirs, {"queueId": 2, "migrateToQueueId": 1}, aud=OTHER).fault == INVALID
    assert place.act(ASSIGN, theirs, {"queueId": 1, "did": theirs.did}, aud=OTHER).fault == (400, "InvalidAssignment")


NEW = {"name": "New"}
REASON_LIST = sorted(REASONS | APPEALS)
BAD: list[tuple[str, Any]] = [
    *((CREATE, {"name": name}) for name in (None, 1, "", " ", "a ", " a", "a\0", "\u202ea", "x" * 129, "é" * 65)),
    (CREATE, {}),
    *((CREATE, NEW | {"description": text}) for text in (None, 1, "x" * (MOST_BYTES["description"] + 1))),
    *((CREATE, POSTS | {"reportTypes": [SEXUAL], "subjectTypes": kinds}) for kinds in (["chat"], [""], "record", [1])),
    *((CREATE, POSTS | {"reportTypes": kinds}) for kinds in ([SPAM + "x"], [""], [1], REASON_LIST[:26])),
    *((CREATE, POSTS | {"collection": one}) for one in ("", "x", "a.b", 1, None)),
    (CREATE, NEW | {"subjectTypes": ["message"]}),
    (CREATE, NEW | {"reportTypes": [SEXUAL]}),
    (CREATE, NEW | {"collection": POST}),
    (CREATE, NEW | {"subjectTypes": ["message"], "reportTypes": [SPAM], "collection": POST}),
    (CREATE, NEW | {"subjectTypes": ["record"], "reportTypes": [SPAM]}),
    *((CREATE, NEW | {"recommendedPolicies": keys}) for keys in ([1], "spam", ["spam"] * (MOST_POLICIES + 1))),
    *((UPDATE, {"queueId": 1, "name": name}) for name in (None, "", " a", "x" * 129)),
    *((UPDATE, {"queueId": 1, "enabled": value}) for value in (None, 1, "true")),
    *((UPDATE, {"queueId": 1, "description": value}) for value in (None, 1, "é" * 1025)),
    *itertools.product(
        (UPDATE, DELETE),
        ({}, *({"queueId": one} for one in (None, "1", 1.0, True, 0, -1, 2, 1 << 62, 1 << 64))),
    ),
    *((DELETE, {"queueId": 1, "migrateToQueueId": one}) for one in (1, 0, -2, 7, "2", None)),
    *itertools.product((CREATE, UPDATE, DELETE), ([], "x", b"", b"{", b"\xff")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "body"), BAD, ids=lambda value: str(value)[:60])
def test_missing_malformed_and_oversized_fields(shared: Desk, method: str, body: Any) -> None:
    before = shared.rows("report_queue")
    assert shared.act(method, shared.staff(), body).fault == INVALID
    assert shared.rows("report_queue") == before


def test_the_longest_fields_fit(place: Desk) -> None:
    admin = place.staff()
    policies(place, admin, *(f"p{n}" for n in range(MOST_POLICIES)))
    longest = {
        "name": "x" * MOST_BYTES["name"], "description": "é" * (MOST_BYTES["description"] // 2),
        "subjectTypes": ["account", "record", "message", "conversation"], "collection": POST,
        "reportTypes": REASON_LIST[:25], "recommendedPolicies": [f"p{n}" for n in range(MOST_POLICIES)],
    }  # fmt: skip
    assert make(place, admin, longest).items() >= longest.items()


def test_s166_there_is_an_end_of_queues(place: Desk) -> None:
    """For each labeler; what is there can still be changed."""
    admin = place.staff()
    make(place, admin, {"name": "first"})
    with writing(place.place.writer.database) as connection:
        row = rows.find(connection, 1, 1)
        assert row is not None
        for number in range(MOST_QUEUES - 1):
            rows.put(connection, row._replace(id=0, name=f"n{number}"))
    assert place.act(CREATE, admin, MANUAL).fault == INVALID
    make(place, admin, MANUAL, aud=OTHER)
    assert place.act(UPDATE, admin, {"queueId": 1, "name": "still"}).status == 200
    assert place.act(DELETE, admin, {"queueId": 1}).status == 200
    make(place, admin, MANUAL)


def test_s23_a_token_is_used_once(place: Desk) -> None:
    who = place.member(Role.MODERATOR)
    for method, body in ((CREATE, ACCOUNTS), (UPDATE, {"queueId": 1, "name": "new"}), (DELETE, {"queueId": 1})):
        sent = place.token(who, method)
        with ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda _: place.act(method, who, body, sent=sent), range(16))]  # noqa: B023
        assert sorted(reply.status for reply in replies) == [200] + [401] * 15


def test_s139_of_two_that_conflict_one_comes(place: Desk) -> None:
    people = [place.member(Role.MODERATOR) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        asked = [(who, ACCOUNTS | {"name": f"n{number}"}) for number, who in enumerate(people)]
        replies = [*pool.map(lambda one: place.act(CREATE, *one), asked)]
    assert sorted(reply.status for reply in replies) == [200] + [400] * 5
    assert len(names(place, people[0])) == 1
