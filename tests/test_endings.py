"""What moderators have done for a time ends by itself, once, whatever happens meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities import endings
from communities.casebook import append
from communities.deeds import subject_key
from communities.mod_event import HOUR, Kind, ModEvent
from models.database import sql, writing
from models.mod_events import SERVICE
from ozone.roles import Role
from service.ending import end_once
from tests.civic_reports import about
from tests.civic_site import Town
from tests.ozone_site import Desk, desk
from tests.service_process import PATIENCE

TAKEDOWN, REVERSE = "modEventTakedown", "modEventReverseTakedown"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Where nothing ends but when a test says so."""
    monkeypatch.setattr("service.ending.LOOK_SECONDS", 1e6)
    with desk(tmp_path) as found:
        yield found


def emit(place: Desk, who: Any, what: str, kind: str, **said: Any) -> dict[str, Any]:
    event = {"$type": f"tools.ozone.moderation.defs#{kind}", **said}
    body = {"event": event, "subject": about(place.place, what), "createdBy": who.did}
    reply = place.act("moderation.emitEvent", who, body)
    assert reply.status == 200, reply.body
    return dict(reply.json)


def events(town: Town) -> list[tuple[str, str, str]]:
    """What ended by itself: type, scope's slug, subject."""
    return [
        tuple(row)
        for row in town.writer.sql(
            "SELECT e.type, coalesce(c.slug, 'site'), coalesce(nullif(s.path, ''), s.did) FROM mod_event e"
            " JOIN subject s ON s.id = e.subject LEFT JOIN community c ON c.id = e.scope"
            " WHERE e.actor = ? AND e.role = 'automation' ORDER BY e.id",
            endings.SCHEDULE,
        )
    ]


def ended(place: Desk, after: int) -> int:
    """So many microseconds later."""
    place.place.clock.now += after / 1_000_000
    return end_once(place.place.writer.database, place.place.clock.micros())


def hidden(town: Town, uri: str) -> list[int]:
    return [bits for (bits,) in town.writer.sql("SELECT hidden FROM feed_item WHERE uri = ? ORDER BY community", uri)]


def test_a_suspended_post_comes_back_in_its_community(place: Desk) -> None:
    town = place.place
    uri, who = town.writer.post(1), town.moderator("python")
    emit(place, who, uri, TAKEDOWN, durationInHours=2, policies=["kind"])
    assert hidden(town, uri) == [4] and ended(place, 2 * HOUR - 1_000_000) == 0 and hidden(town, uri) == [4]
    assert ended(place, 1_000_000) == 1 and hidden(town, uri) == [0]
    assert events(town) == [(REVERSE, "python", uri.split("/", 3)[3])]
    assert ended(place, 10 * HOUR) == 0
    (last,) = town.writer.sql("SELECT action, role, reason FROM decision ORDER BY seq DESC LIMIT 1")
    assert tuple(last) == ("restore", "automation", "the time for which it was removed is over")
    assert town.writer.sql("SELECT takendown, suspend_until, state FROM subject_status") == [(0, None, 3)]
    log = town.ask("getDecisions", who, community="python")
    assert log.status == 200 and log.json["decisions"][0]["actor"] == endings.SCHEDULE


def test_what_somebody_decided_meanwhile_stays(place: Desk) -> None:
    town = place.place
    uri, who = town.writer.post(1), town.moderator("python")
    emit(place, who, uri, TAKEDOWN, durationInHours=2)
    emit(place, who, uri, REVERSE)
    emit(place, who, uri, TAKEDOWN)
    assert ended(place, 5 * HOUR) == 0 and hidden(town, uri) == [4] and events(town) == []


def test_a_suspended_post_that_is_gone_may_come_again(place: Desk) -> None:
    town = place.place
    uri, who = town.writer.post(1), town.moderator("python")
    emit(place, who, uri, TAKEDOWN, durationInHours=2)
    town.writer.sql("DELETE FROM feed_item")
    town.writer.sql("DELETE FROM post")
    assert ended(place, 2 * HOUR) == 1 and town.writer.sql("SELECT * FROM decided") == []
    assert [kind for kind, *_ in events(town)] == [REVERSE]


