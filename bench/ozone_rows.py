"""The history of a labeler that the benchmarks of the moderation API store and ask for: the same for ours and the peer.

Times are in milliseconds since 1970. Reports come evenly over the days before `now`; of every hundred subjects that
wait, one was reported over and over.
"""

import hashlib
import random
from base64 import b32encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from bench.label_rows import did

REPORT, TAG, LABEL, COMMENT, ACKNOWLEDGE = (
    "modEventReport",
    "modEventTag",
    "modEventLabel",
    "modEventComment",
    "modEventAcknowledge",
)
OPEN, CLOSED = "reviewOpen", "reviewClosed"
REASONS = ("Spam", "Rude", "Misleading", "Violation", "Other")
DAYS, DAY = 180, 86_400_000
EVENTS_OF_BUSY, EVENTS_OF_OPEN, EVENTS_OF_CLOSED = 60, 3, 4
_BUSY_EVERY, _ACCOUNT_EVERY = 100, 8
_REPORTERS, _MODERATORS = 20_000, 5


class Size(NamedTuple):
    """How many events there are, and how many subjects wait for a moderator."""

    events: int
    waiting: int


FULL, QUICK = Size(1_000_000, 100_000), Size(20_000, 2_000)


class Subject(NamedTuple):
    """A record, or with an empty `path` an account; so many events are about it."""

    did: str
    path: str
    cid: str
    events: int = 0

    @property
    def uri(self) -> str:
        """As queries name it: the at-uri, or the DID."""
        return f"at://{self.did}/{self.path}" if self.path else self.did


class Event(NamedTuple):
    """`values` are a reason, tags or labels; `subject` and `by` number a subject and an account."""

    at: int
    action: str
    subject: int
    by: int
    values: tuple[str, ...] = ()
    comment: str | None = None


class Status(NamedTuple):
    """What the events of a subject have made of it; times and `reviewer` are 0 where there was none."""

    state: str
    reported: int
    reviewed: int
    reviewer: int
    tags: tuple[str, ...]
    created: int
    updated: int


class History(NamedTuple):
    """Subjects, first those that wait; a status for each; all events in the order of their times."""

    subjects: list[Subject]
    statuses: list[Status]
    events: list[Event]
    waiting: int


def account(number: int) -> str:
    """The DID of whoever reports (from 1 on), moderates (below 0) or, as 0, tags: the labeler."""
    return did(number) if number >= 0 else did(50_000_000 - number)


def post(number: int, author: str, events: int = 0) -> Subject:
    """A post that is no other's."""
    cid = b"\x01\x71\x12\x20" + hashlib.sha256(number.to_bytes(8, "big")).digest()
    text = "b" + b32encode(cid).decode().lower().rstrip("=")
    return Subject(author, f"app.bsky.feed.post/3k{number:011d}", text, events)


def unknown(count: int) -> list[Subject]:
    """Posts of their own accounts that nobody has reported."""
    return [post(90_000_000 + number, did(90_000_000 + number)) for number in range(count)]


def history(size: Size, now: int, labels: tuple[str, ...]) -> History:
    """Exactly so many events and waiting subjects, the same for the same arguments."""
    rng = random.Random(19)
    busy = size.waiting // _BUSY_EVERY
    left = size.events - busy * EVENTS_OF_BUSY - (size.waiting - busy) * EVENTS_OF_OPEN
    closed, more = divmod(left, EVENTS_OF_CLOSED)
    assert closed > 0, "so few events are not enough for so many subjects"
    total = size.waiting + closed
    subjects, statuses, events = [], [], []
    for number in range(total):
        own = list(_of_one(rng, number, size.waiting, now, labels, more if number == total - 1 else 0))
        if number % _ACCOUNT_EVERY == 0:
            subject = Subject(did(10_000_000 + number), "", "", len(own))
        else:
            subject = post(number, did(20_000_000 + rng.randrange(total // 5 + 1)), len(own))
        subjects.append(subject)
        statuses.append(_status(own))
        events += own
    events.sort(key=lambda event: event.at)
    return History(subjects, statuses, events, size.waiting)


def _of_one(
    rng: random.Random, number: int, waiting: int, now: int, labels: tuple[str, ...], more: int
) -> Iterator[Event]:
    first = now - 1 - rng.randrange(DAYS * DAY)
    span = min(DAY, now - first)

    def report(at: int) -> Event:
        reason = f"com.atproto.moderation.defs#reason{rng.choice(REASONS)}"
        return Event(
            at, REPORT, number, rng.randint(1, _REPORTERS), (reason,), "This is against the rules of the house."
        )

    begun = report(first)
    yield begun
    kind = begun.values[0].rpartition("#reason")[2].lower()
    yield Event(first, TAG, number, 0, (f"report:{kind}", "lang:en"))
    if number < waiting:
        again = EVENTS_OF_BUSY - 2 if number % _BUSY_EVERY == 1 else 1
        yield from (report(at) for at in sorted(first + int(span * rng.random()) for _ in range(again)))
        return
    by = -rng.randint(1, _MODERATORS)
    for _ in range(more):
        yield Event(first + span // 2, COMMENT, number, by, (), "Seen.")
    if rng.random() < 0.5:
        yield Event(first + span // 2, LABEL, number, by, (rng.choice(labels),), "Labelled.")
    else:
        yield Event(first + span // 2, COMMENT, number, by, (), "Looked at, and let be.")
    yield Event(first + span // 2 + 1, ACKNOWLEDGE, number, by)


def _status(events: list[Event]) -> Status:
    """A plain fold: reports open, an acknowledgement closes."""
    state, reported, reviewed, reviewer = OPEN, 0, 0, 0
    tags: tuple[str, ...] = ()
    for event in events:
        if event.action == REPORT:
            state, reported = OPEN, event.at
        elif event.action == TAG:
            tags = event.values
        elif event.action in (COMMENT, ACKNOWLEDGE):
            state = CLOSED if event.action == ACKNOWLEDGE else state
            reviewed, reviewer = event.at, event.by
    return Status(state, reported, reviewed, reviewer, tags, events[0].at, events[-1].at)


def timestamp(at: int) -> str:
    """As both store and tell it."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"
