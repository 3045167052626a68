"""`communities ingest`: the ingest process alone."""

import argparse
import logging

from service import logs
from service.config import Config
from service.process import run_until_stopped
from service.run import ensure_rules

HELP = "Read the network's event stream into the database, until stopped. It continues where it was stopped."

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--supervised` is for `communities run`."""
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(config: Config, args: argparse.Namespace) -> int:
    """Run until told to stop."""
    from service.wiring import run_ingest

    logs.configure(config.log_level, "ingest", as_json=args.json)
    ensure_rules(config)
    log.info("reading %s into %s", ", ".join(config.source_urls), config.database)
    run_until_stopped(lambda stop: run_ingest(config, stop), supervised=args.supervised)
    return 0
