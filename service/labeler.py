"""`communities labeler ACTION`: sets up and looks after the labelers of this service. Each action is a module."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Protocol, cast

from service.config import Config
from service.pds import PdsError, SignInError

HELP = (
    "Set up the labelers that labels.toml declares, and look after them: init makes the key and brings it into the"
    " account's DID document, publish writes the record that clients read, doctor checks all from outside, rotate-key"
    " brings a new key, status shows what waits, jump goes on with higher numbers after a loss, canary labels a post"
    " and waits until the AppView shows it. From nothing to a label that is shown: docs/LABELER.md."
)
ACTIONS = {
    "init": ("service.labeler_init", "make the key, and bring it and the endpoint into the DID document"),
    "publish": ("service.labeler_publish", "write the record that tells clients of the labels"),
    "doctor": ("service.labeler_doctor", "check from outside all that a label needs to be shown"),
    "rotate-key": ("service.labeler_rotate", "bring a new signing key into use"),
    "status": ("service.labeler_status", "show keys, what was published and what waits"),
    "jump": ("service.labeler_jump", "go on with higher numbers, after the data folder was lost"),
    "canary": ("service.labeler_canary", "label a post, and wait until the AppView shows it"),
}
"""Action -> module and what it does."""


class Action(Protocol):
    """What the module of an action offers."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the action's own arguments."""

    def run(self, config: Config, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """One of the actions, each with arguments of its own."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (module, about) in ACTIONS.items():
        action = cast(Action, importlib.import_module(module))
        sub = actions.add_parser(name, help=about, description=action.HELP)
        sub.add_argument("--did", help="which labeler, where several are declared", default="")
        # Common flags may stand behind the action too; what stands before it is not to be undone by a default.
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as before the action")
        sub.add_argument("--env-file", type=Path, default=argparse.SUPPRESS, help="as before the action")
        action.arguments(sub)


def run(config: Config, args: argparse.Namespace) -> int:
    """Do the action; what a PDS refuses is code 1, and 2 where the settings are wrong."""
    action = cast(Action, importlib.import_module(ACTIONS[args.action][0]))
    try:
        return action.run(config, args)
    except PdsError as error:
        print(f"communities: {error}", file=sys.stderr)
        return 2 if isinstance(error, SignInError) else 1
