"""Likes, reposts, replies and quotes of indexed posts: of distinct accounts, and an undone one un-counts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingest_site import Site
from tests.world import Record, Write

LIKE = "app.bsky.feed.like"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def test_each_kind_is_counted_and_uncounted(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    post = alice.post("#python")
    undone = [bob.like(post), bob.repost(post), bob.reply(post, "yes"), bob.quote(post, "this")]
    for kept in (carol.like, carol.repost):
        kept(post)
    carol.reply(post, "no")
    carol.quote(post, "that")
    alice.reply(post, "myself")
    await site.caught_up()
    assert site.counts(post) == (2, 2, 3, 2)
    for record in undone:
        bob.delete(record)
    await site.caught_up()
    assert site.counts(post) == (1, 1, 2, 1)


async def test_s106_an_account_counts_once_however_often_it_likes(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    likes = [bob.like(post) for _ in range(3)]
    replies = [bob.reply(post, f"{number}") for number in range(3)]
    await site.caught_up()
    assert site.counts(post) == (1, 0, 1, 0)
    for record in (*likes[:2], *replies[:2]):
        bob.delete(record)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 1, 0)
    bob.delete(likes[2])
    bob.delete(replies[2])
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)


async def test_a_like_that_comes_to_mean_another_post(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    one, two, unknown = alice.post("one #python"), alice.post("two #python"), alice.post("unknown")
    like = bob.like(one)
    await site.caught_up()
    like = bob.update(like, {"subject": two.ref})
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((0, 0, 0, 0), (1, 0, 0, 0))
    like = bob.update(like, {"subject": unknown.ref})
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((0, 0, 0, 0), (0, 0, 0, 0))
    bob.update(like, {"subject": one.ref})
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((1, 0, 0, 0), (0, 0, 0, 0))


@pytest.mark.parametrize(
    "broken",
    [{"subject": None}, {"subject": "at://"}, {"subject": {"uri": 5}}, {"$type": "app.bsky.feed.repost"}, {"x": 1.5}],
    ids=str,
)
async def test_a_like_that_is_none_any_more_uncounts(site: Site, broken: dict[str, object]) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    like = bob.like(post)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)
    bob.write(Write("update", like.path, {**like.value, **broken}))
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)


async def test_a_reply_that_is_edited(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    one, two = alice.post("one #python"), alice.post("two #python")
    reply = bob.reply(one, "to one")
    both = bob.quote(one, "to both", reply=two)
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((0, 0, 1, 1), (0, 0, 1, 0))
    reply = bob.update(reply, {"reply": {"root": two.ref, "parent": two.ref}})
    bob.update(both, {"embed": None})
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((0, 0, 0, 0), (0, 0, 1, 0))
    bob.update(reply, {"reply": None})
    bob.delete(both)
    await site.caught_up()
    assert (site.counts(one), site.counts(two)) == ((0, 0, 0, 0), (0, 0, 0, 0))


async def test_a_reply_that_is_in_a_community_itself(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    post = alice.post("#python")
    reply = bob.reply(post, "yes, #python")
    carol.like(reply)
    await site.caught_up()
    assert (site.counts(post), site.counts(reply)) == ((0, 0, 1, 0), (1, 0, 0, 0))
    bob.update(reply, {"text": "no", "facets": None})  # leaves the community, and goes on answering
    await site.caught_up()
    assert (site.counts(post), site.counts(reply)) == ((0, 0, 1, 0), None)
    bob.delete(reply)
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)


async def test_what_is_said_of_a_post_that_is_gone(site: Site) -> None:
    alice, bob, carol = site.people("alice", "bob", "carol")
    post = alice.post("#python", rkey="same")
    like, reply = bob.like(post), bob.reply(post, "yes")
    alice.delete(post)
    late = carol.like(post)
    await site.caught_up()
    assert (site.counts(post), site.rows("SELECT * FROM engagement")) == (None, [])
    for account, record in ((bob, like), (bob, reply), (carol, late)):
        account.delete(record)
    alice.post("again #python", rkey="same")
    carol.like(post)
    await site.caught_up()
    assert site.counts(post) == (1, 0, 0, 0)


async def test_what_concerns_no_indexed_post_is_not_stored(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    unknown = alice.post("nothing")
    bob.like(unknown)
    bob.repost(unknown)
    bob.reply(unknown, "yes")
    bob.quote(unknown, "this")
    bob.follow(alice)
    profile = alice.profile("Alice")
    bob.like(profile)
    await site.caught_up()
    assert [site.rows(f"SELECT * FROM {table}") for table in ("post", "engagement", "actor")] == [[], [], []]


@pytest.mark.parametrize(
    "uri",
    ["{did}/app.bsky.feed.post/x", "at://alice.test/app.bsky.feed.post/{rkey}", "at://{did}/app.bsky.feed.post/{rkey}/",
     "at://{did}/app.bsky.feed.like/{rkey}", " at://{did}/app.bsky.feed.post/{rkey}", "at://{did}"],
)  # fmt: skip
async def test_a_subject_that_is_not_exactly_the_post(site: Site, uri: str) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    subject = {"uri": uri.format(did=alice.did, rkey=post.rkey), "cid": post.cid}
    bob.create(LIKE, {"subject": subject, "createdAt": site.world.clock.iso()})
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 0)


async def test_a_quote_beside_pictures(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    embed = {
        "$type": "app.bsky.embed.recordWithMedia",
        "record": {"$type": "app.bsky.embed.record", "record": post.ref},
        "media": {"$type": "app.bsky.embed.images", "images": []},
    }
    bob.post("look", embed=embed)
    await site.caught_up()
    assert site.counts(post) == (0, 0, 0, 1)


async def test_s104_a_post_that_answers_and_quotes_itself_or_a_circle(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    post = alice.post("#python")
    alice.update(post, {"reply": {"root": post.ref, "parent": post.ref}, "embed": quoting(post)})
    other = bob.quote(post, "#python")
    alice.update(post, {"embed": quoting(other)})
    await site.caught_up()
    # Said of oneself counts like that of anybody else.
    assert (site.counts(post), site.counts(other)) == ((0, 0, 0, 1), (0, 0, 0, 1))
    alice.delete(post)
    await site.caught_up()
    assert (site.counts(post), site.counts(other)) == (None, (0, 0, 0, 0))


def quoting(post: Record) -> dict[str, object]:
    return {"$type": "app.bsky.embed.record", "record": post.ref}
