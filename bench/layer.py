"""Communities as a layer, with 100,000 of them: what a post costs, how long joining, changing and putting a ranked feed
in order take, and what the processes need to start and to hold.

The same is measured with few communities in the same run: that is the baseline of all ratios.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, ParamSpec, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from bench import layer_live
from bench.cores import pin, share_out, usage
from bench.layer_admission import Ordered, admit, order
from bench.layer_town import ACCOUNTS, Size, write_town
from bench.report import Report, Table, Target, number, ratios, spread
from models.database import open_database, sql

FEW = 100
ADMISSION_OF_FEW, STALL_MS, CHANGE_MS, RANKING_MS = 1.5, 100.0, 2_000.0, 20.0
VISIBLE_MS, INGEST_MB, START_SECONDS = 2_000.0, 400.0, 15.0
PATIENCE_SECONDS = 180.0
RULES = '[[community]]\nslug = "declared"\nname = "Of the file"\ninclude.hashtags = ["declared"]\n'


class Begun(NamedTuple):
    """A process that has begun: seconds it took, and memory of its own in MB."""

    seconds: float
    memory: float


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when something does not become what it must."""
    size = Size(2_000, 200_000, 5_000) if quick else Size(100_000, 1_000_000, 200_000)
    few = size._replace(communities=FEW)
    rounds = 1 if quick else 5
    measured, others = share_out()
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name:
        folders = {one: Path(name) / str(one.communities) for one in (few, size)}
        for one, folder in folders.items():
            said = "layer: writing {:,} communities, {:,} memberships, {:,} posts ..."
            print(said.format(*one), file=sys.stderr, flush=True)
            (folder / "data").mkdir(parents=True)
            (folder / "communities.toml").write_text(RULES, encoding="utf-8")
            aside(write_town, folder / "data" / "communities.db", one)
        pin(measured)
        admitted: dict[Size, list[float]] = {one: [] for one in folders}
        for turn in range(rounds):
            print(f"layer: admitting, round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
            for one, folder in folders.items():
                admitted[one].append(aside(admit, folder / "data" / "communities.db", FEW, 200 if quick else 2_000))
        ordered = aside(order, folders[size] / "data" / "communities.db")
        pin(others)
        begun: dict[tuple[Size, str], list[Begun]] = {}
        for turn in range(1 if quick else 3):
            print(f"layer: starting, round {turn + 1}", file=sys.stderr, flush=True)
            for one, folder in folders.items():
                for what, start in (("ingest", start_ingest), ("serve", start_web)):
                    begun.setdefault((one, what), []).append(start(folder))
        pin(measured)
        live: dict[Size, layer_live.Live] = {}
        for one, folder in folders.items():
            print(f"layer: joining and changing among {one.communities:,}", file=sys.stderr, flush=True)
            live[one] = aside(layer_live.measure, folder, 2 if quick else 10)
    return _report(size, few, admitted, ordered, begun, live)


P = ParamSpec("P")
T = TypeVar("T")


def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in a process of its own, so that what it leaves behind slows nothing down."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args, kwargs)


@contextmanager
def process(folder: Path, command: str, **settings: str) -> "Iterator[subprocess.Popen[bytes]]":
    """One of the service's processes on the database of `folder`, whose stream is out of reach."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMMUNITIES_")}
    given = {"DATA": str(folder / "data"), "RULES": str(folder / "communities.toml"), "SOURCE": "ws://127.0.0.1:9",
             "PLC_URL": "http://127.0.0.1:9", "EGRESS_ALLOW": "127.0.0.1", "HOSTNAME": "feeds.example.org"}  # fmt: skip
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "service", command],
            stdin=subprocess.DEVNULL,
            stderr=log,
            cwd=folder,
            env=kept | {f"COMMUNITIES_{key}": value for key, value in (given | settings).items()},
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def start_ingest(folder: Path) -> Begun:
    """Until it has reported for the first time: everything is in force then."""
    database = open_database(folder / "data" / "communities.db", readonly=True)
    (before,) = sql(database).execute("SELECT coalesce(max(at), 0) FROM process WHERE name = 'ingest'").fetchone()
    began = time.perf_counter()
    with process(folder, "ingest") as running:

        def reported() -> bool:
            row = sql(database).execute("SELECT at FROM process WHERE name = 'ingest'").fetchone()
            return row is not None and row[0] > before

        wait_for(reported, running)
        return Begun(time.perf_counter() - began, memory(running))


def start_web(folder: Path) -> Begun:
    """Until it has answered for the first time about communities."""
    port = 39_437
    began = time.perf_counter()
    with process(folder, "serve", LISTEN_PORT=str(port), METRICS_PORT="0") as running:

        def answers() -> bool:
            url = f"http://127.0.0.1:{port}/xrpc/social.communities.listCommunities?sort=relevance&q=number"
            try:
                with urlopen(url, timeout=60) as answer:
                    return b"communities" in answer.read()
            except URLError:
                return False

        wait_for(answers, running)
        return Begun(time.perf_counter() - began, memory(running))


def wait_for(check: Callable[[], bool], running: "subprocess.Popen[bytes]") -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        if running.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("a process did not start")
        time.sleep(0.02)


def memory(running: "subprocess.Popen[bytes]") -> float:
    """What it holds, in MB; 0 where the system does not tell."""
    used = usage(running.pid)
    return used.memory / 1e6 if used else 0.0


def _report(
    size: Size,
    few: Size,
    admitted: dict[Size, list[float]],
    ordered: list[Ordered],
    begun: dict[tuple[Size, str], list[Begun]],
    live: dict[Size, layer_live.Live],
) -> Report:
    of_few = median(ratios(admitted[size], admitted[few]))
    times = tuple(
        (what, f"{one.communities:,}", spread(values, "ms"), number(max(values), "ms"))
        for one, found in live.items()
        for what, values in found.times.items()
    )
    starts = tuple(
        (
            {"ingest": "communities ingest", "serve": "communities serve"}[what],
            f"{one.communities:,}",
            spread([each.seconds for each in found], "s"),
            number(median(each.memory for each in found), "MB"),
        )
        for (one, what), found in begun.items()
    )
    all_live = live[size].times
    return Report(
        name="layer",
        title="Layer",
        notes=(
            f"{size.communities:,} communities of records, {size.memberships:,} memberships of {ACCOUNTS:,} accounts,"
            f" {size.posts:,} posts; every tenth community shows whatever its members write. Beside it the same with"
            f" {few.communities:,} communities.",
            "Admitting a post is to match it and to judge it by its author's memberships, decisions and submissions, in"
            " a transaction. Joining and changing are measured from the moment at which a record is written, or a call"
            " is sent, with the real paces: what is read is stored five times a second, and looked at once a second."
            " The loop stands still for the longest time between two moments of a clock that should tick every"
            " millisecond; 30 ms of that is what housekeeping may take of a tick.",
        ),
        tables=(
            Table(
                "Admitting a post:",
                ("communities", "a post", "of few"),
                tuple(
                    (f"{one.communities:,}", spread(found, "us"), number(median(ratios(found, admitted[few]))))
                    for one, found in admitted.items()
                ),
            ),
            Table("Joining and changing:", ("what", "communities", "median (least to most)", "most"), times),
            Table(
                f"Putting a feed in the order hot anew, {len(ordered)} communities from the busiest to the least busy:",
                ("posts of the community", "a refresh"),
                tuple((f"{one.posts:,}", number(one.milliseconds, "ms")) for one in (*ordered[:3], *ordered[5::7])),
            ),
            Table("Starting:", ("process", "communities", "seconds", "memory of its own"), starts),
        ),
        targets=(
            Target("admitting a post, of few communities", of_few, ADMISSION_OF_FEW, "", at_most=True),
            *(
                Target(what, median(all_live[what]), VISIBLE_MS, "ms", at_most=True)
                for what in (layer_live.BY_RECORD, layer_live.BY_XRPC)
            ),
            Target(layer_live.CHANGED, median(all_live[layer_live.CHANGED]), CHANGE_MS, "ms", at_most=True),
            Target(layer_live.STALL, median(all_live[layer_live.STALL]), STALL_MS, "ms", at_most=True),
            Target(
                "putting the median feed in order anew",
                median(one.milliseconds for one in ordered),
                RANKING_MS,
                "ms",
                at_most=True,
            ),
            Target(
                "memory of communities ingest",
                median(each.memory for each in begun[size, "ingest"]),
                INGEST_MB,
                "MB",
                at_most=True,
            ),
            Target(
                "start of communities ingest",
                median(each.seconds for each in begun[size, "ingest"]),
                START_SECONDS,
                "s",
                at_most=True,
            ),
        ),
        command="make bench ARGS=layer",
    )
