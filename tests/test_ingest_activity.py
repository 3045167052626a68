"""What ranked feeds need of a post beside its counts: when anybody last did anything with it, and whether it is a
video.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firehose.rules import REAPPLY
from models.database import writing
from tests.ingest_site import RULES, Site, uris
from tests.ranked_site import HOUR, video
from tests.test_ingest_resync import unseen
from tests.trust_site import TrustSite
from tests.world import Account, Record, Write
from tests.world.clock import iso, tid, wall

MILLI = 1000
"""Events carry times of this precision."""


class Hands:
    """A clock that stands until it is moved; an hour ago, so that nothing is in the future."""

    def __init__(self) -> None:
        self.at = wall() // MILLI * MILLI - HOUR

    def __call__(self) -> int:
        return self.at

    def pass_(self, seconds: int) -> int:
        self.at += seconds * 1_000_000
        return self.at


def active_at(site: Site, post: Record) -> int:
    query = "SELECT active_at FROM post JOIN actor ON actor.id = post.actor WHERE actor.did = ? AND rkey = ?"
    return int(site.rows(query, post.did, post.rkey)[0][0])


ACTS: list[Callable[[Account, Record], Record]] = [
    lambda who, post: who.like(post),
    lambda who, post: who.repost(post),
    lambda who, post: who.reply(post, "yes"),
    lambda who, post: who.quote(post, "this"),
]


@pytest.mark.parametrize("act", ACTS, ids=["like", "repost", "reply", "quote"])
async def test_what_counts_is_activity_and_nothing_else(
    tmp_path: Path, act: Callable[[Account, Record], Record]
) -> None:
    hands = Hands()
    async with Site(tmp_path, now=hands) as site:
        alice, bob, carol = site.people("alice", "bob", "carol")
        written = hands.at
        post = alice.post("#python")
        await site.caught_up()
        assert active_at(site, post) == written
        first = hands.pass_(10)
        done = act(bob, post)
        await site.caught_up()
        assert active_at(site, post) == first
        hands.pass_(10)
        again = act(bob, post)  # counts no more, so it is no activity: nobody lifts a post by doing a thing over
        alice.update(post, {"text": "#python, changed"})
        await site.caught_up()
        assert active_at(site, post) == first
        hands.pass_(10)
        bob.delete(done)
        bob.delete(again)
        await site.caught_up()
        assert (active_at(site, post), site.counts(post)) == (first, (0, 0, 0, 0))
        last = hands.pass_(10)
        act(carol, post)
        await site.caught_up()
        assert active_at(site, post) == last


async def test_an_event_that_comes_late_lowers_nothing(tmp_path: Path) -> None:
    hands = Hands()
    async with Site(tmp_path, now=hands) as site:
        alice, bob, carol = site.people("alice", "bob", "carol")
        post = alice.post("#python")
        last = hands.pass_(60)
        bob.like(post)
        hands.pass_(-30)
        carol.like(post)
        await site.caught_up()
        assert (active_at(site, post), site.counts(post)) == (last, (2, 0, 0, 0))


async def test_of_a_whole_repository_the_keys_tell_when_and_never_of_the_future(tmp_path: Path) -> None:
    hands = Hands()
    async with TrustSite(tmp_path, now=hands) as site:
        alice, carol = site.people("alice", "carol")
        posts = [carol.post(f"{number} #python") for number in range(4)]
        await site.synced(alice)
        written = hands.at
        first = hands.pass_(100)
        like: dict[str, Any] = {"$type": "app.bsky.feed.like", "createdAt": iso(first)}
        alice.commit(Write("create", f"app.bsky.feed.like/{tid(first)}", like | {"subject": posts[0].ref}))
        future = tid(wall() + 24 * HOUR)
        alice.commit(Write("create", f"app.bsky.feed.like/{future}", like | {"subject": posts[1].ref}))
        alice.commit(Write("create", "app.bsky.feed.like/odd", like | {"subject": posts[2].ref}))
        hands.pass_(5)
        answered = hands.at
        unseen(alice, "an answer", tags=[], reply={"root": posts[3].ref, "parent": posts[3].ref})
        alice.sync()
        await site.synced(alice)
        assert [site.counts(post) for post in posts] == [(1, 0, 0, 0)] * 3 + [(0, 0, 1, 0)]
        assert active_at(site, posts[0]) == first
        assert wall() - HOUR < active_at(site, posts[1]) <= wall()
        assert active_at(site, posts[2]) == written
        assert answered <= active_at(site, posts[3]) < answered + MILLI
        before = [active_at(site, post) for post in posts]
        alice.sync()
        unseen(alice, "another", tags=[])
        alice.sync()
        await site.synced(alice)
        assert [active_at(site, post) for post in posts] == before, "reading again is no activity"


def videos(site: Site) -> set[str]:
    return {rkey for (rkey,) in site.rows("SELECT rkey FROM post WHERE video = 1")}


async def test_only_a_video_of_its_own_makes_a_video_post(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        (alice,) = site.people("alice")
        quoted = {"record": alice.post("#rust").ref, "$type": "app.bsky.embed.record"}
        both = {"$type": "app.bsky.embed.recordWithMedia", "record": quoted}
        image = {"$type": "app.bsky.embed.images", "images": []}
        gif_page = {"uri": "https://media.tenor.com/x.gif", "title": "", "description": ""}
        embeds: dict[str, dict[str, Any] | None] = {
            "own": video(),
            "default": video(presentation="default"),
            "with-quote": both | {"media": video()},
            "gif": video(presentation="gif"),
            "gif-with-quote": both | {"media": video(presentation="gif")},
            "empty": {"$type": "app.bsky.embed.video"},
            "image": image,
            "image-with-quote": both | {"media": image},
            "card": {"$type": "app.bsky.embed.external", "external": gif_page},
            "quote": quoted,
            "none": None,
        }
        posts = {rkey: alice.post("#python", embed=embed, rkey=rkey) for rkey, embed in embeds.items()}
        await site.caught_up()
        assert len(site.rows("SELECT 1 FROM post")) == len(embeds) + 1
        assert videos(site) == {"own", "default", "with-quote"}
        # An edit makes it one, or none any more.
        alice.update(posts["own"], {"embed": video(presentation="gif")})
        alice.update(posts["none"], {"embed": video()})
        await site.caught_up()
        assert videos(site) == {"none", "default", "with-quote"}
        # What was stored before there was such a thing is looked at again.
        await site.stop()
        with writing(site.ingest.database) as connection:
            connection.execute("UPDATE post SET video = 1 - video WHERE rkey != 'gif'")
            connection.execute("INSERT INTO meta VALUES (?, '0')", (REAPPLY,))
        await site.start()
        await site.until("reapplied", lambda: not site.rows("SELECT 1 FROM meta WHERE key = ?", REAPPLY))
        assert videos(site) == {"none", "default", "with-quote"}


async def test_from_the_relay_to_the_feeds(tmp_path: Path) -> None:
    rules = RULES.replace('name = "Python"', 'name = "Python"\nfeeds = ["newest", "hot", "recent", "video"]')
    hands = Hands()
    async with Site(tmp_path, rules, now=hands) as site:
        alice, bob, carol = site.people("alice", "bob", "carol")
        liked, answered, clip = alice.post("#python"), alice.post("#python"), alice.post("#python", embed=video())
        hands.pass_(1)
        for person in (bob, carol):
            person.like(liked)
        hands.pass_(1)
        carol.reply(answered, "yes")
        await site.caught_up()
        assert await site.feed() == uris(clip, answered, liked)
        assert await site.feed("python.hot") == uris(liked, answered, clip)
        assert await site.feed("python.recent") == uris(answered, liked, clip)
        assert await site.feed("python.video") == uris(clip)
