"""Which communities a post belongs to, and why.

One inverted index (tag, word, mentioned DID, author -> communities) is kept for all rules. A post that belongs nowhere
costs a few dictionary look-ups, however many communities there are: the index is only ever asked for what the post
itself holds, never the other way round. A community is put in and taken out alone, at the cost of what it names.

Order of evaluation: opt-outs of the author, selectors (any of them admits), requirements, exclusions. An exclusion
always wins over a selector.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from communities.commands import addressed
from communities.community import Community, Include
from communities.post import Post
from communities.rule import Rule, refusal, rule_of
from communities.text import fold_tag, words

OPT_OUT_TAGS = frozenset(("nofeed", "private"))
"""Tags with which an author keeps a post out of every community feed."""

JOINED, SUBMITTED = "joined", "submission"
"""Evidences: its author is a member of a community that takes in all that members post; its author submitted it."""


@dataclass(frozen=True, slots=True)
class Match:
    """A community that a post belongs to, with every evidence for it, such as `hashtag:python`."""

    community: int
    evidences: tuple[str, ...]


Joins = tuple[int, bool]
"""A community whose tag a post carries: whether it is the tag with which people join, or the one with which they leave.
"""


Author = tuple[int, str]
"""A community that every post of an account belongs to, and the evidence for it."""
_FEW = 16
"""As many entries of a key as are kept in a tuple, which is small."""


@dataclass(slots=True)
class Matcher:
    """The index. Another thread may match meanwhile: whoever applies what it found holds it against `revision`."""

    rules: dict[int, Rule] = field(default_factory=dict)
    tags: dict[str, Sequence[int]] = field(default_factory=dict)
    mentions: dict[str, Sequence[int]] = field(default_factory=dict)
    authors: dict[str, Sequence[Author]] = field(default_factory=dict)
    phrases: dict[str, Sequence[int]] = field(default_factory=dict)
    """By the words of the phrase with a space between each."""
    openings: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The lengths, in words, of the phrases that begin with a word: however many do, each length is tried once."""
    lists: dict[str, Sequence[int]] = field(default_factory=dict)
    listed: dict[str, set[str]] = field(default_factory=dict)
    """The members of each list that is known."""
    believed: set[str] = field(default_factory=set)
    """Whom `add_list_member` has added, until somebody has taken notice and empties it."""
    joins: dict[str, Joins] = field(default_factory=dict)
    calls: dict[str, Sequence[int]] = field(default_factory=dict)
    """By account the communities to which moderators give commands by mentioning it."""
    revision: int = 0
    """Rises whenever less may match than before, or another community: what was matched before is matched anew."""
    _openings: dict[tuple[str, int], int] = field(default_factory=dict, repr=False)
    """How many phrases begin with a word and are so long."""

    def put(self, number: int, rule: Rule, members: Iterable[str] = ()) -> None:
        """Put in a community that is not in. `members`: of one that shows all posts of its members."""
        self.rules[number] = rule
        include = rule.include
        for phrase in include.keywords:
            self._open(tuple(words(phrase)), number)
        for index, keys in self._indexes(include):
            for key in keys:
                _add(index, key, number)
        for did in dict.fromkeys(include.members):
            _add(self.authors, did, (number, "member:" + did))
        for uri in dict.fromkeys(include.lists):
            entry = (number, "list:" + uri)
            for did in self.listed.get(uri, ()):
                _add(self.authors, did, entry)
        if include.joined:
            mine = ((number, JOINED),)  # one for all of them: they may be very many
            for did in members:
                if self.authors.setdefault(did, mine) is not mine:
                    self.add_member(number, did)
        for tag, joins in zip(rule.joins, (True, False), strict=False):
            self.joins[tag] = (number, joins)
        if rule.calls:
            _add(self.calls, rule.calls, number)
        self.revision += 1

    def take_out(self, number: int, members: Iterable[str] = ()) -> None:
        """Take out a community, if it is in. `members`: whoever may be in as a member of it."""
        rule = self.rules.pop(number, None)
        if rule is None:
            return
        include = rule.include
        for index, keys in self._indexes(include):
            for key in keys:
                _drop(index, key, number)
        for did in (*include.members, *(did for uri in include.lists for did in self.listed.get(uri, ())), *members):
            self._part(did, number)
        for tag in rule.joins:
            if self.joins.get(tag, (number,))[0] == number:
                self.joins.pop(tag, None)
        if rule.calls:
            _drop(self.calls, rule.calls, number)
        for phrase in include.keywords:
            self._close(tuple(words(phrase)), number)
        self.revision += 1

    def exchange(self, number: int, rule: Rule) -> None:
        """Let a community that is in have other rules, with the same selectors."""
        self.rules[number] = rule
        self.revision += 1

    def _indexes(self, include: Include) -> tuple[tuple[dict[str, Sequence[int]], Iterable[str]], ...]:
        """Where a community stands, and under what."""
        return (
            (self.tags, dict.fromkeys(map(fold_tag, include.hashtags))),
            (self.mentions, dict.fromkeys(include.mentions)),
            (self.lists, dict.fromkeys(include.lists)),
        )

    def _open(self, phrase: tuple[str, ...], number: int) -> None:
        """Let a phrase be looked for."""
        text, opening = " ".join(phrase), (phrase[0], len(phrase))
        if text not in self.phrases:
            self._openings[opening] = self._openings.get(opening, 0) + 1
            if self._openings[opening] == 1:
                self.openings[phrase[0]] = tuple(sorted((*self.openings.get(phrase[0], ()), len(phrase))))
        if number not in self.phrases.get(text, ()):
            _add(self.phrases, text, number)

    def _close(self, phrase: tuple[str, ...], number: int) -> None:
        """A phrase is no longer looked for on behalf of this community."""
        text, opening = " ".join(phrase), (phrase[0], len(phrase))
        if text not in self.phrases:
            return
        _drop(self.phrases, text, number)
        if text not in self.phrases:
            self._openings[opening] -= 1
            if not self._openings[opening]:
                del self._openings[opening]
                _drop(self.openings, phrase[0], len(phrase))

    def add_member(self, community: int, did: str) -> None:
        """Let every post of `did` belong to `community`."""
        if (entry := (community, JOINED)) not in self.authors.get(did, ()):
            _add(self.authors, did, entry)

    def remove_member(self, community: int, did: str) -> None:
        """Let the posts of `did` no longer belong to `community` because it is a member."""
        _drop(self.authors, did, (community, JOINED))
        self.revision += 1

    def add_list_member(self, uri: str, did: str) -> None:
        """Let `did` be a member of the list `uri`."""
        if uri in self.lists and did not in self.listed.setdefault(uri, set()):
            self.listed[uri].add(did)
            self.believed.add(did)
            for community in self.lists.get(uri, ()):
                _add(self.authors, did, (community, "list:" + uri))

    def set_list(self, uri: str, members: Iterable[str] | None) -> set[str]:
        """Let exactly these be the members of the list `uri` (None: nothing is known of it); returns who came or
        went.
        """
        before, after = self.listed.get(uri, set()), set(members or ())
        for community in self.lists.get(uri, ()):
            entry = (community, "list:" + uri)
            for did in before - after:
                _drop(self.authors, did, entry)
            for did in after - before:
                _add(self.authors, did, entry)
        if members is None:
            self.listed.pop(uri, None)
        else:
            self.listed[uri] = after
        if before != after:
            self.revision += 1
        return before ^ after

    def _part(self, did: str, community: int) -> None:
        left = tuple(entry for entry in self.authors.get(did, ()) if entry[0] != community)
        if left:
            self.authors[did] = left
        else:
            self.authors.pop(did, None)

    def joined_by(self, post: Post) -> tuple[Joins, ...]:
        """The communities that the author of a post joins or leaves by its tags."""
        return tuple(joins for tag in sorted(post.tags) if (joins := self.joins.get(tag)))

    def called_by(self, post: Post) -> tuple[int, ...]:
        """The communities to whose account a post is addressed, if they take commands there."""
        found = (self.calls[did] for did in post.mentions & self.calls.keys() if addressed(post, did))
        return tuple(sorted(number for numbers in found for number in numbers))

    def match(self, did: str, post: Post) -> list[Match]:
        """The communities that `post` of author `did` belongs to, in order of their ids."""
        found = self._selected(did, post)
        if not found or not OPT_OUT_TAGS.isdisjoint(post.tags):
            return []
        return [
            Match(community, tuple(evidences))
            for community, evidences in sorted(found.items())
            if (rule := self.rules.get(community)) is not None and refusal(rule, did, post) is None
        ]

    def _selected(self, did: str, post: Post) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for tag in post.tags:
            for community in self.tags.get(tag, ()):
                found.setdefault(community, []).append("hashtag:" + tag)
        for mentioned in post.mentions:
            for community in self.mentions.get(mentioned, ()):
                found.setdefault(community, []).append("mention:" + mentioned)
        for community, evidence in self.authors.get(did, ()):
            found.setdefault(community, []).append(evidence)
        if self.openings:
            said = post.words()
            if not self.openings.keys().isdisjoint(said):
                self._read_phrases(said, found)
        return found

    def _read_phrases(self, said: list[str], found: dict[int, list[str]]) -> None:
        for position, word in enumerate(said):
            for length in self.openings.get(word, ()):
                phrase = " ".join(said[position : position + length])
                for community in self.phrases.get(phrase, ()):
                    evidence = "keyword:" + phrase
                    known = found.setdefault(community, [])
                    if evidence not in known:
                        known.append(evidence)

    def explain(self, did: str, post: Post) -> dict[int, tuple[tuple[str, ...], str | None]]:
        """For each community of which a selector matched: its evidences, and why it refuses the post (None:
        admitted).
        """
        opted_out = sorted(OPT_OUT_TAGS & post.tags)
        return {
            community: (
                tuple(evidences),
                f"the author opted out with #{opted_out[0]}"
                if opted_out
                else refusal(self.rules[community], did, post),
            )
            for community, evidences in sorted(self._selected(did, post).items())
        }


