"""Memberships: every step from every state, the refusals by name, and long random lives of one community."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from communities.access import Action, Role, Scope, Site, Standing, State, Status, Type
from communities.membership import MEMBER, OTHERS, Membership, Own, RefusedError, in_force, set_role, step

HELD = {
    "none": None,
    "requested": Membership(Status.REQUESTED),
    "invited": Membership(Status.INVITED),
    "member": MEMBER,
    "moderator": replace(MEMBER, role=Role.MODERATOR),
    "admin": replace(MEMBER, role=Role.ADMIN),
    "banned": Membership(Status.BANNED),
}
BY_NAME = {held: name for name, held in HELD.items()}

# What becomes of it, or the name of the refusal; deeds of others are those of an admin here.
STEPS = """
         none         requested         invited         member         moderator      admin          banned
join     member       AlreadyRequested  AlreadyInvited  AlreadyMember  AlreadyMember  AlreadyMember  Banned
agree    NotInvited   NotInvited        member          NotInvited     NotInvited     NotInvited     Banned
refuse   NotInvited   NotInvited        none            NotInvited     NotInvited     NotInvited     Banned
leave    NotFound     none              none            none           none           none           Banned
invite   invited      AlreadyRequested  AlreadyInvited  AlreadyMember  AlreadyMember  AlreadyMember  Banned
accept   NotFound     member            NotRequested    NotRequested   NotRequested   NotRequested   NotRequested
decline  NotFound     none              NotRequested    NotRequested   NotRequested   NotRequested   NotRequested
ban      NotFound     banned            IsInvited       banned         DemoteFirst    DemoteFirst    Banned
unban    NotFound     NotBanned         NotBanned       NotBanned      NotBanned      NotBanned      member
expel    NotFound     none              none            none           none           IsAdmin        none
"""
ADMIN = Standing(Status.MEMBER, Role.ADMIN)
MODERATOR = Standing(Status.MEMBER, Role.MODERATOR)


def standing(held: Membership | None) -> Standing:
    return Standing(held.status, held.role, held.scope) if held else Standing()


def take(deed: Own | Action, held: Membership | None, actor: Standing = ADMIN, admins: int = 2, kind: Type = Type.OPEN,
         state: State = State.ACTIVE, until: int | None = None) -> str:  # fmt: skip
    """The name of what becomes of it, or of the refusal."""
    subject = standing(held)
    acts = subject if isinstance(deed, Own) else actor
    try:
        found = step(deed, held, kind=kind, state=state, subject=subject, actor=acts, admins=admins, until=until)
    except RefusedError as refusal:
        assert str(refusal).endswith(".")
        return refusal.name
    return BY_NAME[found and replace(found, until=None)]


@pytest.mark.parametrize(("deed", "name"), [*product((*Own, *sorted(OTHERS)), HELD)])
def test_every_step_from_every_state(deed: Own | Action, name: str) -> None:
    head, *lines = STEPS.strip("\n").split("\n")
    steps = {row: dict(zip(head.split(), cells, strict=True)) for row, *cells in map(str.split, lines)}
    assert take(deed, HELD[name]) == steps[deed.value][name]


@pytest.mark.parametrize("deed", sorted(OTHERS))
@pytest.mark.parametrize("name", HELD)
def test_deeds_of_others_need_a_role(deed: Action, name: str) -> None:
    for actor in (Standing(), Standing(Status.MEMBER), Standing(Status.BANNED), Standing(site=Site.MODERATOR)):
        assert take(deed, HELD[name], actor) == "NotPermitted"
    narrow = Standing(Status.MEMBER, Role.MODERATOR, frozenset((Scope.POSTS,)))
    assert take(deed, HELD[name], narrow) == "NotPermitted"
    if not (deed is Action.EXPEL and name == "moderator"):
        assert take(deed, HELD[name], MODERATOR) == take(deed, HELD[name])
    for actor in (Standing(above=True), Standing(site=Site.ADMIN)):
        assert take(deed, HELD[name], actor) == take(deed, HELD[name])


def test_what_is_no_matter_of_a_membership_is_no_step() -> None:
    for action in set(Action) - OTHERS:
        with pytest.raises(ValueError, match=f"^{action} decides about no membership$"):
            take(action, MEMBER)


def test_a_moderator_takes_no_moderator_out() -> None:
    assert take(Action.EXPEL, HELD["moderator"], MODERATOR) == "NotPermitted"


def test_the_last_admin_cannot_leave() -> None:
    assert take(Own.LEAVE, HELD["admin"], admins=1) == "LastAdmin"
    assert take(Own.LEAVE, HELD["moderator"], admins=1) == "none"
    # One whose role ends anyway is not the one that counts.
    passing = replace(MEMBER, role=Role.ADMIN, until=100)
    assert step(Own.LEAVE, passing, kind=Type.OPEN, state=State.ACTIVE, subject=standing(passing),
                actor=standing(passing), admins=1) is None  # fmt: skip


def test_nobody_joins_what_is_archived() -> None:
    for deed in (Own.JOIN, Action.INVITE):
        assert take(deed, None, state=State.ARCHIVED) == "Archived"
        assert take(deed, None, state=State.PAUSED) != "Archived"
    assert take(Own.LEAVE, MEMBER, state=State.ARCHIVED) == "none"


def test_who_may_not_join_by_themselves_asks_or_waits_for_an_invitation() -> None:
    assert take(Own.JOIN, None, kind=Type.PRIVATE) == "requested"
    assert take(Own.JOIN, None, kind=Type.HIDDEN) == "InviteOnly"


# Roles: the row is who has it now, the column what it becomes.
ROLES = {
    "none": ("NotMember", "NotMember", "NotMember"),
    "requested": ("NotMember", "NotMember", "NotMember"),
    "invited": ("NotMember", "NotMember", "NotMember"),
    "member": ("NoChange", "moderator", "admin"),
    "moderator": ("member", "moderator", "admin"),
    "admin": ("IsAdmin", "IsAdmin", "IsAdmin"),
    "banned": ("NotMember", "NotMember", "NotMember"),
}


def give(held: Membership | None, role: Role, actor: Standing, *, own: bool = False) -> str:
    try:
        return BY_NAME[set_role(held, role, own=own, actor=actor)]
    except RefusedError as refusal:
        return refusal.name


@pytest.mark.parametrize(("name", "role"), [*product(HELD, Role)])
def test_roles(name: str, role: Role) -> None:
    right = ROLES[name][role - 1]
    for actor in (ADMIN, Standing(above=True), Standing(site=Site.ADMIN)):
        assert give(HELD[name], role, actor) == right
    for actor in (Standing(), Standing(Status.MEMBER), MODERATOR, Standing(site=Site.MODERATOR)):
        assert give(HELD[name], role, actor) == (right if right in ("NotMember", "IsAdmin") else "NotPermitted")


def test_a_moderator_steps_down_alone_and_never_up() -> None:
    held = HELD["moderator"]
    assert give(held, Role.MEMBER, MODERATOR, own=True) == "member"
    assert give(held, Role.ADMIN, MODERATOR, own=True) == "NotPermitted"
    assert give(MEMBER, Role.MODERATOR, standing(MEMBER), own=True) == "NotPermitted"


def test_roles_and_bans_end() -> None:
    banned = step(Action.BAN, MEMBER, kind=Type.OPEN, state=State.ACTIVE, subject=standing(MEMBER), actor=ADMIN,
                  admins=1, until=100)  # fmt: skip
    assert in_force(banned, 99) == banned
    assert in_force(banned, 100) is None
    scope = frozenset((Scope.POSTS,))
    moderator = set_role(MEMBER, Role.MODERATOR, own=False, actor=ADMIN, scope=scope, until=100)
    assert (moderator.role, moderator.scope, moderator.until) == (Role.MODERATOR, scope, 100)
    assert in_force(moderator, 99) == moderator
    assert in_force(moderator, 100) == MEMBER
    assert in_force(None, 100) is None
    assert in_force(MEMBER, 100) == MEMBER


class Lives(RuleBasedStateMachine):
    """Many people and one community, beside a model that knows only sets."""

    people = st.integers(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, Membership] = {0: replace(MEMBER, role=Role.ADMIN)}
        self.members, self.banned, self.asked, self.called = {0}, set[int](), set[int](), set[int]()
        self.kind = Type.OPEN

    def standing(self, person: int) -> Standing:
        return standing(self.rows.get(person))

    def admins(self) -> int:
        return sum(row.status is Status.MEMBER and row.role is Role.ADMIN for row in self.rows.values())

    def deed(self, deed: Own | Action, actor: int, person: int) -> bool:
        try:
            found = step(deed, self.rows.get(person), kind=self.kind, state=State.ACTIVE, admins=self.admins(),
                         subject=self.standing(person), actor=self.standing(actor))  # fmt: skip
        except RefusedError:
            return False
        self.rows.pop(person, None)
        if found is not None:
            self.rows[person] = found
        return True

    @rule(kind=st.sampled_from((Type.OPEN, Type.PRIVATE, Type.HIDDEN)))
    def another_kind(self, kind: Type) -> None:
        """As if the same people had another community."""
        self.kind = kind

    @rule(person=people)
    def join(self, person: int) -> None:
        known = person in self.members | self.banned | self.asked | self.called
        assert self.deed(Own.JOIN, person, person) is (not known and self.kind is not Type.HIDDEN)
        if not known and self.kind is Type.OPEN:
            self.members.add(person)
        elif not known and self.kind is Type.PRIVATE:
            self.asked.add(person)

    @rule(person=people, deed=st.sampled_from((Own.AGREE, Own.REFUSE)))
    def answer(self, person: int, deed: Own) -> None:
        assert self.deed(deed, person, person) is (person in self.called)
        if person in self.called:
            self.called.discard(person)
            if deed is Own.AGREE:
                self.members.add(person)

    @rule(person=people)
    def leave(self, person: int) -> None:
        row = self.rows.get(person)
        last = row is not None and row.role is Role.ADMIN and self.admins() == 1
        may = person in self.members | self.asked | self.called and not last
        assert self.deed(Own.LEAVE, person, person) is may
        if may:
            for group in (self.members, self.asked, self.called):
                group.discard(person)

    @rule(actor=people, person=people, deed=st.sampled_from(sorted(OTHERS)))
    def decide(self, actor: int, person: int, deed: Action) -> None:
        before = self.rows.get(person)
        acts = self.rows.get(actor)
        done = self.deed(deed, actor, person)
        if done:
            assert acts is not None and acts.status is Status.MEMBER and acts.role >= Role.MODERATOR
            assert before is None or before.role is not Role.ADMIN
            for group in (self.members, self.banned, self.asked, self.called):
                group.discard(person)
            into = {Action.INVITE: self.called, Action.BAN: self.banned}
            into |= dict.fromkeys((Action.ACCEPT, Action.UNBAN), self.members)
            if deed in into:
                into[deed].add(person)

    @rule(actor=people, person=people, role=st.sampled_from(Role))
    def promote(self, actor: int, person: int, role: Role) -> None:
        try:
            self.rows[person] = set_role(self.rows.get(person), role, own=actor == person, actor=self.standing(actor))
        except RefusedError:
            return
        assert person in self.members

    @precondition(lambda self: len(self.rows) > 1)
    @rule(person=people)
    def nobody_acts_from_outside(self, person: int) -> None:
        stranger = Standing()
        for deed in OTHERS:
            with pytest.raises(RefusedError, match="role"):
                step(deed, self.rows.get(person), kind=self.kind, state=State.ACTIVE, admins=self.admins(),
                     subject=self.standing(person), actor=stranger)  # fmt: skip

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        for status, group in (
            (Status.MEMBER, self.members),
            (Status.BANNED, self.banned),
            (Status.REQUESTED, self.asked),
            (Status.INVITED, self.called),
        ):
            assert {person for person, row in self.rows.items() if row.status is status} == group
        assert self.admins() >= 1
        assert all(row.role is Role.MEMBER for row in self.rows.values() if row.status is not Status.MEMBER)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40)
