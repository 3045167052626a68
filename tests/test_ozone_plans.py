"""What the web app asks all day long is answered from indexes alone, however much there is: no statement of it goes
through a table, or sorts more than the page.
"""

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from communities.mod_event import Kind
from models import mod_event_query
from models.database import sql
from models.scopes import Cut, Scopes, cases
from models.status_conditions import Sought
from models.status_query import Order, Place, scans
from ozone import event_query, status_query
from ozone.roles import Caller, Role
from ozone.visit import Visit
from tests.feed_site import iso
from tests.label_scene import LABELER
from tests.ozone_history import KEYS, MODERATORS, History, an_event, history

DEFS = "tools.ozone.moderation.defs#"
SCHEMA = re.compile(r"^(SCAN (k|json_each) VIRTUAL TABLE.*|LIST SUBQUERY \d+|CREATE BLOOM FILTER"
                    r"|(CORRELATED )?SCALAR SUBQUERY \d+|SEARCH .+ USING .+)$")  # fmt: skip
LISTS = re.compile(r"^SEARCH [eta] USING .*\((?!rowid=\?\))")
"""What is read of events, statuses and sums otherwise than by number. Who sees few scopes reads them scope by scope."""
METHODS = {query.name: query for module in (event_query, status_query) for query in module.QUERIES}


class Noting:
    """A connection that notes what is run."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.run: list[tuple[str, Any]] = []

    def execute(self, statement: str, bindings: Any = ()) -> Any:
        self.run.append((statement, bindings))
        return self.connection.execute(statement, bindings)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with history(tmp_path_factory.mktemp("plans"), 2, 60) as found:
        yield found


def plan(past: History, statement: str, bindings: Any) -> list[str]:
    rows = sql(past.place.place.writer.database).execute(f"EXPLAIN QUERY PLAN {statement}", bindings)
    return [row[3] for row in rows]


def ask(past: History, scopes: Scopes, method: str, params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The statements of an answer."""
    noting = Noting(sql(past.place.place.writer.database))
    query = METHODS[method]
    given = {name: value for name, value in query.params.parse("").items() if value is not None}
    caller, now = Caller(MODERATORS[0], Role.ADMIN), past.place.place.clock.micros()
    visit = Visit(noting, 1, LABELER, None, caller, Role.ADMIN, scopes, now, {}, b"k" * 16, "", bool, None, None)  # type: ignore[arg-type]
    answer = query.answer(visit, given | params)
    if "cursor" in answer:
        query.answer(visit, given | params | {"cursor": answer["cursor"]})
    return noting.run


EVERYTHING = Scopes(frozenset((0, -1)), communities=True)
ONE, FIVE = Scopes(frozenset((1,))), Scopes(frozenset((1, 2, 3, 4, 5)))
CUT = Scopes(frozenset((1, 2, 3)), cuts={1: Cut(frozenset(("account",))), 2: Cut(None, frozenset(("x",)))})
HOT: list[tuple[str, dict[str, Any]]] = [
    ("moderation.queryStatuses", {"limit": 2}),
    ("moderation.queryStatuses", {"limit": 2, "reviewState": f"{DEFS}reviewOpen"}),
    ("moderation.queryStatuses", {"limit": 2, "reviewState": f"{DEFS}reviewEscalated", "sortDirection": "asc"}),
    ("moderation.queryStatuses", {"limit": 2, "sortField": "priorityScore"}),
    ("moderation.queryStatuses", {"limit": 2, "sortField": "lastReviewedAt", "sortDirection": "asc"}),
    ("moderation.queryStatuses", {"limit": 2, "tags": ["community:python"], "includeMuted": True}),
    ("moderation.queryStatuses", {"limit": 2, "tags": ["vip"], "includeMuted": True}),
    ("moderation.queryStatuses", {"limit": 2, "queueCount": 2, "queueIndex": 1, "reviewState": f"{DEFS}reviewOpen"}),
    ("moderation.queryStatuses", {"subject": KEYS[1].uri, "includeMuted": True}),
    ("moderation.queryEvents", {"limit": 2}),
    ("moderation.queryEvents", {"limit": 2, "sortDirection": "asc"}),
    ("moderation.queryEvents", {"limit": 2, "types": [f"{DEFS}modEventReport", f"{DEFS}modEventLabel"]}),
    ("moderation.queryEvents", {"limit": 2, "subject": KEYS[1].uri}),
    ("moderation.queryEvents", {"limit": 2, "createdBy": MODERATORS[0]}),
    ("moderation.queryEvents", {"limit": 2, "batchId": "b1"}),
]


