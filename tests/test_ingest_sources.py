"""Other sources than a relay: the same history makes the same rows, and what is theirs alone (J1-J15, T1-T6, A3)."""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from tests.history import History
from tests.ingest_site import uris, write_lock
from tests.source_site import KINDS, RELAY, TAP, V1, V2, SourceSite, carried, make_dictionary
from tests.world import Record, Write
from tests.world.car import cid_of

EVENTS = 300
PATHS = {V1: "/subscribe", V2: "/xrpc/network.bsky.jetstream.subscribeEvents"}
LISTED = '[[community]]\nslug = "python"\nname = "Python"\ninclude.hashtags = ["x"]\ninclude.lists = ["{uri}"]\n'


def a_clock(start: int) -> Iterator[int]:
    return itertools.count(start, 1000)


@pytest.fixture(params=(V1, V2))
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SourceSite]:
    """One that reads a Jetstream, of either version."""
    async with SourceSite(tmp_path, request.param) as site:
        yield site


@pytest.fixture
async def tapped(tmp_path: Path) -> AsyncIterator[SourceSite]:
    async with SourceSite(tmp_path, TAP) as site:
        yield site


async def test_the_same_history_makes_the_same_rows(tmp_path: Path) -> None:
    start = time.time_ns() // 1000 - 3_600_000_000
    dumps = {}
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        clock = a_clock(start)
        async with SourceSite(folder, kind, now=lambda clock=clock: next(clock)) as site:  # type: ignore[misc]
            site.world.pds.failing = 503  # a #sync without proof has repositories read, which mends more than was lost
            history = History(site.world, 5, leave=False)
            # Tap keeps the order of an account only: a like may overtake the post that it is of.
            pieces = EVENTS if kind == TAP else 3
            for _ in range(pieces):
                history.run(EVENTS // pieces)
                await site.caught_up()
            # What Tap sends is for its operator to say.
            assert set(site.dropped) == ({"outside the filter"} if kind == TAP else set())
            assert len(history.deeds) > 12
            dumps[kind] = site.dump()
    assert len(dumps[RELAY]["items"]) > 20
    assert any(likes for *_, likes, _, _, _ in dumps[RELAY]["posts"])
    for kind in KINDS:
        assert carried(dumps[kind], kind) == carried(dumps[RELAY], kind), kind


# Commits that are told operation by operation


def three(site: SourceSite, like: Record) -> tuple[Write, ...]:
    post = {"$type": "app.bsky.feed.post", "text": "", "tags": ["python"], "createdAt": site.world.clock.iso()}
    return (
        Write("create", "app.bsky.feed.post/aaa", post),
        Write("delete", like.path),
        Write("create", "app.bsky.feed.post/bbb", post),
    )


async def test_j1_all_operations_of_a_split_commit_are_applied(site: SourceSite) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    like = bob.like(post)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)
    bob.write(*three(site, like))
    await site.caught_up()
    assert len(await site.feed()) == 3
    assert site.counts(post) == (0, 0, 0, 0)
    assert site.rows("SELECT rev FROM actor WHERE did = ?", bob.did) == [(bob.repo.rev,)]


async def test_j1_a_commit_that_a_break_has_cut_in_two_is_completed(site: SourceSite) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    like = bob.like(post)
    await site.caught_up()
    sent = len(site.jetstream.visits[-1].sent)
    # Counted from the next connection on, which repeats something: cut wherever, it becomes whole.
    for after in (1, 2, 3):
        site.jetstream.faults.abort_after(after)
    await site.jetstream.drop()
    bob.write(*three(site, like))
    await site.until("the cuts", lambda: len(site.jetstream.visits) >= 5)
    await site.caught_up()
    assert len(await site.feed()) == 3
    assert site.counts(post) == (0, 0, 0, 0)
    assert sent > 2


