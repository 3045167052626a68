"""Generations through the real door: when orders are made, who waits, how long cursors are good and for whom."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from communities.ranking import SORTS
from tests.feed_site import site
from tests.ranked_site import LONG, MINUTE, RULES, Ranked, ranked, slug
from tests.service_process import until


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranked]:
    with ranked(tmp_path_factory.mktemp("ranked")) as found:
        yield found


@pytest.fixture
def served(module: Ranked) -> Ranked:
    module.writer.declare(RULES)
    module.writer.clear()
    return module


def generations(served: Ranked, sort: str = "hot") -> list[int]:
    return [row for (row,) in served.writer.sql("SELECT id FROM generation WHERE sort = ? ORDER BY id", sort)]


# When orders are made


def test_an_order_stands_for_a_minute_and_the_next_reader_but_one_gets_the_new_one(served: Ranked) -> None:
    one, two = served.writer.post(1), served.writer.post(2)
    assert served.fresh("hot").posts == [two, one]
    served.writer.engage(9, one)
    served.pass_(59)
    assert served.site.page("python.hot").posts == [two, one]
    assert len(generations(served)) == 1
    served.pass_(1)
    assert served.page_and_next("hot").posts == [two, one]
    assert served.site.page("python.hot").posts == [one, two]
    assert len(generations(served)) == 2


def test_an_order_that_is_the_same_is_not_stored_again(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(3)]
    first = served.fresh("hot", limit=2)
    for _ in range(3):
        served.writer.engage(9, posts[2])
        served.pass_(MINUTE)
        assert served.page_and_next("hot").posts == posts[::-1]
    assert len(generations(served)) == 1
    assert served.site.page("python.hot", limit=2).cursor == first.cursor


def test_who_asks_after_a_long_time_waits_for_the_order_of_now(served: Ranked) -> None:
    one, two = served.writer.post(1), served.writer.post(2)
    assert served.fresh("hot").posts == [two, one]
    served.writer.engage(9, one)
    served.pass_(600)
    assert served.site.page("python.hot").posts == [one, two]


def test_only_who_finds_no_order_waits_and_all_who_wait_get_one(served: Ranked) -> None:
    """While another process writes nothing can be stored: so an order is being made for as long as the test likes."""
    one, two = served.writer.post(1), served.writer.post(2)
    served.pass_(LONG)
    database = str(served.site.config.database)
    with ThreadPoolExecutor(4) as pool, closing(apsw.Connection(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [pool.submit(served.site.page, "python.hot") for _ in range(4)]
        assert served.site.page("python").posts == [two, one]
        assert not any(one.done() for one in waiting)
        other.execute("ROLLBACK")
        assert [one.result(30).posts for one in waiting] == [[two, one]] * 4
        assert len(generations(served)) == 1
        served.writer.engage(9, one)
        served.pass_(MINUTE)
        before = served.made()
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert served.site.page("python.hot").posts == [two, one]
        assert served.made() == before
        other.execute("ROLLBACK")
        until("the new order", lambda: served.made() == before + 1)
    assert served.site.page("python.hot").posts == [one, two]


def test_when_none_can_be_stored_the_last_one_is_given_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.database.BUSY_SECONDS", 0.02)
    with ranked(tmp_path) as served:
        one, two = served.writer.post(1), served.writer.post(2)
        with closing(apsw.Connection(str(served.site.config.database))) as other:
            other.execute("BEGIN IMMEDIATE")
            assert served.site.page("python.hot").fault == (503, "NotEnoughResources")
            other.execute("ROLLBACK")
            assert served.fresh("hot").posts == [two, one]
            served.writer.engage(9, one)
            other.execute("BEGIN IMMEDIATE")
            assert served.fresh("hot").posts == [two, one]
            other.execute("ROLLBACK")
        assert served.fresh("hot").posts == [one, two]


def test_two_web_processes_share_orders(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(4)]
    first = served.fresh("hot", limit=2)
    with site(served.site.config.rules.parent, lambda: served.now + 10) as other:
        served.writer.engage(9, posts[0])
        assert other.page("python.hot", limit=2).posts == posts[:1:-1]
        assert other.page("python.hot", limit=2, cursor=first.cursor).posts == posts[1::-1]
    assert len(generations(served)) == 1


# Cursors


def test_a_cursor_is_good_for_its_feed_alone(served: Ranked) -> None:
    for tags in (["python"], ["rust"]):
        for n in range(4):
            served.writer.post(n, tags=tags)
    cursors = {sort: served.fresh(sort, limit=2).cursor for sort in SORTS if sort not in ("top-day", "video")}
    assert all(cursors.values())
    for sort in cursors:
        for other, cursor in cursors.items():
            reply = served.site.page(slug(sort), cursor=cursor)
            assert reply.fault == (400, "InvalidRequest") if sort != other else len(reply.posts) == 2
    served.pass_(LONG)
    assert served.site.page("rust.hot", cursor=cursors["hot"]).fault == (400, "InvalidRequest")
    good = str(cursors["hot"])
    for bad in ("", "x", good[:-2], good + "00", good.upper(), f"01{good[2:]}", "00" * 25, good[:-1] + "g", "0" * 512):
        if bad != good:
            assert served.site.page("python.hot", cursor=bad).fault == (400, "InvalidRequest"), bad


def test_a_cursor_is_good_for_two_hours_after_its_order_was_replaced(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    first = served.fresh("hot", limit=2)
    served.pass_(5 * 3600)
    served.writer.engage(9, posts[0])
    # It stood for five hours, so somebody may have begun with it just now.
    second = served.fresh("hot", limit=2)
    assert second.posts == [posts[0], posts[5]]
    served.pass_(2 * 3600 - LONG)
    served.writer.engage(9, posts[1])
    third = served.fresh("hot", limit=2)
    assert third.posts == [posts[1], posts[0]]
    assert served.site.page("python.hot", limit=2, cursor=first.cursor).posts == posts[3:1:-1]
    served.pass_(MINUTE)
    served.writer.engage(9, posts[2])
    fourth = served.fresh("hot", limit=2)
    assert len(generations(served)) == 3
    assert served.site.page("python.hot", cursor=first.cursor).json == {"feed": []}
    assert served.site.page("python.hot", limit=3, cursor=second.cursor).posts == posts[4:1:-1]
    assert fourth.posts == [posts[2], posts[1]]


def test_the_last_order_of_a_feed_is_kept_however_old(served: Ranked) -> None:
    posts = [served.writer.post(n, tags=["rust"]) for n in range(3)][::-1]
    served.pass_(LONG)
    reply = served.site.page("rust.hot", limit=2)
    for n in range(3):
        served.writer.post(n)
        served.pass_(3 * 3600)
        served.site.page("python.hot")
    assert len(generations(served)) == 2 + 1
    assert served.site.page("rust.hot", cursor=reply.cursor).posts == posts[2:]


def test_a_restored_backup_does_not_give_an_old_cursor_a_new_order(served: Ranked) -> None:
    posts = [served.writer.post(n) for n in range(6)]
    first = served.fresh("hot", limit=2)
    served.writer.sql("DELETE FROM generation")
    served.writer.engage(9, posts[0])
    assert served.fresh("hot", limit=2).posts == [posts[0], posts[5]]
    assert served.site.page("python.hot", limit=2, cursor=first.cursor).json == {"feed": []}
