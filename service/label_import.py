"""`communities label import`."""

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from labeler.importing import MOST_LINE, Fault, Line, read_lines
from labeler.issue import LabelRefusedError, Wanted, issue_all
from labeler.labels_file import read_labels
from labeler.vocabulary import Declared
from models.database import writing
from service.cli import CommandError
from service.config import Config
from service.label_target import CLI, Target, add_labeler, choose, opened, target
from service.terminal import plain

PIECE = 1000
"""Labels that are issued in one transaction, some 50 ms of work: ingest does not wait longer than for them. The more
there are, the less often a page of an index is written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Bring in labels from a file of JSON lines, or of CSV with the names of the columns in its first line: uri, val,
    and if need be cid, exp and neg (true takes the label away). Every line is checked first; nothing is changed unless
    all are good. What holds already is passed over, so it can be done again after an interruption.
    """
    parser.add_argument("file", metavar="FILE", help="the file; - reads standard input")
    add_labeler(parser)
    parser.add_argument("--community", metavar="SLUG", help="for which community (default: for the site)")
    parser.add_argument("--reason", default="", help="why; it is kept, and not published")
    parser.add_argument(
        "--batch", default="", metavar="NAME", help="by which name it can be taken back (default: import-TIME)"
    )
    parser.add_argument("--skip-bad", action="store_true", help="apply the good lines, whatever is wrong with others")
    parser.add_argument("--dry-run", action="store_true", help="check only")


def run(config: Config, args: argparse.Namespace) -> int:
    """Check all lines, then apply them."""
    declared = choose(config, read_labels(config.labels).labelers, args.labeler, args.community)
    now = int(time.time() * 1000)
    batch = args.batch or f"import-{now}"
    with _content(args.file) as content, opened(config, readonly=False) as database:
        which = target(database, declared, args.community)
        good = bad = 0
        for line in read_lines(_texts(content), declared, now):
            if isinstance(line, Fault):
                bad += 1
                print(f"{args.file}:{line.number}: {plain(line.why)}", file=sys.stderr)
            else:
                good += 1
        if bad and not args.skip_bad:
            raise CommandError(f"nothing was changed: {bad:,} of {good + bad:,} lines are bad (or say --skip-bad)")
        changed = refused = done = 0
        try:
            for piece in () if args.dry_run else _pieces(content, declared, now):
                wanted = [_wanted(which, line, args.reason, batch) for line in piece]
                with writing(database) as connection:
                    issued = issue_all(connection, declared, wanted, now)
                for line, one in zip(piece, issued, strict=True):
                    if isinstance(one, LabelRefusedError):  # checked above: a fault of the file's rules
                        refused += 1
                        print(f"{args.file}:{line.number}: {plain(str(one))}", file=sys.stderr)
                    else:
                        changed += one.event is not None
                done += len(piece)
                if not args.json and sys.stderr.isatty():
                    print(f"\r{done:,} of {good:,}", end="", file=sys.stderr, flush=True)
        except BaseException:
            # Otherwise nobody would ever hear by which name what was done until now is taken back.
            if done:
                print(
                    f"\nstopped; of {good:,} lines at least {done:,} are applied. To go on, do it again with"
                    f" {_named(batch)}; to take it back: communities label retract {_named(batch)}",
                    file=sys.stderr,
                )
            raise
    if not args.json and sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    if not args.dry_run and done != good:
        raise CommandError(
            f"{args.file} was changed while it was read: {done:,} lines were applied, and {good:,} had been found good;"
            f" do it again with {_named(batch)}"
        )
    told = {"lines": good + bad, "changed": changed, "bad": bad + refused, "batch": batch, "dryRun": args.dry_run}
    if args.json:
        print(json.dumps(told))
    elif args.dry_run:
        print(f"{good:,} lines are good, {bad:,} bad; nothing was changed")
    else:
        print(f"{changed:,} labels changed, {good - changed - refused:,} were so already, {bad + refused:,} bad lines")
        if changed:
            print(f"to take it back: communities label retract {_named(batch)}")
    return 1 if bad or refused else 0


def _named(batch: str) -> str:
    """The batch as a shell takes it."""
    return f"--batch {shlex.quote(plain(batch))}"


def _wanted(which: Target, line: Line, reason: str, batch: str) -> Wanted:
    values = (line.val,)
    return Wanted(
        which.labeler,
        which.declared.did,
        line.uri,
        "" if line.neg else line.cid,
        add=() if line.neg else values,
        remove=values if line.neg else (),
        exp=line.exp,
        actor=CLI,
        role=CLI,
        community=which.community,
        reason=reason,
        batch=batch,
    )


@contextmanager
def _content(name: str) -> Iterator[BinaryIO]:
    """The file, which is read twice; standard input is kept in a temporary one. Raises CommandError."""
    if name == "-":
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            yield kept
        return
    try:
        file = open(name, "rb")  # noqa: PTH123, SIM115 - closed below
    except OSError as error:
        raise CommandError(f"{name}: cannot be read: {error}") from error
    with file:
        if not file.seekable():
            raise CommandError(f"{name}: cannot be read twice; give it as -")
        yield file


def _texts(content: BinaryIO) -> Iterator[str]:
    """The lines, none of them longer in memory than one can be."""
    content.seek(0)
    while line := content.readline(MOST_LINE * 4 + 1):
        if not line.endswith(b"\n"):
            while (rest := content.readline(MOST_LINE)) and not rest.endswith(b"\n"):
                pass
        # What is no UTF-8 is no good subject or value either, and its line is named.
        yield line.decode("utf-8", "replace")


def _pieces(content: BinaryIO, declared: Declared, now: int) -> Iterator[list[Line]]:
    piece: list[Line] = []
    for line in read_lines(_texts(content), declared, now):
        if isinstance(line, Line):
            piece.append(line)
            if len(piece) == PIECE:
                yield piece
                piece = []
    if piece:
        yield piece
