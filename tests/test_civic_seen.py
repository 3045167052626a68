"""Who sees whom in a community, through HTTP: lists of members, single memberships, what a caller may."""

from collections.abc import Iterator

import pytest

from communities.access import Scope, Status
from tests.civic_site import NSID, OWNER, Town, town
from tests.didnet import plc


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("seen"), moderators=plc(802)) as found:
        found.found("birds")
        found.found("fish")
        found.found("asked", kind="private")
        found.found("secret", kind="hidden")
        yield found


def test_the_list_begins_with_the_owner_and_those_with_roles(place: Town) -> None:
    place.found("choir")
    people = [place.member("choir") for _ in range(3)]
    moderator, admin = place.moderator("choir"), place.admin("choir")
    place.put("choir", OWNER)
    listed = place.every("listMembers", community="choir", limit=2)
    assert [one["did"] for one in listed] == [OWNER, admin.did, moderator.did, *(one.did for one in people)]
    assert [one["role"] for one in listed] == ["admin", "admin", "moderator", "member", "member", "member"]
    for role, count in (("admin", 2), ("moderator", 1), ("member", 3)):
        assert {one["role"] for one in place.every("listMembers", community="choir", limit=1, role=role)} == {role}
        assert len(place.every("listMembers", community="choir", limit=1, role=role)) == count


def test_s136_who_asks_is_invited_or_banned_is_for_moderators(place: Town) -> None:
    place.found("club")
    moderator, member = place.moderator("club", scope=frozenset((Scope.POSTS,))), place.member("club")
    people = {status: place.person() for status in (Status.REQUESTED, Status.INVITED, Status.BANNED)}
    for status, person in people.items():
        place.put("club", person, status)
    for status, person in people.items():
        for who in (None, member, person, people[Status.INVITED]):
            asked = place.ask("listMembers", who, community="club", status=status.value)
            assert asked.fault == (
                (400, "CommunityNotFound") if who is people[Status.BANNED] else (403, "NotPermitted")
            )
            if who is not person and who is not None:
                assert place.ask("getMembership", who, community="club", member=person.did).json == {}
        assert place.ask("getMembership", None, community="club", member=person.did).json == {}
        own = place.ask("getMembership", person, community="club").json["membership"]
        assert (own["did"], own["status"]) == (person.did, status.value)
        for who in (moderator, place.person(802)):
            seen = place.ask("listMembers", who, community="club", status=status.value).json["members"]
            assert [one["did"] for one in seen] == [person.did]
            assert place.ask("getMembership", who, community="club", member=person.did).json["membership"] == own
    shown = {one["did"] for one in place.every("listMembers", community="club")}
    assert shown == {OWNER, moderator.did, member.did}
    assert place.ask("listMembers", moderator, community="club", status="banned", role="admin").status == 400


def test_a_ban_that_has_ended_is_listed_no_more(place: Town) -> None:
    moderator, alice = place.moderator("birds"), place.person()
    place.put("birds", alice, Status.BANNED, until=place.clock.micros() + 1_000_000)
    listed = [one["did"] for one in place.every("listMembers", moderator, community="birds", status="banned")]
    assert alice.did in listed
    place.clock.now += 2
    assert alice.did not in [
        one["did"] for one in place.every("listMembers", moderator, community="birds", status="banned")
    ]
    assert place.ask("getMembership", alice, community="birds").json == {}


def test_members_of_a_private_community_are_for_its_members(place: Town) -> None:
    member, stranger = place.member("asked"), place.person()
    for who in (None, stranger):
        assert place.ask("listMembers", who, community="asked").fault == (403, "NotPermitted")
        assert place.ask("getMembership", who, community="asked", member=member.did).fault == (403, "NotPermitted")
    assert member.did in {one["did"] for one in place.every("listMembers", member, community="asked")}
    assert place.ask("listMembers", stranger, community="secret").fault == (400, "CommunityNotFound")
    assert place.ask("getMembership", stranger, community="asked").json == {}


def test_ones_own_needs_a_token_and_a_bad_one_is_never_nobody(place: Town) -> None:
    assert place.ask("getMembership", None, community="birds").fault == (401, "AuthMissing")
    reply = place.site.ask("community=birds", "Bearer x.y.z", method=f"{NSID}getMembership")
    assert reply.status == 401


def test_the_banned_are_told_so(place: Town) -> None:
    alice = place.person()
    place.put("birds", alice, Status.BANNED)
    state = place.ask("getViewer", alice, community="birds").json
    assert (state["membership"]["status"], state["canDiscover"], state["canRead"]) == ("banned", False, False)
    assert (state["post"], state["decides"], "joinsAs" in state) == ("refused", [], False)
    assert place.ask("listMembers", alice, community="birds").fault == (400, "CommunityNotFound")


def test_what_somebody_unknown_may(place: Town) -> None:
    state = place.ask("getViewer", None, community="birds").json
    assert state == {"canDiscover": True, "canRead": True, "post": "refused", "decides": [], "joinsAs": "member"}


def test_s52_paging_is_exact_while_people_come_and_go(place: Town) -> None:
    place.found("crowd", owner=plc(803))
    stay = [place.member("crowd") for _ in range(30)]
    leaving = [place.member("crowd") for _ in range(10)]
    cursor: str | None = None
    listed: list[str] = []
    for page in range(100):
        reply = place.ask("listMembers", None, community="crowd", limit=3, cursor=cursor)
        listed += [one["did"] for one in reply.json["members"]]
        cursor = reply.cursor
        if cursor is None:
            break
        if leaving:
            place.act("leave", leaving.pop(), {"community": "crowd"})
        place.clock.now += 1
        place.act("join", place.person(), {"community": "crowd"})
        assert page < 60
        if page > 20:
            place.act("leave", place.member("crowd"), {"community": "crowd"})
        if page > 12:
            place.writer.sql("DELETE FROM membership WHERE community = ? AND via = 'xrpc'", place.id("crowd"))
    assert len(listed) == len(set(listed))
    assert {one.did for one in stay} <= set(listed)


def test_s51_cursors_of_others(place: Town) -> None:
    for _ in range(3):
        place.member("birds")
    good = place.ask("listMembers", None, community="birds", limit=1).cursor
    assert good is not None
    for bad in (good[:-1] + ("0" if good[-1] != "0" else "1"), good[2:], good.upper(), f"{good} ", "x", "", good * 9):
        reply = place.ask("listMembers", None, community="birds", limit=1, cursor=bad)
        assert reply.fault in ((400, "InvalidCursor"), (400, "InvalidRequest")), bad
    for other in ({"community": "fish"}, {"community": "birds", "role": "member"}):
        assert place.ask("listMembers", None, cursor=good, **other).fault == (400, "InvalidCursor")
    assert place.ask("listMembers", None, community="birds", limit=2, cursor=good).status == 200


@pytest.mark.parametrize("value", ["0", "101", "abc", "", "-1", "+5", "1e3", "%EF%BC%91"])
def test_s48_limits(place: Town, value: str) -> None:
    reply = place.site.ask(f"community=birds&limit={value}", method=f"{NSID}listMembers")
    assert reply.fault == (400, "InvalidRequest")


def test_bad_parameters(place: Town) -> None:
    for query in ("", "community=", "community=birds&status=gone", "community=birds&role=owner",
                  "community=birds&community=fish", "community=%FF", f"community={'x' * 2300}"):  # fmt: skip
        assert place.site.ask(query, method=f"{NSID}listMembers").fault == (400, "InvalidRequest"), query
    assert place.site.ask("community=birds&member=x", method=f"{NSID}getMembership").fault == (400, "InvalidRequest")
