"""tools.ozone.moderation.emitEvent through HTTP: what each event does, to whom, and for whose matter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ozone.roles import Role
from ozone.views import DEFS
from tests.civic_reports import about, report, taken
from tests.didnet import Account
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk, desk

EMIT = "moderation.emitEvent"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def emit(place: Desk, who: Account, what: str, kind: str, **said: Any) -> Reply:
    """Emit an event about an account (DID) or a post; what begins with `body_` goes beside the event."""
    body = {name.removeprefix("body_"): said.pop(name) for name in list(said) if name.startswith("body_")}
    event = {"$type": DEFS + kind, **said}
    return place.act(EMIT, who, {"event": event, "subject": about(place.place, what), "createdBy": who.did, **body})


def status(place: Desk, uri: str) -> list[Any]:
    """How a post stands: scope, state, takendown, tags."""
    return place.place.writer.sql(
        "SELECT coalesce(c.slug, 'site'), t.state, t.takendown, t.tags FROM subject_status t"
        " JOIN subject s ON s.id = t.subject LEFT JOIN community c ON c.id = t.scope"
        " WHERE 'at://' || s.did || '/' || s.path = ? OR s.did = ? AND s.path = '' ORDER BY t.scope DESC",
        uri,
        uri,
    )


def test_a_moderator_works_a_report_off(place: Desk) -> None:
    town = place.place
    uri, moderator = town.writer.post(1), town.moderator("python")
    taken(report(town, town.person(), uri, to=LABELER))
    assert status(place, uri) == [["python", 1, 0, "[]"]] or status(place, uri) == [("python", 1, 0, "[]")]
    reply = emit(place, moderator, uri, "modEventLabel", createLabelVals=["spam"], negateLabelVals=[], comment="look")
    assert reply.status == 200, reply.body
    assert reply.json["createdBy"] == moderator.did and reply.json["event"]["createLabelVals"] == ["spam"]
    reply = emit(place, moderator, uri, "modEventTakedown", policies=["spam"])
    assert reply.status == 200, reply.body
    assert status(place, uri) == [("python", 3, 1, "[]")]
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(4,)]
    reply = emit(place, moderator, uri, "modEventTakedown")
    assert reply.fault == (400, "InvalidRequest")
    reply = emit(place, moderator, uri, "modEventReverseTakedown")
    assert reply.status == 200, reply.body
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(0,)]


def test_the_team_takes_down_on_the_whole_site(place: Desk) -> None:
    town = place.place
    uri, admin = town.writer.post(1), place.member(Role.MODERATOR)
    taken(report(town, town.person(), uri, to=LABELER))
    reply = emit(place, admin, uri, "modEventTakedown", comment="no")
    assert reply.status == 200, reply.body
    assert status(place, uri) == [("python", 3, 0, "[]"), ("site", 3, 1, "[]")]
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(16,)]
    assert emit(place, admin, uri, "modEventReverseTakedown").status == 200
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(0,)]
