"""The short code of an explanation: what it says, what fits, and that it can be read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import communities.short_code as short_code_module
from communities.short_code import MOST_BYTES, Told, code_of, read_short_code, short_code

KINDS = st.sampled_from(["hashtag", "keyword", "mention", "member", "list"])
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
EVIDENCES = st.lists(
    st.one_of(st.builds("{}:{}".format, KINDS, VALUES), st.sampled_from(["joined", "submission", "approved"])),
    max_size=8,
)
HIDDEN = st.sampled_from([0, 2, 4, 8, 12])


@pytest.mark.parametrize(
    ("evidences", "hidden", "code"),
    [
        ((), 0, ""),
        (("hashtag:python",), 2, "h:python;p"),
        (("keyword:free software", "joined", "approved"), 4, "k:free software;j;y;r"),
        (("hashtag:a;b%c", "submission"), 8, "h:a%3Bb%25c;s;b"),
        (("list:at://did:plc:x/app.bsky.graph.list/1", "mention:did:plc:y", "member:did:plc:z"), 0,
         "l:at://did:plc:x/app.bsky.graph.list/1;m:did:plc:y;a:did:plc:z"),
        (("keyword:say \"no\\\n\"",), 0, "k:say %22no%5C%0A%22"),
        (("something:new", "hashtag:a"), 0, "h:a;+"),
        (("hashtag:" + "x" * 300, "hashtag:a"), 2, "h:a;p;+"),
        (("hashtag:" + "x" * 300,), 0, "+"),
        (("hashtag:a", "hashtag:a"), 0, "h:a"),
    ],
)  # fmt: skip
def test_what_it_says(evidences: tuple[str, ...], hidden: int, code: str) -> None:
    assert short_code(evidences, hidden) == code
    told = read_short_code(code)
    assert told.hidden == hidden and set(told.evidences) <= set(evidences)


@given(EVIDENCES, HIDDEN)
def test_it_fits_and_can_be_read_back(evidences: list[str], hidden: int) -> None:
    code = short_code(evidences, hidden)
    assert len(code.encode()) <= MOST_BYTES
    assert json.loads(f'"{code}"') == code, "it stands in JSON as it is"
    told = read_short_code(code)
    known = tuple(dict.fromkeys(evidences))
    assert told == Told(known, hidden, whole=True) or (not told.whole and set(told.evidences) < set(known))


@given(EVIDENCES)
def test_the_code_that_is_kept_is_of_the_lines_that_are_kept(evidences: list[str]) -> None:
    kept = "\n".join(evidences)
    assert code_of(kept) == short_code([line for line in kept.split("\n") if line])


def test_the_codes_of_very_many_reasons_are_not_remembered() -> None:
    before = short_code_module._usual_code.cache_info().currsize
    lists = "\n".join(f"list:at://did:plc:a/app.bsky.graph.list/{number}" for number in range(5000))
    assert code_of(lists).endswith(";+") and len(code_of(lists)) <= MOST_BYTES
    assert short_code_module._usual_code.cache_info().currsize == before


@pytest.mark.parametrize("code", ["x", "h", "x:y", "h:a;", ";", "p;h:a", "h:a;h:a", "+;p", "h:%", "h:a" * 80, "p;p"])
def test_anything_else_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_short_code(code)
