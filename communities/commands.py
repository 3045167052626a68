"""Commands that moderators write in posts, to the community's own account: what a post commands, and of what. Pure.

    @birds.example.com remove Birds only This is about planes.
    @birds.example.com ban 7d Again and again.

The post begins with the mention of the account, and answers or quotes the post that is meant. Whether its author may
command that is decided where it is done; whatever is not understood is refused by name, with a sentence for people.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from communities.access import Action
from communities.membership import RefusedError
from communities.post import MAX_FACETS, Post, is_boundary

MINUTE = 60_000_000
RECENT = 10 * MINUTE
"""Microseconds for which a command counts, from the moment that its author wrote it: nothing older is ever done."""
MOST_VALUES = 20
"""Labels that one command names, as many as one call of social.communities.label."""
_MENTION = "app.bsky.richtext.facet#mention"
_UNITS = {"h": 60 * MINUTE, "d": 24 * 60 * MINUTE, "w": 7 * 24 * 60 * MINUTE}
_TIME = re.compile(r"([0-9]{1,4})([hdw])", re.IGNORECASE)
_INVISIBLE = str.maketrans(dict.fromkeys("\0\u200b\u200e\u200f\u2060\ufeff", " "))
"""What no one sees between words, and clients put there."""
_AROUND = " \t\r\n.,:;-\N{EN DASH}\N{EM DASH}\"'"

_BEHIND = ",:;\N{EN DASH}\N{EM DASH}"
"""What may follow on a mention at once; a dot or hyphen would be part of the handle."""


class Word(StrEnum):
    """What can be commanded."""

    REMOVE = "remove"
    RESTORE = "restore"
    APPROVE = "approve"
    BAN = "ban"
    UNBAN = "unban"
    LABEL = "label"
    UNLABEL = "unlabel"
    PIN = "pin"
    UNPIN = "unpin"


LABELS = frozenset((Word.LABEL, Word.UNLABEL))
"""What is said by the community's labeler; every other word is a decision of that name."""
_BY_RULE = frozenset((Word.REMOVE, Word.BAN))


class Target(NamedTuple):
    """The post that is meant, by its at-uri, and its version (cid as text) as whoever answers or quotes it saw it."""

    uri: str
    cid: str


@dataclass(frozen=True, slots=True)
class Command:
    """What is commanded. `lasts`: how long a ban does, microseconds, None: for good; `values`: of labels."""

    word: Word
    reason: str = ""
    rule: str | None = None
    lasts: int | None = None
    values: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        """The decision that it is, if it is none of LABELS."""
        return Action(self.word.value)


def addressed(post: Post, account: str) -> str | None:
    """What stands behind the mention of an account with which a post begins; None: it does not begin with one."""
    if account not in post.mentions:
        return None
    data = post.text.encode("utf-8", "surrogatepass")
    begins = len(data) - len(data.lstrip())
    ends = max((end for start, end, did in _mentions(post.record) if (start, did) == (begins, account)), default=0)
    # A mention of which only a part is marked is none that anybody has read as one.
    if not begins < ends <= len(data) or data[begins : begins + 1] != b"@" or not is_boundary(data, ends):
        return None
    rest = data[ends:].decode("utf-8", "surrogatepass").translate(_INVISIBLE)
    return rest.strip(_AROUND) if not rest or rest[0].isspace() or rest[0] in _BEHIND else None


def _mentions(record: dict[str, Any]) -> list[tuple[int, int, Any]]:
    """Of each mention the bytes of the text that it is about, and whom it names."""
    found = []
    facets = record.get("facets")
    for facet in facets[:MAX_FACETS] if type(facets) is list else ():
        index, features = (facet.get("index"), facet.get("features")) if type(facet) is dict else (None, None)
        if type(index) is not dict or type(features) is not list:
            continue
        start, end = index.get("byteStart"), index.get("byteEnd")
        if type(start) is int and type(end) is int:
            named = (one for one in features[:8] if type(one) is dict and one.get("$type") == _MENTION)
            found += [(start, end, one.get("did")) for one in named]
    return found


def target_of(post: Post) -> Target | None:
    """The post that a command is about: the one that it answers, or else the one that it quotes."""
    reply, embed = post.record.get("reply"), post.record.get("embed")
    if post.parent is not None and type(reply) is dict:
        return _target(reply.get("parent"))
    if post.quote is None or type(embed) is not dict:
        return None
    quoted = embed.get("record")
    # A quote with pictures has the reference one step deeper.
    return _target(quoted if type(quoted) is dict and "uri" in quoted else quoted and quoted.get("record"))


def _target(ref: Any) -> Target | None:
    uri, cid = (ref.get("uri"), ref.get("cid")) if type(ref) is dict else (None, None)
    return Target(uri, cid) if type(uri) is str and type(cid) is str and len(cid) <= 256 else None


def is_command(post: Post, account: str, taken: Collection[str]) -> bool:
    """Whether a post is a command to an account that takes these, whoever wrote it: then it is no contribution. What
    answers and quotes nothing cannot be one.
    """
    text = addressed(post, account)
    return bool(text) and _word(str(text)) in taken and target_of(post) is not None


def _word(text: str) -> str:
    return (text.split(maxsplit=1) or [""])[0].strip(_AROUND).casefold()


def read_command(text: str, rules: Collection[str] = ()) -> Command:
    """What is commanded by what stands behind the mention. `rules`: the names of the community's rules.

    Raises RefusedError: UnknownCommand, InvalidCommand.
    """
    said = _word(text)
    if said not in set(Word):
        known = ", ".join(Word)
        raise RefusedError("UnknownCommand", f"{said[:50]!r} is no command: there are {known}.")
    word, rest = Word(said), (text.split(maxsplit=1) + [""])[1].strip()
    if word in LABELS:
        values = tuple(dict.fromkeys(val for part in rest.split() if (val := part.strip(",;").lower())))
        if not 1 <= len(values) <= MOST_VALUES:
            raise RefusedError("InvalidCommand", f"Name 1 to {MOST_VALUES} values behind {word}.")
        return Command(word, values=values)
    lasts, rule = None, None
    if word is Word.BAN:
        lasts, rest = _time(rest)
    if word in _BY_RULE:
        rule, rest = _rule(rest, rules)
    return Command(word, rest, rule, lasts)


def _time(rest: str) -> tuple[int | None, str]:
    """How long a ban lasts, and what stands behind that."""
    first, behind = [*rest.split(maxsplit=1), "", ""][:2]
    first = first.strip(",;:.")
    found = _TIME.fullmatch(first)
    if found and int(found[1]):
        return int(found[1]) * _UNITS[found[2].lower()], behind.strip()
    if first[:1].isdigit():
        # Taken for a reason it would be a ban for good.
        raise RefusedError(
            "InvalidCommand",
            "Write the time of a ban as a number and h, d or w, such as 12h, 7d or 2w; none: for good.",
        )
    return None, rest


def _rule(rest: str, rules: Collection[str]) -> tuple[str | None, str]:
    """The rule with whose name a text begins, in whatever case, and what stands behind it; the longest name counts."""
    plain = rest.lstrip(_AROUND)
    for name in sorted(rules, key=len, reverse=True):
        behind = plain[len(name) :]
        if plain[: len(name)].casefold() == name.casefold() and not behind[:1].isalnum():
            return name, behind.lstrip(_AROUND)
    return None, rest
