"""`communities takedown`: hide an account on this site, whatever its host says of it."""

import argparse
import json
import time

from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from communities.shown import take_down
from labeler.takedowns import end
from models.database import Connection, open_database, writing
from models.mod_events import SERVICE, SubjectKey, find_subject
from models.subject_statuses import takendown_in
from service.cli import UsageError
from service.config import Config
from service.label_target import CLI
from xrpc.syntax import is_did

HELP = (
    "Hide all posts of an account from every feed of this site, and leave out what it counts for, whatever its host"
    " says of it; `--undo` shows them again. Its posts are still read, so nothing is missing then."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whom, and whether to undo it."""
    parser.add_argument("did", metavar="DID", help="the account")
    parser.add_argument("--undo", action="store_true", help="show the account again")


def run(config: Config, args: argparse.Namespace) -> int:
    """Do it, and say how many posts it concerns now."""
    if not is_did(args.did):
        raise UsageError(f"{args.did}: no DID; a handle will not do, since it can pass to somebody else")
    open_database(config.database, readonly=True).close()  # in the wrong folder, a new one would say that all is done
    database = open_database(config.database)
    try:
        with writing(database) as connection:
            changed = take_down(connection, args.did, allowed=args.undo)
            _tell(connection, SubjectKey(args.did), changed=changed, undo=args.undo)
            (posts,) = connection.execute(
                "SELECT count(*) FROM post WHERE actor = (SELECT id FROM actor WHERE did = ?)", (args.did,)
            ).fetchone()
    finally:
        database.close()
    if args.json:
        print(json.dumps({"did": args.did, "takenDown": not args.undo, "posts": posts}))
    else:
        print(f"{args.did}: {'shown again' if args.undo else 'taken down'} ({posts:,} posts in feeds)")
    return 0


def _tell(connection: Connection, key: SubjectKey, *, changed: bool, undo: bool) -> None:
    """As events: who runs the site takes an account down, or gives it back for every team that has it down as well."""
    now = time.time_ns() // 1000
    subject = find_subject(connection, key)
    down = [scope for scope in takendown_in(connection, subject) if scope <= 0] if subject is not None else []
    if not undo:
        if SERVICE not in down:
            append(connection, SERVICE, key, ModEvent(Kind.TAKEDOWN, now, CLI, CLI))
        return
    for scope in down or ([SERVICE] if changed else []):
        label_event = end(connection, scope, key, CLI, CLI, now // 1000)
        append(connection, scope, key, ModEvent(Kind.REVERSE_TAKEDOWN, now, CLI, CLI, label_event=label_event))
