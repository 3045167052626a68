"""tools.ozone.moderation.getEvent: one event, with what it is about as that stands now."""

from collections.abc import Mapping
from typing import Any

from models import mod_events
from models.mod_events import reason_of
from ozone import views
from ozone.sources import Found, Lookup, RecordName, Wanted
from ozone.subject_views import Views
from ozone.visit import Answer, Visit
from xrpc.errors import InvalidRequest
from xrpc.params import IntParam, Params

LARGEST = (1 << 53) - 1


def _told(visit: Visit, params: Mapping[str, Any]) -> views.Told:
    """The event. Raises InvalidRequest, as for one that is not there, for what is not the caller's to see."""
    row = mod_events.find(visit.connection, params["id"])
    key = mod_events.subject(visit.connection, row.subject) if row is not None else None
    if row is None or key is None or not visit.scopes.shows(row.scope, key.about, reason_of(row)):
        raise InvalidRequest(f"There is no event {params['id']}")
    return views.Told(params["id"], key, row)


def _name(told: views.Told) -> RecordName:
    """The version of a record that an event is about; of an event about all versions, the present one."""
    return RecordName(told.key.uri, "" if told.row.cid == views.NO_CID else told.row.cid)


def _wanted(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    told = _told(visit, params)
    if told.key.path:
        return Wanted(visit.did, visit.caller.did, (told.key.did,), (_name(told),))
    return Wanted(visit.did, visit.caller.did, () if told.key.convo else (told.key.did,))


def get_event(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """An event with its subject and the blobs of that."""
    told = _told(visit, params)
    view = views.event(visit, told)
    blobs = view.pop("subjectBlobCids")
    subject, known = _subject(Views(visit, found), told)
    return view | {"subject": subject, "subjectBlobs": [blob for blob in known if blob["cid"] in blobs]}


def _subject(shown: Views, told: views.Told) -> tuple[Answer, list[Answer]]:
    """The subject of an event, and the blobs in it."""
    key, defs = told.key, views.DEFS
    if key.convo:
        return {"$type": f"{defs}convoView", "did": key.did, "convoId": key.convo}, []
    if not key.path:
        repo = shown.repo(key.did)
        return (
            {"$type": f"{defs}repoViewNotFound", "did": key.did}
            if repo is None
            else {"$type": f"{defs}repoView", **repo}
        ), []
    record = shown.record(_name(told))
    if record is None:
        return {"$type": f"{defs}recordViewNotFound", "uri": key.uri}, []
    blobs = record["blobs"]
    kept = {name: record[name] for name in ("uri", "cid", "value", "indexedAt", "moderation", "repo")}
    return {"$type": f"{defs}recordView", **kept, "blobCids": [blob["cid"] for blob in blobs]}, blobs


LOOKUPS = (Lookup("moderation.getEvent", Params({"id": IntParam(1, LARGEST, required=True)}), _wanted, get_event),)
