"""`communities label`: what the labelers of this service say: adding, removing, listing, bringing in, taking back."""

import argparse
from collections.abc import Callable
from pathlib import Path

from service import label_change, label_import, label_list, label_retract, label_rules
from service.config import Config

HELP = (
    "Label posts and accounts by hand, list what holds and why, bring labels in from a file, write the published ones"
    " out, and take back what an event, a rule, a batch, a community or a person has issued. What is done here counts"
    " at once; the running service (`communities run` or `serve`) signs and publishes it."
)
_ACTIONS: tuple[
    tuple[str, str, Callable[[argparse.ArgumentParser], None], Callable[[Config, argparse.Namespace], int]], ...
] = (
    ("add", "label a post or an account", label_change.arguments_of_add, label_change.add),
    ("remove", "take labels away from a post or an account", label_change.arguments_of_remove, label_change.remove),
    ("list", "what holds, and why", label_list.arguments, label_list.show),
    ("import", "bring in labels from a file", label_import.arguments, label_import.run),
    ("export", "write the published labels, signed", label_list.arguments_of_export, label_list.export),
    ("retract", "take back what something or somebody has issued", label_retract.arguments, label_retract.run),
    ("rules", "what the automatic rules do, or would do", label_rules.arguments, label_rules.run),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """One of the actions, each with its own arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, about, fill, _ in _ACTIONS:
        action = actions.add_parser(name, help=about, description=fill.__doc__)
        fill(action)
        # Common flags may stand behind the action too; what stands before it is not to be undone by a default.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as before the action")
        action.add_argument("--env-file", type=Path, default=argparse.SUPPRESS, help="as before the action")


def run(config: Config, args: argparse.Namespace) -> int:
    """Do the action."""
    return next(act for name, _, _, act in _ACTIONS if name == args.action)(config, args)
