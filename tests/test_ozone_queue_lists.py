"""tools.ozone.queue.listQueues: page by page, all or some."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.civic_reports import OTHER as OTHER_REASON
from tests.civic_reports import SPAM
from tests.label_scene import OTHER
from tests.ozone_queues import ACCOUNTS, ASSIGNMENTS, DELETE, LIST, POST, POSTS, RUDE, UPDATE, make, names
from tests.ozone_site import Desk, desk


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def test_a_list_goes_page_by_page_as_they_were_made(place: Desk) -> None:
    admin = place.staff()
    for name in ("c", "a", "b", "e", "d"):
        make(place, admin, {"name": name})
    make(place, admin, {"name": "other"}, aud=OTHER)
    for limit in (1, 2, 5, 6):
        pages = [[one["name"] for one in page] for page in place.every(LIST, admin, limit)]
        assert list(itertools.chain(*pages)) == ["c", "a", "b", "e", "d"]
    cursor = place.ask(LIST, admin, limit=2).cursor
    for number in (2, 3):
        assert place.act(DELETE, admin, {"queueId": number}).status == 200
    assert names(place, admin, cursor=cursor) == ["e", "d"], "what is gone is skipped, and nothing twice"


def test_s51_a_cursor_is_for_its_list(place: Desk) -> None:
    admin = place.staff()
    for name in ("first", "second"):
        make(place, admin, {"name": name})
    cursor = place.ask(LIST, admin, limit=1).cursor
    for params in ({"enabled": True}, {"subjectType": "account"}, {"collection": POST}, {"reportTypes": [SPAM]}):
        assert place.ask(LIST, admin, cursor=cursor, **params).fault == (400, "InvalidCursor")
    assert place.ask(LIST, admin, cursor=cursor, aud=OTHER).fault == (400, "InvalidCursor")
    assert place.ask(ASSIGNMENTS, admin, cursor=cursor).fault == (400, "InvalidCursor")
    moderator = place.place.moderator("python")
    assert place.ask(LIST, moderator, cursor="00").fault == (400, "InvalidCursor")


FILTERS = [
    ({}, "accounts posts lists hand"),
    ({"enabled": True}, "accounts lists hand"),
    ({"enabled": False}, "posts"),
    ({"subjectType": "record"}, "posts lists"),
    ({"subjectType": "account"}, "accounts lists"),
    ({"subjectType": "message"}, ""),
    ({"collection": POST}, "posts"),
    ({"collection": "x"}, ""),
    ({"reportTypes": [SPAM]}, "accounts posts"),
    ({"reportTypes": [RUDE, OTHER_REASON, RUDE]}, "accounts lists"),
    ({"reportTypes": [SPAM, RUDE], "subjectType": "record", "enabled": True}, "lists"),
]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("four")) as found:
        admin = found.staff()
        make(found, admin, ACCOUNTS, name="accounts")
        make(found, admin, POSTS, name="posts")
        kinds = ["account", "record"]
        make(
            found,
            admin,
            {"name": "lists", "subjectTypes": kinds, "collection": "app.bsky.graph.list", "reportTypes": [RUDE]},
        )
        make(found, admin, {"name": "hand"})
        assert found.act(UPDATE, admin, {"queueId": 2, "enabled": False}).status == 200
        yield found


@pytest.mark.parametrize(("params", "wanted"), FILTERS, ids=str)
def test_a_list_of_some(four: Desk, params: dict[str, Any], wanted: str) -> None:
    admin = four.staff()
    assert names(four, admin, **params) == wanted.split()
    assert [one["name"] for page in four.every(LIST, admin, 1, **params) for one in page] == wanted.split()
