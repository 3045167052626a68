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
# The standard library is three times as fast, and in these letters and signs both mean the same.
_PLAIN = re.compile(
    "[\0-\xb1\xb4-\xb8\xba\xbb\xbf-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u203e\u20a0-\u20cf\u2190-\u23ff\u2600-\u2775"
    "\u3000-\u3029\u3030-\u3096\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff]*"
)
_PLAIN_WORD = re.compile(_WORD.pattern)
_ASCII_GAPS = bytes(byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else ord(" ") for byte in range(256))

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
    if folded.isascii():
        return folded.encode().translate(_ASCII_GAPS).decode().split()
    found: list[str] = (_PLAIN_WORD if _PLAIN.fullmatch(folded) else _WORD).findall(folded)
    return found
