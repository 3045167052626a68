"""What repositories say of posts that are not here yet: it counts when the post comes, whatever becomes of the
account's own event (B6).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from firehose import snapshot
from firehose.times import tid_micros
from models.database import writing
from tests.ingest_site import uris
from tests.trust_site import TrustSite
from tests.world import Account, Record, Write
from tests.world.clock import wall

POST, LIKE = "app.bsky.feed.post", "app.bsky.feed.like"
HOUR = 3_600_000_000
NOTES = "SELECT count(*) FROM late"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


@contextmanager
def unsent(account: Account) -> Iterator[list[dict[str, Any]]]:
    """What the account writes meanwhile is not sent; the commits, as they could be."""
    commits: list[dict[str, Any]] = []

    def write(*writes: Write) -> int:
        commits.append(account.commit(*writes))
        return 0

    with patch.object(account, "write", write):
        yield commits


def send(account: Account, commits: list[dict[str, Any]]) -> None:
    for commit in commits:
        account._relay.send("#commit", commit)


async def read(site: TrustSite, *accounts: Account) -> None:
    """Read the repositories of members as they are now."""
    for account in accounts:
        account.sync()
    await site.synced(*accounts)


async def waited_for(site: TrustSite) -> tuple[Account, Account, Record, list[dict[str, Any]], list[dict[str, Any]]]:
    """Alice's repository was read, with all that she says of Carol's post, of which nobody has heard yet: the two, the
    post, and the commits of both.
    """
    alice, carol = site.people("alice", "carol")
    await site.synced(alice)
    with unsent(carol) as hers:
        post = carol.post("#python")
    with unsent(alice) as said:
        alice.like(post)
        alice.like(post)
        alice.repost(post)
        alice.reply(post, "yes")
        alice.quote(post, "this")
    await read(site, alice)
    assert site.rows(NOTES) == [(5,)] and site.counts(post) is None
    return alice, carol, post, hers, said


async def test_b6_what_a_repository_says_of_a_post_counts_when_it_comes_though_the_own_event_never_does(
    site: TrustSite,
) -> None:
    alice, carol, post, hers, _ = await waited_for(site)
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (1, 1, 1, 1)
    assert site.rows(NOTES) == [(0,)]
    assert await site.feed() == [post.uri]
    # It is like any other from then on.
    for path in [path for path in alice.repo.records if not path.startswith(POST)]:
        alice.delete(alice.read(path))
    await site.synced(alice)
    assert site.counts(post) == (0, 0, 1, 1)


@pytest.mark.parametrize("restart", [False, True])
async def test_b6_the_account_has_come_past_already(site: TrustSite, restart: bool) -> None:
    alice, carol, post, hers, said = await waited_for(site)
    send(alice, said)
    alice.post("and on")
    await site.synced(alice)
    if restart:
        await site.again()
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (1, 1, 1, 1)


async def test_b6_it_was_active_when_it_was_last_liked(site: TrustSite) -> None:
    alice, carol, post, hers, _ = await waited_for(site)
    last = max(path.partition("/")[2] for path in alice.repo.records)
    send(carol, hers)
    await site.caught_up()
    assert site.rows("SELECT active_at FROM post WHERE rkey = ?", post.rkey) == [(tid_micros(last),)]


@pytest.mark.parametrize("restart", [False, True])
async def test_b6_what_was_deleted_or_changed_since_is_noted_no_longer(site: TrustSite, restart: bool) -> None:
    alice, carol, post, hers, said = await waited_for(site)
    other = site.world.account("dora").post("other #python")
    await site.caught_up()
    if restart:
        await site.again()
    send(alice, said)  # what was noted of it is not undone by what it was made of
    like, another, reply, quote, repost = (alice.read(path) for path in sorted(alice.repo.records))
    alice.delete(like)
    alice.update(another, {"subject": other.ref})
    alice.delete(quote)
    alice.update(reply, {"text": "yes, and no"})
    await site.synced(alice)
    assert site.rows(NOTES) == [(2,)]
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (0, 1, 1, 0) and repost.path in alice.repo.records
    assert site.counts(other) == (1, 0, 0, 0)


async def test_b6_a_repository_that_is_read_again_says_what_it_holds_now(site: TrustSite) -> None:
    alice, carol, post, hers, _ = await waited_for(site)
    with unsent(alice):
        for path in [path for path in alice.repo.records if not path.startswith(LIKE)]:
            alice.delete(alice.read(path))
    await read(site, alice)
    assert site.rows(NOTES) == [(2,)]
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)


async def test_b6_who_is_not_active_when_the_post_comes_counts_when_he_is_back(site: TrustSite) -> None:
    alice, carol, post, hers, _ = await waited_for(site)
    alice.set_status(False, "suspended")
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)
    alice.set_status(True)
    await site.synced(alice)
    assert site.counts(post) == (1, 1, 1, 1)


async def test_b6_the_post_comes_while_a_large_repository_is_stored(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either it is here when what is said of it is stored, or that is noted before it comes."""
    monkeypatch.setattr("firehose.resync.STEP_SECONDS", 0.0)
    monkeypatch.setattr("firehose.resync.STEP_PAUSE", 0.01)
    alice, carol = site.people("alice", "carol")
    await site.synced(alice)
    with unsent(carol) as hers:
        posts = [carol.post(f"{number} #python") for number in range(60)]
    with unsent(alice):
        first = alice.post("first")
        for post in posts:
            alice.like(post)
    alice.sync()
    await site.until("the first step", lambda: site.counts(first))
    for commit in hers:
        send(carol, [commit])
        await site.caught_up()
    await site.synced(alice)
    assert [site.counts(post) for post in posts] == [(1, 0, 0, 0)] * 60
    assert site.rows(NOTES) == [(0,)]