@pytest.mark.parametrize("kind", [V1, V2])
async def test_j1_a_relay_completes_what_a_jetstream_has_begun(tmp_path: Path, kind: str) -> None:
    async with SourceSite(tmp_path, kind) as site:
        (bob,) = site.people("bob")
        like = bob.like(bob.post("#python"))
        await site.caught_up()
        sent = len(site.jetstream.visits[-1].sent)
        site.jetstream.faults.abort_after(sent)
        await site.stop()
        # Of the three operations, the first is the last that arrives.
        seen = len(site.jetstream.visits)
        replayed = 1 if kind == V2 else sent
        site.jetstream.faults.take()
        site.jetstream.faults.stall_after(replayed + 1)
        bob.write(*three(site, like))
        site.open()
        await site.start()
        await site.until("the first operation", lambda: len(site.rows("SELECT 1 FROM feed_item")) == 2)
        assert len(site.jetstream.visits) == seen + 1
        await site.stop()
        site.sources = (RELAY, kind)
        site.open()
        await site.start()
        site.world.account("carol")  # the tip that the place is looked for from
        await site.caught_up()
        assert len(await site.feed()) == 3
        assert site.rows("SELECT sum(likes) FROM post") == [(0,)]


@pytest.mark.parametrize("kind", [V1, V2])
async def test_a43_j1_a_whole_commit_is_applied_once_though_other_sources_were_read_before(
    tmp_path: Path, kind: str
) -> None:
    """Only an account whose last commit came operation by operation is given it again."""
    async with SourceSite(tmp_path, kind) as site:
        alice, bob = site.people("alice", "bob")
        post = alice.post("#python")
        like = bob.like(post)
        await site.caught_up()
        await site.stop()
        site.sources = (RELAY,)
        site.open()
        await site.start()
        site.world.account("carol")  # the tip that the place is looked for from
        await site.caught_up()
        undone = bob.commit(Write("delete", like.path))
        already = []
        for _ in range(2):
            site.world.relay.send("#commit", undone)
            await site.caught_up()
            already.append(site.ingest.index.counts["commit already applied"])
        assert already[1] == already[0] + 1
        assert site.counts(post) == (0, 0, 0, 0)
        assert site.rows("SELECT split FROM actor WHERE did = ?", bob.did) == [(0,)]
        # Of her last commit, nobody has told it whole yet.
        assert site.rows("SELECT split FROM actor WHERE did = ?", alice.did) == [(1,)]


# Records


