"""The database refuses: nothing is lost, nothing doubled, the process goes on. One bad event harms no other."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from firehose.index import Index
from firehose.ops import Commit
from models.database import sql
from tests.ingest_site import Site, uris, write_lock
from tests.world import Record


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        await site.marked()
        yield site


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """No page more, and every free one is taken."""
    connection: Any = sql(site.ingest.database)
    connection.execute("PRAGMA max_page_count = 1")  # as many as there are
    yield
    connection.execute("PRAGMA max_page_count = 1000000")


def busy_writing(site: Site) -> list[Record]:
    """More than fits into the pages that are there, in deeds of every kind; returns what is shown in the end."""
    alice, bob = site.people("alice", "bob")
    posts = [alice.post(f"{number} #python", pad="x" * 2000) for number in range(60)]
    for post in posts:
        bob.like(post)
        bob.reply(post, "yes")
    for post in posts[:30]:
        alice.delete(post)
    return posts[30:]


async def shown(site: Site, posts: list[Record]) -> None:
    await site.caught_up()
    marker = [uri for uri in await site.feed() if uri not in uris(*posts)]
    assert marker == []
    assert await site.feed() == uris(*reversed(posts))
    assert {site.counts(post) for post in posts} == {(1, 0, 1, 0)}


@pytest.mark.parametrize("fault", [write_lock, full_disk])
async def test_a_database_that_refuses_loses_and_doubles_nothing(site: Site, fault: Any) -> None:
    before = site.cursor
    with fault(site):
        posts = busy_writing(site)
        await site.until("several refusals", lambda: site.closes.get("events could not be stored", 0) >= 3)
        # Invariant 1: what is not committed is not passed.
        assert site.cursor == before or fault is full_disk
        assert site.rows("PRAGMA integrity_check") == [("ok",)]
    await shown(site, posts)
    assert site.rows("SELECT * FROM quarantine") == []


@pytest.mark.parametrize("fault", [write_lock, full_disk])
async def test_a_stream_that_falls_silent_is_asked_again(site: Site, fault: Any) -> None:
    """Nothing more comes that would show that the last event was not stored."""
    (alice,) = site.people("alice")
    await site.caught_up()
    with fault(site):
        post = alice.post("#python", pad="x" * 200_000)
        await site.until("another connection", lambda: len(site.world.relay.sessions) == 2)
    await site.caught_up()
    assert await site.feed() == [post.uri]
    assert site.closes.keys() == {"events could not be stored"}


async def test_poison_is_not_passed_while_it_cannot_be_kept(site: Site) -> None:
    (alice,) = site.people("alice")
    await site.caught_up()
    with write_lock(site):
        site.world.emit(b"poison")
        await site.until("refusals", lambda: site.closes.get("events could not be stored", 0) >= 2)
    post = alice.post("#python")
    await site.caught_up(post.seq)
    assert await site.feed() == [post.uri]
    assert site.rows("SELECT frame FROM quarantine") == [(b"poison",)]
    assert site.dropped == {"frame is no DAG-CBOR": 1}


@pytest.mark.parametrize("error", [ValueError("ours"), apsw.ConstraintError("odd"), RecursionError(), KeyError("x")])
async def test_an_event_that_cannot_be_applied_goes_into_quarantine_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = Index.commit

    def commit(self: Index, commit: Commit, received_at: int) -> None:
        real(self, commit, received_at)  # rows are written before it fails
        if any(op.rkey == "bad" for op in commit.ops):
            raise error

    monkeypatch.setattr(Index, "commit", commit)
    alice, bob = site.people("alice", "bob")
    posts = [alice.post("one #python"), bob.post("two #python")]
    bad = alice.post("bad #python", rkey="bad")
    like = bob.like(bad)
    posts += [alice.post("three #python"), bob.post("four #python")]
    await site.caught_up()
    # What it said is read from the repository (A41), now or in a moment.
    assert [uri for uri in await site.feed() if uri != bad.uri] == uris(*reversed(posts))
    is_there = "SELECT 1 FROM post WHERE rkey = 'bad'"
    await site.until("it is read from the repository", lambda: bool(site.rows(is_there)))
    ((seq, reason, frame),) = site.rows("SELECT seq, reason, frame FROM quarantine")
    assert (seq, frame) == (bad.seq, site.world.relay.history[bad.seq - 1].frame)
    assert reason.startswith(type(error).__name__)
    assert site.dropped == {"event could not be applied": 1}
    assert site.ingest.index.counts["account desynchronized"] == 1
    assert len(site.world.relay.sessions) == 1
    bob.delete(like)
    alice.delete(bad)
    await site.caught_up()


async def test_an_event_that_cannot_be_read_goes_into_quarantine_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = site.people("alice", "bob")
    first = alice.post("one #python")
    await site.caught_up()

    def raising(did: str) -> None:
        raise RuntimeError("a fault of ours")

    site.ingest.on_identity(raising)
    event = bob.identity()
    last = bob.post("two #python")
    await site.caught_up()
    assert await site.feed() == uris(last, first)
    assert site.rows("SELECT seq, reason FROM quarantine") == [(event, "RuntimeError: a fault of ours")]
    assert site.dropped == {"event could not be read": 1}


@pytest.mark.parametrize("error", [apsw.CorruptError("malformed"), apsw.NotADBError("no database")])
async def test_a_broken_file_ends_the_process_and_passes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    site = Site(tmp_path)
    async with site:
        await site.marked()
        cursor = site.cursor
        with monkeypatch.context() as patch:
            patch.setattr(Index, "commit", lambda self, commit, received_at: raise_(error))
            post = site.world.account("alice").post("#python")
            with pytest.raises(type(error)):
                await site.until("the end", lambda: False)
        assert site.cursor == cursor
        assert site.rows("SELECT * FROM quarantine") == []
        site.ingest.database.close()
        site.open()
        await site.start()
        await site.caught_up()
        assert await site.feed() == [post.uri]


def raise_(error: Exception) -> None:
    raise error


async def test_a_stop_while_the_database_refuses_is_a_stop(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        await site.marked()
        before = site.cursor
        with write_lock(site):
            post = site.world.account("alice").post("#python")
            await site.world.relay.delivered(post.seq)
            await site.stop()
            assert site.cursor == before
        site.ingest.database.close()
        site.open()
        await site.start()
        await site.caught_up()
        assert await site.feed() == [post.uri]
