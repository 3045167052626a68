"""What Jetstream and Tap do not tell, or tell in their own way, and that it is made up for (J3, J15, T3-T6, B10)."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from communities.records import COMMUNITY, MEMBERSHIP
from firehose import sweep, turns
from tests.ingest_site import RULES, uris
from tests.source_site import TAP, V1, V2, SourceSite
from tests.world import Account, Record, Write
from tests.world.clock import iso
from tests.world.keys import make_did

POST = "app.bsky.feed.post"
KINDS = (V1, V2, TAP)


class MemberSite(SourceSite):
    """`alice` is a member of the community "club"; repositories are followed."""

    def __init__(self, folder: Path, *sources: str, **options: Any) -> None:
        club = f'\n[[community]]\nslug = "club"\nname = "Club"\ninclude.members = ["{make_did("1 alice")}"]\n'
        super().__init__(folder, *sources, rules=RULES + club, verify="members", **options)

    def repo(self, account: Account) -> list[tuple[Any, ...]]:
        """State and rev of an account whose repository is followed."""
        query = "SELECT r.state, a.rev FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?"
        return self.rows(query, account.did)

    async def synced(self, account: Account) -> None:
        """The repository is followed as it is now."""
        await self.until("synced", lambda: self.repo(account) == [("synced", account.repo.rev)])

    async def reread(self, account: Account, *untold: Record) -> None:
        """The source reads the repository anew, and tells what it holds; Tap only what it has not told before."""
        if self.sources == (TAP,):
            self.tap.resync(account, *untold)
        else:
            self.jetstream.resync(account)
        await self.caught_up()


@pytest.fixture(params=KINDS)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemberSite]:
    async with MemberSite(tmp_path, request.param) as site:
        yield site


@pytest.fixture
async def tapped(tmp_path: Path) -> AsyncIterator[MemberSite]:
    async with MemberSite(tmp_path, TAP) as site:
        yield site


def untold(account: Account, *writes: Write, text: str = "untold #python") -> Record:
    """Commit a post, and more, of which the stream says nothing."""
    value = {"$type": POST, "text": text, "tags": ["python"], "createdAt": account._clock.iso()}
    path = f"{POST}/{account._clock.tid()}"
    account.commit(*writes, Write("create", path, value))
    return account.read(path)


async def test_t5_j15_what_a_resync_of_the_source_does_not_say_is_found_by_the_sweep(
    site: MemberSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells of creates, under the rev that the repository has now, so that nothing looks amiss: the deletion that
    was lost shows only in the repository itself. Version 2 of Jetstream says that it was read anew; nobody else does.
    """
    (alice,) = site.people("alice")
    gone, kept = alice.post("gone #python"), alice.post("kept #python")
    await site.caught_up()
    await site.synced(alice)
    missed = untold(alice, Write("delete", gone.path))
    if site.sources == (V2,):
        await site.reread(alice)
    else:
        await site.reread(alice, missed)
        assert site.repo(alice) == [("synced", alice.repo.rev)]
        assert set(await site.feed("club")) == set(uris(missed, kept, gone))
        monkeypatch.setattr(turns, "EVERY", 0)
        monkeypatch.setattr(sweep, "UNPROVEN", 0)
    await site.until("the deletion", lambda: site.counts(gone) is None)
    await site.synced(alice)
    assert set(await site.feed("club")) == set(uris(missed, kept))


