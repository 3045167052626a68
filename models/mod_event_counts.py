"""Counts over events of moderation (`mod_event`): what was done about an account day by day, and what became of what
somebody reported. Plain functions over a connection.
"""

from typing import NamedTuple

from models.database import Connection
from models.scopes import Scopes, events


class DayCount(NamedTuple):
    """How often something was done in a day. `day`: YYYY-MM-DD in UTC; `kind`: account, record or chat."""

    day: str
    kind: str
    type: str
    times: int


class Reported(NamedTuple):
    """What somebody has reported of accounts, or of records: how often, how many of them, and how many of these were
    taken down and labelled afterwards.
    """

    reports: int = 0
    subjects: int = 0
    takendown: int = 0
    labelled: int = 0


def by_day(connection: Connection, scopes: Scopes, did: str) -> list[DayCount]:
    """What was done about an account and all that is of it, the last day first. The work is that of its events."""
    seen, bindings = scopes.where(events("e", "+e.scope"))
    rows = connection.execute(
        "SELECT date(e.at / 1000000, 'unixepoch') AS day,"
        " iif(s.convo != '', 'chat', iif(s.path != '', 'record', 'account')) AS kind, e.type, count(*)"
        f" FROM subject s CROSS JOIN mod_event e ON e.subject = s.id WHERE s.did = ? AND {seen}"
        " GROUP BY day, kind, e.type ORDER BY day DESC, kind, e.type",
        (did, *bindings),
    )
    return [DayCount(*row) for row in rows]


def reported_by(connection: Connection, scopes: Scopes, did: str) -> tuple[Reported, Reported]:
    """What an account has reported of accounts, and of records. A report that reaches several scopes is one; what was
    done of it counts where it was reported.
    """
    seen, bindings = scopes.where(events("e"))
    later = (
        "EXISTS (SELECT 1 FROM mod_event a WHERE a.subject = e.subject AND a.scope = e.scope"
        " AND (a.at, a.id) > (e.at, e.id) AND a.type = '{}'{})"
    )
    takendown = later.format("modEventTakedown", "")
    added = " AND EXISTS (SELECT 1 FROM mod_event_value v WHERE v.event = a.id AND v.kind = '+label')"
    labelled = later.format("modEventLabel", added)
    rows = connection.execute(
        "SELECT s.path != '', count(DISTINCT coalesce(c.report, e.id)), count(DISTINCT e.subject),"
        f" count(DISTINCT e.subject) FILTER (WHERE {takendown}),"
        f" count(DISTINCT e.subject) FILTER (WHERE {labelled})"
        " FROM mod_event e JOIN subject s ON s.id = e.subject LEFT JOIN report_case c ON c.id = e.id"
        f" WHERE e.actor = ? AND {seen} AND e.type = 'modEventReport' AND s.convo = '' GROUP BY 1",
        (did, *bindings),
    )
    found = {of_records: Reported(*counts) for of_records, *counts in rows}
    return found.get(0, Reported()), found.get(1, Reported())
