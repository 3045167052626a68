"""`communities labeler jump`: after the data folder was lost, labels go on above what subscribers have seen."""

import argparse
import json
import re

from labeler.publishing import LOCK
from labeler.seq import jump
from models.lock import only_one
from service.config import Config
from service.labeler_account import opened

HELP = (
    "Let the numbers of labels go on 1,000,000 above one that subscribers have seen. For when the whole data folder was"
    " lost, or put back from a copy that does not know of the last labels: a number that comes twice is passed over by"
    " whoever has seen it. Stop the service first. Where `data/labels.seq` was kept none of this is needed."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The number."""
    parser.add_argument("above", metavar="SEQ", type=_seq, help="the highest number that anybody has seen")


def _seq(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) >= 1 << 53:
        raise argparse.ArgumentTypeError("must be a whole number below 2^53")
    return int(text)


def run(config: Config, args: argparse.Namespace) -> int:
    """Jump. Raises LockError while something publishes."""
    with (
        only_one(config.data / LOCK, "labels are published from this database; stop the service"),
        opened(config) as database,
    ):
        following = jump(database, args.above)
    print(json.dumps({"next": following}) if args.json else f"the next label gets the number {following:,}")
    return 0
