"""What programs have done in moderators' names, counted from the rows of `mod_event`: by index, and no further than
asked. A program is known by the name that it gives itself (`tool`) and the account that it acts for. Plain functions
over a connection. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection

LABEL, TAKEDOWN, REPORT = "modEventLabel", "modEventTakedown", "modEventReport"
WEB_APP, BEHIND_WEB_APP = "ozone-ui/", "ozone-ui0"
"""What the names begin with that the Ozone web app gives itself, and the first text behind all of them."""
DAY = 86_400_000_000
_LATER = (
    "SELECT e.id FROM mod_event e INDEXED BY mod_event_subject {0} WHERE e.subject = ?1 AND e.at >= ?2 AND e.id > ?3"
    " AND e.scope = ?4 AND e.type = ?5 AND (e.tool = '' OR e.tool >= ?6 AND e.tool < ?7)"
    " AND (e.actor >= 'did:' AND e.actor < 'did;' OR e.actor = 'cli') LIMIT 1"
)
_TAKEN_AWAY = (
    "JOIN mod_event_value gone ON gone.event = e.id AND gone.kind = '-label' JOIN mod_event_value v"
    " ON v.event = ?3 AND v.kind = '+label' AND v.value = gone.value"
)


class Use(NamedTuple):
    """How much a program did in a time: values that it labelled with, takedowns, reports."""

    labels: int = 0
    takedowns: int = 0
    reports: int = 0


class Act(NamedTuple):
    """A label or takedown of a program."""

    id: int
    at: int
    scope: int
    subject: int
    type: str


def use(connection: Connection, tool: str, actor: str, since: int, most: int) -> Use:
    """What it did since a moment, each counted up to `most`. What stands in several scopes was done once."""
    labels = (
        "SELECT DISTINCT e.at, e.subject, v.value FROM mod_event e INDEXED BY mod_event_tool JOIN mod_event_value v"
        " ON v.event = e.id AND v.kind = '+label' WHERE e.tool = ?1 AND e.tool != '' AND e.type != 'modEventReport'"
        f" AND e.actor = ?2 AND e.type = '{LABEL}' AND e.at >= ?3"
    )
    takedowns = (
        "SELECT DISTINCT at, subject FROM mod_event INDEXED BY mod_event_tool WHERE tool = ?1 AND tool != ''"
        f" AND type != 'modEventReport' AND actor = ?2 AND type = '{TAKEDOWN}' AND at >= ?3"
    )
    reports = (
        "SELECT DISTINCT at, subject FROM mod_event INDEXED BY mod_event_actor WHERE actor = ?2 AND at >= ?3"
        f" AND type = '{REPORT}' AND tool = ?1"
    )
    counts = (
        connection.execute(f"SELECT count(*) FROM ({query} LIMIT ?4)", (tool, actor, since, most)).fetchone()[0]
        for query in (labels, takedowns, reports)
    )
    return Use(*counts)


def last_acts(connection: Connection, tool: str, actor: str, since: int, most: int) -> list[Act]:
    """Its last labels and takedowns since a moment, at most so many, the newest first."""
    found: list[Act] = []
    for kind in (LABEL, TAKEDOWN):
        rows = connection.execute(
            "SELECT id, at, scope, subject, type FROM mod_event INDEXED BY mod_event_tool WHERE tool = ?1"
            " AND tool != '' AND type != 'modEventReport' AND actor = ?2 AND type = ?3 AND at >= ?4"
            " ORDER BY at DESC, id DESC LIMIT ?5",
            (tool, actor, kind, since, most),
        )
        found += map(Act._make, rows)
    return sorted(found, reverse=True)[:most]


def is_reversed(connection: Connection, act: Act) -> bool:
    """Whether a person has undone it, given back what it took down, or taken away a label that it issued."""
    query = "SELECT actor FROM mod_event WHERE undoes = ?"
    if any(actor.startswith("did:") for (actor,) in connection.execute(query, (act.id,)).fetchall()):
        return True
    labels = act.type == LABEL
    kind = LABEL if labels else "modEventReverseTakedown"
    bindings = (act.subject, act.at, act.id, act.scope, kind, WEB_APP, BEHIND_WEB_APP)
    later = _LATER.format(_TAKEN_AWAY if labels else "")
    return connection.execute(later, bindings).fetchone() is not None


def programs(connection: Connection, most: int) -> list[tuple[str, str]]:
    """Programs and whom they act for, but for the web app, at most so many, by name."""
    step = (
        "SELECT tool, actor FROM mod_event INDEXED BY mod_event_tool WHERE tool != '' AND type != 'modEventReport'"
        " AND (tool, actor) > (?1, ?2) AND (tool < ?3 OR tool >= ?4) ORDER BY tool, actor LIMIT 1"
    )
    found: list[tuple[str, str]] = []
    last = ("", "")
    while len(found) < most:
        row = connection.execute(step, (*last, WEB_APP, BEHIND_WEB_APP)).fetchone()
        if row is None:
            break
        last = (row[0], row[1])
        found.append(last)
    return found


def is_of_web_app(tool: str) -> bool:
    """Whether a program says that it is the Ozone web app."""
    return tool.startswith(WEB_APP)
