"""How a community is moderated, in numbers that tell of nobody: decisions by action and rule, how long reports wait for
one, appeals and how many were granted.

Of decisions each is in the public log with its time, action and rule, so their numbers tell nothing new. Reports and
appeals are not: of those nothing is told that is about fewer than FEWEST subjects or authors; times are whole hours;
and a span ends at the last midnight (UTC) and has one of few lengths, so that nobody finds out by asking
before and after.
"""

from collections.abc import Sequence
from typing import NamedTuple

from models import transparency
from models.database import Connection
from models.transparency import Span

FEWEST = 5
DAYS = (7, 30, 90, 365)
"""The lengths of a span."""
DAY, HOUR = 86_400_000_000, 3_600_000_000


class Times(NamedTuple):
    """How long reports waited for a decision, in whole hours: half of them, and nine in ten, at most so long."""

    median: int
    p90: int


class Appeals(NamedTuple):
    """Appeals against decisions, by their state now."""

    granted: int
    denied: int
    waiting: int

    @property
    def overturned(self) -> int | None:
        """Of those that were decided the percentage that was granted; None: none was."""
        decided = self.granted + self.denied
        return round(100 * self.granted / decided) if decided else None


class Numbers(NamedTuple):
    """Of one community. `decisions`: action, rule (None: none was named), how many. None: too few to be told."""

    since: int
    until: int
    decisions: list[tuple[str, str | None, int]]
    times: Times | None
    appeals: Appeals | None


def span_of(community: int, days: int, now: int) -> Span:
    """So many whole days (one of DAYS) that end at the last midnight. `now`: microseconds."""
    if days not in DAYS:
        raise ValueError(f"a span has one of these lengths in days: {', '.join(map(str, DAYS))}")
    until = now - now % DAY
    return Span(community, until - days * DAY, until)


def numbers(connection: Connection, community: int, days: int, now: int) -> Numbers:
    """How a community was moderated. `now`: microseconds. Raises ValueError as `span_of`."""
    span = span_of(community, days, now)
    answered = transparency.answered(connection, span)
    states, authors = transparency.appealed(connection, span)
    return Numbers(
        span.since,
        span.until,
        transparency.decisions(connection, span),
        times([one.took for one in answered]) if len({one.subject for one in answered}) >= FEWEST else None,
        Appeals(states.get("granted", 0), states.get("denied", 0), states.get("open", 0))
        if authors >= FEWEST
        else None,
    )


def times(took: Sequence[int]) -> Times:
    """Median and ninth decile of at least one time (microseconds), each rounded up to an hour. Pure."""
    ordered = sorted(took)

    def hours(share: float) -> int:
        place = max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)
        return -(-ordered[place] // HOUR)

    return Times(hours(0.5), hours(0.9))
