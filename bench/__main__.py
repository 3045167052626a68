"""`python -m bench [NAME ...]`: run the benchmarks and print their tables."""

import argparse
import importlib
import sys
from pathlib import Path

from bench.report import as_json, machine

NAMES = ("ingest", "matching", "skeleton", "everything", "layer", "verify", "backfill", "labels", "labels_serve")


MARKER = "<!-- Everything below is written by `python -m bench --markdown`. -->"


def main() -> int:
    """Run what is named, or all; 0 unless a benchmark could not be run. A missed target is printed, not an error."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks: medians, ratios, targets.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also put the tables into FILE, below its marker")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run? The figures mean nothing")
    args = parser.parse_args()
    where = machine()
    reports = [
        importlib.import_module(f"bench.{name}").run(quick=args.quick)
        for name in NAMES
        if name in args.names or not args.names
    ]
    text = "\n".join([where.markdown() + "\n", *(report.markdown() for report in reports)])
    print(as_json(where, reports) if args.json else text)
    if args.markdown:
        write_below(args.markdown, text)
    return 0


def write_below(file: Path, text: str) -> None:
    """Replace what stands below the marker of `file`; a file without one gets it at its end."""
    above = file.read_text(encoding="utf-8").partition(MARKER)[0].rstrip() if file.exists() else ""
    file.write_text(f"{above}\n\n{MARKER}\n\n{text}".lstrip(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
