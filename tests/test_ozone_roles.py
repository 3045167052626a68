"""The roles of the moderation API, as whole tables."""

from itertools import product

import pytest

from communities.access import Role as Member
from communities.access import Scope, Site, Standing, Status
from communities.limits import UNLIMITED
from models import team
from ozone.roles import BY_TOKEN, Caller, Role, manages, of_community, of_team

V, T, M, A = Role.VERIFIER, Role.TRIAGE, Role.MODERATOR, Role.ADMIN
TEAM: dict[tuple[Site, Role | None, bool], tuple[Role | None, bool]] = {
    # what the settings say, what the team says, whether it says disabled: the role, and whether they are disabled
    (Site.NOBODY, None, False): (None, False),
    (Site.MODERATOR, None, False): (M, False),
    (Site.ADMIN, None, False): (A, False),
    **{(Site.NOBODY, role, off): (role, off) for role in Role for off in (False, True)},
    **{(Site.MODERATOR, role, False): (max(role, M), False) for role in Role},
    **{(Site.ADMIN, role, False): (A, False) for role in Role},
    **{(Site.MODERATOR, role, True): (M, False) for role in Role},
    **{(Site.ADMIN, role, True): (A, False) for role in Role},
}
MANAGES = {A: {V, T, M, A}, M: {T, M}, T: {T}, V: {V}, None: set()}


def test_the_table_of_the_team_is_whole() -> None:
    assert set(TEAM) == {case for case in product(Site, (None, *Role), (False, True)) if case[1:] != (None, True)}


@pytest.mark.parametrize("case", TEAM, ids=str)
def test_the_team(case: tuple[Site, Role | None, bool]) -> None:
    assert of_team(*case) == TEAM[case]


@pytest.mark.parametrize(("role", "manager"), [*product((None, *Role), Role)])
def test_who_changes_what_is_managed_by_whom(role: Role | None, manager: Role) -> None:
    assert manages(role, manager) is (manager in MANAGES[role])


@pytest.mark.parametrize(
    ("status", "role", "scope", "above", "site"),
    [*product((None, *Status), Member, ({Scope.POSTS}, set(Scope), {Scope.PINS, Scope.MEMBERS}), (0, 1), Site)],
)
def test_roles_by_communities(status: Status | None, role: Member, scope: set[Scope], above: int, site: Site) -> None:
    """Nobody is more than a moderator by a community, nobody is anything without the posts, and a role for the whole
    site is not taken for one by a community.
    """
    found = of_community(Standing(status, role, frozenset(scope), above=bool(above), site=site))
    moderates = role is Member.ADMIN or (role is Member.MODERATOR and Scope.POSTS in scope)
    assert found is (M if above or (status is Status.MEMBER and moderates) else None)


@pytest.mark.parametrize(("team", "community"), [*product((None, *Role), (None, M))])
def test_the_highest_counts_and_only_the_team_administers(team: Role | None, community: Role | None) -> None:
    who = Caller("did:plc:a", team, {5: UNLIMITED} if community else {})
    assert who.role == (max(filter(None, (team, community)), default=None))
    assert who.administers is (team is A)
    assert who.role_in(5) == who.role and who.role_in(6) == who.role_in(0) == team


def test_they_are_written_as_the_lexicon_has_them() -> None:
    assert list(BY_TOKEN) == [
        f"tools.ozone.team.defs#role{name}" for name in ("Verifier", "Triage", "Moderator", "Admin")
    ]


def test_rows_of_a_team_have_the_numbers_of_roles() -> None:
    assert M == team.MODERATOR and min(V, T, M) == V and max(V, T) < team.MODERATOR <= A
