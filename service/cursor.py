"""`communities cursor`: show or move the position in the event stream."""

import argparse
import json
import re

from firehose.index import Index
from firehose.times import now_micros
from models.database import open_database, sql, writing
from service.cli import CommandError
from service.config import Config
from service.status import read_status

HELP = (
    "Show the stored position in the event stream, or move it: `reset` goes on at the live end (what lies between is"
    " not read), `reset --to SEQ` behind an event that the source still has. Either way the repositories of followed"
    " accounts are read anew. An ingest that stands still because the position cannot be right picks the change up; one"
    " that is reading must be stopped first."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`show` or `reset [--to SEQ]`."""
    parser.add_argument("action", choices=("show", "reset"))
    parser.add_argument("--to", type=_seq, metavar="SEQ", help="continue behind this event")


def _seq(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError("must be a sequence number")
    return int(text)


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the position, after moving it if asked to."""
    if args.to is not None and args.action == "show":
        raise CommandError("--to moves the position: write `cursor reset --to SEQ`")
    database = open_database(config.database, readonly=args.action == "show")
    try:
        if args.action == "reset":
            state = read_status(sql(database), config.source)["state"]
            if state.startswith(("reading", "connecting", "reconnecting")):
                raise CommandError(f"ingest is running ({state}) and would store its own position; stop it first")
            with writing(database) as connection:
                connection.execute("DELETE FROM source WHERE url = ? AND kind = 'seq'", (config.source,))
                # Positions of the old stream fence nothing in the new one.
                connection.execute("UPDATE actor SET account_seq = 0")
                # What lies between the two positions is not read, or belongs to another stream.
                Index(connection, 0).desynchronize_all("the position in the stream was moved", now_micros())
                if args.to is not None:
                    connection.execute(
                        "INSERT INTO source (url, kind, cursor, event_at) VALUES (?, 'seq', ?, 0)",
                        (config.source, args.to),
                    )
        rows = sql(database).execute("SELECT url, kind, cursor, event_at FROM source ORDER BY url, kind").fetchall()
    finally:
        database.close()
    if args.json:
        print(
            json.dumps([{"url": url, "kind": kind, "cursor": cursor, "eventAt": at} for url, kind, cursor, at in rows])
        )
    else:
        for url, kind, cursor, _ in rows:
            print(f"{url}  {kind}  {cursor}")
        if not any(url == config.source for url, *_ in rows):
            print(f"{config.source}: no position is stored; ingest starts at the live end")
    return 0
