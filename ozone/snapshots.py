"""Which evidence somebody may see: what was reported, as it was then, also where its author has deleted it since.

Everybody sees what was reported to those whose matters they look into, by reports that they see. For them there is
nothing else, for that it is there tells that somebody has reported it.
"""

from communities.evidence import decoded
from models import evidence
from models.evidence import Snapshot
from ozone.visit import Visit


def snapshot(visit: Visit, uri: str, cid: str = "") -> Snapshot | None:
    """The evidence of a version of a record, or, without `cid`, the last of the record, that the caller may see."""
    return next(iter(evidence.snapshots(visit.connection, visit.scopes, uri, cid, 1)), None)


def value_of(kept: Snapshot) -> object:
    """The record as JSON has it; None for one that nobody can read."""
    return decoded(kept.record)