def test_the_site_shows_again_what_it_took_down_for_a_time(place: Desk) -> None:
    town = place.place
    uri, admin = town.writer.post(1), place.member(Role.MODERATOR)
    author = uri.split("/")[2]
    emit(place, admin, uri, TAKEDOWN, durationInHours=1)
    emit(place, admin, author, TAKEDOWN, durationInHours=3)
    assert hidden(town, uri) == [17]
    assert ended(place, HOUR) == 1 and hidden(town, uri) == [1]
    assert ended(place, 2 * HOUR) == 1 and hidden(town, uri) == [0]
    assert town.writer.sql("SELECT allowed FROM actor WHERE did = ?", author) == [(1,)]
    assert [(kind, scope) for kind, scope, _ in events(town)] == [(REVERSE, "site")] * 2


def test_what_another_team_has_taken_down_stays_down(place: Desk) -> None:
    """The end of one takedown of the site is not the end of another one."""
    town = place.place
    uri, admin = town.writer.post(1), place.member(Role.MODERATOR)
    emit(place, admin, uri, TAKEDOWN, durationInHours=1)
    with writing(town.writer.database) as connection:
        append(connection, SERVICE, subject_key(uri), ModEvent(Kind.TAKEDOWN, town.clock.micros(), "cli", "cli"))
    assert ended(place, HOUR) == 1 and hidden(town, uri) == [16]


def test_mutes_and_tags_end(place: Desk) -> None:
    town = place.place
    uri, who = town.writer.post(1), town.moderator("python")
    author = uri.split("/")[2]
    emit(place, who, uri, "modEventMute", durationInHours=1)
    emit(place, who, author, "modEventMuteReporter", durationInHours=1)
    emit(place, who, uri, "modEventTag", add=["a", "b"], remove=[], durationInHours=1)
    emit(place, who, uri, "modEventTag", add=["c", "d"], remove=[], durationInHours=2)
    emit(place, who, uri, "modEventTag", add=[], remove=["d"])
    assert ended(place, HOUR) == 3
    assert [kind for kind, *_ in events(town)] == ["modEventUnmute", "modEventUnmuteReporter", "modEventTag"]
    assert town.writer.sql("SELECT tags FROM subject_status WHERE cid != ''") == [('["c"]',)]
    assert ended(place, HOUR) == 1 and town.writer.sql("SELECT count(*) FROM subject_tag") == [(0,)]
    said = town.writer.sql("SELECT said FROM mod_event WHERE actor = ? ORDER BY id DESC LIMIT 1", endings.SCHEDULE)
    assert said == [('{"add":[],"remove":["c"]}',)], "what was removed by hand is not removed again"


def test_many_end_in_pieces_and_two_at_once_end_each_once(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ending.PIECE", 3)
    town = place.place
    who, uris = place.member(Role.TRIAGE), [town.writer.post(1) for _ in range(10)]
    for uri in uris:
        emit(place, who, uri, "modEventMute", durationInHours=1)
    town.clock.now += 3600
    now, database = town.clock.micros(), town.writer.database
    done: list[int] = []

    def work() -> None:
        try:
            done.append(end_once(database, now))
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(town)) == 10 and sum(done) == 10


def test_half_of_a_piece_is_none(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends it in the middle: nothing was done, and all of it is done later."""
    town = place.place
    who, uri = place.member(Role.TRIAGE), town.writer.post(1)
    emit(place, who, uri, "modEventMute", durationInHours=1)
    emit(place, who, uri, "modEventTag", add=["a"], remove=[], durationInHours=1)
    town.clock.now += 3600
    connection = sql(town.writer.database)
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError), writing(town.writer.database):
        broken.setattr("models.subject_statuses.due_tags", lambda *_: 1 // 0)
        endings.end_due(connection, town.clock.micros(), 5, lambda *_: None)
    assert events(town) == []
    assert end_once(town.writer.database, town.clock.micros()) == 2


def test_the_service_does_it_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    def end(database: Any, now: int) -> int:
        done = end_once(database, now)
        if done:
            looked.set()
        return done

    monkeypatch.setattr("service.ending.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("service.ending.end_once", end)
    with desk(tmp_path) as place:
        who, uri = place.member(Role.TRIAGE), place.place.writer.post(1)
        emit(place, who, uri, "modEventMute", durationInHours=1)
        place.place.clock.now += 3600
        assert looked.wait(PATIENCE)
        assert [kind for kind, *_ in events(place.place)] == ["modEventUnmute"]
