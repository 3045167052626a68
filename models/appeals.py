"""Rows of appeals: what authors say against decisions, until somebody else has decided again. Plain functions over a
connection. Times are microseconds.
"""

import json
from typing import NamedTuple

from models.database import Connection
from models.reports import SITE

_NOT_SHOWN = "SELECT 1 FROM actor WHERE did = ? AND NOT allowed"


class Against(NamedTuple):
    """What an appeal is against: a decision of a community (0: of the site), by its number in the log there; and the
    event that labelled. 0 for none.
    """

    community: int
    decision: int = 0
    label_event: int = 0


def is_open(connection: Connection, did: str, uri: str, labeler: str) -> bool:
    """Whether an appeal about a subject waits, among those sent to a labeler or (empty) to the service."""
    query = "SELECT 1 FROM appeal WHERE did = ? AND uri = ? AND labeler = ? AND state = 'open'"
    return connection.execute(query, (did, uri, labeler)).fetchone() is not None


def put(connection: Connection, report: int, did: str, uri: str, labeler: str, against: Against, now: int) -> None:
    """Keep an appeal; one that waits already is the same. Call inside a write."""
    connection.execute(
        "INSERT INTO appeal (report, community, labeler, did, uri, decision, label_event, at, last_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8) ON CONFLICT (did, uri, labeler, community) WHERE state = 'open'"
        " DO UPDATE SET last_at = excluded.last_at, decision = max(decision, excluded.decision),"
        " label_event = max(label_event, excluded.label_event)",
        (report, against.community, labeler, did, uri, against.decision, against.label_event, now),
    )


def removals(connection: Connection, did: str, rkey: str) -> list[Against]:
    """The decisions in force by which communities have removed a post."""
    rows = connection.execute(
        "SELECT d.community, d.decision FROM decided d JOIN actor a ON a.id = d.actor"
        " WHERE a.did = ? AND d.rkey = ? AND d.verdict = 'removed'",
        (did, rkey),
    )
    return [Against(community, decision) for community, decision in rows]


def bans(connection: Connection, did: str, now: int) -> list[Against]:
    """The bans of an account that are in force, each with the decision that made it."""
    rows = connection.execute(
        "SELECT m.community, coalesce((SELECT max(d.seq) FROM decision d WHERE d.community = m.community"
        " AND d.subject = a.did AND d.action = 'ban'), 0) FROM membership m JOIN actor a ON a.id = m.actor"
        " WHERE a.did = ? AND m.status = 'banned' AND (m.until IS NULL OR m.until > ?)",
        (did, now),
    )
    return [Against(community, decision) for community, decision in rows]


def hiding_bans(connection: Connection, did: str, rkey: str, now: int) -> list[Against]:
    """The bans that keep a post of an account out of sight."""
    rows = connection.execute(
        "SELECT i.community FROM actor a JOIN post p ON p.actor = a.id AND p.rkey = ? JOIN feed_item i ON i.post = p.id"
        " WHERE a.did = ? AND i.hidden & 8",
        (rkey, did),
    )
    hidden_in = {community for (community,) in rows}
    return [one for one in bans(connection, did, now) if one.community in hidden_in]


def labellings(connection: Connection, labeler: str, subject: str) -> list[Against]:
    """The last events by which a labeler has labelled a subject (at-uri or DID), one for each community."""
    rows = connection.execute(
        "SELECT e.community, max(e.id) FROM label_event e JOIN labeler l ON l.id = e.labeler"
        " WHERE l.did = ?1 AND substr(e.uri, -13) = substr(?2, -13) AND e.uri = ?2 AND e.added != ''"
        " GROUP BY e.community",
        (labeler, subject),
    )
    return [Against(community, 0, event) for community, event in rows]


_OPEN = "p.did = ? AND p.uri = ? AND p.community = ? AND p.labeler IN (?, '') AND p.state = 'open'"


def deciders(connection: Connection, did: str, uri: str, community: int, labeler: str) -> set[str]:
    """Who has decided what the open appeals about a subject are against."""
    rows = connection.execute(
        "SELECT d.actor, e.actor FROM appeal p LEFT JOIN decision d ON d.community = p.community AND d.seq = p.decision"
        f" LEFT JOIN label_event e ON e.id = p.label_event WHERE {_OPEN}",
        (did, uri, community, labeler),
    ).fetchall()
    return {actor for row in rows for actor in row if actor is not None}


def open_about(connection: Connection, did: str, uri: str, community: int, labeler: str) -> list[tuple[int, Against]]:
    """The open appeals about a subject, by number."""
    query = f"SELECT id, community, decision, label_event FROM appeal p WHERE {_OPEN} ORDER BY id"
    rows = connection.execute(query, (did, uri, community, labeler)).fetchall()
    return [(number, Against(*against)) for number, *against in rows]


def stands(connection: Connection, did: str, uri: str, against: Against, now: int) -> bool:
    """Whether anything of what an appeal is against is in force. `now`: milliseconds."""
    of_site = against.community == SITE
    if uri and (against.decision or of_site):
        rkey = uri.rpartition("/")[2]
        if any(one.community == against.community for one in removals(connection, did, rkey)):
            return True
    if of_site and not uri and connection.execute(_NOT_SHOWN, (did,)).fetchone() is not None:
        return True
    if against.decision and any(one.community == against.community for one in bans(connection, did, now * 1000)):
        return True
    return against.label_event != 0 and _label_holds(connection, against.label_event, now)


def _label_holds(connection: Connection, event: int, now: int) -> bool:
    """Whether a value that an event issued holds still, whoever has issued it last."""
    row = connection.execute("SELECT labeler, uri, added FROM label_event WHERE id = ?", (event,)).fetchone()
    if row is None:
        return False
    labeler, uri, added = row
    values = json.dumps(added.split())
    newest = (
        "SELECT 1 FROM label WHERE labeler = ?1 AND uri = ?2 AND val IN (SELECT value FROM json_each(?3)) AND NOT neg"
        " AND (exp IS NULL OR exp > ?4) AND NOT EXISTS (SELECT 1 FROM label_outbox o WHERE o.labeler = label.labeler"
        " AND o.uri = label.uri AND o.cid = label.cid AND o.val = label.val)"
        " UNION ALL SELECT 1 FROM label_outbox WHERE labeler = ?1 AND uri = ?2"
        " AND val IN (SELECT value FROM json_each(?3)) AND NOT neg AND (exp IS NULL OR exp > ?4) LIMIT 1"
    )
    return connection.execute(newest, (labeler, uri, values, now)).fetchone() is not None


def settle(connection: Connection, number: int, state: str) -> None:
    """Somebody has decided about an appeal. Call inside a write."""
    connection.execute("UPDATE appeal SET state = ? WHERE id = ?", (state, number))
