"""tools.ozone.moderation.queryStatuses through HTTP, against the same told in the simplest way: every filter, every
order, any page size, for everybody who may ask.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communities.mod_event import Kind, ModEvent
from communities.review import State
from models import looking, status_conditions
from models.mod_events import SubjectKey
from ozone.status_query import QUERIES
from tests.ozone_history import (
    ACCOUNTS,
    KEYS,
    LIST,
    MODERATORS,
    REPORTERS,
    SPAM,
    STATES,
    History,
    Person,
    history,
    pages,
    people,
)  # fmt: skip
from tests.ozone_site import MAIN_PARAMS
from tests.status_oracle import PARAMS, SORTS, SUBJECTS, TIMES, asked, expected, timed, value

STATUSES = "moderation.queryStatuses"
NAMES = ("admin", "triage", "python", "rust", "both", "other")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with history(tmp_path_factory.mktemp("statuses"), 5, 400) as found:
        yield found


@pytest.fixture(scope="module")
def who(past: History) -> dict[str, Person]:
    return people(past.place)


def test_every_parameter_of_the_lexicon_is_tried() -> None:
    assert {*PARAMS, "limit", "cursor"} == MAIN_PARAMS[STATUSES]
    (query,) = QUERIES
    assert set(query.params.parse("")) == MAIN_PARAMS[STATUSES]


@settings(max_examples=350, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    params=asked(), name=st.sampled_from(NAMES), limit=st.sampled_from((100, 40, 20)), few=st.sampled_from((0, 1000))
)
def test_what_is_asked_for_is_what_comes(
    past: History, who: dict[str, Person], params: dict[str, Any], name: str, limit: int, few: int
) -> None:
    """Also where what is common to all that is sought (`few`) is not sorted, but gone through in its order."""
    person = who[name]
    wanted = expected(past, person, params)
    most = limit if len(wanted) > 20 else limit // 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_conditions, "FEW", few)
        found = pages(past, STATUSES, person, most, timed(past, params))
    assert [view["id"] for view in found] == wanted


@pytest.mark.parametrize(("field", "order"), [*itertools.product(SORTS, ("asc", "desc"))])
def test_each_order(past: History, who: dict[str, Person], field: str, order: str) -> None:
    """What has nothing to be ordered by comes last in both; what is equal has an order, so no page repeats it."""
    params = {"sortField": field, "sortDirection": order, "includeMuted": True}
    for person in who.values():
        for limit in (3, 100):
            found = [view["id"] for view in pages(past, STATUSES, person, limit, params)]
            assert found == expected(past, person, params)
        last = next(one for one in past.standings.values() if one.id == found[-1])
        assert (value(past, field, last) is None) is (field != "priorityScore")


@pytest.mark.parametrize("name", PARAMS)
def test_each_parameter_by_itself(past: History, who: dict[str, Person], name: str) -> None:
    values = {
        "queueCount": 2, "queueIndex": 0, "queueSeed": "a", "includeAllUserRecords": True, "subject": SUBJECTS[1],
        "comment": "look", "hostingStatuses": ["deleted"], "includeMuted": True, "onlyMuted": True,
        "reviewState": STATES[State.ESCALATED], "ignoreSubjects": [ACCOUNTS[0], SUBJECTS[5]],
        "lastReviewedBy": MODERATORS[0], "sortField": "priorityScore", "sortDirection": "asc", "takendown": True,
        "appealed": True, "tags": ["vip&&lang:en", "community:rust"], "excludeTags": ["vip"], "collections": [LIST],
        "subjectType": "account", "minAccountSuspendCount": 1, "minReportedRecordsCount": 3,
        "minTakendownRecordsCount": 1, "minPriorityScore": 40, "minStrikeCount": 2, "ageAssuranceState": "pending",
    } | {f"{time}{end}": 250 for time in TIMES for end in ("After", "Before")}  # fmt: skip
    changed = found_any = False
    for person in who.values():
        found = [view["id"] for view in pages(past, STATUSES, person, 100, timed(past, {name: values[name]}))]
        assert found == expected(past, person, {name: values[name]})
        changed |= found != expected(past, person, {})
        found_any |= bool(found)
    assert found_any or name == "ageAssuranceState"
    assert changed or name in ("queueCount", "queueIndex", "queueSeed", "includeAllUserRecords")


@pytest.mark.parametrize(("count", "seed"), [*itertools.product((1, 2, 3, 7), ("", "seed"))])
def test_every_account_is_in_one_queue_with_all_that_is_of_it(
    past: History, who: dict[str, Person], count: int, seed: str
) -> None:
    params = {"queueCount": count, "queueSeed": seed, "includeMuted": True}
    queues = [pages(past, STATUSES, who["admin"], 100, params | {"queueIndex": index}) for index in range(count)]
    for index, queue in enumerate(queues):
        assert [view["id"] for view in queue] == expected(past, who["admin"], params | {"queueIndex": index})
    numbers = [view["id"] for queue in queues for view in queue]
    assert sorted(numbers) == sorted(expected(past, who["admin"], {"includeMuted": True}))
    for did in ACCOUNTS:
        holding = [queue for queue in queues if any(did in str(view["subject"]) for view in queue)]
        assert len(holding) == 1
    assert pages(past, STATUSES, who["admin"], 100, params | {"queueIndex": count}) == []


def test_what_a_status_shows_of_its_account_is_of_its_scope(past: History, who: dict[str, Person]) -> None:
    by_number = {one.id: one for one in past.standings.values()}
    for person in who.values():
        for view in pages(past, STATUSES, person, 100, {"includeMuted": True}):
            one = by_number[view["id"]]
            records = past.account(one.scope, one.key.did)
            account = past.standings.get((one.scope, one.key.account))
            given = [count for scope, did, count in past.strikes if (scope, did) == (one.scope, one.key.did)]
            assert ("recordsStats" in view, "accountStats" in view) == (bool(records), account is not None)
            if records:
                stats = view["recordsStats"]
                assert stats["subjectCount"] == len(records)
                assert stats["totalReports"] == sum(other.status.reports for other in records)
                assert stats["takendownCount"] == sum(other.status.takendown for other in records)
                assert stats["pendingCount"] + stats["processedCount"] == len(records)
            if account:
                assert view["accountStats"]["reportCount"] == account.status.reports
                assert view["accountStats"]["suspendCount"] == account.status.suspensions
            assert view.get("accountStrike", {}).get("activeStrikeCount", 0) == sum(given)
            slug = next((name for name in ("python", "rust") if past.scopes[name] == one.scope), None)
            assert view["tags"] == sorted([*one.status.tags, *([f"community:{slug}"] if slug else [])])
            assert view["reviewState"] == STATES[one.status.state]
            assert ("muteUntil" in view) is (one.status.mute_until is not None)


def test_a_subject_is_an_item_for_each_scope(past: History, who: dict[str, Person]) -> None:
    for key in KEYS:
        if not key.convo:
            for person in who.values():
                found = pages(past, STATUSES, person, 100, {"subject": key.uri, "includeMuted": True})
                scopes = [scope for name, scope in past.scopes.items() if name in person.sees]
                assert len(found) == sum((scope, key) in past.standings for scope in scopes)


def test_a_page_of_what_is_rare_is_short_and_the_list_goes_on(
    past: History, who: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOKED_AT", 7)
    monkeypatch.setattr(status_conditions, "FEW", 0)
    for name, field, order in itertools.product(who, SORTS, ("asc", "desc")):
        params: dict[str, Any] = {"hostingStatuses": ["deleted"], "sortField": field, "sortDirection": order}
        found, calls, cursor = [], 0, None
        while calls == 0 or cursor is not None:
            reply = past.place.ask(STATUSES, who[name].who, aud=who[name].aud, **params, limit=4, cursor=cursor)
            found += [view["id"] for view in reply.json["subjectStatuses"]]
            cursor, calls = reply.cursor, calls + 1
        assert found == expected(past, who[name], params)
        assert calls >= len(expected(past, who[name], {})) // 7


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0}, {"sortDirection": "up"}, {"sortField": "name"}, {"reportedAfter": "x"}, {"subject": "alice"},
        {"ignoreSubjects": ["https://example.com"]}, {"minPriorityScore": 101}, {"minStrikeCount": 0},
        {"queueCount": -1}, {"queueCount": 1001}, {"tags": ["a"] * 26}, {"collections": ["x"]}, {"takendown": "yes"},
        {"lastReviewedBy": "alice.example.com"}, {"minAccountSuspendCount": "many"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_value_of_a_parameter(past: History, params: dict[str, Any]) -> None:
    assert past.place.ask(STATUSES, past.place.staff(), **params).fault == (400, "InvalidRequest")


def test_cursors_are_of_one_list(past: History, who: dict[str, Person]) -> None:
    first = past.place.ask(STATUSES, who["admin"].who, limit=2).cursor
    assert first is not None
    other = past.place.ask(STATUSES, who["admin"].who, limit=2, sortField="priorityScore").cursor
    events = past.place.ask("moderation.queryEvents", who["admin"].who, limit=2).cursor
    for wrong in (other, events, first[:-2], "x"):
        assert past.place.ask(STATUSES, who["admin"].who, limit=2, cursor=wrong).fault == (400, "InvalidCursor")
    assert past.place.ask(STATUSES, who["admin"].who, limit=5, cursor=first).status == 200


def test_who_may_ask(past: History) -> None:
    for account in (past.place.place.person(), past.place.place.member("python")):
        assert past.place.ask(STATUSES, account).fault == (401, "AuthenticationRequired")
    assert past.place.ask(STATUSES, None).fault == (401, "AuthMissing")


MOVING = (Kind.REPORT, Kind.ACKNOWLEDGE, Kind.COMMENT, Kind.TAG)


@pytest.mark.parametrize(("field", "order"), [*itertools.product(SORTS, ("asc", "desc"))])
@pytest.mark.parametrize("seed", range(3))
def test_paging_while_more_happens(past: History, who: dict[str, Person], field: str, order: str, seed: int) -> None:
    """Whatever is not touched comes exactly once, everything once at most."""
    choose = random.Random(f"{field} {order} {seed}")
    person = who["both"]
    params: dict[str, Any] = {"sortField": field, "sortDirection": order, "includeMuted": True}
    there, by_number = set(expected(past, person, params)), {one.id: one for one in past.standings.values()}
    touched: set[tuple[int, str]] = set()
    seen: list[int] = []
    cursor = None
    for step in itertools.count():
        reply = past.place.ask(STATUSES, person.who, **params, limit=choose.choice((2, 3, 5)), cursor=cursor)
        seen += [view["id"] for view in reply.json["subjectStatuses"]]
        cursor = reply.cursor
        if cursor is None:
            break
        if step < 12:
            done = past.anything(choose, kinds=MOVING)
            # Where an account's records are counted, all that is of it moves.
            touched.add((done.scope, done.key.did if field.endswith("RecordsCount") else done.key.uri + done.key.convo))
    still = {
        number
        for number in there
        if (by_number[number].scope, by_number[number].key.uri + by_number[number].key.convo) not in touched
        and (by_number[number].scope, by_number[number].key.did) not in touched
    }
    twice = {number for number in seen if seen.count(number) > 1}
    assert still <= set(seen) and not twice & still
    if not field.endswith("RecordsCount"):
        assert not twice


def test_a_muted_reporter_is_listed_and_moves_nothing(past: History, who: dict[str, Person]) -> None:
    scope, key = past.scopes["python"], SubjectKey(REPORTERS[0])
    past.add(scope, key, ModEvent(Kind.MUTE_REPORTER, 0, MODERATORS[0], said={"durationInHours": 9}))
    said = ModEvent(Kind.REPORT, 0, REPORTERS[0], said={"reportType": SPAM, "isReporterMuted": True})
    before = pages(past, STATUSES, who["python"], 100, {"includeMuted": True})
    past.add(scope, KEYS[0], said)
    past.add(scope, KEYS[1], said)
    assert pages(past, STATUSES, who["python"], 100, {"includeMuted": True}) == before
    muted = [view["subject"].get("did") for view in pages(past, STATUSES, who["python"], 100, {"onlyMuted": True})]
    assert REPORTERS[0] in muted
