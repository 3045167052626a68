"""One operation as sources tell it that carry no proofs: Jetstream and Tap.

Such a source gives the record as JSON, with the CID that it claims to have. What is kept must hash to that CID, so that
the index holds the same bytes whatever it reads from. Nobody's signature stands behind it, so it never decides who is a
member: what it says of lists only makes them be read anew from their owner's PDS (S95).
"""

from typing import Any

from cbrrr import CID, encode_dag_cbor

from communities.records import RELATIONS, SHAPING
from firehose.events import Lost
from firehose.ops import LIST, LIST_ITEM, LISTS, PUTS, WATCHED, Commit, Delete, Op, Scope
from firehose.records import RecordError
from firehose.triage import amounts_to, concerns, judge, make_commit, may_stand


def read_operation(
    told: dict[str, Any],
    action: object,
    did: str,
    seq: int,
    time: str,
    scope: Scope,
) -> Commit | Lost | None:
    """What an operation of account `did` amounts to; None when the index has no use for it.

    `told` has `collection`, `rkey`, `rev`, and for what is not deleted `record` and `cid`. Never raises for what is
    told; what is dropped is counted.
    """
    collection, rkey, cid, record = (told.get(key) for key in ("collection", "rkey", "cid", "record"))
    if type(collection) is not str or type(rkey) is not str:
        scope.dropped["op malformed"] += 1
        return None
    if collection not in WATCHED:
        scope.dropped["outside the filter"] += 1
        return None
    deleted = action == "delete"
    if (deleted and (cid is not None or record is not None)) or (not deleted and action not in PUTS):
        scope.dropped["op contradicts itself"] += 1
        return None
    if collection in LISTS:
        if did in scope.list_owners and (deleted or collection == LIST_ITEM):
            scope.dropped["list change without proof"] += 1
            for uri in scope.lists & _changed(did, collection, rkey, record if action == "create" else None, scope):
                scope.on_doubt(uri)
        return None
    indexed = did in scope.actors
    if collection in SHAPING:
        return _shaping(collection, rkey, record, did, seq, scope)
    if deleted:
        ops: list[Op] = [Delete(collection, rkey)] if indexed else []
    else:
        if type(cid) is not str or type(record) is not dict:
            scope.dropped["op malformed"] += 1
            return None
        stands = (indexed and action == "update") or may_stand(collection, rkey, did, scope)
        if not stands and _of_no_use(collection, rkey, record, did, scope):
            return None
        block = _block(record, cid)
        if block is None:
            scope.dropped["record is not what its cid says"] += 1
            return Lost(seq, did, "a record was not what its cid says") if stands else None
        ops = _judged(collection, rkey, block, stands, did, scope)
    commit = make_commit(seq, did, told.get("rev"), time, ops, scope, signed=False) if ops else None
    if commit is not None:
        scope.expect(commit)
    return commit


def _shaping(collection: str, rkey: str, record: object, did: str, seq: int, scope: Scope) -> Lost | None:
    """Who owns a community, is in it or decides for it is never believed unproven: the repository is read (S95)."""
    if f"at://{did}/{collection}/{rkey}" not in scope.declared:
        subject = record.get("subject") if type(record) is dict else None
        if record is None or (collection in RELATIONS and not concerns(collection, did, subject, scope)):
            return None
    scope.dropped["record of communities without proof"] += 1
    return Lost(seq, did, "a source without proofs says that it wrote of communities")


def _changed(did: str, collection: str, rkey: str, made: object, scope: Scope) -> set[str]:
    """Lists that a change may concern: the one that a new item names, or each of the owner's, as none is named."""
    if collection == LIST:
        return {f"at://{did}/{LIST}/{rkey}"}
    own = {uri for uri in scope.lists if uri.startswith(f"at://{did}/")}
    return own & {str(made.get("list"))} if type(made) is dict else own


def _of_no_use(collection: str, rkey: str, record: dict[str, Any], did: str, scope: Scope) -> bool:
    """Whether the index has no use for the record, whatever it hashes to. Nearly all end here."""
    try:
        return amounts_to(collection, rkey, b"", b"", record, did, scope) is None
    except RecordError:
        return False  # judged, and counted, once it is known to be what its cid says


def _block(record: dict[str, Any], cid: str) -> bytes | None:
    """The record as it stands in its repository; None when that does not hash to `cid`."""
    try:
        block = encode_dag_cbor(record, atjson_mode=True)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return block if CID.cidv1_dag_cbor_sha256_32_from(block).encode() == cid else None


def _judged(collection: str, rkey: str, block: bytes, stands: bool, did: str, scope: Scope) -> list[Op]:
    """What a record that is what its cid says amounts to."""
    try:
        op = judge(collection, rkey, bytes(CID.cidv1_dag_cbor_sha256_32_from(block)), block, did, scope)
    except RecordError as error:
        scope.dropped[str(error)] += 1
        op = None
    if op is not None:
        return [op]
    # What is indexed of this path is no longer what stands there.
    return [Delete(collection, rkey)] if stands else []
