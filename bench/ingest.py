"""Ingest: a relay process replays a realistic stream over a WebSocket into the real `communities ingest` process.

Measured from outside, by the cursor that the process commits with its rows: what counts as read is in the database.
Afterwards the rows are compared with those that a naive model of the stream expects.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import bare, relay
from bench.cores import Cores, Usage, pin, share_out, usage
from bench.replay import Replay, check_rows, write_replay
from bench.report import Report, Table, Target, number, ratios, spread
from models.database import DatabaseError, open_database, sql
from tests.world.keys import make_did

OURS = "communities ingest"
COMMUNITIES = 1000
SHARES = (0.01, 0.10)
FRAMES_PER_SECOND, OF_BARE, MEMORY_GROWTH = 25_000.0, 0.60, 0.10
WARM_UP, TAIL = 0.05, 0.05
"""Parts of the stream left out of the time: connecting, and the last batch, which waits for more."""
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The committed cursor at a time (seconds), and what the process had used by then."""

    cursor: int
    at: float
    used: Usage | None


@dataclass(frozen=True, slots=True)
class Run:
    """One reading of a stream: frames a second, processor time a frame (us; 0 where the system does not tell it), and
    memory after each quarter (bytes).
    """

    rate: float
    cpu: float
    memory: tuple[int, ...] = ()


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when the database does not hold what it must."""
    frames, accounts, rounds = (20_000, 300, 1) if quick else (100_000, 5_000, 7)
    measured, others = share_out()
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name:
        folder = Path(name)
        say(f"ingest: making {len(SHARES)} streams of {frames:,} signed commits ...")
        with multiprocessing.get_context("spawn").Pool(len(SHARES)) as pool:
            made = pool.starmap(write_replay, [(folder, frames, share, COMMUNITIES, accounts) for share in SHARES])
        write_rules(folder / "communities.toml")
        runs: dict[tuple[float, str], list[Run]] = {}
        with relaying(folder, others) as port:
            pin(others)
            for turn in range(rounds):
                for replay in made:
                    say(f"ingest: round {turn + 1} of {rounds}, {replay.share:.0%} of posts match")
                    url = f"ws://127.0.0.1:{port}/{Path(replay.file).stem}"
                    whole = receive_bare(url, bare.WHOLE_CAR, replay, measured)
                    before = receive_bare(url, bare.LEAN, replay, measured)
                    run = ingest(url, folder / f"{replay.share}-{turn}", replay, measured)
                    after = receive_bare(url, bare.LEAN, replay, measured)
                    # The speed of a shared machine drifts: the baseline is taken on both sides of what is compared.
                    lean = Run((before.rate + after.rate) / 2, (before.cpu + after.cpu) / 2)
                    for what, found in ((bare.LEAN, lean), (bare.WHOLE_CAR, whole), (OURS, run)):
                        runs.setdefault((replay.share, what), []).append(found)
    return _report(made, runs)


def say(line: str) -> None:
    """Progress, beside the tables."""
    print(line, file=sys.stderr, flush=True)


def write_rules(file: Path) -> None:
    """Communities with a tag of the stream each, and with a keyword, an account to mention and members besides."""
    parts = []
    for serial in range(COMMUNITIES):
        people = [make_did(f"rules {serial} {person}") for person in range(3)]
        parts.append(
            f'[[community]]\nslug = "community{serial}"\nname = "Community {serial}"\n'
            f'description = "One of many."\n[community.include]\nhashtags = ["community{serial}"]\n'
            f'keywords = ["today number{serial}"]\nmentions = ["{people[0]}"]\nmembers = {json.dumps(people[1:])}\n'
        )
    file.write_text("\n".join(parts), encoding="utf-8")


@contextmanager
def relaying(folder: Path, cores: Cores) -> Iterator[int]:
    """A relay process for the replays of `folder`; gives its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=relay.run, args=(str(folder), theirs), daemon=True)
    process.start()
    try:
        pin(cores, process.pid or 0)
        if not ours.poll(60):
            raise RuntimeError("the relay did not start")
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def receive_bare(url: str, form: str, replay: Replay, cores: Cores) -> Run:
    """Let the bare loop read the stream in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=bare.run, args=(f"{url}/bare", form, replay.frames, theirs), daemon=True)
    process.start()
    try:
        pin(cores, process.pid or 0)
        if not ours.poll(PATIENCE_SECONDS):
            raise RuntimeError("the bare loop did not end")
        result: bare.Result = ours.recv()
    finally:
        process.kill()
        process.join()
    deleted = sum(count for kind, count in replay.kinds.items() if kind.startswith("delete"))
    assert result.frames == replay.frames, f"the bare loop read {result.frames} frames"
    assert result.records == replay.frames - deleted, f"the bare loop decoded {result.records} records"
    return Run(result.frames / result.seconds, result.cpu / result.frames * 1e6)


def ingest(url: str, folder: Path, replay: Replay, cores: Cores) -> Run:
    """Let `communities ingest` read the stream into a new database."""
    folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMMUNITIES_")}
    settings = {"VERIFY": "none", "DATA": str(folder), "SOURCE": url, "RULES": str(folder.parent / "communities.toml")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service", "ingest", "--supervised"],
            stdin=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=kept | {f"COMMUNITIES_{key}": value for key, value in settings.items()},
        )
    try:
        pin(cores, process.pid)
        moments = watch(process, folder / "communities.db", replay.frames)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    except BaseException:
        process.kill()
        process.communicate()
        say((folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
        raise
    assert process.returncode == 0, (folder / "log").read_text(encoding="utf-8")
    database = open_database(folder / "communities.db", readonly=True)
    try:
        check_rows(sql(database), replay)
    finally:
        database.close()
    return _judge(moments, replay.frames)


def watch(process: "subprocess.Popen[bytes]", database: Path, last: int) -> list[Moment]:
    """The start, and then every commit of the cursor that was seen, until it is at `last`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    moments = [Moment(0, time.perf_counter(), usage(process.pid))]
    opened = None
    try:
        while moments[-1].cursor < last:
            if process.poll() is not None:
                raise RuntimeError("the ingest process ended")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the ingest process came no further than {moments[-1:]}")
            time.sleep(POLL_SECONDS)
            if opened is None:
                try:
                    opened = open_database(database, readonly=True)
                except DatabaseError:
                    continue  # it is not made yet
            row = sql(opened).execute("SELECT cursor FROM source").fetchone()
            if row and row[0] > moments[-1].cursor:
                moments.append(Moment(row[0], time.perf_counter(), usage(process.pid)))
    finally:
        if opened is not None:
            opened.close()
    return moments


