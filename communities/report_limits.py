"""How many reports are taken: of one reporter, about one subject, from one host, and of all together.

They are counted by the rows, so a restart gives nobody anything. What is said again is no new report and is not counted
here. An author's appeal waits for no crowd that reports the same subject.
"""

from typing import NamedTuple

from communities.reasons import APPEALS
from models import reports
from models.database import Connection
from models.reports import Said

HOUR = 3_600_000_000
DAY = 24 * HOUR


class Limit(NamedTuple):
    """So many reports within a span (microseconds)."""

    span: int
    most: int
    within: str


OF_REPORTER: tuple[Limit, ...] = (Limit(HOUR, 60, "an hour"), Limit(DAY, 200, "a day"))
OF_SUBJECT = Limit(HOUR, 500, "an hour")
OF_HOST: tuple[Limit, ...] = (Limit(HOUR, 300, "an hour"), Limit(DAY, 1000, "a day"))
OF_ALL = Limit(HOUR, 5000, "an hour")
LARGE = 10
"""By what the limit of a large host is multiplied: many people are there who have nothing to do with each other."""
LARGE_HOSTS = frozenset(("bsky.network",))
"""The domains of hosts that are known to be large."""
_MANY = "There are too many reports just now; try again later."


def domain_of(host: str) -> str:
    """What the limits of a host count by: the last two labels of its name, for whoever owns a domain owns every name
    below it; its whole address if it is one.
    """
    if host.replace(".", "").isdigit() or ":" in host:
        return host
    return ".".join(host.rsplit(".", 2)[-2:])


class Wait(NamedTuple):
    """In how many seconds a report is taken again, why not now, and by which limit, as its reporter is told."""

    seconds: float
    why: str
    limit: Limit


def wait(connection: Connection, said: Said, now: int, large: frozenset[str] = LARGE_HOSTS) -> Wait | None:
    """How long to wait until such a report is taken; None: it is taken now. `now`: microseconds. `large`: domains of
    large hosts.
    """
    for limit in OF_REPORTER:
        newest = reports.nth_newest(connection, "reporter", said.reporter, limit.most, now - limit.span)
        if (seconds := _seconds(newest, limit, now)) > 0:
            return Wait(seconds, f"You have made {limit.most} reports within {limit.within}.", limit)
    if said.reason_type not in APPEALS:
        newest = reports.nth_newest_about(connection, said.did, said.uri, OF_SUBJECT.most, now - OF_SUBJECT.span)
        if (seconds := _seconds(newest, OF_SUBJECT, now)) > 0:
            return Wait(seconds, _MANY, OF_ALL)  # nobody is to learn how often something was reported
    for limit in OF_HOST:
        most = limit.most * (LARGE if said.host in large else 1)
        newest = reports.nth_newest(connection, "host", said.host, most, now - limit.span)
        if (seconds := _seconds(newest, limit, now)) > 0:
            why = f"Too many reports come from {said.host or 'where you are'}; try again later."
            return Wait(seconds, why, limit._replace(most=most))
    newest = reports.nth_newest(connection, "", None, OF_ALL.most, now - OF_ALL.span)
    if (seconds := _seconds(newest, OF_ALL, now)) > 0:
        return Wait(seconds, _MANY, OF_ALL)
    return None


def _seconds(at: int | None, limit: Limit, now: int) -> float:
    """For how many seconds the report of the moment `at` still counts; a clock that was set back keeps nobody out for
    longer than the span.
    """
    return 0 if at is None else min(at + limit.span - now, limit.span) / 1_000_000
