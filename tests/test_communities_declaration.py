"""communities.toml: what is accepted, and every fault with its line and key."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.access import Type
from communities.community import Community, Exclude, Include, Log, Require, Rule
from communities.declaration import parse_declaration, read_declaration
from communities.keys import KEYS, RULE
from communities.ranking import Ranking
from communities.toml_file import DeclarationError
from tests.didnet import plc

GOOD = f"""
[[community]]
slug = "python"
name = "Python"
description = "People who write Python."
owner = "{plc(1)}"
avatar = "python.png"
pins = ["at://{plc(2)}/app.bsky.feed.post/abc"]
content_mode = "video"
accepts_interactions = true
feeds = ["newest", "hot", "top-week", "hot"]
about = "All there is to say."
type = "open"
posting = "approval"
join_by = ["xrpc", "follow"]
state = "paused"
account = "{plc(6)}"
parent = "at://{plc(7)}/social.communities.community/programming"
queue_feed = true

[[community.rules]]
name = "Be kind"
text = "To beginners too."

[[community.rules]]
name = "No jobs"

[community.include]
hashtags = ["#Python", "ＰＹＴＨＯＮ", "django"]
keywords = ["type hints"]
mentions = ["{plc(3)}"]
members = ["did:web:example.com", "did:web:localhost%3A3000"]
lists = ["at://{plc(4)}/app.bsky.graph.list/l1"]
joined = true

[community.require]
languages = ["en", "undeclared"]
media = ["image", "video"]

[community.exclude]
hashtags = ["offtopic"]
replies = true
languages = ["de"]
media = ["gif"]
domains = ["spam.example"]
dids = ["{plc(5)}"]
hashtags_over = 5

[community.ranking]
half_life_hours = 24
likes = 0
reposts = 2
replies = 3
quotes = 4
author_cap = 5

