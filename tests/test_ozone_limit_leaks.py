"""What the role of a moderator does not cover does not exist for them: every answer of the moderation API is, to the
last byte, what it would be if the rows outside of the limits were not there.
"""

import json
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.access import Role as Member
from communities.limits import ACCOUNT, UNLIMITED, Limits
from communities.refs import POST
from communities.report_activities import Doing
from communities.report_activities import do as work
from communities.report_assignments import AlreadyAssignedError, NotAssignableError, hold, look
from communities.report_cases import begin
from communities.report_state import Act, ReportStateError, State
from communities.tagging import tag_due
from models import looking, report_cases, status_conditions
from models.database import writing
from models.reports import Said
from models.scopes import Cut, Scopes
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_history import ACCOUNTS, APPEAL, CID, KEYS, LIST, REPORTERS, RUDE, SPAM, History, Person, history
from tests.test_ozone_leaks import CALLS, Call, answers

REASONS = (SPAM, RUDE, APPEAL)
WHO: dict[str, dict[str, Limits]] = {
    "posts": {"python": Limits(collections=frozenset((POST,)))},
    "accounts": {"python": Limits(collections=frozenset((ACCOUNT,)))},
    "spam": {"python": Limits(reasons=frozenset((SPAM,)))},
    "no reports": {"python": Limits(reasons=frozenset())},
    "posts for spam": {"python": Limits(frozenset(), frozenset((POST, LIST)), frozenset((SPAM, APPEAL)))},
    "nothing": {"python": Limits(collections=frozenset(), reasons=frozenset())},
    "posts here, all there": {"python": Limits(collections=frozenset((POST,))), "rust": UNLIMITED},
    "spam here, accounts there": {
        "python": Limits(reasons=frozenset((SPAM,))),
        "rust": Limits(collections=frozenset((ACCOUNT,))),
    },
}
QUERY, LATEST, ACTIVITIES, ASSIGNMENTS = (
    f"report.{name}" for name in ("queryReports", "getLatestReport", "queryActivities", "getAssignments")
)
LIVE, DAYS = "report.getLiveStats", "report.getHistoricalStats"


@pytest.fixture
def past(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path, 5, 400) as found:
        reported(found, random.Random(3))
        yield found


def reported(past: History, choose: random.Random) -> None:
    """Reports of everything, to communities, and what moderators have done with them; and the tags."""
    numbers: list[int] = []
    clock = past.place.place.clock
    with writing(past.place.place.writer.database) as connection:
        for _ in range(160):
            clock.now += 40_000 if choose.random() < 0.05 else 1
            now, did = clock.micros(), choose.choice(REPORTERS)
            if choose.random() < 0.1:
                tag_due(connection, now, 5)
            if len(numbers) < 4 or choose.random() < 0.5:
                key, reason = choose.choice(KEYS), choose.choice(REASONS)
                uri, cid = (key.uri, CID) if key.path else ("", "")
                said = Said(did, reason, "Look.", key.did, uri, cid, key.convo, labeler=LABELER)
                scopes = [past.scopes[name] for name in ("python", "rust") if choose.random() < 0.8]
                if scopes:
                    before = connection.execute("SELECT max(id) FROM mod_event").fetchone()[0]
                    begin(connection, said, scopes, now)
                    numbers += range(before + 1, before + 1 + len(scopes))
                continue
            number = choose.choice(numbers)
            try:
                if choose.random() < 0.3:
                    look(connection, number, did, did, -1, now)
                elif choose.random() < 0.3:
                    hold(connection, number, did, Doing(Act.ASSIGNMENT, did), -1, now)
                else:
                    work(connection, number, Doing(choose.choice(tuple(Act)), did, "x", "y"), now)
            except (ReportStateError, AlreadyAssignedError, NotAssignableError):
                continue


def person_of(past: History, name: str) -> Person:
    place, who = past.place.place, past.place.place.person()
    for slug, limits in WHO[name].items():
        place.put(slug, who, role=Member.MODERATOR, limits=limits)
    return Person(who, tuple(WHO[name]))


