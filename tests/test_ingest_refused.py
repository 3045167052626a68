"""Records of communities that are refused for what they say: kept with the reason, bounded, believed only as far as
they are proven, and no end of a community; through the stream, and by reading whole repositories, which is the same.
"""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from communities.faults import MOST_WHY
from communities.records import COMMUNITY, MEMBERSHIP, POST, ROLE, SUBMISSION
from models.database import writing
from tests.bad_commits import commit_blocks
from tests.source_site import TAP, V1, V2, SourceSite
from tests.town_site import TownSite
from tests.world import Account, Record, Write
from tests.world.clock import wall

ROWS = (
    "SELECT d.collection, d.rkey, hex(d.cid), d.about, d.subject, d.record, d.gone, d.fault, d.why FROM declaration d"
    " JOIN actor a ON a.id = d.actor WHERE a.did = ? ORDER BY d.collection, d.rkey"
)
INVALID = "InvalidRecord"
BAD_NAME = "social.communities.community: name: must have at least 1 bytes"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


def kept(site: TownSite, account: Account) -> list[tuple[Any, ...]]:
    """All that is kept of what an account wrote, but for when that was."""
    return site.rows(ROWS, account.did)


def faults(site: TownSite, account: Account) -> dict[str, tuple[str | None, str | None]]:
    """Fault and reason of each record of an account, by its path."""
    return {f"{collection}/{rkey}": (fault, why) for collection, rkey, *_, fault, why in kept(site, account)}


def community(site: TownSite, slug: str = "birds") -> tuple[Any, ...]:
    """Of a community: name, whether it is declared, owner."""
    (row,) = site.rows("SELECT name, declared, owner FROM community WHERE slug = ?", slug)
    return row


def silently(account: Account, *writes: Write) -> None:
    """Write, and let the stream never tell of it; the next event shows that something was missed."""
    account.commit(*writes)


async def read_anew(site: TownSite, *accounts: Account) -> None:
    """The repositories are read, whatever the stream has said of them."""
    before = site.ingest.index.counts["repository read"]
    with writing(site.ingest.database) as connection:
        for account in accounts:
            connection.execute("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", (account.did,))
            connection.execute(
                "INSERT INTO repo (actor, state, why) SELECT id, 'pending', 'asked for' FROM actor WHERE did = ?"
                " ON CONFLICT (actor) DO UPDATE SET state = excluded.state, due_at = 0",
                (account.did,),
            )
    await site.until("read", lambda: site.ingest.index.counts["repository read"] >= before + len(accounts))
    await site.quiet()


def changed(record: Record, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**record.value, **changes}


FAULTY: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, INVALID, BAD_NAME),
    ({"posting": 7}, INVALID, "social.communities.community: posting: must be a string"),
    ({"description": "x" * 10_000}, INVALID, "social.communities.community: description: must have at most 3000 bytes"),
    ({"type": "private"}, "TypeChanged", "the type of a community never changes"),
    ({"type": "secret"}, "TypeChanged", "the type of a community never changes"),
    ({"include": {"hashtags": [f"t{n}" for n in range(6000)]}}, "TooLarge",
     "it names more than 5,000 tags, words and accounts"),
    ({"$type": "social.communities.role"}, INVALID,
     "social.communities.community: $type: must be social.communities.community"),
    ({"extra": 1.5}, INVALID, "float in record"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["stream", "repository"])
@pytest.mark.parametrize(("changes", "fault", "why"), FAULTY, ids=lambda value: str(value)[:24])
async def test_a_faulty_update_ends_no_community(
    site: TownSite, way: str, changes: dict[str, Any], fault: str, why: str
) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    site.join(alice, birds)
    post = alice.post("#birds")
    await site.quiet()
    (before,) = kept(site, olga)
    value = changed(birds, {"name": "Not this"} | changes)
    if way == "stream":
        olga.write(Write("update", birds.path, value))
    else:
        silently(olga, Write("update", birds.path, value))
        olga.sync()
    await site.quiet()
    (after,) = kept(site, olga)
    # The last good version, and beside it what is wrong with the newest.
    assert after[3:7] == before[3:7] and json.loads(after[5])["community"]["name"] == "Birds"
    assert after[7:] == (fault, why) and after[2] != before[2]
    assert community(site) == ("Birds", 1, olga.did) and site.refused == {fault: 1} and site.dropped == {}
    more = alice.post("#birds still")
    await site.quiet()
    assert set(site.items("birds")) == {post.uri, more.uri}
    assert site.membership("birds", alice) == ("member", 1, "record")
    # A later good version counts, and there is no fault any more.
    olga.update(birds, {"name": "Mended"})
    await site.quiet()
    assert community(site) == ("Mended", 1, olga.did) and faults(site, olga) == {birds.path: (None, None)}
    olga.delete(birds)
    await site.quiet()
    assert community(site)[1] == 0 and kept(site, olga) == []


