"""Whole repositories: of new members, and after whatever was missed (B1-B11, A46-A52)."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from communities import shown
from firehose import resync, sweep, turns
from firehose.snapshot import Snapshot, read_snapshot
from models.database import open_database, writing
from tests.fault_run import stepping
from tests.ingest_site import uris
from tests.trust_site import TrustSite
from tests.world import Account, Record, Write
from tests.world.outages import Outage, broken_at, cut_at, cut_at_block, flipped, gone, refuse, wrong_length

POST = "app.bsky.feed.post"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


def unseen(account: Account, text: str = "unseen #python", **more: object) -> Record:
    """A post that the stream never brings."""
    value = {"text": text, "$type": POST, "createdAt": account._clock.iso(), "tags": ["python"]} | more
    path = f"{POST}/{account._clock.tid()}"
    account.commit(Write("create", path, value))
    return account.read(path)


def tries(site: TrustSite, account: Account) -> int:
    query = "SELECT r.tries FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?"
    return int(site.rows(query, account.did)[0][0])


def reason(site: TrustSite, account: Account) -> str:
    """Why its repository was not read."""
    query = "SELECT r.why FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?"
    return str(site.rows(query, account.did)[0][0])


async def test_b6_what_a_new_member_wrote_before_appears_without_waiting(tmp_path: Path) -> None:
    site = TrustSite(tmp_path)
    alice = site.world.account("alice", quiet=True)
    old = [unseen(alice, f"old {number}", tags=[]) for number in range(5)]
    site.world.relay.rebuild()
    async with site:
        await site.until("read", lambda: site.state(alice) == "synced")
        assert await site.feed("club") == uris(*reversed(old))
        new = alice.post("new")
        await site.synced(alice)
        assert await site.feed("club") == uris(new, *reversed(old))


async def test_b6_the_diff_brings_creates_changes_and_deletions(site: TrustSite) -> None:
    alice, carol = site.people("alice", "carol")
    theirs = carol.post("#python")
    kept, changed, gone = (alice.post(f"{what} #python") for what in ("kept", "changed", "gone"))
    liked, unliked = alice.like(theirs), alice.repost(theirs)
    answer = alice.reply(theirs, "an answer")
    await site.synced(alice)
    assert site.counts(theirs) == (1, 1, 1, 0)
    # None of this is sent.
    alice.commit(Write("update", changed.path, {**changed.value, "text": "#rust", "facets": [], "tags": ["rust"]}))
    alice.commit(Write("delete", gone.path), Write("delete", unliked.path), Write("delete", answer.path))
    came = unseen(alice)
    alice.sync()
    await site.synced(alice)
    assert set(await site.feed()) == {came.uri, kept.uri, theirs.uri}
    assert await site.feed("rust") == [changed.uri]
    assert site.counts(theirs) == (1, 0, 0, 0)
    assert alice.read(liked.path)


async def test_b6_what_the_stream_brings_while_a_repository_is_read_is_applied_on_top(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    first = alice.post("first")
    await site.synced(alice)
    missed = unseen(alice, tags=[])
    held = site.world.pds.hold(alice.did)
    alice.sync()
    await held.asked.wait()
    # The host has answered with what there was; this comes only by the stream.
    during, soon_gone = alice.post("during"), alice.post("soon gone")
    alice.delete(first)
    alice.delete(soon_gone)
    await site.caught_up()
    assert site.state(alice) == "resyncing"
    assert await site.feed("club") == [during.uri]
    held.release()
    await site.synced(alice)
    assert await site.feed("club") == uris(during, missed)


async def test_rules_that_change_while_a_repository_is_read_hold_for_what_it_brings(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    missed = unseen(alice)
    read, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Snapshot:
        found = read_snapshot(*given)
        read.set()
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(resync, "read_snapshot", slowly)
    alice.sync()
    await site.until("read", read.is_set)
    await site.declare(site.rules.read_text().replace('"python"]', '"snakes"]'))
    go_on.set()
    await site.synced(alice)
    await site.settled()
    assert await site.feeds("python", "club") == {"python": set(), "club": {missed.uri}}


@pytest.mark.parametrize("bound", ["MOST_NOTED", "MOST_NOTED_BYTES"])
async def test_b6_who_writes_without_end_while_it_is_read_is_read_again_later(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    missed = unseen(alice, tags=[])
    monkeypatch.setattr(f"firehose.index.{bound}", 5)
    held = site.world.pds.hold(alice.did)
    alice.sync()
    await held.asked.wait()
    during = [alice.post(f"number {number}") for number in range(7)]
    await site.caught_up()
    assert site.state(alice) == "desynchronized" and alice.did not in site.ingest.index.buffers
    held.release()
    await site.synced(alice)
    assert await site.feed("club") == uris(*reversed([missed, *during]))


@pytest.mark.parametrize(
    ("status", "name"),
    [("takendown", "RepoTakendown"), ("suspended", "RepoSuspended"), ("deactivated", "RepoDeactivated")],
)
async def test_b4_an_account_that_its_host_does_not_give_is_hidden_and_is_no_failure(
    site: TrustSite, status: str, name: str
) -> None:
    (alice,) = site.people("alice")
    post = alice.post("#python")
    await site.synced(alice)
    unseen(alice)
    alice.active, alice.status = False, status  # the stream says nothing of it
    alice.sync()
    await site.until("hidden", lambda: site.rows("SELECT 1 FROM actor WHERE did = ? AND active = 0", alice.did))
    assert await site.feed() == [] and tries(site, alice) == 0
    alice.set_status(True)
    await site.synced(alice)
    assert len(await site.feed()) == 2 and post.uri in await site.feed()


async def test_b3_a_host_that_says_too_many_requests_is_left_alone(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    came = unseen(alice)
    site.world.pds.failing = 429
    alice.sync()
    await site.until("parked", lambda: site.count("repositories refused"))
    assert tries(site, alice) == 0
    site.world.pds.failing = None
    site.resync._parked.clear()
    await site.synced(alice)
    assert await site.feed() == [came.uri]


@pytest.mark.parametrize("header", ["Retry-After", "RateLimit-Reset"])
async def test_b3_a_host_that_says_too_many_requests_is_parked_for_all_its_accounts(
    site: TrustSite, header: str
) -> None:
    alice, bob = site.people("alice", "bob")
    await site.synced(alice, bob)
    pds = site.world.pds
    pds.outages.add("com.atproto.sync.getRepo", refuse(429, headers={header: "3600"}))
    asked, refused = pds.calls["com.atproto.sync.getRepo"], site.count("repositories refused")
    unseen(alice)
    alice.sync()
    await site.until("parked", lambda: site.count("repositories refused") > refused)
    came = unseen(bob)
    bob.sync()
    await site.until("parked, too", lambda: "asks to wait" in reason(site, bob))
    assert pds.calls["com.atproto.sync.getRepo"] == asked + 1
    assert tries(site, alice) == tries(site, bob) == 0
    site.resync._parked.clear()
    await site.synced(alice, bob)
    assert came.uri in await site.feed()


@pytest.mark.parametrize(
    "wrong",
    [cut_at(-7), cut_at_block(2), broken_at(500), wrong_length(10), flipped(4321), refuse(500), refuse(200)],
    ids=lambda outage: outage.name,
)
async def test_b5_a_repository_that_is_not_whole_changes_nothing_and_is_fetched_again(
    site: TrustSite, wrong: Outage
) -> None:
    (alice,) = site.people("alice")
    posts = [alice.post(f"{number} #python") for number in range(5)]
    await site.synced(alice)
    missed = unseen(alice)
    site.world.pds.outages.add("com.atproto.sync.getRepo", wrong)
    before = site.count("repositories refused")
    alice.sync()
    await site.until("refused", lambda: site.count("repositories refused") > before)
    assert set(await site.feed()) - {missed.uri} == set(uris(*posts))
    await site.synced(alice)
    assert set(await site.feed()) == set(uris(missed, *posts))


async def test_b5_a_repository_that_is_older_than_the_stream_has_shown_is_refused(site: TrustSite) -> None:
    """A replica that lags must not take away what the stream has brought since."""
    (alice,) = site.people("alice")
    await site.synced(alice)
    site.world.pds.lag(alice)
    shown = alice.post("#python")
    await site.synced(alice)
    with resync.writing(site.ingest.database):
        site.ingest.index.desynchronize(alice.did, "a test", 0)
    await site.until("refused", lambda: "has an older repository" in reason(site, alice))
    assert await site.feed() == [shown.uri]
    site.world.pds.stale.clear()
    await site.synced(alice)


async def test_a_host_that_fails_is_tried_again_and_what_the_stream_brings_is_shown_meanwhile(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    missed = unseen(alice)
    site.world.pds.failing = 500
    alice.sync()
    await site.until("tried", lambda: site.count("repositories refused") >= 3)
    live = alice.post("live #python")
    await site.caught_up()
    assert await site.feed() == [live.uri]
    site.world.pds.failing = None
    await site.synced(alice)
    assert await site.feed() == uris(live, missed)


async def test_an_account_without_a_document_is_unresolvable(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    site.world.plc.overrides[alice.did] = None
    site.resolver.forget(alice.did)
    with_row = "SELECT 1 FROM repo WHERE state = 'unresolvable'"
    site.ingest.index.desynchronize(alice.did, "a test", 0)
    await site.until("unresolvable", lambda: site.rows(with_row))


async def test_b6_b10_the_sweep_notices_that_an_unresolvable_account_has_a_document_again(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The #identity that says so was lost, and the next try is far off."""
    (alice,) = site.people("alice")
    await site.synced(alice)
    site.world.plc.overrides[alice.did] = None
    site.resolver.forget(alice.did)
    missed = unseen(alice)
    with resync.writing(site.ingest.database):
        site.ingest.index.desynchronize(alice.did, "a test", 0)
    await site.until("unresolvable", lambda: site.state(alice) == "unresolvable")
    with resync.writing(site.ingest.database) as connection:
        connection.execute("UPDATE repo SET due_at = ?", (1 << 62,))
    del site.world.plc.overrides[alice.did]
    monkeypatch.setattr(turns, "EVERY", 0)
    await site.synced(alice)
    assert await site.feed() == [missed.uri]


