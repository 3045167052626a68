"""Events of moderators through HTTP, on the site of tests/ozone_site.py, and the rows that they leave."""

from dataclasses import replace
from typing import Any, NamedTuple

from communities.casebook import read_event, standing, sums
from communities.mod_event import ModEvent
from communities.review import State, Status, fold
from models import mod_events
from models.database import Connection, sql
from models.mod_events import EventRow, SubjectKey
from models.subject_statuses import Sums
from ozone.views import CONVO, DEFS
from tests.civic_reports import about
from tests.didnet import Account
from tests.feed_site import Reply
from tests.ozone_site import Desk

EMIT = "moderation.emitEvent"
TAKEDOWN, REVERSE, LABEL, TAG = "modEventTakedown", "modEventReverseTakedown", "modEventLabel", "modEventTag"
ACK, ESCALATE, COMMENT, REPORT = "modEventAcknowledge", "modEventEscalate", "modEventComment", "modEventReport"
MUTE, UNMUTE, EMAIL, RESOLVE = "modEventMute", "modEventUnmute", "modEventEmail", "modEventResolveAppeal"
MUTE_REPORTER, UNMUTE_REPORTER = "modEventMuteReporter", "modEventUnmuteReporter"
SCORE, ACCOUNT_EVENT, IDENTITY_EVENT, RECORD_EVENT = (
    "modEventPriorityScore",
    "accountEvent",
    "identityEvent",
    "recordEvent",
)
WHEN = "2026-01-01T00:00:00.000Z"
EVENTS: dict[str, dict[str, Any]] = {
    TAKEDOWN: {},
    REVERSE: {},
    COMMENT: {"comment": "hm"},
    REPORT: {"reportType": "com.atproto.moderation.defs#reasonSpam"},
    LABEL: {"createLabelVals": ["spam"], "negateLabelVals": []},
    ACK: {},
    ESCALATE: {},
    MUTE: {"durationInHours": 2},
    UNMUTE: {},
    MUTE_REPORTER: {},
    UNMUTE_REPORTER: {},
    EMAIL: {"subjectLine": "Hello"},
    RESOLVE: {},
    TAG: {"add": ["seen"], "remove": []},
    SCORE: {"score": 7},
    ACCOUNT_EVENT: {"timestamp": WHEN, "active": False, "status": "deactivated"},
    IDENTITY_EVENT: {"timestamp": WHEN, "handle": "a.example.com"},
    RECORD_EVENT: {"timestamp": WHEN, "op": "update"},
}
"""Every event that can be emitted here, with what it must say."""
DECISIONS = frozenset(("approve", "remove", "restore", "pin", "unpin", "ban", "unban"))
"""Entries of a log that are events of moderation as well."""
ABOUT_ACCOUNTS = frozenset((MUTE_REPORTER, UNMUTE_REPORTER, ACCOUNT_EVENT, IDENTITY_EVENT))


class Event(NamedTuple):
    """An event as its row has it; `scope`: a slug, `site`, or `service`."""

    scope: str
    kind: str
    actor: str
    role: str


def body_of(place: Desk, what: str, kind: str, said: dict[str, Any], cid: str = "") -> dict[str, Any]:
    """The body of a call; `what`: a DID, the at-uri of a post, or DID#CONVO."""
    if "#" in what:
        did, convo = what.split("#")
        subject = {"$type": CONVO, "did": did, "convoId": convo}
    else:
        subject = about(place.place, what, cid)
    return {"event": {"$type": DEFS + kind, **said}, "subject": subject, "createdBy": "did:web:somebody.example.com"}


def emit(place: Desk, who: Account | None, what: str, kind: str, *, aud: str = "", cid: str = "", **said: Any) -> Reply:
    """Emit an event; what begins with `body_` stands beside the event; `named`: the slug of the community that is
    meant.
    """
    beside = {name.removeprefix("body_"): said.pop(name) for name in list(said) if name.startswith("body_")}
    if named := said.pop("named", ""):
        beside["modTool"] = {"name": "tests", "meta": {"community": named}}
    body = body_of(place, what, kind, EVENTS.get(kind, {}) | said, cid) | beside
    return place.act(EMIT, who, body, **({"aud": aud} if aud else {}))


def done(reply: Reply) -> dict[str, Any]:
    """The event that was emitted."""
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json
    return found


def names(place: Desk) -> dict[int, str]:
    """What scopes are called."""
    rows = place.place.writer.sql("SELECT id, slug FROM community")
    return {0: "service", -1: "site", -2: "other"} | dict(rows)


def key_of(what: str) -> SubjectKey:
    """The subject of a DID, an at-uri, or DID#CONVO."""
    if what.startswith("at://"):
        did = what.removeprefix("at://").split("/")[0]
        return mod_events.key_of(did, what)
    did, _, convo = what.partition("#")
    return SubjectKey(did, convo=convo)


