"""Records of communities through the stream: who founds, joins, moderates and submits, and that nobody does for others.

S95: nothing of it is believed of a source without proofs; B: whatever is read anew says the same.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from communities.records import COMMUNITY, MEMBERSHIP, ROLE, SUBMISSION
from communities.short_code import short_code
from models.database import writing
from tests.ingest_site import uris
from tests.town_site import TownSite
from tests.world import Account


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


def status(site: TownSite, slug: str, account: Account) -> str | None:
    found = site.membership(slug, account)
    return found[0] if found else None


async def test_a_record_founds_a_community_changes_it_and_ends_it(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    post = alice.post("#birds")
    other = alice.post("#python")
    await site.caught_up()
    assert site.items("birds") == {post.uri: ("hashtag:birds", 0)}
    assert site.items("python") == {other.uri: ("hashtag:python", 0)}
    olga.update(birds, {"include": {"hashtags": ["owls"]}})
    await site.until("the new rule", lambda: "owls" in site.ingest.scope.matcher.tags)
    await site.settled()
    owl = alice.post("#owls")
    await site.caught_up()
    assert site.items("birds") == {owl.uri: ("hashtag:owls", 0)}
    olga.delete(birds)
    await site.until("its end", lambda: "owls" not in site.ingest.scope.matcher.tags)
    alice.post("#owls")
    await site.caught_up()
    assert list(site.items("birds")) == [owl.uri]
    assert site.rows("SELECT declared FROM community WHERE slug = 'birds'") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "rkey", "fault"),
    [
        ({"type": "private"}, "birds", "TypeNotAvailable"),
        ({"type": "secret"}, "birds", "TypeNotAvailable"),
        ({"name": ""}, "birds", "InvalidRecord"),
        ({"description": "x" * 10_000}, "birds", "InvalidRecord"),
        ({"parent": "birds"}, "birds", "InvalidRecord"),
        ({}, "Birds", "InvalidSlug"),
        ({"include": {"hashtags": [f"t{n}" for n in range(6000)]}}, "birds", "TooLarge"),
    ],
)
async def test_a_record_that_lies_founds_nothing(
    site: TownSite, changes: dict[str, object], rkey: str, fault: str
) -> None:
    (olga,) = site.people("olga")
    value = {"type": "open", "name": "Birds", "include": {"hashtags": ["birds"]}} | site.when() | changes
    olga.create(COMMUNITY, value, rkey=rkey)
    await site.caught_up()
    assert (site.dropped, site.refused, site.faults(olga)) == ({}, {fault: 1}, [fault])
    assert site.rows("SELECT slug FROM community WHERE uri IS NOT NULL") == []


async def test_a_slug_is_given_once_and_the_type_stays(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    site.found(mallory)
    site.found(mallory, "python")
    await site.caught_up()
    assert site.faults(mallory) == ["SlugTaken", "SlugTaken"]
    assert site.rows("SELECT uri, owner FROM community WHERE slug = 'birds'") == [(birds.uri, olga.did)]


async def test_what_was_founded_before_anybody_read_is_found_when_the_repository_is_read(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    await site.caught_up()
    await site.stop()
    birds = site.found(olga)
    site.join(alice, birds)
    with writing(site.ingest.database) as connection:  # as at the live end, where a new service begins
        connection.execute("UPDATE source SET cursor = ?", (site.world.relay.head,))
    site.reopen()
    await site.start()
    await site.quiet()
    assert site.ingest.index.admissions.directory.find("birds") is None
    with writing(site.ingest.database) as connection:  # as `communities backfill` does
        for account in (alice, olga):
            connection.execute("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", (account.did,))
            connection.execute(
                "INSERT INTO repo (actor, state, why) SELECT id, 'pending', 'asked for' FROM actor WHERE did = ?"
                " ON CONFLICT (actor) DO UPDATE SET state = excluded.state, due_at = 0",
                (account.did,),
            )
    await site.founded(birds)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")


async def test_founders_may_be_chosen(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    site.ingest.index.founders = (olga.did,)
    site.found(mallory, "bees")
    birds = site.found(olga)
    await site.founded(birds)
    assert site.faults(mallory) == ["FounderNotAllowed"]
    assert [row[0] for row in site.rows("SELECT slug FROM community WHERE uri IS NOT NULL")] == ["birds"]
    # At the next start others are chosen.
    site.ingest.index.founders = (mallory.did,)
    with writing(site.ingest.database):
        site.ingest.index.judge_founders(site.world.clock.now())
    await site.until("the change", lambda: site.ingest.index.admissions.directory.find("bees"))
    assert site.ingest.index.admissions.directory.find("birds") is None
    assert (site.faults(olga), site.faults(mallory)) == (["FounderNotAllowed"], [None])


async def test_people_join_and_leave_by_their_own_records_only(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga, posting="members")
    await site.founded(birds)
    before = alice.post("#birds before")
    outside = bob.post("#birds of nobody")
    record = site.join(alice, birds, volume=5)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    assert site.rows("SELECT volume FROM membership") == [(5,)]
    inside = alice.post("#birds inside")
    await site.quiet()
    # What she wrote before she joined is in her repository, and belongs now.
    assert set(site.items("birds")) == {before.uri, inside.uri}
    assert outside.uri not in site.items("birds")
    assert site.rows("SELECT members, posts FROM community_count c JOIN community m ON m.id = c.community"
                     " WHERE slug = 'birds'") == [(1, 2)]  # fmt: skip
    alice.delete(record)
    await site.quiet()
    assert status(site, "birds", alice) is None
    alice.post("#birds after")
    await site.caught_up()
    assert set(site.items("birds")) == {before.uri, inside.uri}
    acts = site.rows("SELECT act, by, status FROM membership_event ORDER BY id")
    assert acts == [("join", alice.did, "member"), ("leave", alice.did, None)]


async def test_an_owner_has_a_volume_by_a_record_too(site: TownSite) -> None:
    (olga,) = site.people("olga")
    birds = site.found(olga)
    await site.founded(birds)
    record = site.join(olga, birds, volume=5)
    await site.quiet()
    assert site.rows("SELECT status, volume FROM membership") == [("member", 5)]
    olga.update(record, {"volume": 2})
    await site.quiet()
    assert site.rows("SELECT status, volume FROM membership") == [("member", 2)]
    assert site.faults(olga) == [None, None]


async def test_a_ban_outlives_records_and_ends_by_itself(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    shown = alice.post("#birds shown")
    await site.caught_up()
    ((community,), (actor,)) = (
        site.rows("SELECT id FROM community WHERE slug = 'birds'")[0],
        site.rows("SELECT id FROM actor WHERE did = ?", alice.did)[0],
    )
    with writing(site.ingest.database) as connection:
        connection.execute(
            "INSERT INTO membership (community, actor, status, until, since, via) VALUES (?, ?, 'banned', ?, 1, 'x')",
            (community, actor, site.world.clock.now() + 3_600_000_000),
        )
        connection.execute("UPDATE feed_item SET hidden = 8")
    record = site.join(alice, birds)
    alice.post("#birds while banned")
    await site.quiet()
    assert site.items("birds") == {shown.uri: ("hashtag:birds", 8)}
    assert site.faults(alice) == ["Banned"] or site.faults(alice) == ["InviteOnly"]
    alice.delete(record)
    await site.quiet()
    assert status(site, "birds", alice) == "banned"
    with writing(site.ingest.database) as connection:
        connection.execute("UPDATE membership SET until = 5")
    await site.until("the end of the ban", lambda: status(site, "birds", alice) is None)
    assert site.items("birds") == {shown.uri: ("hashtag:birds", 0)}


async def test_a_membership_goes_on_when_its_record_changes(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds, bees = site.found(olga), site.found(olga, "bees")
    await site.founded(birds, bees)
    record = site.join(alice, birds)
    await site.quiet()
    since = site.rows("SELECT since FROM membership")
    with writing(site.ingest.database) as connection:  # as setRole leaves it
        connection.execute("UPDATE membership SET role = 2, scope = 'pins'")
    olga.update(birds, {"state": "archived"})
    await site.quiet()
    record = alice.update(record, {"volume": 1})
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    assert site.rows("SELECT since, volume FROM membership") == [(since[0][0], 1)]
    # One that names another community is another one.
    alice.update(record, {"community": bees.uri})
    await site.quiet()
    assert site.membership("birds", alice) is None
    assert site.membership("bees", alice) == ("member", 1, "record")


async def test_roles_are_the_owners_to_give(site: TownSite) -> None:
    olga, alice, mallory = site.people("olga", "alice", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    # Before she has joined it waits for her.
    given = site.give(olga, birds, alice, scope=["posts"])
    site.join(alice, birds)
    site.join(mallory, birds)
    mallory.create(ROLE, {"community": birds.uri, "subject": mallory.did, "role": "admin"} | site.when())
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    assert site.membership("birds", mallory) == ("member", 1, "record")
    assert site.rows("SELECT scope FROM membership WHERE role = 2") == [("posts",)]
    assert site.refused == {"NotTheOwner": 1}
    olga.delete(given)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    expired = site.give(olga, birds, alice, expiresAt="2020-01-01T00:00:00Z")
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record") and expired


async def test_roles_are_limited_as_their_records_say(site: TownSite) -> None:
    """By a record that comes before or after the member, one that changes, and one that another service wrote."""
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga)
    await site.founded(birds)
    limits = {"labels": ["spam"], "collections": ["app.bsky.feed.post", "message"], "reasons": []}
    kept = '{"labels":["spam"],"collections":["app.bsky.feed.post"],"reasons":[]}'
    given = site.give(olga, birds, alice, **limits, expiresAt="2999-01-01T00:00:00Z")
    site.join(alice, birds)
    site.join(bob, birds)
    await site.quiet()
    site.give(olga, birds, bob, **limits)
    await site.quiet()
    assert site.rows("SELECT limits FROM membership WHERE role = 2") == [(kept,)] * 2
    olga.update(given, {"labels": [], "collections": ["account"], "expiresAt": "2999-01-01T00:00:01Z"})
    await site.quiet()
    of_alice = "SELECT role, limits FROM membership JOIN actor a ON a.id = actor WHERE a.did = ?"
    assert site.rows(of_alice, alice.did) == [(2, '{"labels":[],"collections":["account"],"reasons":[]}')]
    olga.update(given, {"labels": [""]})
    await site.quiet()
    assert site.refused == {"InvalidRecord": 1}
    assert site.rows(of_alice, alice.did) == [(1, "{}")], "a role whose record becomes faulty ends"


async def test_submissions_bring_posts_and_withdrawing_wins(site: TownSite) -> None:
    olga, alice, mallory = site.people("olga", "alice", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    plain, tagged = alice.post("no tag"), alice.post("#birds")
    submission = site.submit(alice, birds, plain)
    stolen = mallory.create(SUBMISSION, {"community": birds.uri, "post": plain.ref} | site.when())
    twice = site.submit(alice, birds, tagged)
    await site.quiet()
    assert site.items("birds") == {
        plain.uri: ("submission", 0),
        tagged.uri: ("hashtag:birds\nsubmission", 0),
    }
    assert short_code(site.items("birds")[tagged.uri][0].split("\n")) == "h:birds;s"
    assert site.refused == {"NotYourPost": 1} and stolen
    # A post that is edited stays submitted.
    alice.update(plain, {"text": "no tag, edited"})
    await site.quiet()
    assert plain.uri in site.items("birds")
    alice.delete(submission)
    alice.delete(twice)
    await site.quiet()
    assert site.items("birds") == {}
    # Not by editing, not by being read anew.
    alice.update(tagged, {"text": "#birds again", "tags": ["birds"]})
    await site.quiet()
    assert site.items("birds") == {}
    site.submit(alice, birds, tagged)
    await site.quiet()
    assert site.items("birds") == {tagged.uri: ("hashtag:birds\nsubmission", 0)}


async def test_what_comes_before_its_community_counts_once_that_is_there(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = f"at://{olga.did}/{COMMUNITY}/birds"
    alice.create(MEMBERSHIP, {"community": birds} | site.when())
    post = bob.post("no tag")
    bob.create(SUBMISSION, {"community": birds, "post": post.ref} | site.when())
    await site.caught_up()
    assert site.faults(alice) == ["CommunityNotFound"]
    record = site.found(olga)
    given = site.give(olga, record, alice)
    await site.founded(record)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record") and given
    assert site.items("birds") == {post.uri: ("submission", 0)}
    assert site.faults(alice) == [None]


async def test_every_post_of_a_member_where_a_community_wants_that(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga, include={"joined": True}, posting="members")
    await site.founded(birds)
    before = alice.post("before")
    record = site.join(alice, birds)
    await site.quiet()
    after = alice.post("after")
    await site.quiet()
    assert site.items("birds") == {post.uri: ("joined", 0) for post in (before, after)}
    assert short_code(site.items("birds")[after.uri][0].split("\n")) == "j"
    alice.delete(record)
    await site.quiet()
    alice.post("gone")
    await site.quiet()
    assert set(site.items("birds")) == {before.uri, after.uri} or site.items("birds") == {}


async def test_whoever_mentions_the_account_submits_a_post(site: TownSite) -> None:
    olga, alice, robin = site.people("olga", "alice", "robin")
    connections = site.connections()
    birds = site.found(olga, account=robin.did, posting="members", include={})
    await site.founded(birds)
    site.join(alice, birds)
    await site.quiet()
    said = alice.post(f"@{robin.handle} look")
    olga.post("no mention")
    await site.quiet()
    assert site.items("birds") == {said.uri: (f"mention:{robin.did}", 0)}
    # Follows and blocks matter from now on; a relay sends them in any case.
    assert site.connections() == connections and site.closes == {}


async def test_tags_follows_and_blocks(site: TownSite) -> None:
    olga, alice, bob, carol = site.people("olga", "alice", "bob", "carol")
    birds = site.found(olga, joinBy=["tag", "follow"], account=olga.did)
    await site.founded(birds)
    alice.post("let me in #addbirds")
    follow = bob.follow(olga)
    site.join(carol, birds)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "tag")
    assert site.membership("birds", bob) == ("member", 1, "follow")
    assert site.faults(carol) == ["InviteOnly"]
    alice.post("let me out #removebirds")
    bob.delete(follow)
    await site.quiet()
    assert status(site, "birds", alice) is None and status(site, "birds", bob) is None
    shown = carol.post("#birds")
    await site.caught_up()
    assert set(site.items("birds")) == {shown.uri}
    block = carol.block(olga)
    await site.quiet()
    assert site.items("birds") == {}
    carol.post("#birds while blocking")
    await site.quiet()
    assert site.items("birds") == {}
    carol.delete(block)
    await site.quiet()
    assert shown.uri in site.items("birds")
    olga.block(carol)
    await site.quiet()
    assert site.items("birds") == {}


async def test_approval_of_every_post_and_of_every_edit(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga, posting="approval")
    await site.founded(birds)
    site.join(alice, birds)
    post = alice.post("#birds")
    await site.quiet()
    assert site.items("birds") == {post.uri: ("hashtag:birds", 2)}
    with writing(site.ingest.database) as connection:
        connection.execute(
            "INSERT INTO decided SELECT i.community, p.actor, p.rkey, p.cid, 'approved', 1, 5 FROM feed_item i"
            " JOIN post p ON p.id = i.post"
        )
        connection.execute("UPDATE feed_item SET hidden = 0, evidence = 'hashtag:birds\napproved'")
    alice.update(post, {"text": "#birds, edited"})
    await site.quiet()
    assert site.items("birds") == {post.uri: ("hashtag:birds\napproved", 2)}


async def test_what_a_moderator_puts_in_is_fetched_and_what_is_removed_stays_so(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    plain, bad = alice.post("no tag"), alice.post("#birds bad")
    await site.quiet()
    with writing(site.ingest.database) as connection:
        (actor,) = connection.execute("SELECT id FROM actor WHERE did = ?", (alice.did,)).fetchone()
        (community,) = connection.execute("SELECT id FROM community WHERE slug = 'birds'").fetchone()
        (cid,) = connection.execute("SELECT cid FROM post WHERE rkey = ?", (bad.rkey,)).fetchone()
        decided = "INSERT INTO decided VALUES (?, ?, ?, ?, ?, 1, ?)"
        connection.execute(decided, (community, actor, plain.rkey, plain_cid(plain.cid), "approved", 7))
        connection.execute(decided, (community, actor, bad.rkey, cid, "removed", 7))
        connection.execute("UPDATE feed_item SET hidden = 4")
        connection.execute("INSERT INTO repo (actor, state, why) VALUES (?, 'pending', 'approved')", (actor,))
    await site.quiet()
    await site.until("the post", lambda: plain.uri in site.items("birds"))
    alice.update(bad, {"text": "#birds just as bad"})
    await site.quiet()
    assert site.items("birds") == {plain.uri: ("approved", 0), bad.uri: ("hashtag:birds", 4)}


def plain_cid(text: str) -> bytes:
    from cbrrr import CID

    return bytes(CID.decode(text))


async def test_a_community_passes_to_another_owner_if_both_say_so(site: TownSite) -> None:
    olga, nina, alice = site.people("olga", "nina", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    site.join(alice, birds)
    await site.quiet()
    theirs = f"at://{nina.did}/{COMMUNITY}/birds"
    successor = site.found(nina, predecessor=birds.uri, name="Birds anew")
    await site.caught_up()
    assert site.faults(nina) == ["SlugTaken"]
    olga.update(birds, {"successor": theirs})
    await site.founded(successor)
    row = site.rows("SELECT uri, owner, name, declared FROM community WHERE slug = 'birds'")
    assert row == [(theirs, nina.did, "Birds anew", 1)]
    assert (site.faults(nina), site.faults(olga)) == ([None], ["SlugTaken"])
    assert status(site, "birds", alice) == "member"
    olga.delete(birds)
    await site.quiet()
    assert site.rows("SELECT uri, declared FROM community WHERE slug = 'birds'") == [(theirs, 1)]


async def test_what_names_the_record_of_the_last_owner_means_the_community_still(site: TownSite) -> None:
    olga, nina, alice, bob = site.people("olga", "nina", "alice", "bob")
    birds = site.found(olga, posting="members")
    await site.founded(birds)
    record = site.join(alice, birds, volume=2)
    given = site.give(olga, birds, alice)
    plain, other = alice.post("no tag"), alice.post("#birds")
    submission = site.submit(alice, birds, plain)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    successor = site.found(nina, predecessor=birds.uri)
    olga.update(birds, {"successor": successor.uri})
    await site.founded(successor)
    # What was there before, and what comes with the old name afterwards.
    alice.update(plain, {"text": "no tag, edited"})
    site.join(bob, birds)
    await site.quiet()
    assert set(site.items("birds")) == {plain.uri, other.uri}
    assert site.membership("birds", bob) == ("member", 1, "record")
    alice.update(record, {"volume": 5})
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    alice.delete(submission)
    # An earlier owner gives and takes no role any more.
    site.give(olga, birds, bob, "admin")
    olga.delete(given)
    await site.quiet()
    assert set(site.items("birds")) == {other.uri}
    assert site.rows("SELECT volume FROM membership ORDER BY volume") == [(3,), (5,)]
    assert site.membership("birds", bob) == ("member", 1, "record")
    alice.delete(record)
    await site.quiet()
    assert status(site, "birds", alice) is None


async def test_nobody_has_a_community_passed_on_who_may_found_none(site: TownSite) -> None:
    olga, nina = site.people("olga", "nina")
    site.ingest.index.founders = (olga.did,)
    birds = site.found(olga)
    await site.founded(birds)
    successor = site.found(nina, predecessor=birds.uri)
    olga.update(birds, {"successor": successor.uri})
    await site.caught_up()
    assert site.rows("SELECT uri FROM community WHERE slug = 'birds'") == [(birds.uri,)]
    assert site.faults(nina) == ["FounderNotAllowed"]


async def test_parents_count_where_both_owners_agree(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    top = site.found(olga)
    child, foreign = site.found(olga, "owls", parent=top.uri), site.found(mallory, "ducks", parent=top.uri)
    lost = site.found(olga, "lost", parent=f"at://{olga.did}/{COMMUNITY}/nowhere")
    await site.founded(top, child, foreign, lost)
    places = site.ingest.in_force.places
    birds = places.find("birds")
    above = {slug: found.above for slug in ("owls", "ducks", "lost") if (found := places.find(slug))}
    assert birds and above == {"owls": (birds.id,), "ducks": (), "lost": ()}


async def test_a_record_that_nobody_has_signed_does_nothing(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    key, olga.repo.key = olga.repo.key, mallory.key
    forged = site.found(olga)
    await site.caught_up()
    olga.repo.key = key
    assert site.rows("SELECT 1 FROM community WHERE slug = 'birds'") == [] and forged


async def test_the_same_events_again_and_a_restart_change_nothing(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga, posting="members")
    await site.founded(birds)
    site.join(alice, birds)
    site.give(olga, birds, alice)
    post = alice.post("#birds")
    await site.quiet()
    before = [site.rows(f"SELECT * FROM {table}") for table in ("declaration", "membership", "membership_event")]
    await site.rewind(0)
    await site.quiet()
    assert set(site.items("birds")) == set(uris(post))
    after = [site.rows(f"SELECT * FROM {table}") for table in ("declaration", "membership", "membership_event")]
    assert after == before


async def test_who_left_by_the_service_is_not_joined_again_by_the_old_record(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    site.join(alice, birds)
    await site.quiet()
    with writing(site.ingest.database) as connection:
        connection.execute("DELETE FROM membership")
    await site.again()
    await site.quiet()
    assert status(site, "birds", alice) is None


async def test_an_account_that_is_deleted_leaves_nothing_behind(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    site.join(alice, birds)
    site.submit(alice, birds, alice.post("x"))
    await site.quiet()
    alice.set_status(False, "deleted")
    await site.rested()
    await site.until("purged", lambda: status(site, "birds", alice) is None)
    query = "SELECT 1 FROM declaration d JOIN actor a ON a.id = d.actor WHERE a.did = ?"
    await site.until("forgotten", lambda: not site.rows(query, alice.did))
