"""Which communities a post belongs to, and why.

One inverted index (tag, word, mentioned DID, author -> communities) is compiled per revision of the rules. A post that
belongs nowhere costs a few dictionary look-ups, however many communities there are: the index is only ever asked for
what the post itself holds, never the other way round.

Order of evaluation: opt-outs of the author, selectors (any of them admits), requirements, exclusions. An exclusion
always wins over a selector.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from communities.community import BY_TAG, Community
from communities.post import Post
from communities.text import fold_tag, words

OPT_OUT_TAGS = frozenset(("nofeed", "private"))
"""Tags with which an author keeps a post out of every community feed."""

JOINED, SUBMITTED = "joined", "submission"
"""Evidences: its author is a member of a community that takes in all that members post; its author submitted it."""

UNDECLARED = "undeclared"
"""The language of a post that declares none."""


@dataclass(frozen=True, slots=True)
class Match:
    """A community that a post belongs to, with every evidence for it, such as `hashtag:python`."""

    community: int
    evidences: tuple[str, ...]


Joins = tuple[int, bool]
"""A community whose tag a post carries: whether it is the tag with which people join, or the one with which they leave.
"""
JOIN_TAG, LEAVE_TAG = "add", "remove"
"""What stands before the slug in the tags with which people join and leave communities that allow it."""


@dataclass(slots=True)
class _Rule:
    community: int
    exclude_tags: frozenset[str]
    exclude_replies: bool
    exclude_langs: frozenset[str]
    exclude_media: frozenset[str]
    exclude_domains: tuple[str, ...]
    exclude_dids: frozenset[str]
    require_langs: frozenset[str]
    require_media: frozenset[str]
    max_hashtags: int


@dataclass(slots=True)
class Matcher:
    """The compiled index. Build it with `compile_rules`."""

    rules: dict[int, _Rule] = field(default_factory=dict)
    tags: dict[str, tuple[int, ...]] = field(default_factory=dict)
    mentions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    authors: dict[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    phrases: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By the words of the phrase with a space between each."""
    openings: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The lengths, in words, of the phrases that begin with a word: however many do, each length is tried once."""
    lists: dict[str, tuple[int, ...]] = field(default_factory=dict)
    joins: dict[str, Joins] = field(default_factory=dict)

    def add_member(self, community: int, did: str) -> None:
        """Let every post of `did` belong to `community` at once, without compiling anew."""
        known = self.authors.get(did, ())
        if (entry := (community, JOINED)) not in known:
            self.authors[did] = (*known, entry)

    def joined_by(self, post: Post) -> tuple[Joins, ...]:
        """The communities that the author of a post joins or leaves by its tags."""
        if self.joins.keys().isdisjoint(post.tags):
            return ()
        return tuple(self.joins[tag] for tag in sorted(post.tags) if tag in self.joins)

    def add_list_member(self, uri: str, did: str) -> None:
        """Let `did` be a member of the list `uri` at once, without compiling anew."""
        known = self.authors.get(did, ())
        added = ((community, "list:" + uri) for community in self.lists.get(uri, ()))
        self.authors[did] = known + tuple(entry for entry in added if entry not in known)

    def match(self, did: str, post: Post) -> list[Match]:
        """The communities that `post` of author `did` belongs to, in order of their ids."""
        found = self._selected(did, post)
        if not found or not OPT_OUT_TAGS.isdisjoint(post.tags):
            return []
        return [
            Match(community, tuple(evidences))
            for community, evidences in sorted(found.items())
            if refusal(self.rules[community], did, post) is None
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


def refusal(rule: _Rule, did: str, post: Post) -> str | None:
    """Why `rule` refuses a post that one of its selectors matched, in words for people, or None."""
    if did in rule.exclude_dids:
        return "its author is excluded (exclude.dids)"
    if not rule.exclude_tags.isdisjoint(post.tags):
        return f"it carries #{min(rule.exclude_tags & post.tags)} (exclude.hashtags)"
    if rule.exclude_replies and post.parent is not None:
        return "it is a reply (exclude.replies)"
    if rule.max_hashtags and len(post.tags) > rule.max_hashtags:
        return f"it has {len(post.tags)} hashtags, more than {rule.max_hashtags} (exclude.hashtags_over)"
    if rule.exclude_langs or rule.require_langs:
        langs = post.langs or frozenset((UNDECLARED,))
        if not rule.exclude_langs.isdisjoint(langs):
            return f"its language is {min(rule.exclude_langs & langs)} (exclude.languages)"
        if rule.require_langs and rule.require_langs.isdisjoint(langs):
            return f"its language is {', '.join(sorted(langs))} (require.languages)"
    if not rule.exclude_media.isdisjoint(post.media):
        return f"it has a {min(rule.exclude_media & post.media)} (exclude.media)"
    if rule.require_media and rule.require_media.isdisjoint(post.media):
        return f"it has no {' or '.join(sorted(rule.require_media))} (require.media)"
    hosts = post.domains if rule.exclude_domains else frozenset()
    if hosts is None:
        return "it has more links in other letters than ASCII than can be looked at (exclude.domains)"
    for host in hosts:
        for domain in rule.exclude_domains:
            if host == domain or host.endswith("." + domain):
                return f"it links to {domain} (exclude.domains)"
    return None


def _rule(number: int, community: Community) -> _Rule:
    exclude, require = community.exclude, community.require
    return _Rule(
        community=number,
        exclude_tags=frozenset(map(fold_tag, exclude.hashtags)),
        exclude_replies=exclude.replies,
        exclude_langs=frozenset(exclude.languages),
        exclude_media=frozenset(exclude.media),
        exclude_domains=exclude.domains,
        exclude_dids=frozenset(exclude.dids),
        require_langs=frozenset(require.languages),
        require_media=frozenset(require.media),
        max_hashtags=exclude.hashtags_over,
    )


def compile_rules(
    communities: Iterable[tuple[int, Community]],
    lists: Mapping[str, Iterable[str]],
    members: Mapping[int, Iterable[str]] | None = None,
) -> Matcher:
    """Compile (id, community) pairs; `lists` gives the member DIDs of each `app.bsky.graph.list` URI that is known,
    `members` those of each community that shows all posts of its members.
    """
    joins: dict[str, Joins] = {}
    tags: dict[str, list[int]] = {}
    mentions: dict[str, list[int]] = {}
    authors: dict[str, list[tuple[int, str]]] = {}
    phrases: dict[str, list[int]] = {}
    openings: dict[str, set[int]] = {}
    named: dict[str, list[int]] = {}
    rules: dict[int, _Rule] = {}
    for number, community in communities:
        rules[number] = _rule(number, community)
        for tag in dict.fromkeys(map(fold_tag, community.include.hashtags)):
            tags.setdefault(tag, []).append(number)
        # Whoever mentions the community's own account submits the post.
        own = (community.account,) if community.account else ()
        for did in dict.fromkeys((*community.include.mentions, *own)):
            mentions.setdefault(did, []).append(number)
        for did in dict.fromkeys(community.include.members):
            authors.setdefault(did, []).append((number, "member:" + did))
        for uri in dict.fromkeys(community.include.lists):
            named.setdefault(uri, []).append(number)
            for did in lists.get(uri, ()):
                authors.setdefault(did, []).append((number, "list:" + uri))
        for did in (members or {}).get(number, ()) if community.include.joined else ():
            authors.setdefault(did, []).append((number, JOINED))
        if BY_TAG in community.join_by:
            joins[fold_tag(JOIN_TAG + community.slug)] = (number, True)
            joins[fold_tag(LEAVE_TAG + community.slug)] = (number, False)
        for phrase in dict.fromkeys(tuple(words(keyword)) for keyword in community.include.keywords):
            phrases.setdefault(" ".join(phrase), []).append(number)
            openings.setdefault(phrase[0], set()).add(len(phrase))
    return Matcher(
        rules=rules,
        tags={key: tuple(value) for key, value in tags.items()},
        mentions={key: tuple(value) for key, value in mentions.items()},
        authors={key: tuple(value) for key, value in authors.items()},
        phrases={key: tuple(value) for key, value in phrases.items()},
        openings={key: tuple(sorted(value)) for key, value in openings.items()},
        lists={key: tuple(value) for key, value in named.items()},
        joins=joins,
    )