async def test_t5_b10_a_commit_that_was_skipped_shows_when_the_repository_is_read_again_though_later_ones_came(
    site: MemberSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = site.people("alice")
    await site.caught_up()
    await site.synced(alice)
    skipped = untold(alice)
    later = alice.post("later #python")
    await site.caught_up()
    assert await site.feed("club") == [later.uri]
    assert site.repo(alice) == [("synced", alice.repo.rev)]  # as far as its rev tells
    monkeypatch.setattr(turns, "EVERY", 0)
    await site.until("asked", lambda: site.sweep.counts["accounts looked at"] > 3)
    assert not site.sweep.counts["accounts followed without proofs"]  # it was read just now
    monkeypatch.setattr(sweep, "UNPROVEN", 0)
    await site.until("read anew", lambda: site.counts(skipped))
    await site.synced(alice)
    assert set(await site.feed("club")) == set(uris(later, skipped))
    read = site.resync.counts["repositories read"]
    looked = site.sweep.counts["accounts looked at"]
    await site.until("asked again", lambda: site.sweep.counts["accounts looked at"] > looked + 3)
    assert site.resync.counts["repositories read"] == read  # what is known by its tree is not


async def test_t5_j17_what_a_stranger_deleted_unheard_is_found_by_the_sweep(
    site: MemberSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (carol,) = site.people("carol")
    gone, kept = carol.post("gone #python"), carol.post("kept #python")
    await site.caught_up()
    carol.commit(Write("delete", gone.path))
    monkeypatch.setattr(sweep, "LAG", 0)
    site.sweep.turns.begin_round()
    await site.until("the deletion", lambda: site.counts(gone) is None)
    assert await site.feed() == [kept.uri]


async def test_t4_t5_what_tap_tells_of_a_repository_that_it_has_read_is_taken_and_no_old_post_floods_a_feed(
    tapped: MemberSite,
) -> None:
    """History comes as if it were new; live commits stand behind it."""
    (carol,) = tapped.people("carol")
    await tapped.caught_up()
    days = 86_400_000_000
    old = untold(carol)
    carol.commit(Write("update", old.path, {**old.value, "createdAt": iso(carol._clock.now() - 30 * days)}))
    recent, changed = untold(carol), untold(carol)
    await tapped.reread(carol)
    live = carol.post("live #python")
    changed = carol.update(changed, {"text": "changed", "tags": ["rust"]})
    await tapped.caught_up()
    assert await tapped.feed() == uris(live, recent)
    assert await tapped.feed("rust") == [changed.uri]
    assert tapped.ingest.index.counts["post too old to admit"] == 1


async def test_t5_what_is_told_twice_with_the_repository_added_anew_is_doubled_by_nothing(tapped: MemberSite) -> None:
    """Whoever has lost the rows removes the repository from Tap and adds it again: all of it comes again."""
    alice, carol = tapped.people("alice", "carol")
    post = carol.post("#python")
    alice.like(post)
    undone = alice.repost(post)
    alice.delete(undone)
    await tapped.caught_up()
    for _ in range(2):
        for account in (alice, carol):
            await tapped.reread(account)
    assert tapped.counts(post) == (1, 0, 0, 0)
    assert await tapped.feed() == [post.uri]


async def test_t5_a_commit_of_an_account_that_is_not_active_is_not_shown_whoever_tells_it(site: MemberSite) -> None:
    (carol,) = site.people("carol")
    shown = carol.post("#python")
    carol.set_status(False, "takendown")
    hidden = carol.post("while away #python")
    await site.caught_up()
    assert await site.feed() == [] and site.counts(hidden) is None
    carol.set_status(True)
    await site.until("read", lambda: site.counts(hidden))
    assert await site.feed() == uris(hidden, shown)


async def test_t3_nothing_is_asked_of_tap_but_its_channel(tapped: MemberSite) -> None:
    """Whom it follows is for its operator to say."""
    alice, carol = tapped.people("alice", "carol")
    post = carol.post("#python")
    alice.like(post)
    await tapped.caught_up()
    await tapped.declare(RULES + f'\n[[community]]\nslug = "own"\nname = "Own"\ninclude.members = ["{carol.did}"]\n')
    own = carol.post("of a member")
    await tapped.caught_up()
    assert own.uri in await tapped.feed("own")
    assert set(tapped.tap.asked) == {"/channel"} and tapped.tap.bad == []


@pytest.mark.parametrize("kind", [V1, V2])
async def test_j3_j12_changed_rules_need_no_other_filter(tmp_path: Path, kind: str) -> None:
    """Filters go by collection, so neither an options_update is sent nor a connection made anew for a rule."""
    async with SourceSite(tmp_path, kind) as site:
        (alice,) = site.people("alice")
        await site.caught_up()
        await site.declare(RULES + '\n[[community]]\nslug = "new"\nname = "New"\ninclude.hashtags = ["new"]\n')
        post = alice.post("#new")
        await site.caught_up()
        assert await site.feed("new") == [post.uri]
        (visit,) = site.jetstream.visits
        assert visit.received == [] and visit.open


@pytest.mark.parametrize("kind", [V1, V2])
async def test_j15_who_is_far_behind_is_kept_while_it_reads(tmp_path: Path, kind: str) -> None:
    async with SourceSite(tmp_path, kind) as site:
        (alice,) = site.people("alice")
        post = alice.post("#python")
        await site.caught_up()
        await site.stop()
        for number in range(600):
            alice.reply(post, f"{number} #python")
        last = alice.post("last #python")
        site.jetstream.slow = (100, 5, 0.05)
        site.open()
        await site.start()
        await site.caught_up()
        assert site.counts(post) == (0, 0, 1, 0) and site.counts(last)
        assert site.jetstream.dropped == 0 and len(site.jetstream.visits) == 2


@pytest.mark.parametrize("kind", [V1, V2])
async def test_j15_who_was_dropped_as_too_slow_goes_on_where_it_was_and_waits_for_a_server_that_warms_up(
    tmp_path: Path, kind: str
) -> None:
    async with SourceSite(tmp_path, kind) as site:
        (alice,) = site.people("alice")
        await site.caught_up()
        server = site.jetstream
        server.slow = (10, 1000, 0.05)
        server.faults.stall_after(20)
        for _ in range(3):
            server.faults.refuse(503)
        await server.drop()
        await site.until("the next connection", lambda: len(server.visits) == 2)
        posts = [alice.post(f"{number} #python") for number in range(60)]
        await site.until("dropped", lambda: server.dropped)
        server.slow = None
        await site.until("refusals", lambda: site.closes.get("refused with 503") == 3)
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))
        assert server.dropped == 1 and len(server.visits) == 6
        if kind == V2:
            assert site.closes["ConsumerTooSlow"] == 1


async def test_s95_what_is_told_of_communities_is_believed_of_repositories_only(site: MemberSite) -> None:
    """Who writes it for others makes them be read, and no more."""
    alice, bob, carol, dave = site.people("alice", "bob", "carol", "dave")
    value = {"type": "open", "name": "Birds", "createdAt": site.world.clock.iso()}
    bees = carol.create(COMMUNITY, value, "bees")
    directory = site.ingest.index.admissions
    await site.until("bees", lambda: directory.directory.find("bees"))
    joined = {"community": bees.uri, "createdAt": site.world.clock.iso()}
    for account, path, record in (
        (alice, f"{COMMUNITY}/birds", value),
        (bob, f"{MEMBERSHIP}/{site.world.clock.tid()}", joined),
    ):
        write = Write("create", path, {"$type": path.partition("/")[0], **record})
        other = copy.copy(account.repo)
        other.records = dict(account.repo.records)
        site.world.relay.send("#commit", other.commit([write], site.world.clock.tid()))
        assert path not in account.repo.records
    dave.create(MEMBERSHIP, joined)
    await site.caught_up()
    assert site.dropped["record of communities without proof"] >= 3
    await site.until("a member", lambda: site.rows("SELECT 1 FROM membership"))
    await site.rested()
    members = site.rows("SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor")
    assert members == [(dave.did,)] and directory.directory.find("birds") is None
