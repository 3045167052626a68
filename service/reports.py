"""`communities reports`: what readers have reported, for whoever runs the site."""

import argparse
import json
import sys
from typing import Any

from communities.decision_view import moment
from communities.reports import reason_name
from models.database import open_database, sql
from service.config import Config
from service.terminal import plain

HELP = (
    "List what readers have reported, the newest first: accounts, and records of them, with the communities in whose"
    " queue a post waits because of it. What is in no community's queue is for you. Not for the public."
)
_LIMIT = 20
_REPORTS = (
    "SELECT id, at, reporter, reason_type, reason, did, uri, cid, tool, times FROM report"
    " WHERE id < ? AND (? OR did = ? OR uri = ?) ORDER BY id DESC LIMIT ?"
)
_WAITS = (
    "SELECT c.slug FROM flag f JOIN community c ON c.id = f.community JOIN post p ON p.id = f.post"
    " JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ? ORDER BY c.slug"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and how many."""
    parser.add_argument("--limit", type=int, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    parser.add_argument("--before", type=int, metavar="ID", help="only those below this number")
    parser.add_argument("--subject", metavar="SUBJECT", help="only those about this account (DID) or record (at-uri)")


def run(config: Config, args: argparse.Namespace) -> int:
    """List them."""
    database = open_database(config.database, readonly=True)
    try:
        connection = sql(database)
        before = (1 << 63) - 1 if args.before is None else args.before
        bindings = (before, args.subject is None, args.subject, args.subject, max(args.limit, 0))
        for number, at, reporter, reason_type, reason, did, uri, cid, tool, times in connection.execute(
            _REPORTS, bindings
        ).fetchall():
            rkey = uri.rpartition("/")[2]
            found: dict[str, Any] = {
                "id": number,
                "at": moment(at),
                "reporter": reporter,
                "reasonType": reason_type,
                "reason": reason,
                "subject": uri or did,
                "cid": cid,
                "tool": tool,
                "times": times,
                "waitsIn": [slug for (slug,) in connection.execute(_WAITS, (did, rkey))] if uri else [],
            }
            print(json.dumps(found) if args.json else _line(found))
        sys.stdout.flush()
    finally:
        database.close()
    return 0


def _line(found: dict[str, Any]) -> str:
    waits = ", ".join(found["waitsIn"])
    parts = [
        f"{found['id']}  {found['at']}  {plain(found['subject'])}",
        f"    {reason_name(found['reasonType'])}, by {plain(found['reporter'])}"
        + (f", {found['times']} times" if found["times"] > 1 else ""),
    ]
    if found["reason"]:
        parts.append(f"    {plain(found['reason'])}")
    parts.append(f"    waits in: {waits}" if waits else "    waits in no community's queue")
    return "\n".join(parts)
