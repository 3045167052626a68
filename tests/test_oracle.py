"""The oracle: that it is independent of the service, and that it notices."""

import ast
import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from service.ownership import PACKAGES
from tests import oracle as module
from tests.oracle import ITEM, POST, Oracle, Rule, Seen, Verdict

NOW = 1_700_000_000_000_000
ALICE, BOB, LIST = "did:plc:alice", "did:plc:bob", "at://did:plc:alice/app.bsky.graph.list/1"
FIRST, SECOND = f"at://{ALICE}/{POST}/1", f"at://{ALICE}/{POST}/2"


def imported(path: Path) -> set[str]:
    """The modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_it_shares_no_code_with_the_service_and_none_with_the_network() -> None:
    found = imported(Path(module.__file__))
    assert found == {"collections", "collections.abc", "dataclasses", "datetime", "typing"}
    root = Path(module.__file__).parents[1]
    world = list((root / "tests" / "world").glob("*.py"))
    assert len(world) > 10
    for path in [*world, root / "tests" / "history.py"]:
        assert not {name.partition(".")[0] for name in imported(path)} & {*PACKAGES}, path
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            assert not {name for name in imported(path) if name.startswith("tests")}, path


def some() -> Oracle:
    """Two posts of Alice, liked by Bob; a list that he is on."""
    oracle = Oracle((Rule("python", tags=("python",)), Rule("friends", lists=(LIST,))))
    for number in (1, 2):
        oracle.put(ALICE, f"{POST}/{number}", f"cid{number}", post("python", number), NOW + number)
    for number, uri in enumerate((FIRST, SECOND)):
        oracle.put(BOB, f"app.bsky.feed.like/{number}", "", {"subject": {"uri": uri}}, NOW + 10)
    oracle.put(ALICE, f"{ITEM}/1", "", {"list": LIST, "subject": BOB}, NOW + 20)
    return oracle


def post(tag: str, second: int = 0) -> dict[str, object]:
    return {"text": "", "tags": [tag], "createdAt": f"2023-11-14T22:13:{second:02}Z"}


def test_what_is_as_it_must_be_is_clean() -> None:
    oracle = some()
    assert oracle.index().feeds == {"python": [SECOND, FIRST], "friends": []}
    verdict = oracle.verdict(oracle.index())
    assert verdict.clean and not verdict.early, verdict


def forget_post(seen: Seen) -> None:
    del seen.posts[FIRST]


def forget_like(seen: Seen) -> None:
    del seen.edges[BOB, "like", "0"]


def double(seen: Seen) -> None:
    seen.feeds["python"].append(FIRST)


def count_twice(seen: Seen) -> None:
    seen.posts[FIRST] = "cid1", (2, 0, 0, 0)


def count_less(seen: Seen) -> None:
    seen.posts[FIRST] = "cid1", (0, 0, 0, 0)


def keep_old(seen: Seen) -> None:
    seen.posts[FIRST] = "another", (1, 0, 0, 0)


def swap(seen: Seen) -> None:
    seen.feeds["python"].reverse()


def invent(seen: Seen) -> None:
    seen.posts[FIRST + "x"] = "cid", (0, 0, 0, 0)


def misplace(seen: Seen) -> None:
    seen.items["friends", FIRST] = frozenset(("member:x",))


def misjudge(seen: Seen) -> None:
    seen.items["python", FIRST] = frozenset(("hashtag:rust",))


def lose_item(seen: Seen) -> None:
    del seen.items["python", FIRST]


def lose_from_feed(seen: Seen) -> None:
    seen.feeds["python"].remove(FIRST)


def move_like(seen: Seen) -> None:
    seen.edges[BOB, "like", "0"] = SECOND


def add_member(seen: Seen) -> None:
    seen.lists[ALICE, "2"] = LIST, ALICE


def lose_member(seen: Seen) -> None:
    seen.lists.clear()


def hide(seen: Seen) -> None:
    seen.accounts[ALICE] = False, "suspended"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (forget_post, "lost"), (forget_like, "lost"), (count_less, "lost"), (lose_item, "lost"),
        (lose_from_feed, "lost"), (lose_member, "lost"), (double, "doubled"), (count_twice, "doubled"),
        (invent, "resurrected"), (misplace, "resurrected"), (add_member, "resurrected"),
        (keep_old, "wrong"), (swap, "wrong"), (misjudge, "wrong"), (move_like, "wrong"), (hide, "wrong"),
    ],
)  # fmt: skip
def test_it_notices(damage: Callable[[Seen], None], named: str) -> None:
    oracle = some()
    found = copy.deepcopy(oracle.index())
    damage(found)
    verdict = oracle.verdict(found)
    assert getattr(verdict, named), verdict
    assert not verdict.clean


@pytest.mark.parametrize("how", ["deleted", "edited", "hidden", "account deleted"])
def test_what_is_gone_and_comes_back_is_resurrected(how: str) -> None:
    oracle = some()
    before = copy.deepcopy(oracle.index())
    if how == "deleted":
        oracle.delete(ALICE, f"{POST}/1")
    elif how == "edited":
        oracle.put(ALICE, f"{POST}/1", "cid3", post("other"), NOW + 30)
    else:
        oracle.stands(ALICE, False, "suspended" if how == "hidden" else "deleted")
    assert oracle.verdict(oracle.index()).clean
    verdict = oracle.verdict(before)
    assert any(FIRST in what for what in verdict.resurrected), verdict
    assert verdict.lost == []


def test_what_is_true_and_was_said_too_early_is_allowed_and_named() -> None:
    oracle = Oracle((Rule("python", tags=("python",)),))
    oracle.put(ALICE, f"{POST}/1", "cid1", post("other"), NOW)
    oracle.put(BOB, "app.bsky.feed.like/0", "", {"subject": {"uri": FIRST}}, NOW)
    oracle.put(ALICE, f"{POST}/1", "cid2", post("python"), NOW)
    assert oracle.index().posts == {FIRST: ("cid2", (0, 0, 0, 0))}
    found = oracle.index()
    found.edges[BOB, "like", "0"] = FIRST
    found.posts[FIRST] = "cid2", (1, 0, 0, 0)
    verdict = oracle.verdict(found)
    assert verdict == Verdict(early=[f"{(BOB, 'like', '0')} of {FIRST}"])
    oracle.reread(BOB, oracle.records[BOB], NOW)
    assert oracle.verdict(found) == Verdict()


def test_a_list_lets_posts_in_and_out() -> None:
    oracle = some()
    oracle.put(BOB, f"{POST}/b", "cid", post("nothing"), NOW)
    oracle.put(BOB, f"{ITEM}/x", "", {"list": LIST, "subject": ALICE}, NOW)  # not his list
    uri = f"at://{BOB}/{POST}/b"
    assert oracle.feed("friends") == [uri]
    oracle.delete(ALICE, f"{ITEM}/1")
    assert oracle.feed("friends") == []
    assert uri not in oracle.index().posts


def test_a_post_without_a_usable_date_may_stand_where_its_record_was_first_made() -> None:
    """Where its repository is read, its key says when that was; the stream says when it entered the community."""
    oracle = some()
    third, fourth = f"{POST}/3", f"{POST}/4"
    oracle.put(ALICE, third, "", post("cooking") | {"createdAt": "yesterday"}, NOW + 30_000_000)
    oracle.put(ALICE, fourth, "", post("python", 55), NOW + 40_000_000)
    oracle.put(ALICE, third, "", post("python") | {"createdAt": "yesterday"}, NOW + 50_000_000)
    by_stream = oracle.index()
    uris = [f"at://{ALICE}/{path}" for path in (third, fourth)]
    assert by_stream.feeds["python"] == [*uris, SECOND, FIRST]
    by_repository, wrong = copy.deepcopy(by_stream), copy.deepcopy(by_stream)
    by_repository.feeds["python"] = [*reversed(uris), SECOND, FIRST]
    assert oracle.verdict(by_repository).clean
    wrong.feeds["python"] = [uris[1], SECOND, FIRST, uris[0]]
    assert oracle.verdict(wrong).wrong == ["the order of python"]
