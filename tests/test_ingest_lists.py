"""Members of lists: read from the PDS of the owner, kept current by the stream, mended by reading again."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ingest_site import QUICK, REAPPLIED, Site, uris, write_lock
from tests.world import Account, Record, Write
from tests.world.keys import make_did

TEMPLATE = '[[community]]\nslug = "python"\nname = "Python"\ninclude.hashtags = ["x"]\ninclude.lists = ["{uri}"]\n'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def listed(site: Site, *members: Account) -> tuple[Account, Record, list[Record]]:
    """A community of a list's members: the owner, the list and its items, which stand before anything is read."""
    owner = site.world.account("owner")
    list_ = owner.list_("Pythonistas")
    items = [owner.listitem(list_, member) for member in members]
    await site.caught_up()
    await site.declare(TEMPLATE.format(uri=list_.uri))
    return owner, list_, items


async def members(site: Site, *accounts: Account) -> None:
    """Wait until exactly these are members, in the rules as well."""
    dids = {account.did for account in accounts}
    await site.until(
        f"the members {dids}",
        lambda: (
            {subject for (subject,) in site.rows("SELECT subject FROM list_item")} == dids
            and set(site.ingest.scope.matcher.authors) == dids
            and not site.rows(REAPPLIED)
        ),
    )


async def test_members_are_read_from_the_owners_pds(site: Site) -> None:
    crowd = [site.world.account(f"member{number}", quiet=True) for number in range(130)]  # more than a page
    alice, bob = site.people("alice", "bob")
    owner, list_, _ = await listed(site, alice, *crowd)
    other = owner.list_("Another")
    owner.listitem(other, bob)
    await site.read_lists()
    await members(site, alice, *crowd)
    post, hundredth = alice.post("of a member"), crowd[100].post("of another")
    bob.post("of nobody")
    await site.caught_up()
    assert await site.feed() == uris(hundredth, post)
    assert site.rows("SELECT DISTINCT evidence FROM feed_item") == [(f"list:{list_.uri}",)]


