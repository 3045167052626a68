"""S97: what becomes of an account's posts and of its share in counts when `#account` says that it is gone, or back."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingest_site import Site, uris
from tests.world import Account, Record, Write

HIDING = ["deactivated", "suspended", "takendown", "deleted", "a status of the future", None]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


def busy(site: Site) -> tuple[Account, Account, Record, Record]:
    """Alice and Bob have a post each, and like, repost, answer and quote each other's."""
    alice, bob = site.people("alice", "bob")
    hers, his = alice.post("hers #python"), bob.post("his #python")
    for account, post in ((alice, his), (bob, hers)):
        account.like(post)
        account.like(post)
        account.repost(post)
        account.reply(post, "yes")
        account.quote(post, "this")
    return alice, bob, hers, his


@pytest.mark.parametrize("status", HIDING)
async def test_s97_an_inactive_account_is_hidden_with_all_it_counted_for(site: Site, status: str | None) -> None:
    alice, _, hers, his = busy(site)
    await site.caught_up()
    assert site.counts(his) == site.counts(hers) == (1, 1, 1, 1)
    alice.set_status(False, status)
    await site.caught_up()
    assert await site.feed() == [his.uri]
    assert site.counts(his) == (0, 0, 0, 0)
    if status != "deleted":
        assert site.counts(hers) == (1, 1, 1, 1)  # kept, for when it comes back


@pytest.mark.parametrize("status", ["deactivated", "suspended", "takendown", None])
async def test_s97_an_account_comes_back_with_everything(site: Site, status: str | None) -> None:
    alice, bob, hers, his = busy(site)
    alice.set_status(False, status)
    like = bob.like(hers)  # of a hidden post
    bob.delete(like)
    await site.caught_up()
    alice.set_status(True)
    await site.caught_up()
    assert await site.feed() == uris(his, hers)
    assert site.counts(his) == site.counts(hers) == (1, 1, 1, 1)


@pytest.mark.parametrize("status", ["desynchronized", "throttled"])
async def test_s97_a_status_of_an_active_account_changes_nothing(site: Site, status: str) -> None:
    alice, _, hers, his = busy(site)
    alice.set_status(True, status)
    await site.caught_up()
    assert await site.feed() == uris(his, hers)
    assert site.counts(his) == (1, 1, 1, 1)


async def test_s97_what_an_inactive_account_says_is_ignored_and_what_it_deletes_is_gone(site: Site) -> None:
    alice, _, hers, his = busy(site)
    alice.set_status(False, "takendown")
    secret = alice.post("while away #python")
    alice.delete(hers)
    like = alice.like(his)
    older = alice.read(next(path for path in alice.repo.records if path.startswith("app.bsky.feed.repost/")))
    alice.delete(older)
    await site.caught_up()
    assert site.counts(his) == (0, 0, 0, 0)
    assert site.counts(secret) is site.counts(hers) is None
    alice.set_status(True)
    alice.delete(like)  # never heard of
    fresh = alice.post("back #python")
    await site.caught_up()
    # What was said while away was missed: the account is read anew for it.
    await site.until("read anew", lambda: not site.rows("SELECT 1 FROM repo"))
    assert await site.feed() == uris(fresh, secret, his)
    assert site.counts(his) == (1, 0, 1, 1)


async def test_s97_a_deleted_account_is_purged_and_stays_dead(site: Site) -> None:
    alice, bob, hers, his = busy(site)
    carol = site.world.account("carol")
    carol.like(hers)
    own = alice.like(hers)
    await site.caught_up()
    alice.set_status(False, "deleted")
    await site.settled()
    assert await site.feed() == [his.uri]
    assert site.counts(hers) is None
    assert site.rows("SELECT count(*) FROM engagement") == [(0,)]
    assert site.rows("SELECT active, status, purge FROM actor WHERE did = ?", alice.did) == [(0, "deleted", 0)]
    alice.post("from beyond #python")
    alice.delete(own)
    await site.settled()
    assert await site.feed() == [his.uri]
    # Her host has nothing any more of what there was before; when she is back, it is asked.
    alice.commit(*(Write("delete", path) for path in list(alice.repo.records)))
    alice.set_status(True)
    again = alice.post("alive again #python")
    bob.like(again)
    await site.rested()
    assert await site.feed() == uris(again, his)
    assert site.counts(again) == (1, 0, 0, 0)


async def test_an_account_that_comes_back_before_it_is_purged(site: Site) -> None:
    alice, _, hers, his = busy(site)
    await site.caught_up()
    await site.stop()  # so that nobody keeps house meanwhile
    alice.set_status(False, "deleted")
    alice.set_status(True)
    await site.start()
    await site.settled()
    assert await site.feed() == uris(his, hers)
    assert site.counts(his) == site.counts(hers) == (1, 1, 1, 1)