async def test_a_faulty_record_that_is_deleted_ends_the_community(site: TownSite) -> None:
    (olga,) = site.people("olga")
    birds, bees = site.found(olga), site.found(olga, "bees")
    await site.founded(birds, bees)
    for record in (birds, bees):
        olga.update(record, {"name": ""})
    await site.quiet()
    assert community(site)[1] == community(site, "bees")[1] == 1
    olga.delete(birds)
    silently(olga, Write("delete", bees.path))
    olga.sync()
    await site.quiet()
    assert community(site)[1] == community(site, "bees")[1] == 0 and kept(site, olga) == []
    # Written anew with a fault, it has no last version that goes on.
    olga.create(COMMUNITY, changed(birds, {"name": ""}), rkey="birds")
    await site.again()
    await site.quiet()
    assert community(site)[1] == 0 and faults(site, olga) == {birds.path: (INVALID, BAD_NAME)}


async def test_who_has_never_seen_a_good_version_knows_only_the_fault(site: TownSite) -> None:
    (olga,) = site.people("olga")
    await site.caught_up()
    await site.stop()
    birds = site.found(olga)
    olga.update(birds, {"type": "private"})
    with writing(site.ingest.database) as connection:  # as at the live end, where a new service begins
        connection.execute("UPDATE source SET cursor = ?", (site.world.relay.head,))
    site.reopen()
    await site.start()
    await read_anew(site, olga)
    ((*row, fault, why),) = kept(site, olga)
    assert row[3:6] == [birds.uri, "", "null"] and fault == "TypeNotAvailable" and why is not None
    assert why.startswith("only communities of type open can be kept")
    assert site.rows("SELECT 1 FROM community WHERE uri IS NOT NULL") == []
    # What names it waits for it.
    (alice,) = site.people("alice")
    site.join(alice, birds)
    await site.quiet()
    assert site.faults(alice) == ["CommunityNotFound"]
    olga.update(birds, {"type": "open"})
    await site.founded(birds)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record") and site.faults(olga) == [None]


async def test_both_ways_come_to_the_same_rows(tmp_path: Path) -> None:
    """What the stream tells one by one, and what the repository says at its end."""
    found, start = [], wall() - 3_600_000_000
    for way in ("stream", "repository"):
        (tmp_path / way).mkdir()
        async with TownSite(tmp_path / way, seed=7, now=partial(next, itertools.count(start, 1000))) as site:
            olga, alice = site.people("olga", "alice")
            birds, bees = site.found(olga), site.found(olga, "bees")
            await site.founded(birds, bees)
            joined, role = site.join(alice, birds), site.give(olga, birds, alice)
            post, other = alice.post("#birds"), alice.post("no tag")
            submitted = [site.submit(alice, birds, one) for one in (post, other)]
            await site.quiet()
            writes = {
                olga: [
                    Write("update", birds.path, changed(birds, {"name": ""})),
                    Write("update", bees.path, changed(bees, {"type": "hidden"})),
                    Write("create", f"{COMMUNITY}/9lives", changed(birds, {"name": "Cats"})),
                    Write("update", role.path, changed(role, {"role": "emperor"})),
                    Write("create", f"{ROLE}/{site.world.clock.tid()}", {"community": 5}),
                ],
                alice: [
                    Write("update", joined.path, changed(joined, {"volume": 9})),
                    Write("update", submitted[0].path, changed(submitted[0], {"community": "at://x/y/z"})),
                    Write("update", submitted[1].path, changed(submitted[1], {"post": post.ref | {"uri": birds.uri}})),
                ],
            }  # fmt: skip
            for account, some in writes.items():
                if way == "stream":
                    for write in some:
                        account.write(write)
                else:
                    silently(account, *some)
                    account.sync()
            await site.quiet()
            rows = kept(site, olga), kept(site, alice)
            places = site.membership("birds", alice), community(site), community(site, "bees"), site.items("birds")
            found.append((rows, places))
            assert places[:3] == (None, ("Birds", 1, olga.did), ("Bees", 1, olga.did)) and places[3] == {}
            named = sorted((row[0], row[7]) for row in kept(site, alice) if not row[6])
            assert named == [(MEMBERSHIP, INVALID), (SUBMISSION, INVALID), (SUBMISSION, "NotYourPost")]
            assert sum(row[6] for row in kept(site, alice)) == 2, "what she had submitted is withdrawn"
    assert found[0] == found[1]


