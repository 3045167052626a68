"""Records of communities as strangers and careless people write them: nobody's place is changed but by who may."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from communities.records import MEMBERSHIP, POST, ROLE
from models.database import writing
from tests.source_site import TAP, V2, SourceSite
from tests.town_site import TownSite
from tests.world import Account, Write


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


def events(site: TownSite, account: Account) -> list[str]:
    """What became of somebody's memberships."""
    query = "SELECT act FROM membership_event WHERE actor = (SELECT id FROM actor WHERE did = ?) ORDER BY id"
    return [act for (act,) in site.rows(query, account.did)]


def unseen(site: TownSite, account: Account) -> None:
    """A commit that the stream never brings."""
    value = {"$type": POST, "text": "unseen"} | site.when()
    account.commit(Write("create", f"{POST}/{site.world.clock.tid()}", value))


async def test_b6_what_is_said_of_communities_while_a_repository_is_read_is_done_once(site: TownSite) -> None:
    olga, nina, alice = site.people("olga", "nina", "alice")
    birds, owls = site.found(olga), site.found(nina, "owls")
    await site.founded(birds, owls)
    site.join(alice, birds)
    await site.quiet()
    held = site.world.pds.hold(olga.did)
    unseen(site, olga)
    olga.sync()
    await held.asked.wait()
    role = {"community": birds.uri, "subject": alice.did, "role": "moderator"} | site.when()
    key = site.world.clock.tid()
    olga.create(ROLE, role, rkey=key)
    # Another record under the same key in another collection.
    olga.create(MEMBERSHIP, {"community": owls.uri} | site.when(), rkey=key)
    await site.caught_up()
    assert site.rows("SELECT r.state FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?", olga.did) == [
        ("resyncing",)
    ]
    held.release()
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    assert site.membership("owls", olga) == ("member", 1, "record")
    assert events(site, alice) == ["join", "setRole"] and events(site, olga) == ["join"]


