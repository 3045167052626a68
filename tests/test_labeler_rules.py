"""`[[rule]]` and `[[input]]` of labels.toml: what is read, what is refused, and which posts rules fit."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.post import read_post
from communities.text import words
from communities.toml_file import DeclarationError
from labeler.labels_file import LabelsFile, parse_labels
from labeler.rule_match import AgeWanted, Case, RuleMatcher
from labeler.rules import Rate, Rule
from tests.didnet import plc
from tests.label_scene import LABELER, LABELS, OTHER, SECOND, record_of

THEIRS = plc(710)
DAY = 86_400_000_000
RULE = f"""
[[rule]]
name = "all"
labeler = "{LABELER}"
communities = ["birds"]
value = "spam"
on = "account"
keywords = ["Buy now", "привет"]
domains = ["bad.example"]
account_younger_than = "7d"
more_than = {{ posts = 20, within = "1h" }}
lists = ["at://{plc(1)}/app.bsky.graph.list/x", "{plc(2)}"]
labels = ["{THEIRS} porn"]
for = "30d"
quota = 7
dry_run = true
"""
INPUT = f"""
[[input]]
did = "{THEIRS}"
hide = ["porn"]
queue = ["rude"]
adopt = {{ spam = "spam" }}
labeler = "{LABELER}"
communities = ["birds"]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as refused:
        parse_labels(text)
    return str(refused.value).split("\n")


def test_all_keys_are_read() -> None:
    found = parse_labels(LABELS + SECOND + RULE + INPUT)
    assert [one.did for one in found.labelers] == [LABELER, OTHER]
    assert found.rules == (
        Rule(
            "all", LABELER, frozenset(("birds",)), "spam", "account", ("Buy now", "привет"), ("bad.example",), 7 * DAY,
            Rate(20, DAY // 24), (f"at://{plc(1)}/app.bsky.graph.list/x", plc(2)), frozenset(((THEIRS, "porn"),)),
            30 * DAY // 1000, 7, True,
        ),
    )  # fmt: skip
    (read,) = found.inputs
    assert (read.did, read.hide, read.queue, dict(read.adopt)) == (THEIRS, {"porn"}, {"rude"}, {"spam": "spam"})
    assert read.rule == f"input {THEIRS}"


def test_a_rule_stands_anywhere_in_the_file_and_needs_little() -> None:
    little = '[[rule]]\nname = "a"\nvalue = "spam"\nkeywords = ["x"]\n'
    for text in (little + LABELS, LABELS + little):
        (rule,) = parse_labels(text).rules
        assert rule == Rule("a", LABELER, frozenset(), "spam", keywords=("x",))
    assert parse_labels("") == LabelsFile()


BAD = [
    ('value = "spam"', "", "rule[1].value: is missing"),
    ('name = "a"', "", "rule[1].name: is missing"),
    ('name = "a"', 'name = "A b"', "a name of a-z"),
    ('keywords = ["x"]', "", "it has no condition"),
    ('keywords = ["x"]', 'keywords = ["(a+)+$"]', "holds '+'"),
    ('keywords = ["x"]', "keywords = 5", "must be a list"),
    ('keywords = ["x"]', 'keywords = ["x"]\nregex = "x"', "no such key"),
    ('keywords = ["x"]', 'domains = ["https://x.example"]', "a domain in lower case"),
    ('keywords = ["x"]', 'lists = ["x"]', "the at:// URIs of lists"),
    ('keywords = ["x"]', "lists = []", "not empty"),
    ('keywords = ["x"]', "more_than = { posts = 1 }", "must be written as"),
    ('keywords = ["x"]', 'more_than = { posts = 0, within = "1h" }', "a whole number from 1"),
    ('keywords = ["x"]', 'account_younger_than = "soon"', "a span of time"),
    ('keywords = ["x"]', f'labels = ["{THEIRS} porn"]', "write an [[input]]"),
    ('keywords = ["x"]', 'labels = ["porn"]', "the DID of a labeler"),
    ('value = "spam"', 'value = "nonsense"', "is not declared"),
    ('value = "spam"', 'value = "!warn"', "a person must decide"),
    ('value = "spam"', f'value = "spam"\nlabeler = "{OTHER}"', "none that this file declares"),
    ('value = "spam"', 'value = "spam"\nquota = 0', "a whole number from 1"),
    ('value = "spam"', 'value = "spam"\nquota = true', "a whole number from 1"),
    ('value = "spam"', 'value = "spam"\ndry_run = "yes"', "true or false"),
    ('value = "spam"', 'value = "spam"\non = "both"', "post or account"),
    ('value = "spam"', 'value = "spam"\nfor = "1y"', "a span of time"),
]
GOOD = '[[rule]]\nname = "a"\nvalue = "spam"\nkeywords = ["x"]\n'


@pytest.mark.parametrize(("before", "after", "why"), BAD)
def test_what_is_wrong_with_a_rule_is_named_with_its_line(before: str, after: str, why: str) -> None:
    (fault,) = faults(LABELS + GOOD.replace(before, after))
    assert fault.startswith("labels.toml:") and why in fault
    line = int(fault.split(":")[1])
    assert line > LABELS.count("\n"), fault


def test_all_faults_at_once() -> None:
    text = LABELS + GOOD + GOOD + '[[rule]]\nkeywords = [""]\nnone = 1\n[[input]]\nhide = []\n'
    found = faults(text)
    assert [fault.partition(" ")[0].partition(":")[2] for fault in found]
    assert len(found) == 7, found
    assert any("is also that of number 1" in fault for fault in found)
    (fault,) = faults(LABELS + "rule = 5\n")[:1]
    assert "labels.toml:" in fault


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (INPUT.replace(f'did = "{THEIRS}"', f'did = "{LABELER}"'), "needs no reading"),
        (INPUT.replace('spam = "spam"', 'spam = "nonsense"'), "is not declared"),
        (f'[[input]]\ndid = "{THEIRS}"\n', "it does nothing"),
        (INPUT + '[[rule]]\nname = "a"\nvalue = "spam"\n' + f'labels = ["{THEIRS} other"]\n', "does not name 'other'"),
        ("[input]\n", "in two brackets"),
    ],
)
def test_faults_of_inputs(text: str, why: str) -> None:
    assert any(why in fault for fault in faults(LABELS + text))


