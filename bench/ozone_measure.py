"""What the calls of the moderation API take, of whichever service: each of them so many times, over a few connections.

Tokens are signed before the time begins, every answer is looked at when it has ended, and what was written must then be
there for a moderator to read.
"""

import itertools
import json
from collections.abc import Callable

from bench.ozone_calls import DEFS, NEWEST, PAGE, Scene
from bench.ozone_load import Answered, Question, Spent, ask, one
from bench.ozone_rows import ACKNOWLEDGE, CLOSED, LABEL, OPEN, REPORT, Subject

CONNECTIONS, PAGES = 8, 40
QUEUE, DEEP, ONE, HISTORY, EVENTS, REPORTED, AGAIN, LABELLED, ACKNOWLEDGED, RECENT = CALLS = (
    "queryStatuses: 100 that wait",
    "queryStatuses: a next page of them",
    "queryStatuses: one subject",
    "queryEvents: of one subject",
    "queryEvents: the newest 50",
    "createReport: of what nobody reported",
    "createReport: of what waits",
    "emitEvent: a label",
    "emitEvent: an acknowledgement",
    "queryEvents: of the last 5 minutes",
)
"""In the order in which they are made: the last one reads what those before it wrote."""


async def warm(scene: Scene, requests: int) -> None:
    """Let the service see everybody who calls, and each call so many times; nothing is measured."""
    reports = [scene.report(scene.next_unknown()) for _ in scene.reporters]
    await ask(scene.url, reports, CONNECTIONS, 60)
    await measure(scene, requests, 5)


async def measure(
    scene: Scene, requests: int, seconds: float, connections: int = CONNECTIONS, spent: Spent = tuple
) -> dict[str, Answered]:
    """Make each call so many times (eight at least, for the last reads what the others wrote), or for so many seconds,
    of which there must be fewer than 150, lest tokens expire. Raises AssertionError when an answer is not what it must
    be, or when what was written cannot be read.
    """
    found: dict[str, Answered] = {}

    async def run(what: str, make: Callable[[], Question]) -> None:
        questions = [make() for _ in range(requests)]
        found[what] = await ask(scene.url, questions, connections, seconds, spent)

    cursors = itertools.cycle(await _walk(scene))
    written: dict[str, list[Subject]] = {REPORTED: [], AGAIN: [], LABELLED: [], ACKNOWLEDGED: []}

    def of(what: str, pick: Callable[[], Subject], make: Callable[[Subject], Question]) -> Callable[[], Question]:
        def made() -> Question:
            subject = pick()
            written[what].append(subject)
            return make(subject)

        return made

    await run(QUEUE, scene.statuses)
    await run(DEEP, lambda: scene.statuses(cursor=next(cursors)))
    await run(ONE, lambda: scene.statuses(scene.some()))
    await run(HISTORY, lambda: scene.events(scene.some()))
    await run(EVENTS, scene.events)
    await run(REPORTED, of(REPORTED, scene.next_unknown, scene.report))
    await run(AGAIN, of(AGAIN, scene.next_waiting, scene.report))
    await run(LABELLED, of(LABELLED, scene.next_waiting, lambda subject: scene.emit(LABEL, subject)))
    await run(ACKNOWLEDGED, of(ACKNOWLEDGED, scene.next_waiting, lambda subject: scene.emit(ACKNOWLEDGE, subject)))
    await run(RECENT, scene.recent)
    for what, subjects in written.items():
        for subject in {subjects[0], subjects[found[what].answers // 2]}:
            await _check(scene, what, subject)
    return found


async def _walk(scene: Scene) -> list[str]:
    """Cursors of the first pages of the queue, of which no two have the same subject."""
    cursors: list[str] = []
    seen: set[str] = set()
    cursor = ""
    while len(cursors) < PAGES:
        page = await one(scene.url, scene.statuses(cursor=cursor))
        subjects = {json.dumps(status["subject"], sort_keys=True) for status in page["subjectStatuses"]}
        assert len(subjects) == PAGE and not subjects & seen, "a subject is on two pages"
        seen |= subjects
        cursor = page.get("cursor", "")
        if len(seen) + PAGE > len(scene.waiting) // 2 or not cursor:
            break
        cursors.append(cursor)
    assert cursors, "the queue has one page only"
    return cursors


async def _check(scene: Scene, what: str, subject: Subject) -> None:
    """Whether what was written can be read."""
    kind = {LABELLED: LABEL, ACKNOWLEDGED: ACKNOWLEDGE}.get(what, REPORT)
    (status,) = (await one(scene.url, scene.statuses(subject)))["subjectStatuses"]
    state = CLOSED if what == ACKNOWLEDGED else OPEN
    assert status["reviewState"] == DEFS + state, f"{what}: {status['reviewState']}"
    events = (await one(scene.url, scene.events(subject)))["events"]
    assert len(events) > min(subject.events, NEWEST - 1), f"{what}: only {len(events)} events"
    assert any(event["event"]["$type"] == DEFS + kind for event in events[:3]), f"{what}: not among the newest"