async def test_replays_restarts_and_another_reading_change_nothing(site: TownSite) -> None:
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    joined = site.join(alice, birds)
    await site.quiet()
    olga.update(birds, {"name": ""})
    alice.update(joined, {"volume": 0})
    alice.create(SUBMISSION, {"community": birds.uri} | site.when())
    await site.quiet()
    tables = ("declaration", "community", "membership", "membership_event")
    before = [site.rows(f"SELECT * FROM {table}") for table in tables]
    refused = site.refused
    for account in (olga, alice):
        account.repo.rev = account.commit()["rev"]  # the same records in another commit
        account.sync()
    await read_anew(site, olga, alice)
    assert site.refused == refused
    await site.rewind(0)
    await site.quiet()
    assert [site.rows(f"SELECT * FROM {table}") for table in tables] == before
    assert "" not in site.ingest.scope.posts, "a submission that is refused is of no post"


async def test_a_refused_update_ends_what_other_records_said(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga)
    await site.founded(birds)
    joined, given = site.join(alice, birds), site.give(olga, birds, alice)
    site.join(bob, birds)
    bobs = site.give(olga, birds, bob)
    tagged = bob.post("#birds")
    submitted = site.submit(bob, birds, tagged)
    await site.quiet()
    assert site.membership("birds", alice) == site.membership("birds", bob) == ("member", 2, "record")
    olga.update(given, {"role": "emperor"})
    bob.update(submitted, {"post": None})
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 1, "record")
    assert site.items("birds") == {}  # withdrawn, though its tag speaks for it
    assert faults(site, olga)[given.path] == ("UnknownRole", "the role is not known here")
    alice.update(joined, {"volume": 6})
    await site.quiet()
    assert site.membership("birds", alice) is None
    assert site.membership("birds", bob) == ("member", 2, "record")
    # Mended, they count again; a role that was refused is no role that is ended when it is deleted.
    alice.update(joined, {"volume": 5})
    olga.update(given, {"role": "moderator"})
    bob.update(submitted, {"post": tagged.ref})
    olga.update(bobs, {"subject": "nobody"})
    olga.delete(bobs)
    await site.quiet()
    assert site.membership("birds", alice) == ("member", 2, "record")
    assert site.membership("birds", bob) == ("member", 1, "record")
    assert set(site.items("birds")) == {tagged.uri}
    assert {fault for account in (olga, alice, bob) for fault in site.faults(account)} == {None}
    # A submission that was never good is no withdrawal.
    alice.delete(alice.create(SUBMISSION, {"community": birds.uri} | site.when()))
    await site.quiet()
    assert [row for row in kept(site, alice) if row[0] == SUBMISSION] == []


async def test_a_community_that_was_passed_on_is_found_by_a_faulty_old_record(site: TownSite) -> None:
    olga, nina, alice, bob = site.people("olga", "nina", "alice", "bob")
    birds = site.found(olga)
    await site.founded(birds)
    site.join(alice, birds)
    await site.quiet()
    theirs = site.found(nina, predecessor=birds.uri, name="Birds anew")
    olga.update(birds, {"successor": theirs.uri})
    await site.founded(theirs)
    olga.update(birds, {"name": "", "successor": theirs.uri})
    nina.update(theirs, {"name": ""})
    await site.quiet()
    assert community(site) == ("Birds anew", 1, nina.did)
    site.join(bob, birds)
    await site.quiet()
    assert site.membership("birds", bob) == site.membership("birds", alice) == ("member", 1, "record")
    nina.update(theirs, {"name": "Mended"})
    await site.quiet()
    assert community(site) == ("Mended", 1, nina.did)


