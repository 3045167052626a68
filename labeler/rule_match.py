"""Which automatic rules fit a post, and why. What has to be looked up is asked for only where all else holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from communities.post import Post
from communities.text import words
from labeler.rules import Rule


class AgeWanted(Exception):
    """Whether a rule fits depends on the age of an account, which is not known yet."""


class Case(NamedTuple):
    """A post. `slugs`: of the communities that have it, with their numbers; `at`: when it came to be, microseconds."""

    uri: str
    did: str
    post: Post
    slugs: Mapping[str, int]
    at: int


class Known(Protocol):
    """What can be looked up."""

    def in_list(self, uri: str, did: str) -> bool:
        """Whether an account is in a list."""

    def labels(self, uri: str, did: str) -> Mapping[tuple[str, str], str]:
        """What others say of a post or its author: by source and value the subject."""

    def posts_within(self, did: str, since: int, until: int, most: int) -> int:
        """How many posts of an account there are behind `since` up to `until` (microseconds), counted up to `most`."""

    def created_at(self, did: str) -> int | None:
        """When an account came to be (microseconds); None: nobody knows. Raises AgeWanted."""


class Fit(NamedTuple):
    """A rule that fits, and why."""

    rule: Rule
    why: str


class RuleMatcher:
    """Rules, with one index of their phrases: a post costs a look-up for each of its words, however many there are."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._openings: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for number, rule in enumerate(self.rules):
            for keyword in rule.keywords:
                phrase = tuple(words(keyword))
                self._openings.setdefault(phrase[0], []).append((phrase, number))

    def match(self, case: Case, known: Known) -> tuple[list[Fit], bool]:
        """The rules that fit, and whether any other waits for the age of the author's account."""
        phrases = self._phrases(case.post) if self._openings else {}
        fits, waits = [], False
        for number, rule in enumerate(self.rules):
            if rule.communities and rule.communities.isdisjoint(case.slugs):
                continue
            if not case.slugs or (rule.keywords and number not in phrases):
                continue
            try:
                reasons = _reasons(rule, case, known)
            except AgeWanted:
                waits = True
                continue
            if reasons is not None:
                said = [f"keyword {phrases[number]}"] if rule.keywords else []
                fits.append(Fit(rule, ", ".join((*said, *reasons))))
        return fits, waits

    def _phrases(self, post: Post) -> dict[int, str]:
        """Of each rule a phrase of it that the text has."""
        said = post.words()
        found: dict[int, str] = {}
        for position, word in enumerate(said):
            for phrase, number in self._openings.get(word, ()):
                if number not in found and tuple(said[position : position + len(phrase)]) == phrase:
                    found[number] = " ".join(phrase)
        return found


def _reasons(rule: Rule, case: Case, known: Known) -> list[str] | None:
    """Why the conditions besides keywords hold; None when one does not. Raises AgeWanted."""
    reasons = []
    if rule.domains:
        domain = _linked(rule.domains, case.post.domains or ())
        if domain is None:
            return None
        reasons.append(f"links to {domain}")
    if rule.lists:
        entry = next((one for one in rule.lists if one == case.did or known.in_list(one, case.did)), None)
        if entry is None:
            return None
        reasons.append(f"author in {entry}" if entry != case.did else "author is named")
    if rule.labels:
        said = sorted(rule.labels & known.labels(case.uri, case.did).keys())
        if not said:
            return None
        reasons.append(f"label {said[0][1]} of {said[0][0]}")
    if rule.more_than is not None:
        most, within = rule.more_than
        if known.posts_within(case.did, case.at - within, case.at, most + 1) <= most:
            return None
        reasons.append(f"more than {most} posts in {within // 60_000_000} minutes")
    if rule.younger_than is not None:
        created = known.created_at(case.did)
        if created is None or case.at - created >= rule.younger_than:
            return None
        reasons.append(f"account was {max(0, case.at - created) // 3_600_000_000} hours old")
    return reasons


def _linked(domains: Iterable[str], hosts: Iterable[str]) -> str | None:
    """A domain that, or a subdomain of which, is linked to."""
    for host in sorted(hosts):
        for domain in domains:
            if host == domain or host.endswith("." + domain):
                return domain
    return None
