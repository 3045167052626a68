"""`communities commands`: what moderators have commanded by posts, and what became of it, for whoever runs the site."""

import argparse
import json
import sys
from typing import Any

from civic.commands import command_view
from models import commands
from models.database import open_database, sql
from service.config import Config
from service.terminal import plain

HELP = (
    "List what moderators have commanded by posts that mention their community's account, the newest first, with what"
    " became of each. Not for the public."
)
_LIMIT = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and how many."""
    parser.add_argument("--limit", type=int, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    parser.add_argument("--before", type=int, metavar="ID", help="only those below this number")
    parser.add_argument("--by", metavar="DID", help="only those of this account")


def run(config: Config, args: argparse.Namespace) -> int:
    """List them."""
    database = open_database(config.database, readonly=True)
    try:
        connection = sql(database)
        before = (1 << 63) - 1 if args.before is None else args.before
        for row in commands.page(connection, before, max(args.limit, 0), args.by):
            found = {"id": row.id, "actor": row.actor, **command_view(connection, row)}
            print(json.dumps(found) if args.json else _lines(found))
        sys.stdout.flush()
    finally:
        database.close()
    return 0


def _lines(found: dict[str, Any]) -> str:
    fault = found.get("fault")
    became = f"{fault['name']}: {fault['message']}" if fault else found.get("outcome", found["state"])
    about = f", about {plain(found['subject']['uri'])}" if "subject" in found else ""
    return "\n".join(
        (
            f"{found['id']}  {found['at']}  {plain(found['uri'])}",
            f"    to {found['community']}: {plain(found['text'])}{about}",
            f"    {plain(became)}",
        )
    )
