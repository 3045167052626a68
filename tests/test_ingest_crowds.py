"""Accounts that anybody can make any number of, on hosts that take their time: they keep nobody else waiting."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firehose import proofs, resync, snapshot, sweep, turns
from tests.ingest_site import QUICK, uris
from tests.test_ingest_resync import POST, unseen
from tests.trust_site import TrustSite
from tests.world import Account, Record, Write
from xrpc.did import DidDocument

LIKE = "app.bsky.feed.like"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


def new_post(account: Account) -> Write:
    value = {"$type": POST, "text": "#python", "tags": ["python"], "createdAt": account._clock.iso()}
    return Write("create", f"{POST}/{account._clock.tid()}", value)


def like_of(account: Account, post: Record) -> dict[str, Any]:
    return {"$type": LIKE, "subject": post.ref, "createdAt": account._clock.iso()}


@pytest.mark.parametrize("of_a_host", [3, 100], ids=["on one host", "on many hosts"])
async def test_b11_strangers_on_slow_hosts_leave_places_for_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_a_host: int
) -> None:
    monkeypatch.setattr(resync, "AT_ONCE_OF_A_HOST", of_a_host)
    async with TrustSite(tmp_path) as site:
        (alice,) = site.people("alice")
        crowd = site.people(*(f"stranger{number}" for number in range(resync.AT_ONCE + 2)))
        for stranger in crowd:
            stranger.post("#python")
        await site.synced(alice)
        held = []
        for stranger in crowd:
            site.world.migrate(stranger)
            held.append(site.world.second.hold(stranger.did))
            unseen(stranger)
            stranger.sync()
        await site.caught_up()
        await site.until("asked", lambda: sum(one.asked.is_set() for one in held) >= 3)
        missed = unseen(alice)
        alice.sync()
        await site.synced(alice)
        assert missed.uri in await site.feed()
        for one in held:
            one.release()
        await site.until("all read", lambda: not any(map(site.state, crowd)))


async def test_b6_a_large_repository_is_stored_while_the_stream_goes_on(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(resync, "STEP_PAUSE", 0.01)
    alice, carol = site.people("alice", "carol")
    await site.synced(alice)
    many = [unseen(alice, f"{number} #python") for number in range(100)]
    alice.sync()
    await site.until("the first", lambda: site.counts(many[0]))
    post, during, soon_gone = carol.post("#python"), alice.post("during #python"), alice.post("soon gone #python")
    like = carol.like(many[0])
    for gone in (many[1], many[-2], soon_gone):  # stored already, not stored yet, and not in the repository
        alice.delete(gone)
    await site.caught_up()
    assert site.state(alice) == "resyncing" and site.counts(post) and site.counts(many[-1]) is None
    await site.synced(alice)
    assert site.rows("SELECT count(*) FROM post") == [(100,)]
    assert site.counts(many[0]) == (1, 0, 0, 0) and like and site.counts(during)
    assert not any(site.counts(gone) for gone in (many[1], many[-2], soon_gone))


async def test_b6_what_is_deleted_while_a_large_repository_is_stored_stays_deleted(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream brings what the repository already holds no more: first the post, then its deletion."""
    monkeypatch.setattr(resync, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(resync, "STEP_PAUSE", 0.01)
    (alice,) = site.people("alice")
    await site.synced(alice)
    many = [unseen(alice, f"{number} #python") for number in range(100)]
    write = new_post(alice)
    commits = [alice.commit(write), alice.commit(Write("delete", write.path))]
    alice.sync()
    await site.until("the first", lambda: site.counts(many[0]))
    for payload in commits:
        alice._relay.send("#commit", payload)
    await site.caught_up()
    assert site.state(alice) == "resyncing"
    await site.synced(alice)
    assert site.rows("SELECT count(*) FROM post") == [(100,)]


async def test_a_flood_of_one_account_asks_its_host_few_times(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    post = carol.post("#python")
    for _ in range(300):
        carol._relay.send("#account", {"did": carol.did, "active": False, "status": "deactivated"})
    await site.caught_up()
    await site.until("asked", lambda: not site.ingest.index.doubts)
    await site.until("put right", lambda: site.rows("SELECT 1 FROM actor WHERE did = ? AND active = 1", carol.did))
    assert site.world.pds.calls["com.atproto.sync.getRepoStatus"] < 30
    assert await site.feed() == [post.uri]


async def test_a46_hosts_that_never_confirm_a_deletion_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "EVERY", 0)
    monkeypatch.setattr(sweep, "LAG", 0)
    async with TrustSite(tmp_path, pace=replace(QUICK, patience=0.0)) as site:
        alice, *crowd = site.people("alice", "carol", "dora", "emil")
        kept = [who.post("#python") for who in crowd]
        gone = crowd[-1]
        await site.synced(alice)
        for who in crowd[:-1]:
            site.world.migrate(who)
        await site.caught_up()
        site.world.second.failing = 500
        for who in crowd[:-1]:
            who._relay.send("#account", {"did": who.did, "active": False, "status": "deleted"})
        await site.caught_up()
        await site.until("asked", lambda: site.count("accounts not to be had") > 5)
        missed = unseen(alice)
        gone.set_status(False, "deleted")
        await site.until("the member", lambda: site.counts(missed))
        await site.until("the deletion", lambda: site.counts(kept[-1]) is None)
        assert site.counts(kept[0]) and await site.feed() == uris(missed)


async def test_hosts_that_never_answer_do_not_keep_the_directory_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of did:web are anybody's, any number of them, and each may hang for as long as it may be waited for."""
    monkeypatch.setitem(proofs.LONGEST_WAIT, "did:web:", 1.0)
    monkeypatch.setattr(proofs, "PLACES", 10)
    async with TrustSite(tmp_path) as site:
        resolve = site.resolver.resolve

        async def slow(did: str, **how: Any) -> DidDocument:
            if did.startswith("did:web:"):
                await asyncio.Event().wait()
            return await resolve(did, **how)

        monkeypatch.setattr(site.resolver, "resolve", slow)
        carol, dora = site.people("carol", "dora")
        payload = dora.commit(new_post(dora))
        began = asyncio.get_running_loop().time()
        for number in range(100):
            site.world.relay.send("#commit", {**payload, "repo": f"did:web:host{number}.example.com"})
        post = carol.post("#python")
        await site.caught_up()
        assert asyncio.get_running_loop().time() - began < 5.0
        assert site.dropped == {"key not to be had": 100} and await site.feed() == [post.uri]


async def test_b5_of_a_repository_that_is_full_of_posts_the_newest_are_taken(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of megabytes of posts that all match would take several gigabytes of memory."""
    monkeypatch.setattr(snapshot, "MOST_POSTS", 5)
    monkeypatch.setattr(snapshot, "MOST_ENGAGEMENTS", 3)
    monkeypatch.setattr(snapshot, "MOST_LATE", 3)
    alice, carol = site.people("alice", "carol")
    theirs = [carol.post(f"{number} #python") for number in range(8)]
    await site.synced(alice)
    many = [unseen(alice, f"{number} #python") for number in range(23)]
    for post in theirs:
        alice.commit(Write("create", f"{LIKE}/{alice._clock.tid()}", like_of(alice, post)))
    alice.sync()
    await site.synced(alice)
    assert await site.feed("club") == uris(*reversed(many[-5:]))
    assert [site.counts(post) for post in theirs] == [(0, 0, 0, 0)] * 5 + [(1, 0, 0, 0)] * 3


async def test_b5_a_large_repository_is_read_of_those_who_matter_only(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "MOST_BYTES_OF_OTHERS", 1000)
    alice, carol = site.people("alice", "carol")
    post = carol.post("#python")
    await site.synced(alice)
    missed = [unseen(who) for who in (alice, carol) for _ in range(5)]
    for who in (alice, carol):
        who.sync()
    await site.synced(alice)
    await site.until("refused", lambda: site.state(carol) == "error")
    assert set(await site.feed()) == {post.uri, *uris(*missed[:5])}


async def test_a_host_that_never_answers_is_waited_for_once_in_a_long_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(proofs.LONGEST_WAIT, "did:web:", 0.3)
    async with TrustSite(tmp_path) as site:
        resolve = site.resolver.resolve

        async def slow(did: str, **how: Any) -> DidDocument:
            if did.startswith("did:web:"):
                await asyncio.Event().wait()
            return await resolve(did, **how)

        monkeypatch.setattr(site.resolver, "resolve", slow)
        assert site.proofs is not None
        now = 0.0
        monkeypatch.setattr(site.proofs, "_clock", lambda: now)
        (dora,) = site.people("dora")
        payload = {**dora.commit(new_post(dora)), "repo": "did:web:slow.example.com"}
        asked: list[str] = []
        prepare = site.proofs._ask
        monkeypatch.setattr(site.proofs, "_ask", lambda did: asked.append(did) or prepare(did))
        for minutes, expected in ((0, 1), (9, 1), (11, 2)):
            now = 60.0 * minutes
            await site.caught_up(site.world.relay.send("#commit", payload))
            assert asked.count("did:web:slow.example.com") == expected
        assert site.dropped == {"key not to be had": 3}
