"""A community that a record on the real PDS founds: who joins and what arrives, seen through PDS and AppView."""

import pytest

from tests.network.conftest import Site
from tests.network.person import Person, XrpcFailure, now
from tests.network.town import NSID, found
from tests.service_process import until

pytestmark = pytest.mark.network


def mention(author: Person, text: str, account: Person) -> dict[str, str]:
    """A post that begins with a mention of `account`."""
    handle = f"@{account.handle}"
    index = {"byteStart": 0, "byteEnd": len(handle)}
    feature = {"$type": "app.bsky.richtext.facet#mention", "did": account.did}
    facets = [{"index": index, "features": [feature]}]
    return author.create("app.bsky.feed.post", text=f"{handle} {text}", facets=facets)


def test_posts_arrive_by_tag_mention_and_membership(site: Site) -> None:
    account, olive, bob = (site.person(name) for name in ("owlclub", "olive", "bob"))
    owls = found(site, "owls", account=account.did)
    herons = found(site, "herons", include={"joined": True})
    before = olive.post("before I joined anything", "owls")["uri"]
    site.caught_up()
    assert owls.shown(bob) == herons.shown(bob) == []

    (membership,) = owls.join(olive)
    assert owls.ask(olive, "getMembership")["membership"]["status"] == "member"
    # Her repository is read, for what she wrote before.
    until("the post from before", lambda: owls.shown(bob) == [before])
    by_tag = olive.post("by its tag", "Owls")["uri"]
    by_mention = mention(olive, "listen", account)["uri"]
    site.caught_up()
    assert owls.shown(bob) == [by_mention, by_tag, before]
    evidences = [owls.ask(olive, "explain", post=uri)["evidences"] for uri in (by_tag, by_mention)]
    assert evidences == [["hashtag:owls"], [f"mention:{account.did}"]]
    assert herons.shown(bob) == []

    herons.join(olive)
    by_membership = olive.post("about anything")["uri"]
    until("the post of a member", lambda: by_membership in herons.shown(bob))
    assert by_membership not in owls.shown(bob)

    olive.delete(membership["uri"])
    site.caught_up()
    assert "membership" not in owls.ask(olive, "getViewer")
    olive.post("after I left", "owls")
    site.caught_up()
    assert owls.shown(bob) == [by_mention, by_tag, before]  # what was let in stays


def test_a_submitted_post_comes_and_goes_when_its_author_takes_it_back(site: Site) -> None:
    oscar, bob = site.person("oscar"), site.person("bob")
    loons = found(site, "loons", posting="anyone")
    post = oscar.post("nothing in it says where it belongs")
    site.caught_up()
    assert loons.shown(bob) == []
    submission = oscar.create(f"{NSID}submission", community=loons.uri, post=post)
    # What no rule selected is not indexed: the author's repository is read for it.
    until("the submitted post", lambda: loons.shown(bob) == [post["uri"]])
    assert loons.ask(oscar, "explain", post=post["uri"])["evidences"] == ["submission"]
    tagged = oscar.post("a loon", "loons")
    again = oscar.create(f"{NSID}submission", community=loons.uri, post=tagged)
    site.caught_up()
    assert loons.shown(bob) == [tagged["uri"], post["uri"]]
    for record in (submission, again):
        oscar.delete(record["uri"])
    site.caught_up()
    assert loons.shown(bob) == []  # that wins over its tag
    assert loons.ask(oscar, "explain", post=tagged["uri"])["state"] == "withdrawn"


def test_a_community_is_found_with_its_feeds_and_ends_with_its_record(site: Site) -> None:
    bob = site.person("bob")
    swans = found(site, "swans", description="White ones.", posting="anyone")
    # The PDS does not know our lexicons: it takes the records if it is not told to validate them.
    record = {"$type": f"{NSID}community", "type": "open", "name": "Swans", "createdAt": now()}
    with pytest.raises(XrpcFailure) as caught:
        bob.do(
            "com.atproto.repo.putRecord",
            repo=bob.did,
            collection=f"{NSID}community",
            rkey="swans",
            record=record,
            validate=True,
        )
    assert (caught.value.status, caught.value.name) == (400, "InvalidRequest")
    shown = swans.ask(bob, "getCommunity")
    assert (shown["uri"], shown["owner"], shown["description"]) == (swans.uri, swans.founder.did, "White ones.")
    assert {swans.feed(), swans.feed("hot"), swans.feed("video")} <= {feed["uri"] for feed in shown["feeds"]}
    post = bob.post("swan", "swans")["uri"]
    site.caught_up()
    assert swans.shown(bob) == [post]
    swans.founder.delete(swans.uri)
    site.caught_up()
    with pytest.raises(XrpcFailure) as caught:
        swans.ask(bob, "getCommunity")
    assert (caught.value.status, caught.value.name) == (400, "CommunityNotFound")
    with pytest.raises(XrpcFailure) as caught:
        swans.shown(bob)
    assert (caught.value.status, caught.value.name) == (400, "UnknownFeed")
