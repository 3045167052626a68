"""`python -m bench.ozone_server`: `communities serve` without the limits of how often somebody may call or report.

A benchmark calls as often as a whole town does, from a few accounts.
"""

import sys

from communities import report_limits
from service import cli, moderating, wiring


def main() -> int:
    """Serve until stopped."""
    most = 1 << 40
    moderating.READS_PER_SECOND = moderating.WRITES_PER_SECOND = wiring.DECISIONS_PER_SECOND = float(most)
    moderating.READS_BURST = moderating.WRITES_BURST = wiring.DECISIONS_BURST = most
    # Reports are counted, which is a part of what is measured; but nobody has to wait.
    report_limits._seconds = lambda *_: 0.0
    return cli.main(["serve"])


if __name__ == "__main__":
    sys.exit(main())
