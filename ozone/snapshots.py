"""Which evidence somebody may see: what was reported, as it was then, also where its author has deleted it since.

Everybody sees what was reported to those whose matters they look into, by reports that they see. For them there is
nothing else, for that it is there tells that somebody has reported it.
"""

from communities.evidence import decoded
from models import evidence
from models.evidence import Snapshot
from ozone.visit import Visit

MOST_LOOKED_AT = 20
"""Versions of a record."""


def snapshot(visit: Visit, uri: str, cid: str = "") -> Snapshot | None:
    """The evidence of a version of a record, or, without `cid`, the last of the record, that the caller may see."""
    for kept in evidence.snapshots(visit.connection, uri, cid, MOST_LOOKED_AT):
        if _is_theirs(visit, kept.id):
            return kept
    return None


def value_of(kept: Snapshot) -> object:
    """The record as JSON has it; None for one that nobody can read."""
    return decoded(kept.record)


def _is_theirs(visit: Visit, number: int) -> bool:
    return evidence.has_reached(visit.connection, visit.scopes, number)
