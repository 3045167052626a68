"""`communities label list` and `export`."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from communities.decision_view import moment
from labeler.label import fault_of_subject, timestamp, to_json
from labeler.labels_file import read_labels
from labeler.standing import Held, active
from models import labelers as labeler_rows
from models.database import Connection, sql
from service.cli import CommandError
from service.config import Config
from service.label_target import add_labeler, choose, opened, whole
from service.terminal import plain

_LIMIT = 20
_PAGE = 500
_MOST_LOOKED = 20_000
"""Events among which labels that hold are looked for: nearly all may have been taken back."""
_LAST = (1 << 63) - 1
_EVENT = (
    "e.id, e.at, e.actor, e.role, coalesce(c.slug, ''), e.uri, e.cid, e.added, e.removed, e.reason, e.rule, e.batch"
)
_FROM = "FROM label_event e LEFT JOIN community c ON c.id = e.community"
_NAMES = ("event", "at", "actor", "role", "community", "subject", "cid", "added", "removed", "reason", "rule", "batch")


def arguments(parser: argparse.ArgumentParser) -> None:
    """List the labels that hold, what is not published yet included, with who issued them, when and why: of a subject,
    or the newest ones. Not for the public.
    """
    parser.add_argument("subject", metavar="SUBJECT", nargs="?", help="an at-uri with a DID, or a DID")
    add_labeler(parser)
    parser.add_argument("--events", action="store_true", help="list what was done instead, also what holds no longer")
    parser.add_argument("--limit", type=whole, default=_LIMIT, help=f"how many to list (default: {_LIMIT})")
    parser.add_argument("--before", type=whole, metavar="EVENT", default=_LAST, help="only those of earlier events")


def arguments_of_export(parser: argparse.ArgumentParser) -> None:
    """Write all labels that were published and stand, negations included, to standard output: one a line (JSON),
    signed, in the order of `seq`.
    """
    add_labeler(parser)


def show(config: Config, args: argparse.Namespace) -> int:
    """List them."""
    if args.subject is not None and (fault := fault_of_subject(args.subject)):
        raise CommandError(f"{plain(args.subject)[:300]}: {fault}")  # of a handle it would say that no label holds
    with opened(config, readonly=True) as database:
        connection = sql(database)
        labeler, did = _labeler(config, connection, args.labeler)
        found = _events(connection, labeler, args.subject, args.before)
        count = 0
        for looked, event in enumerate(found):
            if looked == _MOST_LOOKED and not args.events:
                print(
                    f"only the newest {looked:,} events were looked at; go on with --before {event['event'] + 1}",
                    file=sys.stderr,
                )
                break
            shown = [_shown(event, did)] if args.events else _holding(connection, labeler, event, did)
            for one in shown:
                print(json.dumps(one) if args.json else _line(one))
                count += 1
            if count >= args.limit:
                break
        if not count and not args.json:
            print("nothing was done" if args.events else "no label holds")
    sys.stdout.flush()
    return 0


def _labeler(config: Config, connection: Connection, did: str | None) -> tuple[int, str]:
    """The number and DID of the labeler, also of one that is no longer declared, when it is named."""
    chosen = did or choose(config, read_labels(config.labels).labelers, None).did
    labeler = labeler_rows.find(connection, chosen)
    if labeler is None:
        if did and did not in {one.did for one in read_labels(config.labels).labelers}:
            raise CommandError(f"there is no labeler {did} here")
        labeler = 0  # it has said nothing yet
    return labeler, chosen


def _events(connection: Connection, labeler: int, uri: str | None, before: int) -> Iterator[dict[str, Any]]:
    """The events of a labeler, the newest first."""
    where = "substr(e.uri, -13) = substr(?, -13) AND e.uri = ? AND" if uri else ""
    statement = f"SELECT {_EVENT} {_FROM} WHERE {where} e.labeler = ? AND e.id < ? ORDER BY e.id DESC LIMIT ?"
    while True:
        bindings = (*((uri, uri) if uri else ()), labeler, before, _PAGE)
        rows = connection.execute(statement, bindings).fetchall()
        for row in rows:
            yield dict(zip(_NAMES, row, strict=True))
        if len(rows) < _PAGE:
            return
        before = rows[-1][0]


def _shown(event: dict[str, Any], did: str) -> dict[str, Any]:
    """An event as JSON."""
    lists = {name: event[name].split() for name in ("added", "removed")}
    return {**event, **lists, "at": moment(event["at"]), "labeler": did}


def _holding(connection: Connection, labeler: int, event: dict[str, Any], did: str) -> list[dict[str, Any]]:
    """The labels that hold because of an event, as JSON."""
    if not event["added"]:
        return []
    now = int(time.time() * 1000)
    held = [one for one in active(connection, labeler, event["subject"], now) if one.event == event["event"]]
    return [_label(event, one, did) for one in held]


def _label(event: dict[str, Any], held: Held, did: str) -> dict[str, Any]:
    kept = {name: event[name] for name in ("event", "actor", "role", "community", "reason", "rule", "batch")}
    return {
        "labeler": did,
        "subject": event["subject"],
        "cid": held.cid,
        "value": held.val,
        "since": timestamp(held.cts),
        "until": None if held.exp is None else timestamp(held.exp),
        "published": not held.waiting,
        **kept,
    }


def _line(one: dict[str, Any]) -> str:
    by = f"by {plain(one['actor'])}" + (f" for {one['community']}" if one["community"] else "")
    more = "".join(f", {name} {plain(one[name])}" for name in ("rule", "batch") if one[name])
    why = f"\n    {plain(one['reason'])}" if one["reason"] else ""
    if "value" in one:
        until = f" until {one['until']}" if one["until"] else ""
        waits = "" if one["published"] else ", waits to be published"
        version = f" ({one['cid']})" if one["cid"] else ""
        head = f"{plain(one['subject'])}{version}  {one['value']}{until}\n    since {one['since']}"
        return f"{head} {by}, event {one['event']}{more}{waits}{why}"
    said = "".join(f" +{val}" for val in one["added"]) + "".join(f" -{val}" for val in one["removed"])
    return f"{one['event']}  {one['at']}  {plain(one['subject'])}{said}\n    {by}{more}{why}"


def export(config: Config, args: argparse.Namespace) -> int:
    """Write the published labels."""
    with opened(config, readonly=True) as database:
        connection = sql(database)
        labeler, _ = _labeler(config, connection, args.labeler)
        seq = 0
        while True:
            # A read for each page: a long one would keep the log of the database from being emptied.
            rows = connection.execute(
                "SELECT seq, signed FROM label WHERE labeler = ? AND seq > ? ORDER BY seq LIMIT ?",
                (labeler, seq, _PAGE),
            ).fetchall()
            for _, signed in rows:
                print(json.dumps(to_json(signed), separators=(",", ":")))
            if len(rows) < _PAGE:
                break
            seq = rows[-1][0]
    sys.stdout.flush()
    return 0