async def test_the_stream_adds_and_removes_members(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    owner, list_, (item,) = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    hers = alice.post("of a member")
    added = owner.listitem(list_, bob)
    his = bob.post("the very next event")
    await site.caught_up()
    assert await site.feed() == uris(his, hers)
    await members(site, alice, bob)

    owner.delete(item)
    await site.caught_up()
    await members(site, bob)
    alice.post("not of a member any more")
    await site.caught_up()
    assert await site.feed() == [his.uri]  # what she wrote before is gone as well

    owner.update(added, {"subject": carol.did})
    await site.caught_up()
    await members(site, carol)
    hers = carol.post("of a member")
    await site.caught_up()
    assert await site.feed() == [hers.uri]
    owner.update(added, {"list": list_.uri + "x"})
    await site.caught_up()
    await members(site)
    assert await site.feed() == []


async def test_a_list_that_is_renamed_keeps_its_members_and_a_deleted_one_loses_them(site: Site) -> None:
    (alice,) = site.people("alice")
    owner, list_, _ = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    post = alice.post("of a member")
    owner.post("#x, so that the owner is known")
    owner.update(list_, {"name": "Another name"})
    await site.marked()
    await members(site, alice)
    assert post.uri in await site.feed()
    owner.delete(list_)
    await site.marked()
    await members(site)
    assert post.uri not in await site.feed()


async def test_only_its_owner_puts_people_on_a_list(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    owner, list_, _ = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    bob.listitem(list_, bob)
    bob.post("let me in")
    owner.create("app.bsky.graph.listitem", {"list": list_.uri, "subject": "bob.test"})
    owner.create("app.bsky.graph.listitem", {"list": list_.uri, "subject": 5})
    owner.create("app.bsky.graph.listitem", {"list": list_.uri, "subject": make_did("x")[:-1]})
    await site.caught_up()
    await members(site, alice)
    assert await site.feed() == []


async def test_reading_again_mends_what_the_stream_did_not_bring(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    owner, list_, (item,) = await listed(site, alice)
    await site.read_lists(interval=0.05)
    await members(site, alice)
    post = alice.post("of a member")
    await site.caught_up()
    # Not sent: a host whose events a relay does not take.
    path = "app.bsky.graph.listitem/{}"
    value = {"$type": "app.bsky.graph.listitem", "list": list_.uri, "createdAt": site.world.clock.iso()}
    owner.commit(
        Write("delete", item.path),
        Write("create", path.format("bob"), value | {"subject": bob.did}),
        Write("create", path.format("carol"), value | {"subject": carol.did}),
    )
    await members(site, bob, carol)
    assert post.uri not in await site.feed()
    post = carol.post("of a member")
    await site.caught_up()
    assert await site.feed() == [post.uri]


async def test_a_pds_that_fails_is_told_and_the_members_that_are_known_stay(site: Site) -> None:
    (alice,) = site.people("alice")
    await listed(site, alice)
    site.world.pds.failing = 503
    await site.read_lists(interval=0.05)
    ((error,),) = await site.until("the error", lambda: site.rows("SELECT error FROM list WHERE error IS NOT NULL"))
    assert "503" in error
    site.world.pds.failing = None
    await site.again()
    await site.read_lists(interval=0.05)
    await members(site, alice)
    assert site.rows("SELECT error FROM list") == [(None,)]
    site.world.pds.failing = 500
    await site.until("the error", lambda: site.rows("SELECT error FROM list WHERE error IS NOT NULL"))
    post = alice.post("of a member")
    await site.caught_up()
    assert await site.feed() == [post.uri]


async def test_an_owner_that_nobody_can_resolve(site: Site) -> None:
    uri = f"at://{make_did('nobody')}/app.bsky.graph.list/x"
    await site.declare(TEMPLATE.format(uri=uri))
    await site.read_lists()
    ((error,),) = await site.until("the error", lambda: site.rows("SELECT error FROM list WHERE error IS NOT NULL"))
    assert "cannot be resolved" in error
    await site.marked()


async def test_a_list_that_no_rule_names_any_more_leaves_nothing(site: Site) -> None:
    (alice,) = site.people("alice")
    _, list_, _ = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    alice.post("of a member")
    await site.caught_up()
    await site.declare(TEMPLATE.format(uri=list_.uri).replace("include.lists", "# include.lists"))
    assert (await site.feed(), site.rows("SELECT * FROM list_item"), site.rows("SELECT * FROM list")) == ([], [], [])


async def test_what_was_on_a_list_does_not_come_back_by_a_replay(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    owner, list_, _ = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    item = owner.listitem(list_, bob)
    added = site.world.relay.history[-1].frame
    owner.delete(item)
    await site.caught_up()
    await members(site, alice)
    await site.rewind(item.seq - 1)
    assert added in {entry.frame for entry in site.world.relay.history}
    await site.marked()
    await members(site, alice)
    bob.post("of no member")
    await site.caught_up()
    assert await site.feed() == []


async def test_a_database_that_refuses_does_not_end_the_reading_of_lists(site: Site) -> None:
    (alice,) = site.people("alice")
    await listed(site, alice)
    with write_lock(site):
        await site.read_lists(interval=0.05)
        asked = "com.atproto.repo.listRecords"
        await site.until("several tries", lambda: site.world.pds.calls[asked] >= 3)
        assert site.rows("SELECT * FROM list_item") == []
    await members(site, alice)


async def test_a_list_that_changed_just_before_a_stop_is_taken_over_by_the_next_start(site: Site) -> None:
    """A42: its rows are stored, and the process ends before it has held the stored posts against it."""
    alice, bob = site.people("alice", "bob")
    owner, list_, (item,) = await listed(site, alice)
    await site.read_lists()
    await members(site, alice)
    alice.post("of a member")
    post = bob.post("not yet #x")
    await site.caught_up()
    site.pace = replace(QUICK, rules=3600.0)
    for change in (lambda: owner.listitem(list_, bob), lambda: owner.delete(item)):
        await site.again()
        await site.until("the first look", lambda: not site.rows(REAPPLIED))
        change()
        await site.caught_up()
        assert site.rows("SELECT value FROM meta WHERE key = 'lists_changed'") == [("",)]
        await site.again()
        await site.until("taken over", lambda: not site.rows("SELECT * FROM meta WHERE key = 'lists_changed'"))
        await site.settled()
    assert await site.feed() == [post.uri]
    assert site.rows("SELECT evidence FROM feed_item") == [(f"hashtag:x\nlist:{list_.uri}",)]
