"""The truth tables of who may see, join, write and decide, for every kind of community and every kind of person."""

from itertools import product

import pytest

from communities.access import (
    AVAILABLE,
    CHILDREN,
    EVERYTHING,
    Action,
    Admission,
    Posting,
    Role,
    Scope,
    Site,
    Standing,
    State,
    Status,
    Type,
    discoverable,
    joins_as,
    may_decide,
    may_post,
    readable,
)

PEOPLE = {
    "nobody": Standing(),
    "of parent": Standing(of_parent=True),
    "requested": Standing(Status.REQUESTED),
    "invited": Standing(Status.INVITED),
    "member": Standing(Status.MEMBER),
    "moderator": Standing(Status.MEMBER, Role.MODERATOR),
    "admin": Standing(Status.MEMBER, Role.ADMIN),
    "above": Standing(above=True),
    "above, joined": Standing(Status.MEMBER, above=True),
    "above, banned": Standing(Status.BANNED, above=True),
    "site moderator": Standing(site=Site.MODERATOR),
    "site moderator, joined": Standing(Status.MEMBER, site=Site.MODERATOR),
    "site admin": Standing(site=Site.ADMIN),
    "site admin, joined": Standing(Status.MEMBER, site=Site.ADMIN),
    "banned": Standing(Status.BANNED),
    "banned of parent": Standing(Status.BANNED, of_parent=True),
}

# Discoverable, readable, and what self-join gives (R: asks to; M: member; -: nothing), a column a type.
SEEN = """
                        open  private  hidden  private-open  hidden-open  hidden-private
nobody                  drM   d.R      ..-     d.R           ..-          ..-
of parent               drM   d.R      ..-     drM           drM          d.R
requested               dr-   d.-      ..-     d.-           ..-          ..-
invited                 dr-   d.-      d.-     d.-           d.-          d.-
member                  dr-   dr-      dr-     dr-           dr-          dr-
moderator               dr-   dr-      dr-     dr-           dr-          dr-
admin                   dr-   dr-      dr-     dr-           dr-          dr-
above                   drM   drR      dr-     drR           dr-          dr-
above, joined           dr-   dr-      dr-     dr-           dr-          dr-
above, banned           dr-   dr-      dr-     dr-           dr-          dr-
site moderator          drM   drR      dr-     drR           dr-          dr-
site moderator, joined  dr-   dr-      dr-     dr-           dr-          dr-
site admin              drM   drR      dr-     drR           dr-          dr-
site admin, joined      dr-   dr-      dr-     dr-           dr-          dr-
banned                  ..-   ..-      ..-     ..-           ..-          ..-
banned of parent        ..-   ..-      ..-     ..-           ..-          ..-
"""

# By posting mode: admitted, pending, refused; where the community can be read.
WRITTEN = """
                        anyone  members  approval  restricted
nobody                  a       r        r         r
of parent               a       r        r         r
requested               a       r        r         r
invited                 a       r        r         r
member                  a       a        p         r
moderator               a       a        p         a
admin                   a       a        p         a
above                   a       r        r         r
above, joined           a       a        p         a
above, banned           a       r        r         r
site moderator          a       r        r         r
site moderator, joined  a       a        p         r
site admin              a       r        r         r
site admin, joined      a       a        p         a
banned                  r       r        r         r
banned of parent        r       r        r         r
"""

MODERATION = (
    "approve", "remove", "restore", "pin", "unpin", "invite", "accept", "decline", "ban", "unban", "expel",
)  # fmt: skip
ADMINISTRATION = ("setRole", "edit", "delete", "createChild")

# Moderation, administration.
DECIDED = {
    "moderator": (True, False),
    "admin": (True, True),
    "above": (True, True),
    "above, joined": (True, True),
    "above, banned": (True, True),
    "site admin": (True, True),
    "site admin, joined": (True, True),
}


