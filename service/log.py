"""`communities log`: what was decided for a community, whether that log is whole, and the log for the public."""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from communities import logbook
from communities.community import Community
from communities.decision_view import moment, read_view, view
from communities.log import BrokenLogError, Event, Head, genesis, redact, verify
from models import communities as community_rows
from models.communities import CommunityRow
from models.database import Connection, open_database, sql
from service.cli import CommandError, UsageError
from service.config import Config
from service.terminal import plain

HELP = (
    "Show the decisions for a community, check that its log was never changed, or write the public log, from which"
    " everybody can check it too (docs/LOG.md)."
)
_SHOW = "List the decisions for a community with all that is kept of them, the newest first. Not for the public."
_VERIFY = (
    "Check that every decision in the logs of the communities named (or of all) is as it was written and that none is"
    " missing between two; `--file` checks a public log. Exit code 1 if one is broken: it says where. The head of a log"
    " stands for the whole of it: compare it with what others have."
)
_EXPORT = (
    "Write the public log of a community to standard output, one decision a line (JSON), the oldest first, with what"
    " the community chooses to show. Exit code 1, after the good ones, where the log is broken."
)
_LIMIT = 20
_MOST_LINE = 1 << 20
_LAST = 0x7FFF_FFFF_FFFF_FFFF


def arguments(parser: argparse.ArgumentParser) -> None:
    """One of `show`, `verify` and `export`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="what was decided for a community", description=_SHOW)
    show.add_argument("community", metavar="COMMUNITY", help="its slug")
    show.add_argument("--limit", type=_whole, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    show.add_argument("--before", type=_whole, metavar="SEQ", help="only those below this number")
    show.add_argument("--subject", metavar="SUBJECT", help="only those about this post (at-uri) or account (DID)")
    check = actions.add_parser("verify", help="whether logs are as they were written", description=_VERIFY)
    what = check.add_mutually_exclusive_group()
    what.add_argument("communities", metavar="COMMUNITY", nargs="*", default=[], help="whose log (default: all)")
    what.add_argument("--file", type=Path, metavar="FILE", help="a public log, as `export` writes it")
    check.add_argument(
        "--head", type=_head, metavar="SEQ:HASH", help="a head seen earlier, which the one log checked must still hold"
    )
    export = actions.add_parser("export", help="the public log of a community", description=_EXPORT)
    export.add_argument("community", metavar="COMMUNITY", help="its slug")
    for action in (show, check, export):
        # Common flags may stand behind the action too; what stands before it is not to be undone by a default.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as before the action")
        action.add_argument("--env-file", type=Path, default=argparse.SUPPRESS, help="as before the action")


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 0 < int(text) <= _LAST:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _head(text: str) -> Head:
    parts = re.fullmatch(r"([0-9]{1,19}):([0-9a-f]{64})", text)
    if not parts:
        raise argparse.ArgumentTypeError("must be a number, a colon and 64 digits of hexadecimal, as `verify` says it")
    return Head(int(parts[1]), bytes.fromhex(parts[2]))


def run(config: Config, args: argparse.Namespace) -> int:
    """Do what was asked for."""
    if args.action == "verify" and args.file is not None:
        slug, events = _read_file(args.file)
        return _report([_checked(slug, events, args.head)], args.json)
    if args.action == "verify" and args.head is not None and len(args.communities) != 1:
        raise UsageError("--head belongs to one log: name its community")
    database = open_database(config.database, readonly=True)
    try:
        connection = sql(database)
        if args.action == "verify":
            named = [_find(connection, slug) for slug in dict.fromkeys(args.communities)]
            chosen = named or community_rows.known(connection)
            found = [_checked(one.slug, logbook.read(connection, one.id), args.head) for one in chosen]
            return _report(found, args.json)
        community = _find(connection, args.community)
        if args.action == "export":
            return _export(connection, community)
        shown = logbook.page(connection, community.id, args.limit, args.before, args.subject)
    finally:
        database.close()
    if args.json:
        print(json.dumps([view(community.slug, event) for event in shown], indent=2))
    else:
        print("\n".join(map(_line, shown)) or "no decision is in the log")
    return 0


def _find(connection: Connection, slug: str) -> CommunityRow:
    for row in community_rows.known(connection):
        if row.slug == slug:
            return row
    raise CommandError(f"no community {slug!r} is known")


def _export(connection: Connection, community: CommunityRow) -> int:
    show = Community.from_json(community.rule).log

    def printed() -> Iterator[Event]:
        for event in logbook.read(connection, community.id):
            yield event
            # `verify` asks for the next one when this one is good.
            print(json.dumps(view(community.slug, redact(event, show))))

    try:
        verify(printed(), genesis(community.slug))
    except BrokenLogError as broken:
        raise CommandError(f"the log of {community.slug} is broken at {broken.seq}: {broken}") from broken
    return 0


def _checked(slug: str, events: Iterable[Event], known: Head | None) -> dict[str, Any]:
    """What can be said of a log, for machines."""
    try:
        head = verify(events, genesis(slug), known)
    except BrokenLogError as broken:
        return {"community": slug, "good": False, "fault": {"seq": broken.seq, "why": str(broken)}}
    return {"community": slug, "good": True, "decisions": head.seq, "head": f"{head.seq}:{head.hash.hex()}"}


def _report(found: list[dict[str, Any]], as_json: bool) -> int:
    good = all(one["good"] for one in found)
    if as_json:
        print(json.dumps(found, indent=2))
        return 0 if good else 1
    for one in found:
        if one["good"]:
            print(f"{plain(one['community'])}: good, {one['decisions']:,} decisions, head {one['head']}")
        else:
            print(f"{plain(one['community'])}: BROKEN at {one['fault']['seq']}: {plain(one['fault']['why'])}")
    if not found:
        print("there is no community")
    return 0 if good else 1


def _read_file(path: Path) -> tuple[str, Iterator[Event]]:
    """The slug that the first line of a public log names, and its events. Raises CommandError when there is none."""
    try:
        with path.open("rb") as file:
            first = file.readline(_MOST_LINE)
        if not first:
            raise CommandError(f"{path}: it is empty; there is no decision to check")
        slug, _ = read_view(_json(first))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise CommandError(f"{path}: its first line is no decision of a public log: {error}") from error
    return slug, _events(path, slug)


def _events(path: Path, slug: str) -> Iterator[Event]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), 1):
            try:
                named, event = read_view(_json(line))
            except ValueError as error:
                raise BrokenLogError(number, f"its line cannot be read: {error}") from error
            if named != slug:
                raise BrokenLogError(number, f"it is of another community, {named!r}")
            yield event


def _json(line: bytes) -> Any:
    """The value of a line. A key that stands there twice would say one thing to people and another to us."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError("a key stands there twice")
        return value

    try:
        return json.loads(line.decode(), object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _line(event: Event) -> str:
    until = event.get("until")
    parts = [
        f"{event.seq:>6}  {moment(event.at)[:19]}Z  {event.action:<8}",
        f"by {event.get('role')} {event.get('actor')}",
        f"about {event.get('subject') or 'nothing'}" + (f" ({event.get('cid')})" if event.get("cid") else ""),
        *([f"until {moment(until)[:19]}Z"] if until is not None else []),
        *([f"rule {event.rule}"] if event.rule is not None else []),
        *([f"because {event.get('reason')}"] if event.get("reason") else []),
    ]
    return plain("  ".join(parts))