def everything(past: History, person: Person) -> list[tuple[str, dict[str, Any]]]:
    """Calls about reports, single events and subjects: all that there are."""
    rows = past.place.place.writer.sql("SELECT id FROM report_case ORDER BY id")
    cases = [number for (number,) in rows]
    calls: list[tuple[str, dict[str, Any]]] = [(LATEST, {}), (LIVE, {}), (DAYS, {"limit": 3}), (ASSIGNMENTS, {})]
    calls += [("report.getReport", {"id": number}) for number in cases]
    calls += [("report.listActivities", {"reportId": number}) for number in cases]
    events = past.place.place.writer.sql("SELECT id FROM mod_event ORDER BY id")
    calls += [("moderation.getEvent", {"id": number}) for (number,) in events[::4] if number]
    for state, field, direction in product(State, ("createdAt", "updatedAt"), ("asc", "desc")):
        calls.append((QUERY, {"status": state.value, "sortField": field, "sortDirection": direction, "limit": 4}))
    calls += [(QUERY, {"reportTypes": [reason]}) for reason in REASONS]
    calls += [(QUERY, {"did": did}) for did in ACCOUNTS] + [(QUERY, {"assignedTo": did}) for did in REPORTERS]
    calls += [(QUERY, {"subject": key.uri}) for key in KEYS if not key.convo]
    calls += [(QUERY, {"subjectType": kind}) for kind in ("account", "record", "conversation")]
    calls += [(QUERY, {"isMuted": True}), (QUERY, {"collections": [POST]}), (LIVE, {"reportTypes": [RUDE]})]
    calls += [(ACTIVITIES, {"sortDirection": "asc"}), (ACTIVITIES, {"limit": 3}), (ASSIGNMENTS, {"onlyActive": False})]
    calls += [(ASSIGNMENTS, {"onlyActive": False, "reportIds": cases[:40]})]
    calls += [(ASSIGNMENTS, {"onlyActive": False, "dids": [did]}) for did in REPORTERS]
    return calls


def asked(past: History, person: Person, calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[int, bytes]]:
    found = []
    for method, params in calls:
        cursor: str | None = None
        for _ in range(3):
            more = {"status": "open"} if method == QUERY and "status" not in params else {}
            reply = past.place.ask(method, person.who, **params, **more, **({"cursor": cursor} if cursor else {}))
            found.append((reply.status, reply.body))
            cursor = reply.cursor if reply.status == 200 else None
            if cursor is None:
                break
    return found


def forget(past: History, name: str) -> int:
    """Take out all rows that the limits do not cover, as if they had never been; how many events those were."""
    database = past.place.place.writer.database
    about = "(SELECT iif(convo != '', 'conversation', iif(path = '', 'account', substr(path, 1, instr(path, '/') - 1)))"
    with writing(database) as connection:
        connection.execute(
            "DROP TRIGGER mod_event_stays; DROP TRIGGER report_case_gone; DROP TRIGGER report_activity_stays"
        )
        connection.execute("CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY)")
        for slug, scope in past.scopes.items():
            limits = WHO[name].get(slug, Limits(collections=frozenset()))
            if limits.collections is not None:
                query = f"INSERT OR IGNORE INTO gone SELECT e.id FROM mod_event e WHERE e.scope = ? AND {about} FROM"
                query += " subject s WHERE s.id = e.subject) NOT IN (SELECT value FROM json_each(?))"
                connection.execute(query, (scope, json.dumps(sorted(limits.collections))))
            if limits.reasons is not None:
                query = "INSERT OR IGNORE INTO gone SELECT id FROM mod_event WHERE scope = ? AND (actor = 'tagger'"
                query += (
                    " OR type = 'modEventReport' AND said ->> '$.reportType' NOT IN (SELECT value FROM json_each(?)))"
                )
                connection.execute(query, (scope, json.dumps(sorted(limits.reasons))))
            if limits.cuts:
                for table in ("account_records", "strike"):
                    connection.execute(f"DELETE FROM {table} WHERE scope = ?", (scope,))
            if limits.reasons is not None:
                # How subjects stand is the sum of all reports: here of others.
                changed = "state = 3 - state, reports = reports + 9, priority = 7, reported_at = 5, takendown = 1"
                connection.execute(f"UPDATE subject_status SET {changed} WHERE scope = ?", (scope,))
                connection.execute("DELETE FROM subject_tag WHERE scope = ?", (scope,))
        for table, column in (
            ("mod_event_value", "event"), ("report_activity", "report_case"), ("report_assignment", "report_case"),
            ("report_case", "id"), ("mod_event", "id"),
        ):  # fmt: skip
            connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM gone)")
        connection.execute("CREATE TEMP TABLE seen AS SELECT DISTINCT subject, scope FROM mod_event")
        left = "NOT EXISTS (SELECT 1 FROM seen WHERE seen.subject = t.subject AND seen.scope = t.scope)"
        connection.execute(f"DELETE FROM subject_tag WHERE status IN (SELECT id FROM subject_status t WHERE {left})")
        connection.execute(f"DELETE FROM subject_status AS t WHERE {left}")
        connection.execute("DELETE FROM subject WHERE id NOT IN (SELECT subject FROM seen)")
        gone = connection.execute("SELECT count(*) FROM gone").fetchone()[0]
        connection.execute("DROP TABLE gone; DROP TABLE seen")
    return int(gone)


