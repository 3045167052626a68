"""`communities cursor`: show or move the position in the event stream."""

import argparse
import json
import re

from firehose.index import Index
from firehose.jetstream import TIMES_FROM
from firehose.source import CURSORS, Source
from firehose.times import now_micros
from models.database import open_database, sql, writing
from service.cli import CommandError, UsageError
from service.config import Config
from service.status import read_status

HELP = (
    "Show the stored position in the event stream, or move it: `reset` goes on at the live end (what lies between is"
    " not read), `reset --to SEQ` behind an event that the source still has. Either way the repositories of followed"
    " accounts are read anew. An ingest that stands still because the position cannot be right picks the change up; one"
    " that is reading must be stopped first."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`show` or `reset [--to SEQ] [--source URL]`."""
    parser.add_argument("action", choices=("show", "reset"))
    parser.add_argument("--to", type=_seq, metavar="SEQ", help="continue behind this event")
    parser.add_argument("--source", metavar="URL", help="move the position in this source (default: the first)")


def _seq(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise argparse.ArgumentTypeError("must be a sequence number")
    return int(text)


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the position, after moving it if asked to."""
    if args.action == "show" and (args.to is not None or args.source is not None):
        raise UsageError("--to moves the position: write `cursor reset --to SEQ`")
    if args.action == "reset":
        open_database(config.database, readonly=True).close()  # in the wrong folder, a new one would have no position
    database = open_database(config.database, readonly=args.action == "show")
    try:
        if args.action == "reset":
            state = read_status(sql(database), config.source_urls)["state"]
            if state.startswith(("reading", "connecting", "reconnecting", "looking")):
                raise CommandError(f"ingest is running ({state}) and would store its own position; stop it first")
            source = _chosen(config, args.source)
            kind = CURSORS[source.protocol]
            if args.to is not None and (kind == "none" or (kind == "time_us") != (args.to >= TIMES_FROM)):
                wanted = {"none": "has no positions", "seq": "counts by seq", "time_us": "counts by microseconds"}[kind]
                raise CommandError(f"{source.url} {wanted}; --to {args.to} is no position in it")
            with writing(database) as connection:
                connection.execute("DELETE FROM source WHERE url = ?", (source.url,))
                # Positions of the old stream fence nothing in the new one.
                connection.execute("UPDATE actor SET account_seq = 0")
                # What lies between the two positions is not read, or belongs to another stream.
                Index(connection, 0).desynchronize_all("the position in the stream was moved", now_micros())
                if args.to is not None:
                    connection.execute(
                        "INSERT INTO source (url, kind, cursor, event_at) VALUES (?, ?, ?, 0)",
                        (source.url, kind, args.to),
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
        first = config.source_urls[0]
        if not any(url == first for url, *_ in rows):
            print(f"{first}: no position is stored; ingest starts at the live end")
    return 0


def _chosen(config: Config, url: str | None) -> Source:
    """The source of this URL, as it is configured; the first for None."""
    for source in config.source:
        if url is None or source.url == url.rstrip("/"):
            return source
    raise CommandError(f"no such source is configured; there is {', '.join(config.source_urls)}")
