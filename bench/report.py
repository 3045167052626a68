"""What a benchmark says: tables, targets, and on what machine with which versions it was measured."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import apsw

LIBRARIES = ("aiohttp", "uvloop", "websockets", "libipld", "cbrrr", "apsw", "peewee", "coincurve", "orjson")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below column names; `title` is one line."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """The table as it is printed in a terminal, which is a Markdown table too."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return f"| {' | '.join(padded)} |"

        rule = [("-" * width) if at == 0 else ("-" * (width - 1) + ":") for at, width in enumerate(widths)]
        return [self.title, "", line(self.columns), line(rule), *map(line, self.rows)]


@dataclass(frozen=True, slots=True)
class Target:
    """What was to be reached: `measured` at least (or, with `at_most`, at most) `goal`, both in `unit`."""

    what: str
    measured: float
    goal: float
    unit: str
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.measured <= self.goal if self.at_most else self.measured >= self.goal


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark. `notes` say what was measured and how; `command` measures it again."""

    name: str
    title: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]
    command: str

    def markdown(self, where: "Machine") -> str:
        """The report as Markdown, from its heading on. `where`: it was measured."""
        judged = Table(
            "Targets:",
            ("target", "measured", "goal", "met"),
            tuple(
                (
                    target.what,
                    number(target.measured, target.unit),
                    ("at most " if target.at_most else "at least ") + number(target.goal, target.unit),
                    "yes" if target.met else "NO",
                )
                for target in self.targets
            ),
        )
        parts = [f"## {self.title}", where.markdown(), *self.notes]
        parts += ["\n".join(table.lines()) for table in (*self.tables, judged)]
        return "\n\n".join([*parts, f"Again: `{self.command}`"]) + "\n"

    def value(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self) | {"targets": [asdict(target) | {"met": target.met} for target in self.targets]}


def number(value: float, unit: str = "") -> str:
    """A figure with as many digits as mean something; `unit` "%" takes a share."""
    if unit == "%":
        return f"{value * 100:.1f} %"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{text} {unit}".strip()


def spread(values: Iterable[float], unit: str = "") -> str:
    """The median and, in brackets, the least and the most."""
    known = sorted(values)
    return f"{number(median(known), unit)} ({number(known[0])} to {number(known[-1])})"


def ratios(ours: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Ours over bare, round by round: what slows the machine for a while slows both."""
    return [mine / other for mine, other in zip(ours, bare, strict=True)]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    processor: str
    cores: int
    system: str
    python: str
    sqlite: str
    libraries: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """One paragraph."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return (
            f"{self.processor}, {self.cores} cores; {self.system}; Python {self.python}, SQLite {self.sqlite};"
            f" {libraries}."
        )


def machine() -> Machine:
    """This machine and the versions in use."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        libraries={name: version(name) for name in LIBRARIES},
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def as_json(where: Machine, reports: Iterable[Report]) -> str:
    """Everything as one JSON object."""
    return json.dumps({"machine": asdict(where), "benchmarks": [report.value() for report in reports]}, indent=2)
