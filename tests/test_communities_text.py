"""Words are the same whichever of the expressions finds them."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from communities import text
from communities.text import fold, words


def test_plain_letters_and_signs_make_the_same_words_for_both_engines() -> None:
    differing = []
    for number in range(sys.maxunicode + 1):
        around = fold(f"a{chr(number)}b {chr(number)}")
        if text._PLAIN.fullmatch(around) and text._PLAIN_WORD.findall(around) != text._WORD.findall(around):
            differing.append(hex(number))
    assert differing == []


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_words_do_not_depend_on_the_engine(said: str) -> None:
    assert words(said) == text._WORD.findall(fold(said))


def test_common_scripts_are_plain_and_marks_are_not() -> None:
    plain = ("Übung größer", "今日はいい天気", "오늘 날씨", "Привет, мир", "γειά σου", "so good 🎉 — “really”…")
    assert all(text._PLAIN.fullmatch(fold(said)) for said in plain)
    assert not text._PLAIN.fullmatch(fold("हिन्दी"))
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
