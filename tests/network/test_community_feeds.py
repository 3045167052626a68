"""Feeds besides the newest, through the real AppView: hot, video, the moderators' queue, everything."""

import struct
from typing import Any

import pytest

from tests.network.conftest import Site
from tests.network.person import Person, XrpcFailure, xrpc
from tests.network.town import LESS, MORE, found

pytestmark = pytest.mark.network

INTERACTIONS = "app.bsky.feed.sendInteractions"


def test_the_hot_feed_pages_without_a_duplicate_while_likes_arrive(site: Site) -> None:
    alice, bob, carol = (site.person(name) for name in ("alice", "bob", "carol"))
    hot = found(site, "fires", "hot", posting="anyone")
    posts = [alice.post(f"fire {number}", "fires") for number in range(9)]
    for post in posts[:3]:
        bob.create("app.bsky.feed.like", subject=post)
    carol.create("app.bsky.feed.like", subject=posts[1])
    site.caught_up()
    expected = [posts[number]["uri"] for number in (1, 2, 0, 8, 7, 6, 5, 4, 3)]

    seen: list[str] = []
    for number, page in enumerate(bob.pages(hot.feed("hot"), limit=2)):
        seen += page
        # Each page over, what was last becomes the hottest, and something new comes.
        for person in (alice, bob, carol):
            person.create("app.bsky.feed.like", subject=posts[3 + number])
        carol.post(f"a new fire {number}", "fires")
        site.caught_up()
    assert seen == expected


def mp4(brand: bytes = b"isom") -> bytes:
    """The beginning of an MP4 file: its `ftyp` box."""
    return struct.pack(">I4s4sI4s", 20, b"ftyp", brand, 512, brand) + struct.pack(">I4s", 8, b"mdat")


def test_a_video_post_comes_in_the_video_feed_and_others_do_not(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    films = found(site, "films", "video", posting="anyone")
    embed = {
        "$type": "app.bsky.embed.video",
        "video": alice.upload(mp4(), "video/mp4"),
        "alt": "A dot.",
        "aspectRatio": {"width": 9, "height": 16},
    }
    assert embed["video"]["mimeType"] == "video/mp4"
    words = alice.post("only words", "films")["uri"]
    video = alice.post("a film", "films", embed=embed)["uri"]
    gif = alice.post("a GIF", "films", embed=embed | {"presentation": "gif"})["uri"]
    site.caught_up()
    assert films.shown(bob) == [gif, video, words]
    (shown,) = bob.feed(films.feed("video"))
    assert shown["uri"] == video
    assert shown["embed"]["$type"] == "app.bsky.embed.video#view"
    assert shown["embed"]["aspectRatio"] == {"width": 9, "height": 16}


def press(site: Site, who: Person, event: str, item: dict[str, Any]) -> None:
    """A button under an item of a feed, as clients send it: to the PDS, which passes it on."""
    said = {"item": item["post"]["uri"], "event": event, "feedContext": item.get("feedContext", "")}
    assert who.do(INTERACTIONS, f"{site.did}#bsky_fg", interactions=[said]) == {}


def test_moderators_approve_and_remove_in_the_queue_and_nobody_else_sees_it(site: Site) -> None:
    alice, bob, keeper = (site.person(name) for name in ("alice", "bob", "keith"))
    gate = found(site, "gates", "queue", posting="approval", queueFeed=True)
    gate.moderator(keeper)
    gate.join(alice)
    first, second = (alice.post(text, "gates")["uri"] for text in ("let me in", "and me"))
    site.caught_up()
    assert gate.shown(bob) == [] and gate.ask(alice, "explain", post=first)["state"] == "pending"

    for who in (alice, bob):
        with pytest.raises(XrpcFailure) as caught:
            who.feed(gate.feed("queue"))
        assert (caught.value.status, caught.value.name) == (403, "Forbidden")
    with pytest.raises(XrpcFailure) as caught:
        xrpc(site.appview, "app.bsky.feed.getFeed", {"feed": gate.feed("queue")})
    assert (caught.value.status, caught.value.name) == (401, "AuthMissing")

    items = keeper.ask("app.bsky.feed.getFeed", feed=gate.feed("queue"))["feed"]
    assert [item["post"]["uri"] for item in items] == [first, second]  # the oldest first
    assert items[0]["feedContext"].endswith("h:gates;p every post waits for approval here")
    with pytest.raises(XrpcFailure) as caught:
        press(site, bob, MORE, items[0])
    assert (caught.value.status, caught.value.name) == (403, "Forbidden")
    press(site, keeper, MORE, items[0])
    press(site, keeper, LESS, items[1])
    assert gate.shown(keeper, "queue") == [] and gate.shown(bob) == [first]
    press(site, keeper, MORE, items[1])  # the opposite button takes it back
    assert gate.shown(bob) == [second, first]
    log = gate.ask(keeper, "getDecisions")["decisions"]
    assert [(entry["action"], entry["actor"]) for entry in log] == [
        (action, keeper.did) for action in ("restore", "remove", "approve")
    ]


def test_a_reported_post_is_shown_and_waits_in_the_queue(site: Site) -> None:
    amy, bob, keeper = (site.person(name) for name in ("amy", "bob", "keith"))
    well = found(site, "wells", "queue", queueFeed=True)
    well.moderator(keeper)
    well.join(amy)
    fine, rude = (amy.post(text, "wells") for text in ("a well", "shame on you"))
    site.caught_up()
    for who, about, kind in ((bob, rude, "Rude"), (site.person("carol"), rude, "Other"), (bob, fine, "Spam")):
        made = who.do(
            "com.atproto.moderation.createReport",
            f"{site.did}#communities",
            reasonType=f"com.atproto.moderation.defs#reason{kind}",
            subject={"$type": "com.atproto.repo.strongRef"} | about,
        )
        assert made["reportedBy"] == who.did and made["subject"]["uri"] == about["uri"]
    assert well.shown(bob) == [fine["uri"], rude["uri"]][::-1]  # until somebody decides

    items = keeper.ask("app.bsky.feed.getFeed", feed=well.feed("queue"))["feed"]
    assert [item["post"]["uri"] for item in items] == [rude["uri"], fine["uri"]]  # the first report first
    assert items[0]["feedContext"].endswith("h:wells reported 2 times, first as rude")
    assert items[1]["feedContext"].endswith("h:wells reported as spam")
    press(site, keeper, LESS, items[0])
    press(site, keeper, MORE, items[1])
    assert well.shown(keeper, "queue") == [] and well.shown(bob) == [fine["uri"]]


def test_everything_is_made_for_who_reads_it(site: Site) -> None:
    alice, bob, reader = (site.person(name) for name in ("alice", "bob", "rita"))
    ponds, lakes = (found(site, slug, posting="anyone") for slug in ("ponds", "lakes"))
    done = site.service.command_line("publish", "everything")
    assert done.returncode == 0, done.stderr
    ponds.join(reader)
    lakes.act(reader, "join", volume=5)
    theirs = [bob.post("water", slug)["uri"] for slug in ("ponds", "lakes")]
    elsewhere = bob.post("where the reader is no member", "liking")["uri"]
    site.caught_up()
    everything = site.feed("everything")
    assert [post["uri"] for post in reader.feed(everything)] == theirs[::-1]
    assert elsewhere in site.skeleton("liking")
    assert not set(theirs) & {post["uri"] for post in alice.feed(everything)}
    with pytest.raises(XrpcFailure) as caught:
        xrpc(site.appview, "app.bsky.feed.getFeed", {"feed": everything})
    assert (caught.value.status, caught.value.name) == (401, "AuthMissing")
