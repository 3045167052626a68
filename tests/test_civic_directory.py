"""The communities through HTTP: what getCommunity says, every order of listCommunities, exact paging."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from civic import listing
from civic.town import TownWatch
from communities.access import Role, Status
from communities.community import Rule
from communities.decision_view import moment
from communities.ranking import SORTS
from models.database import sql
from tests.civic_site import NSID, OWNER, Town, town
from tests.didnet import Account, plc
from tests.feed_site import PUBLISHER

SORTED = ("recent", "active", "biggest", "newest")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("directory"), moderators=plc(802)) as found:
        yield found


def slugs(place: Town, who: Account | None = None, limit: int = 100, **params: Any) -> list[str]:
    return [one["slug"] for one in place.every("listCommunities", who, limit, **params)]


# One community


def test_a_community_of_a_record(place: Town) -> None:
    account = plc(5)
    uri = place.found(
        "full", name="Full Moon", description="Moon.", about="All of it.", rules=(Rule("Kind", "Be."), Rule("Short")),
        account=account, posting="approval", join_by=("xrpc",), feeds=SORTS, queue_feed=True,
    )  # fmt: skip
    member, moderator = place.member("full"), place.moderator("full")
    view = place.ask("getCommunity", community="full").json
    assert view == place.ask("getCommunity", community=uri).json
    feeds = [{"sort": s, "uri": f"at://{OWNER}/app.bsky.feed.generator/full{'' if s == 'newest' else f'.{s}'}"}
             for s in SORTS]  # fmt: skip
    assert view == {
        "slug": "full", "uri": uri, "name": "Full Moon", "description": "Moon.", "about": "All of it.",
        "rules": [{"name": "Kind", "text": "Be."}, {"name": "Short"}], "type": "open", "posting": "approval",
        "joinBy": ["xrpc"], "state": "active", "owner": OWNER, "account": account, "children": [], "memberCount": 2,
        "postCount": 0, "createdAt": moment(place.clock.micros()), "feeds": feeds,
    }  # fmt: skip
    assert place.ask("getCommunity", member, community="full").json["viewer"]["post"] == "pending"
    assert place.ask("getCommunity", member, community="full").json["feeds"] == feeds
    queue = {"sort": "queue", "uri": f"at://{OWNER}/app.bsky.feed.generator/full.queue"}
    for who in (moderator, place.person(800), place.person(802)):
        assert place.ask("getCommunity", who, community="full").json["feeds"] == [*feeds, queue]


def test_a_community_of_the_file(place: Town) -> None:
    place.writer.post(1, tags=["python"])
    view = place.ask("getCommunity", community="python").json
    assert view["feeds"] == [{"sort": "newest", "uri": f"at://{PUBLISHER}/app.bsky.feed.generator/python"}]
    assert "uri" not in view and "owner" not in view
    assert (view["postCount"], "lastPostAt" in view) == (1, True)
    assert view["createdAt"] > "2020"


def test_every_feed_that_is_named_is_served(place: Town) -> None:
    place.found("served", feeds=SORTS, queue_feed=True)
    for slug in ("served", "python"):
        for feed in place.ask("getCommunity", community=slug).json["feeds"]:
            assert place.site.ask(f"feed={feed['uri']}").status == 200, feed


def test_parents_and_children_that_may_be_known_of(place: Town) -> None:
    top = place.found("top", kind="open")
    hidden = place.found("hidden", kind="hidden", parent=top)
    place.found("under", kind="hidden-open", parent=hidden)
    place.found("beside", parent=top)
    assert place.ask("getCommunity", community="top").json["children"] == [
        {"slug": "beside", "name": "Beside", "uri": f"at://{OWNER}/{NSID}community/beside"}
    ]
    assert place.ask("getCommunity", community="beside").json["parent"]["slug"] == "top"
    assert place.ask("getCommunity", place.person(), community="hidden").fault == (400, "CommunityNotFound")
    insider = place.member("hidden")
    seen = place.ask("getCommunity", insider, community="top").json["children"]
    assert {one["slug"] for one in seen} == {"beside", "hidden"}
    assert place.ask("getCommunity", insider, community="hidden").json["children"][0]["slug"] == "under"
    below = place.member("under")
    assert "parent" not in place.ask("getCommunity", below, community="under").json
    assert slugs(place, parent="top") == ["beside"]
    assert sorted(slugs(place, insider, limit=1, parent="top")) == ["beside", "hidden"]
    assert place.ask("listCommunities", parent="hidden").fault == (400, "CommunityNotFound")
    assert slugs(place, insider, parent="hidden") == ["under"]
    assert place.ask("getCommunity", place.admin("top"), community="under").status == 200  # far above


def test_a_child_is_one_as_long_as_its_owner_is_an_admin_above(place: Town) -> None:
    mallory, admin = place.member("top"), place.admin("top")
    place.found("theirs", owner=mallory.did, parent="top")

    def below() -> bool:
        return "theirs" in {one["slug"] for one in place.ask("getCommunity", community="top").json["children"]}

    assert not below()
    assert place.give(admin, "top", mallory, "admin").status == 200
    assert below() and "theirs" in slugs(place, parent="top")
    assert place.leave(mallory, "top").status == 200
    assert not below() and "theirs" not in slugs(place, parent="top")


def test_many_communities_are_not_read_again_all_the_time(place: Town) -> None:
    connection, seconds = sql(place.writer.database), [0.0, 0.0]
    watch = TownWatch(lambda: seconds[0], lambda: seconds.__setitem__(1, seconds[1] + 2.0) or seconds[1])  # type: ignore[func-returns-value]
    before = watch.look(connection, 0, late=True)
    place.found("fickle")
    assert watch.look(connection, 0, late=True) is before
    # Who decides decides by what is.
    assert "fickle" in watch.look(connection, 0).directory.by_slug
    place.found("later")
    seconds[0] = 19.0
    assert "later" not in watch.look(connection, 0, late=True).directory.by_slug
    seconds[0] = 21.0
    assert "later" in watch.look(connection, 0, late=True).directory.by_slug


def test_what_changes_is_seen_at_once(place: Town) -> None:
    place.found("changing", name="Before")
    assert place.ask("getCommunity", community="changing").json["name"] == "Before"
    place.found("changing", posting="restricted")
    assert place.ask("getCommunity", community="changing").json["posting"] == "restricted"
    place.writer.sql("UPDATE community SET declared = 0 WHERE slug = 'changing'")
    place.found("another")
    assert place.ask("getCommunity", community="changing").fault == (400, "CommunityNotFound")
    assert "changing" not in slugs(place)


# Lists


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Sixty communities with few different counts, so that most orders are decided by the last part of the key."""
    with town(tmp_path_factory.mktemp("many")) as place:
        for number in range(60):
            place.found(
                f"c{number:02d}", kind="hidden" if number % 10 == 3 else "private" if number % 10 == 4 else "open"
            )
            place.clock.now += number % 2
        choose = random.Random(4)
        for table, column in (("community_count", "members"), ("community_count", "posts")):
            for (community,) in place.writer.sql("SELECT community FROM community_count"):
                count = choose.randrange(4)
                place.writer.sql(f"UPDATE {table} SET {column} = ? WHERE community = ?", count, community)
                place.writer.sql(
                    "UPDATE community_count SET last_post_at = posts * 1000000 WHERE community = ?", community
                )
        yield place


