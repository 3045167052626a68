"""What moderators decide about posts, through HTTP: what readers then see, and each refusal by its name."""

from collections.abc import Iterator

import pytest
from cbrrr import encode_dag_cbor

from communities.access import Role, Scope, Status
from communities.community import Rule
from communities.post_decisions import MAX_PINS
from tests.civic_posts import a_cid, decide, declare, done, hidden, ref, version, wait_for_approval
from tests.civic_site import OWNER, Town, town
from tests.didnet import plc
from tests.feed_site import RULES

PIN = "app.bsky.feed.defs#skeletonReasonPin"
BLOCK, SUBMISSION = "app.bsky.graph.block", "social.communities.submission"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("decisions")) as place:
        yield place


@pytest.fixture
def site(shared: Town) -> Iterator[Town]:
    """Two communities of file and record that take the same posts, both empty."""
    shared.writer.clear()
    for table in ("declaration", "membership", "decided", "repo"):
        shared.writer.sql(f"DELETE FROM {table}")
    yield shared


def pages(site: Town, slug: str = "python") -> list[str]:
    return site.site.all(slug, limit=2)


def test_what_is_removed_in_one_community_stays_in_the_other(site: Town) -> None:
    moderator = site.moderator("python")
    posts = [site.writer.post(number, tags=("python", "rust")) for number in (1, 2, 3)]
    newest_first = posts[::-1]
    assert pages(site) == pages(site, "rust") == newest_first
    entry = done(decide(site, moderator, "python", "remove", posts[1], reason="It is no snake."))
    assert (entry["action"], entry["subject"], entry["role"]) == ("remove", posts[1], "moderator")
    assert (entry["actor"], entry["reason"]) == (moderator.did, "It is no snake.")
    assert entry["cid"] == version(site, posts[1])
    assert pages(site) == [posts[2], posts[0]]
    assert pages(site, "rust") == newest_first
    done(decide(site, moderator, "python", "restore", posts[1]))
    assert pages(site) == newest_first, "it is back at its old place"


