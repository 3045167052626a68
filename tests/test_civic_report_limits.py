"""S166: how many reports are taken of a reporter, about a subject, from a host and in all; restarts change nothing."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.report_limits import LARGE, LARGE_HOSTS, OF_ALL, OF_HOST, OF_REPORTER, OF_SUBJECT, Limit, domain_of
from tests.civic_reports import APPEAL, LABELER, SPAM, TROLL, Labels, on_host, report, taken
from tests.civic_site import Town, town
from tests.didnet import Account, plc
from tests.feed_site import Reply

HOST = "pds.example.com"
INSERT = (
    "INSERT INTO report (at, last_at, reporter, reason_type, did, host) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
    " SELECT i + 1 FROM n WHERE i < ?) SELECT ?2, ?2, coalesce(?3, 'did:plc:r' || i), 'x',"
    " coalesce(?4, 'did:plc:' || i), coalesce(?5, 'h' || i || '.org') FROM n"
)

NUMBERED = (
    "INSERT INTO mod_event (id, at, scope, subject, type, actor)"
    " SELECT max(id), max(at), 0, 0, 'modEventComment', 'cli' FROM report"
)
"""Reports have the numbers of their events, so the next event comes behind them."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, (Labels(LABELER),)) as found:
        yield found


def before(place: Town, number: int, *, by: str | None = None, of: str | None = None, host: str | None = None) -> None:
    """So many reports were made just now."""
    place.writer.sql(INSERT, number, place.clock.micros(), by, of, host)
    place.writer.sql(NUMBERED)


def refused(reply: Reply, limit: Limit, passed: int = 0) -> str:
    """Why a report was not taken; it says when the oldest that counts does so no more, and how many are taken."""
    assert reply.fault == (429, "RateLimitExceeded"), reply.body
    seconds = int(reply.headers["Retry-After"])
    assert seconds == limit.span // 1_000_000 - passed
    assert abs(int(reply.headers["RateLimit-Reset"]) - time.time() - seconds) < 60
    assert (reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]) == (str(limit.most), "0")
    assert reply.headers["RateLimit-Policy"] == f"{limit.most};w={limit.span // 1_000_000}"
    return str(reply.json["message"])


def later(place: Town, limit: Limit) -> None:
    place.clock.now += limit.span / 1_000_000


@pytest.mark.parametrize("limit", OF_REPORTER, ids=lambda limit: limit.within)
def test_s166_of_a_reporter(place: Town, limit: Limit) -> None:
    alice = place.person()
    before(place, limit.most - 1, by=alice.did)
    if limit is not OF_REPORTER[0]:
        later(place, OF_REPORTER[0])
    first = taken(report(place, alice, plc(3)))
    passed = int(place.clock.micros() - place.writer.sql("SELECT min(at) FROM report")[0][0]) // 1_000_000
    assert "You have made" in refused(report(place, alice, plc(4)), limit, passed)
    assert taken(report(place, alice, plc(3))) == first, "what is only said again is no new report"
    taken(report(place, place.person(), plc(4)))
    later(place, limit)
    taken(report(place, alice, plc(4)))


def test_s166_of_a_subject_but_its_author_can_appeal(place: Town) -> None:
    before(place, OF_SUBJECT.most, of=plc(6))
    # That of all is named: how often it was reported is not told.
    said = {refused(report(place, place.person(), plc(6), to=to), OF_ALL) for to in ("", LABELER)}
    taken(report(place, place.person(6), plc(6), APPEAL))
    taken(report(place, place.person(), plc(7)))
    later(place, OF_SUBJECT)
    taken(report(place, place.person(), plc(6)))
    before(place, OF_ALL.most)
    assert {refused(report(place, place.person(), plc(8)), OF_ALL)} == said


