"""The real `communities`, with one function wrapped so that a certain call of it is the last thing the process does.

    python -m tests.crash_child --point firehose.batch:Batch._store_cursor --when before --call 3 ingest

Nothing of the service knows of it. Calls count once there is a file `--mark`; it is gone when the last one was reached.
"""

import argparse
import dataclasses
import functools
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


def die(mark: Path) -> NoReturn:
    """End as a power cut would."""
    mark.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL does not return")


def named(point: str) -> tuple[Any, str]:
    """The module or class that holds a function, and its name in it. `point`: module:name or module:Class.name."""
    module, _, path = point.partition(":")
    *parts, name = path.split(".")
    return functools.reduce(getattr, parts, importlib.import_module(module)), name


def wrap(point: str, when: str, call: int, mark: Path) -> None:
    """Let the `call`-th call of a function since `mark` exists end the process `before` it, `after` it, or when its
    block is `left`.
    """
    holder, name = named(point)
    real: Callable[..., Any] = getattr(holder, name)
    left = call

    def due() -> bool:
        nonlocal left
        left -= mark.exists()
        return left == 0

    @functools.wraps(real)
    def deadly(*args: Any, **more: Any) -> Any:
        now = due()
        if now and when == "before":
            die(mark)
        value = real(*args, **more)
        if now:
            die(mark)
        return value

    @contextmanager
    def deadly_block(*args: Any, **more: Any) -> Iterator[Any]:
        now = due()
        with real(*args, **more) as value:
            yield value
        if now:
            die(mark)

    setattr(holder, name, deadly_block if when == "left" else deadly)


def limit_pages(more: int) -> None:
    """A disk that is full once the database has grown by so many pages."""
    from models import database

    real = database.open_database

    @functools.wraps(real)
    def opened(*args: Any, **options: Any) -> Any:
        found = real(*args, **options)
        connection = found.connection()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}")
        return found

    database.open_database = opened


def hurry() -> None:
    """Everything at the pace of tests, and each step of a repository's rows in a transaction of its own."""
    from firehose import resync
    from firehose.pace import Pace
    from tests.ingest_site import QUICK

    Pace.__init__.__defaults__ = dataclasses.astuple(QUICK)
    resync.STEP_SECONDS = resync.STEP_PAUSE = 0.0


def main(words: Sequence[str]) -> int:
    """Prepare what is asked for, then run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash_child")
    parser.add_argument("--point")
    parser.add_argument("--when", choices=("before", "after", "left"), default="before")
    parser.add_argument("--call", type=int, default=1)
    parser.add_argument("--mark", type=Path)
    parser.add_argument("--more-pages", type=int, help="a disk that is full when the database has grown by so many")
    parser.add_argument("--file-size", type=int, help="bytes; no file may become larger (RLIMIT_FSIZE)")
    parser.add_argument("--busy", type=float, help="seconds for which a locked database is waited for")
    parser.add_argument("--quick", action="store_true", help="at the pace of tests, in small steps")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(words)
    if args.quick:
        hurry()
    if args.point:
        wrap(args.point, args.when, args.call, args.mark)
    if args.more_pages is not None:
        limit_pages(args.more_pages)
    if args.busy is not None:
        importlib.import_module("models.database").BUSY_SECONDS = args.busy
    if args.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (args.file_size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    from service.cli import main as communities

    return communities(args.command)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
