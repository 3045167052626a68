"""`communities label rules`: what the automatic rules and inputs do, and what they would do."""

import argparse
import json
import sys
import time
from typing import Any

from communities.decision_view import moment
from labeler.automation import Known, case_of
from labeler.labels_file import LabelsFile, read_labels
from labeler.rule_match import RuleMatcher
from labeler.rules import Input, Rule
from models import foreign_labels, label_rules
from models.database import Connection, sql
from service.config import Config
from service.label_target import opened, whole
from service.terminal import plain

_PIECE = 500
_SHOWN = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Show the rules and inputs of labels.toml with what each did today (UTC), or would have done in a dry run, and the
    last posts that it fits; and how far other labelers were read. `--backtest` holds stored posts against the rules and
    shows what they would do, quotas apart; nothing is written.
    """
    parser.add_argument("--backtest", type=whole, metavar="N", help="hold the newest N stored posts against the rules")
    parser.add_argument("--samples", type=whole, default=_SHOWN, help=f"posts to name for each (default: {_SHOWN})")


def run(config: Config, args: argparse.Namespace) -> int:
    """Show them."""
    declared = read_labels(config.labels)
    with opened(config, readonly=True) as database:
        connection = sql(database)
        now = int(time.time() * 1_000_000)
        if args.backtest:
            shown = _backtest(connection, declared, args.backtest, args.samples, now, quiet=args.json)
        else:
            shown = _stand(connection, declared, args.samples, now)
    for one in shown:
        print(json.dumps(one) if args.json else _text(one))
    if not shown and not args.json:
        print(f"{config.labels} declares no rules and no inputs")
    sys.stdout.flush()
    return 0


def _stand(connection: Connection, declared: LabelsFile, most: int, now: int) -> list[dict[str, Any]]:
    states = {one[0]: one for one in foreign_labels.states(connection)}
    shown = []
    named: list[Rule | Input] = [*declared.rules, *declared.inputs]
    for one in named:
        name = one.name if isinstance(one, Rule) else one.rule
        today = label_rules.today(connection, name, now)
        entry: dict[str, Any] = {
            "rule": name,
            "value": one.value if isinstance(one, Rule) else "",
            "dryRun": isinstance(one, Rule) and one.dry_run,
            "quota": one.quota,
            **today._asdict(),
            "full": today.over > 0,
            "samples": [
                {"at": moment(at), "subject": uri, "why": why}
                for at, uri, why in label_rules.samples(connection, name)[:most]
            ],
            "unreadLists": [uri for uri in getattr(one, "lists", ()) if not _is_read(connection, uri)],
        }
        if isinstance(one, Input):
            _, cursor, at, state, counts = states.get(one.did, (one.did, None, 0, "never read", {}))
            entry["input"] = {"did": one.did, "cursor": cursor, "state": state, "at": moment(at), "counts": counts}
        shown.append(entry)
    return shown


def _is_read(connection: Connection, uri: str) -> bool:
    """Whether anything is known of a list; a DID needs no reading."""
    query = "SELECT 1 FROM list WHERE uri = ? AND read_at > 0"
    return not uri.startswith("at://") or connection.execute(query, (uri,)).fetchone() is not None


def _backtest(
    connection: Connection, declared: LabelsFile, posts: int, most: int, now: int, *, quiet: bool
) -> list[dict[str, Any]]:
    matcher, known = RuleMatcher(declared.rules), Known(connection, now // 1000)
    shown = {
        one.name: {"rule": one.name, "value": one.value, "posts": 0, "fits": 0, "samples": []} for one in declared.rules
    }
    before, looked, waits = 1 << 62, 0, 0
    while looked < posts:
        # Short reads that hold up nobody's checkpoint.
        rows = label_rules.stored(connection, before, min(_PIECE, posts - looked))
        for row in rows:
            case = case_of(connection, row)
            fits, waiting = matcher.match(case, known) if case else ([], False)
            waits += waiting
            for fit in fits:
                entry: dict[str, Any] = shown[fit.rule.name]
                entry["fits"] += 1
                if case and len(entry["samples"]) < most:
                    subject = case.did if fit.rule.on == "account" else case.uri
                    entry["samples"].append({"at": moment(row.event_at), "subject": subject, "why": fit.why})
        if not rows:
            break
        looked, before = looked + len(rows), rows[-1].id
        if not quiet and sys.stderr.isatty():
            print(f"\r{looked:,} posts", end="", file=sys.stderr, flush=True)
    return [{**one, "posts": looked, "agesUnknown": waits} for one in shown.values()]


def _text(one: dict[str, Any]) -> str:
    if "fits" in one:
        ages = (
            f"; of {one['agesUnknown']:,} posts the age of the author's account is not known"
            if one["agesUnknown"]
            else ""
        )
        lines = [f"{one['rule']} ({one['value']}): would fit {one['fits']:,} of {one['posts']:,} posts{ages}"]
    else:
        did = f"fits {one['matched']:,}" if one["dryRun"] else f"{one['labelled']:,} of {one['quota']:,}"
        value = f" ({one['value']})" if one["value"] else ""
        lines = [f"{one['rule']}{value}: {did} today{', dry run' if one['dryRun'] else ''}"]
        if one["full"]:
            lines.append(
                f"    stopped until midnight UTC: its quota is used up, {one['over']:,} more would have followed"
            )
        lines += [f"    no such list was read (name it in communities.toml): {uri}" for uri in one["unreadLists"]]
        if "input" in one:
            read = one["input"]
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(read["counts"].items()) if count)
            lines.append(f"    {plain(read['state'])}, cursor {read['cursor']}" + (f" ({counts})" if counts else ""))
    lines += [f"    {sample['at']}  {plain(sample['subject'])}  {plain(sample['why'])}" for sample in one["samples"]]
    return "\n".join(lines)
