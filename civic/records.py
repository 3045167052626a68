"""social.communities.listRecords: the caller's own records of communities as this service has them, and what is wrong
with each. Nobody is shown anybody else's.
"""

from collections.abc import Mapping
from typing import Any

from civic.people import PAGE
from civic.visit import Answer, Query, Visit
from communities.decision_view import moment
from communities.outcome import FIRST, Place, Written, outcome, written_by
from communities.refs import cid_text
from xrpc import cursor
from xrpc.params import Params, StringParam


def list_records(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of them, the newest first."""
    did, collection, limit = visit.signed(), params.get("collection"), params["limit"]
    scope = f"listRecords {did} {collection or ''}"
    after = FIRST
    if "cursor" in params:
        at, path = cursor.decode_named(visit.key, scope, params["cursor"])
        where, _, rkey = path.partition("/")
        after = Place(at, rkey, where)
    found = written_by(visit.connection, did, after, collection, limit + 1)
    answer: Answer = {"records": [_view(visit, written) for written in found[:limit]]}
    if len(found) <= limit:
        return answer
    at, rkey, where = found[limit - 1].place
    return answer | {"cursor": cursor.encode_named(visit.key, scope, at, f"{where}/{rkey}")}


def _view(visit: Visit, written: Written) -> dict[str, Any]:
    """#recordView."""
    became = outcome(visit.connection, visit.town.places, written, visit.now)
    view = {
        "uri": written.uri,
        "cid": cid_text(written.cid),
        "collection": written.collection,
        "indexedAt": moment(written.at),
        "inEffect": became.in_effect,
    }
    return view | ({"fault": {"name": became.fault, "message": became.message}} if became.fault is not None else {})


QUERIES = (
    Query(
        "listRecords",
        Params({"collection": StringParam(), **PAGE, "cursor": StringParam(max_length=cursor.MOST_NAMED)}),
        list_records,
    ),
)
