"""Which evidence somebody may see: what was reported, as it was then, also where its author has deleted it since.

Everybody sees what was reported to those whose matters they look into. For them there is nothing else, for that it is
there tells that somebody has reported it.
"""

from communities.evidence import decoded
from models import evidence
from models.evidence import Snapshot
from ozone.visit import Visit

MOST_LOOKED_AT, MOST_SCOPES = 20, 200
"""Versions of a record; scopes that one was reported to."""


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
    return bool(visit.scopes.among(evidence.reached(visit.connection, number, MOST_SCOPES)))
