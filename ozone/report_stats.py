"""tools.ozone.report.getLiveStats, getHistoricalStats: how many reports come, wait and are done with, counted from the
rows and activities when it is asked for. Nothing is kept, so there is nothing to refresh (`refreshStats`).

Reports of muted reporters do not count. With `moderatorDid` (admins of the team): those that came to be this
moderator's, that are theirs, and what they themselves have closed and escalated.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from communities.report_state import Act
from models import report_counts
from models.report_counts import Counted, Reached, Span
from ozone.reports import QUEUE, TYPES, moment_of
from ozone.visit import Answer, Query, Visit, moment
from xrpc import cursor
from xrpc.params import DidParam, IntParam, Param, Params, StringParam
from xrpc.syntax import MAX_DATETIME

DAY = 24 * 3_600_000_000


def get_live_stats(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """Of the last 24 hours. Raises AuthenticationRequired."""
    counted = _counted(visit, params)
    counts = _Counts(visit, counted, Span(visit.now - DAY + 1, visit.now + 1, DAY))
    waiting = report_counts.pending(visit.connection, visit.scopes, counted)
    return {"stats": {"pendingCount": waiting, **counts.of(0), "lastUpdated": moment(visit.now)}}


def get_historical_stats(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of days (UTC) from that of the first report, the newest first. Raises Refused (InvalidCursor),
    AuthenticationRequired.
    """
    counted, limit = _counted(visit, params), params["limit"]
    since, until = moment_of(params, "startDate"), moment_of(params, "endDate")
    scope = visit.scope("days", counted, since, until)
    today = visit.now // DAY
    newest = today if until is None else min(today, until // DAY)
    if "cursor" in params:
        newest = min(newest, cursor.decode(visit.key, scope, params["cursor"], 1)[0] - 1)
    first = report_counts.first(visit.connection, visit.scopes)
    if first is None:
        return {"stats": []}
    oldest = max(first // DAY, (since or 0) // DAY)
    days = list(range(newest, max(oldest - 1, newest - limit), -1))
    answer: Answer = {"stats": _days(visit, counted, days, today) if days else []}
    if days and days[-1] > oldest:
        answer["cursor"] = cursor.encode(visit.key, scope, days[-1])
    return answer


def _days(visit: Visit, counted: Counted, days: list[int], today: int) -> list[Answer]:
    """Days, the newest first."""
    counts = _Counts(visit, counted, Span(days[-1] * DAY, (today + 1) * DAY, DAY))
    if counted.moderator:
        ends = {day: min((day + 1) * DAY, visit.now + 1) for day in days}
        waited = {day: report_counts.held(visit.connection, visit.scopes, counted, end) for day, end in ends.items()}
    else:
        waited = counts.waited(range(today, days[-1] - 1, -1), days[-1])
    return [
        {
            "date": (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d"),
            "computedAt": moment(visit.now),
            "pendingCount": waited[day],
            **counts.of(day - days[-1]),
        }
        for day in days
    ]


class _Counts:
    """What came and was done in the parts of a span."""

    def __init__(self, visit: Visit, counted: Counted, span: Span) -> None:
        self._given = (visit.connection, visit.scopes, counted, span)
        self._came = report_counts.inbound(*self._given)
        self._closed = report_counts.reached(*self._given, Act.CLOSE)
        self._escalated = report_counts.reached(*self._given, Act.ESCALATION)

    def of(self, part: int) -> Answer:
        """A part, as the lexicon has it: without a rate if nothing came, and a time if nothing was closed."""
        came, closed = self._came[part], self._closed.get(part, Reached())
        counts: Answer = {
            "actionedCount": closed.reports,
            "escalatedCount": self._escalated.get(part, Reached()).reports,
            "inboundCount": came,
        }
        if came:
            counts["actionRate"] = (200 * closed.reports + came) // (2 * came)
        if closed.reports:
            counts["avgHandlingTimeSec"] = (closed.took + 500_000 * closed.reports) // (1_000_000 * closed.reports)
        return counts

    def waited(self, days: Iterable[int], first: int) -> dict[int, int]:
        """How many reports waited at the end of each day, the newest first: as many as do now, less those that came
        since, and those that were closed since and not reopened. `first`: the day of the first part.
        """
        reopened = report_counts.reached(*self._given, Act.REOPEN)
        waiting, found = report_counts.pending(*self._given[:3]), {}
        for day in days:
            found[day], part = waiting, day - first
            back = self._closed.get(part, Reached()).times - reopened.get(part, Reached()).times
            waiting += back - self._came[part]
        return found


def _counted(visit: Visit, params: Mapping[str, Any]) -> Counted:
    if "moderatorDid" in params:
        visit.administer("see the statistics of a moderator")
    return Counted(params.get("queueId"), tuple(sorted(set(params["reportTypes"]))), params.get("moderatorDid", ""))


_FILTERS: dict[str, Param] = {"queueId": QUEUE, "moderatorDid": DidParam(), "reportTypes": TYPES}
QUERIES = (
    Query("report.getLiveStats", Params(_FILTERS), get_live_stats),
    Query(
        "report.getHistoricalStats",
        Params(
            {
                **_FILTERS,
                "startDate": StringParam(max_length=MAX_DATETIME),
                "endDate": StringParam(max_length=MAX_DATETIME),
                "limit": IntParam(1, 100, default=30),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        get_historical_stats,
    ),
)
PROCEDURES = ()
