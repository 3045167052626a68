"""Rows of what was decided about an account and its posts and is in force, for the account itself. Plain functions over
a connection. Times are microseconds.
"""

from typing import NamedTuple

from models.database import Connection


class BanRow(NamedTuple):
    """A ban of the account. `decision`: its number in the community's log, 0 if there is none."""

    community: int
    since: int
    until: int | None
    decision: int


class LabelRow(NamedTuple):
    """Labels that hold, by the event that issued them. `values`: by space; `exp`: milliseconds."""

    event: int
    uri: str
    values: str
    exp: int | None
    labeler: int
    src: str
    community: int
    role: str
    cid: str
    at: int
    rule: str


class RemovalRow(NamedTuple):
    """A post that a community (0: the site) has removed. `decision`: its number in the log."""

    rkey: str
    community: int
    cid: bytes
    decision: int
    at: int


class TakedownRow(NamedTuple):
    """The event by which the site has taken something down."""

    scope: int
    at: int
    said: str
    until: int | None


_BANS = (
    "SELECT m.community, m.since, m.until, coalesce((SELECT max(d.seq) FROM decision d WHERE d.community = m.community"
    " AND d.subject = ?2 AND d.action = 'ban'), 0) FROM membership m WHERE m.actor = ?1 AND m.status = 'banned'"
    " AND (m.until IS NULL OR m.until > ?3) AND m.community > ?4 ORDER BY m.community LIMIT ?5"
)
_REMOVALS = (
    "SELECT rkey, community, cid, decision, at FROM decided WHERE actor = ? AND verdict = 'removed'"
    " AND (rkey, community) < (?, ?) ORDER BY rkey DESC, community DESC LIMIT ?"
)
_HELD = (
    "SELECT t.event, t.uri, t.val, t.exp FROM labeler l CROSS JOIN {0} t ON t.labeler = l.id AND {1} WHERE NOT t.neg"
    " AND (t.exp IS NULL OR t.exp > ?4)"
)
_PUBLISHED = (
    " AND NOT EXISTS (SELECT 1 FROM label_outbox o WHERE o.labeler = t.labeler AND o.uri = t.uri AND o.cid = t.cid"
    " AND o.val = t.val)"
)
_SUBJECTS = ("t.uri = ?1", "t.uri > ?2 AND t.uri < ?3")
_ALL_HELD = " UNION ALL ".join(
    _HELD.format(table, subjects) + more
    for table, more in (("label", _PUBLISHED), ("label_outbox", ""))
    for subjects in _SUBJECTS
)
_LABELS = (
    f"SELECT h.event, h.uri, group_concat(DISTINCT h.val), max(h.exp), e.labeler, l.did, e.community, e.role, e.cid,"
    f" e.at, e.rule FROM ({_ALL_HELD}) h JOIN label_event e ON e.id = h.event JOIN labeler l ON l.id = e.labeler"
    " WHERE h.event < ?5 GROUP BY h.event ORDER BY h.event DESC LIMIT ?6"
)
_TAKEDOWN = (
    "SELECT e.scope, e.at, e.said, e.until FROM subject s JOIN mod_event e ON e.subject = s.id WHERE s.did = ?"
    " AND s.path = ? AND s.convo = '' AND e.scope <= 0 AND e.type = 'modEventTakedown' ORDER BY e.id DESC LIMIT 1"
)


def bans(connection: Connection, actor: int, did: str, now: int, after: int, limit: int) -> list[BanRow]:
    """The bans of an account that are in force, by community behind `after`."""
    rows = connection.execute(_BANS, (actor, did, now, after, limit)).fetchall()
    return [BanRow._make(row) for row in rows]


def labels(connection: Connection, did: str, now: int, before: int, limit: int) -> list[LabelRow]:
    """What holds of the labels of an account and its records, what is not published yet included: by event, the newest
    first, those below the number `before`.
    """
    bindings = (did, f"at://{did}/", f"at://{did}0", now // 1000, before, limit)
    rows = connection.execute(_LABELS, bindings).fetchall()
    return [LabelRow(event, uri, values.replace(",", " "), *more) for event, uri, values, *more in rows]


def removals(connection: Connection, actor: int, before: tuple[str, int], limit: int) -> list[RemovalRow]:
    """The posts of an account that are removed, by key and community, the highest first: those below `before`."""
    rows = connection.execute(_REMOVALS, (actor, *before, limit)).fetchall()
    return [RemovalRow._make(row) for row in rows]


def takedown(connection: Connection, did: str, path: str) -> TakedownRow | None:
    """The last event by which the site has taken an account (`path` is empty) or a record down."""
    row = connection.execute(_TAKEDOWN, (did, path)).fetchone()
    return TakedownRow._make(row) if row else None