@pytest.mark.parametrize("name", WHO)
def test_what_is_outside_of_the_limits_changes_no_answer(past: History, name: str) -> None:
    person = person_of(past, name)
    calls = everything(past, person)
    before = asked(past, person, calls)
    assert forget(past, name) > 100
    after = asked(past, person, calls)
    for call, old, new in zip(calls, before, after, strict=False):
        assert old == new, call
    assert before == after and {status for status, _ in before} == {200, 400}


@pytest.mark.parametrize("name", WHO)
@pytest.mark.parametrize("bounded", [False, True], ids=["as it is", "with pages that look at little"])
def test_nor_any_list_of_events_and_statuses(
    past: History, name: str, bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bounded:
        monkeypatch.setattr(looking, "LOOKED_AT", 12)
        monkeypatch.setattr(status_conditions, "FEW", 3)
        monkeypatch.setattr("models.mod_event_query.MOST_SCANS", 1)
        monkeypatch.setattr(looking, "MOST_SCANS", 1)
    person = person_of(past, name)
    made: list[tuple[Call, list[Reply]]] = []

    @settings(max_examples=60, database=None, suppress_health_check=[HealthCheck.nested_given])
    @given(call=CALLS)
    def ask(call: Call) -> None:
        made.append((call, answers(past, person, call)))

    ask()
    assert forget(past, name) > 100
    for call, before in made:
        after = answers(past, person, call)
        assert [(one.status, one.body) for one in after] == [(one.status, one.body) for one in before], call


def test_what_the_limits_cover_is_seen(past: History) -> None:
    """The counts of a slow look at all rows: so nothing is left out that should be there."""
    for name, limits in WHO.items():
        person = person_of(past, name)
        (mine,) = [limits["python"]] if len(limits) == 1 else [None]
        if mine is None:
            continue
        by_itself = past.place.place.writer.sql("SELECT id FROM mod_event WHERE actor = 'tagger'")
        wanted = {
            one.id for one in past.entries
            if one.scope == past.scopes["python"]
            and mine.covers(one.key.about, [one.event.said["reportType"]] if one.event.kind == "modEventReport" else [])
        }  # fmt: skip
        known = {one.id for one in past.entries}
        found: set[int] = set()
        for page in past.place.every("moderation.queryEvents", person.who, 100):
            found |= {one["id"] for one in page}
        assert found & known == wanted, name
        assert bool(found & {number for (number,) in by_itself}) is (mine.reasons is None), name
        reports: set[int] = set()
        for state in State:
            for page in past.place.every(QUERY, person.who, 100, status=state.value):
                reports |= {one["id"] for one in page}
        rows = past.place.place.writer.sql("SELECT id FROM report_case WHERE scope = ?", past.scopes["python"])
        cases = {number: report_cases.find(past.place.place.writer.connection, number) for (number,) in rows}
        assert reports == {
            number for number, row in cases.items() if row is not None and mine.covers(row.about, [row.reason_type])
        }
        assert (len(wanted) > 5) is (name != "nothing")
        statuses = [one for page in past.place.every("moderation.queryStatuses", person.who, 100) for one in page]
        assert bool(statuses) is (mine.reasons is None)
        assert not any("accountStats" in one or "recordsStats" in one or "accountStrike" in one for one in statuses)


@settings(max_examples=200, database=None)
@given(
    st.sets(st.sampled_from((POST, LIST, ACCOUNT))),
    st.sets(st.sampled_from(REASONS)),
    st.sampled_from((POST, LIST, ACCOUNT, "conversation")),
    st.sampled_from((*REASONS, None)),
)
def test_one_row_at_a_time(collections: set[str], reasons: set[str], about: str, reason: str | None) -> None:
    scopes = Scopes(frozenset((1, 2)), cuts={1: Cut(frozenset(collections), frozenset(reasons))})
    assert scopes.shows(1, about, reason) is (about in collections and (reason is None or reason in reasons))
    assert scopes.shows(2, about, reason) and not scopes.shows(3, about, reason)
    assert 1 not in scopes.sums and 1 not in scopes.whole and {2} == scopes.whole.listed == scopes.sums.listed
