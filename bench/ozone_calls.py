"""The calls of the moderation API that are measured, of whichever service: what the Ozone web UI asks while moderators
work, and the reports of users.

Each is signed with a service token of its own (`aud`, `lxm`, `jti`), each that writes is about another subject, and
of each is known what its answer must be.
"""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from bench.ozone_load import Question
from bench.ozone_rows import LABEL, OPEN, Subject, timestamp
from tests.didnet import Account

PAGE, NEWEST, RECENT_MOST = 100, 50, 30
_STATUSES, _EVENTS, _EMIT = (f"tools.ozone.moderation.{name}" for name in ("queryStatuses", "queryEvents", "emitEvent"))
_REPORT = "com.atproto.moderation.createReport"
DEFS = "tools.ozone.moderation.defs#"
_LIFETIME = 300


@dataclass
class Scene:
    """Whom to ask and about what.

    `waiting` are subjects that wait for a moderator and are asked about; each is labelled once, acknowledged once, or
    reported once more, at most. `unknown` are subjects that nobody has reported. Both are used up from the front.
    `label` may be given by `moderator`, whom the labeler `aud` has as an admin. `reporters` report in turn.
    """

    url: str
    aud: str
    moderator: Account
    reporters: Sequence[Account]
    waiting: Sequence[Subject]
    unknown: Sequence[Subject]
    label: str
    _rng: random.Random = field(default_factory=lambda: random.Random(29))
    _jti: Iterator[int] = field(default_factory=itertools.count)
    _run: str = field(default_factory=lambda: f"{time.time_ns():x}")

    def __post_init__(self) -> None:
        self._waiting = iter(self.waiting)
        self._unknown = iter(self.unknown)
        self._reporters = itertools.cycle(self.reporters)

    def token(self, method: str, who: Account | None = None) -> str:
        """A fresh service token for one call of the method; of the moderator unless said."""
        now = int(time.time())
        claims = {"aud": self.aud, "lxm": method, "iat": now, "exp": now + _LIFETIME}
        return (who or self.moderator).token(claims | {"jti": f"{self._run}-{next(self._jti)}"})

    def query(self, method: str, fault: Callable[[Any], str], **params: Any) -> Question:
        """A signed query."""
        return Question(f"/xrpc/{method}?{urlencode(params, doseq=True)}", self.token(method), fault)

    def statuses(self, subject: Subject | None = None, cursor: str = "") -> Question:
        """The web UI's queue, from a cursor on, or of one subject."""
        if subject:
            return self.query(_STATUSES, lambda answer: _is_one(answer, subject), subject=subject.uri)
        params = {"reviewState": DEFS + OPEN, "sortField": "lastReportedAt", "sortDirection": "desc", "limit": PAGE}
        return self.query(_STATUSES, _is_queue, **params, **({"cursor": cursor} if cursor else {}))

    def events(self, subject: Subject | None = None) -> Question:
        """The newest, of a subject or of all."""
        if subject:
            least = min(NEWEST, subject.events)
            return self.query(
                _EVENTS, lambda answer: _is_newest(answer, least, subject), subject=subject.uri, limit=NEWEST
            )
        return self.query(_EVENTS, lambda answer: _is_newest(answer, NEWEST), limit=NEWEST)

    def recent(self) -> Question:
        """What has happened of late, as the web UI looks for every few seconds."""
        after = timestamp(time.time_ns() // 1_000_000 - 300_000)
        return self.query(
            _EVENTS,
            lambda answer: _is_newest(answer, RECENT_MOST, after=after),
            createdAfter=after,
            limit=RECENT_MOST,
        )

    def emit(self, action: str, subject: Subject) -> Question:
        """A moderator's act: LABEL or ACKNOWLEDGE."""
        given = {"createLabelVals": [self.label], "negateLabelVals": []} if action == LABEL else {}
        event = {"$type": DEFS + action, "comment": "Seen.", **given}
        body = {"event": event, "subject": reference(subject), "createdBy": self.moderator.did}

        def fault(answer: Any) -> str:
            good = {name: answer["event"].get(name) for name in event} == event
            return "" if good and answer["subject"] == reference(subject) else "another event"

        return Question(f"/xrpc/{_EMIT}", self.token(_EMIT), fault, json.dumps(body).encode())

    def report(self, subject: Subject) -> Question:
        """What a user says of a subject."""
        who, reason = next(self._reporters), "com.atproto.moderation.defs#reasonSpam"
        body = {"reasonType": reason, "reason": "This is spam.", "subject": reference(subject)}

        def fault(answer: Any) -> str:
            good = answer["subject"] == reference(subject) and answer["reportedBy"] == who.did
            return "" if good and answer["reasonType"] == reason else "another report"

        return Question(f"/xrpc/{_REPORT}", self.token(_REPORT, who), fault, json.dumps(body).encode())

    def some(self) -> Subject:
        """One that waits, again and again."""
        return self._rng.choice(self.waiting)

    def next_waiting(self) -> Subject:
        """One that was not written to."""
        return next(self._waiting)

    def next_unknown(self) -> Subject:
        """One that was not reported."""
        return next(self._unknown)


def reference(subject: Subject) -> dict[str, str]:
    """As a call names it in its body."""
    if subject.path:
        return {"$type": "com.atproto.repo.strongRef", "uri": subject.uri, "cid": subject.cid}
    return {"$type": "com.atproto.admin.defs#repoRef", "did": subject.did}


def _is_queue(answer: Any) -> str:
    statuses = answer["subjectStatuses"]
    times = [status["lastReportedAt"] for status in statuses]
    if len(statuses) != PAGE or not answer.get("cursor"):
        return f"{len(statuses)} statuses instead of {PAGE}"
    if times != sorted(times, reverse=True):
        return "not in the order of the last reports"
    waiting = all(status["reviewState"] == DEFS + OPEN for status in statuses)
    return "" if waiting else "one that does not wait"


def _is_one(answer: Any, subject: Subject) -> str:
    found = [status["subject"] for status in answer["subjectStatuses"]]
    return "" if found == [reference(subject)] else "not the one subject"


def _is_newest(answer: Any, least: int, subject: Subject | None = None, after: str = "") -> str:
    events = answer["events"]
    times = [event["createdAt"] for event in events]
    if not least <= len(events) <= NEWEST:
        return f"{len(events)} events instead of {least}"
    if times != sorted(times, reverse=True) or times[-1] < after:
        return "not in the order of their times"
    return "" if subject is None or all(each["subject"] == reference(subject) for each in events) else "another subject"
