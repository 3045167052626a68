"""The benchmark of the moderation API makes its calls, and notices when an answer is wrong. Here they go to a service
that has everything in lists; nothing looks at how fast anything was.
"""

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bench import ozone_peer
from bench.ozone_calls import DEFS, PAGE, Scene, reference
from bench.ozone_measure import CALLS, measure, warm
from bench.ozone_rows import ACKNOWLEDGE, CLOSED, LABEL, OPEN, REPORT, Event, History, Size, history, timestamp, unknown
from tests.didnet import Account, plc
from tests.service_process import PATIENCE, clean_environ

ROOT = Path(__file__).parents[1]
LABELER, NOW = plc(1), 1_800_000_000_000
REQUESTS, REPORTERS = 12, 5
SMALL = Size(2_000, 400)


class Service:
    """The calls over a history, and `fault`: what is done wrong."""

    def __init__(self, past: History, fault: str = "") -> None:
        self.fault = fault
        self.asked: Counter[str] = Counter()
        self.tokens: set[str] = set()
        self.statuses = {
            subject.uri: self.status(reference(subject), status.state, timestamp(status.reported))
            for subject, status in zip(past.subjects, past.statuses, strict=True)
        }
        self.events = [
            {
                "event": {"$type": DEFS + event.action},
                "subject": reference(past.subjects[event.subject]),
                "createdAt": timestamp(event.at),
            }
            for event in past.events
        ]
        self.now = NOW + 10_000_000_000_000  # behind everything that a clock says

    @staticmethod
    def status(subject: dict[str, str], state: str, at: str) -> dict[str, Any]:
        return {"subject": subject, "reviewState": DEFS + state, "lastReportedAt": at}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/xrpc/tools.ozone.moderation.queryStatuses", self.query_statuses)
        app.router.add_get("/xrpc/tools.ozone.moderation.queryEvents", self.query_events)
        app.router.add_post("/xrpc/tools.ozone.moderation.emitEvent", self.emit_event)
        app.router.add_post("/xrpc/com.atproto.moderation.createReport", self.create_report)
        return app

    def caller(self, request: web.Request) -> str:
        """Whose token it is, which must be for this call alone."""
        token = request.headers["Authorization"].removeprefix("Bearer ")
        payload = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["aud"] == LABELER and claims["lxm"] == request.path.removeprefix("/xrpc/")
        assert claims["jti"] not in self.tokens
        self.tokens.add(claims["jti"])
        self.asked[claims["lxm"].rpartition(".")[2]] += 1
        return str(claims["iss"])

    async def query_statuses(self, request: web.Request) -> web.Response:
        self.caller(request)
        if subject := request.query.get("subject"):
            return web.json_response({"subjectStatuses": [self.statuses[subject]]})
        assert request.query["reviewState"] == DEFS + OPEN and request.query["limit"] == str(PAGE)
        waiting = [status for status in self.statuses.values() if status["reviewState"] == DEFS + OPEN]
        waiting.sort(key=lambda status: str(status["lastReportedAt"]), reverse=self.fault != "order")
        first = int(request.query.get("cursor", "0")) if self.fault != "page" else 0
        page = waiting[first : first + PAGE]
        return web.json_response({"subjectStatuses": page, "cursor": str(first + PAGE)})

    async def query_events(self, request: web.Request) -> web.Response:
        self.caller(request)
        subject, after = request.query.get("subject"), request.query.get("createdAfter", "")
        found = [
            event
            for event in reversed(self.events)
            if subject in (None, event["subject"].get("uri", event["subject"].get("did")))
            and event["createdAt"] >= after
        ]
        return web.json_response({"events": found[: int(request.query["limit"])]})

    async def emit_event(self, request: web.Request) -> web.Response:
        body = {"createdBy": self.caller(request)} | await request.json()
        self.write(body["event"], body["subject"])
        if self.fault == "status" and self.asked["emitEvent"] > 3:
            return web.json_response({"error": "InternalServerError"}, status=500)
        return web.json_response({"event": body["event"], "subject": body["subject"]})

    async def create_report(self, request: web.Request) -> web.Response:
        by, body = self.caller(request), await request.json()
        self.write({"$type": DEFS + REPORT}, body["subject"])
        return web.json_response({"id": 1, "reportedBy": by} | body)

    def write(self, event: dict[str, Any], subject: dict[str, str]) -> None:
        if self.fault == "lost" and event["$type"] == DEFS + LABEL:
            return
        self.now += 1
        uri = subject.get("uri") or subject["did"]
        self.events.append({"event": event, "subject": subject, "createdAt": timestamp(self.now)})
        known = self.statuses.setdefault(uri, self.status(subject, OPEN, ""))
        if event["$type"] == DEFS + ACKNOWLEDGE and self.fault != "open":
            known["reviewState"] = DEFS + CLOSED
        elif event["$type"] == DEFS + REPORT:
            known |= {"reviewState": DEFS + OPEN, "lastReportedAt": timestamp(self.now)}