COLUMN = {
    "recent": "k.last_post_at DESC",
    "active": "k.posts DESC",
    "biggest": "k.members DESC",
    "newest": "c.created_at DESC",
}


@pytest.mark.parametrize("sort", SORTED)
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_every_order_is_whole(many: Town, sort: str, limit: int) -> None:
    rows = many.writer.sql(
        "SELECT c.slug FROM community c JOIN community_count k ON k.community = c.id"
        f" WHERE c.rule NOT LIKE '%\"hidden\"%' ORDER BY {COLUMN[sort]}, c.id DESC"
    )
    assert slugs(many, limit=limit, sort=sort) == [slug for (slug,) in rows]
    assert len(rows) == 56
    if sort == "recent":
        assert slugs(many, limit=limit) == [slug for (slug,) in rows]
        assert ["lastPostAt" in one for one in many.every("listCommunities")] == sorted(
            ("lastPostAt" in one for one in many.every("listCommunities")), reverse=True
        )


@pytest.mark.parametrize("sort", ["active", "biggest", "newest", "recent"])
def test_the_orders_come_from_indexes(many: Town, sort: str) -> None:
    value, number, table = listing._KEYS[sort]
    plan = many.writer.sql(
        f"EXPLAIN QUERY PLAN SELECT {value}, {number} FROM {table} WHERE ({value}, {number}) < (?, ?)"
        f" ORDER BY {value} DESC, {number} DESC LIMIT 10",
        1, 1,
    )  # fmt: skip
    assert len(plan) == 1 and "USING COVERING INDEX" in plan[0][3] and "SCAN" not in plan[0][3]


