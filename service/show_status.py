"""`communities status`: how ingest stands, from the database."""

import argparse
import json

from models.database import open_database, sql
from service.config import Config
from service.status import read_status, sizes

HELP = (
    "Show how ingest stands: state, position, lag, what was applied and what was dropped. Exit code 1 unless it reads."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Print it."""
    database = open_database(config.database, readonly=True)
    try:
        status, rows = read_status(sql(database), config.source), sizes(sql(database))
    finally:
        database.close()
    if args.json:
        print(json.dumps({**status, "rows": rows}, indent=2))
    else:
        lag = "unknown" if status["lagSeconds"] is None else f"{status['lagSeconds']:.0f} s"
        print(f"ingest   {status['state']}\nsource   {status['source']}\ncursor   {status['cursor']}")
        print(f"lag      {lag} (last event {status['lastEventAt'] or 'none yet'})")
        if status["rulesFault"]:
            print(f"rules    the file has faults, the last good rules are in force:\n{status['rulesFault']}")
        for title in ("applied", "dropped", "closes"):
            for kind, count in sorted(status["report"].get(title, {}).items()):
                print(f"{title:<8} {count:>12,}  {kind}")
        for name, count in rows.items():
            print(f"rows     {count:>12,}  {name.replace('_', ' ')}")
    return 0 if status["state"] == "reading" else 1
