"""What `communities label` is about: which labeler, which community, which database."""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from playhouse.apsw_ext import APSWDatabase

from labeler.permission import serving
from labeler.vocabulary import Declared
from models import labelers as labeler_rows
from models.database import Connection, open_database, sql, writing
from service.cli import CommandError
from service.config import Config

CLI = "cli"
"""The actor of what is done on the command line, and its role."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Target(NamedTuple):
    """A labeler and the number of its row; the community that is meant (0: the site)."""

    declared: Declared
    labeler: int
    community: int


def add_labeler(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which labeler."""
    parser.add_argument("--labeler", metavar="DID", help="which labeler (default: the only one)")


def duration(text: str) -> int:
    """Milliseconds of a duration such as `90m`, `12h`, `7d`, `2w`."""
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError("must be a number and a unit, such as 90m, 12h, 7d or 2w")
    return int(found[1]) * _UNITS[found[2]] * 1000


def whole(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def choose(config: Config, declared: Sequence[Declared], did: str | None, slug: str | None = None) -> Declared:
    """The labeler that is meant. Raises CommandError."""
    if not declared:
        raise CommandError(f"{config.labels} declares no labeler; docs/LABELER.md says how to set one up")
    found = serving(declared, slug) if slug else list(declared)
    if did is not None:
        named = [one for one in declared if one.did == did]
        if not named:
            raise CommandError(f"{config.labels} declares no labeler {did}; there are {_names(declared)}")
        if named[0] not in found:
            raise CommandError(f"{did} does not label for {slug}")
        return named[0]
    if not found:
        raise CommandError(f"no labeler of {config.labels} labels for {slug}")
    if len(found) > 1:
        raise CommandError(f"say which labeler, with --labeler: {_names(found)}")
    return found[0]


def _names(declared: Sequence[Declared]) -> str:
    return ", ".join(one.did for one in declared)


@contextmanager
def opened(config: Config, *, readonly: bool) -> Iterator[APSWDatabase]:
    """The database, which must be there: in the wrong folder, a new one would say that all is done."""
    database = open_database(config.database, readonly=True)
    if not readonly:
        database.close()
        database = open_database(config.database)
    try:
        yield database
    finally:
        database.close()


def target(database: APSWDatabase, declared: Declared, slug: str | None) -> Target:
    """The rows of a labeler, entered if need be, and of a community. Raises CommandError."""
    community = find_community(sql(database), slug)
    number = labeler_rows.find(sql(database), declared.did)
    if number is None:
        with writing(database) as connection:
            number = labeler_rows.enter(connection, declared.did)
    return Target(declared, number, community)


def find_community(connection: Connection, slug: str | None) -> int:
    """The number of a community, 0 if none is named. Raises CommandError."""
    if slug is None:
        return 0
    row = connection.execute("SELECT id FROM community WHERE slug = ?", (slug,)).fetchone()
    if row is None:
        raise CommandError(f"there is no community {slug}")
    return int(row[0])


def waits_for_key(connection: Connection, labeler: int) -> bool:
    """Whether nothing of this labeler can be published yet."""
    return labeler_rows.active_key(connection, labeler) is None
