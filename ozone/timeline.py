"""tools.ozone.moderation.getAccountTimeline and getReporterStats: what was done about an account day by day, and what
became of what accounts reported, as far as the caller sees it.

The timeline is of our own events alone. What a PDS knows of an account (`hosting.getAccountHistory`) is not ours to
know, and the log of its DID is public: whoever wants it asks the directory.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from models.mod_event_counts import by_day, reported_by
from ozone.views import DEFS
from ozone.visit import Answer, Query, Visit
from xrpc.params import DidParam, ListParam, Params

MOST_REPORTERS = 100


def get_account_timeline(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """Days on which something was done, the last first. Of an account about which nothing was done there are none."""
    counts = by_day(visit.connection, visit.scopes, params["did"])
    timeline = [
        {
            "day": day,
            "summary": [
                {"eventSubjectType": one.kind, "eventType": DEFS + one.type, "count": one.times} for one in ones
            ],
        }
        for day, ones in groupby(counts, lambda one: one.day)
    ]
    return {"timeline": timeline}


def get_reporter_stats(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """Each account that is asked for once, in that order; who has reported nothing has noughts."""
    return {"stats": [_stats(visit, did) for did in dict.fromkeys(params["dids"])]}


def _stats(visit: Visit, did: str) -> Answer:
    accounts, records = reported_by(visit.connection, visit.scopes, did)
    return {
        "did": did,
        "accountReportCount": accounts.reports,
        "recordReportCount": records.reports,
        "reportedAccountCount": accounts.subjects,
        "reportedRecordCount": records.subjects,
        "takendownAccountCount": accounts.takendown,
        "takendownRecordCount": records.takendown,
        "labeledAccountCount": accounts.labelled,
        "labeledRecordCount": records.labelled,
    }


QUERIES = (
    Query("moderation.getAccountTimeline", Params({"did": DidParam(required=True)}), get_account_timeline),
    Query(
        "moderation.getReporterStats",
        Params({"dids": ListParam(DidParam(), MOST_REPORTERS, required=True)}),
        get_reporter_stats,
    ),
)
PROCEDURES = ()
