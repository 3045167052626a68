"""What leaves the index, in small steps: old posts, deleted accounts, unused ones; and recounting."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firehose.housekeeping import DAY, INTERACTION_DAYS, REPLAY_DAYS, STEP_ROWS, Housekeeping, recount
from firehose.times import now_micros
from models.database import sql, writing
from tests.ingest_site import RULES, Site, uris
from tests.world import Record


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


class Later:
    """The ingest is stopped, and housekeeping runs by a clock that stands some days ahead."""

    def __init__(self, site: Site, retention: int = 30 * DAY) -> None:
        self.days = 0.0
        self.site = site
        self.keeper = Housekeeping(
            site.ingest.database,
            site.ingest.index,
            retention,
            clock=lambda: now_micros() + int(self.days * DAY),
        )

    def after(self, days: float) -> int:
        """Let it be so many days later; the number of steps that took, each of them checked to be small."""
        self.days = days
        self.keeper.begin_round()
        steps = 0
        while True:
            before = self.sizes()
            if not self.keeper.step(self.site.ingest.scope.matcher):
                return steps
            steps += 1
            assert all(old - new <= 2 * STEP_ROWS for old, new in zip(before, self.sizes(), strict=True))
            assert steps < 10_000

    def sizes(self) -> list[int]:
        tables = ("actor", "interaction", "used_token", "late")
        return [self.site.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


async def test_posts_older_than_the_retention_leave_with_all_that_hangs_on_them(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post, other = alice.post("#python"), alice.post("#python")
    bob.like(post)
    bob.reply(post, "in a community itself #rust")
    await site.caught_up()
    await site.stop()
    later = Later(site)
    later.after(29)
    assert site.counts(post) == (1, 0, 1, 0)
    later.after(31)
    for table in ("post", "feed_item", "engagement"):
        assert site.rows(f"SELECT * FROM {table}") == []
    assert later.after(31) <= 1
    # What was said of it late finds nothing, and does no harm.
    await site.start()
    bob.repost(other)
    fresh = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == [fresh.uri]


async def test_a_reply_outlives_what_it_answers_and_the_other_way_round(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    old = alice.post("#python")
    reply = bob.reply(old, "#python")
    alice.reply(reply, "again")
    await site.caught_up()
    await site.stop()
    age(site, old)
    Later(site).after(1)
    assert (site.counts(old), site.counts(reply)) == (None, (0, 0, 1, 0))
    await site.start()
    bob.delete(reply)
    await site.caught_up()
    assert site.rows("SELECT * FROM engagement") == []


async def test_a_reply_that_expires_goes_on_counting(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    reply = bob.reply(post, "#python")
    await site.caught_up()
    await site.stop()
    age(site, reply)
    Later(site).after(1)
    assert (site.counts(post), site.counts(reply)) == ((0, 0, 1, 0), None)
    await site.start()
    bob.delete(reply)  # it is still heard of
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)


def age(site: Site, post: Record) -> None:
    with writing(site.ingest.database) as connection:
        connection.execute("UPDATE post SET event_at = event_at - ? WHERE rkey = ?", (60 * DAY, post.rkey))


async def test_a_post_with_very_many_likes_leaves_in_pieces_and_its_feed_at_once(site: Site) -> None:
    (alice,) = site.people("alice")
    post, other = alice.post("#python"), alice.post("#python")
    await site.caught_up()
    await site.stop()
    ((number,),) = site.rows("SELECT id FROM post WHERE rkey = ?", post.rkey)
    with writing(site.ingest.database) as connection:
        connection.executemany(
            "INSERT INTO actor (id, did) VALUES (?, ?)", [(n, f"did:plc:{n:024}") for n in range(1000, 2000)]
        )
        connection.executemany(
            "INSERT INTO engagement (actor, kind, rkey, post) VALUES (?, 1, 'x', ?)",
            [(n, number) for n in range(1000, 2000)],
        )
        connection.execute("UPDATE post SET likes = 1000 WHERE id = ?", (number,))
    age(site, post)
    later = Later(site)
    edges = [1000]
    while later.keeper.step(site.ingest.scope.matcher) and edges[-1]:
        assert await site.feed() == [other.uri]
        edges.append(site.rows("SELECT count(*) FROM engagement")[0][0])
    assert edges == [1000, 800, 600, 400, 200, 0]
    assert site.counts(post) is None
    await site.start()


async def test_the_purge_of_a_large_account_goes_in_steps_and_over_a_restart(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    liked = bob.post("#python")
    posts = [alice.post(f"{number} #python") for number in range(450)]
    for _ in range(300):
        alice.like(liked)
    alice.repost(liked)
    bob.like(posts[0])
    await site.caught_up()
    await site.stop()
    alice.set_status(False, "deleted")
    ingest = site.ingest
    ingest.index.overlay(alice.did, False, "deleted")
    assert site.counts(liked) == (0, 0, 0, 0)
    assert await site.feed() == [liked.uri]  # hidden at once
    before = site.rows("SELECT count(*) FROM post")[0][0]
    assert ingest.housekeeping.step(ingest.scope.matcher)
    assert before - STEP_ROWS <= site.rows("SELECT count(*) FROM post")[0][0] < before
    site.ingest.database.close()
    site.open()
    await site.start()
    await site.settled()
    assert site.rows("SELECT count(*) FROM post") == [(1,)]
    assert site.rows("SELECT * FROM engagement") == []
    assert site.rows("SELECT active, status, purge FROM actor WHERE did = ?", alice.did) == [(0, "deleted", 0)]


async def test_accounts_that_nothing_points_to_go_when_no_replay_can_bring_them(site: Site) -> None:
    alice, bob, carol, dora, eve = site.people("alice", "bob", "carol", "dora", "eve")
    kept = alice.post("#python")
    bob.delete(bob.like(kept))
    carol.like(kept)
    gone = dora.post("#python")
    dora.delete(gone)
    pinned = eve.post("pinned")
    await site.caught_up()
    dora.set_status(False, "suspended")
    await site.declare(RULES.replace('name = "Python"', f'name = "Python"\npins = ["{pinned.uri}"]'))
    await site.caught_up()
    await site.stop()
    everybody = {account.did for account in (alice, bob, carol, dora, eve)}
    later = Later(site)
    later.after(REPLAY_DAYS - 1)
    assert dids(site) == everybody
    later.after(REPLAY_DAYS + 1)
    # Bob points to nothing; Dora stays as long as she is hidden.
    assert dids(site) == everybody - {bob.did}
    await site.start()
    bob.like(kept)
    await site.caught_up()
    assert site.counts(kept) == (2, 0, 0, 0)


async def test_b6_what_was_read_ahead_of_a_stream_that_never_brought_it_goes(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    kept = alice.post("#python")
    bob.delete(bob.like(kept))
    await site.caught_up()
    await site.stop()
    with writing(site.ingest.database) as connection:
        connection.execute("INSERT INTO late SELECT id, 1, 'x', 'at://x', ? FROM actor", (now_micros(),))
    later = Later(site)
    later.after(REPLAY_DAYS - 1)
    assert site.rows("SELECT count(*) FROM late") == [(2,)]
    later.after(REPLAY_DAYS + 1)
    assert site.rows("SELECT count(*) FROM late") == [(0,)]
    assert dids(site) == {alice.did}
    await site.start()


async def test_of_what_waits_for_posts_that_never_come_the_newest_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can be any number of accounts whose repositories are full of it."""
    monkeypatch.setattr("firehose.housekeeping.MOST_LATE", 500)
    (alice,) = site.people("alice")
    alice.post("#python")
    await site.caught_up()
    await site.stop()
    now = now_micros()
    with writing(site.ingest.database) as connection:
        connection.executemany(
            "INSERT INTO late SELECT id, 1, ?, 'at://x', ? FROM actor", [(f"{n:04}", now + n) for n in range(1200)]
        )
    Later(site).after(0)
    assert site.rows("SELECT count(*), min(rkey) FROM late") == [(500, "0700")]
    await site.start()


