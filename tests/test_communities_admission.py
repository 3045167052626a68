"""What becomes of a post: every combination of what is known of it, held against a table that is read from the top."""

from collections import Counter
from itertools import product

import pytest

from communities.access import Posting, Role, Site, Standing, State, Status
from communities.admission import BANNED, PENDING, REMOVED, Decided, Held, Outcome, Verdict, judge
from communities.directory import Settings

NOW, OLD = b"now", b"old"
AUTHORS = {
    "stranger": Standing(),
    "asking": Standing(Status.REQUESTED),
    "member": Standing(Status.MEMBER),
    "moderator": Standing(Status.MEMBER, Role.MODERATOR),
    "banned": Standing(Status.BANNED),
    "above": Standing(above=True),
    "banned-above": Standing(Status.BANNED, above=True),
    "banned-site": Standing(Status.BANNED, site=Site.MODERATOR),
}
DECIDED = {
    "none": None,
    "removed": Decided(Verdict.REMOVED, NOW, 1),
    "removed-old": Decided(Verdict.REMOVED, OLD, 1),
    "approved": Decided(Verdict.APPROVED, NOW, 1),
    "approved-old": Decided(Verdict.APPROVED, OLD, 1),
}
HELD = {
    "none": None,
    "in": Held(NOW, pending=False),
    "in-old": Held(OLD, pending=False),
    "waits": Held(NOW, pending=True),
    "waits-old": Held(OLD, pending=True),
}
# What becomes of a new post where nothing is said against it, while the community is active.
NEW = """
              anyone    members   approval  restricted
stranger      admitted  refused   refused   refused
asking        admitted  refused   refused   refused
member        admitted  admitted  pending   refused
moderator     admitted  admitted  pending   admitted
banned        refused   refused   refused   refused
above         admitted  refused   refused   refused
banned-above  admitted  refused   refused   refused
banned-site   admitted  refused   refused   refused
"""
# The first line that fits says what becomes of it; - fits everything. `new` is what NEW says.
TABLE = """
opted  author  decided       selected  refusal  held       posting   new       outcome
yes    -       -             -         -        -          -         -         withdrawn
-      banned  -             -         -        none       -         -         refused
-      banned  -             -         -        -          -         -         banned
-      -       removed       -         -        -          -         -         removed
-      -       removed-old   -         -        -          -         -         removed
-      -       approved      -         -        -          -         -         admitted
-      -       approved-old  -         -        none       approval  -         pending
-      -       approved-old  -         -        in-old     approval  -         pending
-      -       approved-old  -         -        waits      approval  -         pending
-      -       approved-old  -         -        waits-old  approval  -         pending
-      -       approved-old  no        -        -          -         -         pending
-      -       -             no        -        -          -         -         refused
-      -       -             -         yes      -          -         -         refused
-      -       -             -         -        waits      -         admitted  admitted
-      -       -             -         -        waits-old  -         admitted  admitted
-      -       -             -         -        waits      -         -         pending
-      -       -             -         -        waits-old  -         -         pending
-      -       -             -         -        in-old     approval  -         pending
-      -       -             -         -        in         -         -         admitted
-      -       -             -         -        in-old     -         -         admitted
-      -       -             -         -        none       -         admitted  admitted
-      -       -             -         -        none       -         pending   pending
-      -       -             -         -        none       -         refused   refused
"""
CASES = list(product(("no", "yes"), AUTHORS, DECIDED, ("no", "yes"), ("no", "yes"), HELD, Posting, State))


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().split("\n")]


def new(author: str, posting: Posting, state: State) -> str:
    head, *lines = rows(NEW)
    table = {name: dict(zip(head, cells, strict=True)) for name, *cells in lines}
    return table[author][posting] if state is State.ACTIVE else "refused"


