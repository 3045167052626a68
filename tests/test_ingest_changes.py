"""Communities of records that change: what follows from it, for which posts, how often, and after a fault."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from communities.community import Community, Include
from communities.records import COMMUNITY, MEMBERSHIP
from firehose.in_force import Changes
from models import communities as community_rows
from models.database import writing
from tests.ingest_site import QUICK
from tests.service_process import PATIENCE
from tests.town_site import TownSite
from tests.world import Account


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


def status(site: TownSite, slug: str, account: Account) -> str | None:
    found = site.membership(slug, account)
    return found[0] if found else None


async def test_a_changed_community_concerns_the_posts_that_it_has_or_may_have_and_no_others(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    olga, alice = site.people("olga", "alice")
    birds, owls = site.found(olga), site.found(olga, "owls")
    await site.founded(birds, owls)
    both = alice.post("#birds #owls")
    others = [alice.post(f"#owls {number}") for number in range(5)]
    plain = alice.post("#python #nightjars")
    site.submit(alice, birds, others[0])
    await site.quiet()
    judged: list[int] = []
    judge = site.ingest.index.judge_stored

    def seen(post: int, now: int, communities: Any = None) -> bool:
        judged.append(post)
        return judge(post, now, communities)

    monkeypatch.setattr(site.ingest.index, "judge_stored", seen)
    ids = dict(site.rows("SELECT uri, post FROM feed_item"))
    olga.update(birds, {"include": {"hashtags": ["nightjars"]}})
    await site.until("the new rule", lambda: "nightjars" in site.ingest.scope.matcher.tags)
    await site.settled()
    assert sorted(judged) == sorted(ids[post.uri] for post in (both, others[0], plain))
    assert site.items("birds") == {
        plain.uri: ("hashtag:nightjars", 0),
        others[0].uri: ("submission", 0),
    }
    assert set(site.items("owls")) == {post.uri for post in (both, *others)}
    # What it says to people decides about no post.
    judged.clear()
    olga.update(birds, {"include": {"hashtags": ["nightjars"]}, "description": "of the night"})
    await site.until("said", lambda: site.rows("SELECT 1 FROM community WHERE description = 'of the night'"))
    await site.settled()
    assert judged == []


async def test_a_community_that_changes_without_an_end_leaves_time_for_the_stream(site: TownSite) -> None:
    """Taking changes over is held to a tenth of the time, whatever it costs."""
    olga, alice = site.people("olga", "alice")
    birds = site.found(olga)
    await site.founded(birds)
    began: list[float] = []
    take_over = site.ingest.in_force.take_over

    def slow() -> Changes:
        began.append(time.monotonic())
        while time.monotonic() < began[-1] + 0.05:
            pass
        return take_over()

    site.ingest.in_force.take_over = slow  # type: ignore[method-assign]
    number = 0
    async with asyncio.timeout(60 * PATIENCE):
        while len(began) < 3:
            number += 1
            olga.update(birds, {"include": {"hashtags": [f"t{number}"]}})
            await asyncio.sleep(0.01)
    assert min(after - before for before, after in pairwise(began)) >= 0.5
    await site.caught_up(alice.post("#python").seq)


async def test_a_change_that_could_not_be_followed_up_is_tried_again(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F4: the rule is in force, and what follows from it waits until it can be stored."""
    olga, alice, bob = site.people("olga", "alice", "bob")
    bob.create(MEMBERSHIP, {"community": f"at://{olga.did}/{COMMUNITY}/birds"} | site.when())
    both = alice.post("#python #birds")
    await site.caught_up()
    reapply, tries = site.ingest.rules.reapply, 0

    def full_at_first(*args: Any, **options: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise apsw.FullError("database or disk is full")
        reapply(*args, **options)

    monkeypatch.setattr(site.ingest.rules, "reapply", full_at_first)
    birds = site.found(olga)
    await site.founded(birds)
    await site.until("the third try", lambda: tries >= 3)
    await site.quiet()
    assert list(site.items("birds")) == [both.uri]
    assert status(site, "birds", bob) == "member"


async def test_a_change_that_nobody_followed_up_before_the_end_is_followed_up_at_the_next_start(
    site: TownSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    olga, alice = site.people("olga", "alice")
    both = alice.post("#python #birds")
    await site.caught_up()
    site.pace = replace(QUICK, rules=3600.0)
    await site.again()
    site.found(olga)
    await site.until("the row", lambda: site.rows("SELECT 1 FROM community WHERE slug = 'birds'"))
    await site.stop()
    assert site.items("birds") == {}
    site.pace = QUICK
    site.reopen()
    await site.start()
    await site.settled()
    assert list(site.items("birds")) == [both.uri]


async def test_who_leaves_or_is_banned_is_no_author_of_a_community_any_more(site: TownSite) -> None:
    olga, alice, bob = site.people("olga", "alice", "bob")
    birds = site.found(olga, include={"joined": True})
    await site.founded(birds)
    record, _ = site.join(alice, birds), site.join(bob, birds)
    await site.quiet()
    authors = site.ingest.scope.matcher.authors
    assert {alice.did, bob.did} <= authors.keys() and alice.did in site.ingest.in_force.followed
    alice.delete(record)
    bob.set_status(False, "deleted")
    await site.until("gone", lambda: authors.keys().isdisjoint((alice.did, bob.did)))
    assert alice.did not in site.ingest.in_force.followed
    alice.post("nothing to do with it")
    await site.caught_up()
    assert site.items("birds") == {}


async def test_what_waits_while_a_community_changes_is_held_against_it_as_it_is_then(tmp_path: Path) -> None:
    async with TownSite(tmp_path, verify="none", pace=replace(QUICK, batch=3600.0, cursor=3600.0)) as site:
        (alice,) = site.people("alice")
        post = alice.post("#python #birds")
        await site.until("the batch", lambda: site.ingest.pipeline.received == post.seq)
        assert site.cursor is None
        rule = Community("birds", "Birds", owner=alice.did, include=Include(hashtags=("birds",))).to_json()
        uri = f"at://{alice.did}/{COMMUNITY}/birds"
        with writing(site.ingest.database) as connection:
            assert community_rows.declare_record(connection, uri, rule, 1, most=9) is None
        await site.until("it", lambda: site.ingest.in_force.places.find(uri))
        assert site.cursor is None
        await site.stop()
        assert list(site.items("birds")) == [post.uri]
