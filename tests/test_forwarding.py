"""A moderator forwards a subject to another labeler: it is reported there once, as it should be, whatever its PDS does
meanwhile.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import web

from communities.forwards import MOST_A_DAY, MOST_TRIES, sent
from ozone.roles import Role
from service.cli import main
from tests.civic_reports import APPEAL, SPAM, TROLL, report, taken
from tests.didnet import plc
from tests.forward_site import (
    SECOND_UPSTREAM,
    UPSTREAM,
    Forwards,
    error,
    forwarding_desk,
)
from tests.label_scene import LABELER
from tests.service_process import until

DAY_SECONDS = 86_400
WAITS, DONE, FAILED = f"forward:{UPSTREAM}", f"forwarded:{UPSTREAM}", f"forward-failed:{UPSTREAM}"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own worker sends nothing."""
    monkeypatch.setattr("service.forwarding.LOOK_SECONDS", 1e6)


@pytest.fixture
def place(tmp_path: Path, still: None) -> Iterator[Forwards]:
    with forwarding_desk(tmp_path) as found:
        yield found


async def gate() -> asyncio.Event:
    return asyncio.Event()


async def opened(event: asyncio.Event) -> None:
    event.set()


def test_a_report_is_sent_once_with_the_words_of_the_moderator_alone(place: Forwards) -> None:
    town = place.town
    uri, who, reporter = town.writer.post(1), town.moderator("python"), town.person()
    taken(report(town, reporter, uri, SPAM, reason="seen by me"))
    taken(report(town, town.person(), uri, TROLL, reason="my secret words"))
    taken(report(town, town.person(1), uri, APPEAL, reason="I appeal"))
    assert place.forward(who, uri, comment="Please look.").status == 200
    assert place.tags(uri) == [WAITS] and place.pds.sent == []
    assert place.step() == 0.0
    (got,) = place.pds.sent
    assert got.proxy == f"{UPSTREAM}#atproto_labeler"
    subject = got.body["subject"]
    assert got.body == {"reasonType": TROLL, "reason": "Please look.", "subject": subject}
    assert subject["$type"] == "com.atproto.repo.strongRef" and subject["uri"] == uri and subject["cid"]
    assert place.tags(uri) == [DONE] and place.rows() == [("sent", 1, 4001, "")]
    (told,) = place.events(who, uri)
    assert told["event"]["add"] == [DONE] and told["event"]["remove"] == [WAITS] and told["createdBy"] == LABELER
    assert told["event"]["comment"] == f"Forwarded to {UPSTREAM}; its number there is 4001."
    place.restart()
    place.step(DAY_SECONDS)
    assert len(place.pds.sent) == 1 and place.forward(who, uri).fault == (400, "InvalidRequest")
    assert place.tags(uri) == [DONE]


