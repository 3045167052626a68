"""tools.ozone.moderation.getAccountTimeline and getReporterStats through HTTP, counted again in the simplest way."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from communities.mod_event import Kind, ModEvent
from communities.report_cases import begin
from models.database import writing
from models.mod_events import SubjectKey
from models.reports import Said
from ozone.roles import Role
from tests.didnet import plc
from tests.feed_site import DAY
from tests.ozone_history import ACCOUNTS, CID, KEYS, REPORTERS, RUDE, SPAM, Entry, History, Person, history, people

TIMELINE, STATS = "moderation.getAccountTimeline", "moderation.getReporterStats"
DEFS = "tools.ozone.moderation.defs#"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Over three days, the second of which ends between two events."""
    with history(tmp_path_factory.mktemp("timeline"), 8, 500) as found:
        clock = found.place.place.clock
        found.anything(random.Random(4), kinds=(Kind.COMMENT,))
        midnight = (clock.micros() // DAY + 1) * DAY / 1_000_000
        for moment in (midnight - 1.5, midnight - 0.5, midnight + DAY / 1_000_000):
            clock.now = moment
            found.add(found.scopes["python"], KEYS[0], ModEvent(Kind.COMMENT, 0, "cli", comment="late"))
            found.add(found.scopes["rust"], KEYS[1], ModEvent(Kind.COMMENT, 0, "cli", comment="late"))
        yield found


@pytest.fixture(scope="module")
def who(past: History) -> dict[str, Person]:
    return people(past.place)


def seen(past: History, person: Person) -> list[Entry]:
    scopes = {past.scopes[name] for name in person.sees}
    return [one for one in past.entries if one.scope in scopes]


@pytest.mark.parametrize("did", [*ACCOUNTS, plc(5), plc(77)])
def test_the_timeline(past: History, who: dict[str, Person], did: str) -> None:
    for person in who.values():
        counts: Counter[tuple[str, str, str]] = Counter()
        for one in seen(past, person):
            if one.key.did == did:
                day = datetime.fromtimestamp(one.event.at / 1_000_000, UTC).strftime("%Y-%m-%d")
                kind = "chat" if one.key.convo else "record" if one.key.path else "account"
                counts[day, kind, DEFS + one.event.kind] += 1
        timeline = past.place.ask(TIMELINE, person.who, aud=person.aud, did=did).json["timeline"]
        days = [entry["day"] for entry in timeline]
        assert days == sorted({day for day, _, _ in counts}, reverse=True)
        shown = {
            (entry["day"], one["eventSubjectType"], one["eventType"]): one["count"]
            for entry in timeline
            for one in entry["summary"]
        }
        assert shown == counts and len(shown) == sum(len(entry["summary"]) for entry in timeline)


def test_a_day_is_one_of_utc(past: History, who: dict[str, Person]) -> None:
    timeline = past.place.ask(TIMELINE, who["python"].who, did=KEYS[0].did).json["timeline"]
    assert len(timeline) >= 3 and [len(entry["day"]) for entry in timeline] == [10] * len(timeline)


def stats_of(past: History, person: Person, *dids: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = past.place.ask(STATS, person.who, aud=person.aud, dids=list(dids)).json["stats"]
    return found


def counted(past: History, person: Person, did: str) -> dict[str, Any]:
    """What became of what somebody reported: each event of these histories is a report of its own."""
    entries = seen(past, person)
    reports = [one for one in entries if one.event.kind is Kind.REPORT and one.event.actor == did and not one.key.convo]

    def acted(kind: Kind, *, record: bool) -> int:
        return len(
            {
                report.key
                for report in reports
                if bool(report.key.path) is record
                and any(
                    one.event.kind is kind and (one.key, one.scope) == (report.key, report.scope) and one.id > report.id
                    and (kind is not Kind.LABEL or one.event.said["createLabelVals"])
                    for one in entries
                )
            }
        )  # fmt: skip

    accounts = [one for one in reports if not one.key.path]
    records = [one for one in reports if one.key.path]
    return {
        "did": did,
        "accountReportCount": len(accounts),
        "recordReportCount": len(records),
        "reportedAccountCount": len({one.key for one in accounts}),
        "reportedRecordCount": len({one.key for one in records}),
        "takendownAccountCount": acted(Kind.TAKEDOWN, record=False),
        "takendownRecordCount": acted(Kind.TAKEDOWN, record=True),
        "labeledAccountCount": acted(Kind.LABEL, record=False),
        "labeledRecordCount": acted(Kind.LABEL, record=True),
    }


def test_what_became_of_reports(past: History, who: dict[str, Person]) -> None:
    for person in who.values():
        assert stats_of(past, person, *REPORTERS) == [counted(past, person, did) for did in REPORTERS]
    every = counted(past, who["admin"], REPORTERS[0])
    assert min(value for name, value in every.items() if name != "did") >= 1, "each count is tried"
    noughts = stats_of(past, who["admin"], plc(78))
    assert {*noughts[0].values()} == {plc(78), 0}


def test_each_is_counted_once_in_the_order_that_was_asked_for(past: History, who: dict[str, Person]) -> None:
    one, other = REPORTERS
    assert [stats["did"] for stats in stats_of(past, who["admin"], other, one, other)] == [other, one]
    many = [plc(number) for number in range(1000, 1101)]
    assert len(stats_of(past, who["admin"], *many[:100])) == 100
    assert past.place.ask(STATS, who["admin"].who, dids=many).fault == (400, "InvalidRequest")


def test_a_report_that_reaches_several_scopes_is_one(past: History, who: dict[str, Person]) -> None:
    reporter = plc(63)
    scopes = [past.scopes[name] for name in ("service", "python", "rust")]
    for key, reason in ((SubjectKey(plc(6)), SPAM), (SubjectKey(plc(6), "app.bsky.feed.post/3z"), RUDE)):
        said = Said(reporter, reason, "", key.did, *((key.uri, CID) if key.path else ()))
        with writing(past.place.place.writer.database) as connection:
            begin(connection, said, scopes, past.place.place.clock.micros())
    for name in ("admin", "both", "python"):
        (stats,) = stats_of(past, who[name], reporter)
        assert (stats["accountReportCount"], stats["recordReportCount"]) == (1, 1)
        assert (stats["reportedAccountCount"], stats["reportedRecordCount"]) == (1, 1)
    assert stats_of(past, who["rust"], reporter)[0]["takendownRecordCount"] == 0


@pytest.mark.parametrize(
    ("method", "params"),
    [(TIMELINE, {}), (TIMELINE, {"did": "alice"}), (STATS, {}), (STATS, {"dids": ["alice"]})],
    ids=str,
)
def test_what_is_no_value_of_a_parameter(past: History, method: str, params: dict[str, Any]) -> None:
    assert past.place.ask(method, past.place.staff(), **params).fault == (400, "InvalidRequest")


@pytest.mark.parametrize(("method", "params"), [(TIMELINE, {"did": plc(1)}), (STATS, {"dids": [plc(1)]})])
def test_who_may_ask(past: History, method: str, params: dict[str, Any]) -> None:
    assert past.place.ask(method, past.place.member(Role.VERIFIER), **params).status == 200
    assert past.place.ask(method, past.place.place.person(), **params).fault == (401, "AuthenticationRequired")
