"""`communities backtest`: what changed rules would have matched over the stored posts. Writes nothing.

Only posts that the rules in force admitted are stored, so a new community is seen as far as its posts are also in
others.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from communities.community import Community
from communities.declaration import read_declaration
from communities.matching import Matcher, compile_rules
from communities.post import read_post
from firehose.housekeeping import DAY
from firehose.records import RecordError, read_record
from firehose.times import now_micros
from models.database import Connection, open_database, sql
from service.config import Config

HELP = (
    "Hold the stored posts against the rules of a file and show what would come and go, by community. Nothing is"
    " written. Only posts that are in some community now are stored, so only those can be looked at."
)
BATCH = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    """The rules to try, and how far to look back."""
    parser.add_argument(
        "rules", nargs="?", type=Path, metavar="FILE", help="the changed rules (default: the file in use)"
    )
    parser.add_argument("--days", type=_count, default=0, help="only posts of the last N days (default: all)")
    parser.add_argument("--samples", type=_count, default=3, help="posts to name for each change (default: 3)")


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


@dataclass(slots=True)
class Outcome:
    """What would change for one community."""

    slug: str
    matched: int = 0
    now: int = 0
    added: int = 0
    removed: int = 0
    added_samples: list[str] = field(default_factory=list)
    removed_samples: list[str] = field(default_factory=list)


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the outcome by community."""
    communities = read_declaration(args.rules or config.rules)
    database = open_database(config.database, readonly=True)
    try:
        looked, outcomes = backtest(sql(database), communities, args.days, args.samples, quiet=args.json)
    finally:
        database.close()
    if args.json:
        print(json.dumps({"posts": looked, "communities": [asdict(outcome) for outcome in outcomes]}, indent=2))
    else:
        print(f"{looked:,} stored posts looked at")
        print(f"{'community':<24} {'now':>9} {'would be':>9} {'added':>9} {'removed':>9}")
        for o in outcomes:
            print(f"{o.slug:<24} {o.now:>9,} {o.matched:>9,} {o.added:>9,} {o.removed:>9,}")
            for sign, samples in (("+", o.added_samples), ("-", o.removed_samples)):
                for sample in samples:
                    print(f"  {sign} {sample}")
    return 0


def backtest(
    connection: Connection, communities: tuple[Community, ...], days: int, samples: int, *, quiet: bool
) -> tuple[int, list[Outcome]]:
    """How many posts were looked at; the outcome for each community of the file, and each that it no longer names."""
    ids = dict(connection.execute("SELECT slug, id FROM community WHERE declared = 1 AND uri IS NULL"))
    # New communities get numbers that no row has.
    numbered = [(ids.get(community.slug, -1 - n), community) for n, community in enumerate(communities)]
    outcomes = {number: Outcome(community.slug) for number, community in numbered}
    for slug, number in ids.items():
        outcomes.setdefault(number, Outcome(slug))
    matcher = compile_rules(numbered, _lists(connection))
    looked = 0
    since = now_micros() - days * DAY if days else 0
    for uri, did, record, items in _posts(connection, since):
        looked += 1
        wanted = _match(matcher, did, record)
        for number, outcome in outcomes.items():
            _note(outcome, uri, number in items, number in wanted, samples)
        if not quiet and looked % BATCH == 0 and sys.stderr.isatty():
            print(f"\r{looked:,} posts", end="", file=sys.stderr, flush=True)
    if not quiet and sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return looked, list(outcomes.values())


def _note(outcome: Outcome, uri: str, held: bool, wanted: bool, samples: int) -> None:
    outcome.now += held
    outcome.matched += wanted
    if wanted and not held:
        outcome.added += 1
        if len(outcome.added_samples) < samples:
            outcome.added_samples.append(uri)
    elif held and not wanted:
        outcome.removed += 1
        if len(outcome.removed_samples) < samples:
            outcome.removed_samples.append(uri)


def _match(matcher: Matcher, did: str, record: bytes) -> set[int]:
    try:
        post = read_post(read_record(record))
    except RecordError:
        return set()
    return {match.community for match in matcher.match(did, post)} if post else set()


def _lists(connection: Connection) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for uri, subject in connection.execute("SELECT list, subject FROM list_item"):
        lists.setdefault(uri, []).append(subject)
    return lists


def _posts(connection: Connection, since: int) -> Iterator[tuple[str, str, bytes, set[int]]]:
    """Every stored post of after `since` (microseconds), newest first, in short reads that hold up nobody's
    checkpoint.
    """
    before = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM post").fetchone()[0]
    while True:
        rows: list[Any] = connection.execute(
            "SELECT p.id, a.did, p.rkey, p.record,"
            " (SELECT group_concat(f.community) FROM feed_item f WHERE f.post = p.id)"
            " FROM post p JOIN actor a ON a.id = p.actor WHERE p.id < ? AND p.event_at >= ? ORDER BY p.id DESC LIMIT ?",
            (before, since, BATCH),
        ).fetchall()
        if not rows:
            return
        for _, did, rkey, record, items in rows:
            numbers = set(map(int, items.split(","))) if items else set()
            yield f"at://{did}/app.bsky.feed.post/{rkey}", did, record, numbers
        before = rows[-1][0]
