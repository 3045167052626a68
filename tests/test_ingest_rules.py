"""The rules file changes while events flow: what takes effect, what is kept, and what a faulty file does."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from communities.community import Community, Include
from communities.toml_file import DeclarationError
from firehose.times import now_micros
from models.database import writing
from tests.ingest_site import QUICK, RULES, Site, uris
from tests.world import Record

COOKING = '\n[[community]]\nslug = "cooking"\nname = "Cooking"\ninclude.hashtags = ["cooking"]\n'
PYTHON = '[[community]]\nslug = "python"\nname = "Python"\ninclude.hashtags = ["python"]\n'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


async def test_a_change_takes_effect_and_no_event_is_lost(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    early = alice.post("#cooking before anybody cared")
    await site.caught_up()
    posts: list[Record] = []

    async def talk() -> None:
        while not enough.is_set():
            posts.append(alice.post(f"{len(posts)} #python"))
            bob.like(posts[-1])
            await asyncio.sleep(0)

    enough = asyncio.Event()
    talking = asyncio.create_task(talk())
    for number in range(6):
        await site.declare(RULES + (COOKING if number % 2 == 0 else ""))
    await site.declare(RULES + COOKING)
    late = bob.post("#cooking now")
    enough.set()
    await talking
    await site.caught_up()
    assert len(posts) > 20
    assert {site.counts(post) for post in posts} == {(1, 0, 0, 0)}
    assert await site.feed("cooking") == [late.uri]
    assert early.uri not in await site.feed("cooking")


async def test_an_exclusion_reaches_what_was_admitted_before_it(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    good, shouted, spam = alice.post("#python"), alice.post("#python #hiring"), bob.post("#python #rust")
    await site.caught_up()
    assert len(await site.feed()) == 3
    await site.declare(RULES.replace('name = "Python"', 'name = "Python"\nexclude.hashtags = ["Hiring"]'))
    assert await site.feeds("python", "rust") == {"python": set(uris(good, spam)), "rust": {spam.uri}}
    assert site.counts(shouted) is None
    await site.declare(RULES.replace('name = "Python"', f'name = "Python"\nexclude.dids = ["{bob.did}"]'))
    # In the other community nothing changed (invariant 10).
    assert await site.feeds("python", "rust") == {"python": {good.uri}, "rust": {spam.uri}}


async def test_what_waits_while_the_rules_change_is_held_against_the_new_ones(tmp_path: Path) -> None:
    async with Site(tmp_path, pace=replace(QUICK, batch=3600.0, cursor=3600.0)) as site:
        (alice,) = site.people("alice")
        alice.post("#python #hiring")
        kept = alice.post("#python")
        await site.until("the batch", lambda: site.ingest.pipeline.received == kept.seq)
        assert site.cursor is None
        await site.declare(RULES.replace('name = "Python"', 'name = "Python"\nexclude.hashtags = ["hiring"]'))
        await site.stop()
        assert await site.feed() == [kept.uri]


async def test_a_community_that_is_removed_and_added_back(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    both, rust, gone = alice.post("#python #rust"), alice.post("#rust"), alice.post("#rust")
    bob.like(rust)
    await site.caught_up()
    await site.declare(PYTHON)
    await site.feed("rust", status=400)
    assert await site.feed("python") == [both.uri]
    alice.delete(gone)
    alice.post("#rust while it was not declared")
    await site.caught_up()

    # Its items were kept, and what was deleted meanwhile does not come back (invariant 11).
    await site.declare(RULES)
    assert await site.feed("rust") == uris(rust, both)
    assert site.counts(rust) == (1, 0, 0, 0)
    fresh = alice.post("#rust again")
    await site.caught_up()
    assert await site.feed("rust") == uris(fresh, rust, both)


async def test_what_came_back_is_held_against_the_rules_as_they_are_now(site: Site) -> None:
    (alice,) = site.people("alice")
    alice.post("#rust #spam")
    kept = alice.post("#rust")
    await site.caught_up()
    await site.declare(PYTHON)
    await site.declare(RULES.replace('"game"', '"game", "spam"'))
    assert await site.feed("rust") == [kept.uri]


async def test_a_faulty_file_keeps_the_last_good_rules_and_says_what_is_wrong(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    for bad, where in (
        (RULES.replace("include.keywords", "include.keyword"), ":6: community[1].include.keyword: no such key"),
        (RULES.replace('["rust"]', '"rust"'), ":11: community[2].include.hashtags: must be a list"),
        (RULES + "[[community", ":13: no valid TOML"),
        ("", ":1: community: none is declared"),
    ):
        site.rules.write_text(bad, encoding="utf-8")
        await site.until("the fault", lambda said=where: said in (site.ingest.rules.fault or ""))  # type: ignore[misc]
        assert str(site.ingest.rules.fault).startswith(str(site.rules))
    await site.until("the report", lambda: "none is declared" in site.rows("SELECT report FROM process")[0][0])
    second = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(second, first)
    await site.declare(RULES + COOKING)
    assert site.ingest.rules.fault is None
    cooking = alice.post("#cooking")
    await site.caught_up()
    assert await site.feed("cooking") == [cooking.uri]


async def test_a_file_that_vanishes_for_a_while(site: Site) -> None:
    (alice,) = site.people("alice")
    site.rules.unlink()
    await site.until("the fault", lambda: site.ingest.rules.fault)
    assert "cannot be read" in str(site.ingest.rules.fault)
    post = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == [post.uri]
    site.rules.write_text(RULES, encoding="utf-8")
    await site.until("no fault", lambda: site.ingest.rules.fault is None)
    site.rules.write_bytes(b"\xff\xfe")
    await site.until("the fault", lambda: site.ingest.rules.fault)


async def test_a_file_that_is_touched_changes_nothing(site: Site) -> None:
    await site.marked()
    before = site.rows("SELECT * FROM meta ORDER BY key")
    matcher = site.ingest.scope.matcher
    site.rules.write_text("# a comment\n" + RULES, encoding="utf-8")
    stat = site.rules.stat().st_mtime_ns
    await site.until("noticed", lambda: (site.ingest.rules._signature or (0,))[0] == stat)
    assert site.rows("SELECT * FROM meta ORDER BY key") == before
    assert site.ingest.scope.matcher is matcher


async def test_a_start_with_a_faulty_file_is_refused(site: Site) -> None:
    await site.stop()
    site.ingest.database.close()
    site.rules.write_text("[[community]]\nslug = 5\n", encoding="utf-8")
    with pytest.raises(DeclarationError, match=r":2: community\[1\].slug"):
        site.open()
    site.rules.write_text(RULES, encoding="utf-8")
    site._database.close()
    site.open()
    await site.start()


async def test_rules_that_changed_while_nothing_ran_and_a_stop_in_the_middle(tmp_path: Path) -> None:
    async with Site(tmp_path) as site:
        (alice,) = site.people("alice")
        posts = [alice.post("#python" if number % 2 else "#python #hiring") for number in range(500)]
        await site.caught_up()
        await site.stop()
        site.ingest.database.close()
        site.rules.write_text(
            RULES.replace('name = "Python"', 'name = "Python"\nexclude.hashtags = ["hiring"]'), encoding="utf-8"
        )
        ingest = site.open()
        # A piece of it, and then a power cut.
        while site.rows("SELECT count(*) FROM post") == [(500,)]:
            assert ingest.housekeeping.step(ingest.scope.matcher)
        assert site.rows("SELECT count(*) > 250 FROM post") == [(1,)]
        ingest.database.close()
        site.open()
        await site.start()
        await site.settled()
        assert site.rows("SELECT count(*) FROM post") == [(250,)]
        assert await site.feed() == uris(*posts[1::2][::-1])[:100]


URI = "at://did:plc:gardener/social.communities.community/gardens"
GARDENS = '\n[[community]]\nslug = "gardens"\nname = "Ours"\ninclude.hashtags = ["flowers"]\n'


def declare_by_record(site: Site, list_uri: str) -> int:
    """A community as a record declares it, with a pin of its moderators; returns its id."""
    include = Include(hashtags=("gardens",), lists=(list_uri,))
    rule = Community("gardens", "Gardens", owner="did:plc:gardener", include=include).to_json()
    with writing(site.ingest.database) as connection:
        connection.execute("INSERT INTO actor (did) VALUES ('did:plc:gardener')")
        actor = connection.execute("SELECT id FROM actor WHERE did = 'did:plc:gardener'").get
        connection.execute(
            "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at)"
            " VALUES (?, 'social.communities.community', 'gardens', x'00', ?, '', '{}', 1)",
            (actor, URI),
        )
        connection.execute(
            "INSERT INTO community (slug, name, description, owner, rule, declared, uri, created_at)"
            " VALUES ('gardens', 'Gardens', '', 'did:plc:gardener', ?, 1, ?, 5)",
            (json.dumps(rule), URI),
        )
        number: int = connection.execute("SELECT id FROM community WHERE uri = ?", (URI,)).get
        connection.execute("INSERT INTO pin VALUES (?, -1, ?, 'pinned', 0, 1)", (number, actor))
        connection.execute("INSERT INTO list (uri) VALUES (?)", (list_uri,))
    return number


async def test_the_file_leaves_communities_of_records_alone(site: Site) -> None:
    (alice,) = site.people("alice")
    list_uri = f"at://{alice.did}/app.bsky.graph.list/l"
    number = declare_by_record(site, list_uri)
    row, pin = site.rows("SELECT * FROM community WHERE id = ?", number), site.rows("SELECT * FROM pin")
    for rules in (RULES + COOKING, PYTHON, RULES):
        await site.declare(rules)
        assert site.rows("SELECT * FROM community WHERE id = ?", number) == row
        assert site.rows("SELECT uri FROM list") == [(list_uri,)]
        assert site.rows("SELECT * FROM pin") == pin
    post = alice.post("#gardens")
    await site.caught_up()
    assert await site.feed("gardens", publisher="did:plc:gardener") == [post.uri]


async def test_the_file_takes_a_slug_over(site: Site) -> None:
    (alice,) = site.people("alice")
    number = declare_by_record(site, f"at://{alice.did}/app.bsky.graph.list/l")
    await site.declare(RULES + COOKING)
    theirs = alice.post("#gardens of a record")
    await site.caught_up()
    before = now_micros()
    await site.declare(RULES + GARDENS)
    assert site.rows("SELECT slug, declared, uri, created_at FROM community WHERE id = ?", number) == [
        (f"gardens~{number}", 0, URI, 5)
    ]
    assert site.rows("SELECT fault FROM declaration") == [("SlugTaken",)]
    ((ours, uri, made),) = site.rows("SELECT id, uri, created_at FROM community WHERE slug = 'gardens'")
    assert ours != number and uri is None and before <= made <= now_micros()
    post = alice.post("#flowers of the file")
    await site.caught_up()
    # Nothing of the other one is lost, and nothing is taken for this one's.
    assert await site.feed("gardens") == [post.uri]
    assert site.rows("SELECT uri FROM feed_item WHERE community = ?", number) == [(theirs.uri,)]

    # A change later keeps its age and takes nothing more.
    await site.declare(RULES + GARDENS.replace("Ours", "Ours!"))
    await site.declare(RULES)
    assert site.rows("SELECT id, declared, created_at FROM community WHERE slug = 'gardens'") == [(ours, 0, made)]
    assert site.rows("SELECT declared FROM community WHERE id = ?", number) == [(0,)]


async def test_pins_of_moderators_stay_before_those_of_the_file(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    first, second, third = alice.post("#python 1"), alice.post("#python 2"), bob.post("#python 3")
    await site.caught_up()
    with writing(site.ingest.database) as connection:
        connection.execute(
            "INSERT INTO pin (community, position, actor, rkey, moderator) SELECT c.id, -row_number() OVER (),"
            " p.actor, p.rkey, 1 FROM community c, post p WHERE c.slug = 'python' AND p.rkey IN (?, ?) ORDER BY p.id",
            (first.rkey, second.rkey),
        )
    pinned = RULES.replace('name = "Python"', f'name = "Python"\npins = ["{third.uri}", "{second.uri}"]')
    await site.declare(pinned)
    query = "SELECT rkey, moderator FROM pin ORDER BY position"
    assert site.rows(query) == [(second.rkey, 1), (first.rkey, 1), (third.rkey, 0), (second.rkey, 0)]
    assert await site.feed() == uris(second, first, third)
    await site.declare(pinned.replace(f', "{second.uri}"', ""))
    assert site.rows(query) == [(second.rkey, 1), (first.rkey, 1), (third.rkey, 0)]


async def test_pins(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    old, pinned, other = alice.post("#python old"), bob.post("pinned, but of no community"), alice.post("#python")
    await site.caught_up()
    await site.declare(RULES.replace('name = "Python"', f'name = "Python"\npins = ["{pinned.uri}", "{old.uri}"]'))
    assert await site.feed() == uris(pinned, old, other)
    bob.delete(pinned)
    await site.caught_up()
    assert await site.feed() == uris(old, other)
    alice.delete(old)
    await site.caught_up()
    assert await site.feed() == [other.uri]
    # A change of the rules does not forget that they are gone.
    await site.declare(
        RULES.replace('name = "Python"', f'name = "Python!"\npins = ["{old.uri}", "{pinned.uri}", "{other.uri}"]')
    )
    assert await site.feed() == [other.uri]
    again = alice.post("#python again", rkey=old.rkey)
    await site.caught_up()
    assert await site.feed() == uris(again, other)


async def test_a_pin_whose_author_is_hidden(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    pinned, other = bob.post("pinned"), alice.post("#python")
    await site.caught_up()
    await site.declare(RULES.replace('name = "Python"', f'name = "Python"\npins = ["{pinned.uri}"]'))
    bob.set_status(False, "takendown")
    await site.caught_up()
    assert await site.feed() == [other.uri]
    bob.set_status(True)
    await site.caught_up()
    assert await site.feed() == uris(pinned, other)
