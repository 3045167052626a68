"""Folding of text for comparison: hashtags and words compare equal when people would say they are the same.

Folding is NFKC, then case folding, then NFKC again (case folding may denormalise). Words are runs of letters, their
marks (vowel signs of Indic scripts, points of Hebrew and Arabic), digits and underscores; scripts that are written
without spaces (Han, kana, Thai, Lao, Khmer, Burmese) yield one word per character, so that a keyword in them is found
as a phrase.
"""

import re
import unicodedata

import regex

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
_UNSPACED += "\uf900-\ufaff\U00020000-\U0003ffff"
# `\w` of the standard library leaves marks out, and words that differ in a vowel sign alone would be the same.
_WORD = regex.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)

# Variation selectors, zero-width characters and marks of direction are invisible: people cannot mean them.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def fold(text: str) -> str:
    """The form of `text` in which two spellings that mean the same are equal."""
    if text.isascii():
        return text.lower()
    once = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", once)


def fold_tag(tag: str) -> str:
    """A hashtag without its leading `#` (also the full-width one), folded; empty when nothing is left."""
    return fold(tag).strip().lstrip("#").strip()


def words(text: str) -> list[str]:
    """The folded words of `text`, in order."""
    folded = fold(text)
    found: list[str] = (_ASCII_WORD if folded.isascii() else _WORD).findall(folded)
    return found
