"""The names of our packages (`feedgen`, `firehose`, `models`, ...) also exist on the public package index.

Installing one of those beside this service overwrites ours without a word. So each name must belong to this
distribution alone; otherwise the service refuses to run.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions

PACKAGES = ("civic", "communities", "feedgen", "firehose", "labeler", "lexicons", "models", "ozone", "service", "xrpc")
DISTRIBUTION = "communities"


class OwnershipError(Exception):
    """Another distribution has overwritten one of our packages; the message says which and what to do."""


def check_ownership(owners: Mapping[str, Iterable[str]] | None = None) -> None:
    """Raise OwnershipError unless each of our package names is ours alone.

    `owners`: package name -> distributions that brought it; by default what is installed.
    """
    owners = packages_distributions() if owners is None else owners
    faults = []
    for package in PACKAGES:
        found = set(owners.get(package, ()))
        if found != {DISTRIBUTION}:
            others = ", ".join(sorted(found - {DISTRIBUTION}))
            faults.append(
                f"{package}: " + (f"also installed by {others}" if others else "not installed by communities")
            )
    if faults:
        raise OwnershipError(
            "other packages share the names of this service's own:\n  " + "\n  ".join(faults) + "\n"
            "Install communities into a virtual environment of its own (`make run` does), without those packages."
        )