@pytest.mark.parametrize("limit", OF_HOST, ids=lambda limit: limit.within)
def test_s166_of_a_host(place: Town, limit: Limit) -> None:
    """By its domain: whoever has one has any number of hosts there."""
    before(place, limit.most, host=domain_of(HOST))
    if limit is not OF_HOST[0]:
        later(place, OF_HOST[0])
    passed = 0 if limit is OF_HOST[0] else OF_HOST[0].span // 1_000_000
    for host in (HOST, "other.example.com", "example.com"):
        assert "example.com" in refused(report(place, on_host(place, host), plc(3)), limit, passed)
    taken(report(place, on_host(place, "pds.example.org"), plc(3)))
    later(place, limit)
    taken(report(place, on_host(place, HOST), plc(3)))


def test_s166_a_large_host_has_more(place: Town) -> None:
    (large,) = LARGE_HOSTS
    limit = OF_HOST[0]
    before(place, limit.most * LARGE - 1, host=large)
    host = f"morel.us-east.host.{large}"
    taken(report(place, on_host(place, host), plc(3)))
    assert large in refused(report(place, on_host(place, host), plc(3)), limit._replace(most=limit.most * LARGE))


def test_s166_of_all(place: Town) -> None:
    before(place, OF_ALL.most)
    for who, to in ((place.person(), ""), (place.person(), LABELER)):
        refused(report(place, who, plc(3), to=to), OF_ALL)
    later(place, OF_ALL)
    taken(report(place, place.person(), plc(3)))


def test_a_host_is_that_of_the_reporters_document(place: Town) -> None:
    reporters: list[Account] = [on_host(place, HOST), place.person()]
    place.site.net.publish(reporters[1], service=[])
    for who in reporters:
        taken(report(place, who, plc(3)))
    assert place.writer.sql("SELECT host FROM report ORDER BY id") == [("example.com",), ("",)]


def test_limits_hold_over_a_restart(tmp_path: Path) -> None:
    most = OF_REPORTER[0].most
    with town(tmp_path) as place:
        before(place, most, by=plc(50))
        before(place, OF_SUBJECT.most, of=plc(6))
        now = place.clock.now
    with town(tmp_path) as place:
        place.clock.now = now + 60
        refused(report(place, place.person(50), plc(3)), OF_REPORTER[0], 60)
        refused(report(place, place.person(), plc(6)), OF_ALL, 60)


def test_a_clock_that_was_set_back_keeps_nobody_out_for_good(place: Town) -> None:
    alice = place.person()
    before(place, OF_REPORTER[0].most, by=alice.did)
    place.clock.now -= 86_400 * 365
    refused(report(place, alice, plc(3)), OF_REPORTER[0])


def test_how_long_a_report_is_the_same_can_be_set(tmp_path: Path) -> None:
    with town(tmp_path, report_merge_hours="1") as place:
        alice = place.person()
        first = taken(report(place, alice, plc(3)))
        place.clock.now += 3600
        assert taken(report(place, alice, plc(3))) == first
        place.clock.now += 3601
        assert taken(report(place, alice, plc(3))) > first
        assert taken(report(place, alice, plc(3), TROLL)) != taken(report(place, alice, plc(3), SPAM))


def test_domains() -> None:
    assert [domain_of(host) for host in ("a.b.c.example.org", "example.org", "localhost", "", "192.0.2.7", "::1")] == [
        "example.org", "example.org", "localhost", "", "192.0.2.7", "::1",
    ]  # fmt: skip


def test_limits_are_looked_up_by_an_index(place: Town) -> None:
    for where, index in (
        ("WHERE reporter = ? ORDER BY at DESC", "report_reporter"),
        ("WHERE host = ? ORDER BY at DESC", "report_host"),
        ("WHERE did = ? AND uri = '' ORDER BY at DESC", "report_subject"),
        ("WHERE id != ? ORDER BY at DESC", "report_at"),
    ):
        plan = place.writer.sql(f"EXPLAIN QUERY PLAN SELECT at FROM report {where} LIMIT 1 OFFSET 5", "x")
        assert index in str(plan) and "TEMP B-TREE" not in str(plan), plan