async def test_b6_members_that_are_read_one_after_the_other_count_in_any_order(tmp_path: Path) -> None:
    """What they did lies long behind the stream. Of themselves, too: their likes stand before their posts."""
    now = wall() - 30 * 24 * HOUR
    site = TrustSite(tmp_path, now=lambda: now)
    alice, bob = (site.world.account(name, quiet=True) for name in ("alice", "bob"))
    with unsent(alice), unsent(bob):
        old, own = bob.post("long ago"), alice.post("long ago, too")
        now += HOUR
        for post in (old, own):
            alice.like(post)
        reply = alice.reply(old, "yes")
        alice.like(Record(bob.did, POST, alice._clock.tid(), old.cid, {}, 0))  # of a post that is no more
        alice.like(Record(alice.did, POST, alice._clock.tid(), old.cid, {}, 0))
    liked_at = now
    site.world.relay.rebuild()
    held = site.world.pds.hold(bob.did)
    now = wall()
    async with site:
        await site.until("alice", lambda: site.state(alice) == "synced")
        assert site.counts(own) == (1, 0, 0, 0)
        assert site.counts(old) is None and site.rows(NOTES) == [(3,)]
        held.release()
        await site.until("bob", lambda: site.state(bob) == "synced")
        assert site.counts(old) == (1, 0, 1, 0) and site.rows(NOTES) == [(1,)]
        ((active_at,),) = site.rows("SELECT active_at FROM post WHERE rkey = ?", old.rkey)
        assert liked_at <= active_at < liked_at + HOUR
        assert set(await site.feed("club")) == set(uris(reply, own, old))


@pytest.mark.parametrize(("member", "most"), [(True, 3), (False, 2)])
async def test_b6_of_one_account_the_newest_is_noted(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch, member: bool, most: int
) -> None:
    """Anybody may fill his repository with likes of posts that there never are."""
    monkeypatch.setattr(snapshot, "MOST_LATE", 3)
    monkeypatch.setattr(snapshot, "MOST_LATE_OF_OTHERS", 2)
    alice, carol = site.people("alice", "carol")
    who = alice if member else site.people("dora")[0]
    who.post("#python")
    await site.synced(alice)
    with unsent(carol) as hers:
        posts = [carol.post(f"{number} #python") for number in range(8)]
    with unsent(who):
        for post in posts:
            who.like(post)
        # As long as no post's URI is.
        who.create(LIKE, {"subject": {"uri": f"at://did:web:{'x' * 300}/{POST}/x", "cid": posts[0].cid}})
    who.sync()
    await site.until("read", lambda: site.rows(NOTES) == [(most,)])
    await site.until("stored", lambda: site.state(who) in ("synced", None))
    send(carol, hers)
    await site.caught_up()
    assert [site.counts(post) for post in posts] == [(0, 0, 0, 0)] * (8 - most) + [(1, 0, 0, 0)] * most


