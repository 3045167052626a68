"""`python -m bench.ozone_alone`: the peer of the moderation API by itself, over a million events.

It prints what each call takes, and how much of that in the service and how much in its database.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench import ozone_measure, ozone_peer, ozone_postgres
from bench.cores import pin, share_out
from bench.label_rows import did
from bench.ozone_calls import Scene
from bench.ozone_load import Answered
from bench.ozone_rows import FULL, QUICK, account, history, unknown
from bench.report import Table, spread
from tests.didnet import Account

LABELS = ("spam", "rude", "graphic")
REPORTERS = 200


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.ozone_alone", description="The moderation API of the peer.")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run? The figures mean nothing")
    parser.add_argument(
        "--pinned", action="store_true", help="a core for what is measured, the others for what drives it"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="let it write what it has to say; it is slower then")
    args = parser.parse_args()
    size, requests, seconds, rounds = (QUICK, 20, 2.0, 1) if args.quick else (FULL, 600, 10.0, 3)
    measured, others = share_out() if args.pinned else (None, None)
    ozone_peer.install()
    print(f"ozone: making {size.events:,} events ...", file=sys.stderr, flush=True)
    labeler = account(0)
    past = history(size, time.time_ns() // 1_000_000, LABELS)
    moderator, *reporters = callers = [
        Account(each) for each in (account(-1), *map(did, range(70_000_000, 70_000_000 + REPORTERS)))
    ]
    documents = {each.did: each.document() for each in callers}
    found: dict[str, list[Answered]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="communities-bench-") as folder,
        ozone_peer.running(
            Path(folder), past, labeler, moderator.did, documents, measured=measured, others=others, log=args.log
        ) as peer,
    ):
        pin(others)
        fresh = unknown(REPORTERS + (rounds + 1) * requests)
        waiting = past.subjects[: past.waiting]
        scene = Scene(peer.url, labeler, moderator, reporters, waiting, fresh, LABELS[0])
        uvloop.run(ozone_measure.warm(scene, requests // 4))
        for turn in range(rounds):
            print(f"ozone: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
            for what, one in uvloop.run(ozone_measure.measure(scene, requests, seconds, spent=peer.spent)).items():
                found.setdefault(what, []).append(one)
    print("\n".join(_table(found).lines()))
    return 0


def _table(found: dict[str, list[Answered]]) -> Table:
    columns = ("call", "a second, median (least to most)", "p50", "p99", "of the service", "of the database")
    return Table(
        f"{ozone_peer.version()} on {ozone_postgres.version()}, {ozone_measure.CONNECTIONS} connections; time of the"
        " processor for each call:",
        columns,
        tuple(
            (
                what,
                spread(one.rate for one in rounds),
                spread((one.p50 for one in rounds), "ms"),
                spread((one.p99 for one in rounds), "ms"),
                *(spread([one.spent[at] for one in rounds], "ms") for at in (0, 1)),
            )
            for what, rounds in found.items()
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
