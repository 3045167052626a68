"""The rows of events in any order and number: applied twice is applied once, and the counts are always true (S98)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from communities.community import Community
from communities.directory import settle
from communities.matching import Match, Matcher
from communities.post import read_post
from firehose.events import Account, Event
from firehose.index import Index
from firehose.ops import LIKE, POST, QUOTE, REPLY, REPOST, Commit, Delete, Op, PutEngagement, PutPost
from models.database import Connection, open_database, writing
from tests.bad_commits import POST as NSID
from tests.ingest_rows import check_rest, dump
from tests.world.clock import tid

T = TypeVar("T")
NOW = 1_790_000_000_000_000
DIDS = [f"did:plc:{letter * 24}" for letter in "abc"]
KEYS = ["one", "two"]
SUBJECTS = [f"at://{did}/{POST}/{key}" for did in DIDS for key in KEYS]
RECORD = read_post({"$type": NSID, "text": "", "createdAt": "2026-01-01T00:00:00Z"})
COLLECTIONS = (POST, "app.bsky.feed.like", "app.bsky.feed.repost")


def put_post(rkey: str, communities: set[int], parent: str | None, quote: str | None) -> PutPost:
    assert RECORD is not None
    matches = [Match(number, (f"hashtag:{number}",)) for number in sorted(communities)]
    return PutPost(rkey, b"cid " + rkey.encode(), b"block", RECORD, matches, parent, quote)


PUT_POSTS = st.builds(
    put_post,
    st.sampled_from(KEYS),
    st.sets(st.integers(1, 2)),
    st.none() | st.sampled_from(SUBJECTS),
    st.none() | st.sampled_from(SUBJECTS),
)
OPS: st.SearchStrategy[Op] = st.one_of(
    PUT_POSTS,
    st.builds(PutEngagement, st.sampled_from((LIKE, REPOST)), st.sampled_from(KEYS), st.sampled_from(SUBJECTS)),
    st.builds(Delete, st.sampled_from(COLLECTIONS), st.sampled_from(KEYS)),
)
STATUSES = st.sampled_from([(True, None), (False, "deactivated"), (False, "takendown"), (False, "deleted")])


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events as a stream brings them: seqs rise, and so do revs, mostly."""
    events: list[Event] = []
    for seq in range(1, draw(st.integers(1, 14)) + 1):
        did = draw(st.sampled_from(DIDS))
        if draw(st.integers(0, 5)) == 0:
            active, status = draw(STATUSES)
            events.append(Account(seq, did, active, status))
        else:
            rev = tid(NOW + (seq if draw(st.integers(0, 6)) else draw(st.integers(0, seq))))
            events.append(Commit(seq, did, rev, "", draw(st.lists(OPS, min_size=1, max_size=3))))
    return events


@pytest.fixture(scope="module")
def in_a_write(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Callable[[Connection], T]], T]]:
    """Run something in a transaction on an empty database; nothing of it stays."""
    database = open_database(Path(tmp_path_factory.mktemp("index")) / "communities.db")
    with writing(database) as connection:
        connection.executemany(
            "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (?1, ?1, ?1, '', '{}', 1)",
            [(1,), (2,)],
        )

    class Undone(Exception):
        pass

    def run(work: Callable[[Connection], T]) -> T:
        try:
            with writing(database) as connection:
                result = work(connection)
                raise Undone
        except Undone:
            return result

    yield run
    database.close()


Run = Callable[[Callable[[Connection], Any]], Any]


def indexed(connection: Connection) -> Index:
    """An index of two communities that take whatever matches."""
    index = Index(connection, 10**18)
    declared = [(number, None, Community(str(number), str(number))) for number in (1, 2)]
    index.admissions.use(Matcher(), settle(declared, lambda did, community: False))
    return index


def apply(index: Index, events: Sequence[Event], times: int = 1) -> None:
    for event in events:
        for _ in range(times):
            if isinstance(event, Commit):
                index.commit(event, NOW)
            elif isinstance(event, Account):
                index.account(event, "ws://a.example", NOW)


def rows(connection: Connection, events: Sequence[Event], times: int = 1, forget_every: int = 0) -> Any:
    index = indexed(connection)
    for number, event in enumerate(events):
        apply(index, [event], times)
        if forget_every and number % forget_every == 0:
            index.forget()
    check_rest(connection)
    return dump(connection)


PROPERTY = settings(max_examples=150)


@PROPERTY
@given(events=histories())
def test_s98_applied_twice_is_applied_once(in_a_write: Run, events: list[Event]) -> None:
    once = in_a_write(lambda connection: rows(connection, events))
    assert in_a_write(lambda connection: rows(connection, events, times=3)) == once


@PROPERTY
@given(events=histories())
def test_what_is_cached_of_accounts_changes_nothing(in_a_write: Run, events: list[Event]) -> None:
    once = in_a_write(lambda connection: rows(connection, events))
    assert in_a_write(lambda connection: rows(connection, events, forget_every=1)) == once


@PROPERTY
@given(
    events=histories(), late=st.lists(OPS, min_size=1, max_size=3), did=st.sampled_from(DIDS), back=st.integers(0, 20)
)
def test_s98_what_comes_late_changes_nothing(
    in_a_write: Run, events: list[Event], late: list[Op], did: str, back: int
) -> None:
    """A commit at or below the account's rev, and an account event at or below the last one applied."""

    def work(connection: Connection) -> None:
        index = indexed(connection)
        apply(index, events)
        before = dump(connection)
        known = connection.execute("SELECT rev, account_seq FROM actor WHERE did = ? AND rev != ''", (did,)).fetchone()
        if known:
            rev = min(known[0], tid(NOW + back))
            apply(index, [Commit(99, did, rev, "", late)])
            if known[1]:
                apply(index, [Account(known[1], did, False, "deleted")])
        assert dump(connection) == before

    in_a_write(work)


@PROPERTY
@given(events=histories())
def test_an_account_that_goes_and_comes_back_leaves_everything_as_it_was(in_a_write: Run, events: list[Event]) -> None:
    def work(connection: Connection) -> None:
        index = indexed(connection)
        apply(index, [*events, *(Account(50 + n, did, True, None) for n, did in enumerate(DIDS))])
        before = dump(connection)
        for number, did in enumerate(DIDS * 2):
            apply(index, [Account(100 + number, did, number >= 3, None if number >= 3 else "suspended")])
            check_rest(connection)
        assert dump(connection) == before

    in_a_write(work)


def test_kinds_have_each_their_column(in_a_write: Run) -> None:
    def work(connection: Connection) -> None:
        index = indexed(connection)
        post = SUBJECTS[0]
        apply(index, [Commit(1, DIDS[0], tid(NOW), "", [put_post("one", {1}, None, None)])])
        said = [put_post("one", set(), post, None), put_post("two", set(), None, post)]
        engaged = [PutEngagement(LIKE, "x", post), PutEngagement(REPOST, "x", post)]
        apply(index, [Commit(2, DIDS[1], tid(NOW), "", [*engaged, *said])])
        assert connection.execute("SELECT likes, reposts, replies, quotes FROM post").fetchall() == [(1, 1, 1, 1)]
        kinds = connection.execute("SELECT kind FROM engagement ORDER BY kind").fetchall()
        assert kinds == [(LIKE,), (REPOST,), (REPLY,), (QUOTE,)]

    in_a_write(work)