@pytest.mark.parametrize("first", ["olga", "nina"])
async def test_a_community_passes_on_by_no_version_that_is_refused(site: TownSite, first: str) -> None:
    """The newest version of one record does not say so, whatever the one before said."""
    olga, nina = site.people("olga", "nina")
    theirs = f"at://{nina.did}/{COMMUNITY}/birds"
    birds = site.found(olga)
    await site.founded(birds)
    await site.quiet()
    if first == "olga":
        olga.update(birds, {"successor": theirs})
        await site.caught_up()
        olga.update(birds, {"successor": "nobody"})
        successor = site.found(nina, predecessor=birds.uri)
    else:
        successor = site.found(nina, predecessor=birds.uri)
        await site.caught_up()
        nina.update(successor, {"name": ""})
        olga.update(birds, {"successor": theirs})
    await site.quiet()
    await site.again()
    await site.quiet()
    assert community(site) == ("Birds", 1, olga.did)
    # Once both say so in what is read, it does.
    if first == "olga":
        olga.update(birds, {"successor": theirs})
    else:
        nina.update(successor, {})
    await site.founded(successor)
    await site.quiet()
    assert community(site) == ("Birds", 1, nina.did) and site.faults(nina) == [None]


async def test_founders_are_judged_whatever_their_newest_version_is(site: TownSite) -> None:
    olga, mallory = site.people("olga", "mallory")
    birds, bees = site.found(olga), site.found(mallory, "bees")
    await site.founded(birds, bees)
    olga.update(birds, {"name": ""})
    mallory.update(bees, {"name": ""})
    mallory.create(COMMUNITY, changed(bees, {"name": ""}), rkey="wasps")
    await site.quiet()
    revised = site.rows("SELECT revised FROM community ORDER BY id")

    def judge(*founders: Account) -> None:
        site.ingest.index.founders = [one.did for one in founders]
        with writing(site.ingest.database):
            site.ingest.index.judge_founders(site.world.clock.now())

    judge(olga, mallory)
    assert site.rows("SELECT revised FROM community ORDER BY id") == revised, "nothing changed"
    judge(olga)
    assert (community(site)[1], community(site, "bees")[1]) == (1, 0)
    judge(olga, mallory)
    assert (community(site)[1], community(site, "bees")[1]) == (1, 1)
    assert set(site.faults(olga) + site.faults(mallory)) == {INVALID}
    assert site.rows("SELECT 1 FROM community WHERE slug = 'wasps'") == []


async def test_a_slug_that_the_operator_takes_does_not_hide_what_is_to_be_mended(site: TownSite) -> None:
    (olga,) = site.people("olga")
    birds = site.found(olga)
    await site.founded(birds)
    olga.update(birds, {"name": ""})
    await site.quiet()
    await site.declare(
        site.rules.read_text() + '\n[[community]]\nslug = "birds"\nname = "Ours"\ninclude.hashtags = ["x"]\n'
    )
    await site.again()
    assert site.faults(olga) == [INVALID] and community(site)[0] == "Ours"
    olga.update(birds, {})
    await site.quiet()
    assert site.faults(olga) == ["SlugTaken"] and community(site)[0] == "Ours"


async def test_a_type_that_can_be_kept_does_not_change_either(site: TownSite, monkeypatch: pytest.MonkeyPatch) -> None:
    (olga,) = site.people("olga")
    birds = site.found(olga)
    await site.founded(birds)
    monkeypatch.setattr("communities.records.AVAILABLE", {"open", "private"})
    olga.update(birds, {"type": "private", "name": "Hidden away"})
    await site.quiet()
    ((*_, record, _, fault, why),) = kept(site, olga)
    assert (fault, why) == ("TypeChanged", "the type of a community never changes")
    assert json.loads(record)["community"]["name"] == "Birds" and community(site) == ("Birds", 1, olga.did)
    before = site.rows("SELECT * FROM declaration")
    await read_anew(site, olga)
    assert site.rows("SELECT * FROM declaration") == before and site.refused == {"TypeChanged": 1}
    await site.rewind(0)
    await site.quiet()
    assert site.rows("SELECT * FROM declaration") == before
    # Not by way of its end either: a slug and its type are given once.
    olga.delete(birds)
    olga.create(COMMUNITY, changed(birds, {"type": "private"}), rkey="birds")
    await site.quiet()
    assert community(site)[1] == 0 and site.faults(olga) == ["TypeChanged"]


