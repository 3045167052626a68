"""tools.ozone.moderation.get{Record,Records,Repo,Repos,Subjects} and searchRepos: what moderators look at.

A record is shown as it was reported, if the version that is asked for was; or else as its author's host has it now; or
else, where it is gone, as it was reported last. Accounts are shown as the AppView, the directory and their hosts have
them.
"""

from collections.abc import Mapping
from typing import Any

from ozone.snapshots import snapshot
from ozone.sources import Account, FetchedRecord, Found, Lookup, RecordName, Search, Wanted
from ozone.subject_views import Views
from ozone.visit import Answer, Visit
from xrpc.errors import InvalidRequest, Refused, UpstreamFailure
from xrpc.params import LONG_QUERY, DidParam, IntParam, ListParam, Params, StringParam
from xrpc.syntax import MAX_AT_URI, is_did

MOST = 100
"""Subjects of a call, as the lexicon has it."""
_DEFS = "tools.ozone.moderation.defs#"
_NO_RECORD = "must be the at-uri of a record, at://<did>/<collection>/<rkey>"


def _wanted(visit: Visit, dids: list[str], names: list[RecordName]) -> Wanted:
    """What to look up of accounts, of records, and of these records' authors. What is here already is not asked for."""
    records = [name for name in dict.fromkeys(names) if not (name.cid and snapshot(visit, *name))]
    return Wanted(visit.did, visit.caller.did, (*dids, *(name.did for name in names)), tuple(records))


def _not_found(views: Answer | None, kind: str, **named: str) -> Answer:
    """An entry of a list that may be of several kinds."""
    if views is None:
        return {"$type": f"{_DEFS}{kind}ViewNotFound", **named}
    return {"$type": f"{_DEFS}{kind}ViewDetail", **views}


def _one_record(params: Mapping[str, Any]) -> RecordName:
    name = RecordName(params["uri"], params.get("cid", ""))
    if not name.did:
        raise InvalidRequest(f"uri {_NO_RECORD}")
    return name


def _wanted_record(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    return _wanted(visit, [], [_one_record(params)])


def get_record(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """A record and its author. Raises Refused (RecordNotFound), and UpstreamFailure while nobody can say."""
    name = _one_record(params)
    view = Views(visit, found).record(name)
    if view is not None:
        return view
    if found.records.get(name, FetchedRecord()).unsure:
        raise UpstreamFailure("The host of the record's author cannot be asked now; try again later")
    raise Refused("RecordNotFound", "There is no such record, and it was not reported in this version.")


def _wanted_records(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    return _wanted(visit, [], [RecordName(uri) for uri in params["uris"]])


def get_records(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """Records and their authors, in the order in which they are asked for."""
    views = Views(visit, found)
    return {"records": [_not_found(views.record(RecordName(uri)), "record", uri=uri) for uri in params["uris"]]}


def _wanted_repo(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    return _wanted(visit, [params["did"]], [])


def get_repo(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """An account. Raises Refused (RepoNotFound), and UpstreamFailure while nobody can say."""
    did = params["did"]
    view = Views(visit, found).repo(did, detail=True)
    if view is not None:
        return view
    if found.accounts.get(did, Account()).unsure:
        raise UpstreamFailure("The account cannot be looked up now; try again later")
    raise Refused("RepoNotFound", "There is no such account.")


def _wanted_repos(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    return _wanted(visit, params["dids"], [])


def get_repos(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """Accounts, in the order in which they are asked for."""
    views = Views(visit, found)
    return {"repos": [_not_found(views.repo(did, detail=True), "repo", did=did) for did in params["dids"]]}


def _subjects(params: Mapping[str, Any]) -> list[RecordName | str]:
    """Accounts by their DIDs, and records."""
    named: list[RecordName | str] = [one if is_did(one) else RecordName(one) for one in params["subjects"]]
    for one in named:
        if isinstance(one, RecordName) and not one.did:
            raise InvalidRequest(f"Each of subjects must be a DID, or {_NO_RECORD.removeprefix('must be ')}")
    return named


def _wanted_subjects(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    named = _subjects(params)
    accounts = [one for one in named if isinstance(one, str)]
    return _wanted(visit, accounts, [one for one in named if isinstance(one, RecordName)])


def get_subjects(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """Accounts and records with all that is known of them, in the order in which they are asked for."""
    return {"subjects": [Views(visit, found).subject(one) for one in _subjects(params)]}


def _sought(params: Mapping[str, Any]) -> str:
    return str(params.get("q") or params.get("term") or "").strip()


def _wanted_search(visit: Visit, params: Mapping[str, Any]) -> Wanted:
    text = _sought(params)
    if is_did(text):
        return _wanted(visit, [text], [])
    search = Search(text, params["limit"], params.get("cursor", "")) if text else None
    return Wanted(visit.did, visit.caller.did, search=search)


def search_repos(visit: Visit, params: Mapping[str, Any], found: Found) -> Answer:
    """Accounts by DID or handle, or else those that the AppView finds, page by page; without `q`, none."""
    text, views = _sought(params), Views(visit, found)
    repos = [views.repo(did) for did in ((text,) if is_did(text) else found.dids)]
    answer: Answer = {"repos": [repo for repo in repos if repo is not None]}
    return answer | {"cursor": found.cursor} if found.cursor else answer


_URI, _DID = StringParam(max_length=MAX_AT_URI), DidParam()
LOOKUPS = (
    Lookup(
        "moderation.getRecord",
        Params({"uri": StringParam(max_length=MAX_AT_URI, required=True), "cid": StringParam(max_length=256)}),
        _wanted_record,
        get_record,
    ),
    Lookup(
        "moderation.getRecords",
        Params({"uris": ListParam(_URI, MOST, required=True)}, longest=LONG_QUERY),
        _wanted_records,
        get_records,
    ),
    Lookup("moderation.getRepo", Params({"did": DidParam(required=True)}), _wanted_repo, get_repo),
    Lookup(
        "moderation.getRepos",
        Params({"dids": ListParam(_DID, MOST, required=True)}, longest=LONG_QUERY),
        _wanted_repos,
        get_repos,
    ),
    Lookup(
        "moderation.getSubjects",
        Params({"subjects": ListParam(_URI, MOST, required=True)}, longest=LONG_QUERY),
        _wanted_subjects,
        get_subjects,
    ),
    Lookup(
        "moderation.searchRepos",
        Params(
            {
                "term": StringParam(),
                "q": StringParam(),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(),
            }
        ),
        _wanted_search,
        search_repos,
    ),
)
