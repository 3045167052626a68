"""What a post commands: by table, and by whatever anybody may write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.commands import Command, Word, addressed, is_command, read_command, target_of
from communities.community import Community
from communities.membership import RefusedError
from communities.post import Post, read_post
from communities.rule import refusal, rule_of
from tests.didnet import plc

BIRDS, OWLS = plc(1), plc(2)
AT = "@birds.example.com"
CID = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
URI = f"at://{plc(3)}/app.bsky.feed.post/3k"
PARENT = {"reply": {"root": {"uri": URI, "cid": CID}, "parent": {"uri": URI, "cid": CID}}}
HOUR = 3_600_000_000
RULES = ("Birds", "Birds only", "Straße")


def facet(start: int, end: int, *dids: str) -> dict[str, Any]:
    features = [{"$type": "app.bsky.richtext.facet#mention", "did": did} for did in dids]
    return {"index": {"byteStart": start, "byteEnd": end}, "features": features}


def post(text: str, *facets: dict[str, Any], **more: Any) -> Post:
    record = {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-31T12:00:00Z"}
    found = read_post(record | {"facets": list(facets)} | more)
    assert found is not None
    return found


def mention(text: str, **more: Any) -> Post:
    """A post that begins with the mention of birds."""
    return post(text, facet(0, len(AT), BIRDS), **more)


@pytest.mark.parametrize(
    ("text", "facets", "said"),
    [
        (f"{AT} remove", [facet(0, 18, BIRDS)], "remove"),
        (f"{AT}: remove", [facet(0, 18, BIRDS)], "remove"),
        (f"{AT},\n\nremove now", [facet(0, 18, BIRDS)], "remove now"),
        (f"{AT}\u200b remove\u2060", [facet(0, 18, BIRDS)], "remove"),
        (f"  {AT} remove", [facet(2, 20, BIRDS)], "remove"),
        (f"{AT}", [facet(0, 18, BIRDS)], ""),
        ("@vögel.example.com remove", [facet(0, 19, BIRDS)], "remove"),
        # The mention of another beside it, or behind.
        (f"{AT} remove @owls.example.com", [facet(26, 43, OWLS), facet(0, 18, BIRDS)], "remove @owls.example.com"),
        (f"{AT} remove", [facet(0, 18, OWLS, BIRDS)], "remove"),
        (f"@owls.example.com {AT} remove", [facet(0, 17, OWLS), facet(18, 36, BIRDS)], None),
        (f"please {AT} remove", [facet(7, 25, BIRDS)], None),
        (f"{AT} remove", [facet(0, 18, OWLS)], None),
        (f"{AT} remove", [], None),
        # Bytes that are not those of the mention.
        (f"{AT} remove", [facet(0, 6, BIRDS)], None),
        (f"{AT} remove", [facet(1, 18, BIRDS)], None),
        (f"{AT} remove", [facet(0, 17, BIRDS)], None),
        (f"{AT} remove", [facet(0, 99, BIRDS)], None),
        (f"{AT} remove", [facet(18, 0, BIRDS)], None),
        (f"{AT} remove", [facet(0, 25, BIRDS)], ""),
        ("@vögel.example.com remove", [facet(0, 3, BIRDS)], None),
        ("birds.example.com remove", [facet(0, 17, BIRDS)], None),
        (f"{AT}remove", [facet(0, 18, BIRDS)], None),
    ],
)
def test_what_stands_behind_the_mention(text: str, facets: list[dict[str, Any]], said: str | None) -> None:
    assert addressed(post(text, *facets), BIRDS) == said


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("remove", Command(Word.REMOVE)),
        ("Remove.", Command(Word.REMOVE)),
        ("REMOVE this is a plane", Command(Word.REMOVE, "this is a plane")),
        ("remove birds only: a plane", Command(Word.REMOVE, "a plane", "Birds only")),
        ('remove "Birds only" a plane', Command(Word.REMOVE, "a plane", "Birds only")),
        ("remove Birds - a plane", Command(Word.REMOVE, "a plane", "Birds")),
        ("remove Birdsong", Command(Word.REMOVE, "Birdsong")),
        ("remove straße", Command(Word.REMOVE, "", "Straße")),
        ("restore Birds only", Command(Word.RESTORE, "Birds only")),
        ("approve\nlovely", Command(Word.APPROVE, "lovely")),
        ("ban", Command(Word.BAN)),
        ("ban 12h", Command(Word.BAN, lasts=12 * HOUR)),
        ("ban 7D, again", Command(Word.BAN, "again", lasts=7 * 24 * HOUR)),
        ("ban 2w Birds only again", Command(Word.BAN, "again", "Birds only", 14 * 24 * HOUR)),
        ("ban 9999w", Command(Word.BAN, lasts=9999 * 7 * 24 * HOUR)),
        ("ban forever, for spam", Command(Word.BAN, "forever, for spam")),
        ("unban", Command(Word.UNBAN)),
        ("label Spam, spoiler spam", Command(Word.LABEL, values=("spam", "spoiler"))),
        ("unlabel !warn", Command(Word.UNLABEL, values=("!warn",))),
        ("pin", Command(Word.PIN)),
        ("unpin it is old", Command(Word.UNPIN, "it is old")),
    ],
)
def test_commands(text: str, command: Command) -> None:
    assert read_command(text, RULES) == command


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "UnknownCommand"),
        ("remvoe", "UnknownCommand"),
        ("@owls.example.com remove", "UnknownCommand"),
        ("label", "InvalidCommand"),
        ("label , ;", "InvalidCommand"),
        ("label " + " ".join(map(str, range(21))), "InvalidCommand"),
        ("ban 7", "InvalidCommand"),
        ("ban 7 days", "InvalidCommand"),
        ("ban 0d", "InvalidCommand"),
        ("ban 7m", "InvalidCommand"),
        ("ban 10000d", "InvalidCommand"),
        ("ban ٧d", "InvalidCommand"),
        ("ban 7d8h", "InvalidCommand"),
    ],
)
def test_what_is_no_command_is_refused_by_name(text: str, fault: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_command(text, RULES)
    assert refused.value.name == fault and str(refused.value).endswith(".")


QUOTE = {"$type": "app.bsky.embed.record", "record": {"uri": URI, "cid": CID}}


@pytest.mark.parametrize(
    ("more", "meant"),
    [
        (PARENT, True),
        ({"embed": QUOTE}, True),
        ({"embed": {"$type": "app.bsky.embed.recordWithMedia", "record": QUOTE, "media": {}}}, True),
        ({}, False),
        ({"reply": {"parent": {"uri": URI}}}, False),
        ({"reply": {"parent": {"uri": "x", "cid": CID}}}, False),
        ({"embed": {"$type": "app.bsky.embed.record", "record": {"uri": URI, "cid": 1}}}, False),
        ({"embed": {"$type": "app.bsky.embed.recordWithMedia", "record": 7}}, False),
    ],
)
def test_what_is_meant(more: dict[str, Any], meant: bool) -> None:
    assert target_of(mention(f"{AT} remove", **more)) == ((URI, CID) if meant else None)


def test_of_an_answer_that_quotes_the_answered_post_is_meant() -> None:
    quote = {"$type": "app.bsky.embed.record", "record": {"uri": URI + "2", "cid": CID}}
    assert target_of(mention(f"{AT} remove", embed=quote, **PARENT)) == (URI, CID)


def test_a_command_is_no_contribution_where_it_is_taken() -> None:
    community = Community("birds", "Birds", account=BIRDS, commands=("remove",), admin_commands=("ban",))
    for text, more, kept_out in (
        (f"{AT} remove", PARENT, True),
        (f"{AT} Ban 7 days", PARENT, True),
        (f"{AT} pin", PARENT, False),
        (f"{AT} remove", {}, False),
        (f"{AT} thank you", PARENT, False),
    ):
        said = refusal(rule_of(community), OWLS, mention(text, **more))
        assert (said is not None) is kept_out, text
    for other in (Community("birds", "Birds", account=BIRDS), Community("birds", "Birds", commands=("remove",))):
        assert refusal(rule_of(other), OWLS, mention(f"{AT} remove", **PARENT)) is None
        assert rule_of(other).calls == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 60) | st.text(max_size=5) | st.sampled_from([URI, CID, BIRDS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["uri", "cid", "parent", "record", "index", "features"]), inner, max_size=3)
    ),
)
FACETS = st.builds(facet, st.integers(-2, 40), st.integers(-2, 40), st.sampled_from([BIRDS, OWLS]))


@given(
    st.text(max_size=40) | st.text(max_size=20).map(lambda text: f"{AT} {text}"),
    st.lists(FACETS | JSON, max_size=4),
    st.dictionaries(st.sampled_from(["reply", "embed"]), JSON, max_size=2),
)
def test_whatever_is_written_is_read(text: str, facets: list[Any], more: dict[str, Any]) -> None:
    """Nothing raises; whatever counts begins with a mention that stands in the text as one."""
    record = {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-31T12:00:00Z", "facets": facets}
    found = read_post(record | more)
    if found is None:
        return
    said = addressed(found, BIRDS)
    target_of(found)
    assert not (is_command(found, BIRDS, set(Word)) and not said)
    if said is not None:
        assert text.lstrip().startswith("@") and "\0" not in said


@given(
    st.text(max_size=60) | st.sampled_from([*Word]).flatmap(lambda word: st.text(max_size=40).map(f"{word} ".__add__))
)
def test_whatever_stands_behind_the_mention_is_one_command_or_refused(text: str) -> None:
    try:
        command = read_command(text, RULES)
    except RefusedError as refused:
        assert refused.name in {"UnknownCommand", "InvalidCommand"}
        return
    assert text.strip(" .,:;-\u2013\u2014\"'\t\r\n").casefold().startswith(command.word)
    assert command.reason in text or command.rule is not None
    assert (command.lasts is None or command.word is Word.BAN) and (command.rule is None or command.rule in RULES)
    assert bool(command.values) == (command.word in {Word.LABEL, Word.UNLABEL})
