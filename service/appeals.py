"""`communities appeals`: what authors appeal against, and the operator's decision about what the site has decided."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from communities.appeals import DAY, Course
from communities.decision_view import moment
from communities.membership import RefusedError
from labeler.redress import Court, Ruling, look, partial, rule
from models import appeals
from models.appeals import AppealRow
from models.database import Connection, open_database, sql, writing
from models.mod_events import key_of
from models.reports import SITE
from service.cli import CommandError, UsageError
from service.config import Config
from service.label_target import CLI
from service.terminal import plain

HELP = (
    "List the appeals about which nobody has decided, the oldest first, with until when somebody should. `grant ID` and"
    " `deny ID` decide about one against this site: a takedown or labels. What communities have decided is for their"
    " moderators (social.communities.resolveAppeal)."
)
_LIMIT = 50
_GRANT = "Take back what the appeal is against, tell its author, and close it."
_DENY = "Leave it as it is, tell the author, and close the appeal."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing, or one of `grant` and `deny`."""
    parser.add_argument("--limit", type=int, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (("grant", _GRANT), ("deny", _DENY)):
        action = actions.add_parser(name, help=about.partition(",")[0].lower(), description=about)
        action.add_argument("id", metavar="ID", type=int, help="the number of the appeal")
        action.add_argument("--reason", required=True, help="why; its author is told")
        # Common flags may stand behind the action too; what stands before it is not to be undone by a default.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as before the action")
        action.add_argument("--env-file", type=Path, default=argparse.SUPPRESS, help="as before the action")


def run(config: Config, args: argparse.Namespace) -> int:
    """List them, or decide about one."""
    course, now = Course(config.appeal_days * DAY), time.time_ns() // 1000
    if args.action is None:
        database = open_database(config.database, readonly=True)
        try:
            connection = sql(database)
            rows = appeals.oldest_waiting(connection, max(args.limit, 0))
            for one in [_view(connection, course, row, now) for row in rows]:
                print(json.dumps(one) if args.json else _lines(one))
            sys.stdout.flush()
        finally:
            database.close()
        return 0
    if "\0" in args.reason or not args.reason.strip():
        raise UsageError("--reason must say something: the author is told")
    open_database(config.database, readonly=True).close()  # in the wrong folder, a new one would have no such appeal
    database = open_database(config.database)
    try:
        with writing(database) as connection:
            decided = _decide(connection, args.id, args.reason, now, grant=args.action == "grant")
            views = [_view(connection, course, row, now) for row in decided]
    finally:
        database.close()
    for one in views:
        print(json.dumps(one) if args.json else f"appeal {one['id']} about {plain(one['subject'])}: {one['state']}")
    return 0


def _decide(connection: Connection, number: int, reason: str, now: int, *, grant: bool) -> list[AppealRow]:
    """Decide about an appeal, and with it about every one that says the same to the same labeler."""
    row = appeals.find(connection, number)
    if row is None or row.state != "open":
        raise CommandError(f"there is no appeal {number} that waits; `communities appeals` lists those that do")
    if row.community != SITE:
        raise CommandError(
            f"appeal {number} is against a decision of {_whose(connection, row)}: its moderators decide about it, or an"
            " account of COMMUNITIES_ADMINS, by social.communities.resolveAppeal"
        )
    matter = look(connection, SITE, key_of(row.did, row.uri), row.labeler, now)
    if matter is None:  # pragma: no cover - it was there just now, in the same transaction
        raise RuntimeError(f"appeal {number} is gone")
    try:
        rule(connection, Court(), matter, Ruling(grant, reason, CLI, CLI), now)
    except RefusedError as refused:
        raise CommandError(str(refused)) from refused
    return [one for one in (appeals.find(connection, each.id) for each in matter.appeals) if one is not None]


def _view(connection: Connection, course: Course, row: AppealRow, now: int) -> dict[str, Any]:
    due = course.due_at(row.at)
    matter = look(connection, row.community, key_of(row.did, row.uri), row.labeler, now)
    return {
        "id": row.id,
        "report": row.report,
        "at": moment(row.at),
        "dueAt": moment(due),
        "overdue": row.state == "open" and due < now,
        "state": row.state,
        "against": _whose(connection, row),
        "labeler": row.labeler,
        "subject": row.uri or row.did,
        "notFor": sorted(partial(connection, matter)) if matter else [],
        "note": row.note,
    }


def _whose(connection: Connection, row: AppealRow) -> str:
    if row.community == SITE:
        return "site"
    found = connection.execute("SELECT slug FROM community WHERE id = ?", (row.community,)).fetchone()
    return str(found[0]) if found else f"community {row.community}, which is gone"


def _lines(found: dict[str, Any]) -> str:
    late = ", OVERDUE" if found["overdue"] else ""
    parts = [
        f"{found['id']}  {found['at']}  {plain(found['subject'])}",
        f"    against: {found['against']}" + (f", to {found['labeler']}" if found["labeler"] else ""),
        f"    to be decided until {found['dueAt']}{late}; its words: communities reports --show {found['report']}",
    ]
    if found["notFor"]:
        parts.append(f"    not by: {', '.join(map(plain, found['notFor']))}")
    return "\n".join(parts)
