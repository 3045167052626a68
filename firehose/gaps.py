"""Whether a stream goes on where it was left, or events in between were missed (A7).

Only a PDS says that it no longer has what was asked for (`#info OutdatedCursor`); a relay silently begins at the oldest
event that it has. So the first event behind each new connection is held against the last one before it. Numbers that
are left out are a suspicion only: there are accounts whose events a host has deleted, and numbers that nobody ever got.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

GAP, SUSPECTED = "gap", "gap suspected"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events behind the seq `behind` were missed. `since`, `until`: microseconds, 0 if not known."""

    why: str
    behind: int
    since: int
    until: int

    def __str__(self) -> str:
        return (
            f"events behind {self.behind}, from {_moment(self.since)} to {_moment(self.until)}, are missing: {self.why}"
        )


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else "an unknown time"


class Gaps:
    """Judges each connection of one source by its beginning. `counts`: gaps that were acted upon, and suspicions."""

    def __init__(self, longest: int) -> None:
        """`longest`: microseconds between the times of two events in a row that leave numbers out between them."""
        self.counts: Counter[str] = Counter({GAP: 0, SUSPECTED: 0})
        self._longest = longest
        self._behind = self._since = 0
        self._done: int | None = None
        self._why = ""

    def begin(self, behind: int, since: int) -> None:
        """A connection is made, to go on behind this seq (0: nowhere yet) and this time (0: not known)."""
        self._behind, self._since, self._why = behind, since, ""

    def missed(self, why: str, *, anew: bool = False) -> None:
        """Events are missing for certain. What was acted upon at this position already is not, unless it is `anew`: a
        quiet host says the same at each connection.
        """
        if anew or (self._behind and self._behind != self._done):
            self._why = why

    def first(self, seq: int, at: int) -> Gap | None:
        """Judge the first event of the connection; `at`: its time, 0 if not known."""
        if self._why or not self._behind or seq <= self._behind + 1:
            return self.found(at)
        if self._since and at - self._since > self._longest:
            self._why = f"the source goes on at {seq}"
            return self.found(at)
        self.counts[SUSPECTED] += 1
        return None

    def found(self, until: int) -> Gap | None:
        """What is known to be missing and was not taken yet; nothing is from `until` on."""
        if not self._why:
            return None
        gap, self._why = Gap(self._why, self._behind, self._since, until), ""
        return gap

    def marked(self, gap: Gap) -> None:
        """What follows from a gap is stored."""
        self._done = gap.behind
        self._behind = 0  # this connection is judged
        self.counts[GAP] += 1