async def test_what_was_refused_counts_when_the_service_has_learnt_to_take_it(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (olga,) = site.people("olga")
    birds = site.found(olga, type="private")
    await site.quiet()
    assert site.faults(olga) == ["TypeNotAvailable"]
    monkeypatch.setattr("communities.records.AVAILABLE", {"open", "private"})
    await read_anew(site, olga)
    await site.founded(birds)
    assert site.faults(olga) == [None]


# Attacks


@pytest.mark.parametrize("source", [V1, V2, TAP])
async def test_s95_what_nobody_has_signed_is_refused_nowhere(tmp_path: Path, source: str) -> None:
    """A source without proofs makes up a faulty update: nothing is kept of it but what the repository says."""
    async with SourceSite(tmp_path, source, verify="members") as site:
        olga, mallory, alice = site.people("olga", "mallory", "alice")
        value = {"type": "open", "name": "Birds", "posting": "anyone", "include": {"hashtags": ["birds"]}}
        birds = olga.create(COMMUNITY, value | {"createdAt": site.world.clock.iso()}, rkey="birds")
        joined = alice.create(MEMBERSHIP, {"community": birds.uri, "createdAt": site.world.clock.iso()})
        members = "SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.status = 'member'"
        await site.until("a member", lambda: site.rows(members) == [(alice.did,)])
        rows = "SELECT rkey, hex(cid), fault, why FROM declaration ORDER BY rkey"
        before = site.rows(rows)
        keys = {account: account.repo.key for account in (olga, alice)}
        for account in keys:
            account.repo.key = mallory.key
        olga.update(birds, {"name": ""})
        alice.update(joined, {"volume": 9})
        stranger = site.world.account("stranger")
        stranger.repo.key = mallory.key
        stranger.create(COMMUNITY, {"type": "open"}, rkey="wasps")
        await site.caught_up()
        tries = "SELECT count(*) FROM repo r WHERE r.tries > 0"
        await site.until("refused", lambda: site.rows(tries)[0][0] >= 3)
        assert site.rows(rows) == before and site.rows(members) == [(alice.did,)]
        # Signed, it counts: the repository says so.
        for account, key in keys.items():
            account.repo.key = key
            account.commit()
            account.identity()
        await site.until("the faults", lambda: [row[2] for row in site.rows(rows)] == [INVALID, INVALID])
        assert site.rows("SELECT name, declared FROM community WHERE slug = 'birds'") == [("Birds", 1)]
        assert site.rows(members) == []


async def test_a_commit_that_another_has_signed_refuses_nothing(site: TownSite) -> None:
    olga, mallory, stranger = site.people("olga", "mallory", "stranger")
    birds = site.found(olga)
    await site.founded(birds)
    await site.quiet()
    before = kept(site, olga)
    keys = {account: account.repo.key for account in (olga, stranger)}
    for account in keys:
        account.repo.key = mallory.key
    olga.update(birds, {"name": ""})
    stranger.create(MEMBERSHIP, {"community": 5})
    await site.caught_up()
    assert kept(site, olga) == before and kept(site, stranger) == [] and site.refused == {}
    for account, key in keys.items():
        account.repo.key = key


async def test_a_flood_of_refused_records_is_bounded(site: TownSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firehose.keeping.MOST_DECLARED", 5)
    monkeypatch.setattr("firehose.snapshot.MOST_SAID", 5)
    olga, mallory = site.people("olga", "mallory")
    birds = site.found(olga)
    await site.founded(birds)
    for number in range(12):
        mallory.create(COMMUNITY, {"type": "open"}, rkey=f"b{number:02}")
        mallory.create(MEMBERSHIP, {"community": 5})
    await site.quiet()
    assert len(kept(site, mallory)) == 5 and site.refused == {INVALID: 5}
    assert site.ingest.index.counts["record ignored: too many of one account"] == 19
    await read_anew(site, mallory)
    assert len(kept(site, mallory)) == 5
    # One record, changed all day, is one row; so are the posts that it submitted and withdrew again.
    record = mallory.create(SUBMISSION, {"community": birds.uri} | site.when())
    for path in [path for path in mallory.repo.records if path != record.path]:
        mallory.write(Write("delete", path))
    for number in range(9):
        post = f"at://{mallory.did}/{POST}/{number}"
        mallory.update(record, {"post": {"uri": post, "cid": birds.cid}})
        mallory.update(record, {"post": number})
    await site.quiet()
    rows = kept(site, mallory)
    assert len(rows) == 5 and sum(row[6] for row in rows) == 4
    assert {row[4][-1] for row in rows if row[6]} == {"8", "7", "6", "5"}, "the newest withdrawals hold"


async def test_one_commit_of_200_refused_records_is_no_burden(site: TownSite) -> None:
    (mallory,) = site.people("mallory")
    value = {"$type": COMMUNITY, "type": "open", "description": "\0" * 3000}
    mallory.write(*(Write("create", f"{COMMUNITY}/b{number:03}", value) for number in range(200)))
    await site.quiet()
    assert site.refused == {INVALID: 200}


HOSTILE = "\0\x07\x1b[31m\n\r\u2028\u202e\u200bforged\x85 at://x has no effect: Y"


async def test_what_is_said_of_a_fault_is_short_and_controls_nothing(site: TownSite, caplog: Any) -> None:
    caplog.set_level("INFO")
    (mallory,) = site.people("mallory")
    records: dict[str, dict[str, Any]] = {
        "large": {"type": "open", "name": "Large", "description": HOSTILE * 10_000},
        "keys": {"type": "open", "name": "Keys", "include": {HOSTILE * 100: 5}, "rules": [{HOSTILE: HOSTILE}]},
        "type": {"type": HOSTILE, "name": "Type"},
        "name": {"type": "open", "name": HOSTILE * 9},
        "parent": {"type": "open", "name": "Parent", "parent": HOSTILE},
        "bytes": {"type": "open", "name": b"\0\xff"},
    }
    for rkey, value in records.items():
        mallory.create(COMMUNITY, value | site.when(), rkey=rkey)
    mallory.create(ROLE, {"role": HOSTILE, "community": HOSTILE, "subject": HOSTILE} | site.when())
    mallory.create(SUBMISSION, {"community": HOSTILE, "post": {"uri": HOSTILE, "cid": HOSTILE}} | site.when())
    await site.quiet()
    rows = kept(site, mallory)
    assert len(rows) == len(records) + 2 and all(row[7] for row in rows)
    for *_, why in rows:
        assert why and len(why) <= MOST_WHY and why.isprintable() and "forged" not in why
    assert not any("\n" in record.getMessage() or "forged" in record.getMessage() for record in caplog.records)


async def test_a_record_larger_than_any_may_be_ends_no_community(site: TownSite) -> None:
    """The stream carries none such; the repository may hold one (10 MB of description)."""
    olga, alice = site.people("olga", "alice")
    birds, bees = site.found(olga), site.found(olga, "bees")
    await site.founded(birds, bees)
    joined = site.join(alice, birds)
    post = alice.post("#birds")
    await site.quiet()
    silently(olga, Write("update", birds.path, changed(birds, {"description": "x" * 10_000_000})))
    silently(alice, Write("update", joined.path, changed(joined, {"more": "x" * 1_000_000})))
    for account in (olga, alice):
        account.sync()
    await site.quiet()
    why = ("TooLarge", "it is larger than 1,000,000 bytes")
    assert faults(site, olga) == {birds.path: why, bees.path: (None, None)}
    assert faults(site, alice) == {joined.path: why} and site.membership("birds", alice) is None
    assert community(site) == ("Birds", 1, olga.did) and set(site.items("birds")) == {post.uri}


@pytest.mark.parametrize(
    "block", [b"", b"\x80", b"\xa1aa", b"\xfb\x3f\xf8" + bytes(6)], ids=lambda block: block.hex()[:8]
)
async def test_what_is_no_record_at_all_ends_no_community(site: TownSite, block: bytes) -> None:
    (olga,) = site.people("olga")
    birds = site.found(olga)
    await site.founded(birds)
    await site.quiet()
    site.world.relay.send("#commit", commit_blocks(olga, {birds.path: block}))
    await site.quiet()
    assert community(site) == ("Birds", 1, olga.did) and site.faults(olga) == [INVALID]


async def test_a_new_record_that_is_no_good_data_is_told_of(site: TownSite) -> None:
    (olga,) = site.people("olga")
    path = f"{COMMUNITY}/birds"
    value = {"$type": COMMUNITY, "type": "open", "name": "Birds", "extra": 1.5} | site.when()
    olga.write(Write("create", path, value))
    await site.quiet()
    assert faults(site, olga) == {path: (INVALID, "float in record")}