def table(text: str) -> dict[tuple[str, str], str]:
    """(row, column) -> cell."""
    head, *lines = text.strip("\n").split("\n")
    columns = head.split()
    found = {}
    for line in lines:
        cells = line[24:].split()
        assert len(cells) == len(columns), line
        found |= {(line[:24].strip(), column): cell for column, cell in zip(columns, cells, strict=True)}
    return found


@pytest.mark.parametrize(("name", "kind"), [*product(PEOPLE, Type)])
def test_who_sees_a_community_and_joins_it(name: str, kind: Type) -> None:
    who, cell = PEOPLE[name], table(SEEN)[name, kind.value]
    assert discoverable(kind, who) is (cell[0] == "d")
    assert readable(kind, who) is (cell[1] == "r")
    assert joins_as(kind, State.ACTIVE, who) == {"M": Status.MEMBER, "R": Status.REQUESTED, "-": None}[cell[2]]
    assert joins_as(kind, State.PAUSED, who) == joins_as(kind, State.ACTIVE, who)
    assert joins_as(kind, State.ARCHIVED, who) is None


@pytest.mark.parametrize(("name", "kind", "posting"), [*product(PEOPLE, Type, Posting)])
def test_who_posts(name: str, kind: Type, posting: Posting) -> None:
    cell = table(WRITTEN)[name, posting.value] if table(SEEN)[name, kind.value][1] == "r" else "r"
    admission = {"a": Admission.ADMITTED, "p": Admission.PENDING, "r": Admission.REFUSED}[cell]
    assert may_post(kind, posting, State.ACTIVE, PEOPLE[name]) is admission
    for state in (State.PAUSED, State.ARCHIVED):
        assert may_post(kind, posting, state, PEOPLE[name]) is Admission.REFUSED


@pytest.mark.parametrize("name", PEOPLE)
def test_who_decides(name: str) -> None:
    assert {*MODERATION, *ADMINISTRATION} == {action.value for action in Action}
    moderation, administration = DECIDED.get(name, (False, False))
    for action in Action:
        assert may_decide(action, PEOPLE[name]) is (moderation if action in MODERATION else administration), action


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_bounds_a_moderator_and_no_admin(scope: Scope) -> None:
    within = {
        Scope.POSTS: {Action.APPROVE, Action.REMOVE, Action.RESTORE},
        Scope.PINS: {Action.PIN, Action.UNPIN},
        Scope.MEMBERS: {Action.INVITE, Action.ACCEPT, Action.DECLINE, Action.BAN, Action.UNBAN, Action.EXPEL},
    }[scope]
    moderator = Standing(Status.MEMBER, Role.MODERATOR, frozenset((scope,)))
    assert {action for action in Action if may_decide(action, moderator)} == within
    assert all(may_decide(action, Standing(Status.MEMBER, Role.ADMIN, frozenset())) for action in Action)


def test_a_role_is_nothing_without_a_membership() -> None:
    for status in (None, Status.REQUESTED, Status.INVITED, Status.BANNED):
        who = Standing(status, Role.ADMIN, EVERYTHING)
        assert not any(may_decide(action, who) for action in Action)
        assert not readable(Type.PRIVATE, who)


def test_a_child_is_never_more_visible_than_what_stands_above_it() -> None:
    """Whoever sees a child by its type alone, and is not of it, sees its parent as a member of that, or as anybody."""
    assert set(CHILDREN) == set(Type)
    stranger, of_parent, of_it = Standing(), Standing(of_parent=True), Standing(Status.MEMBER)
    for parent, children in CHILDREN.items():
        for child in children:
            for sees in (discoverable, readable):
                assert not sees(child, stranger) or sees(parent, stranger), (parent, child)
                assert not sees(child, of_parent) or sees(parent, of_it), (parent, child)


def test_whoever_reads_also_finds() -> None:
    for who, kind in product(PEOPLE.values(), Type):
        assert discoverable(kind, who) or not readable(kind, who)


def test_only_what_is_public_can_be_kept_for_now() -> None:
    assert {Type.OPEN} == AVAILABLE