@pytest.mark.parametrize("scopes", [EVERYTHING, ONE, FIVE, CUT], ids=["everything", "one", "five", "cut"])
@pytest.mark.parametrize(("method", "params"), [*HOT, ("moderation.queryEvents", {"limit": 30, "now": True})], ids=str)
def test_no_table_is_gone_through(past: History, scopes: Scopes, method: str, params: dict[str, Any]) -> None:
    if params.get("now"):
        types = [DEFS + kind for kind in (Kind.TAKEDOWN, Kind.LABEL, Kind.COMMENT)]
        params = {"limit": 30, "createdAfter": iso(past.place.place.clock.micros() - 300_000_000), "types": types}
    statements = ask(past, scopes, method, params)
    assert len(statements) > 1
    for statement, bindings in statements:
        for line in plan(past, statement, bindings):
            grouped = line == "USE TEMP B-TREE FOR GROUP BY" and "FROM json_each(?1)" in statement  # of the page
            assert SCHEMA.match(line) or grouped, (statement, line)
            assert scopes is EVERYTHING or not LISTS.match(line) or "scope=?" in line, (statement, line)


@pytest.mark.parametrize("scopes", [EVERYTHING, FIVE, CUT], ids=["everything", "five", "cut"])
@pytest.mark.parametrize("by", ["reported_at", "reviewed_at", "priority", "reported", "takendown"])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("behind", [None, Place(0, 5, "did:plc:x", 5)], ids=["first", "next"])
def test_each_order_is_that_of_an_index(
    past: History, scopes: Scopes, by: str, descending: bool, behind: Place | None
) -> None:
    """Where an account's records are counted, what is of one account is sorted, and no more."""
    for scan in scans(Sought(scopes, 0), Order(by, descending), behind):
        for line in plan(past, *scan):
            one_account = line == "USE TEMP B-TREE FOR LAST TERM OF ORDER BY" and by in ("reported", "takendown")
            whole = line.startswith("SCAN a USING COVERING INDEX account_records_") and behind is None
            assert SCHEMA.match(line) or one_account or whole, (scan.sql, line)
            assert scopes is EVERYTHING or not LISTS.match(line) or "scope=?" in line, (scan.sql, line)


@pytest.mark.parametrize(
    ("scopes", "sought", "index"),
    [
        (EVERYTHING, {}, "mod_event_at (at>? AND at<?)"),
        (EVERYTHING, {"types": ("modEventLabel",)}, "mod_event_type (type=? AND at>? AND at<?)"),
        (FIVE, {}, "mod_event_scope (scope=? AND at>? AND at<?)"),
        (FIVE, {"types": ("modEventLabel",)}, "mod_event_scope_type (scope=? AND type=? AND at>? AND at<?)"),
        (FIVE, {"actor": MODERATORS[0]}, "mod_event_actor (actor=? AND scope=? AND at>? AND at<?)"),
        (EVERYTHING, {"actor": MODERATORS[0]}, "mod_event_actor (actor=? AND scope=? AND at>? AND at<?)"),
        (FIVE, {"batch": "b1"}, "mod_event_batch (batch=? AND scope=? AND at>? AND at<?)"),
        (EVERYTHING, {"subject": KEYS[1]}, "mod_event_subject (subject=? AND scope=? AND at>? AND at<?)"),
    ],
    ids=str,
)
def test_events_are_read_by_the_index_that_has_them_in_order(
    past: History, scopes: Scopes, sought: dict[str, Any], index: str
) -> None:
    connection = sql(past.place.place.writer.database)
    found = list(mod_event_query.scans(connection, mod_event_query.Sought(scopes, **sought), None))
    assert found
    for scan in found:
        lines = plan(past, *scan)
        assert lines[0].endswith(f"INDEX {index}") and not any("TEMP" in line for line in lines), lines


def test_a_page_costs_the_same_however_much_is_behind_it(past: History) -> None:
    """As many statements for a page of many rows as for one of few."""
    before = [len(ask(past, ONE, method, params)) for method, params in HOT]
    choose = random.Random(1)
    for _ in range(300):
        past.add(
            past.scopes["python"], choose.choice(KEYS), an_event(choose, choose.choice((Kind.REPORT, Kind.COMMENT)))
        )
    after = [len(ask(past, ONE, method, params)) for method, params in HOT]
    assert all(new <= old + 40 for new, old in zip(after, before, strict=True))


def test_the_page_is_read_by_its_numbers(tmp_path: Path) -> None:
    """A statement that names a table without an index would be found: the check is one that can fail."""
    with history(tmp_path, 1, 3) as found:
        assert not all(map(SCHEMA.match, plan(found, "SELECT * FROM mod_event WHERE comment = ?", ("x",))))
        assert not all(map(SCHEMA.match, plan(found, "SELECT id FROM mod_event WHERE type = ? ORDER BY id", ("x",))))


def test_who_is_not_limited_asks_as_if_nobody_were() -> None:
    """The same words, so the same plans, as before there were limits."""
    listed = "c.scope IN (SELECT value FROM json_each(?))"
    for scopes, condition in ((FIVE, listed), (EVERYTHING, f"(c.scope > 0 OR {listed})")):
        assert scopes.where(cases("c")) == (condition, (str(sorted(scopes.listed)),))
        assert scopes.within(1, cases("c")) == ("", ()) and scopes.whole is scopes.sums is scopes
