"""Appeals, muted reporters, protected tags, and decisions that contradict each other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from communities.mod_event import HOUR
from communities.review import State
from models.database import sql
from ozone.roles import BY_TOKEN, Role
from tests.civic_posts import decide
from tests.civic_posts import done as decided
from tests.civic_reports import APPEAL, flags, report, taken
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_events import (
    ACK,
    COMMENT,
    LABEL,
    MUTE_REPORTER,
    RESOLVE,
    REVERSE,
    TAG,
    TAKEDOWN,
    UNMUTE_REPORTER,
    check_books,
    done,
    emit,
    events,
    hidden,
    log,
    stands,
    states,
)
from tests.ozone_site import Desk, unlimited

PROTECTED = "tools.ozone.setting.protectedTags"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def author(place: Desk, number: int = 1) -> Account:
    return place.place.person(number)


def appeal(place: Desk, who: Account, what: str, to: str = LABELER) -> int:
    return taken(report(place.place, who, what, APPEAL, to=to))


def appeals(place: Desk) -> list[Any]:
    return [state for (state,) in place.place.writer.sql("SELECT state FROM appeal ORDER BY id")]


def test_nobody_resolves_an_appeal_against_their_own_decision(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    one, two = town.moderator("python"), town.moderator("python")
    done(emit(place, one, uri, TAKEDOWN))
    appeal(place, author(place), uri)
    assert states(place, uri) == {"python": State.ESCALATED} and stands(place, uri)["python"].appealed is True
    assert emit(place, one, uri, RESOLVE).fault == (403, "NotPermitted")
    done(emit(place, one, uri, ACK))
    assert stands(place, uri)["python"].appealed is True and appeals(place) == ["open"], "acknowledging answers nothing"
    done(emit(place, two, uri, RESOLVE))
    assert stands(place, uri)["python"].appealed is False and appeals(place) == ["denied"]
    appeal(place, author(place), uri)
    done(emit(place, two, uri, REVERSE))
    assert emit(place, one, uri, RESOLVE).fault == (403, "NotPermitted")
    done(emit(place, place.member(Role.MODERATOR), uri, RESOLVE))
    assert appeals(place) == ["denied", "granted"] and hidden(place, uri) == {"python": 0}


def test_nor_by_acknowledging_all_that_an_account_wrote(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    one, two = town.moderator("python"), town.moderator("python")
    done(emit(place, one, uri, TAKEDOWN))
    appeal(place, author(place), uri)
    done(emit(place, one, plc(1), ACK, acknowledgeAccountSubjects=True))
    assert states(place, uri)["python"] is State.ESCALATED and appeals(place) == ["open"]
    done(emit(place, place.member(Role.TRIAGE), plc(1), ACK, acknowledgeAccountSubjects=True))
    assert appeals(place) == ["open"], "triage resolves nothing"
    done(emit(place, two, plc(1), ACK, acknowledgeAccountSubjects=True))
    assert states(place, uri)["python"] is State.CLOSED and appeals(place) == ["denied"]
    assert [event.kind for event in events(place, uri)][-2:] == [RESOLVE, ACK]


@pytest.mark.parametrize("about", ["post", "account"])
def test_of_what_the_site_has_taken_down_another_of_the_team_decides(place: Desk, about: str) -> None:
    uri = place.place.writer.post(1)
    what = uri if about == "post" else plc(1)
    one, two = place.member(Role.MODERATOR), place.member(Role.MODERATOR)
    done(emit(place, one, what, TAKEDOWN))
    appeal(place, author(place), what)
    assert stands(place, what)["site"].appealed is True
    assert emit(place, one, what, RESOLVE).fault == (403, "NotPermitted")
    done(emit(place, two, what, RESOLVE))
    assert appeals(place) == ["denied"]
    appeal(place, author(place), what)
    done(emit(place, two, what, REVERSE))
    done(emit(place, two, what, RESOLVE))
    assert appeals(place) == ["denied", "granted"]


def test_an_appeal_against_a_label(place: Desk) -> None:
    uri, one, two = place.place.writer.post(1), place.member(Role.MODERATOR), place.member(Role.MODERATOR)
    done(emit(place, one, uri, LABEL))
    appeal(place, author(place), uri)
    assert emit(place, one, uri, RESOLVE).fault == (403, "NotPermitted")
    done(emit(place, one, uri, TAKEDOWN))
    assert stands(place, uri)["site"].appealed is True and appeals(place) == ["open"], "it waits for somebody else"
    appeal(place, author(place), uri)
    assert stands(place, uri)["site"].appealed is True and appeals(place) == ["open"]
    assert emit(place, one, uri, RESOLVE).fault == (403, "NotPermitted")
    done(emit(place, one, uri, REVERSE))
    done(emit(place, two, uri, LABEL, createLabelVals=[], negateLabelVals=["spam"]))
    done(emit(place, two, uri, RESOLVE))
    assert appeals(place) == ["granted"]


def test_a_takedown_by_another_denies_what_waits(place: Desk) -> None:
    uri, one, two = place.place.writer.post(1), place.member(Role.MODERATOR), place.member(Role.MODERATOR)
    done(emit(place, one, uri, LABEL))
    appeal(place, author(place), uri)
    done(emit(place, two, uri, TAKEDOWN))
    assert stands(place, uri)["site"].appealed is False and appeals(place) == ["denied"]


@pytest.mark.parametrize("door", ["moderation API", "decide", "undo"])
def test_who_takes_down_once_more_hides_no_appeal_against_themselves(place: Desk, door: str) -> None:
    """It is shown as appealed until somebody else answers it, and a takedown by them denies it."""
    town, uri = place.place, place.place.writer.post(1)
    one, two = town.moderator("python"), town.moderator("python")
    done(emit(place, one, uri, TAKEDOWN))
    appeal(place, author(place), uri)
    event = int(done(emit(place, one, uri, REVERSE))["id"])
    if door == "decide":
        decided(decide(town, one, "python", "remove", uri))
    elif door == "undo":
        assert town.act("undo", one, {"community": "python", "event": event}).json["events"][0]["undone"]
    else:
        done(emit(place, one, uri, TAKEDOWN))
    assert stands(place, uri)["python"].takendown
    assert stands(place, uri)["python"].appealed is True and appeals(place) == ["open"]
    listed = place.ask("moderation.queryStatuses", two, appealed=True).json["subjectStatuses"]
    assert [one["subject"]["uri"] for one in listed] == [uri]
    done(emit(place, two, uri, REVERSE))
    done(emit(place, two, uri, TAKEDOWN))
    assert [event.kind for event in events(place, uri)][-2:] == [TAKEDOWN, RESOLVE]
    assert stands(place, uri)["python"].appealed is False and appeals(place) == ["denied"]


def test_a_community_hears_its_appeals_wherever_they_were_sent(place: Desk) -> None:
    """So who has decided cannot mark them by calling another labeler, and somebody else can answer them there."""
    town, uri = place.place, place.place.writer.post(1, tags=("rust",))
    one, two = town.moderator("rust"), town.moderator("rust")
    done(emit(place, one, uri, TAKEDOWN))
    appeal(place, author(place), uri, to=OTHER)
    assert emit(place, one, uri, RESOLVE).fault == (403, "NotPermitted")
    assert stands(place, uri)["rust"].appealed is True and appeals(place) == ["open"]
    done(emit(place, two, uri, RESOLVE))
    assert stands(place, uri)["rust"].appealed is False and appeals(place) == ["denied"]


def test_the_team_of_a_labeler_of_some_communities_decides_no_appeal_to_the_service(place: Desk) -> None:
    town = place.place
    who = town.member("python")
    done(emit(place, place.staff(), who.did, TAKEDOWN))
    taken(report(town, who, who.did, APPEAL))
    done(emit(place, place.member(Role.MODERATOR, labeler=OTHER), who.did, RESOLVE, aud=OTHER))
    assert appeals(place) == ["open"] and stands(place, who.did)["service"].appealed is True
    done(emit(place, place.member(Role.MODERATOR), who.did, RESOLVE))
    assert appeals(place) == ["denied"] and stands(place, who.did)["service"].appealed is False


def test_only_authors_appeal_and_again_is_the_same(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    done(emit(place, town.moderator("python"), uri, TAKEDOWN))
    assert report(town, town.person(), uri, APPEAL, to=LABELER).fault == (403, "Forbidden")
    first = appeal(place, author(place), uri)
    assert stands(place, uri)["python"].appealed_at == town.clock.micros()
    town.clock.now += 60
    assert appeal(place, author(place), uri) == first and appeals(place) == ["open"]
    assert stands(place, uri)["python"].appealed_at == town.clock.micros()
    assert len(events(place, uri)) == 2, "a repetition is no event"


def test_what_a_muted_reporter_says_moves_nothing(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    muted, moderator = town.person(), town.moderator("python")
    taken(report(town, muted, town.writer.post(1), to=LABELER))
    done(emit(place, moderator, muted.did, MUTE_REPORTER, durationInHours=5))
    before = flags(town)
    taken(report(town, muted, uri, to=LABELER))
    assert states(place, uri) == {"python": State.NONE} and stands(place, uri)["python"].reports == 0
    assert flags(town) == before, "nor does it wait in the queue"
    assert town.writer.sql("SELECT muted FROM report_case ORDER BY id") == [(0,), (1,)]
    town.writer.delete(uri)
    town.writer.post(1, rkey=uri.rpartition("/")[2])
    assert flags(town) == before, "nor when it is written again"
    taken(report(town, town.person(), uri, to=LABELER))
    assert states(place, uri) == {"python": State.OPEN}
    town.clock.now += 5 * HOUR / 1_000_000 + 1
    other = town.writer.post(1)
    taken(report(town, muted, other, to=LABELER))
    assert states(place, other) == {"python": State.OPEN}, "it is over"
    done(emit(place, moderator, muted.did, MUTE_REPORTER))
    done(emit(place, moderator, muted.did, UNMUTE_REPORTER))
    again = town.writer.post(1)
    taken(report(town, muted, again, to=LABELER))
    assert states(place, again) == {"python": State.OPEN}


def test_nobody_mutes_an_appeal_against_themselves(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    one, two = town.moderator("python"), town.moderator("python")
    done(emit(place, one, uri, TAKEDOWN))
    done(emit(place, one, author(place).did, MUTE_REPORTER, durationInHours=1000))
    first = appeal(place, author(place), uri)
    assert states(place, uri) == {"python": State.ESCALATED} and stands(place, uri)["python"].appealed is True
    assert town.writer.sql("SELECT state, muted FROM report_case") == [("escalated", 0)]
    town.clock.now += 60
    assert appeal(place, author(place), uri) == first
    assert stands(place, uri)["python"].appealed_at == town.clock.micros()
    done(emit(place, two, uri, RESOLVE))
    assert appeals(place) == ["denied"]


def protect(place: Desk, **tags: dict[str, list[str]]) -> None:
    reply = place.act(
        "setting.upsertOption",
        place.staff(),
        {
            "key": PROTECTED,
            "scope": "instance",
            "value": tags,
            "managerRole": next(token for token, role in BY_TOKEN.items() if role is Role.ADMIN),
        },
    )
    assert reply.status == 200, reply.body


def test_protected_tags(place: Desk) -> None:
    uri = place.place.writer.post(1)
    moderator, triage, named = place.member(Role.MODERATOR), place.member(Role.TRIAGE), place.member(Role.TRIAGE)
    protect(place, vip={"roles": [Role.MODERATOR.token]}, own={"moderators": [named.did]})
    vip, own = {"add": ["vip"], "remove": []}, {"add": [], "remove": ["own"]}
    assert emit(place, triage, uri, TAG, **vip).fault == (400, "InvalidRequest")
    assert emit(place, moderator, uri, TAG, **own).fault == (400, "InvalidRequest")
    done(emit(place, named, uri, TAG, **own))
    done(emit(place, place.staff(), uri, TAG, add=["own"], remove=[]))  # admins may add and remove any
    for kind in (TAKEDOWN, LABEL):
        assert emit(place, moderator, uri, kind).fault == (400, "InvalidRequest")
        assert emit(place, place.staff(), uri, kind).fault == (400, "InvalidRequest"), "also admins"
    done(emit(place, moderator, uri, COMMENT))
    done(emit(place, place.staff(), uri, TAG, **own))
    done(emit(place, moderator, uri, TAG, **vip))
    done(emit(place, moderator, uri, TAKEDOWN))


def test_a_role_in_a_community_opens_no_tag_of_the_team(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1, tags=("rust",))
    who = place.member(Role.TRIAGE)
    town.put("python", who, role=Member.MODERATOR)
    protect(place, vip={"roles": [Role.MODERATOR.token]})
    assert emit(place, who, uri, TAG, add=["vip"], remove=[]).fault == (400, "InvalidRequest")


def test_one_of_two_contradictory_decisions_wins_and_both_are_told(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    who = [town.moderator("python") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        jobs = [
            threads.submit(emit, place, who[0], uri, TAKEDOWN),
            threads.submit(emit, place, who[1], uri, ACK),
            threads.submit(emit, place, who[2], uri, TAKEDOWN),
            threads.submit(decide, town, who[3], "python", "remove", uri),
        ]
        replies = [job.result(30) for job in jobs]
    assert replies[1].status == 200
    assert sorted(reply.status for reply in (replies[0], *replies[2:])) == [200, 400, 400]
    kinds = sorted(event.kind for event in events(place, uri))
    assert kinds == [ACK, TAKEDOWN] and [row[0] for row in log(place, "python")] == ["remove"]
    assert states(place, uri) == {"python": State.CLOSED} and hidden(place, uri) == {"python": 4}
    decided(decide(town, who[0], "python", "restore", uri))
    assert not stands(place, uri)["python"].takendown
