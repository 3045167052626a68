"""sendInteractions, sent as clients do: to the PDS, which proxies it to the feed's service."""

import pytest

from tests.network.conftest import Site

pytestmark = pytest.mark.network

NSID = "app.bsky.feed.sendInteractions"
LESS = "app.bsky.feed.defs#requestLess"
SEEN = "app.bsky.feed.defs#interactionSeen"


def test_interactions_through_the_pds_are_stored_once(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    post = alice.post("talk to me", "talking")
    site.caught_up()
    page = bob.ask("app.bsky.feed.getFeed", feed=site.feed("talking"))
    item = next(item for item in page["feed"] if item["post"]["uri"] == post["uri"])
    said = [
        {"item": post["uri"], "event": event, "feedContext": item.get("feedContext", ""), "reqId": "r1"}
        for event in (LESS, SEEN)
    ]
    proxy = f"{site.did}#bsky_fg"
    assert bob.do(NSID, proxy, interactions=said) == {}
    assert bob.do(NSID, proxy, interactions=said) == {}  # a client that sends again

    exchange = site.door.last(NSID)
    assert exchange.token is not None
    stored = site.rows(
        "SELECT viewer, event FROM interaction WHERE item = ? ORDER BY event",
        post["uri"],
    )
    assert [viewer for viewer, _ in stored] == [bob.did, bob.did]
    assert {event.rpartition("#")[2] for _, event in stored} == {"requestLess", "interactionSeen"}