[community.log]
who = "actor"
show_subject = true
"""
EXPECTED = Community(
    slug="python",
    name="Python",
    description="People who write Python.",
    owner=plc(1),
    avatar="python.png",
    pins=(f"at://{plc(2)}/app.bsky.feed.post/abc",),
    content_mode="video",
    accepts_interactions=True,
    about="All there is to say.",
    kind="open",
    posting="approval",
    join_by=("xrpc", "follow"),
    state="paused",
    account=plc(6),
    parent=f"at://{plc(7)}/social.communities.community/programming",
    queue_feed=True,
    rules=(Rule("Be kind", "To beginners too."), Rule("No jobs")),
    log=Log("actor", show_subject=True),
    include=Include(
        hashtags=("python", "django"),
        keywords=("type hints",),
        mentions=(plc(3),),
        members=("did:web:example.com", "did:web:localhost%3A3000"),
        lists=(f"at://{plc(4)}/app.bsky.graph.list/l1",),
        joined=True,
    ),
    require=Require(languages=("en", "undeclared"), media=("image", "video")),
    exclude=Exclude(
        hashtags=("offtopic",),
        replies=True,
        languages=("de",),
        media=("gif",),
        domains=("spam.example",),
        dids=(plc(5),),
        hashtags_over=5,
    ),
    feeds=("newest", "hot", "top-week"),
    ranking=Ranking(half_life_hours=24, likes=0, reposts=2, replies=3, quotes=4, author_cap=5),
)
NOTHING = (
    "selects nothing; name hashtags, keywords, mentions, members or lists, or joined = true; only a community with an"
    ' account, whose mention submits posts, or with posting = "restricted" does without'
)


def faults(text: str) -> list[str]:
    """Each fault as `line: key: problem`."""
    with pytest.raises(DeclarationError) as refused:
        parse_declaration(text, "f.toml")
    lines = str(refused.value).split("\n")
    assert all(line.startswith("f.toml:") for line in lines), lines
    return [line.removeprefix("f.toml:") for line in lines]


def test_every_key_is_read() -> None:
    assert parse_declaration(GOOD) == (EXPECTED,)


def test_other_ways_of_writing_the_same() -> None:
    inline = f'''
        [[community]]
        "slug" = 'python'
        name = "Python"
        description = "People who write Python."
        owner = "{plc(1)}"
        avatar = "python.png"
        pins = ["at://{plc(2)}/app.bsky.feed.post/abc"]
        content_mode = "video"
        accepts_interactions = true
        feeds = ["newest", "hot", "top-week"]
        about = """All there is to say."""
        type = "open"
        posting = "approval"
        join_by = ["xrpc", "follow", "xrpc"]
        state = "paused"
        account = "{plc(6)}"
        parent = "at://{plc(7)}/social.communities.community/programming"
        queue_feed = true
        rules = [{{ name = "Be kind", text = "To beginners too." }}, {{ name = "No jobs" }}]
        log = {{ who = "actor", show_subject = true }}
        ranking = {{ half_life_hours = 24, likes = 0, reposts = 2, replies = 3, quotes = 4, author_cap = 5 }}
        include = {{ hashtags = ["#Python", "django"], keywords = ["type hints"], mentions = ["{plc(3)}"], members =
            ["did:web:example.com", "did:web:localhost%3A3000"], lists = ["at://{plc(4)}/app.bsky.graph.list/l1"],
            joined = true }}
        require.languages = ["en", "undeclared"]
        require.media = ["image", "video"]
        [community.exclude]
        hashtags = ["offtopic",
            # not these
            "OffTopic"]
        replies = true
        languages = ["de"]
        media = ["gif"]
        domains = ["spam.example"]
        dids = ["{plc(5)}"]
        hashtags_over = 5
    '''.replace("members =\n            ", "members = ").replace(",\n            joined", ", joined")
    assert parse_declaration(inline) == (EXPECTED,)


def test_what_is_left_out_has_its_default() -> None:
    (found,) = parse_declaration('[[community]]\nslug = "ab"\nname = "X"\ninclude.hashtags = ["x"]')
    assert found == Community("ab", "X", include=Include(hashtags=("x",)))
    assert (found.posting, found.state, found.kind, found.join_by) == ("anyone", "active", "open", ("record", "xrpc"))


def test_a_community_survives_json() -> None:
    assert Community.from_json(json.loads(json.dumps(EXPECTED.to_json()))) == EXPECTED


def test_a_community_that_an_older_version_stored_is_read() -> None:
    """Before there were feeds in other orders, before people joined; the web process may see it before the file is read
    again.
    """
    old = {key: value for key, value in EXPECTED.to_json().items() if key not in ("feeds", "ranking")}
    assert Community.from_json(old) == replace(EXPECTED, feeds=("newest",), ranking=Ranking())
    layer = ("about", "kind", "posting", "join_by", "state", "account", "parent", "queue_feed", "rules", "log")
    older = {key: value for key, value in old.items() if key not in layer}
    older["include"] = {key: value for key, value in old["include"].items() if key != "joined"}
    assert Community.from_json(older) == Community(
        **{key: getattr(EXPECTED, key) for key in older if key != "include"},
        include=replace(EXPECTED.include, joined=False),
    )


texts = st.text(max_size=8)
many = st.lists(texts, max_size=3).map(tuple)


@given(
    st.builds(
        Community,
        slug=texts,
        name=texts,
        description=texts,
        owner=st.none() | texts,
        avatar=st.none() | texts,
        pins=many,
        accepts_interactions=st.booleans(),
        about=texts,
        kind=st.sampled_from(Type).map(str),
        posting=texts,
        join_by=many,
        state=texts,
        account=st.none() | texts,
        parent=st.none() | texts,
        queue_feed=st.booleans(),
        commands=many,
        admin_commands=many,
        rules=st.lists(st.builds(Rule, texts, texts), max_size=2).map(tuple),
        log=st.builds(Log, texts, st.booleans()),
        include=st.builds(Include, many, many, many, many, many, st.booleans()),
        require=st.builds(Require, many, many),
        exclude=st.builds(Exclude, many, st.booleans(), many, many, many, many, st.integers(0, 9)),
        feeds=many,
        ranking=st.builds(Ranking, st.integers(1, 9), st.integers(0, 9), author_cap=st.integers(0, 9)),
    )
)
def test_any_community_survives_json(community: Community) -> None:
    assert Community.from_json(json.loads(json.dumps(community.to_json()))) == community


def test_the_examples_are_good() -> None:
    found = read_declaration(Path(__file__).parents[1] / "service" / "communities.example.toml")
    assert len(found) >= 2 and all(community.include.hashtags for community in found)
    assert any(community.parent for community in found) and any(community.rules for community in found)


def test_the_documented_example_is_good_and_every_key_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "COMMUNITIES.md").read_text(encoding="utf-8")
    birds, owls = parse_declaration(page.partition("```toml\n")[2].partition("```")[0])
    assert (birds.slug, owls.parent, birds.rules[0].name) == ("birds", "birds", "Nests are left alone")
    keys = {key for table in (*KEYS.values(), RULE) for key in table}
    assert [key for key in sorted(keys) if f"`{key}`" not in page and f"`{key} = " not in page] == []


CASES = {
    "slug = 1": "slug",
    'slug = "1a"': "slug",
    'slug = "A"': "slug",
    'slug = "a"': "slug",
    'slug = "a/b"': "slug",
    'slug = "é1"': "slug",
    'slug = "ab\\n"': "slug",
    f'slug = "{"a" * 64}"': "slug",
    'name = ""': "name",
    'name = " "': "name",
    "name = []": "name",
    f'name = "{"x" * 25}"': "name",
    f'name = "{"👨‍👩‍👧‍👦" * 10}"': "name",
    "description = 5": "description",
    f'description = "{"x" * 301}"': "description",
    'owner = "alice.example.com"': "owner",
    'owner = "did:key:z6Mk"': "owner",
    'owner = "did:plc:short"': "owner",
    'avatar = ""': "avatar",
    'pins = "at://x"': "pins",
    'pins = ["https://bsky.app/profile/x/post/y"]': "pins",
    'pins = ["at://alice.example.com/app.bsky.feed.post/x"]': "pins",
    f"pins = {[f'at://{plc(1)}/app.bsky.feed.post/{n}' for n in range(6)]}": "pins",
    'content_mode = "photo"': "content_mode",
    'commands = ["expel"]': "commands",
    'admin_commands = "ban"': "admin_commands",
    'commands = ["ban"]': "commands",
    'admin_commands = ["ban"]': "admin_commands",
    "content_mode = []": "content_mode",
    'accepts_interactions = "yes"': "accepts_interactions",
    "accepts_interactions = 1": "accepts_interactions",
    "feeds = []": "feeds",
    'feeds = "hot"': "feeds",
    'feeds = ["newest", "best"]': "feeds",
    "feeds = [1]": "feeds",
    "about = 1": "about",
    f'about = "{"x" * 10_001}"': "about",
    f'about = "{"👨‍👩‍👧‍👦" * 5_000}"': "about",
    "type = 1": "type",
    'type = "secret"': "type",
    'type = "private"': "type",
    'type = "hidden"': "type",
    'posting = "everyone"': "posting",
    "posting = []": "posting",
    'join_by = "xrpc"': "join_by",
    'join_by = ["invitation"]': "join_by",
    'join_by = ["xrpc", "follow"]': "join_by",
    'state = "closed"': "state",
    'account = "@alice.example.com"': "account",
    'parent = "1"': "parent",
    'parent = "nobody"': "parent",
    'parent = "ab"': "parent",
    'parent = "at://alice.example.com/social.communities.community/cd"': "parent",
    f'parent = "at://{plc(1)}/social.communities.community/A"': "parent",
    f'parent = "at://{plc(1)}/app.bsky.feed.generator/cd"': "parent",
    "queue_feed = 1": "queue_feed",
    "rules = 1": "rules",
    'rules = ["Be kind"]': "rules",
    "rules = [" + "{ name = 'x' }," * 51 + "]": "rules",
    "rules = [{}]": "rules[1].name",
    'rules = [{ name = "x" }, { name = " " }]': "rules[2].name",
    f'rules = [{{ name = "{"x" * 101}" }}]': "rules[1].name",
    f'rules = [{{ name = "x", text = "{"x" * 1001}" }}]': "rules[1].text",
    'rules = [{ name = "x", body = "y" }]': "rules[1].body",
    "log = true": "log",
    'log.who = "everybody"': "log.who",
    'log.show_subject = "yes"': "log.show_subject",
    'log.show_actor = "yes"': "log.show_actor",
    'include.joined = "yes"': "include.joined",
    "ranking = 1": "ranking",
    "ranking.half_life_hours = 0": "ranking.half_life_hours",
    "ranking.half_life_hours = 721": "ranking.half_life_hours",
    "ranking.half_life_hours = 1.5": "ranking.half_life_hours",
    "ranking.likes = -1": "ranking.likes",
    "ranking.reposts = 101": "ranking.reposts",
    "ranking.replies = true": "ranking.replies",
    'ranking.quotes = "1"': "ranking.quotes",
    "ranking.author_cap = 101": "ranking.author_cap",
    "ranking.half_life = 1": "ranking.half_life",
    'sluug = "x"': "sluug",
    "include = 5": "include",
    "include.hashtag = []": "include.hashtag",
    'include.hashtags = "x"': "include.hashtags",
    'include.hashtags = ["a b"]': "include.hashtags",
    'include.hashtags = ["#"]': "include.hashtags",
    'include.hashtags = [""]': "include.hashtags",
    "include.hashtags = [1]": "include.hashtags",
    f'include.hashtags = ["{"x" * 641}"]': "include.hashtags",
    'include.keywords = ["!?"]': "include.keywords",
    'include.keywords = ["🎉"]': "include.keywords",
    'include.keywords = ["C++"]': "include.keywords",
    f'include.keywords = ["{"x" * 301}"]': "include.keywords",
    'include.mentions = ["@alice.example.com"]': "include.mentions",
    'include.members = ["did:web:a/b"]': "include.members",
    f'include.lists = ["at://{plc(1)}/app.bsky.graph.starterpack/x"]': "include.lists",
    "require = []": "require",
    'require.languages = ["EN"]': "require.languages",
    'require.languages = ["en-US"]': "require.languages",
    'require.media = ["photo"]': "require.media",
    "exclude = true": "exclude",
    'exclude.replies = "no"': "exclude.replies",
    "exclude.hashtags_over = -1": "exclude.hashtags_over",
    "exclude.hashtags_over = true": "exclude.hashtags_over",
    "exclude.hashtags_over = 1.5": "exclude.hashtags_over",
    'exclude.domains = ["https://x.com"]': "exclude.domains",
    'exclude.domains = ["X.com"]': "exclude.domains",
    'exclude.domains = ["com"]': "exclude.domains",
    'exclude.dids = ["x"]': "exclude.dids",
    'exclude.keywords = ["x"]': "exclude.keywords",
}


@pytest.mark.parametrize("line", CASES, ids=lambda line: line[:40])
def test_a_fault_names_its_line_and_key(line: str) -> None:
    key = CASES[line]
    fields = {"slug": 'slug = "ab"', "name": 'name = "X"', "include": 'include.hashtags = ["x"]'}
    kept = [text for name, text in fields.items() if name != key.partition(".")[0]]
    number = 3 + len(kept)
    found = faults("\n".join(["# comment", "[[community]]", *kept, line]))
    named = [fault for fault in found if fault.startswith(f"{number}: community[1].{key}: ")]
    assert named, found
    # Nothing else is wrong but that nothing is selected, where the fault took the selectors away.
    assert all("selects nothing" in fault for fault in found if fault not in named), found


def test_every_fault_of_every_community_is_told_at_once() -> None:
    text = '''# a comment with """
