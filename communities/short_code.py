"""Why a post is in a community in at most 200 bytes, for `feedContext` of a feed's items. Pure.

    h:python;k:free software;p          selected by a hashtag and a phrase, and it waits for approval

Parts stand between semicolons. `h:` a hashtag, `k:` a word or phrase, `m:` a mention (the DID), `a:` an account of the
rules (its DID), `l:` a list (at-uri); `j` its author has joined, `s` it was submitted, `y` a moderator let it in; then
the state, `p` waits for approval, `r` removed, `b` its author is banned, and nothing where it is shown. `+` at the end:
there is more than fits. In values `%`, `;`, quotes, backslashes and control characters are written as `%25`, so that
a code stands in JSON as it is. `read_short_code` is the inverse.

What clients send back of it proves nothing: anybody can write it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from communities.admission import BANNED, BY_HAND, PENDING, REMOVED
from communities.matching import JOINED, SUBMITTED

MOST_BYTES = 200
_LONGEST_KEPT = 500
"""Characters of evidence whose code is remembered."""
_KINDS = {"hashtag": "h", "keyword": "k", "mention": "m", "member": "a", "list": "l"}
_WORDS = {JOINED: "j", SUBMITTED: "s", BY_HAND: "y"}
_STATES = {PENDING: "p", REMOVED: "r", BANNED: "b"}
_ESCAPED = re.compile(r'[%;"\\\x00-\x1f]')
_READ_ESCAPED = re.compile(r"%([0-9A-F]{2})")
_READ_KINDS = {letter: kind for kind, letter in _KINDS.items()}
_READ_WORDS = {letter: word for word, letter in _WORDS.items()}
_READ_STATES = {letter: bit for bit, letter in _STATES.items()}


class Told(NamedTuple):
    """What a short code says. `hidden`: bits as of a feed item; `whole`: whether it holds all evidences."""

    evidences: tuple[str, ...]
    hidden: int
    whole: bool


def short_code(evidences: Iterable[str], hidden: int = 0) -> str:
    """The code of a feed item. Evidences of a kind that has no letter are left out, as what does not fit is."""
    known = list(dict.fromkeys(evidences))
    told = [part for part in map(_part, known) if part is not None]
    states = [letter for bit, letter in _STATES.items() if hidden & bit]
    whole = len(told) == len(known)
    if not whole or len(";".join((*told, *states)).encode()) > MOST_BYTES:
        kept: list[str] = []
        for part in told:
            if len(";".join((*kept, part, *states, "+")).encode()) <= MOST_BYTES:
                kept.append(part)
        told = [*kept, *states, "+"]
    else:
        told += states
    return ";".join(told)


def code_of(evidence: str) -> str:
    """The code of an item that is shown, kept with it. `evidence`: as it is stored, one reason a line."""
    # Whose hundred lists select every post of theirs must not fill the memory with reasons.
    return _usual_code(evidence) if len(evidence) <= _LONGEST_KEPT else _code(evidence)


def _code(evidence: str) -> str:
    return short_code(filter(None, evidence.split("\n")))


_usual_code = lru_cache(10_000)(_code)


def read_short_code(code: str) -> Told:
    """What `short_code` was given, as far as it fitted. Raises ValueError for anything that it does not write."""
    evidences: list[str] = []
    hidden, whole = 0, True
    for part in code.split(";") if code else ():
        kind, colon, value = part.partition(":")
        if colon and kind in _READ_KINDS:
            value = _READ_ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)
            evidences.append(f"{_READ_KINDS[kind]}:{value}")
        elif part in _READ_WORDS:
            evidences.append(_READ_WORDS[part])
        elif part in _READ_STATES:
            hidden |= _READ_STATES[part]
        elif part == "+":
            whole = False
        else:
            raise ValueError(f"{part!r} is no part of a short code")
    told = Told(tuple(evidences), hidden, whole)
    if len(code.encode()) > MOST_BYTES or _again(told) != code:
        raise ValueError("it is not written as short codes are")
    return told


def _again(told: Told) -> str:
    code = short_code(told.evidences, told.hidden)
    return code if told.whole else f"{code};+".removeprefix(";")


def _part(evidence: str) -> str | None:
    if evidence in _WORDS:
        return _WORDS[evidence]
    kind, colon, value = evidence.partition(":")
    letter = _KINDS.get(kind)
    if not colon or not letter:
        return None
    return f"{letter}:" + _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", value)