async def test_b6_of_a_post_that_very_many_have_waited_for_each_account_counts_once(site: TrustSite) -> None:
    carol, dora = site.people("carol", "dora")
    with unsent(carol) as hers:
        post = carol.post("#python")
    dora.post("#python")
    await site.caught_up()
    with writing(site.ingest.database) as connection:
        connection.executemany(
            "INSERT INTO actor (id, did, counted, active) VALUES (?, ?, ?, ?)",
            [(n, f"did:plc:{n:024}", n % 2, n % 2) for n in range(1000, 2000)],
        )
        connection.executemany(
            "INSERT INTO late VALUES (?, ?, ?, ?, ?)",
            [(n, kind, rkey, post.uri, wall()) for n in range(1000, 2000) for kind in (1, 4) for rkey in ("a", "b")],
        )
    send(carol, hers)
    await site.caught_up()
    assert site.counts(post) == (500, 0, 0, 500)
    assert site.rows("SELECT count(*) FROM engagement") == [(4000,)] and site.rows(NOTES) == [(0,)]


async def ahead(site: TrustSite) -> tuple[Account, Record]:
    """Alice's repository was read while the stream has still to bring what she likes there, and her likes."""
    alice, carol = site.people("alice", "carol")
    await site.synced(alice)
    relay = site.world.relay
    sessions = len(relay.sessions)
    relay.faults.stall_after(0)
    await relay.drop()
    await relay.connected(sessions + 1)
    post = carol.post("#python")
    alice.like(post)
    undone = alice.repost(post)
    alice.reply(post, "yes")
    alice.delete(undone)
    site.ingest.index.desynchronize(alice.did, "a test", 0)
    await site.until("read ahead", site._is_synced(alice))
    assert site.counts(post) is None
    return alice, post


async def test_b6_a_repository_that_is_ahead_of_the_stream_counts_what_it_says_when_its_subject_comes(
    site: TrustSite,
) -> None:
    """The host has the like already, and the stream still has to bring the post that it is of, and then the like."""
    alice, post = await ahead(site)
    await site.world.relay.drop()
    await site.synced(alice)
    assert site.counts(post) == (1, 0, 1, 0)
    await site.caught_up(alice.write())
    assert site.rows(NOTES) == [(0,)]


@pytest.mark.parametrize("what", ["a stop", "a write that failed", "a gap"])
async def test_b6_what_a_repository_said_ahead_of_the_stream_is_not_forgotten(site: TrustSite, what: str) -> None:
    _, post = await ahead(site)
    if what == "a stop":
        await site.again()
    else:
        if what == "a gap":
            site.world.pds.failing = 503  # nothing is mended by reading it again
            with writing(site.ingest.database):
                site.ingest.index.desynchronize_all("a test", 0)
        else:
            site.ingest.index.forget()
        await site.world.relay.drop()
    await site.caught_up()
    assert site.counts(post) == (1, 0, 1, 0)


async def test_what_was_said_of_a_post_that_is_deleted_and_made_again_counts_for_the_new_one(site: TrustSite) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    await site.synced(alice, bob)
    post = carol.post("#python")
    bob.like(post)
    await site.caught_up()
    with unsent(carol) as hers:
        carol.delete(post)
        again = carol.post("#python again", rkey=post.rkey)
    with unsent(alice) as likes:
        alice.like(again)
    # Her repository is read before the stream has come as far.
    await read(site, alice)
    assert site.counts(post) == (2, 0, 0, 0)
    send(carol, hers[:1])
    await site.caught_up()
    assert site.counts(post) is None and site.rows(NOTES) == [(1,)]
    send(carol, hers[1:])
    send(alice, likes)
    await site.caught_up()
    assert site.counts(again) == (1, 0, 0, 0) and site.rows(NOTES) == [(0,)]


async def test_what_is_said_while_a_repository_waits_to_be_read_counts_when_its_post_is_found(site: TrustSite) -> None:
    alice, bob = site.people("alice", "bob")
    await site.synced(alice, bob)
    with unsent(alice) as hers:
        alice.post("#python first")
        post = alice.post("#python second")
    held = site.world.pds.hold(alice.did)
    send(alice, hers[1:])  # it follows nothing that is known
    await site.until("asked", held.asked.is_set)
    bob.like(post)
    await site.caught_up()
    assert site.counts(post) is None and site.rows(NOTES) == [(1,)]
    held.release()
    await site.synced(alice)
    assert site.counts(post) == (1, 0, 0, 0) and site.rows(NOTES) == [(0,)]
