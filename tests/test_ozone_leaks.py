"""What somebody may not see does not exist for them: every answer of the lists is, to the last byte, what it would be
if the rows of the other scopes were not there. Cursors, short pages and errors are part of it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import looking, status_conditions
from models.database import writing
from tests import event_oracle, status_oracle
from tests.feed_site import Reply
from tests.ozone_history import ACCOUNTS, REPORTERS, History, Person, history, people

EVENTS, STATUSES = "moderation.queryEvents", "moderation.queryStatuses"
TIMELINE, STATS = "moderation.getAccountTimeline", "moderation.getReporterStats"
Call = tuple[str, dict[str, Any]]
CALLS: st.SearchStrategy[Call] = st.one_of(
    event_oracle.asked().map(lambda params: (EVENTS, params)),
    status_oracle.asked().map(lambda params: (STATUSES, params)),
    st.sampled_from(ACCOUNTS).map(lambda did: (TIMELINE, {"did": did})),
    st.lists(st.sampled_from(REPORTERS), min_size=1, unique=True).map(lambda dids: (STATS, {"dids": dids})),
)
TIMED = {EVENTS: event_oracle.timed, STATUSES: status_oracle.timed}


@pytest.fixture
def past(tmp_path: Path) -> Iterator[History]:
    with history(tmp_path, 11, 400) as found:
        yield found


def answers(past: History, person: Person, call: Call) -> list[Reply]:
    """The first pages of an answer; each a few items long."""
    method, params = call
    params = TIMED[method](past, params) if method in TIMED else params
    found, cursor = [], None
    while len(found) < 4 and (cursor is not None or not found):
        more = {"limit": 5, "cursor": cursor} if method in TIMED else {}
        reply = past.place.ask(method, person.who, aud=person.aud, **params, **more)
        found.append(reply)
        cursor = reply.cursor if reply.status == 200 else None
    return found


def forget(past: History, person: Person) -> int:
    """Take out all rows of scopes that somebody does not see, as if they had never been; how many events those were."""
    kept = [past.scopes[name] for name in person.sees]
    marks = ", ".join("?" * len(kept))
    with writing(past.place.place.writer.database) as connection:
        connection.execute("DROP TRIGGER mod_event_stays; DROP TRIGGER report_case_gone")
        gone = connection.execute(f"SELECT count(*) FROM mod_event WHERE scope NOT IN ({marks})", kept).fetchone()[0]
        connection.execute("DELETE FROM mod_event_value WHERE event IN (SELECT id FROM mod_event"
                           f" WHERE scope NOT IN ({marks}))", kept)  # fmt: skip
        for table in ("mod_event", "subject_status", "subject_tag", "account_records", "strike", "report_case"):
            connection.execute(f"DELETE FROM {table} WHERE scope NOT IN ({marks})", kept)
        connection.execute("DELETE FROM subject WHERE id NOT IN (SELECT subject FROM subject_status)")
    return int(gone)


@pytest.mark.parametrize("name", ["python", "both", "other", "admin"])
@pytest.mark.parametrize("bounded", [False, True], ids=["as it is", "with pages that look at little"])
def test_what_others_do_changes_no_answer(
    past: History, name: str, bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bounded:
        monkeypatch.setattr(looking, "LOOKED_AT", 12)
        monkeypatch.setattr(status_conditions, "FEW", 3)
        monkeypatch.setattr("models.mod_event_query.MOST_SCANS", 1)
        monkeypatch.setattr(looking, "MOST_SCANS", 1)
    person = people(past.place)[name]
    asked: list[tuple[Call, list[Reply]]] = []

    @settings(max_examples=120, database=None, suppress_health_check=[HealthCheck.nested_given])
    @given(call=CALLS)
    def ask(call: Call) -> None:
        asked.append((call, answers(past, person, call)))

    ask()
    assert forget(past, person) > 40
    for call, before in asked:
        after = answers(past, person, call)
        assert [(one.status, one.body) for one in after] == [(one.status, one.body) for one in before], call
    assert len(asked) >= 100 and any(len(before) > 1 for _, before in asked)


def test_a_community_that_is_not_seen_is_like_one_that_is_not_there(past: History) -> None:
    persons = people(past.place)
    for tag in ("tags", "excludeTags"):
        unseen, unknown = (
            past.place.ask(STATUSES, persons["python"].who, **{tag: [f"community:{slug}"]}) for slug in ("rust", "none")
        )
        assert (unseen.status, unseen.json) == (unknown.status, unknown.json)
    assert past.place.ask(STATUSES, persons["python"].who, tags=["community:rust"]).json == {"subjectStatuses": []}
    assert past.place.ask(STATUSES, persons["rust"].who, tags=["community:rust"]).json["subjectStatuses"]
