"""The position in the stream: what is asked for, what is refused, and how an operator moves it (S82, S84)."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from tests.ingest_site import Site, uris
from tests.world import Record, Write
from tests.world.clock import tid


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def reset(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *to: str) -> Any:
    """`communities cursor reset` beside the running ingest; its JSON."""
    monkeypatch.setenv("COMMUNITIES_DATA", str(site.path.parent))
    monkeypatch.setenv("COMMUNITIES_SOURCE", site.world.relay_url)
    monkeypatch.setenv("COMMUNITIES_HOSTNAME", "feeds.example.com")
    monkeypatch.chdir(site.folder)
    capsys.readouterr()
    code = await asyncio.to_thread(main, ["cursor", "reset", "--json", *to])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


async def stopped(site: Site, cause: str) -> None:
    """The source stands still, and the report that other processes read says so."""
    await site.until(
        "standing still",
        lambda: f'"stopped: {cause}' in site.rows("SELECT report FROM process")[0][0],
    )


async def test_a_first_start_begins_at_the_live_end_and_later_ones_behind_the_cursor(tmp_path: Path) -> None:
    site = Site(tmp_path)
    alice = site.world.account("alice")
    alice.post("before the service existed #python")
    async with site:
        first = alice.post("first #python")
        await site.caught_up()
        await site.stop()
        away = alice.post("while it was away #python")
        site.open()
        await site.start()
        last = alice.post("last #python")
        await site.caught_up()
        assert await site.feed() == uris(last, away, first)
        assert site.world.relay.connections == [None, first.seq]


async def test_the_cursor_moves_on_over_events_that_do_not_matter(site: Site) -> None:
    (alice,) = site.people("alice")
    for _ in range(5):
        alice.follow(alice)
    await site.caught_up()
    assert site.cursor == site.world.relay.head
    assert site.rows("SELECT event_at > 0 FROM source") == [(1,)]


async def test_seqs_may_leave_gaps_of_any_size(site: Site) -> None:
    (alice,) = site.people("alice")
    posts = []
    for gap in (0, 1, 1000, 10**9, 2**52):
        site.world.relay.jump(gap)
        posts.append(alice.post("#python"))
    await site.caught_up()
    assert await site.feed() == uris(*reversed(posts))


async def test_s84_a_seq_that_repeats_or_falls_within_a_connection_is_not_processed(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    for jump in (-1, -3, -2):
        site.world.relay.jump(jump)
        alice.post("under a seq that was #python")
    site.world.relay.jump(1000)
    last = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(last, first)
    assert site.dropped == {"seq not rising": 3}
    assert site.cursor == last.seq


async def test_s88_a_rev_that_does_not_rise_is_silently_skipped(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    payload = alice.commit(Write("create", "app.bsky.feed.like/aaa", like_of(site, post)))
    for _ in range(3):
        site.world.relay.send("#commit", payload)  # each under a new seq
    for rev in ("2222222222222", tid(site.world.clock.now() - 10**9)):
        site.world.relay.send("#commit", bob.commit(Write("create", f"{post.collection}/{rev}", tagged(site))))
        forged = bob.repo.commit((Write("delete", f"{post.collection}/{rev}"),), rev)
        site.world.relay.send("#commit", forged)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)
    assert len(await site.feed()) == 3  # the deletions under old revs were not applied
    assert site.ingest.index.counts["commit already applied"] == 4


def like_of(site: Site, post: Record) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.like", "subject": post.ref, "createdAt": site.world.clock.iso()}


def tagged(site: Site) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.post", "text": "", "tags": ["python"], "createdAt": site.world.clock.iso()}


async def test_s88_a_rev_in_the_future_is_dropped_and_poisons_nothing(site: Site) -> None:
    (alice,) = site.people("alice")
    now = site.world.clock.now()
    path = "app.bsky.feed.post/{}"
    for rkey, ahead in (("far", 3600), ("near", 240)):
        writes = (Write("create", path.format(rkey), tagged(site)),)
        site.world.relay.send("#commit", alice.repo.commit(writes, tid(now + ahead * 1_000_000)))
    await site.caught_up()
    assert await site.feed() == [f"at://{alice.did}/{path.format('near')}"]
    assert site.dropped == {"rev in the future": 1}


async def test_s82_a_cursor_in_the_future_stops_it_until_an_operator_resets(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (alice,) = site.people("alice")
    old = alice.post("old #python")
    await site.caught_up()
    cursor = site.cursor
    site.world.relay.rebuild()
    unseen = alice.post("of the new relay #python")
    await site.world.relay.drop()
    await stopped(site, "FutureCursor")
    assert (site.cursor, await site.feed()) == (cursor, [old.uri])  # no automatic reset
    connections = len(site.world.relay.sessions)

    assert await reset(site, monkeypatch, capsys) == []
    await site.until("the connection", lambda: len(site.world.relay.sessions) > connections)
    fresh = alice.post("live #python")
    await site.caught_up()
    assert unseen.uri not in await site.feed()
    assert await site.feed() == uris(fresh, old)
    assert site.world.relay.connections[-1] is None
    assert site.cursor == fresh.seq


async def test_s84_a_stream_that_starts_below_the_cursor_stops_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.world.relay.manners = "relay"  # such ones silently go live
    site.world.relay.jump(1000)
    (alice,) = site.people("alice")
    old = alice.post("old #python")
    await site.caught_up()
    cursor = site.cursor
    site.world.relay.rebuild()
    await site.world.relay.drop()
    await site.until("the connection", lambda: len(site.world.relay.sessions) == 2)
    unseen = alice.post("below the cursor #python")
    await stopped(site, "stream rewound")
    alice.post("still unseen #python")
    assert (site.cursor, await site.feed()) == (cursor, [old.uri])

    await reset(site, monkeypatch, capsys, "--to", "0")
    # All that the new relay has is read now.
    await site.until("the new stream", lambda: site.cursor == site.world.relay.head)
    assert unseen.uri in await site.feed()
    assert len(await site.feed()) == 3


async def test_an_account_event_of_the_old_stream_does_not_fence_the_new_one(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.world.relay.jump(1000)
    (alice,) = site.people("alice")
    post = alice.post("#python")
    alice.set_status(False, "suspended")
    await site.caught_up()
    site.world.relay.rebuild()
    await site.world.relay.drop()
    await stopped(site, "FutureCursor")
    await reset(site, monkeypatch, capsys, "--to", "0")
    alice.set_status(True)
    await site.until("the new stream", lambda: site.cursor == site.world.relay.head)
    assert await site.feed() == [post.uri]


async def test_a_reset_is_refused_while_the_stream_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.marked()
    await site.until("a report", lambda: '"reading"' in str(site.rows("SELECT report FROM process")))
    cursor = site.cursor
    with pytest.raises(AssertionError, match="ingest is running"):
        await reset(site, monkeypatch, capsys)
    assert site.cursor == cursor


async def test_a_cursor_belongs_to_its_source(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site:
        site.world.relay.jump(5000)
        alice = site.world.account("alice")
        first = alice.post("#python")
        alice.set_status(False, "deactivated")
        await site.caught_up()
        await site.stop()
        # The same network under another name, whose numbers are lower.
        site.world.relay.url = site.world.relay.url.replace("127.0.0.1", "localhost")
        site.world.relay.rebuild()
        site.open()
        await site.start()
        alice.set_status(True)
        second = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == uris(second, first)
        assert site.world.relay.connections == [None, None]
        assert len(site.rows("SELECT * FROM source")) == 2


async def test_a_relay_that_counts_its_cursor_as_wanted_too_doubles_nothing(site: Site) -> None:
    """The cursor is inclusive on some relays: the first event then is one that was had already."""
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    last = site.world.relay.history[-1].frame
    site.world.relay.faults.edit(1, lambda frame: (last, frame))
    await site.world.relay.drop()
    second = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(second, first)
    assert site.dropped == {"seq not rising": 1}
