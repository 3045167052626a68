"""Who may emit what, and in whose matter: the team, moderators of communities, of both, of none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Role as Member
from communities.access import Scope
from communities.review import State
from models.database import sql
from ozone.roles import Role
from tests.civic_posts import a_cid
from tests.civic_reports import report, taken
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_events import (
    ABOUT_ACCOUNTS,
    ACCOUNT_EVENT,
    ACK,
    COMMENT,
    EMAIL,
    EVENTS,
    IDENTITY_EVENT,
    LABEL,
    MUTE_REPORTER,
    RECORD_EVENT,
    RESOLVE,
    REVERSE,
    TAG,
    TAKEDOWN,
    UNMUTE_REPORTER,
    check_books,
    done,
    down,
    emit,
    events,
    hidden,
    labels,
    log,
    stands,
    states,
)
from tests.ozone_site import STAFF_MODERATOR, Desk, unlimited

AUTHOR = plc(1)
OF_MODERATORS = {TAKEDOWN, REVERSE, LABEL, RESOLVE, EMAIL, ACCOUNT_EVENT, IDENTITY_EVENT, RECORD_EVENT}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def both(place: Desk) -> str:
    """A post in both communities."""
    uri: str = place.place.writer.post(1, tags=("python", "rust"))
    assert hidden(place, uri) == {"python": 0, "rust": 0}
    return uri


def moderator_of(place: Desk, *slugs: str, who: Account | None = None, **more: object) -> Account:
    who = who or place.place.person()
    for slug in slugs:
        place.place.put(slug, who, role=Member.MODERATOR, **more)  # type: ignore[arg-type]
    return who


@pytest.mark.parametrize("kind", EVENTS)
def test_the_roles_of_the_team(place: Desk, kind: str) -> None:
    uri = place.place.writer.post(1)
    what = AUTHOR if kind in ABOUT_ACCOUNTS else uri
    for role in (Role.VERIFIER, Role.TRIAGE, Role.MODERATOR, Role.ADMIN):
        if kind == REVERSE and not down(place, what):
            done(emit(place, place.staff(), what, TAKEDOWN))
        allowed = role >= Role.MODERATOR or (role is Role.TRIAGE and kind not in OF_MODERATORS)
        reply = emit(place, place.member(role), what, kind)
        if allowed:
            done(reply)
            if kind == TAKEDOWN:
                done(emit(place, place.staff(), what, REVERSE))
        else:
            assert reply.fault == (401, "AuthenticationRequired"), (role, reply.body)
    before = len(events(place))
    for nobody, fault in (
        (place.member(Role.ADMIN, disabled=True), (401, "MemberDisabled")),
        (place.member(Role.ADMIN, labeler=OTHER), (401, "AuthenticationRequired")),
        (place.place.member("python"), (401, "AuthenticationRequired")),
        (place.place.person(), (401, "AuthenticationRequired")),
        (None, (401, "AuthMissing")),
    ):
        assert emit(place, nobody, what, kind).fault == fault
    assert len(events(place)) == before


@pytest.mark.parametrize("kind", EVENTS)
def test_a_moderator_of_a_community_does_everything_there_and_nothing_elsewhere(place: Desk, kind: str) -> None:
    uri, moderator = both(place), moderator_of(place, "python")
    what = AUTHOR if kind in ABOUT_ACCOUNTS else uri
    if kind == REVERSE:
        done(emit(place, moderator, what, TAKEDOWN))
    reply = emit(place, moderator, what, kind)
    done(reply)
    if kind == "modEventReport":
        return
    assert {event.scope for event in events(place)} == {"python"}
    assert states(place, what).keys() == {"python"} and hidden(place, uri)["rust"] == 0 and log(place, "rust") == []
    assert place.place.writer.sql("SELECT DISTINCT community FROM label_event") in ([], [(place.place.id("python"),)])


def test_a_generator_is_taken_down_by_admins(place: Desk) -> None:
    feed = f"at://{AUTHOR}/app.bsky.feed.generator/x"
    assert emit(place, place.member(Role.MODERATOR), feed, TAKEDOWN, cid=a_cid("x")).fault[0] == 401
    done(emit(place, place.member(Role.ADMIN), feed, TAKEDOWN, cid=a_cid("x")))
    assert down(place, feed) == {"site"}


def test_of_both_communities_both_of_one_that_one(place: Desk) -> None:
    town, uri = place.place, both(place)
    of_python, of_both = moderator_of(place, "python"), moderator_of(place, "python", "rust")
    done(emit(place, of_both, uri, COMMENT))
    assert states(place, uri) == {"python": State.NONE, "rust": State.NONE}
    done(emit(place, of_python, uri, TAKEDOWN))
    assert hidden(place, uri) == {"python": 4, "rust": 0} and down(place, uri) == {"python"}
    done(emit(place, of_both, uri, TAKEDOWN))  # there where it is not down yet
    assert hidden(place, uri) == {"python": 4, "rust": 4} and down(place, uri) == {"python", "rust"}
    assert emit(place, of_both, uri, TAKEDOWN).fault == (400, "InvalidRequest")
    assert emit(place, of_python, uri, ACK, named="rust").fault == (400, "InvalidRequest")
    done(emit(place, of_both, uri, REVERSE, named="rust"))
    assert hidden(place, uri) == {"python": 4, "rust": 0}
    assert [row[:2] for row in log(place, "rust")] == [("remove", of_both.did), ("restore", of_both.did)]
    assert log(place, "python") == [("remove", of_python.did, "moderator")]
    assert town.writer.sql("SELECT count(*) FROM decision WHERE community = 0") == [(0,)]


def test_what_is_in_no_community_of_theirs_is_none_of_their_business(place: Desk) -> None:
    town = place.place
    moderator, elsewhere = moderator_of(place, "python"), town.writer.post(2, tags=("rust",))
    town.member("python")
    for what in (elsewhere, plc(2), plc(99), f"at://{plc(99)}/app.bsky.feed.post/x", f"{AUTHOR}#convo"):
        for kind in (ACK, TAKEDOWN, LABEL, COMMENT, TAG):
            cid = a_cid("x") if "/x" in what else ""
            for named in ("", "python"):
                assert emit(place, moderator, what, kind, cid=cid, named=named).fault == (400, "InvalidRequest")
            assert emit(place, moderator, what, kind, cid=cid, named="rust").fault == (400, "InvalidRequest")
    taken(report(town, town.person(), elsewhere, to=LABELER))
    assert emit(place, moderator, elsewhere, ACK).fault == (400, "InvalidRequest"), "known in rust alone"
    assert {event.scope for event in events(place)} == {"rust"} and log(place, "python") == []


def test_a_conversation_of_a_member_is_no_matter_of_the_community(place: Desk) -> None:
    member, moderator = place.place.member("python"), moderator_of(place, "python")
    assert emit(place, moderator, f"{member.did}#convo", COMMENT).fault == (400, "InvalidRequest")
    done(emit(place, moderator, member.did, COMMENT))
    assert [event.scope for event in events(place)] == ["python"]


def test_the_team_names_a_community(place: Desk) -> None:
    uri, moderator, triage = both(place), place.member(Role.MODERATOR), place.member(Role.TRIAGE)
    done(emit(place, moderator, uri, TAKEDOWN, named="python"))
    assert down(place, uri) == {"python"} and hidden(place, uri) == {"python": 4, "rust": 0}
    assert log(place, "python") == [("remove", moderator.did, "site")]
    done(emit(place, moderator, uri, REVERSE))  # by nobody else taken down: given back where it is
    assert hidden(place, uri) == {"python": 0, "rust": 0} and "site" not in states(place, uri)
    done(emit(place, triage, uri, ACK, named="rust"))
    assert states(place, uri) == {"python": State.CLOSED, "rust": State.CLOSED}
    done(emit(place, moderator, uri, LABEL, named="rust"))
    assert emit(place, triage, uri, LABEL, named="rust").fault == (401, "AuthenticationRequired")
    assert emit(place, moderator, plc(98), ACK, named="rust").fault == (400, "InvalidRequest")
    assert [row[:1] for row in place.place.writer.sql("SELECT community FROM label_event")] == [
        (place.place.id("rust"),)
    ]


def test_a_role_of_the_team_and_one_of_a_community_are_two(place: Desk) -> None:
    """Triage of the team and moderator of python: takes down in python, and acknowledges everywhere."""
    town, uri = place.place, both(place)
    who = moderator_of(place, "python", who=place.member(Role.TRIAGE))
    for slug in ("python", "rust"):
        done(emit(place, place.staff(), uri, ACK, named=slug))
    done(emit(place, who, uri, ACK))
    assert {event.scope for event in events(place, uri) if event.actor == who.did} == {"python", "rust"}
    done(emit(place, who, uri, TAKEDOWN))
    assert down(place, uri) == {"python"}
    assert emit(place, who, uri, TAKEDOWN, named="rust").fault == (401, "AuthenticationRequired")
    assert emit(place, who, town.writer.post(5, tags=("rust",)), TAKEDOWN).fault == (400, "InvalidRequest")
    assert {(e.scope, e.role) for e in events(place, uri) if e.actor == who.did} == {
        ("python", "moderator"),
        ("rust", "site"),
    }


def test_the_team_of_one_communitys_labeler_takes_down_there_alone(place: Desk) -> None:
    uri = both(place)
    for who in (place.member(Role.MODERATOR, labeler=OTHER), place.staff(STAFF_MODERATOR)):
        done(emit(place, who, uri, TAKEDOWN, aud=OTHER))
        assert hidden(place, uri) == {"python": 0, "rust": 4} and down(place, uri) == {"rust"}
        assert emit(place, who, place.place.writer.post(2), TAKEDOWN, aud=OTHER).fault == (400, "InvalidRequest")
        done(emit(place, who, uri, REVERSE, aud=OTHER))
        assert hidden(place, uri) == {"python": 0, "rust": 0}
        assert emit(place, who, uri, ACK, aud=OTHER, named="python").fault == (400, "InvalidRequest")
    assert {event.scope for event in events(place)} == {"rust"}


def test_a_moderator_without_the_members_bans_nobody(place: Desk) -> None:
    moderator = moderator_of(place, "python", scope=frozenset({Scope.POSTS}))
    place.place.writer.post(1)
    assert emit(place, moderator, AUTHOR, TAKEDOWN).fault == (403, "NotPermitted")
    assert emit(place, moderator_of(place, "python"), moderator.did, TAKEDOWN).fault == (400, "InvalidRequest")
    assert down(place, AUTHOR) == set()


def test_whoever_reported_to_a_community_can_be_muted_there(place: Desk) -> None:
    town, uri, moderator = place.place, both(place), moderator_of(place, "python")
    reporter = town.person()
    assert emit(place, moderator, reporter.did, MUTE_REPORTER).fault == (400, "InvalidRequest")
    taken(report(town, reporter, uri, to=LABELER))
    done(emit(place, moderator, reporter.did, MUTE_REPORTER, durationInHours=3))
    assert stands(place, reporter.did).keys() == {"python"}
    done(emit(place, moderator, reporter.did, UNMUTE_REPORTER))
    assert emit(place, moderator_of(place, "rust"), uri, TAG).status == 200
    assert stands(place, uri)["python"].tags == {} and stands(place, uri)["rust"].tags == {"seen": None}
    assert labels(place, uri) == {}
