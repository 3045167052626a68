"""Memberships as rows: how people stand by them, what `put` keeps, and the counts that triggers keep."""

from collections.abc import Iterator
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communities.access import EVERYTHING, Action, Role, Scope, Site, Standing, State, Status, Type
from communities.directory import Settings
from communities.members import (
    _FORGET,
    Via,
    count_admins,
    find_actor,
    held,
    intern_actor,
    memberships,
    put,
    read_membership,
    scope_of,
    scope_text,
    standing_by,
)
from communities.membership import MEMBER, Membership, Own, RefusedError, step
from models import migrations
from models.database import Connection
from tests.didnet import plc

OWNER, TOP_OWNER, MID_OWNER, ALICE, BOB = (plc(number) for number in range(5))
TOP, MID, LOW, OTHER = 1, 2, 3, 4
OWNERS = {TOP: TOP_OWNER, MID: MID_OWNER, LOW: OWNER, OTHER: BOB}
LOWEST = Settings(LOW, "low", owner=OWNER, above=(MID, TOP))
BANNED, ADMIN, MODERATOR = Membership(Status.BANNED), Membership(Status.MEMBER, Role.ADMIN), Membership(
    Status.MEMBER, Role.MODERATOR
)  # fmt: skip


@pytest.fixture
def connection() -> Iterator[Any]:
    opened = fresh()
    yield opened
    opened.close()


def fresh() -> Any:
    opened = apsw.Connection(":memory:")
    migrations.migrate(opened)
    opened.executemany(
        "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (?, ?, '', '', '{}', 1)",
        [(number, f"c{number}") for number in OWNERS],
    )
    return opened


def give(connection: Connection, did: str, community: int, after: Membership | None, **more: Any) -> None:
    known = {"act": "test", "by": did, "now": 1}
    put(connection, community, intern_actor(connection, did), after, **(known | more))


def stands(connection: Connection, did: str, now: int = 50, settings: Settings = LOWEST) -> Standing:
    return standing_by(settings, did, memberships(connection, find_actor(connection, did)), OWNERS, now)


def until(at: int, membership: Membership) -> Membership:
    return Membership(membership.status, membership.role, membership.scope, at)