@pytest.mark.parametrize("what", ["another's", "without a host"])
async def test_a46_a_document_that_says_nothing_of_use_purges_nobody(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    alice, carol = site.people("alice", "carol")
    posts = [who.post("#python") for who in (alice, carol)]
    await site.synced(alice)
    for who in (alice, carol):
        broken = {"id": carol.did.replace("did:plc:", "did:plc:a")} if what == "another's" else {"service": []}
        site.world.plc.overrides[who.did] = who.document | broken
        site.resolver.forget(who.did)
    monkeypatch.setattr(turns, "EVERY", 0)
    site.sweep.turns.begin_round()
    asked = "accounts not to be had" if what == "another's" else "accounts put right"
    await site.until("asked", lambda: site.count(asked) >= 2)
    await site.settled()
    assert all(map(site.counts, posts))
    assert len(await site.feed()) == (2 if what == "another's" else 0)
    site.world.plc.overrides.clear()
    for who in (alice, carol):
        who.identity()
        who.set_status(True)
    await site.synced(alice)
    assert len(await site.feed()) == 2


async def test_b4_whatever_words_a_host_has_for_it_the_sweep_takes_them_as_the_resync_does(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol, dora = site.people("carol", "dora")
    kept, hidden = carol.post("#python"), dora.post("#python")
    await site.caught_up()
    site.world.pds.outages.add("com.atproto.sync.getRepoStatus", *[gone("RepoSuspended")] * 1000)
    site.ingest.index.doubt(dora.did)
    await site.until("put right", lambda: site.count("accounts put right"))
    assert await site.feed() == [kept.uri] and site.counts(hidden)
    assert site.rows("SELECT status FROM actor WHERE did = ?", dora.did) == [("suspended",)]


async def test_a46_a_deleted_account_is_purged_only_when_its_host_confirms(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    post = carol.post("#python")
    await site.caught_up()
    # A relay that errs: the account is alive and well.
    carol._relay.send("#account", {"did": carol.did, "active": False, "status": "deleted"})
    await site.until("asked", lambda: site.count("accounts put right"))
    await site.settled()
    assert await site.feed() == [post.uri]
    carol.set_status(False, "deleted")
    await site.settled()
    assert site.counts(post) is None


async def test_a46_a_purge_waits_while_the_host_cannot_be_reached(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    post = carol.post("#python")
    await site.caught_up()
    site.world.pds.failing = 503
    carol.set_status(False, "deleted")
    site.world.plc.overrides[carol.did] = carol.document
    await site.until("asked", lambda: site.count("accounts not to be had") >= 2)
    assert site.counts(post) and await site.feed() == []
    site.world.pds.failing = None
    await site.settled()
    assert site.counts(post) is None


async def test_b8_an_account_that_comes_back_after_its_purge_is_read_anew(site: TrustSite) -> None:
    alice, carol = site.people("alice", "carol")
    posts = {who.name: who.post("#python") for who in (alice, carol)}
    await site.synced(alice)
    with resync.writing(site.ingest.database) as connection:
        connection.execute("INSERT INTO late SELECT id, 1, 'x', 'x', ? FROM actor WHERE did = ?", (1 << 60, carol.did))
    for who in (alice, carol):
        who.set_status(False, "deleted")
    await site.settled()
    assert await site.feed() == [] and site.rows("SELECT * FROM late") == []
    for who in (alice, carol):
        who.set_status(True)
    await site.until("back", lambda: all(map(site.counts, posts.values())))
    assert sorted(await site.feed()) == sorted(uris(*posts.values()))
    await site.synced(alice)
    assert site.state(carol) is None  # no member: read once


async def test_a46_what_an_inactive_account_wrote_is_read_when_it_comes_back(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    first = carol.post("#python")
    carol.set_status(False, "suspended")
    hidden = carol.post("while away #python")
    await site.caught_up()
    carol.set_status(True)
    await site.until("read", lambda: site.counts(hidden))
    assert await site.feed() == uris(hidden, first)


async def test_b10_the_sweep_finds_what_the_stream_withheld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "EVERY", 0)
    monkeypatch.setattr(sweep, "LAG", 0)
    async with TrustSite(tmp_path) as site:
        alice, carol, dora = site.people("alice", "carol", "dora")
        kept, gone = carol.post("kept #python"), carol.post("gone #python")
        silent = dora.post("#python")
        await site.synced(alice)
        missed = unseen(alice)
        carol.commit(Write("delete", gone.path))
        dora.active, dora.status = False, "takendown"
        site.sweep.turns.begin_round()
        await site.until("the member", lambda: site.counts(missed))
        await site.until("the post", lambda: not site.counts(gone))
        await site.until("the account", lambda: site.count("accounts put right"))
        assert await site.feed() == uris(missed, kept)
        assert silent.uri not in await site.feed()


@pytest.mark.parametrize("status", ["desynchronized", "throttled"])
async def test_a46_a_relay_that_says_that_something_was_lost_has_the_host_asked(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(sweep, "LAG", 0)
    (alice,) = site.people("alice")
    shown = alice.post("#python")
    await site.synced(alice)
    missed = unseen(alice)
    alice._relay.send("#account", {"did": alice.did, "active": True, "status": status})
    await site.synced(alice)
    assert await site.feed() == uris(missed, shown)


async def test_a46_a_host_that_is_ahead_of_the_stream_makes_nobody_lose_anything(site: TrustSite) -> None:
    """What an account did before its host called it inactive is still to come, and so is what others said of that."""
    carol, dave = site.people("carol", "dave")
    known = dave.post("#python")
    carol.like(known)
    carol.post("#python")
    await site.caught_up()
    await site.stop()
    last = carol.post("my last one #python")
    carol.like(dave.post("another #python"))
    dave.like(last)
    carol.set_status(False, "deactivated")
    site.open()
    site.sweep.turns.begin_round()
    stop = asyncio.Event()
    asking = asyncio.create_task(site.sweep.run(stop))
    try:
        await site.until("the host's word", lambda: site.rows("SELECT 1 FROM actor WHERE NOT active"))
    finally:
        stop.set()
        await asking
    await site.start()
    await site.caught_up()
    assert last.uri not in await site.feed()
    assert site.counts(known) == (0, 0, 0, 0)
    carol.set_status(True)
    await site.caught_up()
    assert last.uri in await site.feed()
    assert site.counts(last) == site.counts(known) == (1, 0, 0, 0)


async def test_a_post_that_came_anew_under_an_old_key_stands_by_what_it_says(tmp_path: Path) -> None:
    async with TrustSite(tmp_path, now=stepping()) as site:
        alice, carol = site.people("alice", "carol")
        first, between = alice.post("first #python"), carol.post("between #python")
        await site.synced(alice)
        alice.delete(first)
        await site.synced(alice)
        again = {**first.value, "text": "again #python", "createdAt": alice._clock.iso()}
        alice.commit(Write("create", first.path, again))  # never sent
        alice.sync()
        await site.synced(alice)
        assert await site.feed() == [first.uri, between.uri]


async def test_b9_the_host_that_an_account_has_left_does_not_hide_it(site: TrustSite) -> None:
    alice, carol = site.people("alice", "carol")
    posts = [who.post("#python") for who in (carol, alice)]
    await site.synced(alice)
    for who in (alice, carol):
        # It is at another host now, with another key; what the old one says comes last.
        who.rotate_key("p256")
        posts.append(who.post("from the new host #python"))
        who._relay.send("#account", {"did": who.did, "active": False, "status": "deactivated"})
    await site.until("put right", lambda: site.count("accounts put right") == 2)
    posts.append(alice.post("and on #python"))
    await site.synced(alice)
    assert set(await site.feed()) == set(uris(*posts))


async def test_b9_an_account_that_moves_goes_on_from_its_new_host(site: TrustSite) -> None:
    alice, carol = site.people("alice", "carol")
    posts = [who.post("#python") for who in (alice, carol)]
    await site.synced(alice)
    for who in (alice, carol):
        site.world.migrate(who)
        posts.append(who.post("from the new host #python"))
    posts.append(unseen(alice))  # nobody but the new host has it
    alice.sync()
    await site.until("all of it", lambda: all(map(site.counts, posts)))
    await site.synced(alice)
    await site.until("shown", lambda: not site.rows("SELECT 1 FROM actor WHERE active = 0"))
    assert set(await site.feed()) == set(uris(*posts))
    assert site.world.second.calls["com.atproto.sync.getRepo"]


async def test_a48_a_takedown_by_the_relay_stands_whatever_the_host_says(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    post = carol.post("#python")
    await site.caught_up()
    carol._relay.send("#account", {"did": carol.did, "active": False, "status": "takendown"})
    await site.caught_up()
    site.sweep.turns.begin_round()
    await site.until("asked", lambda: site.count("accounts that the relay has taken down"))
    assert await site.feed() == []
    carol._relay.send("#account", {"did": carol.did, "active": True})
    await site.caught_up()
    assert await site.feed() == [post.uri]


async def test_a48_nor_does_a_takedown_by_the_relay_become_the_host_s_word(site: TrustSite) -> None:
    """The host has said the same meanwhile, for its repository was being asked for."""
    (carol,) = site.people("carol")
    carol.post("#python")
    await site.caught_up()
    carol._relay.send("#account", {"did": carol.did, "active": False, "status": "takendown"})
    await site.caught_up()
    with resync.writing(site.ingest.database):
        site.ingest.index.overlay(carol.did, False, "takendown")
    site.sweep.turns.begin_round()
    await site.until("asked", lambda: site.count("accounts that the relay has taken down"))
    assert await site.feed() == []


@pytest.fixture
async def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TrustSite]:
    """A site that may look documents up anew as often as it wants to."""
    monkeypatch.setattr("xrpc.resolver._REFRESH_COOLDOWN", 0.001)
    async with TrustSite(tmp_path) as site:
        yield site


async def test_b4_a_member_whose_host_said_by_mistake_that_it_is_taken_down_comes_back(
    asking: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream never says anything of it."""
    site = asking
    (alice,) = site.people("alice")
    shown = alice.post("#python")
    await site.synced(alice)
    missed = unseen(alice)
    outages = site.world.pds.outages
    # It says so again when it is asked; and each such answer has it asked a second time.
    outages.add("com.atproto.sync.getRepoStatus", *[gone("RepoTakendown")] * 2)
    outages.add("com.atproto.sync.getRepo", gone("RepoTakendown"))
    alice.sync()
    await site.until("asked again", lambda: not outages.waiting and not site.sweep.looking)
    assert await site.feed() == [] and site.count("accounts put right") == 0
    monkeypatch.setattr(turns, "EVERY", 0)
    await site.synced(alice)
    assert await site.feed() == uris(missed, shown)


async def test_b10_who_has_nothing_but_likes_and_was_called_inactive_by_mistake_is_asked_for_until_he_is_back(
    asking: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = asking
    carol, dora = site.people("carol", "dora")
    post = carol.post("#python")
    dora.like(post)
    await site.caught_up()
    outages = site.world.pds.outages
    outages.add("com.atproto.sync.getRepoStatus", *[gone("RepoTakendown")] * 4)
    site.ingest.index.doubt(dora.did)
    await site.until("asked again", lambda: not outages.waiting and not site.sweep.looking)
    assert site.counts(post) == (0, 0, 0, 0)
    monkeypatch.setattr(turns, "EVERY", 0)
    await site.until("back", lambda: site.counts(post) == (1, 0, 0, 0))
    await site.until("read", lambda: site.state(dora) is None)


async def test_a47_a_local_takedown_and_the_network_are_two_overlays(site: TrustSite) -> None:
    carol, dora = site.people("carol", "dora")
    post, other = carol.post("#python"), dora.post("#python")
    carol.like(other)
    await site.caught_up()

    def take_down(allowed: bool) -> None:
        # As another process does: what ingest keeps of accounts is read anew when somebody else has committed.
        with closing(open_database(Path(site.ingest.database.database))) as beside, writing(beside) as connection:
            shown.take_down(connection, carol.did, allowed=allowed)

    take_down(False)
    take_down(False)
    later = carol.post("later #python")
    carol.like(later)
    dora.like(post)
    await site.caught_up()
    assert await site.feed() == [other.uri] and site.counts(other) == (0, 0, 0, 0)
    carol.set_status(False, "deactivated")
    carol.set_status(True)
    await site.caught_up()
    assert await site.feed() == [other.uri]
    carol.set_status(False, "suspended")
    await site.caught_up()
    take_down(True)
    assert await site.feed() == [other.uri]
    carol.set_status(True)
    await site.caught_up()
    assert await site.feed() == uris(later, other, post) and site.counts(other) == (1, 0, 0, 0)
    assert site.counts(later) == (1, 0, 0, 0) and site.counts(post) == (1, 0, 0, 0)


async def test_a_stop_in_the_middle_begins_the_reading_anew(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    missed = unseen(alice)
    held = site.world.pds.hold(alice.did)
    alice.sync()
    await held.asked.wait()
    assert site.state(alice) == "resyncing"
    stopping = site.stop()
    held.release()
    await stopping
    site._database.close()
    site.open()
    await site.start()
    await site.synced(alice)
    assert await site.feed() == [missed.uri]


async def test_b11_an_account_whose_every_commit_breaks_is_not_read_without_end(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    for _ in range(20):
        unseen(alice)
        alice.write()
        await site.caught_up()
    await site.synced(alice)
    assert len(await site.feed()) == 20


async def test_b11_the_same_repository_is_not_read_twice_in_a_row(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    monkeypatch.setattr(resync, "GAP_SECONDS", 1e9)
    site.resync._read_at.clear()
    unseen(alice)
    alice.write()
    await site.until("read once", lambda: site.count("repository read") >= 2)
    last = unseen(alice)
    alice.write()
    await site.caught_up()
    # Of others, there is no end to what may be read meanwhile.
    bob, read = site.world.account("bob"), site.count("repository read")
    await site.until("another", lambda: site.count("repository read") > read)
    await site.synced(bob)
    assert site.state(alice) == "desynchronized" and site.counts(last) is None
    site.resync._read_at.clear()
    await site.synced(alice)
    assert site.counts(last)


async def test_an_account_that_nobody_needs_is_not_tried_for_ever(site: TrustSite) -> None:
    """Anybody can name any number of accounts that cannot be looked up, by posting in their names."""
    (carol,) = site.people("carol")
    await site.caught_up()
    site.world.plc.overrides[carol.did] = None
    site.resolver.forget(carol.did)
    with resync.writing(site.ingest.database):
        site.ingest.index.desynchronize(carol.did, "a test", 0)
    await site.until("unresolvable", lambda: site.state(carol) == "unresolvable")
    with resync.writing(site.ingest.database) as connection:
        connection.execute("UPDATE repo SET due_at = 0, tries = 20")
    await site.until("let go", lambda: site.count("accounts let go"))
    assert site.state(carol) is None
