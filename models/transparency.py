"""Counts of how a community is moderated within a span of time. Plain functions over a connection. Times are
microseconds, a span is from a moment to before another. Each looks at so many rows at most, the newest.
"""

from typing import NamedTuple

from models.database import Connection

MOST_DECISIONS, MOST_CASES, MOST_APPEALS = 50_000, 1_000, 10_000
_STATES = ("open", "queued", "assigned", "escalated", "closed")


class Span(NamedTuple):
    """Of a community, from `since` to before `until`."""

    community: int
    since: int
    until: int


class Answered(NamedTuple):
    """A decision about a subject that was reported before. `took`: microseconds since the first of those reports."""

    subject: int
    took: int


_DECISIONS = (
    "SELECT action, rule, count(*) FROM (SELECT action, rule FROM decision INDEXED BY decision_at WHERE community = ?"
    f" AND at >= ? AND at < ? ORDER BY at DESC LIMIT {MOST_DECISIONS}) GROUP BY action, rule ORDER BY action, rule"
)
_CASES = " UNION ALL ".join(
    "SELECT * FROM (SELECT id, subject, at, report FROM report_case INDEXED BY report_case_at WHERE scope = ?1"
    f" AND state = '{state}' AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT {MOST_CASES})"
    for state in _STATES
)
_FIRST_SINCE = (
    "SELECT e.id FROM mod_event e INDEXED BY mod_event_decided WHERE e.subject = c.subject AND e.scope = ?1"
    " AND e.id > c.id AND e.type IN ('modEventTakedown', 'modEventReverseTakedown', 'modEventLabel',"
    " 'modEventAcknowledge') ORDER BY e.id LIMIT 1"
)
_ANSWERED = (
    f"SELECT c.subject, e.at - min(c.at) FROM (SELECT * FROM ({_CASES}) ORDER BY at DESC LIMIT {MOST_CASES}) c"
    " JOIN report r ON r.id = c.report AND r.reason_type NOT LIKE '%#reasonAppeal'"
    f" JOIN mod_event e ON e.id = ({_FIRST_SINCE}) WHERE e.at < ?3 GROUP BY c.subject, e.id"
)
_APPEALS = (
    "SELECT state, count(*) FROM (SELECT state, did FROM appeal INDEXED BY appeal_community"
    " WHERE community = ? AND state IN ('open', 'granted', 'denied') AND at >= ? AND at < ? AND (decision > 0"
    f" OR label_event > 0) LIMIT {MOST_APPEALS}) GROUP BY state"
)
_AUTHORS = (
    "SELECT count(DISTINCT did) FROM (SELECT did FROM appeal INDEXED BY appeal_community WHERE community = ?"
    " AND state IN ('open', 'granted', 'denied') AND at >= ? AND at < ? AND (decision > 0 OR label_event > 0)"
    f" LIMIT {MOST_APPEALS})"
)


def decisions(connection: Connection, span: Span) -> list[tuple[str, str | None, int]]:
    """How many decisions there were of each action, by each rule of the community; None: by none that was named."""
    return [(action, rule, count) for action, rule, count in connection.execute(_DECISIONS, span).fetchall()]


def answered(connection: Connection, span: Span) -> list[Answered]:
    """The decisions by which reports were answered that came within the span, and how long each took."""
    return [Answered._make(row) for row in connection.execute(_ANSWERED, span).fetchall()]


def appealed(connection: Connection, span: Span) -> tuple[dict[str, int], int]:
    """Appeals against decisions that were made within the span, by their state now, and of how many authors."""
    states = dict(connection.execute(_APPEALS, span).fetchall())
    (authors,) = connection.execute(_AUTHORS, span).fetchone()
    return states, authors
