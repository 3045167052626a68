"""Searching communities through HTTP, cursors and parameters of lists, and the index of names."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civic import listing
from civic.search import NameIndex, trigrams
from tests.civic_site import NSID, Town, town
from tests.didnet import Account, plc

SORTED = ("recent", "active", "biggest", "newest")


def slugs(place: Town, who: Account | None = None, limit: int = 100, **params: Any) -> list[str]:
    return [one["slug"] for one in place.every("listCommunities", who, limit, **params)]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("named")) as place:
        place.found("birding", name="Birding in Berlin", description="Vögel und Menschen")
        place.found("birds", name="Birds")
        place.found("birdsong", name="Birdsong recordings")
        place.found("cats", name="Cats", description="No birds here.")
        place.found("dogs_and", name="Straßenhunde")
        place.found("nightbirds", name="Nightbirds", kind="hidden")
        place.found("ornithology", name="Ornithologie", description="Die Wissenschaft")
        yield place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("birds", {"birds", "birdsong", "cats"}),
        ("BIRD", {"birding", "birds", "birdsong", "cats"}),
        ("vögel", {"birding"}),
        ("VO\u0308GEL", {"birding"}),
        ("strassenhunde", {"dogs_and"}),
        ("dogs_and", {"dogs_and"}),
        ("birds here", {"cats"}),
        ("here, birds!", {"cats"}),
        ("%", set()),
        ("_", {"dogs_and"}),
        ("' OR 1=1 --", set()),
        ("\u5c0f", set()),
        ("x" * 100, set()),
    ],
)
def test_words_are_found_in_slug_name_and_description(named: Town, text: str, found: set[str]) -> None:
    for sort in SORTED:
        assert set(slugs(named, q=text, sort=sort, limit=2)) == found


def test_the_best_match_comes_first(named: Town) -> None:
    assert slugs(named, q="birds", sort="relevance", limit=1)[:2] == ["birds", "birdsong"]
    assert slugs(named, q="Ornitologie", sort="relevance") == ["ornithology"]  # one letter is missing
    assert slugs(named, q="brids", sort="relevance")[0] == "birds"
    assert slugs(named, q="zzz", sort="relevance") == []
    assert "nightbirds" not in slugs(named, q="nightbirds", sort="relevance")
    assert "nightbirds" in slugs(named, named.member("nightbirds"), q="nightbirds", sort="relevance")


def test_s51_a_cursor_is_of_one_list(named: Town) -> None:
    good = named.ask("listCommunities", limit=1).cursor
    assert good is not None
    for other in ({"sort": "newest"}, {"q": "birds"}, {"parent": "birds"}, {"q": "b", "sort": "relevance"}):
        assert named.ask("listCommunities", cursor=good, **other).fault == (400, "InvalidCursor")
    for bad in (good[:-2], "7f" + good[2:], good.upper(), good + "00", "\u0660", "f" * 64, "0" * 200):
        assert named.ask("listCommunities", cursor=bad).fault in ((400, "InvalidCursor"), (400, "InvalidRequest"))
    members = named.ask("listMembers", community="birds", limit=1)
    assert members.cursor is None  # the owner alone
    assert named.ask("listCommunities", cursor=good, limit=100, sort="recent").status == 200


def test_s48_s53_bad_parameters(named: Town) -> None:
    for query in ("sort=relevance", "sort=best", "q=", f"q={'x' * 101}", f"q={'x' * 1001}", "limit=0", "limit=101",
                  "q=%00", "q=a&q=b", "q=%FF", "parent="):  # fmt: skip
        assert named.site.ask(query, method=f"{NSID}listCommunities").fault == (400, "InvalidRequest"), query
    assert named.ask("listCommunities", parent="nowhere").fault == (400, "CommunityNotFound")
    assert named.ask("getCommunity", community="nowhere").fault == (400, "CommunityNotFound")
    assert named.site.ask("", method=f"{NSID}getCommunity").fault == (400, "InvalidRequest")


def test_a_page_looks_at_so_many_and_no_more(named: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 2)
    first = named.ask("listCommunities", q="vögel", sort="newest")
    assert first.json["communities"] == [] and first.cursor
    assert slugs(named, q="vögel", sort="newest") == ["birding"]
    assert len(slugs(named)) == 8


def test_s37_an_issuer_that_cannot_be_looked_up_is_not_served_as_nobody(named: Town) -> None:
    stranger = Account(plc(4242))
    named.site.net.status = 500
    try:
        assert named.ask("getCommunity", stranger, community="birds").fault == (502, "UpstreamFailure")
        assert named.ask("getCommunity", community="birds").status == 200
    finally:
        named.site.net.status = 200


# The index of names


def test_groups_of_three() -> None:
    """The example of the manual of pg_trgm: show_trgm('word')."""
    assert trigrams("word") == {"  w", " wo", "wor", "ord", "rd "}
    assert trigrams("") == trigrams("!?") == set()


def test_similarity_is_that_of_pg_trgm() -> None:
    """similarity('word', 'two words') = 4 / 11 (4 of the 11 that occur in either occur in both)."""
    assert named_index({1: "two words", 2: "nothing"}).search("word") == [(2_000_000 + 4 * 1_000_000 // 11, 1)]
    assert named_index({1: "wort"}).search("word") == [(3 * 1_000_000 // 7, 1)]
    assert named_index({}).search("word") == []


def named_index(names: dict[int, str]) -> NameIndex:
    index = NameIndex()
    for number, name in names.items():
        index.put(number, name)
    return index


NAMES = st.text("abä ", max_size=8)


@given(st.lists(st.tuples(st.integers(1, 5), st.none() | NAMES), max_size=30), NAMES)
def test_names_that_come_change_and_go_are_found_as_if_the_index_were_new(
    changes: list[tuple[int, str | None]], text: str
) -> None:
    index, names = NameIndex(), dict[int, str]()
    for number, name in changes:
        index.put(number, name)
        names.pop(number, None)
        if name is not None:
            names[number] = name
    anew = named_index(names)
    assert index.search(text) == anew.search(text)
    assert {group: set(numbers) for group, numbers in index._having.items()} == {
        group: set(numbers) for group, numbers in anew._having.items()
    }
