"""The command line: `communities COMMAND`. Each command is a module with HELP, `arguments` and `run`.

Exit codes: 0 good; 1 the command found or met a fault; 2 wrong usage or configuration; 130 interrupted.
"""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from service.config import Config, read_config
from service.env_file import ConfigError
from service.ownership import OwnershipError, check_ownership

COMMANDS = {
    "run": "service.run",
    "ingest": "service.ingest",
    "serve": "service.serve",
    "status": "service.show_status",
    "publish": "service.publish",
    "unpublish": "service.unpublish",
    "doctor": "service.doctor",
    "explain": "service.explain",
    "backtest": "service.backtest",
    "backfill": "service.backfill",
    "takedown": "service.takedown",
    "undo": "service.undo",
    "cursor": "service.cursor",
    "quarantine": "service.quarantine",
    "log": "service.log",
    "reports": "service.reports",
    "appeals": "service.appeals",
    "transparency": "service.transparency",
    "commands": "service.commands",
    "label": "service.label",
    "labeler": "service.labeler",
}
"""Command -> module. A module is imported when its command is used, so that `--help` stays quick."""

ABOUT = {
    "run": "run the service: ingest and web together",
    "ingest": "read the network's event stream into the database",
    "serve": "serve the feeds from the database",
    "status": "show how ingest stands",
    "publish": "write the feed records, so that clients find the feeds",
    "unpublish": "delete feed records",
    "doctor": "check from outside what may be wrong, and say how to mend it",
    "explain": "say why a post is, or is not, in a community, and what became of a record",
    "backtest": "show what changed rules would have matched over the stored posts",
    "backfill": "read the whole repository of an account, or of a community's members",
    "takedown": "hide an account on this site",
    "undo": "undo what moderators, rules and programs have done",
    "cursor": "show or move the position in the event stream",
    "quarantine": "show or delete the messages that were passed over",
    "log": "show, verify or export the log of a community's decisions",
    "reports": "list what readers have reported",
    "appeals": "list appeals, and decide about those against this site",
    "transparency": "show how communities are moderated, in numbers",
    "commands": "list what moderators have commanded by posts",
    "label": "label posts and accounts, list labels, take them back",
    "labeler": "set up the labelers, publish their records, check them, change their keys",
}

LOGGING = ("run", "ingest", "serve")
"""Commands that print nothing but their log."""
RESULT_JSON = "print JSON for machines on standard output"
LOG_JSON = "write the log, on standard error, as JSON lines"


class Command(Protocol):
    """What a command module offers."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, config: Config, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


class CommandError(Exception):
    """The command cannot do what was asked; the message says what happened and what to do."""


class UsageError(CommandError):
    """What was asked says nothing that could be done, whatever the database has."""


def entry() -> None:
    """The console script."""
    raise SystemExit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    name = next((word for word in argv if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(prog="communities", description="Communities on the AT Protocol.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: Command | None = None
    for known, module in COMMANDS.items():
        sub = commands.add_parser(known, help=ABOUT[known])
        sub.add_argument("--json", action="store_true", help=LOG_JSON if known in LOGGING else RESULT_JSON)
        sub.add_argument("--env-file", type=Path, help="file with settings (default: .env, if there is one)")
        if known == name:
            command = cast(Command, importlib.import_module(module))
            sub.description = command.HELP
            command.arguments(sub)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if command is None:
        parser.error(f"no such command: {name}")
    if not all(map(_is_text, argv)):
        return _fail("error", "an argument is not UTF-8; see how this terminal, or what called, writes text", 2)
    try:
        check_ownership()
        config = read_config(os.environ, _env_file(args.env_file))
        return command.run(config, args)
    except (ConfigError, OwnershipError) as error:
        return _fail("configuration", error, 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        expected = _expected()
        if isinstance(error, expected):
            return _fail("error", error, 2 if isinstance(error, (*expected[:3], UsageError)) else 1)
        from models.database import MACHINE_FAULTS, advice

        if isinstance(error, MACHINE_FAULTS):
            return _fail("error", f"{config.database}: the database cannot be used: {error}{advice(error)}", 1)
        raise


def _is_text(word: str) -> bool:
    """Whether nothing stands in it for bytes that were no UTF-8: it could be neither stored nor looked up."""
    return not re.search("[\ud800-\udfff]", word)


def _env_file(named: Path | None) -> Path | None:
    """The file with settings: the one that was named, which must be there, or `.env` if there is one."""
    if named is not None:
        return named
    return Path(".env") if Path(".env").exists() else None


def _expected() -> tuple[type[Exception], ...]:
    """Faults that a person can mend, the first three before a new start; imported late, with the packages."""
    from communities.toml_file import DeclarationError
    from models.database import DatabaseError, DatabaseMixedError
    from models.lock import LockError

    return (DeclarationError, LockError, DatabaseMixedError, DatabaseError, CommandError)


def _fail(what: str, error: Exception | str, code: int) -> int:
    print(f"communities: {what}: {error}", file=sys.stderr)
    return code
