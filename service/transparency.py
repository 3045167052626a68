"""`communities transparency`: how communities are moderated, in the numbers that everybody may see."""

import argparse
import json
import time
from typing import Any

from civic.transparency import view
from communities.transparency import DAYS, FEWEST, numbers
from models.database import Connection, open_database, sql
from service.cli import CommandError
from service.config import Config
from service.terminal import plain

HELP = (
    "Show how a community, or each in which anything was decided, is moderated: decisions by action and rule, how long"
    " reports waited, appeals and how many were granted. These are the numbers that social.communities.getModeration"
    f" gives to everybody: of reports and appeals nothing that is about fewer than {FEWEST} subjects or authors."
)
_SOME = (
    "SELECT id, slug FROM community c WHERE declared = 1 AND EXISTS (SELECT 1 FROM decision d WHERE d.community = c.id)"
    " ORDER BY slug"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and for how long."""
    parser.add_argument("slug", metavar="COMMUNITY", nargs="?", help="its slug (default: each with a decision)")
    parser.add_argument(
        "--days", type=int, choices=DAYS, default=30, help="how many days, up to last midnight UTC (default: 30)"
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Print them."""
    database = open_database(config.database, readonly=True)
    try:
        connection, now = sql(database), time.time_ns() // 1000
        for number, slug in _which(connection, args.slug):
            found = view(slug, numbers(connection, number, args.days, now))
            print(json.dumps(found) if args.json else _lines(found))
    finally:
        database.close()
    return 0


def _which(connection: Connection, slug: str | None) -> list[tuple[int, str]]:
    if slug is None:
        return [(number, name) for number, name in connection.execute(_SOME).fetchall()]
    row = connection.execute("SELECT id, slug FROM community WHERE declared = 1 AND slug = ?", (slug,)).fetchone()
    if row is None:
        raise CommandError(f"there is no community {slug!r} here")
    return [(row[0], row[1])]


def _lines(found: dict[str, Any]) -> str:
    parts = [f"{found['community']}  {found['since'][:10]} to {found['until'][:10]}"]
    parts += [
        f"    {one['count']:>8,}  {one['action']}" + (f", by {plain(one['rule'])!r}" if "rule" in one else "")
        for one in found["decisions"]
    ]
    if not found["decisions"]:
        parts.append("    nothing was decided")
    reports = found.get("reports")
    parts.append(
        f"    reports  half are decided within {reports['medianHours']} h, nine in ten within {reports['p90Hours']} h"
        if reports
        else "    reports  too few to tell how long they wait"
    )
    appeals = found.get("appeals")
    if appeals:
        share = f", {appeals['overturnedPercent']} % of those decided" if "overturnedPercent" in appeals else ""
        parts.append(
            f"    appeals  {appeals['granted']} granted{share}, {appeals['denied']} denied, {appeals['waiting']} wait"
        )
    else:
        parts.append("    appeals  too few to be told")
    return "\n".join(parts)
