"""Posts from the relay to the feed: made, changed, deleted, judged anew, and put where their time belongs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.ingest_site import RULES, Site, uris
from tests.world import Write

POST = "app.bsky.feed.post"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


def iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_posts_come_newest_first_and_go_when_deleted(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    first, second, third = alice.post("one #python"), bob.post("two #Python"), alice.post("of type hints")
    alice.post("nothing to do with it")
    rust = bob.post("three #rust and #python")
    await site.caught_up()
    assert await site.feed("python") == uris(rust, third, second, first)
    assert await site.feed("rust") == [rust.uri]

    bob.delete(second)
    alice.delete(first)
    await site.caught_up()
    assert await site.feed("python") == uris(rust, third)
    bob.delete(rust)
    await site.caught_up()
    assert (await site.feed("python"), await site.feed("rust")) == ([third.uri], [])


async def test_an_edit_is_judged_anew(site: Site) -> None:
    (alice,) = site.people("alice")
    stays, leaves, enters, moves = (
        alice.post(text) for text in ("stays #python", "leaves #python", "enters", "moves #python")
    )
    before = site.rows("SELECT count(*) FROM post")
    alice.update(stays, {"text": "stays, and says more"})
    alice.update(leaves, {"text": "left", "facets": None})
    alice.update(enters, {"tags": ["python"]})
    alice.update(moves, {"facets": None, "tags": ["rust"]})
    await site.caught_up()
    assert before == [(0,)]
    assert await site.feeds("python", "rust") == {"python": set(uris(stays, enters)), "rust": {moves.uri}}

    alice.update(leaves, {"text": "back", "facets": None, "tags": ["python"]})
    await site.caught_up()
    assert leaves.uri in await site.feed("python")
    alice.update(moves, {"facets": None, "tags": ["rust", "game"]})  # an exclusion
    alice.update(stays, {"tags": ["nofeed"]})  # an opt-out
    await site.caught_up()
    assert await site.feeds("python", "rust") == {"python": set(uris(leaves, enters)), "rust": set()}


async def test_an_edit_keeps_the_place_of_a_post(site: Site) -> None:
    (alice,) = site.people("alice")
    older, newer = alice.post("older #python"), alice.post("newer #python")
    await site.caught_up()
    alice.update(older, {"text": "edited #python", "createdAt": site.world.clock.iso()})
    await site.caught_up()
    assert await site.feed("python") == uris(newer, older)
    (record,) = site.rows("SELECT record FROM post WHERE rkey = ?", older.rkey)
    assert b"edited" in record[0]


async def test_one_commit_may_do_several_things(site: Site) -> None:
    (alice,) = site.people("alice")
    old = alice.post("old #python")
    record = {"$type": POST, "text": "new", "createdAt": site.world.clock.iso(), "tags": ["python"]}
    alice.write(
        Write("create", f"{POST}/aaa", record),
        Write("delete", old.path),
        Write("create", f"{POST}/bbb", record | {"tags": ["rust"]}),
        Write("create", "app.bsky.graph.follow/ccc", {"$type": "app.bsky.graph.follow", "subject": alice.did}),
    )
    await site.caught_up()
    assert await site.feeds("python", "rust") == {
        "python": {f"at://{alice.did}/{POST}/aaa"},
        "rust": {f"at://{alice.did}/{POST}/bbb"},
    }


async def test_a_post_made_again_under_the_same_key(site: Site) -> None:
    alice, bob = site.people("alice", "bob")
    first = alice.post("first #python", rkey="same")
    bob.like(first)
    await site.caught_up()
    assert site.counts(first) == (1, 0, 0, 0)
    alice.delete(first)
    second = alice.post("second #rust", rkey="same")
    await site.caught_up()
    assert await site.feeds("python", "rust") == {"python": set(), "rust": {second.uri}}
    assert site.counts(second) == (0, 0, 0, 0)


async def test_a_create_over_a_row_whose_deletion_was_never_heard(site: Site) -> None:
    (alice,) = site.people("alice")
    stale, other = alice.post("stale #python", rkey="same"), alice.post("other #python", rkey="other")
    alice.commit(Write("delete", stale.path), Write("delete", other.path))  # not sent
    alice.post("fresh #rust", rkey="same")
    alice.post("no community any more", rkey="other")
    await site.caught_up()
    assert await site.feeds("python", "rust") == {"python": set(), "rust": {stale.uri}}


async def test_deletions_of_what_was_never_there_change_nothing(site: Site) -> None:
    (alice,) = site.people("alice")
    kept, unknown = alice.post("kept #python"), alice.post("not indexed")
    alice.delete(unknown)
    like = alice.like(unknown)
    alice.delete(like)
    await site.caught_up()
    assert await site.feed("python") == [kept.uri]


async def test_old_posts_that_are_imported_do_not_flood_a_feed(site: Site) -> None:
    (alice,) = site.people("alice")
    now = datetime.now(UTC)
    imported = [alice.post("old #python", created_at=iso(now - timedelta(days=days))) for days in (8, 400, 5000)]
    fresh = [alice.post("new #python", created_at=iso(now - timedelta(days=days))) for days in (0, 3, 6.9)]
    await site.caught_up()
    assert await site.feed("python") == uris(*fresh)
    assert site.ingest.index.counts["post too old to admit"] == 3
    # Nor do they by an edit.
    alice.update(imported[0], {"text": "edited #python"})
    await site.caught_up()
    assert await site.feed("python") == uris(*fresh)


async def test_an_old_post_is_not_taken_for_one_that_was_let_in_by_its_hashtag(site: Site) -> None:
    (alice,) = site.people("alice")
    await site.declare(RULES + '\n[[community]]\nslug = "dogs"\nname = "Dogs"\ninclude.hashtags = ["dogapproved"]\n')
    alice.post("old #dogapproved", created_at=iso(datetime.now(UTC) - timedelta(days=400)))
    fresh = alice.post("new #dogapproved")
    await site.caught_up()
    assert await site.feed("dogs") == [fresh.uri]


@pytest.mark.parametrize(
    "created_at",
    [
        "2999-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01 00:00:00Z",
        "-2026-01-01T00:00:00Z",
        "yesterday",
        "",
        "２０２６-01-01T00:00:00Z",
        "1" * 64,
    ],
)
async def test_s102_a_time_that_cannot_be_is_the_time_of_the_event(site: Site, created_at: str) -> None:
    (alice,) = site.people("alice")
    before = site.world.clock.now()
    earlier = alice.post("earlier #python")
    absurd = alice.create(POST, {"text": "absurd", "tags": ["python"], "createdAt": created_at})
    later = alice.post("later #python")
    await site.caught_up()
    assert await site.feed("python") == uris(later, absurd, earlier)
    ((sort_at,),) = site.rows("SELECT sort_at FROM post WHERE rkey = ?", absurd.rkey)
    # The stream says milliseconds.
    assert before - 1000 <= sort_at <= site.world.clock.now()


@pytest.mark.parametrize("created_at", [None, 5, "2026-01-01T00:00:00.000Z" + "0" * 50, ["2026-01-01T00:00:00Z"]])
async def test_s102_no_time_at_all_is_no_post(site: Site, created_at: object) -> None:
    (alice,) = site.people("alice")
    record = {"text": "absurd", "tags": ["python"], "createdAt": created_at}
    alice.create(POST, {key: value for key, value in record.items() if value is not None})
    good = alice.post("good #python")
    await site.caught_up()
    assert await site.feed("python") == [good.uri]
    assert site.dropped == {"post invalid": 1}


async def test_the_time_of_the_event_is_what_the_stream_says_not_when_it_is_read(site: Site) -> None:
    (alice,) = site.people("alice")
    happened = site.world.clock.now() - 86_400_000_000
    record = {"$type": POST, "text": "", "tags": ["python"], "createdAt": "2999-01-01T00:00:00Z"}
    payloads = [alice.commit(Write("create", f"{POST}/{rkey}", record)) for rkey in ("aaa", "bbb", "ccc", "ddd")]
    times = (iso(datetime.fromtimestamp(happened / 1e6, UTC)), "2999-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "never")
    for payload, time in zip(payloads, times, strict=True):
        site.world.relay.send("#commit", payload | {"time": time})
    await site.caught_up()
    sorts = dict(site.rows("SELECT rkey, sort_at FROM post"))
    assert abs(sorts["aaa"] - happened) < 1_000_000
    # What the stream says is believed only where it can be.
    assert all(abs(sorts[rkey] - site.world.clock.now()) < 60_000_000 for rkey in ("bbb", "ccc", "ddd"))


async def test_the_zone_of_a_time_counts(site: Site) -> None:
    (alice,) = site.people("alice")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)

    def at(minutes: int, hours_east: int) -> str:
        return (hour_ago + timedelta(minutes=minutes)).astimezone(timezone(timedelta(hours=hours_east))).isoformat()

    utc = alice.post("in UTC #python", created_at=at(0, 0))
    lima = alice.post("in Lima #python", created_at=at(-1, -5))
    tokyo = alice.post("in Tokyo #python", created_at=at(1, 9))
    await site.caught_up()
    assert await site.feed("python") == uris(tokyo, utc, lima)
