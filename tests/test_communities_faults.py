"""The names of faults and what authors are told of each."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civic.joining import LEFT
from communities.access import Role, Standing, State, Status, Type
from communities.community import Community
from communities.directory import MOST_ABOVE, settle
from communities.faults import MOST_WHY, REMEDIES, SENTENCES, SUPERSEDED, message, reason
from communities.membership import MEMBER, Membership, Own, RefusedError, step
from communities.records import OURS, RecordRefusedError, read_said
from firehose.declared import LATER
from firehose.founding import NOT_ALLOWED
from lexicons.catalog import documents
from models.communities import SLUG_TAKEN, TYPE_CHANGED
from tests.didnet import plc
from xrpc.lexicon import Catalog

CATALOG = Catalog(documents())


def refusals() -> set[str]:
    """The names by which joining is refused, whoever tries it anywhere."""
    found = set()
    held = (None, *map(Membership, Status), Membership(Status.MEMBER, Role.ADMIN), MEMBER)
    for deed, mine, kind, state in product((Own.JOIN, Own.AGREE), held, Type, State):
        who = Standing(mine.status if mine else None)
        try:
            step(deed, mine, kind=kind, state=state, subject=who, actor=who, admins=1)
        except RefusedError as refused:
            found.add(refused.name)
    return found


def misplaced() -> set[str]:
    """Every reason why a parent does not count."""
    line = [
        (n, None, Community(f"c{n}", "", owner="a", parent=f"c{n - 1}" if n else None)) for n in range(MOST_ABOVE + 2)
    ]
    others = [
        (1000, "at://b", Community("b", "", owner="b", parent="c0")),
        (1001, None, Community("x", "", parent="nowhere")),
        (1002, None, Community("y", "", parent="y")),
        (1003, None, Community("closed", "", kind="hidden")),
        (1004, None, Community("z", "", parent="closed")),
    ]  # fmt: skip
    return set(settle([*line, *others], lambda did, community: False).faults.values())


def test_there_is_a_sentence_for_every_fault_that_a_record_may_get() -> None:
    assert misplaced() == {"UnknownParent", "ParentCycle", "MoreVisible", "TooDeep", "NotParentAdmin"}
    assert refusals() >= {"Banned", "Archived", "InviteOnly"}
    others = {NOT_ALLOWED, SLUG_TAKEN, TYPE_CHANGED, "TooMany", LATER, LEFT, SUPERSEDED}
    assert refusals() | misplaced() | others <= SENTENCES.keys()


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_a_message_is_one_sentence(name: str) -> None:
    said = message(name, None)
    assert said[0].isupper() and said.endswith(".") and ". " not in said and ": " in said


def test_what_is_refused_says_why_and_what_to_do() -> None:
    for name, what in REMEDIES.items():
        said = message(name, "this is why")
        assert said == f"It is refused: this is why; {what}."
        assert message(name, "this is why", goes_on=True).startswith(said[:-1] + "; until then the community is as")
    assert message("Unheard", "x") == "It is refused: x; put that right and write the record again."
    assert message("Unheard", None).endswith("name this fault.")


DID = plc(1)
COMMUNITY = f"at://{DID}/social.communities.community/birds"
WHEN = {"createdAt": "2026-01-31T12:00:00Z"}
OPEN = {"type": "open", "name": "Birds"} | WHEN
REFUSED = [
    ("community", "birds", {"type": "open"} | WHEN, "InvalidRecord"),
    ("community", "Birds", OPEN, "InvalidSlug"),
    ("community", "everything", OPEN, "ReservedSlug"),
    ("community", "birds", OPEN | {"type": "hidden"}, "TypeNotAvailable"),
    ("community", "birds", OPEN | {"include": {"keywords": ["a"] * 5001}}, "TooLarge"),
    ("membership", "3kznmn7xqxl22", {"community": COMMUNITY.replace(DID, "a.example.com")} | WHEN, "InvalidCommunity"),
    ("role", "3kznmn7xqxl22", {"community": COMMUNITY.replace(DID, plc(2)), "subject": DID, "role": "admin"} | WHEN,
     "NotTheOwner"),
    ("role", "3kznmn7xqxl22", {"community": COMMUNITY, "subject": DID, "role": "emperor"} | WHEN, "UnknownRole"),
    ("submission", "3kznmn7xqxl22", {"community": COMMUNITY, "post": {"uri": COMMUNITY,
     "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"}} | WHEN, "NotYourPost"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "rkey", "record", "name"), REFUSED, ids=[name for *_, name in REFUSED])
def test_what_to_do_is_said_for_every_refusal(kind: str, rkey: str, record: dict[str, object], name: str) -> None:
    collection = f"social.communities.{kind}"
    with pytest.raises(RecordRefusedError) as refused:
        read_said(CATALOG, DID, collection, rkey, {"$type": collection} | record)
    assert refused.value.name == name and name in REMEDIES
    assert reason(str(refused.value)) == str(refused.value), "the whole of it is told"


def test_every_refusal_is_among_them() -> None:
    assert {name for *_, name in REFUSED} | {TYPE_CHANGED} == REMEDIES.keys()


@given(st.text())
def test_a_reason_is_short_and_controls_nothing(text: str) -> None:
    made = reason(text)
    assert len(made) == min(len(text), MOST_WHY)
    assert made.isprintable() or "\N{REPLACEMENT CHARACTER}" in made
    assert all(kept in (said, "\N{REPLACEMENT CHARACTER}") for kept, said in zip(made, text, strict=False))
    assert not set(made) & {chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x200B)}
    made.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.sampled_from(sorted(OURS)), st.text(max_size=20), st.dictionaries(st.text(), JSON))
def test_no_text_of_a_record_stands_in_the_reason(collection: str, rkey: str, record: dict[str, object]) -> None:
    with pytest.raises(RecordRefusedError) as refused:
        read_said(CATALOG, DID, collection, rkey, {"$type": collection, "zzz": "forged"} | record)
    why = str(refused.value)
    assert why.isprintable() and "forged" not in why