def test_a_pending_post_is_let_in(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    wait_for_approval(site, "python", post)
    assert pages(site) == []
    done(decide(site, moderator, "python", "approve", post))
    assert pages(site) == [post]
    assert decide(site, moderator, "python", "approve", post).fault == (400, "NoChange")


def test_a_post_that_waits_can_be_removed_and_is_in_when_restored(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    wait_for_approval(site, "python", post)
    done(decide(site, moderator, "python", "remove", post))
    assert hidden(site, "python", post) == 4
    done(decide(site, moderator, "python", "restore", post))
    assert pages(site) == [post]


def test_a_removed_post_can_be_approved(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    done(decide(site, moderator, "python", "remove", post))
    done(decide(site, moderator, "python", "approve", post))
    assert pages(site) == [post]


def test_a_post_of_elsewhere_is_put_in_by_hand(site: Town) -> None:
    moderator = site.moderator("python")
    first, second = site.writer.post(1, tags=("rust",)), site.writer.post(2)
    assert pages(site) == [second]
    done(decide(site, moderator, "python", "approve", first))
    assert pages(site) == [second, first], "at the place of its time"
    assert site.writer.sql(
        "SELECT evidence, context FROM feed_item WHERE uri = ? AND community = ?", first, site.id("python")
    ) == [("approved", "y")]
    done(decide(site, moderator, "python", "remove", first))
    assert (pages(site), pages(site, "rust")) == ([second], [first])


def test_by_hand_an_inactive_author_stays_out_of_sight(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post(tags=("rust",))
    site.writer.hide(1)
    done(decide(site, moderator, "python", "approve", post))
    assert (pages(site), hidden(site, "python", post)) == ([], 1)
    done(decide(site, moderator, "python", "remove", post))
    assert hidden(site, "python", post) == 5
    done(decide(site, moderator, "python", "restore", post))
    site.writer.hide(1, active=True)
    assert pages(site) == [post]


def test_a_post_that_is_not_indexed_is_asked_for(site: Town) -> None:
    moderator = site.moderator("python")
    post, cid = f"at://{plc(77)}/app.bsky.feed.post/p1", a_cid("there")
    done(decide(site, moderator, "python", "approve", post, cid))
    rows = "SELECT d.verdict, d.decision, r.state, r.why FROM decided d JOIN repo r ON r.actor = d.actor"
    ((verdict, _, state, why),) = site.writer.sql(rows)
    assert (verdict, state, why) == ("approved", "pending", "approved by a moderator")
    assert decide(site, moderator, "python", "approve", post, cid).fault == (400, "NoChange")
    done(decide(site, moderator, "python", "approve", post, a_cid("a later version")))
    done(decide(site, moderator, "python", "remove", post, cid))
    assert decide(site, moderator, "python", "remove", post, cid).fault == (400, "NoChange")
    assert site.writer.sql("SELECT verdict FROM decided") == [("removed",)]
    done(decide(site, moderator, "python", "restore", post, cid))
    assert site.writer.sql("SELECT verdict FROM decided") == [("approved",)]


def test_asking_again_does_not_hurry_a_host_that_fails(site: Town) -> None:
    moderator = site.moderator("python")
    did = plc(78)
    site.writer.sql("INSERT INTO actor (did) VALUES (?)", did)
    rows = "INSERT INTO repo (actor, state, tries, due_at) SELECT id, 'desynchronized', 3, 99 FROM actor WHERE did = ?"
    site.writer.sql(rows, did)
    done(decide(site, moderator, "python", "approve", f"at://{did}/app.bsky.feed.post/p1", a_cid("x")))
    assert site.writer.sql("SELECT state, tries, due_at FROM repo") == [("desynchronized", 3, 99)]
    site.writer.sql("UPDATE repo SET state = 'synced'")
    done(decide(site, moderator, "python", "approve", f"at://{did}/app.bsky.feed.post/p2", a_cid("y")))
    assert site.writer.sql("SELECT state, tries, due_at FROM repo") == [("pending", 0, 0)]


@pytest.mark.parametrize("action", ["approve", "remove", "pin"])
def test_an_edited_version_is_looked_at_again(site: Town, action: str) -> None:
    moderator = site.moderator("python")
    post = site.writer.post(rkey="edited")
    seen = version(site, post)
    site.writer.post(rkey="edited", embed={"$type": "app.bsky.embed.external"})
    assert version(site, post) != seen
    assert decide(site, moderator, "python", action, post, seen).fault == (400, "VersionChanged")
    assert site.writer.sql("SELECT * FROM decided") == [] and pages(site) == [post]
    done(decide(site, moderator, "python", action, post))


def test_repeating_is_refused_by_name_and_leaves_no_trace(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    assert decide(site, moderator, "python", "restore", post).fault == (400, "NoChange")
    assert decide(site, moderator, "python", "unpin", post).fault == (400, "NoChange")
    before = done(decide(site, moderator, "python", "remove", post))["seq"]
    assert decide(site, moderator, "python", "remove", post).fault == (400, "NoChange")
    assert done(decide(site, moderator, "python", "restore", post))["seq"] == before + 1


def test_only_what_is_in_the_community_can_be_taken_out_or_pinned(site: Town) -> None:
    moderator = site.moderator("python")
    elsewhere = site.writer.post(tags=("rust",))
    nowhere = f"at://{plc(79)}/app.bsky.feed.post/p1"
    for action in ("remove", "pin"):
        assert decide(site, moderator, "python", action, elsewhere).fault == (400, "NotInCommunity")
        assert decide(site, moderator, "python", action, nowhere, a_cid("x")).fault == (400, "NotInCommunity")
    post = site.writer.post()
    wait_for_approval(site, "python", post)
    assert decide(site, moderator, "python", "pin", post).fault == (400, "NotInCommunity")


def test_scopes_are_kept(site: Town) -> None:
    posts = site.moderator("python", scope=frozenset({Scope.POSTS}))
    pins = site.moderator("python", scope=frozenset({Scope.PINS}))
    members = site.moderator("python", scope=frozenset({Scope.MEMBERS}))
    post = site.writer.post()
    refused = (403, "NotPermitted")
    for action in ("approve", "remove", "restore"):
        assert decide(site, pins, "python", action, post).fault == refused
        assert decide(site, members, "python", action, post).fault == refused
    for action in ("pin", "unpin"):
        assert decide(site, posts, "python", action, post).fault == refused
        assert decide(site, members, "python", action, post).fault == refused
    done(decide(site, pins, "python", "pin", post))
    done(decide(site, posts, "python", "remove", post))


def test_who_moderates_elsewhere_or_no_longer_decides_nothing(site: Town) -> None:
    post = site.writer.post(tags=("python", "rust"))
    ended = site.moderator("python", until=site.clock.micros() - 1)
    for somebody in (site.moderator("rust"), site.member("python"), site.person(), site.site.account(1), ended):
        for action in ("approve", "remove", "restore", "pin", "unpin"):
            assert decide(site, somebody, "python", action, post).fault == (403, "NotPermitted")
    assert site.writer.sql("SELECT * FROM decided") == []


def test_a_role_is_read_when_it_is_used(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    done(decide(site, moderator, "python", "remove", post))
    site.writer.sql("UPDATE membership SET role = 1")
    assert decide(site, moderator, "python", "restore", post).fault == (403, "NotPermitted")


def test_pins_come_first_the_newest_before_the_others(site: Town) -> None:
    moderator = site.moderator("python")
    posts = [site.writer.post(number) for number in (1, 2, 3)]
    other = site.writer.post(4, tags=("python", "rust"))
    for post in posts[:2]:
        done(decide(site, moderator, "python", "pin", post))
    page = site.site.page("python", limit=10)
    assert page.posts == [posts[1], posts[0], other, posts[2]]
    reasons = [item.get("reason", {}).get("$type") for item in page.json["feed"]]
    assert reasons == [PIN, PIN, None, None]
    assert decide(site, moderator, "python", "pin", posts[0]).fault == (400, "NoChange")
    done(decide(site, moderator, "python", "unpin", posts[1]))
    assert pages(site) == [posts[0], other, posts[2], posts[1]]
    assert pages(site, "rust") == [other]


def test_a_removed_pin_is_gone_and_does_not_come_back_by_itself(site: Town) -> None:
    moderator = site.moderator("python")
    first, second = site.writer.post(1), site.writer.post(2)
    done(decide(site, moderator, "python", "pin", first))
    done(decide(site, moderator, "python", "remove", first))
    assert pages(site) == [second]
    done(decide(site, moderator, "python", "restore", first))
    assert pages(site) == [second, first]


def test_a_pin_that_is_edited_where_all_is_approved_is_not_shown_until_it_is(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    done(decide(site, moderator, "python", "pin", post))
    wait_for_approval(site, "python", post)
    assert site.site.page("python").posts == []
    done(decide(site, moderator, "python", "approve", post))
    assert site.site.page("python").posts == [post]


def test_moderators_pin_only_so_many(site: Town) -> None:
    moderator = site.moderator("python")
    posts = [site.writer.post(number) for number in range(1, MAX_PINS + 2)]
    for post in posts[:-1]:
        done(decide(site, moderator, "python", "pin", post))
    assert decide(site, moderator, "python", "pin", posts[-1]).fault == (400, "TooManyPins")
    site.writer.delete(posts[0])
    done(decide(site, moderator, "python", "pin", posts[-1]))
    assert site.site.page("python", limit=50).posts == [posts[-1], *posts[-2:0:-1]]


def test_pins_of_the_declaration_are_the_operators(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    site.writer.sql(
        "INSERT INTO pin (community, position, actor, rkey) SELECT ?, 0, id, ? FROM actor WHERE did = ?",
        site.id("python"), ref(post).rkey, ref(post).did,
    )  # fmt: skip
    assert decide(site, moderator, "python", "pin", post).fault == (400, "NoChange")
    assert decide(site, moderator, "python", "unpin", post).fault == (403, "NotPermitted")
    assert site.site.page("python").json["feed"][0]["reason"]["$type"] == PIN
    done(decide(site, moderator, "python", "remove", post))
    assert site.site.page("python").posts == [], "a decision wins over the pin"


def test_pins_of_moderators_outlast_a_changed_file_and_come_before_its_own(site: Town) -> None:
    moderator = site.moderator("python")
    posts = [site.writer.post(number) for number in (1, 2, 3)]
    for post in posts[1:]:
        done(decide(site, moderator, "python", "pin", post))
    pinned = RULES.replace('slug = "python"', f'slug = "python"\npins = ["{posts[0]}", "{posts[1]}"]')
    try:
        site.writer.declare(pinned)
        page = site.site.page("python", limit=10)
        assert page.posts == [posts[2], posts[1], posts[0]], "each once"
        assert all("reason" in item for item in page.json["feed"])
        done(decide(site, moderator, "python", "unpin", posts[1]))
        assert site.site.page("python", limit=10).posts == [posts[2], posts[0], posts[1]], "the file pins it still"
    finally:
        site.writer.declare(RULES)
    assert site.site.page("python", limit=10).posts == [posts[2], posts[1], posts[0]]


@pytest.mark.parametrize("action", ["approve", "restore"])
def test_who_opted_out_is_not_let_in(site: Town, action: str) -> None:
    site.found("birds", account=plc(500))
    moderator = site.moderator("birds")
    uri = f"at://{OWNER}/social.communities.community/birds"

    def refused(post: str) -> bool:
        if action == "restore":
            removed = "INSERT INTO decided VALUES (?, (SELECT id FROM actor WHERE did = ?), ?, x'00', 'removed', 1, 1)"
            site.writer.sql(removed, site.id("birds"), *ref(post))
        return decide(site, moderator, "birds", action, post).fault == (400, "AuthorOptedOut")

    blocking, blocked, withdrawn, free = (site.writer.post(number) for number in (1, 2, 3, 4))
    declare(site, ref(blocking).did, BLOCK, "b", "", plc(500))
    declare(site, plc(500), BLOCK, "b", "", ref(blocked).did)
    declare(site, ref(withdrawn).did, SUBMISSION, "s", uri, withdrawn, gone=1)
    assert all(refused(post) for post in (blocking, blocked, withdrawn))
    declare(site, ref(withdrawn).did, SUBMISSION, "s2", uri, withdrawn)
    done(decide(site, moderator, "birds", action, withdrawn))
    assert action == "restore" or done(decide(site, moderator, "birds", "approve", free))


def test_a_tag_opts_out(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post(rkey="tagged")
    wait_for_approval(site, "python", post)
    # As it stands in the index when its edit has not been judged by every community yet.
    record = {"$type": "app.bsky.feed.post", "text": "x", "createdAt": "2026-01-01T00:00:00Z", "tags": ["NoFeed"]}
    site.writer.sql("UPDATE post SET record = ?", encode_dag_cbor(record))
    assert decide(site, moderator, "python", "approve", post).fault == (400, "AuthorOptedOut")


def test_posts_of_the_banned_wait_for_the_end_of_the_ban(site: Town) -> None:
    moderator = site.moderator("python")
    post, kept = site.writer.post(1), site.writer.post(1)
    author = site.site.account(1)
    site.put("python", author)
    assert site.decide(moderator, "python", "ban", author).status == 200
    assert pages(site) == []
    assert decide(site, moderator, "python", "approve", post).fault == (400, "AuthorBanned")
    done(decide(site, moderator, "python", "remove", post))
    assert site.decide(moderator, "python", "unban", author).status == 200
    assert pages(site) == [kept], "what was removed meanwhile stays so"
    assert site.status("python", author) == (Status.MEMBER, 1)


def test_owners_and_those_above_decide_and_are_named_so(site: Town) -> None:
    owner, above = site.site.account(800), site.site.account(801)
    parent = site.found("garden", owner=above.did)
    site.found("birds", owner=owner.did, parent=parent)
    site.put("garden", owner, role=Role.ADMIN)
    post = site.writer.post()
    assert done(decide(site, owner, "birds", "approve", post))["role"] == "owner"
    assert done(decide(site, above, "birds", "remove", post))["role"] == "admin"


def test_rules_of_the_community_are_named(site: Town) -> None:
    site.found("birds", rules=(Rule("No cats"),))
    moderator = site.moderator("birds")
    post = site.writer.post()
    assert decide(site, moderator, "birds", "approve", post, rule="No dogs").fault == (400, "InvalidRequest")
    assert done(decide(site, moderator, "birds", "approve", post, rule="No cats"))["rule"] == "No cats"


A_POST = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/p1"
OF_BYTES = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
OTHER_BASE = "zQmWvQxTqbG2Z9HPJgG57jjwR154cKhbtJenbyYTWkjgF3e"


@pytest.mark.parametrize(
    ("uri", "cid"),
    [
        (A_POST.replace("post", "like"), a_cid("x")),
        (A_POST.replace("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "alice.example.com"), a_cid("x")),
        (A_POST, OF_BYTES),
        (A_POST, a_cid("x").upper()),
        (A_POST, OTHER_BASE),
    ],
)
def test_what_is_no_post_or_no_version_is_refused(site: Town, uri: str, cid: str) -> None:
    moderator = site.moderator("python")
    assert decide(site, moderator, "python", "approve", uri, cid).fault == (400, "InvalidRequest")


def test_what_does_not_fit_the_subject_is_refused(site: Town) -> None:
    moderator = site.moderator("python")
    post = site.writer.post()
    assert decide(site, moderator, "python", "ban", post).fault == (400, "InvalidRequest")
    assert site.decide(moderator, "python", "approve", plc(1)).fault == (400, "InvalidRequest")
    until = "2199-01-01T00:00:00Z"
    assert decide(site, moderator, "python", "remove", post, expiresAt=until).fault == (400, "InvalidRequest")


def test_counts_follow_decisions(site: Town) -> None:
    moderator = site.moderator("python")
    posts = [site.writer.post(number) for number in (1, 2)]

    def count() -> int:
        return int(site.writer.sql("SELECT posts FROM community_count WHERE community = ?", site.id("python"))[0][0])

    before = count()
    done(decide(site, moderator, "python", "remove", posts[0]))
    assert count() == before - 1
    done(decide(site, moderator, "python", "restore", posts[0]))
    assert count() == before
