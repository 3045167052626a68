"""Reports on the site of tests/ozone_site.py: made by readers through HTTP, worked on by moderators through HTTP."""

from typing import Any

from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from communities.report_state import Act
from models.database import writing
from models.mod_events import SubjectKey
from ozone.report_views import DEFS
from tests.civic_reports import SPAM, report, taken
from tests.didnet import Account
from tests.feed_site import Reply
from tests.ozone_site import Desk

QUERY, GET, LATEST, CLOSE = (
    f"report.{name}" for name in ("queryReports", "getReport", "getLatestReport", "closeReports")
)
DO, LIST, ACTIVITIES = (f"report.{name}" for name in ("createActivity", "listActivities", "queryActivities"))
ASSIGN, UNASSIGN, ASSIGNMENTS = (
    f"report.{name}" for name in ("assignModerator", "unassignModerator", "getAssignments")
)
LIVE, HISTORY = "report.getLiveStats", "report.getHistoricalStats"


def made(place: Desk, what: str, reason_type: str = SPAM, *, by: Account | None = None, **more: Any) -> int:
    """A report of an account or a post; its number, which is that of its first scope too."""
    return taken(report(place.place, by or place.place.person(), what, reason_type, **more))


def case(place: Desk, number: int, slug: str = "") -> int:
    """The number of a report in a community; or (empty) outside of all."""
    scope = "c.scope <= 0" if not slug else f"c.scope = {place.place.id(slug)}"
    rows = place.place.writer.sql(f"SELECT c.id FROM report_case c WHERE c.report = ? AND {scope}", number)
    return int(rows[0][0])


def do(place: Desk, who: Account, number: int, act: Act, **more: Any) -> Reply:
    """Do something with a report."""
    return place.act(DO, who, {"reportId": number, "activity": {"$type": DEFS + act}, **more})


def state(place: Desk, number: int) -> str:
    """How a report stands in the database."""
    return str(place.place.writer.sql("SELECT state FROM report_case WHERE id = ?", number)[0][0])


def ids(reply: Reply) -> list[int]:
    """The numbers of the reports, activities or assignments of a page."""
    assert reply.status == 200, reply.body
    (page,) = (value for value in reply.json.values() if isinstance(value, list))
    return [one["id"] for one in page]


def good(reply: Reply) -> Any:
    """What a call gives that goes well."""
    assert reply.status == 200, reply.body
    return reply.json


def mute(place: Desk, scope: int, who: Account, hours: int = 24) -> None:
    """What somebody reports moves nothing there."""
    event = ModEvent(Kind.MUTE_REPORTER, place.place.clock.micros(), who.did, said={"durationInHours": hours})
    with writing(place.place.writer.database) as connection:
        append(connection, scope, SubjectKey(who.did), event)