def test_hidden_ones_are_listed_for_their_own(many: Town) -> None:
    alice, bob, carol = many.person(), many.person(), many.person()
    many.put("c03", alice)
    many.put("c13", bob, Status.INVITED)
    many.put("c23", carol, Status.REQUESTED)
    for who, seen in ((alice, "c03"), (bob, "c13"), (carol, None)):
        hidden = {slug for slug in slugs(many, who, limit=9) if slug.endswith("3")}
        assert hidden == ({seen} if seen else set())
    banned = many.person()
    many.put("c00", banned, Status.BANNED)
    assert "c00" not in slugs(many, banned) and "c00" in slugs(many)


def test_each_says_what_the_caller_may(many: Town) -> None:
    alice = many.person()
    many.put("c01", alice, role=Role.ADMIN)
    assert all("viewer" not in one for one in many.every("listCommunities"))
    by_slug = {one["slug"]: one["viewer"] for one in many.every("listCommunities", alice, limit=20)}
    assert "edit" in by_slug["c01"]["decides"] and by_slug["c01"]["membership"]["role"] == "admin"
    assert (by_slug["c02"]["decides"], by_slug["c02"]["joinsAs"]) == ([], "member")
    assert (by_slug["c04"]["canRead"], by_slug["c04"]["joinsAs"]) == (False, "requested")


@pytest.mark.parametrize("sort", SORTED)
@pytest.mark.parametrize("seed", range(5))
def test_s52_paging_is_exact_while_communities_come_go_and_change(
    tmp_path_factory: pytest.TempPathFactory, sort: str, seed: int
) -> None:
    """Whatever happens to others between two pages, each that stands still is listed once."""
    choose = random.Random(f"{sort} {seed}")
    with town(tmp_path_factory.mktemp("paging")) as place:
        for number in range(24):
            place.found(f"s{number:02d}")
            place.clock.now += choose.randrange(2)
        still = {f"s{number:02d}" for number in range(0, 24, 2)}
        moving = [f"s{number:02d}" for number in range(1, 24, 2)]
        listed: list[str] = []
        cursor: str | None = None
        for step in range(200):
            reply = place.ask("listCommunities", sort=sort, limit=choose.randrange(1, 4), cursor=cursor)
            listed += [one["slug"] for one in reply.json["communities"]]
            cursor = reply.cursor
            if cursor is None:
                break
            if step < 40:
                place.found(f"n{step:02d}")
                slug = choose.choice(moving)
                place.writer.sql(
                    "UPDATE community_count SET members = ?1, posts = ?1, last_post_at = ?1 WHERE community = ?2",
                    choose.randrange(5), place.id(slug),
                )  # fmt: skip
                place.writer.sql("UPDATE community SET declared = 1 - declared WHERE slug = ?", choose.choice(moving))
        assert cursor is None
        assert sorted(slug for slug in listed if slug in still) == sorted(still)
