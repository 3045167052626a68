"""`make soak`: histories with faults, one seed after the other, and an ingest process that is killed at random moments.

In every other history members are followed. At the end a table: how often each fault really struck, in how many
histories, and what was lost, doubled or resurrected in these. The exit code is 1 unless all rows are right and each
fault has struck.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.crashing import random_kills
from tests.fault_catalogue import CATALOGUE
from tests.fault_run import FaultRun
from tests.oracle import Verdict
from tests.trust_catalogue import TRUST

WRONG = ("lost", "doubled", "resurrected", "wrong")


KILLED, KILLED_READING = "SIGKILL at a random moment", "SIGKILL while members are followed"
BATCH = 20
"""So many kills are one history."""


@dataclass
class Kind:
    """What is known of one kind of fault: how often it struck, in how many histories, and the rows that were not what
    they must be in these.
    """

    fired: int = 0
    seeds: int = 0
    kills: int = 0
    rows: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(WRONG, 0)))


@dataclass
class Totals:
    """What came of all runs so far. `failures`: seed and reason of each run that was not clean."""

    seeds: int = 0
    events: int = 0
    connections: int = 0
    kills: int = 0
    early: int = 0
    rows: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(WRONG, 0)))
    kinds: dict[str, Kind] = field(
        default_factory=lambda: {name: Kind() for name in (*CATALOGUE, *TRUST, KILLED, KILLED_READING)}
    )
    failures: list[tuple[str, str]] = field(default_factory=list)

    def judged(self, name: str, verdict: Verdict, fired: Counter[str]) -> None:
        """Add what a run has shown, and with which faults."""
        rows = Counter({fault: len(getattr(verdict, fault)) for fault in WRONG})
        self.rows.update(rows)
        self.early += len(verdict.early)
        for kind, times in fired.items():
            if times:
                known = self.kinds.setdefault(kind, Kind())
                known.fired += times
                known.rows.update(rows)
                if kind in (KILLED, KILLED_READING):
                    known.kills += times
                known.seeds += 1
        if not verdict.clean:
            self.failures.append((name, str(verdict)))

    @property
    def faults(self) -> int:
        """How often anything struck."""
        return sum(kind.fired for kind in self.kinds.values())

    def missing(self) -> list[str]:
        """Kinds that were asked for, and have not struck."""
        wanted = [*CATALOGUE, *TRUST] if self.seeds else []
        wanted += [KILLED, KILLED_READING] if self.kills else []
        return [name for name in wanted if not self.kinds[name].fired]

    def table(self) -> str:
        """For people."""
        width = max(map(len, self.kinds))
        lines = [f"{'':<{width}}" + "".join(f"{head:>12}" for head in ("fired", "seeds", "kills", *WRONG))]
        for name, kind in sorted(self.kinds.items()):
            numbers = (kind.fired, kind.seeds, kind.kills, *(kind.rows[fault] for fault in WRONG))
            lines.append(f"{name:<{width}}" + "".join(f"{number:>12}" for number in numbers))
        numbers = (self.faults, self.seeds, self.kills, *(self.rows[fault] for fault in WRONG))
        lines.append("-" * (width + 12 * len(numbers)))
        lines.append(f"{f'{len(self.kinds)} kinds':<{width}}" + "".join(f"{number:>12}" for number in numbers))
        lines.append(f"{self.events} events, {self.connections} connections; true rows heard of by luck: {self.early}")
        return "\n".join(lines)

    def as_json(self) -> str:
        """For machines."""
        # Not `asdict`, which makes a Counter of the pairs of another, and so counts pairs.
        kinds = {name: vars(kind) for name, kind in self.kinds.items()}
        return json.dumps(vars(self) | {"kinds": kinds, "faults": self.faults, "missing": self.missing()}, indent=2)


def one_seed(seed: int, totals: Totals) -> None:
    """One history with all its faults; in every other one there are members who are followed."""
    totals.seeds += 1
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = asyncio.run(FaultRun(Path(folder), seed, trust=bool(seed % 2)).run(rounds=8, events=60, at_once=8))
    totals.events += outcome.events
    totals.connections += outcome.connections
    totals.judged(f"seed {seed}", outcome.verdict, outcome.fired)


def kills(number: int, count: int, totals: Totals) -> None:
    """One history while the ingest process is killed so often; in every other one there are members."""
    totals.kills += count
    members = number % 2
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        verdict = asyncio.run(random_kills(Path(folder), number, count, members=3 * members))
    totals.judged(f"kills {number}", verdict, Counter({KILLED_READING if members else KILLED: count}))


def plan(first: int, seeds: int, count: int) -> list[tuple[str, Callable[[Totals], None]]]:
    """All runs, by name: so many histories from the first seed on, and so many kills between them."""
    runs: list[tuple[str, Callable[[Totals], None]]] = [
        (f"seed {seed}", partial(one_seed, seed)) for seed in range(first, first + seeds)
    ]
    # An even number of histories, so that in half of them members are followed.
    pieces = 2 * -(-count // (2 * BATCH))
    every = max(1, seeds // max(pieces, 1))
    for number in range(pieces):
        share = count * (number + 1) // pieces - count * number // pieces
        if share:
            at = min(len(runs), (number + 1) * every + number)
            runs.insert(at, (f"kills {number}", partial(kills, number, share)))
    return runs


def main(words: Sequence[str]) -> int:
    """Run; 0 when every run was clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Histories with faults, seed by seed.")
    parser.add_argument("--seeds", type=int, default=100, help="so many histories (100)")
    parser.add_argument("--first", type=int, default=1000, help="the first seed (1000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further run after so long (60)")
    parser.add_argument("--kills", type=int, default=200, help="kill the ingest process so often (200)")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    args = parser.parse_args(words)
    logging.disable(logging.CRITICAL)
    totals, end = Totals(), time.monotonic() + 60 * args.minutes
    runs = plan(args.first, args.seeds, args.kills)
    for number, (name, run) in enumerate(runs, 1):
        if time.monotonic() > end:
            break
        failed = len(totals.failures)
        try:
            run(totals)
        except Exception:
            totals.failures.append((name, traceback.format_exc(limit=-4)))
        line = f"{name}: {number} of {len(runs)} runs, {totals.faults} faults, {sum(totals.rows.values())} wrong rows"
        print(f"{line}, {len(totals.failures)} failures", file=sys.stderr, flush=True)
        for _, why in totals.failures[failed:]:
            print(f"{why}\n", file=sys.stderr, flush=True)
    print(totals.as_json() if args.json else totals.table())
    if missing := totals.missing():
        print(f"never happened: {', '.join(missing)}", file=sys.stderr)
    return int(bool(totals.failures or missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
