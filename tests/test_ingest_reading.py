"""What people say of somebody's posts while his repository is read (B6)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.trust_site import TrustSite


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


async def test_b6_what_others_say_meanwhile_of_a_new_post_is_kept(site: TrustSite) -> None:
    """The repository does not hold the post yet when it is given out."""
    alice, carol = site.people("alice", "carol")
    await site.synced(alice)
    held = site.world.pds.hold(alice.did)
    site.ingest.index.desynchronize(alice.did, "a test", 0)
    await held.asked.wait()
    post = alice.post("#python")
    carol.like(post)
    carol.reply(post, "yes")
    await site.caught_up()
    assert site.counts(post) == (1, 0, 1, 0)
    held.release()
    await site.synced(alice)
    assert site.counts(post) == (1, 0, 1, 0)


async def test_b6_what_others_say_meanwhile_of_a_post_that_is_made_anew_is_kept(site: TrustSite) -> None:
    """The repository still holds the post that stood there before."""
    alice, carol = site.people("alice", "carol")
    post = alice.post("#python")
    carol.repost(post)
    await site.synced(alice)
    held = site.world.pds.hold(alice.did)
    site.ingest.index.desynchronize(alice.did, "a test", 0)
    await held.asked.wait()
    alice.delete(post)
    again = alice.post("again #python", rkey=post.rkey)
    carol.like(again)
    await site.caught_up()
    assert site.counts(again) == (1, 0, 0, 0)
    held.release()
    await site.synced(alice)
    assert site.counts(again) == (1, 0, 0, 0)


async def test_b6_what_came_meanwhile_and_is_void_is_not_applied_again(site: TrustSite) -> None:
    """Of an account that is read once, and not followed: the fence stands behind all that was heard of it."""
    alice, carol = site.people("alice", "carol")
    first = carol.post("#python")
    await site.synced(alice)
    held = site.world.pds.hold(carol.did)
    site.ingest.index.desynchronize(carol.did, "a test", 0)
    await held.asked.wait()
    carol.delete(carol.post("soon gone #python"))
    await site.caught_up()
    held.release()
    await site.until("read", lambda: site.state(carol) is None)
    assert site.rows("SELECT rev FROM actor WHERE did = ?", carol.did) == [(carol.repo.rev,)]
    assert await site.feed() == [first.uri]
