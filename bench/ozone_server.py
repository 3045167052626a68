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
    report_limits.OF_REPORTER = tuple(limit._replace(most=most) for limit in report_limits.OF_REPORTER)
    report_limits.OF_HOST = tuple(limit._replace(most=most) for limit in report_limits.OF_HOST)
    report_limits.OF_SUBJECT = report_limits.OF_SUBJECT._replace(most=most)
    report_limits.OF_ALL = report_limits.OF_ALL._replace(most=most)
    return cli.main(["serve"])


if __name__ == "__main__":
    sys.exit(main())