[[community]]
slug = "ab"
name = "A"
description = """
[[community]]
slug = "no"
"""
include.hashtags = [
  "a b",
]
[community.exclude]
domains = [
  "media.tenor.com",
  "x = 1",
]
media = ["x"] # why

[[community]]
name = "\u2028"

[[community]]
slug = "ab"
name = "Z\u2028Z"
include = { keywords = ["?"], hashtags = ["x"] }
colour = "red"

[top]
slug = 1
[community_]
'''
    assert sorted(faults(text), key=lambda fault: int(fault.partition(":")[0])) == [
        "9: community[1].include.hashtags: must be hashtags without spaces, not 'a b'",
        "13: community[1].exclude.domains: must be a domain in lower case, such as example.com, not 'x = 1'",
        "17: community[1].exclude.media: must be one of gallery, gif, image, link, quote, video, not 'x'",
        "19: community[2].slug: is missing",
        f"19: community[2].include: {NOTHING}",
        "20: community[2].name: must be a text that is not empty",
        "23: community[3].slug: 'ab' is also the slug of community[1]",
        "25: community[3].include.keywords: must be words or phrases with at least one letter or digit, not '?'",
        "26: community[3].colour: no such key; there are slug, name, description, owner, avatar, pins, content_mode,"
        " accepts_interactions, feeds, about, type, posting, join_by, state, account, parent, queue_feed,"
        " commands, admin_commands, rules,"
        " include, require, exclude, ranking, log",
        "28: top: no such key; a community starts with [[community]]",
        "30: community_: no such key; a community starts with [[community]]",
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "none is declared"),
        ("community = 5", 1, "two brackets"),
        ("\n[community]\nslug = 'ab'", 2, "two brackets"),
        ("community = [1]", 1, "two brackets"),
        ("[[community]]\nslug = 'ab'\nslug = 'cd'", 3, "no valid TOML"),
        ("[[community]]\nslug = ab", 2, "no valid TOML"),
        ("[[community]]\nname = '''\nx\n", 4, "no valid TOML"),
        ("[[community]]\nname = '\x00'", 2, "no valid TOML"),
        ("x = " + "[" * 100_000, 1, "recursion"),
        ("x = " + "1" * 5000, 1, "digits"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(text: str, line: int, words: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"{line}: ") and words in fault


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing, binary, folder, pipe = (tmp_path / f"{name}.toml" for name in ("missing", "binary", "folder", "pipe"))
    binary.write_bytes(b"\xff")
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (missing, binary, folder, pipe):
        with pytest.raises(DeclarationError, match="toml: cannot be read"):
            read_declaration(path)


@given(st.text(max_size=60) | st.lists(st.sampled_from(GOOD.split()), max_size=20).map("\n".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_declaration(text)
    except DeclarationError as error:
        assert str(error)


def test_a_misspelt_table_is_found_at_its_own_line() -> None:
    text = '[[community]]\nslug = "ab"\nname = "AB"\ninclude.hashtags = ["x"]\n[community.excludes]\nreplies = true\n'
    (fault,) = faults(text)
    assert fault.startswith("5: community[1].excludes: no such key")


def test_a_key_without_a_name_is_no_table() -> None:
    (fault,) = faults('[[community]]\nslug = "ab"\nname = "AB"\ninclude.hashtags = ["x"]\n"" = {}\n')
    assert fault.startswith("1: community[1]: no such key; there are slug, ")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text('[[community]]\nslug = "ab"\nname = "AB"\ninclude.hashtags = ["x"]\n', encoding="utf-8-sig")
    assert [community.slug for community in read_declaration(path)] == ["ab"]
