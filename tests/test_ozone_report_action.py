"""reportAction of emitEvent (what an event does to reports), and reports that are decided by other doors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from ozone.roles import Role
from tests.civic_reports import SPAM, TROLL, about, report, taken
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk, desk


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def emit(place: Desk, who: Any, what: str, kind: str, action: dict[str, Any] | None, **said: Any) -> Reply:
    event = {"$type": f"tools.ozone.moderation.defs#{kind}", **said}
    body = {"event": event, "subject": about(place.place, what), "createdBy": who.did}
    return place.act("moderation.emitEvent", who, body | ({} if action is None else {"reportAction": action}))


def states(place: Desk, uri: str) -> dict[int, str]:
    rows = place.place.writer.sql(
        "SELECT c.id, c.state FROM report_case c JOIN subject s ON s.id = c.subject"
        " WHERE 'at://' || s.did || '/' || s.path = ? ORDER BY c.id",
        uri,
    )
    return dict(rows)


def reported(place: Desk, uri: str, *reasons: str) -> list[int]:
    town = place.place
    return [taken(report(town, town.person(), uri, reason, to=LABELER)) for reason in reasons]


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("modEventAcknowledge", "closed"),
        ("modEventTakedown", "closed"),
        ("modEventComment", "closed"),
        ("modEventEscalate", "escalated"),
        ("modEventMute", "open"),
    ],
)
def test_what_an_event_does_to_all_reports(place: Desk, kind: str, state: str) -> None:
    uri, who = place.place.writer.post(1), place.place.moderator("python")
    numbers = reported(place, uri, SPAM, TROLL)
    said = {"durationInHours": 1} if kind == "modEventMute" else {}
    done = emit(place, who, uri, kind, {"all": True, "note": "Thank you."}, comment="seen", **said)
    assert done.status == 200, done.body
    assert states(place, uri) == dict.fromkeys(numbers, state)
    view = place.ask("report.getReport", who, id=numbers[0]).json
    assert view["status"] == state and view.get("actionEventIds", []) == ([] if state == "open" else [done.json["id"]])
    assert view.get("actionNote", "") == ("" if state == "open" else "Thank you.")


def test_by_id_and_by_reason_and_none_without_being_told(place: Desk) -> None:
    uri, who = place.place.writer.post(1), place.place.moderator("python")
    one, two, three = reported(place, uri, SPAM, TROLL, SPAM)
    assert emit(place, who, uri, "modEventAcknowledge", None).status == 200
    assert states(place, uri) == {one: "open", two: "open", three: "open"}, "a subject that is closed closes no report"
    assert emit(place, who, uri, "modEventComment", {"ids": [two]}, comment="x").status == 200
    assert states(place, uri) == {one: "open", two: "closed", three: "open"}
    assert emit(place, who, uri, "modEventAcknowledge", {"types": [SPAM]}).status == 200
    assert set(states(place, uri).values()) == {"closed"}


@pytest.mark.parametrize("wrong", ["closed", "unknown", "another's"])
def test_a_wrong_id_undoes_all_of_it(place: Desk, wrong: str) -> None:
    town = place.place
    uri, other, who = town.writer.post(1), town.writer.post(1, tags=("rust",)), town.moderator("python")
    (one,) = reported(place, uri, SPAM)
    number = {"closed": one, "unknown": 10**9, "another's": reported(place, other, SPAM)[0]}[wrong]
    if wrong == "closed":
        assert emit(place, who, uri, "modEventComment", {"all": True}, comment="x").status == 200
    before = town.writer.sql("SELECT count(*) FROM mod_event")
    assert emit(place, who, uri, "modEventTakedown", {"ids": [number]}).fault == (400, "InvalidRequest")
    assert town.writer.sql("SELECT count(*) FROM mod_event") == before
    assert town.writer.sql("SELECT hidden FROM feed_item WHERE uri = ?", uri) == [(0,)]


def test_only_in_ones_own_scopes(place: Desk) -> None:
    """A post of two communities: what a moderator of one does leaves the report of the other as it is."""
    town = place.place
    uri, who = town.writer.post(1, tags=("python", "rust")), town.moderator("python")
    reported(place, uri, SPAM)
    assert sorted(states(place, uri).values()) == ["open", "open"]
    assert emit(place, who, uri, "modEventTakedown", {"all": True}).status == 200
    assert sorted(states(place, uri).values()) == ["closed", "open"]
    assert emit(place, place.member(Role.TRIAGE), uri, "modEventAcknowledge", {"all": True}).status == 200
    assert sorted(states(place, uri).values()) == ["closed", "closed"]


def test_an_event_elsewhere_that_closed_a_report_is_told_to_those_alone_who_may_see_it(place: Desk) -> None:
    """The team takes down on the site, and a moderator of two communities comments in one: all reports are closed."""
    town = place.place
    team, one = place.member(Role.MODERATOR), town.moderator("python")
    both = town.moderator("python")
    town.put("rust", both, role=Member.MODERATOR)
    for who, kind, meta in ((team, "modEventTakedown", {}), (both, "modEventComment", {"community": "rust"})):
        uri = town.writer.post(1, tags=("python", "rust"))
        reported(place, uri, SPAM)
        number = min(states(place, uri))
        body = {
            "event": {"$type": f"tools.ozone.moderation.defs#{kind}", "comment": "for us alone"},
            "subject": about(town, uri),
            "createdBy": who.did,
            "modTool": {"name": "tests", "meta": meta},
            "reportAction": {"all": True},
        }
        event = place.act("moderation.emitEvent", who, body).json["id"]
        assert set(states(place, uri).values()) == {"closed"}
        assert place.ask("moderation.getEvent", one, id=event).status == 400
        for reader, told in ((who, [event]), (one, [])):
            view = place.ask("report.getReport", reader, id=number)
            assert view.json["status"] == "closed" and view.json["actionEventIds"] == told
            assert [action["id"] for action in view.json["actions"]] == told
            acts = place.ask("report.listActivities", reader, reportId=number)
            assert [act.get("meta", {}).get("actionEventId") for act in acts.json["activities"]] == (told or [None])
            every = place.ask("report.queryActivities", reader)
            assert (b"for us alone" in view.body + acts.body + every.body) is bool(told)


def test_communities_own_doors_close_reports(place: Desk) -> None:
    town = place.place
    uri, who = town.writer.post(1), town.moderator("python")
    author = town.person()
    first = taken(report(town, author, uri, SPAM, to=LABELER))
    assert taken(report(town, author, uri, SPAM, to=LABELER)) == first, "while it waits, it is the same"
    body = {"community": "python", "action": "approve", "subject": about(town, uri)}
    assert town.act("decide", who, body).status == 200
    assert states(place, uri) == {first: "closed"}
    again = taken(report(town, author, uri, SPAM, to=LABELER))
    assert states(place, uri) == {first: "closed", again: "open"}, "what is said again of what was decided is new"
    assert town.act("decide", who, body | {"action": "remove"}).status == 200
    assert states(place, uri) == {first: "closed", again: "closed"}


@pytest.mark.parametrize(
    "action",
    [
        {"ids": [1] * 3 + list(range(2, 600))},
        {"types": ["x"] * 101},
        {"note": "x" * 10_001},
        {"ids": "1"},
        {"all": "y"},
    ],
)
def test_bad_report_actions(place: Desk, action: Any) -> None:
    uri, who = place.place.writer.post(1), place.place.moderator("python")
    assert emit(place, who, uri, "modEventComment", action, comment="x").fault == (400, "InvalidRequest")
