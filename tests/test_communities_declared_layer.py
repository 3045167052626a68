"""communities.toml: communities within others, the rules of each, and the ways in which posts come."""

import pytest

from communities.declaration import parse_declaration
from tests.didnet import plc
from tests.test_communities_declaration import NOTHING, faults

# Communities within communities


def town(**parents: str) -> str:
    """Communities with parents, each on four lines: the first is that of `[[community]]`, the fourth the parent's."""
    return "\n".join(
        f"[[community]]\nslug = '{slug}'\nname = 'X'\n"
        + f"parent = '{parent}'\n" * bool(parent)
        + "\n" * (not parent)
        + f"include.hashtags = ['{slug}']"
        for slug, parent in parents.items()
    )


def test_communities_stand_below_each_other_in_any_order_and_whoever_owns_them() -> None:
    text = town(roses="flowers", flowers="plants", plants="", moss="plants")
    text = text.replace("slug = 'roses'", f"slug = 'roses'\nowner = '{plc(1)}'")
    text = text.replace("slug = 'plants'", f"slug = 'plants'\nowner = '{plc(2)}'")
    assert [(one.slug, one.parent) for one in parse_declaration(text)] == [
        ("roses", "flowers"),
        ("flowers", "plants"),
        ("plants", None),
        ("moss", "plants"),
    ]


CIRCLES = {
    "aa": ("part of itself: aa > aa", {"aa": "aa", "bb": ""}, [4]),
    "ab": ("part of itself: ", {"aa": "bb", "bb": "aa"}, [4, 9]),
    "abc and a tail": ("part of itself: ", {"dd": "aa", "aa": "bb", "bb": "cc", "cc": "aa", "ee": "dd"}, [9, 14, 19]),
    "unknown": ("no community of this file has this slug", {"aa": "bb", "cc": "aa"}, [4]),
    "two": ("no community of this file has this slug", {"aa": "xx", "bb": "yy"}, [4, 9]),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_parents_that_cannot_be(name: str) -> None:
    words, parents, at = CIRCLES[name]
    found = faults(town(**parents))
    assert [int(fault.partition(":")[0]) for fault in found] == at
    assert all(words in fault and ".parent: " in fault for fault in found), found


def test_a_circle_is_shown() -> None:
    (_, second, _) = faults(town(aa="bb", bb="cc", cc="aa"))
    assert second == "9: community[2].parent: the community would be part of itself: bb > cc > aa > bb"


def test_only_so_many_stand_above_each_other() -> None:
    slugs = [f"c{number}" for number in range(103)]
    assert len(parse_declaration(town(**dict(zip(slugs[:101], ["", *slugs], strict=False))))) == 101
    (fault,) = faults(town(**dict(zip(slugs[:102], ["", *slugs], strict=False))))
    assert fault == f"{101 * 5 + 4}: community[102].parent: more than 100 communities would stand above it"


def test_a_parent_with_faults_of_its_own_is_not_called_unknown() -> None:
    text = town(aa="bb", bb="").replace("slug = 'bb'\nname = 'X'", "slug = 'bb'\nname = ''")
    assert faults(text) == ["8: community[2].name: must be a text that is not empty"]


def test_all_that_is_wrong_with_types_and_parents_is_told_at_once() -> None:
    text = town(aa="bb", bb="zz", cc="bb").replace("slug = 'bb'", "slug = 'bb'\ntype = 'private'")
    found = sorted(faults(text), key=lambda fault: int(fault.partition(":")[0]))
    assert [fault.partition(": ")[0] for fault in found] == ["4", "8", "10", "15"]
    assert found[0].endswith(
        "parent: a community of type open is more visible than one of type private and cannot be part of it"
    )
    assert "type: 'private' cannot be kept yet: whatever is in a public repository can be read by all" in found[1]
    assert "all types but open wait for permissioned data" in found[1]
    assert "no community of this file has this slug" in found[2]
    assert ".parent: a community of type open is more visible" in found[3]


def test_each_rule_has_lines_of_its_own() -> None:
    text = """[[community]]
slug = "ab"
name = "AB"
include.hashtags = ["x"]
[[community.rules]]
name = "Good"
[[community.rules]]
text = "nameless"
[community.log]
who = "x"
[[community.rules]]
name = "Good too"
text = 5
[[community]]
slug = "cd"
name = "CD"
include.hashtags = ["x"]
[[community.rules]]
name = ""
"""
    assert sorted(faults(text), key=lambda fault: int(fault.partition(":")[0])) == [
        "7: community[1].rules[2].name: is missing",
        "10: community[1].log.who: must be one of nobody, role, actor, not 'x'",
        "13: community[1].rules[3].text: must be a text",
        "19: community[2].rules[1].name: must be a text that is not empty",
    ]


# What may select nothing


@pytest.mark.parametrize(
    "line",
    ["include.joined = true", f'account = "{plc(1)}"', 'posting = "restricted"', 'include.hashtags = ["x"]'],
)
def test_posts_come_in_one_way_at_least(line: str) -> None:
    (found,) = parse_declaration(f'[[community]]\nslug = "ab"\nname = "AB"\n{line}\n')
    assert found.slug == "ab"


@pytest.mark.parametrize(
    "line",
    ["", "include = {}", "include.joined = false", "include.hashtags = []", 'posting = "members"', 'join_by = ["tag"]',
     f'owner = "{plc(1)}"'],
)  # fmt: skip
def test_a_community_that_no_post_could_enter_is_a_mistake(line: str) -> None:
    (fault,) = faults(f'[[community]]\nslug = "ab"\nname = "AB"\n{line}\n')
    assert fault.endswith(f": community[1].include: {NOTHING}")
