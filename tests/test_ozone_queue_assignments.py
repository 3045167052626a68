"""tools.ozone.queue.*: who of the team looks after which queue."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.database import sql, writing
from ozone.queue_assignments import MOST_OF_QUEUE
from ozone.roles import Role
from ozone.visit import moment
from tests.didnet import Account, plc
from tests.label_scene import OTHER
from tests.ozone_queues import ACCOUNTS, ASSIGN, ASSIGNMENTS, DELETE, MANUAL, POSTS, UNASSIGN, UPDATE, listed, make
from tests.ozone_site import STAFF_MODERATOR, Desk, callers, desk, role_of, unlimited

NONE_SUCH, DENIED = (400, "InvalidAssignment"), (401, "AuthenticationRequired")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        make(found, found.staff(), ACCOUNTS)
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with one queue that nothing changes, for many calls that are refused."""
    with unlimited(tmp_path_factory.mktemp("assignments")) as found:
        make(found, found.staff(), ACCOUNTS)
        yield found


def assign(place: Desk, who: Account, about: Account | None = None, queue: int = 1) -> dict[str, Any]:
    reply = place.act(ASSIGN, who, {"queueId": queue, "did": (about or who).did})
    assert reply.status == 200, reply.body
    view: dict[str, Any] = reply.json
    return view


def shown(place: Desk, who: Account, **params: Any) -> list[tuple[int, str]]:
    """Queue and account of one page."""
    reply = place.ask(ASSIGNMENTS, who, **params)
    assert reply.status == 200, reply.body
    return [(one["queue"]["id"], one["did"]) for one in reply.json["assignments"]]


def test_somebody_looks_after_a_queue_and_does_no_more(place: Desk) -> None:
    who, clock = place.member(Role.MODERATOR), place.place.clock
    view = assign(place, who)
    assert view == {
        "id": 1, "did": who.did, "moderator": view["moderator"], "queue": listed(place, who)[0],
        "startAt": moment(clock.micros()),
    }  # fmt: skip
    assert (view["moderator"]["did"], role_of(view["moderator"])) == (who.did, Role.MODERATOR)
    clock.now += 5
    assert assign(place, who)["startAt"] == view["startAt"], "again changes nothing"
    (listed_now,) = place.ask(ASSIGNMENTS, who).json["assignments"]
    assert listed_now["startAt"] == view["startAt"] and "endAt" not in listed_now
    assert place.act(UNASSIGN, who, {"queueId": 1, "did": who.did}).body == b""
    assert shown(place, who) == []
    (ended,) = place.ask(ASSIGNMENTS, who, onlyActive=False).json["assignments"]
    assert ended["endAt"] == moment(clock.micros())
    assert place.act(UNASSIGN, who, {"queueId": 1, "did": who.did}).fault == NONE_SUCH
    assert assign(place, who)["id"] == 2
    assert place.place.writer.sql("SELECT by, ended_by FROM queue_assignment") == [(who.did, who.did), (who.did, "")]


def test_who_may_take_a_queue_and_who_gives_it_to_others(place: Desk) -> None:
    """S135: moderators of the team for themselves, admins for anybody of it; nobody else anything."""
    other = place.member(Role.TRIAGE)
    below = ((place.member(role), "below") for role in (Role.TRIAGE, Role.VERIFIER))
    for who, kind in itertools.chain(callers(place), below):
        before = place.rows("queue_assignment")
        own, others = ({"queueId": 1, "did": did} for did in (who.did if who else plc(1), other.did))
        fault = (401, "AuthenticationRequired" if kind in ("community", "below") else kind)
        if kind != "team":
            calls = itertools.product((ASSIGN, UNASSIGN), (own, others))
            assert {place.act(method, who, body).fault for method, body in calls} == {fault}
            assert place.rows("queue_assignment") == before
            continue
        assert who and place.act(ASSIGN, who, own).status == place.act(UNASSIGN, who, own).status == 200
        administers = who is place.staff() or Role.ADMIN in {
            role for (role,) in place.place.writer.sql("SELECT role FROM team_member WHERE did = ?", who.did)
        }
        replies = [place.act(method, who, others) for method in (ASSIGN, UNASSIGN)]
        if administers:
            assert [reply.status for reply in replies] == [200, 200]
        else:
            assert [reply.fault for reply in replies] == [DENIED, DENIED]


