"""`communities status`: how ingest stands, from the database."""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from communities.appeals import DAY
from models.database import open_database, sql
from service.config import Config
from service.forwarding import forwards_line, forwards_status
from service.label_subscribers import Told, lines, read_subscribers
from service.labels_watch import labels_fault
from service.overdue import appeals_status
from service.rule_status import rules_status
from service.status import read_status, sizes
from service.tool_status import lines as tool_lines
from service.tool_status import tools_status

HELP = (
    "Show how ingest stands: state, position, lag, what waits, accounts by state, gaps, what was applied and what was"
    " dropped, what label rules and moderators' programs did today, appeals, what is forwarded, who reads labels. Exit"
    " code 1 unless it reads."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Print it."""
    database = open_database(config.database, readonly=True)
    try:
        status, rows = read_status(sql(database), config.source_urls), sizes(sql(database))
        status["labelRules"] = rules_status(sql(database), int(time.time() * 1_000_000))
        status["tools"] = tools_status(sql(database), int(time.time() * 1_000_000))
        status["labelsFault"] = labels_fault(sql(database))
        now = int(time.time() * 1_000_000)
        status["appeals"] = appeals_status(sql(database), now, config.appeal_days * DAY)
        status["forwards"] = forwards_status(sql(database), now)
        told = read_subscribers(sql(database), time.time())
        status["labelSubscribers"] = list(told.subscribers) if told and told.current else None
    finally:
        database.close()
    if args.json:
        print(json.dumps({**status, "rows": rows}, indent=2))
    else:
        print("\n".join(_for_people(status, rows, told)))
    return 0 if status["state"] == "reading" else 1


def _for_people(status: Mapping[str, Any], rows: Mapping[str, int], told: Told | None) -> Iterator[str]:
    report = status["report"]
    cursor = "none yet" if status["cursor"] is None else status["cursor"]
    yield f"ingest   {status['state']}\nsource   {status['source']}\ncursor   {cursor}"
    events = "" if status["lagEvents"] is None else f", {status['lagEvents']:,} events to store"
    yield f"lag      {_seconds(status['lagSeconds'])} (last event {status['lastEventAt'] or 'none yet'}){events}"
    yield f"idle     {_seconds(status['idleSeconds'])} since anything was received"
    if "waiting" in report:
        yield f"waiting  {report['waiting']:,} events, {report.get('waitingBytes', 0):,} bytes"
    if len(status["sources"]) > 1:
        for one in status["sources"]:
            yield f"from     {one['url']} ({one['kind']}): {one['state']}, lag {_seconds(one['lagSeconds'])}"
    if status["rulesFault"]:
        yield f"rules    the file has faults, the last good rules are in force:\n{status['rulesFault']}"
    if status["labelsFault"]:
        yield f"labels   labels.toml has changed, and what it said before is in force:\n{status['labelsFault']}"
    for state, count in report.get("accounts", {}).items():
        yield f"accounts {count:>12,}  {state}"
    for title in ("gaps", "applied", "dropped", "closes"):
        for kind, count in sorted(report.get(title, {}).items()):
            yield f"{title:<8} {count:>12,}  {kind}"
    for part, counts in sorted(report.get("beside", {}).items()):
        for kind, count in sorted(counts.items()):
            yield f"{part:<8} {count:>12,}  {kind}"
    for rule in status["labelRules"]:
        stopped = f"; stopped until midnight UTC, {rule['over']:,} over its quota" if rule["stopped"] else ""
        yield f"labels   {rule['labelled']:>12,}  today by {rule['rule']}, of {rule['matched']:,} that it fits{stopped}"
    if status["appeals"]["waiting"]:
        yield f"appeals  {status['appeals']['waiting']:>12,}  wait, {status['appeals']['overdue']:,} for too long"
    if any(status["forwards"].values()):
        yield forwards_line(status["forwards"])
    yield from tool_lines(status["tools"])
    for number, line in enumerate(lines(told) if told else ()):
        yield f"reader   {line}" if number else f"readers  of labels: {line}"
    for name, count in rows.items():
        yield f"rows     {count:>12,}  {name.replace('_', ' ')}"


def _seconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:,.0f} s"
