"""The rules in force, kept community by community, against the same made anew from all rows."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playhouse.apsw_ext import APSWDatabase

from communities.community import Community, Exclude, Include
from communities.directory import settle
from communities.matching import Matcher, compile_rules
from communities.members import account_agrees
from communities.post import read_post
from firehose.in_force import InForce
from models import communities as community_rows
from models.database import open_database, sql, writing
from tests.didnet import plc

DIDS = [plc(number) for number in range(1, 6)]
LISTS = [f"at://{did}/app.bsky.graph.list/l" for did in DIDS[:2]]


def some(*values: str) -> Any:
    return st.lists(st.sampled_from(values), max_size=3).map(tuple)


INCLUDE = st.builds(
    Include,
    hashtags=some("a", "B", "b", "c"),
    keywords=some("one", "one two", "One  two", "one three", "two"),
    mentions=some(*DIDS),
    members=some(*DIDS),
    lists=some(*LISTS),
    joined=st.booleans(),
)
COMMUNITY = st.builds(
    Community,
    st.just("x"),
    st.sampled_from(("X", "Y")),
    owner=st.sampled_from(DIDS),
    account=st.none() | st.sampled_from(DIDS),
    join_by=some("tag", "record"),
    posting=st.sampled_from(("anyone", "members")),
    parent=st.none() | st.sampled_from([f"c{number}" for number in range(4)]),
    include=INCLUDE,
    exclude=st.builds(Exclude, hashtags=some("a", "z"), replies=st.booleans()),
)


def plain(matcher: Matcher) -> dict[str, Any]:
    """All that a matcher answers from; of what stands under a key the order says nothing."""
    names = ("tags", "mentions", "authors", "phrases", "openings", "lists")
    indexes = {name: {key: sorted(value) for key, value in getattr(matcher, name).items()} for name in names}
    return indexes | {"rules": matcher.rules, "listed": matcher.listed, "joins": matcher.joins}


def test_a_list_is_looked_up_as_it_is_now() -> None:
    matcher = compile_rules([(1, Community("x", "X", include=Include(lists=(LISTS[0],))))], {LISTS[0]: DIDS[:2]})
    assert matcher.set_list(LISTS[0], DIDS[1:3]) == {DIDS[0], DIDS[2]}
    assert set(matcher.authors) == set(DIDS[1:3])
    assert matcher.set_list(LISTS[0], None) == set(DIDS[1:3]) and matcher.authors == {} and matcher.listed == {}


def test_whoever_matches_in_another_thread_meets_no_half_a_community() -> None:
    """One that was taken out between the look for it and the look at its rules has no post."""
    matcher = compile_rules([(1, Community("x", "X", include=Include(hashtags=("a",))))], {})
    post = read_post({"$type": "app.bsky.feed.post", "text": "", "tags": ["a"], "createdAt": "2026-01-01T00:00:00Z"})
    assert post is not None and [match.community for match in matcher.match(DIDS[0], post)] == [1]
    matcher.rules.pop(1)
    assert matcher.match(DIDS[0], post) == []


CHANGE = (
    st.tuples(st.just("declare"), st.integers(0, 3), COMMUNITY)
    | st.tuples(st.just("rename"), st.integers(0, 3), st.sampled_from(("X", "Y")))
    | st.tuples(st.just("end"), st.integers(0, 3), st.none())
    | st.tuples(st.just("join"), st.integers(0, 3), st.tuples(st.sampled_from(DIDS), st.integers(1, 3)))
    | st.tuples(st.just("leave"), st.integers(0, 3), st.sampled_from(DIDS))
    | st.tuples(st.just("list"), st.integers(0, 1), st.none() | some(*DIDS))
    | st.tuples(st.just("take over"), st.none(), st.none())
)


class Stage:
    """Rows, and what is in force of them."""

    def __init__(self, database: APSWDatabase) -> None:
        self.database = database
        self.connection = sql(database)
        self.owed: set[str] = set()
        with writing(database) as connection:
            connection.executemany("INSERT INTO actor (did) VALUES (?)", [(did,) for did in DIDS])
        self.in_force = InForce(self.connection)
        self.in_force.load()
        self.declared: dict[int, Community] = {}
        self.noticed = 0
        self.lists_changed = False

    def change(self, what: str, number: Any, value: Any) -> None:
        with writing(self.database) as connection:
            if what == "declare":
                self.declared[number] = replace(value, slug=f"c{number}")
                plain = self.declared[number].to_json()
                uri = f"at://{value.owner}/social.communities.community/c{number}"
                if connection.execute("SELECT 1 FROM community WHERE slug = ?", (f"c{number}",)).fetchone():
                    assigned = "UPDATE community SET uri = ?, owner = ?, declared = 1 WHERE slug = ?"
                    connection.execute(assigned, (uri, value.owner, f"c{number}"))
                assert community_rows.declare_record(connection, uri, plain, 1, most=9) is None
            elif what == "rename" and number in self.declared:
                self.change_back(number, value)
            elif what == "end":
                self.declared.pop(number, None)
                connection.execute("UPDATE community SET declared = 0 WHERE slug = ?", (f"c{number}",))
            elif what == "join":
                self.member(number, value[0], "member", value[1])
            elif what == "leave":
                self.member(number, value, None, None)
            elif what == "list":
                self.list(LISTS[number], value)
        if what == "take over":
            self.take_over()

    def change_back(self, number: int, name: str) -> None:
        community = self.declared[number] = replace(self.declared[number], name=name)
        uri = f"at://{community.owner}/social.communities.community/c{number}"
        assert community_rows.declare_record(self.connection, uri, community.to_json(), 1, most=9) is None

    def member(self, number: int, did: str, status: str | None, role: int | None) -> None:
        row = self.connection.execute("SELECT id FROM community WHERE slug = ?", (f"c{number}",)).fetchone()
        if row is None:
            return
        (actor,) = self.connection.execute("SELECT id FROM actor WHERE did = ?", (did,)).fetchone()
        self.connection.execute("DELETE FROM membership WHERE community = ? AND actor = ?", (row[0], actor))
        if status:
            self.connection.execute(
                "INSERT INTO membership (community, actor, status, role, since, via) VALUES (?, ?, ?, ?, 1, 'x')",
                (row[0], actor, status, role),
            )
        self.connection.execute(
            "INSERT INTO membership_event (community, actor, act, by, status, role, at)"
            " VALUES (?, ?, 'x', '', ?, ?, 1)",
            (row[0], actor, status, role),
        )

    def list(self, uri: str, members: Iterable[str] | None) -> None:
        self.connection.execute("DELETE FROM list WHERE uri = ?", (uri,))
        self.connection.execute("DELETE FROM list_item WHERE list = ?", (uri,))
        if members is not None:
            self.connection.execute("INSERT INTO list (uri) VALUES (?)", (uri,))
            self.connection.executemany(
                "INSERT INTO list_item (owner, rkey, list, subject) VALUES (?, ?, ?, ?)",
                [(uri, f"r{at}", uri, did) for at, did in enumerate(dict.fromkeys(members))],
            )
        self.lists_changed = True

    def take_over(self) -> None:
        """As the ingest does between two events."""
        query = (
            "SELECT e.id, e.community, a.did, e.status, e.role FROM membership_event e JOIN actor a ON a.id = e.actor"
            " WHERE e.id > ? ORDER BY e.id"
        )
        for number, community, did, status, role in self.connection.execute(query, (self.noticed,)).fetchall():
            self.noticed = number
            self.in_force.note(community, did, status, role)
            settings = self.in_force.places.get(community)
            if settings is not None and settings.joined and status == "member":
                self.in_force.matcher.add_member(community, did)
            self.owed.add(did)
        if self.lists_changed:
            self.owed |= self.in_force.take_lists().dids
        self.owed |= self.in_force.take_over().dids
        self.lists_changed = False


class Undone(Exception):
    """All of it shall not have been."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APSWDatabase]:
    database = open_database(tmp_path_factory.mktemp("in force") / "x.db")
    yield database
    database.close()


