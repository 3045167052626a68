"""What moderators, reporters and rules do, as events. Pure.

Source: tools.ozone.moderation.defs (modEvent*). The names are those of the lexicon, behind `#`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from communities.reasons import APPEALS


class Kind(StrEnum):
    """What an event is."""

    TAKEDOWN = "modEventTakedown"
    REVERSE_TAKEDOWN = "modEventReverseTakedown"
    COMMENT = "modEventComment"
    REPORT = "modEventReport"
    LABEL = "modEventLabel"
    ACKNOWLEDGE = "modEventAcknowledge"
    ESCALATE = "modEventEscalate"
    MUTE = "modEventMute"
    UNMUTE = "modEventUnmute"
    MUTE_REPORTER = "modEventMuteReporter"
    UNMUTE_REPORTER = "modEventUnmuteReporter"
    EMAIL = "modEventEmail"
    RESOLVE_APPEAL = "modEventResolveAppeal"
    TAG = "modEventTag"
    PRIORITY_SCORE = "modEventPriorityScore"
    ACCOUNT = "accountEvent"
    IDENTITY = "identityEvent"
    RECORD = "recordEvent"


HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class ModEvent:
    """An event. `at`: microseconds; `actor`: a DID, `rule:NAME` or `cli`; `role`: as what it acted. `said`: the other
    fields of the lexicon's object, without `comment`. `cid`, `blobs`: the version of the subject that was seen. `tool`,
    `tool_meta`, `batch`, `external`: which program did it, and what that calls it. `ends`: when what it does ends, if
    that is no number of hours. `decision`, `label_event`, `undoes`:
    numbers of what it did, and of the event that it reverses.
    """

    kind: Kind
    at: int
    actor: str
    role: str = ""
    comment: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    cid: str = ""
    blobs: tuple[str, ...] = ()
    tool: str = ""
    tool_meta: Mapping[str, Any] = field(default_factory=dict)
    batch: str = ""
    external: str = ""
    ends: int | None = None
    decision: int | None = None
    label_event: int | None = None
    undoes: int | None = None

    @property
    def is_appeal(self) -> bool:
        """Whether it reports that an author asks for another decision."""
        return self.kind is Kind.REPORT and self.said["reportType"] in APPEALS

    @property
    def until(self) -> int | None:
        """When what it does ends, microseconds; None: never, or it says nothing of that."""
        hours = self.said.get("durationInHours")
        return self.ends if self.ends is not None or not hours else self.at + int(hours) * HOUR

    def values(self) -> Iterator[tuple[str, str]]:
        """What the event is found by, as in table `mod_event_value`."""
        if self.kind is Kind.LABEL:
            yield from (("+label", val) for val in self.said["createLabelVals"])
            yield from (("-label", val) for val in self.said["negateLabelVals"])
        elif self.kind is Kind.TAG:
            yield from (("+tag", tag) for tag in self.said["add"])
            yield from (("-tag", tag) for tag in self.said["remove"])
        elif self.kind is Kind.REPORT:
            yield "report", self.said["reportType"]
        yield from (("policy", policy) for policy in self.said.get("policies", ()))
