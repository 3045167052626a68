"""Who may label what: the whole truth table, held against another way to say it."""

import itertools

import pytest

from communities.access import EVERYTHING, Role, Scope, Site, Standing, Status
from communities.refs import POST
from labeler.permission import Facts, NotAllowedError, judge

VALUES = frozenset(("spam", "!warn"))
SCOPES = (EVERYTHING, frozenset((Scope.POSTS,)), frozenset((Scope.PINS, Scope.MEMBERS)), frozenset[Scope]())


def outcome(facts: Facts, add: tuple[str, ...], remove: tuple[str, ...]) -> str:
    try:
        judge(facts, VALUES, add, remove)
    except NotAllowedError as error:
        return error.name
    return "yes"


def expected(facts: Facts, add: tuple[str, ...], remove: tuple[str, ...]) -> str:
    """The same as a list of sentences."""
    who = facts.who
    site_admin = who.site is Site.ADMIN
    here = who.status is Status.MEMBER and (
        who.role is Role.ADMIN or (who.role is Role.MODERATOR and Scope.POSTS in who.scope)
    )
    if not (site_admin or who.above or here):
        return "NotPermitted"
    if not site_admin and any(val[0] == "!" for val in add + remove):
        return "NotPermitted"
    if not set(add) <= VALUES:
        return "UndeclaredLabel"
    if add and not (facts.belongs or site_admin):
        return "SubjectNotInCommunity"
    if not (site_admin or set(remove) <= facts.own):
        return "NotPermitted"
    return "yes"


def test_the_truth_table() -> None:
    seen = set()
    people = itertools.product((None, *Status), Role, SCOPES, (False, True), Site)
    changes = (
        (("spam",), ()), (("other",), ()), (("!warn",), ()), (("!hide",), ()), ((), ("spam",)), ((), ("!warn",)),
        (("spam",), ("gone",)),
    )  # fmt: skip
    for status, role, scope, above, site in people:
        who = Standing(status, role, scope, above, False, site)
        for belongs, own in itertools.product((False, True), (frozenset[str](), frozenset(("spam", "gone")))):
            for add, remove in changes:
                facts = Facts(who, belongs, own, POST)
                found = outcome(facts, add, remove)
                assert found == expected(facts, add, remove), (facts, add, remove)
                seen.add(found)
    assert seen == {"yes", "NotPermitted", "UndeclaredLabel", "SubjectNotInCommunity"}


@pytest.mark.parametrize("site", [Site.NOBODY, Site.MODERATOR])
def test_no_owner_of_a_community_reaches_what_every_app_obeys(site: Site) -> None:
    """S140."""
    owner = Standing(Status.MEMBER, Role.ADMIN, EVERYTHING, True, True, site)
    assert outcome(Facts(owner, True, frozenset(("!hide",)), POST), ("!warn",), ()) == "NotPermitted"
    assert outcome(Facts(owner, True, frozenset(("!hide",)), POST), (), ("!hide",)) == "NotPermitted"