def test_faults_of_the_pds_are_tried_again_later(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.pds.faults = [
        error(502, "UpstreamFailure"),
        web.Response(status=302, headers={"Location": "http://localhost:1/"}),
        error(429, "RateLimitExceeded"),
        web.Response(text="<html>", status=404),
    ]
    place.forward(who, uri)
    waits = 0
    for fault in ("502 UpstreamFailure", "302", "429 RateLimitExceeded", "404"):
        place.step(waits)
        assert place.rows()[0][0] == "waiting" and place.rows()[0][3].endswith(f"answered {fault}")
        waits = 60 << (len(place.pds.sent) - 1)
        seen = len(place.pds.sent)
        place.step(waits - 1)
        assert len(place.pds.sent) == seen, "it is not time yet"
        waits = 1
    assert place.tags(uri) == [WAITS]
    place.step(1)
    assert place.rows() == [("sent", 5, 4005, "")] and place.tags(uri) == [DONE]


def test_what_is_refused_is_not_tried_again_but_when_somebody_asks(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.pds.faults = [error(400, "InvalidRequest")]
    place.forward(who, uri)
    place.step()
    assert place.tags(uri) == [FAILED] and place.rows()[0][:3] == ("failed", 1, None)
    comment = place.events(who, uri)[0]["event"]["comment"]
    assert "answered 400 InvalidRequest" in comment and "words" not in comment
    place.step(DAY_SECONDS)
    assert len(place.pds.sent) == 1
    assert place.forward(who, uri).status == 200
    place.step()
    assert place.tags(uri) == [DONE] and place.rows() == [("sent", 1, 4002, "")]


def test_after_ten_tries_it_has_failed(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.pds.faults = [error(503, "NotEnoughResources") for _ in range(MOST_TRIES + 5)]
    place.forward(who, uri)
    for _ in range(MOST_TRIES + 3):
        place.step(6 * 3600)
    assert len(place.pds.sent) == MOST_TRIES and place.tags(uri) == [FAILED]
    assert place.rows() == [("failed", 10, None, "the PDS or the labeler answered 503 NotEnoughResources")]


def test_so_many_a_day(place: Forwards) -> None:
    town, who = place.town, place.place.member(Role.MODERATOR)
    for number in range(MOST_A_DAY + 1):
        assert place.forward(who, plc(5_000 + number)).status == 200
    for _ in range(MOST_A_DAY + 3):
        place.step()
    assert len(place.pds.sent) == MOST_A_DAY
    assert town.writer.sql("SELECT count(*) FROM forward WHERE state = 'waiting'") == [(1,)]
    left = DAY_SECONDS - int(town.clock.now) % DAY_SECONDS
    place.step(left - 1)
    assert len(place.pds.sent) == MOST_A_DAY
    place.step(1)
    assert len(place.pds.sent) == MOST_A_DAY + 1


def test_who_dies_between_sending_and_noting_sends_once_more(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.forward(who, uri)
    place.pds.gate = place.town.site.run(gate())
    dying = place.begin()
    place.arrived()
    assert place.rows() == [("waiting", 1, None, "")], "the try is noted before"
    assert place.emit(who, uri, "modEventComment", comment="x").status == 200, "no transaction is open meanwhile"
    dying.cancel()
    place.pds.gate = None
    place.restart()
    place.step(59)
    assert len(place.pds.sent) == 1
    place.step(1)
    assert len(place.pds.sent) == 2 and place.rows() == [("sent", 2, 4002, "")] and place.tags(uri) == [DONE]


def test_who_dies_in_the_last_try_has_failed(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.forward(who, uri)
    place.pds.faults = [error(503, "NotEnoughResources") for _ in range(MOST_TRIES)]
    for _ in range(MOST_TRIES - 1):
        place.step(6 * 3600)
    place.pds.gate = place.town.site.run(gate())
    place.pds.arrived.clear()
    place.town.clock.now += 6 * 3600
    dying = place.begin()
    place.arrived()
    dying.cancel()
    place.restart()
    place.step(6 * 3600)
    assert len(place.pds.sent) == MOST_TRIES and place.tags(uri) == [FAILED]


def test_a_labeler_that_is_allowed_no_more_gets_nothing(tmp_path: Path, still: None) -> None:
    with forwarding_desk(tmp_path) as place:
        uri = place.town.writer.post(1)
        place.forward(place.town.moderator("python"), uri)
    with forwarding_desk(tmp_path, forward_to=SECOND_UPSTREAM) as place:
        place.step()
        assert place.pds.sent == [] and place.tags(uri) == [FAILED]


def test_the_service_sends_what_waited_when_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("service.forwarding.LOOK_SECONDS", 1e6)
        with forwarding_desk(tmp_path) as place:
            place.town.clock.now += 100
            uri = place.town.writer.post(1)
            assert place.forward(place.town.moderator("python"), uri).status == 200
            assert place.pds.sent == []
    monkeypatch.setattr("service.forwarding.LOOK_SECONDS", 0.02)
    with forwarding_desk(tmp_path) as place:
        assert place.pds.sent == []
        place.town.clock.now += 100  # which begins anew as well: the directory has learned of the account meanwhile
        until("the report", lambda: place.rows()[0][0] == "sent")
        assert place.tags(uri) == [DONE]


def test_a_machine_that_cannot_note_it_does_not_send_again(place: Forwards, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    place.forward(who, uri)
    faults = iter((apsw.BusyError("busy"), apsw.FullError("full")))

    def failing(*given: Any) -> None:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        sent(*given)

    monkeypatch.setattr("service.forwarding.sent", failing)
    monkeypatch.setattr("service.forwarding.LOOK_SECONDS", 0.01)
    assert place.step() == 0.0
    assert place.rows() == [("sent", 1, 4001, "")] and len(place.pds.sent) == 1 and place.tags(uri) == [DONE]


def test_what_is_taken_back_while_it_is_sent_was_sent(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    for fault, stands, tags in ((error(400, "InvalidRequest"), "withdrawn", []), (None, "sent", [DONE])):
        place.forward(who, uri)
        place.pds.faults = [fault] if fault else []
        place.pds.gate = place.town.site.run(gate())
        place.pds.arrived.clear()
        sending = place.begin()
        place.arrived()
        assert place.emit(who, uri, remove=[WAITS]).status == 200
        place.town.site.run(opened(place.pds.gate))
        sending.result(30)
        assert place.rows()[0][0] == stands and place.tags(uri) == tags


def test_status_tells_how_many(place: Forwards, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    town, who = place.town, place.place.member(Role.MODERATOR)
    town.clock.now = time.time()  # commands go by the real time
    monkeypatch.setenv("COMMUNITIES_DATA", str(town.site.config.data))
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["forwards"] == {"waiting": 0, "sent": 0, "failed": 0}
    place.pds.faults = [error(400, "InvalidRequest")]
    for number in range(3):
        assert place.forward(who, plc(6_000 + number)).status == 200
    place.step()
    place.step()
    assert main(["status"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("forward ")]
    assert [line.split() for line in lines] == ["forward 1 wait, 1 sent and 1 failed today".split()]
