"""What reporters are told of their own reports, and that it is nobody else's, and nothing more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Status
from communities.mod_event import Kind
from communities.own_reports import Outcome, outcome
from models.own_reports import Decided
from tests.civic_posts import decide, done, version
from tests.civic_reports import TROLL, report, taken
from tests.civic_site import Town
from tests.didnet import plc
from tests.due_site import (
    appeal,
    due,
    outcomes,
    own_reports,
    removed,
    resolve,
)
from tests.feed_site import iso
from tests.label_scene import LABELER

OWN = ["listOwnReports", "listOwnDecisions"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


@pytest.mark.parametrize("method", OWN)
def test_they_are_for_who_signs_in(place: Town, method: str) -> None:
    assert place.ask(method).fault == (401, "AuthMissing")
    assert place.ask(method, place.person()).status == 200


@pytest.mark.parametrize("method", OWN)
def test_s51_a_cursor_is_of_one_list_and_one_caller(place: Town, method: str) -> None:
    one, two = place.person(1), place.person(2)
    for who, number in ((one, 1), (two, 2)):
        for _ in range(2):
            uri = place.writer.post(number)
            removed(place, uri)
            taken(report(place, who, uri))
    first = place.ask(method, one, limit=1)
    assert place.ask(method, one, limit=1, cursor=first.cursor).status == 200
    assert place.ask(method, two, limit=1, cursor=first.cursor).fault == (400, "InvalidCursor")
    other = OWN[method == OWN[0]]
    for bad in (place.ask(other, one, limit=1).cursor, "x", "00"):
        assert place.ask(method, one, cursor=bad).fault == (400, "InvalidCursor")


def test_a_reporter_is_told_of_each_place(place: Town) -> None:
    reporter, uri = place.person(), place.writer.post(1, tags=["python", "rust"])
    number = taken(report(place, reporter, uri, TROLL, reason="He trolls."))
    place.clock.now += 60
    removed(place, uri, "rust")
    (told,) = own_reports(place, reporter)
    assert told == {
        "id": number, "createdAt": iso(place.clock.micros() - 60_000_000),
        "lastAt": iso(place.clock.micros() - 60_000_000), "reasonType": TROLL, "reason": "He trolls.", "subject": uri,
        "cid": version(place, uri),
        "places": [{"community": "python", "state": "received"},
                   {"community": "rust", "state": "closed", "outcome": "removed",
                    "closedAt": iso(place.clock.micros())}],
    }  # fmt: skip
    done(decide(place, place.moderator("python"), "python", "approve", uri))
    assert outcomes(place, reporter) == [[("python", "closed", "noAction"), ("rust", "closed", "removed")]]


def test_what_was_decided_before_a_report_is_not_its_outcome(place: Town) -> None:
    uri, early, late = place.writer.post(1), place.person(), place.person()
    taken(report(place, early, uri))
    done(decide(place, place.moderator("python"), "python", "approve", uri))
    place.clock.now += 1
    taken(report(place, late, uri))
    assert outcomes(place, early) == [[("python", "closed", "noAction")]]
    assert outcomes(place, late) == [[("python", "received", None)]]
    taken(report(place, early, uri))
    told = [[("python", "received", None)], [("python", "closed", "noAction")]]
    assert outcomes(place, early) == told, "said again, it is another one"


def test_the_team_of_a_labeler_is_a_place(place: Town) -> None:
    reporter = place.person()
    taken(report(place, reporter, plc(5), to=LABELER))
    taken(report(place, reporter, plc(6)))
    assert outcomes(place, reporter) == [[("site", "received", None)], [(LABELER, "received", None)]]


def test_places_of_which_the_reporter_may_not_know_are_left_out(place: Town) -> None:
    top = place.found("top", posting="anyone")
    place.found("secret", kind="hidden", parent=top, posting="anyone")
    reporter, author = place.person(), place.person(1)
    for slug in ("top", "secret"):
        place.put(slug, author)
        place.put(slug, reporter)
    taken(report(place, reporter, author.did))
    assert outcomes(place, reporter) == [
        [("site", "received", None), ("top", "received", None), ("secret", "received", None)]
    ]
    place.writer.sql("DELETE FROM membership WHERE community = ?", place.id("secret"))
    place.put("top", reporter, Status.BANNED)
    reply = place.ask("listOwnReports", reporter)
    assert outcomes(place, reporter) == [[("site", "received", None)]]
    assert b"secret" not in reply.body and b"top" not in reply.body


def test_reports_are_paged_the_newest_first_and_nobody_sees_anothers(place: Town) -> None:
    one, two = place.person(), place.person()
    for number in range(7):
        for who in (one, two):
            taken(report(place, who, plc(40 + number)))
        place.clock.now += number % 2  # some in the same moment
    ids = [told["id"] for told in own_reports(place, one)]
    assert ids == sorted(ids, reverse=True) and len(ids) == 7
    for limit in (1, 2, 3, 7):
        assert [told["id"] for told in own_reports(place, one, limit)] == ids
    assert not {told["id"] for told in own_reports(place, two)} & set(ids)


def test_a_reporter_learns_nothing_of_others_nor_who_decided(place: Town) -> None:
    uri, one = place.writer.post(1), place.person()
    taken(report(place, one, uri))
    alone = place.ask("listOwnReports", one).json
    others = [place.person() for _ in range(3)]
    for who in others:
        taken(report(place, who, uri, reason=f"says {who.did}"))
    author = place.person(1)
    assert place.ask("listOwnReports", one).json == alone
    moderator = removed(place, uri, reason="between us")
    appeal(place, author, uri, reason="the author's words")
    assert resolve(place, place.moderator("python"), uri, "deny", reason="for the author").status == 200
    body = place.ask("listOwnReports", one).body.decode()
    for secret in (moderator.did, "between us", "author's words", "for the author", *(who.did for who in others)):
        assert secret not in body
    assert json.loads(body)["reports"][0]["places"][0]["outcome"] == "removed"


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([], Outcome.NO_ACTION),
        ([(Kind.ACKNOWLEDGE, {})], Outcome.NO_ACTION),
        ([(Kind.REVERSE_TAKEDOWN, {})], Outcome.NO_ACTION),
        ([(Kind.LABEL, {"createLabelVals": ["a"]}), (Kind.ACKNOWLEDGE, {})], Outcome.LABELLED),
        ([(Kind.LABEL, {"negateLabelVals": ["a"]})], Outcome.NO_ACTION),
        ([(Kind.LABEL, {"createLabelVals": ["a"]}), (Kind.LABEL, {"negateLabelVals": ["a"]})], Outcome.REVERSED),
        ([(Kind.TAKEDOWN, {}), (Kind.LABEL, {"createLabelVals": ["a"]})], Outcome.REMOVED),
        ([(Kind.TAKEDOWN, {}), (Kind.REVERSE_TAKEDOWN, {}), (Kind.ACKNOWLEDGE, {})], Outcome.REVERSED),
        ([(Kind.TAKEDOWN, {}), (Kind.REVERSE_TAKEDOWN, {}), (Kind.TAKEDOWN, {})], Outcome.REMOVED),
    ],
)
def test_what_decisions_come_to(events: list[tuple[Kind, Any]], found: Outcome) -> None:
    assert outcome(Decided(str(kind), 1, json.dumps(said)) for kind, said in events) is found