def test_who_can_be_given_a_queue(place: Desk) -> None:
    """Whoever of the team works on reports, and nobody else."""
    admin = place.staff()
    works = [place.member(role) for role in (Role.ADMIN, Role.MODERATOR, Role.TRIAGE)] + [place.staff(STAFF_MODERATOR)]
    for about in works:
        assign(place, admin, about)
    others = [
        place.member(Role.VERIFIER).did, place.member(Role.MODERATOR, disabled=True).did,
        place.member(Role.ADMIN, labeler=OTHER).did, place.place.moderator("python").did, place.place.person().did,
        "alice", "", "did:plc:" + "a" * 3000,
    ]  # fmt: skip
    for did in others:
        assert place.act(ASSIGN, admin, {"queueId": 1, "did": did}).fault == NONE_SUCH
    assert shown(place, admin) == [(1, about.did) for about in reversed(works)]


def test_queues_that_cannot_be_taken(place: Desk) -> None:
    admin = place.staff()
    make(place, admin, MANUAL)
    make(place, admin, POSTS)
    make(place, admin, ACCOUNTS, aud=OTHER)
    assign(place, admin, queue=2)
    assert place.act(UPDATE, admin, {"queueId": 2, "enabled": False}).status == 200
    assert place.act(DELETE, admin, {"queueId": 3}).status == 200
    for queue in (2, 3, 4, 5, 0, -1):
        assert place.act(ASSIGN, admin, {"queueId": queue, "did": admin.did}).fault == NONE_SUCH
    for queue in (1, 3, 4, 5, 0, -1):
        assert place.act(UNASSIGN, admin, {"queueId": queue, "did": admin.did}).fault == NONE_SUCH
    assert shown(place, admin) == [(2, admin.did)], "who looked after it when it was disabled still does"
    assert place.act(UNASSIGN, admin, {"queueId": 2, "did": admin.did}).status == 200


def test_nobody_looks_after_a_queue_that_is_gone(place: Desk) -> None:
    admin, who = place.staff(), place.member(Role.MODERATOR)
    make(place, admin, MANUAL)
    for queue in (1, 2):
        assign(place, who, queue=queue)
    assert place.act(DELETE, admin, {"queueId": 1}).status == 200
    assert shown(place, admin) == [(2, who.did)]
    past = place.ask(ASSIGNMENTS, admin, onlyActive=False).json["assignments"]
    assert [(one["queue"]["id"], "deletedAt" in one["queue"], "endAt" in one) for one in past] == [
        (2, False, False),
        (1, True, True),
    ]


def test_who_leaves_the_team_leaves_its_queues(place: Desk) -> None:
    admin, who = place.staff(), place.member(Role.MODERATOR)
    assign(place, who)
    assign(place, admin)
    assert place.act("team.deleteMember", admin, {"did": who.did}).status == 200
    assert shown(place, admin) == [(1, admin.did)]
    (_, past) = place.ask(ASSIGNMENTS, admin, onlyActive=False).json["assignments"]
    assert past["did"] == who.did and "moderator" not in past and "endAt" in past


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [5, 4, 2, 1]),
    ({"onlyActive": False}, [5, 4, 3, 2, 1]),
    ({"queueIds": [1]}, [4, 1]),
    ({"queueIds": [1, 2]}, [5, 4, 2, 1]),
    ({"queueIds": [7]}, []),
    ({"queueIds": [2], "onlyActive": False}, [5, 3, 2]),
    ({"dids": ["a"]}, [2, 1]),
    ({"dids": ["a", "b"], "queueIds": [2], "onlyActive": False}, [5, 3, 2]),
    ({"dids": ["b"], "onlyActive": False}, [5, 4, 3]),
    ({"dids": ["c"]}, []),
]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, dict[str, Account]]]:
    with desk(tmp_path_factory.mktemp("five")) as found:
        admin = found.staff()
        people = {"a": found.member(Role.MODERATOR), "b": found.member(Role.MODERATOR), "c": found.place.person()}
        for body in (ACCOUNTS, MANUAL):
            make(found, admin, body)
        for name, queue in (("a", 1), ("a", 2), ("b", 2), ("b", 1)):
            assign(found, people[name], queue=queue)
            if (name, queue) == ("b", 2):
                assert found.act(UNASSIGN, admin, {"queueId": 2, "did": people["b"].did}).status == 200
        assign(found, people["b"], queue=2)
        make(found, admin, ACCOUNTS, aud=OTHER)
        assert found.act(ASSIGN, admin, {"queueId": 3, "did": admin.did}, aud=OTHER).status == 200
        yield found, people


