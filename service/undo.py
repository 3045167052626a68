"""`communities undo`."""

import argparse
import json
import sys
import time
from typing import Any

from communities.access import Site
from communities.decision_view import moment
from communities.places import KeptPlaces
from communities.relatives import Relatives
from labeler.hand import Hand
from labeler.labels_file import read_labels
from labeler.undo import PIECE, REASON, Looked, batch_of, selection, undo
from models.database import sql, writing
from models.event_selection import LAST
from service.cli import CommandError, UsageError
from service.config import Config
from service.label_target import find_community, opened, whole
from service.terminal import plain

HELP = (
    "Undo what moderators, rules and programs have done: one event of moderation, a batch, what names a rule, or all"
    " that somebody did, in every community and on the site, or in one community. What was decided since stays. It goes"
    " from the newest to the oldest, in pieces; doing it again, or after an interruption, does what is left."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, and whether only to look."""
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--event", type=whole, metavar="N", help="this event of moderation, by its number")
    by.add_argument("--batch", metavar="NAME", help="what was done in this batch")
    by.add_argument("--rule", metavar="NAME", help="what names this rule or policy; `rule:NAME`: an automatic one's")
    by.add_argument("--actor", metavar="DID", help="what this account has done (`cli`: this command line)")
    parser.add_argument("--community", metavar="SLUG", help="only in this community")
    parser.add_argument("--reason", default="", help="why; authors are told it as of any decision")
    parser.add_argument("--dry-run", action="store_true", help="list what would be undone, and change nothing")


def run(config: Config, args: argparse.Namespace) -> int:
    """Undo it, piece by piece."""
    by = next(name for name in ("event", "batch", "rule", "actor") if getattr(args, name) is not None)
    name = getattr(args, by)
    if name == "":
        raise UsageError("a name must not be empty")
    labelers = read_labels(config.labels).labelers
    with opened(config, readonly=False) as database:
        community = find_community(sql(database), args.community)
        selected = selection(by, name, community or None)
        # The log of a community names accounts: here it is that of the service itself.
        site = {config.did: Site.ADMIN}
        places = KeptPlaces(Relatives(sql(database)), _now)
        below: int | None = LAST
        looked = undone = 0
        while below is not None:
            hand = Hand(
                config.did, places, site, labelers, _now(), args.reason or REASON, batch_of(by, name),
                operator=True,
            )  # fmt: skip
            with writing(database) as connection:
                piece = undo(connection, hand, selected, below, PIECE, dry=args.dry_run)
            for one in piece.events:
                print(json.dumps(_view(one, dry=args.dry_run)) if args.json else _line(one, dry=args.dry_run))
            looked, undone = looked + len(piece.events), undone + sum(bool(one.by) for one in piece.events)
            below = piece.below
            if below is not None and sys.stderr.isatty():
                print(f"{looked:,} events", file=sys.stderr)
    if args.json:
        print(json.dumps({"events": looked, "undone": undone, "dryRun": args.dry_run}))
    else:
        print(f"{undone:,} {'would be' if args.dry_run else 'were'} undone ({looked:,} events looked at)")
    if by == "event" and not looked:
        there = f"there is no event {name}{' of that community' if community else ''}"
        raise CommandError(f"{there}, or it is a report, or a tag that came of one")
    return 0


def _now() -> int:
    return time.time_ns() // 1000


def _view(one: Looked, *, dry: bool) -> dict[str, Any]:
    row = one.row
    told = {"id": one.id, "type": row.type, "at": moment(row.at), "actor": row.actor, "subject": one.key.uri}
    return {**told, "undone": bool(one.by), "by": [] if dry else list(one.by), "why": one.why or None}


def _line(one: Looked, *, dry: bool) -> str:
    done = ("would be undone" if dry else "undone") if one.by else f"left ({one.why})"
    return plain(f"{one.id}  {moment(one.row.at)}  {one.row.type}  {one.key.uri}  by {one.row.actor}: {done}")
