"""`python -m bench [NAME ...]`: run the benchmarks and print their tables."""

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import as_json, machine

NAMES = (
    "ingest",
    "matching",
    "skeleton",
    "everything",
    "layer",
    "verify",
    "backfill",
    "labels",
    "labels_serve",
    "ozone",
)


MARKER = "<!-- Everything below is written by `python -m bench --markdown`. -->"


def main() -> int:
    """Run what is named, or all; 0 unless a benchmark could not be run. A missed target is printed, not an error."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks: medians, ratios, targets.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also put the tables into FILE, in place of the same ones"
    )
    parser.add_argument("--quick", action="store_true", help="small and short: does it run? The figures mean nothing")
    args = parser.parse_args()
    where = machine()
    reports = [
        importlib.import_module(f"bench.{name}").run(quick=args.quick)
        for name in NAMES
        if name in args.names or not args.names
    ]
    texts = [report.markdown(where) for report in reports]
    print(as_json(where, reports) if args.json else "\n".join(texts))
    if args.markdown:
        write_below(args.markdown, texts)
    return 0


def write_below(file: Path, texts: Sequence[str]) -> None:
    """Put the reports below the marker of `file`, each in the place of the one with its heading; other reports stay. A
    file without a marker gets it at its end.
    """
    above, _, below = (file.read_text(encoding="utf-8") if file.exists() else "").partition(MARKER)
    sections = {_heading(text): text for text in re.findall(r"(?ms)^## .*?(?=^## |\Z)", below)}
    sections |= {_heading(text): text for text in texts}
    joined = "\n\n".join([above.strip(), MARKER, *(text.strip() for text in sections.values())])
    file.write_text(joined.lstrip() + "\n", encoding="utf-8")


def _heading(text: str) -> str:
    return text.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
