"""Which communities a post belongs to: selectors, requirements, exclusions, and what counts as the same word."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.community import Community, Exclude, Include, Require
from communities.matching import Match, Matcher, compile_rules
from communities.post import read_post
from communities.text import fold, fold_tag, words
from tests.didnet import plc

ALICE, BOB = plc(1), plc(2)
LIST = f"at://{ALICE}/app.bsky.graph.list/l"


def matcher(**shape: Any) -> Matcher:
    """One community, number 7."""
    return compile_rules([(7, Community("ab", "AB", **shape))], {LIST: [BOB]})


def record(text: str = "", **more: Any) -> dict[str, Any]:
    return {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-02T03:04:05Z", **more}


def evidences(rules: Matcher, did: str = ALICE, text: str = "", **more: Any) -> tuple[str, ...]:
    """Why community 7 takes the post; empty when it does not."""
    post = read_post(record(text, **more))
    assert post is not None
    matches = rules.match(did, post)
    for community, (found, refusal) in rules.explain(did, post).items():
        assert [Match(community, found)] == matches if refusal is None else not matches
    if not matches:
        return ()
    (match,) = matches
    assert match.community == 7
    return match.evidences


# Selectors


@pytest.mark.parametrize(
    ("rule", "posted"),
    [
        ("python", "Python"),
        ("#Python", "PYTHON"),
        ("python", "#python"),
        ("python", "＃ｐｙｔｈｏｎ"),
        ("Straße", "STRASSE"),
        ("ﬁne", "fine"),
        ("café", "cafe\u0301"),
        ("café", "cafe\u200b\u0301"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("İstanbul", "İSTANBUL"),
        ("❤️", "❤"),
        ("👩‍💻", "👩\u200d💻"),
        ("نمی‌خواهم", "نمیخواهم"),
        ("ab", "a\u2066b\u2069"),
        ("１２３", "123"),
        ("ｶﾞ", "ガ"),
        ("c++", "C++"),
    ],
)
def test_hashtags_are_the_same_when_people_would_say_so(rule: str, posted: str) -> None:
    rules = matcher(include=Include(hashtags=(fold_tag(rule),)))
    assert evidences(rules, tags=[posted]) == ("hashtag:" + fold_tag(rule),)


@pytest.mark.parametrize(
    ("rule", "posted"),
    [
        ("python", "pythonista"),
        ("cafe", "café"),
        ("हिन्दी", "हान्दा"),
        ("istanbul", "İstanbul"),
        ("👍", "👍🏽"),
        ("c", "c++"),
    ],
)
def test_hashtags_that_are_others(rule: str, posted: str) -> None:
    assert evidences(matcher(include=Include(hashtags=(fold_tag(rule),))), tags=[posted]) == ()


def test_facets_and_tags_both_count() -> None:
    rules = matcher(include=Include(hashtags=("x",)))
    feature = {"$type": "app.bsky.richtext.facet#tag", "tag": "X"}
    facet = {"index": {"byteStart": 0, "byteEnd": 2}, "features": [feature]}
    assert evidences(rules, text="#X y", facets=[facet]) == ("hashtag:x",)
    assert evidences(rules, tags=["x"]) == ("hashtag:x",)
    assert evidences(rules, text="#x is no facet") == ()


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("type hints", "I like TYPE-HINTS!"),
        ("type hints", "type\n hints"),
        ("don't", "DON'T panic"),
        ("naïve", "nai\u0308ve"),
        ("東京", "私は東京に住む"),
        ("コーヒー", "コーヒーカップ"),
        ("แมว", "ฉันรักแมวมาก"),
        ("हिन्दी", "मुझे हिन्दी पसंद है।"),
        ("தமிழ்", "தமிழ் மொழி"),
        ("мир", "Миру — МИР"),
        ("co op", "a worker co-op"),
        ("3d", "3D printing"),
        ("foo_bar", "foo_bar()"),
        ("x", "“x”"),
        ("ｗｉｄｅ", "wide"),
        ("wide", "w\u200bide"),
        ("İzmir", "i\u0307zmir"),
    ],
)
def test_keywords_are_whole_words_and_phrases(keyword: str, text: str) -> None:
    rules = matcher(include=Include(keywords=(keyword,)))
    assert evidences(rules, text=text) == ("keyword:" + " ".join(words(keyword)),)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("cat", "concatenate cats"),
        ("type hints", "hints type"),
        ("type hints", "type some hints"),
        ("type hints", "type"),
        ("हिन्दी", "हान्दा"),
        ("हि", "हिन्दी"),
        ("stanbul", "İstanbul"),
        ("cafe", "café"),
        ("東京", "京東"),
        ("foo", "foo_bar"),
        ("x", "#"),
        ("python", ""),
    ],
)
def test_keywords_that_are_not_said(keyword: str, text: str) -> None:
    assert evidences(matcher(include=Include(keywords=(keyword,))), text=text) == ()


def test_a_phrase_counts_once_and_overlapping_ones_each() -> None:
    rules = matcher(include=Include(keywords=("a b", "b c", "a b c", "a b", "A  B")))
    assert evidences(rules, text="a b c a b") == ("keyword:a b", "keyword:a b c", "keyword:b c")


def test_mentions_members_and_lists() -> None:
    mention = {"$type": "app.bsky.richtext.facet#mention", "did": BOB}
    facets = [{"index": {"byteStart": 0, "byteEnd": 4}, "features": [mention]}]
    rules = matcher(include=Include(mentions=(BOB,)))
    assert evidences(rules, text="@bob", facets=facets) == ("mention:" + BOB,)
    assert evidences(rules, did=BOB) == ()
    assert evidences(matcher(include=Include(members=(BOB,))), did=BOB) == ("member:" + BOB,)
    assert evidences(matcher(include=Include(members=(BOB,))), did=ALICE) == ()
    assert evidences(matcher(include=Include(lists=(LIST,))), did=BOB) == ("list:" + LIST,)
    assert evidences(matcher(include=Include(lists=(LIST + "2",))), did=BOB) == ()


def test_whoever_mentions_the_account_of_a_community_submits_a_post() -> None:
    mention = {"$type": "app.bsky.richtext.facet#mention", "did": BOB}
    facets = [{"index": {"byteStart": 0, "byteEnd": 4}, "features": [mention]}]
    for include in (Include(), Include(hashtags=("x",)), Include(mentions=(BOB,))):
        rules = matcher(account=BOB, include=include)
        assert evidences(rules, text="@bob", facets=facets) == ("mention:" + BOB,)
        assert evidences(rules, did=BOB, text="@bob") == ()  # no mention, only its look; and the account itself


def test_every_evidence_is_told() -> None:
    rules = matcher(include=Include(hashtags=("x",), keywords=("y",), members=(ALICE,)))
    assert evidences(rules, text="y", tags=["x"]) == ("hashtag:x", "member:" + ALICE, "keyword:y")


def test_communities_come_in_order_of_their_ids() -> None:
    both = [(number, Community("ab", "AB", include=Include(hashtags=("x",)))) for number in (9, 3, 5)]
    post = read_post(record(tags=["x"]))
    assert post is not None
    assert [match.community for match in compile_rules(both, {}).match(ALICE, post)] == [3, 5, 9]


# What keeps a post out


@pytest.mark.parametrize("tag", ["nofeed", "NoFeed", "#private", "ｐｒｉｖａｔｅ"])
def test_the_author_opts_out(tag: str) -> None:
    rules = matcher(include=Include(members=(ALICE,)))
    assert evidences(rules, tags=[tag]) == ()
    post = read_post(record(tags=[tag]))
    assert post is not None
    ((_, refusal),) = rules.explain(ALICE, post).values()
    assert refusal is not None and refusal.startswith("the author opted out")


IMAGE = {"$type": "app.bsky.embed.images"}
GALLERY = {"$type": "app.bsky.embed.gallery"}
VIDEO = {"$type": "app.bsky.embed.video"}
GIF = {"$type": "app.bsky.embed.video", "presentation": "gif"}
QUOTE = {"$type": "app.bsky.embed.recordWithMedia", "media": VIDEO, "record": {}}
REPLY = {"parent": {"uri": "at://x"}, "root": {"uri": "at://x"}}


def card(uri: str) -> dict[str, Any]:
    return {"$type": "app.bsky.embed.external", "external": {"uri": uri}}


def wide_links(count: int) -> list[dict[str, Any]]:
    kind = "app.bsky.richtext.facet#link"
    names = "b\u00fccher." * 7
    links = [{"$type": kind, "uri": f"https://{names}b{number}.example"} for number in range(count)]
    return [{"index": {"byteStart": 0, "byteEnd": 1}, "features": [link]} for link in links]


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        ({"exclude": Exclude(hashtags=("no",))}, {"tags": ["yes"]}, {"tags": ["NO"]}),
        ({"exclude": Exclude(replies=True)}, {"reply": {}}, {"reply": REPLY}),
        ({"exclude": Exclude(dids=(BOB,))}, {"did": ALICE}, {"did": BOB}),
        ({"exclude": Exclude(hashtags_over=2)}, {"tags": ["a", "b"]}, {"tags": ["a", "b", "c"]}),
        ({"exclude": Exclude(hashtags_over=2)}, {"tags": ["a", "A", "#a", "b"]}, {"tags": ["a", "b", "c"]}),
        ({"exclude": Exclude(languages=("de",))}, {"langs": ["en"]}, {"langs": ["en", "de-AT"]}),
        ({"exclude": Exclude(languages=("undeclared",))}, {"langs": ["en"]}, {"langs": []}),
        ({"require": Require(languages=("en",))}, {"langs": ["en-GB", "fr"]}, {"langs": ["fr"]}),
        ({"require": Require(languages=("en",))}, {"langs": ["en"]}, {}),
        ({"require": Require(languages=("en", "undeclared"))}, {"langs": ["?"]}, {"langs": ["fr"]}),
        ({"require": Require(media=("video", "gif"))}, {"embed": GIF}, {"embed": IMAGE}),
        ({"require": Require(media=("video",))}, {"embed": QUOTE}, {"embed": GIF}),
        ({"require": Require(media=("image",))}, {"embed": GALLERY}, {}),
        ({"exclude": Exclude(media=("gallery",))}, {"embed": IMAGE}, {"embed": GALLERY}),
        ({"exclude": Exclude(media=("quote",))}, {"embed": VIDEO}, {"embed": QUOTE}),
        ({"exclude": Exclude(media=("gif",))}, {"embed": card("https://a.b")}, {"embed": card("https://tenor.com/x")}),
        (
            {"exclude": Exclude(domains=("x.com",))},
            {"embed": card("https://ax.com")},
            {"embed": card("https://X.com/")},
        ),
        (
            {"exclude": Exclude(domains=("x.com",))},
            {"embed": card("https://x.com.a")},
            {"embed": card("https://a.x.com")},
        ),
        (
            {"exclude": Exclude(domains=("x.com",))},
            {"embed": card("https://a@x.com")},
            {"embed": card("https://x%2ecom")},
        ),
        (
            {"exclude": Exclude(domains=("x.com",))},
            {"embed": card("javascript:x.com")},
            {"embed": card("http://x.com\\a")},
        ),
        ({"exclude": Exclude(domains=("x.com",))}, {"facets": wide_links(10)}, {"facets": wide_links(11)}),
    ],
)
def test_exclusions_and_requirements_win_over_every_selector(
    shape: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    rules = matcher(include=Include(members=(ALICE, BOB), keywords=("word",)), **shape)
    assert evidences(rules, **({"text": "word"} | good))
    assert evidences(rules, **({"text": "word"} | bad)) == ()


# Folding


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert words(fold(text)) == words(text)


@given(st.text())
def test_normal_forms_do_not_matter(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)


@given(st.lists(st.sampled_from(["a", "Bc", "é", "日", "本", "แ", "हि", "ｘ", "_", "1"]), max_size=12).map("".join))
def test_words_are_pieces_of_the_folded_text(text: str) -> None:
    assert "".join(words(text)) == fold(text)


def test_a_new_member_of_a_list_counts_at_once() -> None:
    uri, did = f"at://{plc(1)}/app.bsky.graph.list/3k", plc(2)
    matcher = compile_rules([(7, Community("ab", "AB", include=Include(lists=(uri,))))], {})
    post = read_post({"$type": "app.bsky.feed.post", "text": "hi", "createdAt": "2026-01-01T00:00:00Z"})
    assert post is not None
    assert matcher.match(did, post) == []
    for _ in range(2):  # once more changes nothing
        matcher.add_list_member(uri, did)
        assert matcher.match(did, post) == [Match(7, (f"list:{uri}",))]


def test_what_waits_is_matched_anew_when_somebody_is_no_member_any_more() -> None:
    uri = f"at://{BOB}/app.bsky.graph.list/x"
    rules = matcher(include=Include(lists=(uri,), joined=True))
    rules.set_list(uri, [ALICE])
    before = rules.revision
    rules.set_list(uri, [ALICE])
    assert rules.revision == before
    rules.set_list(uri, [])
    assert rules.revision > before
    before = rules.revision
    rules.remove_member(1, ALICE)
    assert rules.revision > before