POSTS = frozenset((Scope.POSTS,))
STANDINGS: dict[str, tuple[dict[int, Membership], Standing]] = {
    "nobody": ({}, Standing()),
    "elsewhere": ({OTHER: ADMIN}, Standing()),
    "asks": ({LOW: Membership(Status.REQUESTED)}, Standing(Status.REQUESTED)),
    "is invited": ({LOW: Membership(Status.INVITED)}, Standing(Status.INVITED)),
    "member": ({LOW: MEMBER}, Standing(Status.MEMBER)),
    "moderator": (
        {LOW: Membership(Status.MEMBER, Role.MODERATOR, POSTS)}, Standing(Status.MEMBER, Role.MODERATOR, POSTS)
    ),
    "moderator of nothing": (
        {LOW: Membership(Status.MEMBER, Role.MODERATOR, frozenset())},
        Standing(Status.MEMBER, Role.MODERATOR, frozenset()),
    ),
    "admin": ({LOW: ADMIN}, Standing(Status.MEMBER, Role.ADMIN)),
    "role that ends later": ({LOW: until(51, MODERATOR)}, Standing(Status.MEMBER, Role.MODERATOR)),
    "role that ends now": ({LOW: until(50, MODERATOR)}, Standing(Status.MEMBER)),
    "ban": ({LOW: BANNED}, Standing(Status.BANNED)),
    "ban that ends later": ({LOW: until(51, BANNED)}, Standing(Status.BANNED)),
    "ban that ends now": ({LOW: until(50, BANNED)}, Standing()),
    "member of the parent": ({MID: MEMBER}, Standing(of_parent=True)),
    "member of the parent's": ({TOP: MEMBER}, Standing()),
    "banned in the parent": ({MID: BANNED, LOW: MEMBER}, Standing(Status.MEMBER)),
    "invited to the parent": ({MID: Membership(Status.INVITED)}, Standing()),
    "moderator above": ({MID: MODERATOR, TOP: MODERATOR}, Standing(of_parent=True)),
    "admin of the parent": ({MID: ADMIN}, Standing(above=True, of_parent=True)),
    "admin of the top": ({TOP: ADMIN}, Standing(above=True)),
    "admin of the top, ended": ({TOP: until(50, ADMIN)}, Standing()),
    "admin of the parent, ended": ({MID: until(50, ADMIN)}, Standing(of_parent=True)),
    "admin of the top, banned here": ({TOP: ADMIN, LOW: BANNED}, Standing(Status.BANNED, above=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", STANDINGS)
def test_how_people_stand_by_their_rows(connection: Any, name: str) -> None:
    rows, standing = STANDINGS[name]
    for community, membership in rows.items():
        give(connection, ALICE, community, membership)
        give(connection, BOB, community, MEMBER)  # somebody else's rows are nobody's business
    assert stands(connection, ALICE) == standing


def test_how_owners_stand(connection: Any) -> None:
    assert stands(connection, OWNER) == Standing(Status.MEMBER, Role.ADMIN)
    assert stands(connection, MID_OWNER) == Standing(above=True, of_parent=True)
    assert stands(connection, TOP_OWNER) == Standing(above=True)
    assert stands(connection, OWNER, settings=Settings(MID, "mid", above=(TOP,))) == Standing()
    give(connection, OWNER, LOW, BANNED)
    assert stands(connection, OWNER).moderates
    # An owner above who stands on no list here, and the community that nobody owns.
    assert standing_by(Settings(9, "x", above=(8,)), ALICE, {}, {8: None}, 1) == Standing()


def test_what_somebody_is_for_the_site_is_told() -> None:
    assert standing_by(LOWEST, ALICE, {}, OWNERS, 1, Site.ADMIN) == Standing(site=Site.ADMIN)
    assert standing_by(LOWEST, ALICE, {LOW: BANNED}, OWNERS, 1, Site.MODERATOR).oversees


def test_an_owner_is_neither_invited_nor_banned() -> None:
    owner = Standing(Status.MEMBER, Role.ADMIN)
    for row, refusals in (
        (None, {Own.JOIN: "AlreadyMember", Action.INVITE: "AlreadyMember", Action.BAN: "DemoteFirst",
                Action.EXPEL: "IsAdmin", Own.LEAVE: "NotFound", Own.AGREE: "NotInvited"}),
        (MEMBER, {Action.BAN: "DemoteFirst", Action.EXPEL: "IsAdmin", Own.JOIN: "AlreadyMember"}),
    ):  # fmt: skip
        for deed, name in refusals.items():
            with pytest.raises(RefusedError) as refused:
                step(deed, row, kind=Type.OPEN, state=State.ACTIVE, subject=owner, actor=owner, admins=2)
            assert refused.value.name == name


@pytest.mark.parametrize("scope", [EVERYTHING, frozenset(), POSTS, frozenset((Scope.PINS, Scope.MEMBERS))], ids=str)
def test_scopes_are_read_as_they_were_stored(scope: frozenset[Scope]) -> None:
    assert scope_of(scope_text(scope)) == scope
    row = ("member", 2, scope_text(scope), 7, "{}")
    assert read_membership(row) == Membership(Status.MEMBER, Role.MODERATOR, scope, 7)


# Storing


ROW = "SELECT status, role, scope, until, since, via, rkey, granted, volume FROM membership"


def test_put_stores_and_says_so(connection: Any) -> None:
    give(connection, ALICE, LOW, MEMBER, act="join", now=10, via=Via("record", "r1"))
    assert connection.execute(ROW).fetchall() == [("member", 1, "*", None, 10, "record", "r1", "", 3)]
    moderator = Membership(Status.MEMBER, Role.MODERATOR, POSTS, 99)
    give(connection, ALICE, LOW, moderator, act="setRole", by=BOB, now=20, granted="g1")
    # The same status began when it began, and how somebody came stays.
    assert connection.execute(ROW).fetchall() == [("member", 2, "posts", 99, 10, "record", "r1", "g1", 3)]
    give(connection, ALICE, LOW, BANNED, act="ban", by=BOB, now=30)
    assert connection.execute(ROW).fetchall() == [("banned", 1, "*", None, 30, "record", "r1", "g1", 3)]
    give(connection, ALICE, LOW, MEMBER, act="unban", by=BOB, now=40, via=Via("xrpc"), granted="")
    assert connection.execute(ROW).fetchall() == [("member", 1, "*", None, 40, "xrpc", "", "", 3)]
    give(connection, ALICE, LOW, None, act="leave", now=50)
    assert connection.execute(ROW).fetchall() == []
    events = "SELECT act, by, status, role, at FROM membership_event ORDER BY id"
    assert connection.execute(events).fetchall() == [
        ("join", ALICE, "member", 1, 10),
        ("setRole", BOB, "member", 2, 20),
        ("ban", BOB, "banned", 1, 30),
        ("unban", BOB, "member", 1, 40),
        ("leave", ALICE, None, None, 50),
    ]


def test_an_invitation_has_no_other_way(connection: Any) -> None:
    give(connection, ALICE, LOW, Membership(Status.INVITED))
    assert connection.execute(ROW).fetchone()[5] == "invitation"


def test_volume_stays(connection: Any) -> None:
    give(connection, ALICE, LOW, MEMBER)
    connection.execute("UPDATE membership SET volume = 5")
    give(connection, ALICE, LOW, MODERATOR)
    assert connection.execute(ROW).fetchone()[-1] == 5


def test_what_is_held(connection: Any) -> None:
    assert find_actor(connection, ALICE) is None and held(connection, LOW, None) is None
    assert memberships(connection, None) == {}
    number = intern_actor(connection, ALICE)
    assert intern_actor(connection, ALICE) == number == find_actor(connection, ALICE) != intern_actor(connection, BOB)
    give(connection, ALICE, LOW, until(1, BANNED))
    assert held(connection, LOW, number) == until(1, BANNED)  # as it stands, though it has ended
    assert held(connection, MID, number) is None
    assert memberships(connection, number) == {LOW: until(1, BANNED)}


def test_admins_are_counted(connection: Any) -> None:
    free = Settings(LOW, "low")
    assert (count_admins(connection, free), count_admins(connection, LOWEST)) == (0, 1)
    give(connection, ALICE, LOW, ADMIN)
    give(connection, BOB, LOW, MODERATOR)
    give(connection, BOB, MID, ADMIN)
    assert (count_admins(connection, free), count_admins(connection, LOWEST)) == (1, 2)
    give(connection, OWNER, LOW, ADMIN)  # an owner counts once
    assert (count_admins(connection, free), count_admins(connection, LOWEST)) == (2, 2)
    give(connection, ALICE, LOW, until(50, ADMIN))
    assert count_admins(connection, free) == 1  # whose role ends does not count, whenever that is


# Counts


def counted(connection: Any) -> list[tuple[int, ...]]:
    query = "SELECT community, members, posts, last_post_at FROM community_count ORDER BY community"
    rows: list[tuple[int, ...]] = connection.execute(query).fetchall()
    return rows


def recounted(connection: Any) -> list[tuple[int, ...]]:
    query = (
        "SELECT id, (SELECT count(*) FROM membership m WHERE m.community = c.id AND status = 'member'),"
        " (SELECT count(*) FROM feed_item i WHERE i.community = c.id AND hidden = 0),"
        " (SELECT coalesce(max(sort_at), 0) FROM feed_item i WHERE i.community = c.id AND hidden = 0)"
        " FROM community c ORDER BY id"
    )
    rows: list[tuple[int, ...]] = connection.execute(query).fetchall()
    return rows


rows = st.none() | st.builds(
    Membership,
    st.sampled_from(Status),
    st.sampled_from(Role),
    st.sampled_from((EVERYTHING, frozenset[Scope]())),
    st.none() | st.just(5),
)
puts = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(sorted(OWNERS)), rows), max_size=30)


@settings(max_examples=60)
@given(puts)
def test_counts_of_members_are_what_a_recount_says(steps: list[tuple[int, int, Membership | None]]) -> None:
    connection = fresh()
    last: dict[tuple[int, int], Membership | None] = {}
    for person, community, membership in steps:
        give(connection, plc(person), community, membership)
        last[person, community] = membership
        assert counted(connection) == recounted(connection)
    for (person, community), membership in last.items():
        assert held(connection, community, find_actor(connection, plc(person))) == membership
    joined = [community for (_, community), row in last.items() if row and row.status is Status.MEMBER]
    assert [members for _, members, *_ in counted(connection)] == [joined.count(number) for number in sorted(OWNERS)]
    connection.close()


items = st.tuples(
    st.sampled_from(("put", "delete", "hide", "purge")), st.integers(1, 2), st.integers(1, 4),
    st.sampled_from((0, 0, 1, 2, 4, 8, 10)), st.integers(1, 9),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(items, max_size=40))
def test_counts_of_posts_are_what_a_recount_says(steps: list[tuple[str, int, int, int, int]]) -> None:
    connection = fresh()
    for act, community, post, hidden, sort_at in steps:
        one = (community, post)
        if act == "hide":
            connection.execute("UPDATE feed_item SET hidden = ? WHERE community = ? AND post = ?", (hidden, *one))
        elif act == "purge":
            connection.execute("DELETE FROM feed_item WHERE post = ?", (post,))
        else:
            connection.execute("DELETE FROM feed_item WHERE community = ? AND post = ?", one)
        if act == "put":
            connection.execute(
                "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence)"
                " VALUES (?, ?, ?, ?, 'at://did:plc:xy/app.bsky.feed.post/' || ?, '')",
                (community, hidden, sort_at, post, post),
            )
        assert counted(connection) == recounted(connection)
    connection.close()


def test_a_new_community_is_counted(connection: Any) -> None:
    connection.execute(
        "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (9, 'x', '', '', '{}', 1)"
    )
    assert counted(connection)[-1] == (9, 0, 0, 0)
    assert counted(connection) == recounted(connection)


def test_of_what_somebody_did_the_last_is_remembered_and_of_others_all(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("communities.members.MOST_REMEMBERED", 4)
    give(connection, BOB, LOW, MEMBER, act="join")
    give(connection, ALICE, LOW, BANNED, act="ban", by=OWNER)
    give(connection, ALICE, LOW, None, act="unban", by=OWNER)
    for _ in range(10):
        give(connection, ALICE, LOW, MEMBER, act="join")
        give(connection, ALICE, LOW, None, act="leave")
    query = "SELECT act FROM membership_event WHERE actor = ? ORDER BY id"
    acts = [act for (act,) in connection.execute(query, (find_actor(connection, ALICE),))]
    assert acts == ["ban", "unban", "join", "leave", "join", "leave"]
    assert connection.execute(query, (find_actor(connection, BOB),)).fetchall() == [("join",)]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {_FORGET}", (1, 4)).fetchall()
    assert all(
        "membership_event_actor" in str(row) or "PRIMARY KEY" in str(row) or "SUBQUERY" in str(row) for row in plan
    )
