"""The queue of a community as a feed: who sees it, what is in it, and what its buttons do."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.admission import PENDING
from communities.refs import cid_text
from feedgen.queue import BOTH, LESS, MORE, UNDO_MICROS
from models.database import open_database, sql
from tests.didnet import Account, plc
from tests.feed_site import (
    INTERACTIONS,
    NOW,
    SKELETON,
    Reply,
    Site,
    Writer,
    feed_uri,
    site_and_writer,
    token,
)
from tests.lexicons import Lexicons

OWNER, MODERATOR, MEMBER, SITE_ADMIN, SITE_MODERATOR = 30, 40, 41, 42, 43
QUEUE = feed_uri("chess.queue", OWNER)
now = [NOW / 1_000_000]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    folder = tmp_path_factory.mktemp("queue")
    sites = {"admins": plc(SITE_ADMIN), "moderators": plc(SITE_MODERATOR)}
    with site_and_writer(folder, clock=lambda: now[0], **sites) as served:
        yield served


@pytest.fixture
def door(both: tuple[Site, Writer]) -> Site:
    return both[0]


@pytest.fixture
def writer(both: tuple[Site, Writer]) -> Writer:
    both[1].clear()
    both[1].sql("DELETE FROM decided")
    both[1].sql("DELETE FROM interaction")
    both[1].declare_record(OWNER, "chess", posting="approval", queue_feed=True)
    both[1].member(MODERATOR, "chess", role=2)
    for number in (*range(10), MEMBER):
        both[1].member(number, "chess")
    now[0] += 3600
    return both[1]


@pytest.fixture(scope="module")
def people(both: tuple[Site, Writer]) -> dict[int, Account]:
    numbers = (OWNER, MODERATOR, MEMBER, SITE_ADMIN, SITE_MODERATOR, 44)
    return {number: both[0].account(number) for number in numbers}


def read(door: Site, account: Account, **params: object) -> Reply:
    return door.page(QUEUE, f"Bearer {token(account)}", **params)


def waiting(writer: Writer, count: int) -> list[str]:
    """Posts of members, which all wait."""
    return [writer.post(n % 5, tags=["chess"]) for n in range(count)]


def shown(writer: Writer, number: int = 1) -> str:
    """A post that was let in."""
    uri = writer.post(number, tags=["chess"])
    writer.sql("UPDATE feed_item SET hidden = 0 WHERE uri = ?", uri)
    return uri


def flag(
    writer: Writer, uri: str, at: int, reports: int = 1, reason_type: str = "com.atproto.moderation.defs#reasonSpam"
) -> None:
    """A post that was reported, as createReport leaves it."""
    writer.sql(
        "INSERT INTO flag (community, post, at, reports, reason_type)"
        " SELECT community, post, ?, ?, ? FROM feed_item WHERE uri = ?",
        at, reports, reason_type, uri,
    )  # fmt: skip


def state(writer: Writer, uri: str) -> int:
    return int(writer.sql("SELECT hidden FROM feed_item WHERE uri = ?", uri)[0][0])


def press(door: Site, who: Account, event: str, uri: str, context: str = "", feed: str = QUEUE, req: str = "") -> Reply:
    one = {"item": uri, "event": event, "feedContext": context, "reqId": req}
    return door.send({"interactions": [one]} | ({"feed": feed} if feed else {}), token(who, INTERACTIONS))


def verdicts(writer: Writer) -> list[tuple[str, str]]:
    """Who decided what, as the log has it."""
    return [(actor, action) for actor, action in writer.sql("SELECT actor, action FROM decision ORDER BY at, seq")]


# Who sees it


def test_only_those_who_decide_about_posts_see_it(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    uri = waiting(writer, 1)[0]
    for number in (OWNER, MODERATOR, SITE_ADMIN):
        assert read(door, people[number]).posts == [uri], number
    for number in (MEMBER, SITE_MODERATOR, 44):
        reply = read(door, people[number])
        assert reply.fault == (403, "Forbidden") and "moderators" in reply.json["message"]
    assert door.page(QUEUE).fault == (401, "AuthMissing")
    assert door.page(QUEUE, "Bearer x.y.z").fault == (401, "BadJwt")


def test_a_role_that_ended_or_is_about_something_else_opens_nothing(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    writer.member(MODERATOR, "chess", role=2, scope="members pins")
    assert read(door, people[MODERATOR]).status == 403
    writer.member(MODERATOR, "chess", role=2, until=int(now[0] * 1_000_000))
    assert read(door, people[MODERATOR]).status == 403
    writer.member(MODERATOR, "chess", role=2, until=int(now[0] * 1_000_000) + 1)
    assert read(door, people[MODERATOR]).status == 200


def test_admins_above_see_it_and_moderators_above_do_not(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    top = writer.declare_record(OWNER, "games")
    writer.declare_record(OWNER, "chess", parent=top, posting="approval", queue_feed=True)
    writer.member(44, "games", role=2)
    assert read(door, people[44]).status == 403
    writer.member(44, "games", role=3)
    assert read(door, people[44]).status == 200


def test_it_is_there_only_where_the_community_wants_it(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    assert QUEUE in [feed["uri"] for feed in door.ask("", method="app.bsky.feed.describeFeedGenerator").json["feeds"]]
    writer.declare_record(OWNER, "chess", posting="approval")
    assert read(door, people[OWNER]).fault == (400, "UnknownFeed")
    uri = waiting(writer, 1)[0]
    assert press(door, people[OWNER], MORE, uri).fault == (400, "UnknownFeed")
    assert press(door, people[OWNER], MORE, uri, context="queue:chess", feed="").fault == (403, "Forbidden")
    assert state(writer, uri) == PENDING


# What is in it


def test_what_waits_comes_oldest_first_and_says_why(
    door: Site, writer: Writer, people: dict[int, Account], shared_data: object
) -> None:
    first, second, third = waiting(writer, 3)
    shown(writer)
    (cid,) = writer.sql("SELECT cid FROM post WHERE id = (SELECT post FROM feed_item WHERE uri = ?)", first)[0]
    writer.sql(
        "INSERT INTO decided SELECT i.community, p.actor, p.rkey, x'00', 'approved', 1, 1 FROM feed_item i JOIN post p"
        " ON p.id = i.post WHERE i.uri = ?", third,
    )  # fmt: skip
    page = read(door, people[MODERATOR])
    assert page.posts == [first, second, third] and page.cursor is None
    contexts = [item["feedContext"] for item in page.json["feed"]]
    assert contexts[0] == f"queue:chess {cid_text(cid)} h:chess;p every post waits for approval here"
    assert contexts[2].endswith("h:chess;p it was edited after a moderator approved it")
    assert all(len(context.encode()) < 2000 for context in contexts)
    Lexicons(shared_data / "lexicons").output(SKELETON, page.json)  # type: ignore[operator]
    writer.hide(0)
    assert read(door, people[MODERATOR]).posts == [second, third]
    writer.hide(0, active=True)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 40), max_size=2)), min_size=1, max_size=6))
def test_invariant_5_each_post_that_goes_on_waiting_comes_once(
    both: tuple[Site, Writer], people: dict[int, Account], steps: list[tuple[int, list[int]]]
) -> None:
    door, writer = both
    writer.clear()
    writer.member(MODERATOR, "chess", role=2)
    for number in range(5):
        writer.member(number, "chess")
    writer.declare_record(OWNER, "chess", posting="approval", queue_feed=True)
    posts = waiting(writer, 15)
    left, seen, cursor = set(posts), Counter[str](), None
    for turn in range(100):
        limit, changes = steps[turn % len(steps)]
        page = read(door, people[MODERATOR], limit=limit, cursor=cursor)
        assert len(page.posts) <= limit and page.posts == sorted(page.posts, key=posts.index)
        seen.update(page.posts)
        cursor = page.cursor
        if cursor is None:
            break
        for number in changes if turn < len(steps) else []:
            uri = posts[number % len(posts)]
            writer.sql("UPDATE feed_item SET hidden = 0 WHERE uri = ?", uri)
            left.discard(uri)
            if number % 3 == 0:
                posts += waiting(writer, 1)
                left.add(posts[-1])
    assert cursor is None and max(seen.values()) == 1 and left <= seen.keys()


def test_a_page_is_two_searches(door: Site, writer: Writer) -> None:
    with closing(open_database(door.config.database, readonly=True)) as database:
        plan = [row[3] for row in sql(database).execute("EXPLAIN QUERY PLAN " + BOTH, (1, 2, 3, 4)).fetchall()]
    assert "SEARCH i USING PRIMARY KEY (community=? AND hidden=? AND (sort_at,post)>(?,?))" in plan
    assert "SEARCH f USING INDEX flag_queue (community=? AND at>?)" in plan
    assert not any(step.startswith("SCAN") and "subquery" not in step.lower() for step in plan), plan


def test_what_was_reported_waits_among_the_others_and_says_why(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    pending, once, often, hidden = waiting(writer, 1)[0], shown(writer, 1), shown(writer, 2), shown(writer, 3)
    flag(writer, often, NOW + 2, 3, "tools.ozone.report.defs#reasonHarassmentTroll")
    flag(writer, once, NOW + 1)
    flag(writer, hidden, NOW)
    writer.hide(3)
    page = read(door, people[MODERATOR])
    assert page.posts == [pending, once, often]
    contexts = [item["feedContext"].partition(" ")[2].partition(" ")[2] for item in page.json["feed"]]
    assert contexts[1:] == ["h:chess reported as spam", "h:chess reported 3 times, first as harassment troll"]
    flag(writer, pending, NOW)
    first, *rest = read(door, people[MODERATOR]).json["feed"]
    assert first["post"] == pending and len(rest) == 2
    assert first["feedContext"].endswith("h:chess;p every post waits for approval here; reported as spam")
    writer.hide(3, active=True)


def test_what_was_reported_is_decided_by_the_same_buttons(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    good, bad = shown(writer, 1), shown(writer, 2)
    flag(writer, good, NOW)
    flag(writer, bad, NOW + 1)
    moderator = people[MODERATOR]
    contexts = {item["post"]: item["feedContext"] for item in read(door, moderator).json["feed"]}
    press(door, moderator, MORE, good, contexts[good])
    press(door, moderator, LESS, bad, contexts[bad])
    assert [state(writer, uri) for uri in (good, bad)] == [0, 4] and read(door, moderator).posts == []
    assert verdicts(writer)[-2:] == [(moderator.did, "approve"), (moderator.did, "remove")]
    press(door, moderator, LESS, good, contexts[good])
    press(door, moderator, MORE, bad, contexts[bad])
    assert [state(writer, uri) for uri in (good, bad)] == [4, 0] and read(door, moderator).posts == []


def test_a_version_that_was_approved_and_came_back_waits_no_more(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    uri = shown(writer)
    flag(writer, uri, NOW)
    writer.sql(
        "INSERT INTO decided SELECT i.community, p.actor, p.rkey, p.cid, 'approved', 1, 1 FROM feed_item i JOIN post p"
        " ON p.id = i.post WHERE i.uri = ?", uri,
    )  # fmt: skip
    assert read(door, people[MODERATOR]).posts == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=12),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_invariant_5_in_a_queue_of_both_kinds(
    both: tuple[Site, Writer], people: dict[int, Account], kinds: list[tuple[bool, int]], limits: list[int]
) -> None:
    door, writer = both
    writer.clear()
    writer.member(MODERATOR, "chess", role=2)
    for number in range(5):
        writer.member(number, "chess")
    writer.declare_record(OWNER, "chess", posting="approval", queue_feed=True)
    for flagged, at in kinds:
        uri = writer.post(1, tags=["chess"], at=NOW - 3600_000_000 + at)
        if flagged:
            writer.sql("UPDATE feed_item SET hidden = 0 WHERE uri = ?", uri)
            flag(writer, uri, NOW - 3600_000_000 + at)
    whole = read(door, people[MODERATOR], limit=100).posts
    assert len(whole) == len(set(whole)) == len(kinds)
    paged: list[str] = []
    cursor, turn = None, 0
    while turn == 0 or cursor is not None:
        page = read(door, people[MODERATOR], limit=limits[turn % len(limits)], cursor=cursor)
        paged, cursor, turn = paged + page.posts, page.cursor, turn + 1
    assert paged == whole


# The buttons


def test_more_approves_and_less_removes(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    first, second, third = waiting(writer, 3)
    moderator = people[MODERATOR]
    contexts = {item["post"]: item["feedContext"] for item in read(door, moderator).json["feed"]}
    assert press(door, moderator, MORE, first, contexts[first]).json == {}
    assert press(door, moderator, LESS, second, contexts[second]).json == {}
    assert [state(writer, uri) for uri in (first, second, third)] == [0, 4, PENDING]
    assert read(door, moderator).posts == [third]
    assert door.page(feed_uri("chess", OWNER)).posts == [first]
    assert verdicts(writer)[-2:] == [(moderator.did, "approve"), (moderator.did, "remove")]


def test_a_client_that_does_not_say_which_feed_is_understood_by_the_context(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    first, second = waiting(writer, 2)
    contexts = {item["post"]: item["feedContext"] for item in read(door, people[OWNER]).json["feed"]}
    press(door, people[OWNER], MORE, first, contexts[first], feed="")
    press(door, people[OWNER], LESS, second, feed="")  # about a post, of no feed: an opinion
    assert [state(writer, uri) for uri in (first, second)] == [0, PENDING]


def test_in_other_feeds_the_buttons_decide_nothing(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    (uri,) = waiting(writer, 1)
    for feed in (feed_uri("chess", OWNER), feed_uri("chess.hot", OWNER), feed_uri("python")):
        assert press(door, people[OWNER], MORE, uri, "queue:chess", feed).json == {}
    for event in ("interactionSeen", "interactionLike", "clickthroughItem"):
        press(door, people[OWNER], f"app.bsky.feed.defs#{event}", uri)
    assert state(writer, uri) == PENDING


def test_others_are_refused_and_nothing_of_theirs_is_kept(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    (uri,) = waiting(writer, 1)
    for number in (MEMBER, SITE_MODERATOR, 44):
        assert press(door, people[number], MORE, uri).fault == (403, "Forbidden")
        assert press(door, people[number], LESS, uri, "queue:chess", feed="").fault == (403, "Forbidden")
    assert state(writer, uri) == PENDING and writer.sql("SELECT * FROM interaction") == []


def test_only_what_waits_in_that_queue_is_decided_about(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    let_in, foreign = shown(writer), writer.post(1, tags=["python"])
    writer.sql("UPDATE feed_item SET hidden = ? WHERE uri = ?", PENDING, foreign)
    before = len(verdicts(writer))
    for uri in (let_in, foreign, f"at://{plc(1)}/app.bsky.feed.post/unknown", f"at://{plc(1)}/app.bsky.feed.like/x"):
        assert press(door, people[MODERATOR], LESS, uri).json == {}
        assert press(door, people[MODERATOR], MORE, uri, req="2").json == {}
    assert state(writer, let_in) == 0 and state(writer, foreign) == PENDING and len(verdicts(writer)) == before


def test_a_version_that_the_moderator_has_not_seen_is_not_decided_about(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    (uri,) = waiting(writer, 1)
    context = read(door, people[MODERATOR]).json["feed"][0]["feedContext"]
    writer.post(0, tags=["chess"], rkey=uri.rpartition("/")[2], at=NOW - 5)
    assert press(door, people[MODERATOR], MORE, uri, context).json == {}
    assert state(writer, uri) == PENDING
    context = read(door, people[MODERATOR]).json["feed"][0]["feedContext"]
    press(door, people[MODERATOR], MORE, uri, context, req="again")
    assert state(writer, uri) == 0


@pytest.mark.parametrize(("one", "other", "between", "after"), [(MORE, LESS, 0, 4), (LESS, MORE, 4, 0)])
def test_the_opposite_button_takes_a_decision_back_for_a_while(
    door: Site, writer: Writer, people: dict[int, Account], one: str, other: str, between: int, after: int
) -> None:
    soon, late, never = waiting(writer, 3)
    moderator = people[MODERATOR]
    for uri in (soon, late):
        press(door, moderator, one, uri)
        assert state(writer, uri) == between
    now[0] += UNDO_MICROS / 1_000_000
    press(door, moderator, other, soon)
    assert state(writer, soon) == after
    press(door, moderator, one, soon, req="2")  # and back again
    assert state(writer, soon) == between
    now[0] += 1
    press(door, moderator, other, late)
    assert state(writer, late) == between
    assert state(writer, never) == PENDING


def test_nobody_takes_back_what_others_have_decided_since(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    (uri,) = waiting(writer, 1)
    press(door, people[MODERATOR], MORE, uri)
    press(door, people[OWNER], LESS, uri)  # has pressed nothing before: this is no queue item any more
    assert state(writer, uri) == 0
    press(door, people[MODERATOR], MORE, uri, req="2")
    assert state(writer, uri) == 0


def test_a_removal_that_somebody_else_decided_since_is_not_taken_back(
    door: Site, writer: Writer, people: dict[int, Account]
) -> None:
    """Not even by who has removed the same post a minute before."""
    (uri,) = waiting(writer, 1)
    owner, moderator = people[OWNER], people[MODERATOR]
    press(door, moderator, LESS, uri)
    press(door, owner, LESS, uri)
    writer.sql("UPDATE feed_item SET hidden = ? WHERE uri = ?", PENDING, uri)  # it waits anew
    writer.sql("DELETE FROM decided")
    press(door, owner, LESS, uri, req="2")
    assert state(writer, uri) & 4 and [who for who, _ in verdicts(writer)][-2:] == [moderator.did, owner.did]
    press(door, moderator, MORE, uri)
    assert state(writer, uri) & 4
    press(door, owner, MORE, uri)
    assert state(writer, uri) == 0


def test_a_token_decides_once(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    (uri,) = waiting(writer, 1)
    act = token(people[MODERATOR], INTERACTIONS)
    body = {"feed": QUEUE, "interactions": [{"item": uri, "event": MORE}]}
    assert door.send(body, act).status == 200
    writer.sql("UPDATE feed_item SET hidden = ? WHERE uri = ?", PENDING, uri)
    assert door.send(body, act).fault == (401, "JwtReplayed") and state(writer, uri) == PENDING


def test_several_at_once_are_decided_in_their_order(door: Site, writer: Writer, people: dict[int, Account]) -> None:
    first, second = waiting(writer, 2)
    pressed = [{"item": uri, "event": event} for uri, event in ((first, MORE), (second, LESS), (first, LESS))]
    door.send({"feed": QUEUE, "interactions": pressed}, token(people[MODERATOR], INTERACTIONS))
    assert [state(writer, uri) for uri in (first, second)] == [4, 4]
