"""A process that publishes labels, as the service does, with one call of a function at which it dies.

    python -m tests.label_child DATABASE --point labeler.seq:Turn.take --when after --call 2 --mark FILE

It ends when its input does, and says how it stood then.
"""

import argparse
import sys
import threading
from pathlib import Path

import coincurve

from labeler.pacing import Pace
from labeler.publishing import Publishing
from labeler.signing_key import Signer
from models.database import Connection
from tests.crash_child import wrap

SECRET = bytes(range(1, 33))
LABELER = "did:plc:labelerlabelerlabelerla2"


def signers(connection: Connection) -> dict[int, Signer]:
    """The one labeler, with the key that is active in the rows."""
    rows = connection.execute("SELECT labeler, id FROM label_key WHERE state = 'active'").fetchall()
    return {labeler: Signer(labeler, LABELER, key, coincurve.PrivateKey(SECRET)) for labeler, key in rows}


def main() -> int:
    """Publish until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("--point")
    parser.add_argument("--when", default="before")
    parser.add_argument("--call", type=int, default=1)
    parser.add_argument("--mark", type=Path)
    args = parser.parse_args()
    if args.point:
        wrap(args.point, args.when, args.call, args.mark)
    publishing = Publishing(args.database, signers, lambda connection: {1}, pace=Pace.unlimited())
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    publishing.run(stop)
    print(publishing.state, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
