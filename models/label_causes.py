"""Rows that say because of what labels were issued (`label_event`). Plain functions over a connection."""

from collections.abc import Iterable

from models.database import Connection
from models.mod_events import SubjectKey, find_subject

_UP_TO = (
    "SELECT id FROM label_event WHERE substr(uri, -13) = substr(?1, -13) AND uri = ?1 AND id <= ?2 AND labeler = ?3"
    " AND community = ?4 AND added != ''"
)


def up_to(connection: Connection, community: int, uri: str, event: int) -> tuple[int, set[int]]:
    """The labeler of an event, and the events up to it by which that has labelled a subject for a community (0: for the
    site).
    """
    row = connection.execute("SELECT labeler FROM label_event WHERE id = ?", (event,)).fetchone()
    if row is None:
        return 0, set()
    return row[0], {number for (number,) in connection.execute(_UP_TO, (uri, event, row[0], community))}


def of_decisions(
    connection: Connection, community: int, key: SubjectKey, decisions: Iterable[int]
) -> list[tuple[int, int]]:
    """Labeler and number of each labelling that was done in one with a decision of a community, by its number in the
    log; or (0) with a takedown by the site.
    """
    subject = find_subject(connection, key)
    query = (
        "SELECT l.labeler, l.id FROM mod_event e JOIN label_event l ON l.id = e.label_event WHERE e.subject = ?"
        " AND e.type = 'modEventTakedown' AND "
    )
    if not community:
        return connection.execute(query + "e.scope <= 0", (subject,)).fetchall()
    found: list[tuple[int, int]] = []
    for number in decisions:
        bindings = (subject, community, number)
        found += connection.execute(query + "e.scope = ? AND e.decision = ?", bindings).fetchall()
    return found
