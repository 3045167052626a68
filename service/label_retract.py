"""`communities label retract`."""

import argparse
import json
import sys
import time

from playhouse.apsw_ext import APSWDatabase

from labeler.foreign_acts import take_back_all
from labeler.labels_file import read_labels
from labeler.retract import PIECE, Selection, retract
from labeler.standing import slots_of
from models.database import Connection, sql, writing
from service.cli import UsageError
from service.config import Config
from service.label_target import CLI, add_labeler, choose, find_community, opened, target, whole

INPUT = "input "
"""What stands before the DID of another labeler where it is named as a rule."""
_SELECTS = ("event", "rule", "batch", "actor")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take back what an event, a rule, a batch, a community or a person has issued and still holds because of that.
    What somebody else has issued again since stays. Whatever is said together must all be true of an event. Doing it
    again, or after an interruption, does what is left. `--rule "input DID"` is what an [[input]] of labels.toml did;
    posts that it took out of communities are given back.
    """
    parser.add_argument("--event", type=whole, metavar="EVENT", help="this event, by its number")
    parser.add_argument(
        "--rule", metavar="NAME", help="what this rule has issued, automatic ones and those of communities"
    )
    parser.add_argument("--batch", metavar="NAME", help="what was done in this batch")
    parser.add_argument("--community", metavar="SLUG", help="what was issued for this community")
    parser.add_argument("--actor", metavar="DID", help="what this person has issued (`cli`: this command)")
    parser.add_argument("--reason", default="", help="why; it is kept, and not published")
    parser.add_argument("--dry-run", action="store_true", help="say how many it would be, and change nothing")
    add_labeler(parser)


def run(config: Config, args: argparse.Namespace) -> int:
    """Take them back, piece by piece."""
    said = {name: getattr(args, name) for name in _SELECTS if getattr(args, name) is not None}
    if not said and args.community is None:
        raise UsageError("say what to take back: --event, --rule, --batch, --community or --actor")
    if "" in said.values():
        raise UsageError("a name must not be empty")
    declared = choose(config, read_labels(config.labels).labelers, args.labeler)
    with opened(config, readonly=False) as database:
        which = target(database, declared, None)
        if args.community is not None:
            said["community"] = find_community(sql(database), args.community)
        selection = Selection(**said)
        now = int(time.time() * 1000)
        name = "" if args.event is not None else f"retract-{now}"
        after: int | None = 0
        events = labels = 0
        while after is not None:
            if args.dry_run:
                found = _look(sql(database), which.labeler, selection, after, now)
            else:
                with writing(database) as connection:
                    done = retract(
                        connection, which.labeler, selection, CLI, CLI, int(time.time() * 1000),
                        reason=args.reason, batch=name, after=after,
                    )  # fmt: skip
                found = (done.after, done.events, done.labels)
            after, events, labels = found[0], events + found[1], labels + found[2]
            _tell(events, labels, quiet=args.json)
        posts = 0
        if args.rule is not None and args.rule.startswith(INPUT) and len(said) == 1 and not args.dry_run:
            posts = _give_back(database, args.rule.removeprefix(INPUT))
    if not args.json and sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    if args.json:
        print(json.dumps({"events": events, "labels": labels, "dryRun": args.dry_run, "posts": posts}))
    else:
        if posts:
            print(f"{posts:,} posts were given back to communities, or wait no longer")
        print(f"{labels:,} labels {'would be' if args.dry_run else 'were'} taken back ({events:,} events looked at)")
    return 0


def _give_back(database: APSWDatabase, did: str) -> int:
    """Undo what was done to posts because of another labeler; how many."""
    posts, more = 0, True
    while more:
        with writing(database) as connection:
            looked, undone = take_back_all(connection, did, CLI, int(time.time() * 1000), PIECE)
        posts, more = posts + undone, looked == PIECE
    return posts


def _tell(events: int, labels: int, *, quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        print(f"\r{events:,} events, {labels:,} labels", end="", file=sys.stderr, flush=True)


def _look(
    connection: Connection, labeler: int, selection: Selection, after: int, now: int
) -> tuple[int | None, int, int]:
    """What the next piece would take back: where to go on, events, labels."""
    chosen = {name: getattr(selection, name) for name in (*_SELECTS, "community")}
    conditions = {"id" if name == "event" else name: value for name, value in chosen.items() if value is not None}
    # Else SQLite does not see that the indexes, which leave out what is empty, have them all.
    empty = {"rule": " AND rule != ''", "batch": " AND batch != ''", "community": " AND community != 0"}
    there = "".join(text for name, text in empty.items() if name in conditions)
    rows = connection.execute(
        f"SELECT id, uri, added FROM label_event WHERE {' AND '.join(f'{name} = ?' for name in conditions)}"
        f"{there} AND labeler = ? AND id > ? ORDER BY id LIMIT ?",
        (*conditions.values(), labeler, after, PIECE),
    ).fetchall()
    labels = sum(
        slot.newest.event == event and slot.holds(now)
        for event, uri, added in rows
        if added
        for versions in slots_of(connection, labeler, uri).values()
        for slot in versions.values()
    )
    return rows[-1][0] if len(rows) == PIECE else None, len(rows), labels