@asynccontextmanager
async def scene(service: Service, past: History) -> AsyncIterator[Scene]:
    async with TestServer(service.app()) as server:
        reporters = [Account(plc(number)) for number in range(10, 10 + REPORTERS)]
        waiting = past.subjects[: past.waiting]
        yield Scene(str(server.make_url("")), LABELER, Account(plc(2)), reporters, waiting, unknown(100), "spam")


async def test_every_call_is_made_as_often_as_was_said() -> None:
    past = history(SMALL, NOW, ("spam",))
    service = Service(past)
    async with scene(service, past) as asked:
        before = len(service.events)
        found = await measure(asked, REQUESTS, 60)
        assert tuple(found) == CALLS
        assert {each.answers for each in found.values()} == {REQUESTS}
        assert all(0 < each.p50 <= each.p99 and each.rate > 0 and each.spent == () for each in found.values())
        assert service.asked["emitEvent"] == service.asked["createReport"] == 2 * REQUESTS
        written = Counter(event["event"]["$type"] for event in service.events[before:])
        assert written == {DEFS + REPORT: 2 * REQUESTS, DEFS + LABEL: REQUESTS, DEFS + ACKNOWLEDGE: REQUESTS}
        subjects = [json.dumps(event["subject"]) for event in service.events[before:]]
        assert len(set(subjects)) == 4 * REQUESTS
        await warm(asked, 8)
        assert service.asked["createReport"] == 2 * REQUESTS + REPORTERS + 16


async def test_it_ends_when_the_time_is_over_and_says_what_was_spent() -> None:
    past = history(SMALL, NOW, ("spam",))
    clock = iter(range(100))
    async with scene(Service(past), past) as asked:
        found = await measure(asked, 30, 0.0, connections=3, spent=lambda: (float(next(clock)), 0.0))
        # Each connection has asked once; the newest are then enough for the last call, for they are in the future.
        assert {each.answers for each in found.values()} == {3}
        assert {each.spent for each in found.values()} == {(1000 / 3, 0.0)}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("status", "emitEvent: 500"),
        ("order", "not in the order of the last reports"),
        ("page", "a subject is on two pages"),
        ("lost", "a label: only 3 events"),
        ("open", "an acknowledgement: .*#reviewOpen"),
    ],
)
async def test_what_is_wrong_is_noticed(fault: str, said: str) -> None:
    past = history(SMALL, NOW, ("spam",))
    async with scene(Service(past, fault), past) as asked:
        with pytest.raises(AssertionError, match=said):
            await measure(asked, REQUESTS, 60)


def test_the_history_has_what_was_asked_for() -> None:
    past = history(SMALL, NOW, ("spam", "rude"))
    assert past == history(SMALL, NOW, ("spam", "rude"))
    assert len(past.events) == SMALL.events and past.waiting == SMALL.waiting
    assert len({subject.uri for subject in past.subjects}) == len(past.subjects)
    assert past.events == sorted(past.events, key=lambda event: event.at) and past.events[-1].at < NOW
    of: dict[int, list[Event]] = {}
    for event in past.events:
        of.setdefault(event.subject, []).append(event)
    for number, (subject, status) in enumerate(zip(past.subjects, past.statuses, strict=True)):
        own = of[number]
        assert len(own) == subject.events
        assert status.reported == max(event.at for event in own if event.action == REPORT)
        closed = any(event.action == ACKNOWLEDGE for event in own)
        assert status.state == (CLOSED if closed else OPEN) and closed == (number >= past.waiting)
        assert (status.created, status.updated) == (own[0].at, own[-1].at)


@pytest.mark.network
def test_ours_and_the_peer_are_measured() -> None:
    if fault := ozone_peer.why_not():
        pytest.skip(fault)
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "ozone", "--quick"],
        cwd=ROOT,
        env=clean_environ({}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300 * PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ozone_peer.version() in ran.stdout
    assert all(f"| {call} " in ran.stdout for call in CALLS)
