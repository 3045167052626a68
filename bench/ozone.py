"""The moderation API over a million events and a hundred thousand subjects that wait: ours, and `@atproto/ozone` of npm
on PostgreSQL. Both have the same history, are asked the same by the same load generator, and run on the same core, one
after the other. Where the peer is not installed, ours is measured alone.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import uvloop

from bench import ozone_appview, ozone_measure, ozone_ours, ozone_peer, ozone_postgres
from bench.cores import Cores, pin, share_out, usage
from bench.label_rows import did
from bench.ozone_calls import DEFS, Scene
from bench.ozone_load import Answered, Question, ask
from bench.ozone_measure import CALLS, DEEP, LABELLED, ONE, QUEUE
from bench.ozone_rows import FULL, LABEL, QUICK, History, account, history, timestamp, unknown
from bench.report import Report, Table, Target, spread
from tests.didnet import Account

LABELS = ("spam", "rude", "graphic")
REPORTERS = 200
P99_MS, OF_PEER, IDLE_CORE = 20.0, 3.0, 0.10
TABS = 50
OURS, ALONE, PEER = "ours", "ours, one connection", "@atproto/ozone"
_ADVANTAGE = (
    "No limits of calls here, and none of reports that keeps anybody out; the peer runs without its daemon, log and"
    " metrics, and what it asks others is answered on loopback at once. Percentiles are of a core that the load"
    " generator does not share."
)


class Server(Protocol):
    """What is measured."""

    @property
    def url(self) -> str:
        """Where it answers."""

    @property
    def pid(self) -> int:
        """Its process."""

    def spent(self) -> tuple[float, float]:
        """Seconds of the processor of the service, and of its database."""


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when an answer is not what it must be."""
    size, requests, seconds, rounds, idle = (QUICK, 20, 2.0, 1, 2.0) if quick else (FULL, 600, 10.0, 3, 20.0)
    measured, others = share_out()
    _say(f"making {size.events:,} events")
    labeler = account(0)
    past = history(size, time.time_ns() // 1_000_000, LABELS)
    moderator, *reporters = callers = [
        Account(each) for each in (account(-1), *map(did, range(70_000_000, 70_000_000 + REPORTERS)))
    ]
    documents = {each.did: each.document() for each in callers}
    found: dict[str, dict[str, list[Answered]]] = {}
    cost = 0.0
    for name, running in _servers(past, labeler, moderator.did, documents, measured, others):
        with running() as server:
            pin(others)
            fresh = unknown(REPORTERS + (2 * rounds + 1) * requests)
            scene = Scene(server.url, labeler, moderator, reporters, past.subjects[: past.waiting], fresh, LABELS[0])
            uvloop.run(ozone_measure.warm(scene, requests // 4))
            for turn in range(rounds):
                _say(f"{name}, round {turn + 1} of {rounds}")
                for what, one in uvloop.run(
                    ozone_measure.measure(scene, requests, seconds, spent=server.spent)
                ).items():
                    found.setdefault(name, {}).setdefault(what, []).append(one)
                if name == OURS:
                    # How long a call takes is measured where it does not stand behind others.
                    alone = ozone_measure.measure(scene, requests, seconds, 1)
                    for what, one in uvloop.run(alone).items():
                        found.setdefault(ALONE, {}).setdefault(what, []).append(one)
            if isinstance(server, ozone_ours.Ours):
                server.settle()
                cost = uvloop.run(_idle(scene, server, idle))
    return _report(found, cost, size.events, size.waiting)


def _say(what: str) -> None:
    print(f"ozone: {what} ...", file=sys.stderr, flush=True)


def _servers(
    past: History, labeler: str, moderator: str, documents: dict[str, Any], measured: Cores, others: Cores
) -> Iterator[tuple[str, Callable[[], Any]]]:
    @contextmanager
    def ours() -> Iterator[Server]:
        with (
            tempfile.TemporaryDirectory(prefix="communities-bench-") as folder,
            ozone_appview.answering(documents, others) as plc,
            ozone_ours.running(Path(folder), past, labeler, moderator, plc, LABELS, measured) as server,
        ):
            yield server

    @contextmanager
    def peer() -> Iterator[Server]:
        with (
            tempfile.TemporaryDirectory(prefix="communities-bench-") as folder,
            ozone_peer.running(
                Path(folder), past, labeler, moderator, documents, measured=measured, others=others
            ) as server,
        ):
            yield server

    yield OURS, ours
    if fault := ozone_peer.why_not():
        _say(f"the peer cannot be measured: {fault}")
    else:
        ozone_peer.install()
        yield PEER, peer


async def _idle(scene: Scene, server: Server, seconds: float) -> float:
    """What part of a core TABS open tabs of the web app cost that nobody looks at."""
    began, used = time.monotonic(), usage(server.pid)
    ended = began + seconds
    answers = 0
    while time.monotonic() < ended:
        turn = time.monotonic()
        questions = [question for _ in range(TABS) for question in _polls(scene, int(turn - began) % 10 < 5)]
        answered = await ask(scene.url, questions, 4, 5.0)
        answers += answered.answers
        # A tab asks every five seconds.
        await asyncio.sleep(max(0.0, turn + 5 - time.monotonic()))
    after = usage(server.pid)
    assert answers >= TABS * 3, f"{answers} answers"
    return (after.cpu - used.cpu) / (time.monotonic() - began) if used and after else 0.0


def _polls(scene: Scene, page: bool) -> Iterator[Question]:
    """What a tab asks every five seconds, and (`page`) every second time."""
    after = timestamp(time.time_ns() // 1_000_000 - 300_000)
    types = [DEFS + LABEL, DEFS + "modEventTakedown"]
    yield scene.query("tools.ozone.moderation.queryEvents", _any, createdAfter=after, types=types, limit=30)
    yield scene.query("tools.ozone.report.getAssignments", _any, onlyActive="true", limit=30)
    yield scene.query("tools.ozone.queue.getAssignments", _any, onlyActive="true", limit=30)
    if page:
        yield scene.query("tools.ozone.moderation.queryEvents", _any, limit=25)


def _any(_: Any) -> str:
    return ""


def _report(found: dict[str, dict[str, list[Answered]]], cost: float, events: int, waiting: int) -> Report:
    ours, alone, peer = found[OURS], found[ALONE], found.get(PEER, {})

    def rate(calls: dict[str, list[Answered]], what: str) -> float:
        return median(one.rate for one in calls[what])

    rows = tuple(
        (
            what,
            spread(one.rate for one in ours[what]),
            spread((one.p99 for one in ours[what]), "ms"),
            spread((one.p50 for one in alone[what]), "ms"),
            spread((one.p99 for one in alone[what]), "ms"),
            spread(one.rate for one in peer[what]) if peer else "-",
            spread((one.p99 for one in peer[what]), "ms") if peer else "-",
            f"{rate(ours, what) / rate(peer, what):.1f}" if peer else "-",
        )
        for what in CALLS
    )
    columns = ("call", "a second", "p99", "p50 alone", "p99 alone", "the peer a second", "its p99", "times the peer")
    targets = [Target(f"p99 of {what}", median(one.p99 for one in alone[what]), P99_MS, "ms", True) for what in CALLS]
    if peer:
        targets += [
            Target(f"{what}, times the peer", rate(ours, what) / rate(peer, what), OF_PEER, "times")
            for what in (QUEUE, DEEP, ONE, LABELLED)
        ]
    targets.append(Target(f"{TABS} idle tabs, of a core", cost, IDLE_CORE, "%", True))
    against = f" The peer is {ozone_peer.version()} on {ozone_postgres.version()}." if peer else ""
    title = (
        f"{events:,} events, {waiting:,} subjects that wait; {ozone_measure.CONNECTIONS} connections, and one (alone);"
        f" every call with a token of its own.{against}"
    )
    return Report(
        "ozone",
        "The moderation API",
        (_ADVANTAGE,),
        (Table(title, columns, rows),),
        tuple(targets),
        "make bench ARGS=ozone",
    )
