"""Programs that moderate in people's names: how much each may do in a day, and when it is stopped. Through HTTP."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models import tool_use
from models.database import sql
from ozone import automation
from ozone.roles import Role
from ozone.setting_rules import AUTOMATION
from ozone.views import DEFS
from service.cli import main
from tests.civic_reports import SPAM, about
from tests.didnet import Account
from tests.feed_site import HOST, PUBLISHER, Reply
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import Desk, unlimited

LABEL, TAKEDOWN, REVERSE = "modEventLabel", "modEventTakedown", "modEventReverseTakedown"
BOT, WEB = "automod/1.0", "ozone-ui/quick-action"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("service.wiring.DECISIONS_BURST", 10_000)
    with unlimited(tmp_path) as found:
        found.place.clock.now -= found.place.clock.now % 86_400
        yield found


def emit(place: Desk, who: Account, what: str, kind: str, tool: str = "", **said: Any) -> Reply:
    mod_tool = {"modTool": {"name": tool, "meta": {"batchId": "b"}}} if tool else {}
    event = {"$type": DEFS + kind, **said}
    body = {"event": event, "subject": about(place.place, what), "createdBy": who.did, **mod_tool}
    return place.act("moderation.emitEvent", who, body)


def label(place: Desk, who: Account, what: str, tool: str = BOT, *, values: tuple[str, ...] = ("spam",)) -> Reply:
    return emit(place, who, what, LABEL, tool, createLabelVals=list(values), negateLabelVals=[])


def limit(place: Desk, admin: Account, tool: str = BOT, **limits: int) -> None:
    body = {
        "key": AUTOMATION, "scope": "instance", "value": {"tools": {tool: limits}},
        "managerRole": "tools.ozone.team.defs#roleAdmin",
    }  # fmt: skip
    reply = place.act("setting.upsertOption", admin, body)
    assert reply.status == 200, reply.body


def test_so_many_labels_a_day_each_value_counts(place: Desk) -> None:
    town, admin, who = place.place, place.staff(), place.member(Role.MODERATOR)
    uris = [town.writer.post(1) for _ in range(4)]
    limit(place, admin, labelsPerDay=3)
    assert label(place, who, uris[0], values=("spam", "spoiler")).status == 200
    refused = label(place, who, uris[1], values=("spam", "spoiler"))
    assert refused.fault == (429, "RateLimitExceeded") and "has done 2 today" in refused.json["message"]
    assert refused.headers["Retry-After"] == "86400" and refused.headers["RateLimit-Limit"] == "3"
    assert label(place, who, uris[1]).status == 200
    assert label(place, who, uris[2]).fault == (429, "RateLimitExceeded")
    negate = emit(place, who, uris[0], LABEL, BOT, createLabelVals=[], negateLabelVals=["spam"])
    assert negate.status == 200, "to take something back is always allowed"
    for other in (
        label(place, who, uris[2], "another"),
        label(place, who, uris[2], WEB),
        label(place, who, uris[3], ""),
    ):
        assert other.status == 200, other.body
    assert label(place, admin, uris[2]).status == 200, "each caller has their own"
    town.clock.now += 86_399
    assert label(place, who, uris[3]).status == 429
    town.clock.now += 1
    assert label(place, who, uris[3]).status == 200, "another day"


def test_so_many_takedowns_and_reports_a_day(place: Desk) -> None:
    town, admin, who = place.place, place.staff(), place.member(Role.MODERATOR)
    uris = [town.writer.post(1, tags=("python", "rust")) for _ in range(4)]
    limit(place, admin, takedownsPerDay=2, reportsPerDay=1)
    assert [emit(place, who, uri, TAKEDOWN, BOT).status for uri in uris[:3]] == [200, 200, 429]
    assert emit(place, who, uris[0], REVERSE, BOT).status == 200
    reports = [emit(place, who, uri, "modEventReport", BOT, reportType=SPAM).status for uri in uris[1:3]]
    assert reports == [200, 429], "that it reaches several communities is one report"
    assert emit(place, who, uris[2], "modEventReport", "", reportType=SPAM).status == 200
    assert emit(place, who, uris[2], "modEventTag", BOT, add=["a"], remove=[]).status == 200


def test_the_usual_limits_hold_for_every_program_but_the_web_app(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "LIMITS", automation.Limits(labels=1, takedowns=1, reports=1))
    town, admin, who = place.place, place.staff(), place.member(Role.MODERATOR)
    uris = [town.writer.post(1) for _ in range(3)]
    assert [label(place, who, uri).status for uri in uris] == [200, 429, 429]
    assert [label(place, who, uri, WEB).status for uri in uris] == [200] * 3
    limit(place, admin, WEB, labelsPerDay=3)
    assert label(place, who, town.writer.post(1), WEB).status == 429, "unless it is named"
    assert [emit(place, who, uri, TAKEDOWN, WEB).status for uri in uris[:2]] == [200, 200]


def test_the_setting_is_of_one_labeler_for_admins_and_judged(place: Desk) -> None:
    town, admin = place.place, place.staff()
    who = place.member(Role.MODERATOR)
    place.put(who.did, Role.MODERATOR, labeler=OTHER)
    limit(place, admin, labelsPerDay=0)
    uri = town.writer.post(1)
    assert label(place, who, uri).status == 429
    event = {"$type": DEFS + LABEL, "createLabelVals": ["owl"], "negateLabelVals": []}
    body = {"event": event, "subject": about(town, uri), "createdBy": who.did, "modTool": {"name": BOT}}
    assert place.act("moderation.emitEvent", who, body, aud=OTHER).status == 200
    given = {"key": AUTOMATION, "scope": "instance", "managerRole": "tools.ozone.team.defs#roleAdmin"}
    good, bad = {"tools": {}}, {"tools": {"x": {"labelsPerDay": "7"}}}
    assert place.act("setting.upsertOption", who, given | {"value": good}).status == 401
    assert place.act("setting.upsertOption", admin, given | {"value": bad}).fault == (400, "InvalidRequest")
    lower = given | {"value": good, "managerRole": "tools.ozone.team.defs#roleModerator"}
    assert place.act("setting.upsertOption", admin, lower).fault == (400, "InvalidRequest")


def test_two_at_once_do_not_go_over_it(place: Desk) -> None:
    town, admin, who = place.place, place.staff(), place.member(Role.MODERATOR)
    uris = [town.writer.post(1) for _ in range(8)]
    limit(place, admin, labelsPerDay=3)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda uri=uri: statuses.append(label(place, who, uri).status)) for uri in uris]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [429] * 5


def act_and_reverse(place: Desk, who: Account, person: Account, how: str) -> None:
    """The program does something, and somebody reverses it."""
    town = place.place
    uri = town.writer.post(1)
    if how == "label":
        assert label(place, who, uri).status == 200
        gone = emit(place, person, uri, LABEL, WEB, createLabelVals=[], negateLabelVals=["spam"])
    elif how == "takedown":
        assert emit(place, who, uri, TAKEDOWN, BOT).status == 200
        gone = emit(place, person, uri, REVERSE)
    else:
        done = emit(place, who, uri, TAKEDOWN, BOT)
        assert done.status == 200, done.body
        gone = town.act("undo", person, {"community": "python", "event": done.json["id"]})
        assert [one["undone"] for one in gone.json["events"]] == [True]
    assert gone.status == 200, gone.body


def test_a_program_that_people_have_to_correct_is_stopped_until_an_admin_has_looked(
    place: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    town, admin = place.place, place.staff()
    who, person = town.moderator("python"), town.moderator("python")
    for how in ("label", "takedown", "undo") * 3:
        act_and_reverse(place, who, person, how)
    uri = town.writer.post(1)
    assert label(place, who, uri).status == 200, "nine of them are not yet a fifth"
    assert emit(place, person, uri, LABEL, createLabelVals=[], negateLabelVals=["spam"]).status == 200
    refused = label(place, who, uri)
    assert refused.fault == (403, "ToolStopped") and AUTOMATION in refused.json["message"]
    assert emit(place, who, uri, "modEventTag", BOT, add=["a"], remove=[]).status == 403, "it does nothing any more"
    assert label(place, who, uri, WEB).status == 200, "people do"
    assert label(place, person, uri).status == 200, "and the same program for somebody else"
    given = {
        "HOSTNAME": HOST,
        "PUBLISHER_DID": PUBLISHER,
        "DATA": tmp_path / "data",
        "LABELS": tmp_path / "labels.toml",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"COMMUNITIES_{name}", str(value))
    monkeypatch.setattr("service.show_status.time", SimpleNamespace(time=town.clock))
    main(["status", "--json"])
    tools = {(one["tool"], one["actor"]): one for one in json.loads(capsys.readouterr().out)["tools"]}
    assert tools[BOT, who.did]["stopped"] == [LABELER, OTHER] and tools[BOT, person.did]["stopped"] == []
    assert tools[BOT, who.did]["today"] == {"labels": 4, "takedowns": 6, "reports": 0}
    assert {tool for tool, _ in tools} == {BOT}, "the web app is none"
    main(["status"])
    assert f"stopped for {LABELER}: 10 of its last 50 were reversed" in capsys.readouterr().out
    town.clock.now += 1
    limit(place, admin, labelsPerDay=100)
    assert label(place, who, uri).status == 200


def test_what_others_or_time_reverse_stops_nothing(place: Desk) -> None:
    town = place.place
    who, person = town.moderator("python"), town.moderator("python")
    for _ in range(10):
        uri = town.writer.post(1)
        assert label(place, who, uri).status == 200
        gone = emit(place, person, uri, LABEL, "another-bot", createLabelVals=[], negateLabelVals=["spam"])
        assert gone.status == 200
    for _ in range(45):
        assert label(place, who, town.writer.post(1)).status == 200
    for _ in range(5):
        act_and_reverse(place, who, person, "label")
    assert label(place, who, town.writer.post(1)).status == 200


def test_old_mistakes_count_no_more(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "LAST", 12)
    town = place.place
    who, person = town.moderator("python"), town.moderator("python")
    for _ in range(5):
        act_and_reverse(place, who, person, "label")
    for _ in range(4):
        assert label(place, who, town.writer.post(1)).status == 200
    for _ in range(8):
        act_and_reverse(place, who, person, "label")
    assert label(place, who, town.writer.post(1)).status == 200, "eight of the last twelve"


def test_it_is_counted_by_index(place: Desk) -> None:
    connection = sql(place.place.writer.database)
    seen: list[str] = []

    class Explained:
        def execute(self, statement: str, bindings: Any = ()) -> Any:
            seen.extend(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", bindings))
            return connection.execute(statement, bindings)

    tool_use.use(Explained(), BOT, "did:plc:a", 0, 5)  # type: ignore[arg-type]
    tool_use.last_acts(Explained(), BOT, "did:plc:a", 0, 5)  # type: ignore[arg-type]
    tool_use.is_reversed(Explained(), tool_use.Act(1, 1, 1, 1, LABEL))  # type: ignore[arg-type]
    tool_use.programs(Explained(), 5)  # type: ignore[arg-type]
    assert seen and not [line for line in seen if line.startswith("SCAN") and "USING" not in line and "sub" not in line]
