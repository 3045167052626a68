"""Rows of appeals: what authors say against decisions, until somebody else has decided again. Plain functions over a
connection. Times are microseconds.
"""

import json
from typing import NamedTuple

from models.database import Connection
from models.reports import SITE

_POST = "app.bsky.feed.post"
MOST_LOOKED_AT = 50
"""Appeals about one subject, the newest, in which it is looked for what became of one."""


class Against(NamedTuple):
    """What an appeal is against: a decision of a community (0: of the site), by its number in the log there; and the
    event that labelled. 0 for none.
    """

    community: int
    decision: int = 0
    label_event: int = 0


class AppealRow(NamedTuple):
    """An appeal; the columns of `appeal`. See there."""

    id: int
    report: int
    community: int
    labeler: str
    did: str
    uri: str
    decision: int
    label_event: int
    at: int
    last_at: int
    state: str
    closed_at: int | None
    note: str

    @property
    def against(self) -> Against:
        """What it is against."""
        return Against(self.community, self.decision, self.label_event)


_SELECT = f"SELECT {', '.join(AppealRow._fields)} FROM appeal"


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


def removed_version(connection: Connection, community: int, did: str, rkey: str) -> bytes | None:
    """The version of a post that a community has removed."""
    row = connection.execute(
        "SELECT d.cid FROM decided d JOIN actor a ON a.id = d.actor WHERE d.community = ? AND a.did = ? AND d.rkey = ?",
        (community, did, rkey),
    ).fetchone()
    return row[0] if row else None


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


_DECIDERS = (
    "SELECT d.actor, e.actor FROM appeal p LEFT JOIN decision d ON d.community = p.community AND d.seq = p.decision"
    " LEFT JOIN label_event e ON e.id = p.label_event WHERE p.id = ?"
)
_TOOK_DOWN = (
    "SELECT DISTINCT e.actor FROM subject s JOIN mod_event e ON e.subject = s.id WHERE s.did = ?1 AND s.path = ?2"
    " AND s.convo = '' AND e.scope <= 0 AND e.type = 'modEventTakedown' AND e.at <= ?3 AND NOT EXISTS (SELECT 1 FROM"
    " mod_event r WHERE r.subject = e.subject AND r.scope = e.scope AND r.type = 'modEventReverseTakedown'"
    " AND r.id > e.id AND r.at <= ?4)"
)


def deciders(connection: Connection, appeal: AppealRow) -> set[str]:
    """Who has decided what an appeal is against, whether or not it is in force still; of labels, the last."""
    found = set(connection.execute(_DECIDERS, (appeal.id,)).fetchone())
    if appeal.community == SITE:
        path = appeal.uri.removeprefix(f"at://{appeal.did}/")
        rows = connection.execute(_TOOK_DOWN, (appeal.did, path, appeal.last_at, appeal.at))
        found |= {actor for (actor,) in rows}
    return found - {None}


def waiting(connection: Connection, did: str, uri: str, community: int, labeler: str | None) -> list[AppealRow]:
    """The open appeals about a subject in one community (0: the site), by number; `labeler`: only those sent to it."""
    query = (
        f"{_SELECT} WHERE did = ?1 AND uri = ?2 AND community = ?3 AND (?4 IS NULL OR labeler = ?4)"
        " AND state = 'open' ORDER BY id"
    )
    return [AppealRow._make(row) for row in connection.execute(query, (did, uri, community, labeler)).fetchall()]


def newest_about(connection: Connection, did: str, uri: str, community: int) -> list[AppealRow]:
    """The newest appeals about a subject in one community (0: the site), in whatever state, the newest first."""
    query = f"{_SELECT} WHERE did = ? AND uri = ? AND community = ? ORDER BY id DESC LIMIT {MOST_LOOKED_AT}"
    return [AppealRow._make(row) for row in connection.execute(query, (did, uri, community)).fetchall()]


def find(connection: Connection, number: int) -> AppealRow | None:
    """An appeal by its number."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
    return AppealRow._make(row) if row else None


def oldest_waiting(connection: Connection, limit: int) -> list[AppealRow]:
    """Appeals about which nobody has decided, the oldest first."""
    query = f"{_SELECT} WHERE state = 'open' ORDER BY at, id LIMIT ?"
    return [AppealRow._make(row) for row in connection.execute(query, (limit,)).fetchall()]


def count_waiting(connection: Connection, before: int) -> tuple[int, int]:
    """How many appeals wait, and how many of them were made before a moment."""
    query = "SELECT count(*), coalesce(sum(at < ?), 0) FROM appeal WHERE state = 'open'"
    waits, overdue = connection.execute(query, (before,)).fetchone()
    return waits, overdue


def waiting_since(connection: Connection, after: int, before: int) -> list[AppealRow]:
    """Appeals that wait and were made at `after` or later, and before `before`."""
    query = f"{_SELECT} WHERE state = 'open' AND at >= ? AND at < ? ORDER BY at, id"
    return [AppealRow._make(row) for row in connection.execute(query, (after, before)).fetchall()]


def stands(connection: Connection, did: str, uri: str, against: Against, now: int) -> bool:
    """Whether anything of what an appeal is against is in force. `now`: milliseconds."""
    if against.community == SITE and is_down(connection, did, uri):
        return True
    if against.decision and uri:
        rkey = uri.rpartition("/")[2]
        if any(one.community == against.community for one in removals(connection, did, rkey)):
            return True
    if against.decision and any(one.community == against.community for one in bans(connection, did, now * 1000)):
        return True
    return against.label_event != 0 and _label_holds(connection, against.label_event, now)


def last_takedown(connection: Connection, did: str, uri: str) -> int | None:
    """When the site has last taken an account (`uri` is empty) or a record down; None: never, or before there were
    events.
    """
    query = (
        "SELECT max(e.at) FROM subject s JOIN mod_event e ON e.subject = s.id WHERE s.did = ? AND s.path = ?"
        " AND s.convo = '' AND e.scope <= 0 AND e.type = 'modEventTakedown'"
    )
    row = connection.execute(query, (did, uri.removeprefix(f"at://{did}/"))).fetchone()
    return row[0] if row else None


def is_down(connection: Connection, did: str, uri: str) -> bool:
    """Whether the site has taken an account (`uri` is empty) or a post down."""
    if uri:
        collection, _, rkey = uri.removeprefix(f"at://{did}/").partition("/")
        down = removals(connection, did, rkey) if collection == _POST else []
        return any(one.community == SITE for one in down)
    return connection.execute("SELECT 1 FROM actor WHERE did = ? AND NOT allowed", (did,)).fetchone() is not None


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


def settle(connection: Connection, number: int, state: str, now: int, note: str = "") -> None:
    """Somebody has decided about an appeal. Call inside a write. `now`: microseconds; `note`: for its author."""
    query = "UPDATE appeal SET state = ?, closed_at = ?, note = ? WHERE id = ?"
    connection.execute(query, (state, now, note, number))
