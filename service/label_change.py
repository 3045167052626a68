"""`communities label add` and `remove`."""

import argparse
import json
import time
from typing import Any

from labeler.issue import LabelRefusedError, Wanted
from labeler.labels_file import read_labels
from labeler.saying import say
from models.database import writing
from service.cli import CommandError
from service.config import Config
from service.label_target import CLI, add_labeler, choose, duration, opened, target, waits_for_key
from service.terminal import plain


def arguments_of_add(parser: argparse.ArgumentParser) -> None:
    """Label a post, another record or an account. What holds already is not said again."""
    _common(parser)
    parser.add_argument("--cid", default="", help="label this version alone (default: all)")
    parser.add_argument("--for", dest="lasts", type=duration, metavar="DURATION", help="until when, such as 12h or 7d")


def arguments_of_remove(parser: argparse.ArgumentParser) -> None:
    """Take labels away from a post, another record or an account, in all its versions. What does not hold is passed
    over.
    """
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="SUBJECT", help="an at-uri with a DID, or a DID for an account")
    parser.add_argument("values", metavar="VALUE", nargs="+", help="values, as labels.toml declares them")
    add_labeler(parser)
    parser.add_argument("--community", metavar="SLUG", help="for which community (default: for the site)")
    parser.add_argument("--reason", default="", help="why; it is kept, and not published")
    parser.add_argument(
        "--batch", default="", metavar="NAME", help="name what is done together, to take it back at once"
    )


def add(config: Config, args: argparse.Namespace) -> int:
    """Add the labels."""
    exp = None if args.lasts is None else int(time.time() * 1000) + args.lasts
    return _change(config, args, {"cid": args.cid, "add": tuple(args.values), "exp": exp})


def remove(config: Config, args: argparse.Namespace) -> int:
    """Remove the labels."""
    return _change(config, args, {"remove": tuple(args.values)})


def _change(config: Config, args: argparse.Namespace, change: dict[str, Any]) -> int:
    declared = choose(config, read_labels(config.labels).labelers, args.labeler, args.community)
    with opened(config, readonly=False) as database:
        which = target(database, declared, args.community)
        wanted = Wanted(
            which.labeler, declared.did, args.subject, actor=CLI, role=CLI, community=which.community,
            reason=args.reason, batch=args.batch, **change,
        )  # fmt: skip
        try:
            with writing(database) as connection:
                done = say(connection, declared, wanted, int(time.time() * 1000)).issued
                waits = waits_for_key(connection, which.labeler)
        except LabelRefusedError as error:
            raise CommandError(f"nothing was changed: {error}") from error
    if args.json:
        print(json.dumps({"event": done.event, "added": list(done.added), "removed": list(done.removed)}))
    elif done.event is None:
        print("nothing to change: that is how it stands already")
    else:
        said = "".join(f" +{val}" for val in done.added) + "".join(f" -{val}" for val in done.removed)
        print(f"{plain(args.subject)}:{said} (event {done.event})")
        if waits:
            print("it waits: this labeler has no key yet, see `communities labeler init`")
    return 0
