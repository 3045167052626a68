"""tools.ozone.set.querySets and getValues: every order, page by page, whatever is written meanwhile."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ozone.roles import Role
from tests.label_scene import LABELER, OTHER
from tests.ozone_sets import ADD, DELETE, QUERY, TAKE, VALUES, fill, names, put
from tests.ozone_site import Desk, desk, unlimited


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site with the set `words`, which nothing changes; the writes of its admin are not bounded."""
    with unlimited(tmp_path_factory.mktemp("sets")) as found:
        put(found, found.staff(), "words", "a", "b")
        yield found


def test_lists_of_sets_by_name_by_time_and_by_prefix(place: Desk) -> None:
    admin, clock = place.staff(), place.place.clock
    for name in ("spam.b", "spam.a", "spamx", "Spam", "%am"):
        put(place, admin, name)
        clock.now += 1
    assert place.act(ADD, admin, {"name": "spam.a", "values": ["v"]}).status == 200
    orders = {
        "name": ["%am", "Spam", "spam.a", "spam.b", "spamx"],
        "createdAt": ["spam.b", "spam.a", "spamx", "Spam", "%am"],
        "updatedAt": ["spam.b", "spamx", "Spam", "%am", "spam.a"],
    }
    assert names(place, admin) == names(place, admin, sortDirection="asc") == orders["name"]
    for (order, expected), limit in itertools.product(orders.items(), (1, 2, 100)):
        for way, whole in (("asc", expected), ("desc", expected[::-1])):
            paged = [*place.every(QUERY, admin, limit, sortBy=order, sortDirection=way)]
            assert [one["name"] for page in paged for one in page] == whole
            some = [*place.every(QUERY, admin, limit, sortBy=order, sortDirection=way, namePrefix="spam")]
            assert [one["name"] for page in some for one in page] == [n for n in whole if n.startswith("spam")]
    assert names(place, admin, namePrefix="spam.") == ["spam.a", "spam.b"]
    assert names(place, admin, namePrefix="_") == names(place, admin, namePrefix="SPAM") == []
    assert names(place, admin, namePrefix="%") == ["%am"]
    assert names(place, admin, namePrefix="") == orders["name"]


def test_sets_of_one_time_go_by_name(place: Desk) -> None:
    admin, made = place.staff(), ["a.1", "a.2", "a.3", "a.4"]
    for name in reversed(made):
        put(place, admin, name)
    for order, (way, expected) in itertools.product(("createdAt", "updatedAt"), (("asc", made), ("desc", made[::-1]))):
        pages = place.every(QUERY, admin, 1, sortBy=order, sortDirection=way)
        assert [one["name"] for page in pages for one in page] == expected


@pytest.mark.parametrize("order", ["name", "createdAt", "updatedAt"])
@pytest.mark.parametrize(("limit", "way"), [(1, "asc"), (3, "desc"), (100, "asc")])
def test_paging_sets_gives_what_stays_once_whatever_is_written_meanwhile(
    place: Desk, order: str, limit: int, way: str
) -> None:
    admin = place.staff()
    stay, go = [f"set.stays{n:02}" for n in range(12)], [f"set.goes{n:02}" for n in range(12)]
    fill(place, *stay, *go)
    seen: list[str] = []
    pages = place.every(QUERY, admin, limit, sortBy=order, sortDirection=way)
    for page, meanwhile in itertools.zip_longest(pages, range(10)):
        seen += [one["name"] for one in page or ()]
        if meanwhile is not None:
            fill(place, f"set.new{meanwhile}", f"set.zzz{meanwhile}")
            place.place.writer.sql("DELETE FROM value_set WHERE name = ?", go.pop())
    assert len(seen) == len(set(seen)) and seen == sorted(seen, reverse=way == "desc") and set(stay) <= set(seen)


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_paging_values_gives_what_stays_once_whatever_is_written_meanwhile(place: Desk, limit: int) -> None:
    admin, other = place.staff(), place.member(Role.MODERATOR)
    stay, go = [f"stays{n:02}" for n in range(12)], [f"goes{n:02}" for n in range(12)]
    put(place, admin, "words", *(value for pair in zip(stay, go, strict=True) for value in pair))
    seen: list[str] = []
    for page, meanwhile in itertools.zip_longest(place.every(VALUES, admin, limit, name="words"), range(10)):
        seen += page or ()
        if meanwhile is not None:
            assert place.act(ADD, other, {"name": "words", "values": [f"new{meanwhile}", stay[0]]}).status == 200
            assert place.act(TAKE, other, {"name": "words", "values": [go.pop()]}).status == 200
    assert len(seen) == len(set(seen)) and [value for value in seen if value in stay] == stay


def test_s51_a_cursor_is_for_its_list(place: Desk) -> None:
    admin = place.staff()
    for aud in (LABELER, OTHER):
        for name in ("words", "other"):
            put(place, admin, name, "a", "b", aud=aud)
    sets, inside = place.ask(QUERY, admin, limit=1).cursor, place.ask(VALUES, admin, name="words", limit=1).cursor
    assert sets and inside
    assert names(place, admin, cursor=sets) == ["words"]
    assert place.ask(VALUES, admin, name="words", cursor=inside).json["values"] == ["b"]
    broken = ("", "x", sets[:-1], sets + "00", inside)
    faults = [place.ask(QUERY, admin, cursor=one) for one in broken]
    faults += [place.ask(VALUES, admin, name="words", cursor=one) for one in (*broken[:4], inside.upper(), sets)]
    faults += [
        place.ask(QUERY, admin, cursor=sets, **other)
        for other in ({"sortBy": "createdAt"}, {"sortDirection": "desc"}, {"namePrefix": "w"}, {"aud": OTHER})
    ]
    faults += [place.ask(VALUES, admin, cursor=inside, name="other")]
    faults += [place.ask(VALUES, admin, cursor=inside, name="words", aud=OTHER)]
    assert {reply.fault for reply in faults} == {(400, "InvalidCursor")}
    assert place.act(DELETE, admin, {"name": "words"}).status == 200
    put(place, admin, "words", "a", "b")
    assert place.ask(VALUES, admin, name="words", cursor=inside).fault == (400, "InvalidCursor"), "it is another set"


@pytest.mark.parametrize(
    ("method", "query"),
    [
        *((QUERY, query) for query in ("limit=0", "limit=101", "sortBy=", "sortBy=size", "sortBy=Name")),
        *((QUERY, query) for query in ("sortDirection=up", "sortDirection=DESC", "namePrefix=%FF", "namePrefix=%00")),
        *((QUERY, query) for query in ("namePrefix=" + "a" * 129, "sortBy=name&sortBy=name", "cursor=" + "a" * 2000)),
        *((VALUES, query) for query in ("", "limit=1", "name=%00", "name=words&limit=0", "name=words&limit=1001")),
        *((VALUES, query) for query in ("name=words&name=words", "name=" + "a" * 129, "name=words&cursor=%FF")),
    ],
)
def test_questions_that_are_none(shared: Desk, method: str, query: str) -> None:
    sent = f"Bearer {shared.token(shared.staff(), method)}"
    assert shared.place.site.ask(query, sent, method=f"tools.ozone.{method}").fault == (400, "InvalidRequest")
