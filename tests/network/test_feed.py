"""Posts on the real PDS come back, hydrated, from the real AppView's getFeed."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.network.conftest import Site
from tests.service_process import until

pytestmark = pytest.mark.network


def test_a_post_comes_back_hydrated_and_leaves_when_deleted(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    post = alice.post("Hello from the PDS", "Arriving")  # another case than the rule's
    alice.post("not for this community", "elsewhere")

    found = until("the post in getFeed", lambda: bob.feed(site.feed("arriving")), deadline=10)
    assert [item["uri"] for item in found] == [post["uri"]]
    assert found[0]["cid"] == post["cid"]
    assert found[0]["author"]["handle"] == alice.handle
    assert found[0]["record"]["text"] == "Hello from the PDS #Arriving"

    alice.delete(post["uri"])
    until("the feed without the post", lambda: site.skeleton("arriving") == [], deadline=10)
    assert bob.feed(site.feed("arriving")) == []


def test_paging_to_the_end_returns_every_post_once(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    start = datetime.now(UTC) - timedelta(hours=1)
    made = []
    for number in range(25):
        # Five posts share each moment, so that every page of three ends amid equal times.
        created = (start + timedelta(seconds=number // 5)).isoformat(timespec="milliseconds")
        made.append(alice.post(f"post {number}", "paging", createdAt=created)["uri"])
    site.caught_up()

    pages = list(bob.pages(site.feed("paging"), limit=3))
    seen = [uri for page in pages for uri in page]
    assert len(seen) == 25
    assert set(seen) == set(made)
    moments = [made.index(uri) // 5 for uri in seen]
    assert moments == sorted(moments, reverse=True)
    assert all(len(page) == 3 for page in pages[:8])


def test_posts_and_deletes_between_two_pages_move_nothing(site: Site) -> None:
    carol, bob = site.person("carol"), site.person("bob")
    feed = site.feed("moving")
    made = [carol.post(f"post {number}", "moving")["uri"] for number in range(6)]
    site.caught_up()

    pages = bob.pages(feed, limit=2)
    first = next(pages)
    assert first == [made[5], made[4]]
    carol.post("while somebody reads", "moving")
    carol.delete(made[4])  # the post on which the cursor stands
    carol.delete(made[2])
    site.caught_up()
    assert [uri for page in pages for uri in page] == [made[3], made[1], made[0]]


def test_deactivation_hides_an_author_and_reactivation_brings_the_posts_back(site: Site) -> None:
    dora, alice, bob = site.person("dora"), site.person("alice"), site.person("bob")
    theirs = [dora.post(f"post {number}", "leaving")["uri"] for number in range(2)]
    other = alice.post("somebody else", "leaving")["uri"]
    site.caught_up()
    assert set(site.skeleton("leaving")) == {*theirs, other}

    dora.do("com.atproto.server.deactivateAccount")
    until("the feed without dora", lambda: site.skeleton("leaving") == [other])
    assert [post["uri"] for post in bob.feed(site.feed("leaving"))] == [other]

    dora.activate()
    until("the feed with dora", lambda: set(site.skeleton("leaving")) == {*theirs, other})
    site.caught_up()
    assert {post["uri"] for post in bob.feed(site.feed("leaving"))} == {*theirs, other}


def test_a_like_counts_and_an_undone_like_uncounts(site: Site) -> None:
    alice, bob, carol = (site.person(name) for name in ("alice", "bob", "carol"))
    post = alice.post("please like", "liking")
    likes = [person.create("app.bsky.feed.like", subject=post) for person in (bob, carol)]
    bob.create("app.bsky.feed.repost", subject=post)
    answer = {"root": post, "parent": post}
    reply = carol.create("app.bsky.feed.post", text="a reply", reply=answer)
    site.caught_up()

    def counts() -> tuple[int, ...]:
        (row,) = site.rows("SELECT likes, reposts, replies FROM post WHERE rkey = ?", post["uri"].rpartition("/")[2])
        return row

    assert counts() == (2, 1, 1)
    bob.delete(likes[0]["uri"])
    carol.delete(reply["uri"])
    site.caught_up()
    assert counts() == (1, 1, 0)
