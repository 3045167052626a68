"""What a moderator's role is limited to: the truth tables of what it covers, who is limited, and who may grant what."""

from itertools import product

import pytest

from communities.access import (
    EVERYTHING,
    Action,
    Role,
    Scope,
    Site,
    Standing,
    Status,
    holds,
    may_decide,
    may_grant,
)
from communities.limits import ACCOUNT, UNLIMITED, Limits, limits_of, limits_text, read_limits
from communities.membership import MEMBER, RefusedError, set_role
from communities.refs import POST

SPAM, RUDE = (f"com.atproto.moderation.defs#reason{name}" for name in ("Spam", "Rude"))
ABOUT_POSTS = {Action.APPROVE, Action.REMOVE, Action.RESTORE, Action.PIN, Action.UNPIN}
ABOUT_PEOPLE = {Action.INVITE, Action.ACCEPT, Action.DECLINE, Action.BAN, Action.UNBAN, Action.EXPEL}
SETS = (None, frozenset[str](), frozenset(("a",)), frozenset(("b",)), frozenset(("a", "b")))
"""Not limited, nothing, one, the other, both."""


@pytest.mark.parametrize("names", SETS, ids=str)
def test_what_is_not_named_is_not_granted_and_what_is_absent_is_not_limited(names: frozenset[str] | None) -> None:
    for asked in ("a", "b", "A", "a ", "", "*"):
        granted = names is None or asked in names
        assert Limits(labels=names).labelled([asked]) == ([] if granted else [asked])
        assert Limits(collections=names).covers(asked) is granted
        assert Limits(reasons=names).covers(None, [asked]) is granted
    assert Limits(names, names, names).covers()
    assert Limits(names).cuts is False and Limits(names, names).cuts is Limits(names, None, names).cuts is (
        names is not None
    )


@pytest.mark.parametrize(("collections", "reasons"), [*product(SETS, SETS)])
def test_collection_and_all_reasons_must_be_covered(
    collections: frozenset[str] | None, reasons: frozenset[str] | None
) -> None:
    limits = Limits(None, collections, reasons)
    for about, asked in product("ab", (["a"], ["b"], ["a", "b"], [])):
        wanted = (collections is None or about in collections) and (reasons is None or set(asked) <= reasons)
        assert limits.covers(about, asked) is wanted


@pytest.mark.parametrize(("narrow", "wide"), [*product(SETS, SETS)])
def test_within(narrow: frozenset[str] | None, wide: frozenset[str] | None) -> None:
    """None holds all, so nothing that is limited holds it."""
    wanted = wide is None or (narrow is not None and narrow <= wide)
    for part in ("labels", "collections", "reasons"):
        assert Limits(**{part: narrow}).within(Limits(**{part: wide})) is wanted
    assert Limits(narrow, frozenset(), None).within(Limits(wide, None, frozenset())) is False


@pytest.mark.parametrize(("labels", "reasons"), [*product(SETS, SETS)])
def test_limits_are_read_as_they_were_stored(labels: frozenset[str] | None, reasons: frozenset[str] | None) -> None:
    for collections in (None, frozenset[str](), frozenset((POST, ACCOUNT))):
        limits = Limits(labels, collections, reasons)
        assert read_limits(limits_text(limits)) == limits == limits_of(limits.said())
    assert limits_text(UNLIMITED) == "{}"


def test_what_is_no_collection_grants_nothing() -> None:
    """Not even what reports of messages have in its place."""
    said = {"collections": [POST, ACCOUNT, "message", "conversation", "*", "accounts", "app.bsky"]}
    assert limits_of(said) == Limits(collections=frozenset((POST, ACCOUNT)))


@pytest.mark.parametrize("collections", [None, set(), {POST}, {ACCOUNT}, {POST, ACCOUNT}, {"app.bsky.graph.list"}])
@pytest.mark.parametrize("action", Action)
def test_who_is_limited(collections: set[str] | None, action: Action) -> None:
    limits = Limits(frozenset(), None if collections is None else frozenset(collections), frozenset())
    for status, role, scope, above, site in product(
        (None, *Status), Role, (EVERYTHING, frozenset((Scope.POSTS,)), frozenset[Scope]()), (False, True), Site
    ):
        who = Standing(status, role, scope, above, False, site, limits)
        free = above or site is Site.ADMIN or (status is Status.MEMBER and role is Role.ADMIN)
        assert who.bounds == (UNLIMITED if free else limits)
        about = POST if action in ABOUT_POSTS else ACCOUNT if action in ABOUT_PEOPLE else None
        covered = free or collections is None or about is None or about in collections
        assert may_decide(action, who) is (holds(action, who) and covered)


@pytest.mark.parametrize(("mine", "theirs"), [*product(SETS, SETS)])
def test_nobody_grants_more_than_they_hold(
    mine: frozenset[str] | None, theirs: frozenset[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Limits(labels=theirs)
    admin = Standing(Status.MEMBER, Role.ADMIN, limits=Limits(labels=mine))
    assert may_grant(admin, Role.ADMIN, EVERYTHING, UNLIMITED) and may_grant(admin, Role.MODERATOR, EVERYTHING, given)
    moderator = Standing(Status.MEMBER, Role.MODERATOR, frozenset((Scope.POSTS,)), limits=Limits(labels=mine))
    posts = frozenset((Scope.POSTS,))
    assert not may_grant(moderator, Role.MODERATOR, posts, given)
    # Were moderators to give roles one day, these would be no more than theirs.
    monkeypatch.setattr("communities.access._NEEDS", {Action.SET_ROLE: (Role.MODERATOR, Scope.POSTS)})
    assert may_grant(moderator, Role.MODERATOR, posts, given) is given.within(Limits(labels=mine))
    assert not may_grant(moderator, Role.MODERATOR, EVERYTHING, given)
    assert not may_grant(moderator, Role.ADMIN, posts, given)


def test_a_role_is_given_with_its_limits_and_laid_down_without() -> None:
    admin, limits = Standing(Status.MEMBER, Role.ADMIN), Limits(frozenset(("spam",)), None, frozenset((RUDE,)))
    given = set_role(MEMBER, Role.MODERATOR, own=False, actor=admin, limits=limits)
    assert given.limits == limits
    assert set_role(given, Role.ADMIN, own=False, actor=admin, limits=limits).limits == UNLIMITED
    limited = Standing(Status.MEMBER, Role.MODERATOR, limits=limits)
    assert set_role(given, Role.MEMBER, own=True, actor=limited).limits == UNLIMITED
    with pytest.raises(RefusedError, match="Only an admin"):
        set_role(given, Role.MODERATOR, own=True, actor=limited)