def dids(site: Site) -> set[str]:
    return {did for (did,) in site.rows("SELECT did FROM actor")}


async def test_interactions_and_used_tokens_go(site: Site) -> None:
    await site.stop()
    now = now_micros()
    with writing(site.ingest.database) as connection:
        connection.executemany(
            "INSERT INTO interaction (viewer, item, event, req_id, feed, feed_context, at)"
            " VALUES ('v', ?, 'e', '', 'f', '', ?)",
            [(f"{number}", now - number * DAY // 500) for number in range(1500)],
        )
        connection.executemany(
            "INSERT INTO used_token (iss, jti, expires) VALUES ('i', ?, ?)",
            [(f"{number}", now // 1_000_000 + number - 750) for number in range(1500)],
        )
    Later(site).after(0)
    (kept,) = site.rows("SELECT count(*) FROM interaction")
    assert INTERACTION_DAYS * 500 - 2 <= kept[0] <= INTERACTION_DAYS * 500 + 2
    assert 745 <= site.rows("SELECT count(*) FROM used_token")[0][0] <= 750
    await site.start()


async def test_recount_mends_what_is_wrong_and_nothing_else(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    post, other = alice.post("#python"), alice.post("#python")
    bob.like(post)
    bob.like(post)
    carol.reply(post, "yes")
    carol.set_status(False, "deactivated")
    await site.caught_up()
    await site.stop()
    with writing(site.ingest.database) as connection:
        assert recount(connection) == 0
        connection.execute("UPDATE post SET likes = 7, quotes = -1 WHERE rkey = ?", (post.rkey,))
        assert recount(connection) == 2
        assert recount(connection) == 0
    assert (site.counts(post), site.counts(other)) == ((1, 0, 0, 0), (0, 0, 0, 0))
    await site.start()


async def test_filters_that_become_full_are_built_anew(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        (alice,) = site.people("alice")
        capacity = site.ingest.scope.posts.capacity
        posts = [alice.post("#python", langs=[]) for _ in range(capacity + 50)]
        await site.caught_up()
        await site.until("a larger filter", lambda: site.ingest.scope.posts.capacity > capacity)
        assert not site.ingest.scope.posts.full
        assert all(post.uri in site.ingest.scope.posts for post in posts)
        alice.delete(posts[0])
        site.world.account("bob").like(posts[1])
        await site.caught_up()
        assert (site.counts(posts[0]), site.counts(posts[1])) == (None, (1, 0, 0, 0))
        assert sql(site.ingest.database).execute("SELECT count(*) FROM post").fetchone() == (capacity + 49,)
        assert uris(posts[0])[0] not in await site.feed()