@settings(max_examples=150)
@given(st.lists(CHANGE, max_size=25))
def test_what_was_taken_over_bit_by_bit_is_what_is_made_anew(
    database: APSWDatabase, changes: list[tuple[str, Any, Any]]
) -> None:
    with suppress(Undone), writing(database):
        one = Stage(database)
        followed = set(one.in_force.followed)
        for change in changes:
            one.change(*change)
        one.take_over()
        anew = InForce(one.connection)
        anew.load()
        assert plain(one.in_force.matcher) == plain(anew.matcher)
        assert set(one.in_force.followed) == set(anew.followed)
        assert all((did in one.in_force.followed) == (did in set(anew.followed)) for did in DIDS)
        # Whoever came to be followed, or is followed no longer, was named.
        assert followed ^ set(anew.followed) <= one.owed
        rows = community_rows.declared(one.connection)

        def administers(did: str, community: int) -> bool:
            query = (
                "SELECT 1 FROM membership WHERE community = ? AND role = 3 AND status = 'member' AND actor ="
                " (SELECT id FROM actor WHERE did = ?)"
            )
            return one.connection.execute(query, (community, did)).fetchone() is not None

        settled = settle([(row.id, row.uri, Community.from_json(row.rule)) for row in rows], administers)
        for row in community_rows.known(one.connection):
            assert one.in_force.places.get(row.id) == settled.get(row.id)
            assert one.in_force.places.find(row.slug) == settled.find(row.slug)
        for did in DIDS:
            assert one.in_force.places.of_account(did) == settled.of_account(did)
            agreed = {place.account for place in settled.by_id.values() if account_agrees(one.connection, place)}
            naive = {row.owner for row in rows} | agreed
            assert did not in naive or did in anew.followed
        raise Undone
