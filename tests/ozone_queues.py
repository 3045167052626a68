"""Queues of a team, made and filled through HTTP."""

from collections.abc import Iterator
from typing import Any

from communities.reasons import LEGACY
from models.database import writing
from ozone.setting_rules import POLICIES
from tests.civic_reports import OTHER, SPAM, report, taken
from tests.didnet import Account, plc
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk

LIST, CREATE, UPDATE, DELETE = (f"queue.{name}" for name in ("listQueues", "createQueue", "updateQueue", "deleteQueue"))
ASSIGN, UNASSIGN, ASSIGNMENTS = (f"queue.{name}" for name in ("assignModerator", "unassignModerator", "getAssignments"))
ROUTE, REASSIGN = "queue.routeReports", "report.reassignQueue"
RUDE, SEXUAL = f"{LEGACY}Rude", f"{LEGACY}Sexual"
POST = "app.bsky.feed.post"
ACCOUNTS = {"name": "Accounts", "subjectTypes": ["account"], "reportTypes": [SPAM, OTHER]}
POSTS = {"name": "Posts", "subjectTypes": ["record"], "collection": POST, "reportTypes": [SPAM]}
MANUAL = {"name": "By hand"}
NONE = -1


def make(place: Desk, who: Account, body: dict[str, Any], *, aud: str = LABELER, **more: Any) -> dict[str, Any]:
    """A queue as it is made."""
    reply = place.act(CREATE, who, body | more, aud=aud)
    assert reply.status == 200, reply.body
    view: dict[str, Any] = reply.json["queue"]
    return view


def listed(place: Desk, who: Account, *, aud: str = LABELER, **params: Any) -> list[dict[str, Any]]:
    """The queues that one page shows."""
    reply = place.ask(LIST, who, aud=aud, **params)
    assert reply.status == 200, reply.body
    found: list[dict[str, Any]] = reply.json["queues"]
    return found


def names(place: Desk, who: Account, **params: Any) -> list[str]:
    """Their names."""
    return [one["name"] for one in listed(place, who, **params)]


def reported(place: Desk, what: str = plc(5), reason: str = SPAM, *, to: str = LABELER, who: Account | None = None,
             **more: Any) -> int:  # fmt: skip
    """A report by somebody new; its number."""
    return taken(report(place.place, who or place.place.person(), what, reason, to=to, **more))


def cases(place: Desk, number: int) -> list[tuple[str, int]]:
    """How a report stands in each scope that it reaches: state and queue."""
    query = "SELECT state, queue FROM report_case WHERE report = ? ORDER BY id"
    return [tuple(row) for row in place.place.writer.sql(query, number)]


def case(place: Desk, number: int) -> tuple[str, int]:
    """How a report stands that reaches one scope."""
    (found,) = cases(place, number)
    return found


def put(place: Desk, who: Account, number: int, queue: int, *, aud: str = LABELER, **more: Any) -> Reply:
    """Somebody puts a report into a queue."""
    return place.act(REASSIGN, who, {"reportId": number, "queueId": queue, **more}, aud=aud)


def set_state(place: Desk, number: int, state: str, closed_at: int | None = None) -> None:
    """Past the door: what whoever works on reports does."""
    place.place.writer.sql("UPDATE report_case SET state = ?, closed_at = ? WHERE id = ?", state, closed_at, number)


def policies(place: Desk, who: Account, *keys: str, aud: str = LABELER) -> None:
    """The policies of the team are these."""
    value = {key: {"name": key.title(), "description": "What it is."} for key in keys}
    role = "tools.ozone.team.defs#roleAdmin"
    body = {"scope": "instance", "key": POLICIES, "value": value, "managerRole": role}
    assert place.act("setting.upsertOption", who, body, aud=aud).status == 200


def fill(place: Desk, number: int, *, queue: int = NONE, state: str = "open", scope: int = 0) -> Iterator[int]:
    """So many reports of accounts for SPAM, past the door; their numbers."""
    now = place.place.clock.micros()
    with writing(place.place.writer.database) as connection:
        connection.execute("INSERT INTO subject (did) VALUES (?) ON CONFLICT DO NOTHING", (plc(5),))
        (subject,) = connection.execute("SELECT id FROM subject WHERE did = ? AND path = ''", (plc(5),)).fetchone()
        for _ in range(number):
            (event,) = connection.execute(
                "INSERT INTO mod_event (at, scope, subject, type, actor, said)"
                " VALUES (?, ?, ?, 'modEventReport', ?, ?) RETURNING id",
                (now, scope, subject, plc(6), f'{{"reportType":"{SPAM}"}}'),
            ).fetchone()
            connection.execute(
                "INSERT INTO report (id, at, last_at, reporter, reason_type, did) VALUES (?, ?, ?, ?, ?, ?)",
                (event, now, now, plc(6), SPAM, plc(5)),
            )
            connection.execute(
                "INSERT INTO report_case (id, report, scope, subject, at, changed_at, state, queue, closed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (event, event, scope, subject, now, now, state, queue, now if state == "closed" else None),
            )
            yield event