async def test_the_account_of_a_community_may_follow_and_block_very_many(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("keeping", "snapshot"):
        monkeypatch.setattr(f"firehose.{module}.MOST_RELATIONS", 3)
    monkeypatch.setattr("firehose.keeping.MOST_DECLARED", 3)
    monkeypatch.setattr("firehose.snapshot.MOST_SAID", 3)
    olga, alice, *others = site.people("olga", "alice", *(f"other{number}" for number in range(5)))
    birds = site.found(olga, account=olga.did)
    await site.founded(birds)
    for other in others:
        olga.follow(other)
    blocks = [olga.block(other) for other in others]
    site.join(alice, birds)
    site.give(olga, birds, alice)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    kept = "SELECT rkey FROM declaration WHERE collection = 'app.bsky.graph.block' ORDER BY rkey"
    assert site.rows(kept) == [(block.rkey,) for block in blocks[:3]]
    # Nor does anything of it end when the repository is read.
    olga.delete(blocks[0])
    unseen(site, olga)
    olga.sync()
    await site.quiet()
    assert site.rows("SELECT declared FROM community WHERE slug = 'birds'") == [(1,)]
    assert site.membership("birds", alice) == ("member", 2, "record")
    assert site.rows(kept) == [(block.rkey,) for block in blocks[1:4]]


async def test_nobody_joins_by_following_an_account_that_has_not_agreed(site: TownSite) -> None:
    mallory, famous, alice, bob = site.people("mallory", "famous", "alice", "bob")
    birds = site.found(mallory, joinBy=["follow", "record"], account=famous.did)
    await site.founded(birds)
    alice.follow(famous)
    await site.quiet()
    assert site.membership("birds", alice) is None
    # Nor is anything kept, or looked up, of who follows it, nor is its repository read.
    assert site.faults(alice) == [] and famous.did not in site.ingest.scope.full
    # It agrees by joining itself.
    site.join(famous, birds)
    await site.until("agreed", lambda: famous.did in site.ingest.scope.accounts)
    await site.quiet()
    bob.follow(famous)
    await site.quiet()
    assert site.membership("birds", bob) == ("member", 1, "follow")
    assert site.membership("birds", alice) is None


async def test_what_members_say_goes_on_when_a_community_is_passed_on(site: TownSite) -> None:
    olga, nina, alice, bob = site.people("olga", "nina", "alice", "bob")
    birds = site.found(olga)
    await site.founded(birds)
    membership = site.join(alice, birds)
    post, withdrawn = alice.post("no tag"), alice.post("#birds")
    site.submit(alice, birds, post)
    alice.delete(site.submit(alice, birds, withdrawn))
    await site.quiet()
    assert site.items("birds").keys() == {post.uri}
    successor = site.found(nina, predecessor=birds.uri)
    olga.update(birds, {"successor": successor.uri})
    await site.founded(successor)
    alice.update(post, {"text": "no tag, edited"})
    alice.update(withdrawn, {"text": "#birds edited", "tags": ["birds"]})
    # Who has not heard of it names the old owner.
    site.join(bob, birds)
    await site.quiet()
    assert site.items("birds") == {post.uri: ("submission", 0)}
    assert site.membership("birds", bob) == ("member", 1, "record")
    alice.delete(membership)
    await site.quiet()
    assert site.membership("birds", alice) is None


async def test_a_community_passes_to_nobody_who_may_not_have_it(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    site.ingest.index.founders = (olga.did,)
    theirs = site.found(mallory, predecessor=birds.uri)
    await site.quiet()
    olga.update(birds, {"successor": theirs.uri})
    await site.quiet()
    assert site.rows("SELECT owner, uri FROM community WHERE slug = 'birds'") == [(olga.did, birds.uri)]
    assert site.faults(mallory) == ["FounderNotAllowed"]


async def test_a_slug_that_the_operator_has_taken_does_not_come_back_with_a_new_owner(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    theirs = site.found(mallory, predecessor=birds.uri)
    await site.caught_up()
    await site.declare(
        site.rules.read_text() + '\n[[community]]\nslug = "birds"\nname = "Ours"\ninclude.hashtags = ["x"]\n'
    )
    olga.update(birds, {"successor": theirs.uri})
    await site.caught_up()
    await site.settled()
    rows = site.rows("SELECT name, uri FROM community WHERE declared = 1 AND json_extract(rule, '$.slug') = 'birds'")
    assert rows == [("Ours", None)]


async def test_a_membership_record_that_changes_changes_no_more_than_it_says(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    record = site.join(alice, birds)
    await site.quiet()
    with writing(site.ingest.database) as connection:
        connection.execute("UPDATE membership SET role = 3, since = 5")
    olga.update(birds, {"state": "archived"})
    await site.until("archived", lambda: site.ingest.index.admissions.directory.find("birds").state == "archived")
    alice.update(record, {"volume": 1})
    await site.quiet()
    assert site.rows("SELECT status, role, since, volume FROM membership") == [("member", 3, 5, 1)]
    # It names another community: she has left this one.
    owls = site.found(olga, "owls")
    await site.founded(owls)
    alice.update(record, {"community": owls.uri})
    await site.quiet()
    assert (site.membership("birds", alice), site.membership("owls", alice)) == (None, ("member", 1, "record"))


async def test_no_old_record_keeps_somebody_in(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    left = site.join(alice, birds)
    await site.quiet()
    with writing(site.ingest.database) as connection:  # as social.communities.leave does
        connection.execute("DELETE FROM membership")
        connection.execute("UPDATE declaration SET fault = 'Left' WHERE rkey = ?", (left.rkey,))
    record = site.join(alice, birds)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    alice.delete(record)
    await site.quiet()
    assert site.membership("birds", alice) is None


async def test_who_is_back_after_a_ban_is_back_with_what_was_there(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    post = alice.post("#birds")
    record = site.join(alice, birds)
    await site.quiet()
    site.ingest.housekeeping._end_bans = lambda connection: None  # type: ignore[method-assign] # it is busy otherwise
    with writing(site.ingest.database) as connection:
        connection.execute("UPDATE membership SET status = 'banned', until = 5")
        connection.execute("UPDATE feed_item SET hidden = 8")
    alice.delete(record)
    site.join(alice, birds)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    assert site.items("birds") == {post.uri: ("hashtag:birds", 0)}


async def test_the_last_admin_does_not_leave_by_a_tag(tmp_path: Path) -> None:
    rules = (
        '[[community]]\nslug = "club"\nname = "Club"\nposting = "members"\njoin_by = ["tag"]\ninclude.joined = true\n'
    )
    async with TownSite(tmp_path, rules=rules) as site:
        alice, bob = site.people("alice", "bob")
        alice.post("#addclub")
        bob.post("#addclub")
        await site.quiet()
        with writing(site.ingest.database) as connection:
            connection.execute("UPDATE membership SET role = 3 WHERE actor = (SELECT id FROM actor WHERE did = ?)",
                               (alice.did,))  # fmt: skip
        alice.post("#removeclub")
        await site.quiet()
        assert site.membership("club", alice) == ("member", 3, "tag")
        with writing(site.ingest.database) as connection:
            connection.execute("UPDATE membership SET role = 3")
        alice.post("now #removeclub")
        await site.quiet()
        assert site.membership("club", alice) is None


async def test_a_role_that_the_service_took_does_not_come_back_by_the_old_record(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    membership, given = site.join(alice, birds), site.give(olga, birds, alice)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    with writing(site.ingest.database) as connection:  # as social.communities.setRole does
        connection.execute("UPDATE membership SET role = 1, granted = ''")
        connection.execute("UPDATE declaration SET fault = 'Superseded' WHERE rkey = ?", (given.rkey,))
    alice.delete(membership)
    site.join(alice, birds)
    unseen(site, olga)
    olga.sync()
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    olga.update(given, {"createdAt": site.world.clock.iso()})
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")


@pytest.mark.parametrize("source", [V2, TAP])
async def test_s95_a_tag_makes_a_member_only_as_the_repository_says_so(tmp_path: Path, source: str) -> None:
    rules = '[[community]]\nslug = "club"\nname = "Club"\njoin_by = ["tag"]\ninclude.hashtags = ["club"]\n'
    async with SourceSite(tmp_path, source, rules=rules, verify="members") as site:
        members = (
            "SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.status = 'member' ORDER BY m.since"
        )
        alice, bob, mallory = site.people("alice", "bob", "mallory")
        # The source tells of a post that she has not signed.
        key, alice.repo.key = alice.repo.key, mallory.key
        alice.post("#addclub")
        alice.repo.key = key
        await site.caught_up()
        tries = "SELECT r.tries FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?"
        await site.until("refused", lambda: site.rows(tries, alice.did) > [(0,)])
        bob.post("#addclub")
        await site.until("a member", lambda: site.rows(members) == [(bob.did,)])
        bob.post("#removeclub")
        await site.until("no member", lambda: site.rows(members) == [])


async def test_nobody_has_the_repositories_of_others_read_by_blocking_them(site: TownSite) -> None:
    mallory, alice, bob = site.people("mallory", "alice", "bob")
    birds = site.found(mallory, account=mallory.did)
    await site.founded(birds)
    site.join(alice, birds)
    post = alice.post("#birds")
    bob.post("#python")
    await site.quiet()
    read = site.ingest.index.counts["repository read"]
    mallory.delete(mallory.block(bob))
    await site.quiet()
    assert site.ingest.index.counts["repository read"] == read
    block = mallory.block(alice)
    await site.quiet()
    assert site.items("birds") == {}
    mallory.delete(block)
    await site.quiet()
    assert site.items("birds").keys() == {post.uri}


async def test_whom_a_stranger_names_does_not_go_first(site: TownSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("AT_ONCE", 3), ("AT_ONCE_OF_OTHERS", 2), ("AT_ONCE_OF_A_HOST", 99)):
        monkeypatch.setattr(f"firehose.resync.{name}", most)
    # Not even where more wait than are looked at.
    monkeypatch.setattr("models.repos.MOST_DUE", 4)
    mallory, alice, *others = site.people("mallory", "alice", *(f"other{number}" for number in range(4)))
    held = [site.world.pds.hold(other.did) for other in others]
    birds = site.found(mallory, include={"members": [other.did for other in others]})
    await site.founded(birds)
    strangers = {other.did for other in others}
    await site.until("busy", lambda: len(site.resync._tasks.keys() & strangers) == 2)
    before = alice.post("before")
    await site.declare(f'{site.rules.read_text()}\n[[community]]\nslug = "club"\nname = "Club"\n'
                       f'include.members = ["{alice.did}"]\n')  # fmt: skip
    await site.until("alice is read", lambda: before.uri in site.items("club"))
    assert len(site.resync._tasks.keys() & strangers) == 2
    for one in held:
        one.release()
    await site.quiet()


async def test_a_submission_that_changes_withdraws_what_it_submitted(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga)
    await site.founded(birds)
    first, second = alice.post("#birds first"), alice.post("second")
    submission = site.submit(alice, birds, first)
    await site.quiet()
    bob.like(first)
    alice.update(submission, {"createdAt": site.world.clock.iso()})
    await site.quiet()
    assert site.items("birds") == {first.uri: ("hashtag:birds\nsubmission", 0)}
    assert site.counts(first) == (1, 0, 0, 0)
    alice.update(submission, {"post": second.ref})
    await site.quiet()
    assert site.items("birds").keys() == {second.uri}
    alice.update(first, {"text": "#birds edited", "tags": ["birds"]})
    await site.quiet()
    assert site.items("birds").keys() == {second.uri}
    alice.delete(submission)
    unseen(site, alice)
    await site.again()
    await site.quiet()
    assert site.items("birds") == {}
    site.submit(alice, birds, first)
    await site.quiet()
    assert site.items("birds").keys() == {first.uri}


async def test_what_is_refused_writes_no_line_of_its_own_into_the_log(
    site: TownSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (mallory,) = site.people("mallory")
    role = {"community": f"at://{mallory.did}/x", "subject": mallory.did, "role": "admin", "\nERROR": "all is lost"}
    mallory.create(ROLE, role | site.when(), rkey="x\nERROR: all is lost")
    mallory.create(ROLE, role | site.when(), rkey=site.world.clock.tid())
    await site.caught_up()
    refused = [record.getMessage() for record in caplog.records if "has no effect" in record.getMessage()]
    assert len(refused) == 1 and not any("\n" in record.getMessage() for record in caplog.records)


async def test_who_has_said_too_much_is_not_counted_again_and_again(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firehose.keeping.MOST_DECLARED", 2)
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    records = [site.join(alice, birds) for _ in range(2)]
    await site.quiet()
    asked: list[str] = []
    sql = site.ingest.index._sql
    monkeypatch.setattr(site.ingest.index, "_sql", lambda query, *rest: (asked.append(query), sql(query, *rest))[1])
    for _ in range(5):
        site.join(alice, birds)
    await site.caught_up()
    assert sum("count(*)" in query and "declaration" in query for query in asked) == 1
    assert site.ingest.index.counts["record ignored: too many of one account"] == 5
    alice.delete(records[0])
    site.join(alice, birds)
    await site.caught_up()
    assert site.ingest.index.counts["record ignored: too many of one account"] == 5