def _judge(moments: list[Moment], frames: int) -> Run:
    first = next(moment for moment in moments if moment.cursor >= frames * WARM_UP)
    last = next(moment for moment in moments if moment.cursor >= frames * (1 - TAIL))
    first = first if first is not last else moments[0]
    read = last.cursor - first.cursor
    quarters = [next(m for m in moments if m.cursor >= frames * share) for share in (0.25, 0.5, 0.75, 1.0)]
    return Run(
        rate=read / (last.at - first.at),
        cpu=(last.used.cpu - first.used.cpu) / read * 1e6 if last.used and first.used else 0.0,
        memory=tuple(moment.used.memory for moment in quarters if moment.used),
    )


def _report(made: list[Replay], runs: dict[tuple[float, str], list[Run]]) -> Report:
    rates = {key: [run.rate for run in found] for key, found in runs.items()}
    shares = {key: median(ratios(found, rates[key[0], bare.LEAN])) for key, found in rates.items()}
    ours = {replay.share: runs[replay.share, OURS] for replay in made}
    targets = []
    for share in ours:
        targets += [
            Target(f"frames a second, {share:.0%} match", median(rates[share, OURS]), FRAMES_PER_SECOND, ""),
            Target(f"of the bare loop, {share:.0%} match", shares[share, OURS], OF_BARE, "%"),
        ]
    growth = [run.memory[3] / run.memory[1] - 1 for found in ours.values() for run in found if run.memory]
    if growth:
        targets.append(Target("growth of memory, half time to end", median(growth), MEMORY_GROWTH, "%", at_most=True))
    one = made[0]
    return Report(
        name="ingest",
        title="Ingest",
        notes=(
            f"{one.frames:,} signed commits of {one.mean_bytes:,} bytes on average ({_kinds(one)}), none like another,"
            " replayed by another process over a WebSocket into `communities ingest` with"
            f" {COMMUNITIES:,} communities and a new database, on one core. Rates are of committed rows.",
            "Records are held against their hashes; what proving a commit costs beside is measured by itself (verify).",
            "The baseline receives with the same client and decodes the frame and every record, and does nothing with"
            " them. With the block scan it takes only the records' blocks out of the CAR and hashes nothing, the"
            " fastest way that we know; ratios are of this one. The usual way is to decode the whole CAR. After each"
            " run the rows are compared with those that a naive model of the stream expects.",
        ),
        tables=(
            Table(
                f"Frames, {len(ours[one.share])} times each:",
                ("reader", "frames/s, median (least to most)", "us/frame", "us of CPU", "of bare"),
                tuple(
                    (
                        f"{share:.0%} match: {what}",
                        spread(rates[share, what]),
                        number(1e6 / median(rates[share, what])),
                        number(median(run.cpu for run in found)),
                        number(shares[share, what], "%"),
                    )
                    for (share, what), found in runs.items()
                ),
            ),
            Table(
                "Memory of its own, in MB, after each quarter of the stream:",
                ("run", "1/4", "2/4", "3/4", "4/4"),
                tuple(
                    (f"{share:.0%} match, run {turn}", *(number(used / 1e6) for used in run.memory))
                    for share, found in ours.items()
                    for turn, run in enumerate(found, 1)
                    if run.memory
                ),
            ),
        ),
        targets=tuple(targets),
        command="make bench ARGS=ingest",
    )


def _kinds(replay: Replay) -> str:
    groups: dict[str, int] = {}
    for kind, count in replay.kinds.items():
        group = "deletions" if kind.startswith("delete") else kind.partition(" ")[2] + "s"
        groups[group] = groups.get(group, 0) + count
    most = sorted(groups.items(), key=lambda group: -group[1])
    return ", ".join(f"{count / replay.frames:.0%} {name}" for name, count in most)