async def test_what_does_not_hash_to_its_cid_is_not_believed(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    good = alice.post("good #python")
    site.jetstream.rewrite = lambda raw: raw.replace(b"honest", b"forged")
    alice.post("honest #python")
    await site.caught_up()
    assert await site.feed() == [good.uri]
    assert site.dropped == {"record is not what its cid says": 1}
    # Where something indexed stands, it cannot stay either: its author's repository is to be read.
    alice.update(good, {"text": "honest #python"})
    await site.caught_up()
    assert site.dropped == {"record is not what its cid says": 2}
    assert site.ingest.index.counts["account desynchronized"] == 1


async def test_links_bytes_and_odd_texts_hash_to_their_cid(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    odd = {"data": b"\x00\xff", "n": -(2**53), "blob": {"$type": "blob", "ref": cid_of(b"x"), "size": 3}}
    post = alice.post("naïve \u2028 \U0001f600 #python", **odd)
    await site.caught_up()
    assert await site.feed() == [post.uri]
    assert site.dropped == {}


async def test_s95_a_list_item_is_never_believed_but_has_the_list_read(site: SourceSite) -> None:
    owner, alice, bob = site.people("owner", "alice", "bob")
    list_ = owner.list_("Pythonistas")
    await site.caught_up()
    await site.declare(LISTED.format(uri=list_.uri))
    await site.read_lists()
    await site.until("the first reading", lambda: site.rows("SELECT 1 FROM list WHERE read_at > 0"))

    seen: set[str] = set()

    async def members(*dids: str) -> None:
        def reached() -> bool:
            seen.update(site.ingest.scope.matcher.authors)
            return set(site.ingest.scope.matcher.authors) == set(dids)

        await site.until(f"members {dids}", reached)

    site.jetstream.rewrite = lambda raw: raw.replace(alice.did.encode(), bob.did.encode()) if b"item" in raw else raw
    item = owner.listitem(list_, alice)  # and told as one of bob
    await members(alice.did)
    post = alice.post("of a member")
    bob.post("of nobody")
    await site.caught_up()
    assert await site.feed() == [post.uri]
    assert site.dropped == {"list change without proof": 1}
    owner.delete(item)
    await members()
    await site.until("reapplied", lambda: not site.rows("SELECT 1 FROM feed_item"))
    assert site.dropped == {"list change without proof": 2}
    assert seen == {alice.did}


# How a stream is asked for


async def test_j2_j12_the_filter_stands_in_the_url_and_nothing_is_ever_sent(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    alice.follow(alice)
    post = alice.post("#python")
    await site.caught_up()
    await site.jetstream.drop()
    again = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(again, post)
    for visit in site.jetstream.visits:
        assert visit.path == PATHS[site.sources[0]]
        names = visit.query["wantedCollections" if visit.path == PATHS[V1] else "collections"]
        # Follows and blocks are many, and matter only where a community has an account.
        assert set(names) == {
            f"app.bsky.{name}" for name in ("feed.post", "feed.like", "feed.repost", "graph.list", "graph.listitem")
        } | {f"social.communities.{name}" for name in ("community", "membership", "role", "submission")}
        assert not {"maxMessageSizeBytes", "dids", "wantedDids"} & set(visit.query)
        assert visit.received == []
        assert visit.user_agent.startswith("communities/test (+https://")
    # Accounts and identities come whatever collections are wanted.
    kinds = {line.told.kind for line in site.jetstream.visits[0].sent if line.told}
    assert kinds >= {"commit", "identity", "account"}


async def test_follows_and_blocks_are_asked_for_once_a_community_has_an_account(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    alice.post("#python")
    await site.caught_up()
    await site.declare(f'[[community]]\nslug = "birds"\nname = "Birds"\naccount = "{alice.did}"\n')
    visits = site.jetstream.visits
    await site.until("a second connection", lambda: len(visits) == 2)
    before, after = visits
    name = "wantedCollections" if after.path == PATHS[V1] else "collections"
    asked = set(after.query[name]) - set(before.query[name])
    assert asked == {"app.bsky.graph.follow", "app.bsky.graph.block"}
    assert site.closes == {"other collections are wanted": 1}


async def test_j5_j13_a_start_goes_on_where_the_last_one_ended(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    await site.stop()
    (position,) = site.rows("SELECT url, kind, cursor FROM source")
    away = alice.post("#python")
    site.open()
    await site.start()
    await site.caught_up()
    assert await site.feed() == uris(away, first)
    before, after = site.jetstream.visits
    assert before.cursor is None
    if site.sources == (V1,):
        assert position[:2] == (site.jetstream.url(V1), "time_us")
        assert after.cursor == position[2] - 5_000_000  # around it, order is not kept
    else:
        assert position[:2] == (site.jetstream.url(V2), "seq")
        assert after.cursor == position[2]
        assert after.sent[0].seq == position[2]  # inclusive
        assert site.dropped == {"seq not rising": 1}


async def test_j5_an_account_that_went_and_came_back_stays_when_both_are_told_again(site: SourceSite) -> None:
    (alice,) = site.people("alice")
    post = alice.post("#python")
    alice.set_status(False, "suspended")
    alice.set_status(True)
    await site.caught_up()
    for _ in range(3):
        site.jetstream.faults.stall_after(4 if site.sources == (V1,) else 1)
    await site.again()
    await site.until("the replay", lambda: site.jetstream.visits[-1].sent)
    assert await site.feed() == [post.uri]
    assert site.ingest.index.counts["account hidden"] == 0


async def test_j10_a_server_of_version_1_only_is_read_all_the_same_and_a3_its_cursor_is_no_seq(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2) as site:
        site.jetstream.versions = (1,)
        await site.stop()
        site.open()
        await site.start()
        (alice,) = site.people("alice")
        first = alice.post("#python")
        alice.set_status(False, "suspended")
        await site.caught_up()
        assert await site.feed() == []
        assert [visit.path for visit in site.jetstream.visits[1:]] == [PATHS[V1]]
        assert site.rows("SELECT kind FROM source") == [("time_us",)]
        await site.stop()
        alice.set_status(True)
        away = alice.post("#python")
        site.jetstream.versions = (1, 2)
        site.open()
        await site.start()
        await site.caught_up()
        visit = site.jetstream.visits[-1]
        assert visit.path == PATHS[V2]
        assert visit.cursor is not None and visit.cursor >= 10**15  # a time, and some before the last event
        assert await site.feed() == uris(away, first)
        rows = dict(site.rows("SELECT kind, cursor FROM source"))
        assert rows["seq"] < 10**15 < rows["time_us"]


async def test_j13_what_is_too_old_is_told_of_and_read_from_the_oldest_on(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2) as site:
        (alice,) = site.people("alice")
        first = alice.post("#python")
        await site.caught_up()
        await site.stop()
        alice.post("lost #python")
        kept = [alice.post("kept #python") for _ in range(3)]
        site.jetstream.retention = 3
        kept += [alice.post("kept #python")]
        site.open()
        await site.start()
        await site.caught_up()
        assert await site.feed() == uris(*reversed(kept[1:]), first)
        assert site.closes["CursorTooOld"] == 1
        assert [(visit.cursor or 0) >= 10**15 for visit in site.jetstream.visits] == [False, False, True]
        assert site.ingest.pipeline.kinds["#info"] == 1


async def test_j13_a_cursor_in_the_future_stops_it(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2) as site:
        (alice,) = site.people("alice")
        first = alice.post("#python")
        await site.caught_up()
        cursor = site.ingest.pipeline.committed
        await site.stop()
        site.jetstream._next = 10  # set up anew
        site.jetstream.lines.clear()
        site.jetstream.future_is_error = True
        site.open()
        await site.start()
        await site.until("standing still", lambda: site.ingest.subscription.state.startswith("stopped: FutureCursor"))
        alice.post("#python")
        assert (site.ingest.pipeline.committed, await site.feed()) == (cursor, [first.uri])


async def test_j10_an_error_ends_the_connection_and_unknown_types_are_passed_over(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2) as site:
        (alice,) = site.people("alice")
        first = alice.post("#python")
        await site.caught_up()
        new = '{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#new","seq":%d}}'
        site.jetstream.inject((new % (site.jetstream.head + 1)).encode())
        site.jetstream.inject(b'{"$type":"poem"}')
        site.jetstream.inject(b'{"$type":"error","error":"ConsumerTooSlow","message":"too slow"}')
        await site.until("the next connection", lambda: len(site.jetstream.visits) == 2)
        second = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == uris(second, first)
        assert site.closes == {"ConsumerTooSlow": 1}
        assert site.ingest.pipeline.kinds["other"] == 2


async def test_j11_a_sync_without_proof_has_the_repository_read(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2) as site:
        alice, bob = site.people("alice", "bob")
        alice.post("#python")
        await site.caught_up()
        assert not site.ingest.index.counts["account desynchronized"]
        alice.sync()
        bob.sync()  # nothing is held of him
        await site.caught_up()
        assert site.ingest.index.counts["account desynchronized"] == 1


# Packed messages


@pytest.mark.parametrize("kind", [V1, V2])
async def test_j4_j14_messages_come_packed_when_the_dictionary_is_to_be_had(tmp_path: Path, kind: str) -> None:
    dictionary = make_dictionary()
    if kind == V1:
        dictionary = dictionary[:4] + (1612007021).to_bytes(4, "little") + dictionary[8:]
    async with SourceSite(tmp_path, kind, dictionary=dictionary) as site:
        (alice,) = site.people("alice")
        post = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == [post.uri]
        assert site.jetstream.asked == (["id=1612007021"] if kind == V1 else [""])
        (visit,) = site.jetstream.visits
        assert ("compress" in visit.query) if kind == V1 else ("zstdDictionary" in visit.query)
        assert site.dropped == {}
        assert site.closes == {}


async def test_j14_a_new_dictionary_is_fetched_once(tmp_path: Path) -> None:
    async with SourceSite(tmp_path, V2, dictionary=make_dictionary()) as site:
        site.world.account("alice1")
        await site.caught_up()
        for seed in (2, 3):
            site.jetstream.dictionary = make_dictionary(seed)
            await site.jetstream.drop()
            post = site.world.account(f"alice{seed}").post("#python")
            await site.caught_up()
            assert post.uri in await site.feed()
        packed = ["zstdDictionary" in visit.query for visit in site.jetstream.visits]
        assert packed == [True, True, True, True, False]
        assert len(site.jetstream.asked) == 2
        assert site.closes["UnknownZstdDictionary"] == 2


BOMB = zstandard.ZstdCompressor(level=19).compress(bytes(400 << 20))


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(lambda good: BOMB, id="bomb"),
        pytest.param(lambda good: good + good, id="joined"),
        pytest.param(lambda good: good[:-1], id="cut"),
        pytest.param(lambda good: zstandard.ZstdCompressor(
            dict_data=zstandard.ZstdCompressionDict(make_dictionary(9))).compress(b"{}"), id="wrong dictionary"),
    ],
)  # fmt: skip
async def test_s94_what_is_packed_badly_is_read_unpacked(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    async with SourceSite(tmp_path, V2, dictionary=make_dictionary()) as site:
        pack = site.jetstream.pack
        site.jetstream.pack = lambda message: packed(pack(message)) if b"boom" in message else pack(message)
        (alice,) = site.people("alice")
        posts = [alice.post(f"{text} #python") for text in ("before", "boom", "behind")]
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))
        tried = ["zstdDictionary" in visit.query for visit in site.jetstream.visits]
        assert tried == [True, False]
        assert site.closes == {"packed badly": 1}


# Tap


async def test_t1_t6_an_acknowledgement_goes_out_only_when_the_rows_are_stored(tapped: SourceSite) -> None:
    (alice,) = tapped.people("alice")
    first = alice.post("#python")
    await tapped.caught_up()
    acked = list(tapped.tap.acked)
    with write_lock(tapped):
        second = alice.post("#python")
        await tapped.until("the message", lambda: len(tapped.tap.sent) > len(acked))
        await tapped.until("a write that failed", lambda: tapped.closes.get("events could not be stored"))
        assert tapped.tap.acked == acked
        assert len(tapped.rows("SELECT 1 FROM post")) == 1
    await tapped.caught_up()
    assert await tapped.feed() == uris(second, first)
    assert tapped.tap.acked[: len(acked)] == acked
    assert tapped.tap.bad == []


async def test_t1_what_is_not_acknowledged_comes_again_and_is_doubled_by_nothing(tapped: SourceSite) -> None:
    tapped.tap.timeout = 0.05
    alice, bob = tapped.people("alice", "bob")
    post = alice.post("#python")
    await tapped.caught_up()
    tapped.tap.deaf = True
    bob.like(post)
    sent = tapped.tap.sent
    await tapped.until("a repetition", lambda: sent.count(sent[-1]) > 3)
    connections = tapped.tap.connections
    await tapped.tap.drop()
    await tapped.until("the connection", lambda: tapped.tap.connections > connections)
    tapped.tap.deaf = False
    await tapped.caught_up()
    assert tapped.counts(post) == (1, 0, 0, 0)
    assert tapped.rows("SELECT count(*) FROM engagement") == [(1,)]


async def test_t2_the_password_is_sent_and_stands_nowhere(tapped: SourceSite, caplog: pytest.LogCaptureFixture) -> None:
    (alice,) = tapped.people("alice")
    alice.post("#python")
    await tapped.caught_up()
    assert tapped.tap.refused == 0
    tapped.tap.password = "another"
    await tapped.tap.drop()
    await tapped.until("a refusal", lambda: tapped.tap.refused > 2)
    assert tapped.closes["refused with 401"] > 1
    tapped.tap.password = "secret"
    await tapped.until("a report", lambda: tapped.rows("SELECT report FROM process"))
    shown = f"{tapped.rows('SELECT * FROM source')} {tapped.ingest.state()} {caplog.text}"
    assert "tap+ws://admin@" in shown
    assert "secret" not in shown


async def test_t5_a_deleted_account_is_hidden_by_the_one_event_that_says_so(tapped: SourceSite) -> None:
    alice, bob = tapped.people("alice", "bob")
    alice.post("#python")
    kept = bob.post("#python")
    await tapped.caught_up()
    alice.set_status(False, "deleted")
    await tapped.caught_up()
    assert await tapped.feed() == [kept.uri]
    assert tapped.rows("SELECT active, status FROM actor WHERE did = ?", alice.did) == [(0, "deleted")]


async def test_t1_what_makes_no_sense_is_acknowledged_all_the_same(tapped: SourceSite) -> None:
    for odd in ({"type": "poem"}, {"type": "record"}, {"type": "record", "record": {"did": 5}}, {"type": ["x"]}):
        tapped.tap.inject(odd)
    tapped.tap.inject("no JSON")
    tapped.tap.inject('{"type":"record"}')
    (alice,) = tapped.people("alice")
    post = alice.post("#python")
    await tapped.caught_up()
    assert await tapped.feed() == [post.uri]
    assert tapped.dropped == {"message malformed": 4, "message is no JSON": 1, "message without an id": 1}
    assert tapped.closes == {}