async def test_what_an_account_did_that_did_very_much_is_counted_at_rest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going and coming all day costs the stream nothing: there is one look at such accounts, once in a while."""
    monkeypatch.setattr("communities.shown.MOST_COUNTED", 2)
    monkeypatch.setattr("firehose.housekeeping.COUNT_EVERY", 0)
    alice, bob, hers, his = busy(site)
    await site.settled()
    monkeypatch.setattr("firehose.housekeeping.COUNT_EVERY", 1 << 60)
    for _ in range(20):
        alice.set_status(False, "deactivated")
        alice.set_status(True)
    alice.set_status(False, "suspended")
    await site.caught_up()
    assert await site.feed() == [his.uri]  # hidden at once
    assert site.counts(his) == (1, 1, 1, 1)
    await site.again()
    undone = [record for record in map(alice.read, alice.repo.records) if record.path.startswith("app.bsky.feed.like/")]
    alice.delete(undone[0])  # one of two
    bob.like(his)
    await site.caught_up()
    assert site.counts(his) == (2, 1, 1, 1)
    monkeypatch.setattr("firehose.housekeeping.COUNT_EVERY", 0)
    await site.settled()
    assert site.counts(his) == (1, 0, 0, 0)
    alice.set_status(True)
    await site.settled()
    assert site.counts(his) == (2, 1, 1, 1)
    assert site.counts(hers) == (1, 1, 1, 1)


async def test_nobody_is_purged_who_is_still_counted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("communities.shown.MOST_COUNTED", 2)
    monkeypatch.setattr("firehose.housekeeping.COUNT_EVERY", 1 << 60)
    alice, _, _, his = busy(site)
    await site.settled()
    site.ingest.housekeeping._counted_at = time.time_ns() // 1000
    alice.set_status(False, "deleted")
    await site.caught_up()
    await site.until("the host's word", lambda: site.rows("SELECT 1 FROM actor WHERE purge = 1"))
    assert site.counts(his) == (1, 1, 1, 1)
    monkeypatch.setattr("firehose.housekeeping.COUNT_EVERY", 0)
    await site.settled()
    assert site.counts(his) == (0, 0, 0, 0)
    assert site.rows("SELECT 1 FROM engagement e JOIN actor a ON a.id = e.actor WHERE did = ?", alice.did) == []


async def test_a_repeated_or_late_account_event_is_behind_the_fence(site: Site) -> None:
    alice, _, hers, his = busy(site)
    frames: list[bytes] = []
    for active in (False, True):
        alice.set_status(active, None if active else "suspended")
        frames.append(site.world.relay.history[-1].frame)
    await site.caught_up()
    for frame in (*frames, frames[0]):
        site.world.emit(frame)  # under its old seq
    await site.marked()
    assert await site.feed() == uris(his, hers)
    assert site.counts(his) == (1, 1, 1, 1)
    assert site.dropped == {"seq not rising": 3}
    # The same state twice, each under a seq of its own.
    for _ in range(2):
        alice.set_status(False, "suspended")
    await site.caught_up()
    assert (await site.feed(), site.counts(his)) == ([his.uri], (0, 0, 0, 0))
    for _ in range(2):
        alice.set_status(True)
    await site.caught_up()
    assert (await site.feed(), site.counts(his)) == (uris(his, hers), (1, 1, 1, 1))


@pytest.mark.parametrize(
    "event",
    [
        {"active": "no"},
        {"active": 0},
        {"active": None},
        {},
        {"active": False, "status": 5},
        {"active": False, "status": ["deleted"]},
        {"active": False, "did": None},
        {"active": False, "did": ["x"]},
    ],
    ids=str,
)
async def test_an_account_event_that_cannot_be_understood_changes_nothing(site: Site, event: dict[str, object]) -> None:
    alice, _, hers, his = busy(site)
    site.world.relay.send("#account", {"did": alice.did, **event})
    await site.caught_up()
    assert await site.feed() == uris(his, hers)


async def test_very_long_and_odd_statuses(site: Site) -> None:
    alice, _, _, his = busy(site)
    alice.set_status(False, "x" * 100_000)
    alice.set_status(False, "nul\0 and \U0001f389")
    alice.set_status(False, "")
    await site.caught_up()
    assert await site.feed() == [his.uri]


async def test_accounts_that_are_not_known_leave_no_trace(site: Site) -> None:
    (alice,) = site.people("alice")
    for status in ("deactivated", "deleted"):
        alice.set_status(False, status)
    await site.caught_up()
    assert site.rows("SELECT * FROM actor") == []


async def test_identity_events_are_told_and_change_nothing(site: Site) -> None:
    alice, _, hers, his = busy(site)
    await site.caught_up()
    told: list[str] = []
    site.ingest.on_identity(told.append)
    alice.rotate_key()
    site.world.relay.send("#identity", {"did": 7})
    alice.sync()
    await site.caught_up()
    assert told == [alice.did]
    assert await site.feed() == uris(his, hers)
