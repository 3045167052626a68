"""`make soak`: histories with faults, one seed after the other, and an ingest process that is killed at random moments.

At the end a table: what was injected, how often each fault really struck, and what was lost, doubled or resurrected.
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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.crashing import random_kills
from tests.fault_catalogue import CATALOGUE
from tests.fault_run import FaultRun
from tests.oracle import Verdict
from tests.trust_catalogue import TRUST

FAULTS = ("lost", "doubled", "resurrected", "wrong")


@dataclass
class Totals:
    """What came of all runs so far. `failures`: seed and reason of each run that was not clean."""

    seeds: int = 0
    events: int = 0
    connections: int = 0
    kills: int = 0
    early: int = 0
    rows: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(FAULTS, 0)))
    fired: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(CATALOGUE | TRUST, 0)))
    failures: list[tuple[str, str]] = field(default_factory=list)

    def judged(self, name: str, verdict: Verdict) -> None:
        """Add what a run has shown."""
        for fault in FAULTS:
            self.rows[fault] += len(getattr(verdict, fault))
        self.early += len(verdict.early)
        if not verdict.clean:
            self.failures.append((name, str(verdict)))

    def table(self) -> str:
        """For people."""
        width = max(map(len, self.fired))
        lines = [f"{name:<{width}}  {times:>8}" for name, times in sorted(self.fired.items())]
        result = ", ".join(f"{name} {number}" for name, number in self.rows.items())
        lines += [
            "-" * (width + 10),
            f"{len(self.fired)} kinds of faults, {self.fired.total()} faults, {self.seeds} seeds, {self.events} events,"
            f" {self.connections} connections, {self.kills} kills",
            f"rows: {result} (true, but heard of by luck: {self.early})",
        ]
        return "\n".join(lines)

    def as_json(self) -> str:
        """For machines."""
        value: dict[str, Any] = asdict(self)
        return json.dumps(value | {"rows": dict(self.rows), "fired": dict(self.fired)}, indent=2)


def one_seed(seed: int, totals: Totals) -> None:
    """One history with all its faults; in every other one there are members who are followed."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = asyncio.run(FaultRun(Path(folder), seed, trust=bool(seed % 2)).run(rounds=8, events=60, at_once=8))
    totals.events += outcome.events
    totals.connections += outcome.connections
    totals.fired += outcome.fired
    totals.judged(f"seed {seed}", outcome.verdict)


def kills(seed: int, count: int, totals: Totals) -> None:
    """One history while the ingest process is killed so often."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        verdict = asyncio.run(random_kills(Path(folder), seed, count))
    totals.kills += count
    totals.fired["SIGKILL at a random moment"] += count
    totals.judged(f"kills {seed}", verdict)


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
    runs: list[tuple[str, Any]] = [
        (f"seed {seed}", (one_seed, seed)) for seed in range(args.first, args.first + args.seeds)
    ]
    batch = 20
    every = max(1, len(runs) * batch // max(args.kills, 1))
    for number in range(-(-args.kills // batch)):
        runs.insert(
            min(len(runs), (number + 1) * every + number),
            (f"kills {number}", (kills, number, min(batch, args.kills - number * batch))),
        )
    for number, (name, (run, *values)) in enumerate(runs, 1):
        if time.monotonic() > end:
            break
        try:
            run(*values, totals)
        except Exception:
            totals.failures.append((name, traceback.format_exc(limit=-4)))
        totals.seeds += run is one_seed
        bad = sum(totals.rows.values())
        line = f"{name}: {number} of {len(runs)} runs, {totals.fired.total()} faults, {bad} wrong rows"
        print(f"{line}, {len(totals.failures)} failures", file=sys.stderr, flush=True)
    for name, why in totals.failures:
        print(f"\n{name}: {why}", file=sys.stderr)
    print(totals.as_json() if args.json else totals.table())
    missing = [kind for kind, times in totals.fired.items() if not times]
    if missing and totals.seeds:
        print(f"never happened: {', '.join(missing)}", file=sys.stderr)
    return int(bool(totals.failures or (missing and totals.seeds)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