def _add(index: dict[str, Any], key: str, entry: int | Author) -> None:
    """Put an entry under a key, where it belongs by its community."""
    known = index.get(key, ())
    if len(known) > _FEW:
        # Anybody may name the same as ten thousand others, and each copy of those would take long.
        if type(known) is tuple:
            index[key] = known = list(known)
        insort(known, entry, key=_number)
    elif not known or _number(known[-1]) <= _number(entry):
        index[key] = (*known, entry)
    else:
        index[key] = tuple(sorted((*known, entry), key=_number))


def _drop(index: dict[str, Any], key: str, entry: int | Author) -> None:
    """Take an entry from under a key, if it is there."""
    known = index.get(key, ())
    if entry in known:
        if left := tuple(one for one in known if one != entry):
            index[key] = left
        else:
            del index[key]


def _number(entry: int | Author) -> int:
    return entry if isinstance(entry, int) else entry[0]


def compile_rules(
    communities: Iterable[tuple[int, Community]],
    lists: Mapping[str, Iterable[str]],
    members: Mapping[int, Iterable[str]] | None = None,
) -> Matcher:
    """The index of (id, community) pairs; `lists` gives the member DIDs of each `app.bsky.graph.list` URI that is
    known, `members` those of each community that shows all posts of its members.
    """
    matcher = Matcher(listed={uri: set(dids) for uri, dids in lists.items()})
    for number, community in communities:
        matcher.put(number, rule_of(community), (members or {}).get(number, ()))
    return matcher