@pytest.mark.parametrize(("params", "wanted"), FILTERS, ids=str)
def test_a_list_of_some_page_by_page(
    five: tuple[Desk, dict[str, Account]], params: dict[str, Any], wanted: list[int]
) -> None:
    place, people = five
    given = params | ({"dids": [people[name].did for name in params["dids"]]} if "dids" in params else {})
    for limit in (1, 2, 100):
        pages = place.every(ASSIGNMENTS, place.staff(), limit, **given)
        assert [one["id"] for page in pages for one in page] == wanted


def test_another_team_sees_its_own(five: tuple[Desk, dict[str, Account]]) -> None:
    """S135."""
    place, _ = five
    assert shown(place, place.staff(), aud=OTHER) == [(3, place.staff().did)]
    assert place.ask(ASSIGNMENTS, place.staff(), aud=OTHER, queueIds=[1]).json == {"assignments": []}


@pytest.mark.parametrize(
    "params",
    ["queueIds=-1", "queueIds=x", "queueIds=" + "9" * 19, "dids=alice", "onlyActive=1", "limit=0", "limit=101"],
)
def test_bad_parameters(shared: Desk, params: str) -> None:
    sent = f"Bearer {shared.token(shared.staff(), ASSIGNMENTS)}"
    reply = shared.place.site.ask(params, sent, method=f"tools.ozone.{ASSIGNMENTS}")
    assert reply.fault == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "body",
    [{}, {"queueId": 1}, {"did": plc(1)}, {"queueId": "1", "did": plc(1)}, {"queueId": 1, "did": 1}, [], b"{",
     {"queueId": 1 << 64, "did": plc(1)}],
)  # fmt: skip
def test_bad_bodies(shared: Desk, body: Any) -> None:
    for method in (ASSIGN, UNASSIGN):
        assert shared.act(method, shared.staff(), body).fault == (400, "InvalidRequest")


def test_s166_there_is_an_end_of_those_who_look_after_one(place: Desk) -> None:
    admin = place.staff()
    make(place, admin, MANUAL)
    with writing(place.place.writer.database) as connection:
        connection.executemany(
            "INSERT INTO queue_assignment (labeler, queue, did, at, by) VALUES (1, 1, ?, 1, 'x')",
            [(f"did:plc:{n}",) for n in range(MOST_OF_QUEUE)],
        )
    assert place.act(ASSIGN, admin, {"queueId": 1, "did": admin.did}).fault == (400, "InvalidRequest")
    assign(place, admin, queue=2)


def test_two_who_say_the_same_at_once(place: Desk) -> None:
    about = place.member(Role.TRIAGE)
    people = [place.member(Role.ADMIN) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        views = [*pool.map(lambda who: assign(place, who, about), people)]
    assert {view["id"] for view in views} == {1}
    assert shown(place, people[0]) == [(1, about.did)]


def test_the_list_is_read_from_its_index(place: Desk) -> None:
    """Of 20,000 who looked after queues once none is read to show who does now."""
    admin = place.staff()
    assign(place, admin)
    with writing(place.place.writer.database) as connection:
        connection.executemany(
            "INSERT INTO queue_assignment (labeler, queue, did, at, by, ended_at, ended_by)"
            " VALUES (1, 1, ?, 1, 'x', 2, 'x')",
            [(f"did:plc:{n}",) for n in range(20_000)],
        )
    from models.queue_assignments import page

    database, steps = place.place.writer.database, 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    database.connection().set_progress_handler(count, 10)
    try:
        found = page(sql(database), 1, 1 << 62, 31, active=True)
    finally:
        database.connection().set_progress_handler(None)
    assert [one.did for one in found] == [admin.did] and steps < 50