def test_every_combination_is_what_the_table_says() -> None:
    head, *lines = rows(TABLE)
    used: Counter[int] = Counter()
    for opted, author, decided, selected, refusal, held, posting, state in CASES:
        case = [opted, author, decided, selected, refusal, held, posting, new(author, posting, state)]
        fits = [all(cell in ("-", said) for cell, said in zip(line, case, strict=False)) for line in lines]
        used[fits.index(True)] += 1
        found = judge(
            Settings(1, "x", posting=posting, state=state),
            AUTHORS[author],
            NOW,
            selected=selected == "yes",
            decided=DECIDED[decided],
            held=HELD[held],
            opted_out="its author opted out" if opted == "yes" else None,
            refusal="it is a reply" if refusal == "yes" else None,
        )
        assert found.outcome == lines[fits.index(True)][-1], dict(zip(head, case, strict=False))
        assert found.why or found.outcome is Outcome.ADMITTED
    assert sorted(used) == list(range(len(lines))), "a line of the table that nothing needs"


def why(posting: Posting = Posting.ANYONE, state: State = State.ACTIVE, author: str = "stranger", *,
        opted_out: str | None = None, decided: str = "none", refusal: str | None = None) -> str:  # fmt: skip
    settings = Settings(1, "x", posting=posting, state=state)
    return judge(settings, AUTHORS[author], NOW, selected=True, decided=DECIDED[decided], opted_out=opted_out,
                 refusal=refusal).why  # fmt: skip


def test_people_are_told_why() -> None:
    assert why(opted_out="#nofeed", decided="removed", author="banned") == "#nofeed"
    assert why(author="banned", decided="approved") == "its author is banned"
    assert why(decided="removed", refusal="it is a reply") == "a moderator removed it"
    assert why(decided="approved", refusal="it is a reply") == "a moderator approved it"
    assert why(refusal="it is a reply", posting=Posting.MEMBERS) == "it is a reply"
    assert why(Posting.MEMBERS) == why(Posting.APPROVAL) == "only members post here"
    assert why(Posting.RESTRICTED, author="member") == "only moderators post here"
    assert why(Posting.APPROVAL, author="member") == "every post waits for approval here"
    assert why(state=State.PAUSED) == "the community is paused"
    assert why(Posting.MEMBERS, State.ARCHIVED) == "the community is archived"
    assert why(Posting.APPROVAL, author="member", decided="approved-old").startswith("it was edited")


BITS = {"none": None, "in": BANNED, "in-old": BANNED, "waits": BANNED | PENDING, "waits-old": BANNED | PENDING}


@pytest.mark.parametrize("held", HELD)
def test_what_a_ban_hides_comes_back_as_it_was(held: str) -> None:
    """Somebody who is banned and forgiven has not got round the moderators by it, also not with an edit meanwhile."""
    settings = Settings(1, "x", posting=Posting.MEMBERS)
    found = judge(settings, AUTHORS["banned"], NOW, selected=True, held=HELD[held])
    assert found.hidden == BITS[held]
    strict = judge(Settings(1, "x", posting=Posting.APPROVAL), AUTHORS["banned"], NOW, selected=True, held=HELD[held])
    assert strict.hidden == (BANNED | PENDING if held == "in-old" else BITS[held])
    removed = judge(settings, AUTHORS["banned"], NOW, selected=True, held=HELD[held], decided=DECIDED["removed"])
    assert removed.hidden == (None if held == "none" else BANNED | REMOVED), "what was removed stays so after the ban"


def test_the_bits_of_the_feed_item() -> None:
    settings = Settings(1, "x", posting=Posting.APPROVAL)
    member = AUTHORS["member"]
    assert judge(settings, member, NOW, selected=True).hidden == PENDING
    assert judge(settings, member, NOW, selected=True, decided=DECIDED["approved"]).hidden == 0
    assert judge(settings, member, NOW, selected=True, decided=DECIDED["removed"]).hidden == REMOVED
    assert judge(settings, member, NOW, selected=False).hidden is None
    assert judge(settings, member, NOW, selected=True, opted_out="#private", held=HELD["in"]).hidden is None
    assert len({PENDING, REMOVED, BANNED, 1}) == 4
