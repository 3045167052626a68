"""Rows that say because of what labels were issued (`label_event`). Plain functions over a connection."""

from collections.abc import Iterable

from models.database import Connection
from models.mod_events import SubjectKey, find_subject

_UP_TO = (
    "SELECT id FROM label_event WHERE substr(uri, -13) = substr(?1, -13) AND uri = ?1 AND id <= ?2 AND labeler = ?3"
    " AND community = ?4 AND added != ''"
)
_WITH = (
    "SELECT l.labeler, l.id FROM mod_event e JOIN label_event l ON l.id = e.label_event WHERE e.subject = ?1"
    " AND e.type = 'modEventTakedown' AND iif(?2, e.scope = ?2 AND e.decision = ?3, e.scope <= 0)"
)


def up_to(connection: Connection, community: int, uri: str, event: int) -> tuple[int, set[int]]:
    """The labeler of an event, and the events up to it by which that has labelled a subject for a community (0: for the
    site).
    """
    row = connection.execute("SELECT labeler FROM label_event WHERE id = ?", (event,)).fetchone()
    if row is None:
        return 0, set()
    return row[0], {number for (number,) in connection.execute(_UP_TO, (uri, event, row[0], community))}


def of_takedowns(connection: Connection, key: SubjectKey) -> set[int]:
    """All labellings that were done in one with a takedown of a subject, in whatever scope."""
    query = (
        "SELECT label_event FROM mod_event WHERE subject = ? AND type = 'modEventTakedown' AND label_event IS NOT NULL"
    )
    return {number for (number,) in connection.execute(query, (find_subject(connection, key),))}


def of_decisions(
    connection: Connection, community: int, key: SubjectKey, decisions: Iterable[int]
) -> list[tuple[int, int]]:
    """Labeler and number of each labelling that was done in one with a decision of a community, by its number in the
    log; or (0) with takedowns by the site.
    """
    subject = find_subject(connection, key)
    found: list[tuple[int, int]] = []
    for number in decisions:
        found += connection.execute(_WITH, (subject, community, number)).fetchall()
    return found
