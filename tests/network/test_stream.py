"""What the PDS's own stream brings besides new posts: edits, lists, takedowns, deletions, and a break in between."""

import base64

import pytest

from tests.network.conftest import SLUGS, Site, declaration, stored_posts
from tests.network.person import Person, xrpc
from tests.service_process import until

pytestmark = pytest.mark.network


def admin(site: Site, nsid: str, **body: object) -> None:
    """A procedure of the PDS's operator."""
    secret = base64.b64encode(f"admin:{site.box.info['pds']['adminPassword']}".encode()).decode()
    xrpc(site.box.info["pds"]["url"], nsid, None, body, {"authorization": f"Basic {secret}"})


def test_an_edit_is_judged_anew(site: Site) -> None:
    erin = site.person("erin")
    kept, dropped = (erin.post(text, "editing")["uri"] for text in ("stays", "goes"))
    site.caught_up()
    assert site.skeleton("editing") == [dropped, kept]

    record = erin.ask("com.atproto.repo.getRecord", **record_of(dropped))["value"]
    edited = {"$type": record["$type"], "createdAt": record["createdAt"], "text": "goes elsewhere"}
    erin.do("com.atproto.repo.putRecord", **record_of(dropped), record=edited)
    site.caught_up()
    assert site.skeleton("editing") == [kept]


def record_of(uri: str) -> dict[str, str]:
    _, _, repo, collection, rkey = uri.split("/")
    return {"repo": repo, "collection": collection, "rkey": rkey}


def test_a_stopped_service_resumes_where_it_was(site: Site) -> None:
    alice = site.person("alice")
    before = alice.post("before the break", "resuming")["uri"]
    site.caught_up()
    site.service.stop()
    during = [alice.post(f"during the break {number}", "resuming")["uri"] for number in range(3)]
    alice.delete(before)
    site.service.start()
    site.caught_up()
    assert site.skeleton("resuming") == during[::-1]


def test_a_killed_service_resumes_where_it_was(site: Site) -> None:
    alice = site.person("alice")
    before = alice.post("before the cut", "cutting")["uri"]
    site.caught_up()
    site.service.kill()
    after = alice.post("after the cut", "cutting")["uri"]
    site.service.start()
    site.caught_up()
    assert site.skeleton("cutting") == [after, before]


def test_members_of_a_list_belong_as_long_as_they_are_listed(site: Site) -> None:
    """The rule is added while the service runs; the list is read from the PDS and then followed on the stream."""
    owner, frank, grace = site.person("carol"), site.person("frank"), site.person("grace")
    people = owner.create("app.bsky.graph.list", name="Writers", purpose="app.bsky.graph.defs#curatelist")["uri"]
    listed = {"list": people, "subject": frank.did}
    owner.create("app.bsky.graph.listitem", **listed)
    rule = f'[[community]]\nslug = "writers"\nname = "Writers"\n[community.include]\nlists = ["{people}"]\n'
    site.service.rules.write_text(declaration(*SLUGS) + rule, encoding="utf-8")
    until("the community", lambda: site.feed("writers") in served(site))

    # A change of a list takes effect soon after it, not at once: hence more than one post.
    until("a post of the member", lambda: shown_of(site, frank))
    grace.post("not a writer's post yet")
    site.caught_up()
    assert authors(site) == {frank.did}

    item = owner.create("app.bsky.graph.listitem", list=people, subject=grace.did)
    until("a post of the new member", lambda: shown_of(site, grace))
    owner.delete(item["uri"])
    until("the feed without the former member", lambda: authors(site) == {frank.did})
    grace.post("not a writer's post any more")
    site.caught_up()
    assert authors(site) == {frank.did}


def served(site: Site) -> list[str]:
    answer = xrpc(site.service.url, "app.bsky.feed.describeFeedGenerator")
    return [feed["uri"] for feed in answer["feeds"]]


def authors(site: Site) -> set[str]:
    return {uri.split("/")[2] for uri in site.skeleton("writers")}


def shown_of(site: Site, member: Person) -> bool:
    member.post("a writer's post")
    site.caught_up()
    return member.did in authors(site)


def test_a_takedown_hides_and_its_end_shows_again(site: Site) -> None:
    heidi = site.person("heidi")
    post = heidi.post("soon hidden", "moderating")["uri"]
    site.caught_up()
    assert site.skeleton("moderating") == [post]
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": heidi.did}
    for applied, shown in ((True, []), (False, [post])):
        admin(site, "com.atproto.admin.updateSubjectStatus", subject=subject, takedown={"applied": applied})
        site.caught_up()
        assert site.skeleton("moderating") == shown


def test_a_deleted_account_leaves_nothing(site: Site) -> None:
    ivan = site.person("ivan")
    ivan.post("soon gone", "forgetting")
    site.caught_up()
    assert stored_posts(site, ivan) == 1
    admin(site, "com.atproto.admin.deleteAccount", did=ivan.did)
    site.caught_up()
    assert site.skeleton("forgetting") == []
    until("the rows of the account gone", lambda: stored_posts(site, ivan) == 0)