def events(place: Desk, what: str = "") -> list[Event]:
    """All events, or those about a subject, the oldest first; without reports of readers."""
    key, called = key_of(what), names(place)
    rows = place.place.writer.sql(
        "SELECT e.scope, e.type, e.actor, e.role, s.did, s.path, s.convo FROM mod_event e JOIN subject s"
        " ON s.id = e.subject ORDER BY e.id"
    )
    return [
        Event(called[scope], kind, actor, role)
        for scope, kind, actor, role, *subject in rows
        if not what or SubjectKey(*subject) == key
    ]


def stands(place: Desk, what: str) -> dict[str, Status]:
    """How a subject stands, by scope."""
    connection = sql(place.place.writer.database)
    found = {name: standing(connection, scope, key_of(what)) for scope, name in names(place).items()}
    return {name: status for name, status in found.items() if status is not None}


def states(place: Desk, what: str) -> dict[str, State]:
    """The states of a subject, by scope."""
    return {name: status.state for name, status in stands(place, what).items()}


def down(place: Desk, what: str) -> set[str]:
    """In which scopes a subject is taken down."""
    return {name for name, status in stands(place, what).items() if status.takendown}


def hidden(place: Desk, uri: str) -> dict[str, int]:
    """The bits of a post's items, by community."""
    rows = place.place.writer.sql(
        "SELECT c.slug, i.hidden FROM feed_item i JOIN community c ON c.id = i.community WHERE i.uri = ?", uri
    )
    return dict(rows)


def labels(place: Desk, what: str) -> dict[tuple[str, str], int | None]:
    """The values that hold of a subject, with their version and end; nothing is published here."""
    rows = place.place.writer.sql("SELECT val, cid, exp FROM label_outbox WHERE uri = ? AND NOT neg", what)
    return {(val, cid): exp for val, cid, exp in rows}


def log(place: Desk, slug: str) -> list[tuple[str, str, str]]:
    """The log of a community: action, actor, role."""
    rows = place.place.writer.sql(
        "SELECT action, actor, role FROM decision WHERE community = ? ORDER BY seq", place.place.id(slug)
    )
    return [tuple(row) for row in rows]


def check_books(connection: Connection) -> int:
    """Hold every status, sum and entry of the logs against the events; returns how many events there are."""
    query = f"SELECT id, {mod_events.COLUMNS} FROM mod_event ORDER BY id"
    told = [(number, EventRow(*row)) for number, *row in connection.execute(query).fetchall()]
    folded: dict[tuple[int, int], Status] = {}
    for _, row in told:
        event: ModEvent = read_event(row)
        folded[row.scope, row.subject] = fold(folded.get((row.scope, row.subject)), event)
    kept = {
        (scope, subject): standing(connection, scope, mod_events.subject(connection, subject))
        for scope, subject in connection.execute("SELECT scope, subject FROM subject_status").fetchall()
    }
    assert kept.keys() == folded.keys()
    for at, status in folded.items():
        found = kept[at]
        assert found is not None
        # What was only said again is no event: it moves these two alone.
        assert (found.reported_at or 0) >= (status.reported_at or 0)
        assert (found.appealed_at or 0) >= (status.appealed_at or 0)
        assert replace(found, reported_at=status.reported_at, appealed_at=status.appealed_at) == status
    totals: dict[tuple[int, str], Sums] = {}
    for (scope, subject), status in folded.items():
        key = mod_events.subject(connection, subject)
        if key.path:
            before = totals.get((scope, key.did), Sums())
            totals[scope, key.did] = Sums._make(a + b for a, b in zip(before, sums(status), strict=True))
    names_of_sums = ", ".join(Sums._fields)
    rows = connection.execute(f"SELECT scope, did, {names_of_sums} FROM account_records").fetchall()
    assert {(scope, did): Sums(*row) for scope, did, *row in rows} == totals
    tags = connection.execute(
        "SELECT t.scope, t.subject, g.tag, g.until FROM subject_tag g JOIN subject_status t ON t.id = g.status"
    ).fetchall()
    assert set(tags) == {(*at, tag, until) for at, status in folded.items() for tag, until in status.tags.items()}
    rows = connection.execute("SELECT community, seq, actor, action FROM decision WHERE subject IS NOT NULL").fetchall()
    entries = {(community, seq, actor): action for community, seq, actor, action in rows}
    named = [(row.scope, row.decision, row.actor) for _, row in told if row.decision is not None]
    # One to one: no event names an entry of another, none is named twice, and each decision about a subject is named.
    assert len(named) == len(set(named)) and set(named) <= entries.keys()
    assert {at for at, action in entries.items() if action in DECISIONS} <= set(named)
    return len(told)