def test_a_labeler_that_does_not_serve_a_community_labels_nothing_there() -> None:
    rule = GOOD.replace('"spam"', f'"owl"\nlabeler = "{OTHER}"\ncommunities = ["frogs"]')
    assert any("does not label for frogs" in fault for fault in faults(LABELS + SECOND + rule))


class World:
    """What is known, said beforehand."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def in_list(self, uri: str, did: str) -> bool:
        return (uri, did) in self.known.get("lists", ())

    def labels(self, uri: str, did: str) -> Mapping[tuple[str, str], str]:
        return self.known.get("labels", {})

    def posts_within(self, did: str, since: int, until: int, most: int) -> int:
        return min(most, sum(since < at <= until for at in self.known.get("posts", ())))

    def created_at(self, did: str) -> int | None:
        if "created" not in self.known:
            raise AgeWanted()
        return self.known["created"]


def fits(
    rule: Rule, text: str = "x", world: World | None = None, slugs: tuple[str, ...] = ("birds",), **more: Any
) -> Any:
    """Why a rule fits, None if it does not, or that it waits."""
    post = read_post(record_of(text, more))
    assert post is not None
    case = Case("at://did:plc:a/app.bsky.feed.post/1", "did:plc:a", post, dict.fromkeys(slugs, 1), 100 * DAY)
    found, waits = RuleMatcher([rule]).match(case, world or World())
    return "waits" if waits else found[0].why if found else None


def rule(**more: Any) -> Rule:
    return Rule("a", LABELER, frozenset(), "spam", **more)


def test_each_condition() -> None:
    words = rule(keywords=("buy now", "größe"))
    assert fits(words, "BUY   NOW!") == "keyword buy now" and fits(words, "Die GRÖSSE zählt")
    assert fits(words, "buy it now") is None and fits(words, "buynow") is None
    card = {"embed": {"$type": "app.bsky.embed.external", "external": {"uri": "https://a.BAD.example/x"}}}
    links = rule(domains=("bad.example",))
    assert fits(links, **card) == "links to bad.example" and fits(links, "bad.example") is None
    assert fits(rule(domains=("ad.example",)), **card) is None
    listed = rule(lists=("at://did:plc:l/app.bsky.graph.list/1",))
    assert fits(listed, world=World(lists={(listed.lists[0], "did:plc:a")})) and fits(listed) is None
    assert fits(rule(lists=("did:plc:a",))) == "author is named"
    often = rule(more_than=Rate(2, DAY))
    assert fits(often, world=World(posts=[100 * DAY] * 3)) and fits(often, world=World(posts=[100 * DAY] * 2)) is None
    assert fits(often, world=World(posts=[98 * DAY] * 9)) is None
    said = rule(labels=frozenset(((THEIRS, "porn"),)))
    assert (
        fits(said, world=World(labels={(THEIRS, "porn"): "x"}))
        and fits(said, world=World(labels={(OTHER, "porn"): "x"})) is None
    )
    young = rule(younger_than=7 * DAY)
    assert fits(young) == "waits" and fits(young, world=World(created=None)) is None
    assert fits(young, world=World(created=94 * DAY)) and fits(young, world=World(created=93 * DAY)) is None


def test_all_conditions_of_a_rule_must_hold_and_the_age_is_asked_for_last() -> None:
    both = rule(keywords=("x",), younger_than=DAY)
    assert fits(both, "y") is None, "nobody asks for an age that changes nothing"
    assert fits(both, "x") == "waits"
    assert fits(both, "x", World(created=100 * DAY)) == "keyword x, account was 0 hours old"


def test_only_posts_of_its_communities() -> None:
    only = Rule("a", LABELER, frozenset(("birds",)), "spam", keywords=("x",))
    assert fits(only) and fits(only, slugs=("frogs", "birds")) and fits(only, slugs=("frogs",)) is None
    assert fits(rule(keywords=("x",)), slugs=()) is None, "a post that no community has is nobody's"


@given(
    st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8).filter(lambda text: bool(words(text))), max_size=5)
)
def test_phrases_are_found_as_a_plain_search_finds_them(text: str, phrases: list[str]) -> None:
    rules = [rule(keywords=(phrase,))._replace(name=f"r{number}") for number, phrase in enumerate(phrases)]
    post = read_post(record_of(text, {}))
    if post is None:
        return
    case = Case("at://did:plc:a/app.bsky.feed.post/1", "did:plc:a", post, {"birds": 1}, 0)
    found, _ = RuleMatcher(rules).match(case, World())
    said = words(text)
    expected = {
        one.name
        for one in rules
        for at in range(len(said))
        if said[at : at + len(words(one.keywords[0]))] == words(one.keywords[0])
    }
    assert {fit.rule.name for fit in found} == expected
