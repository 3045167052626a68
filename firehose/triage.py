"""Which operations of a commit can matter to the index, read as far as that takes and no further.

Most commits concern nothing that is indexed; they cost a look at each operation's path and, for likes and posts, one
small record. What remains is a `Commit` with the few operations that the database has to see. Pure: no I/O, every
branch returns a value or counts a named reason.

Values come from anybody, so each is checked before it is used; one bad path or record drops that operation alone, a
commit that contradicts itself is dropped whole (com.atproto.sync.subscribeRepos#commit).
"""

import re
from dataclasses import replace
from typing import Any

from communities.faults import INVALID, reason
from communities.post import read_post
from communities.records import BLOCK, OURS, RELATIONS, RecordRefusedError, read_said
from firehose.car import CarError, is_record_cid, likely_block, read_blocks
from firehose.ops import (
    ENGAGEMENTS,
    LIST,
    LIST_ITEM,
    POST,
    PUTS,
    SELDOM,
    WATCHED,
    Commit,
    Delete,
    Op,
    PutEngagement,
    PutListItem,
    PutPost,
    PutRecord,
    RefusedRecord,
    Scope,
)
from firehose.records import RecordError, check_data_model, glance, read_record

MAX_OPS = 200
_DID = re.compile(r"did:(?:plc:[a-z2-7]{24}|web:[A-Za-z0-9.%-]{1,253})")
_RKEY = re.compile(r"(?!\.\.?$)[A-Za-z0-9._~:-]{1,512}")
_REV = re.compile(r"[2-7a-j][2-7a-z]{12}")


def is_rkey(text: str) -> bool:
    """Whether `text` is a record key that the index takes."""
    return _RKEY.fullmatch(text) is not None


def read_commit(payload: dict[str, Any], seq: int, scope: Scope) -> Commit | None:
    """The part of a `#commit` payload that matters, or None."""
    ops = payload.get("ops")
    did = payload.get("repo")
    if type(ops) is not list or type(did) is not str or len(ops) > MAX_OPS:
        scope.dropped["commit malformed"] += 1
        return None
    if payload.get("tooBig") is True or payload.get("rebase") is True:
        scope.dropped["commit of a removed kind (tooBig, rebase)"] += 1
        return None
    wanted: list[_Wanted] = []
    for op in ops:
        if type(op) is not dict or type(path := op.get("path")) is not str:
            scope.dropped["op malformed"] += 1
            return None
        action, cid = op.get("action"), op.get("cid")
        if action != "delete" if cid is None else action not in PUTS:
            scope.dropped["op contradicts itself"] += 1
            return None
        collection, _, rkey = path.partition("/")
        if collection not in WATCHED or (collection in SELDOM and not scope.cares(collection, did)):
            continue
        if cid is None:
            # Deletions are looked at only for accounts that rows may point to.
            if did in scope.actors or did in scope.list_owners:
                wanted.append((collection, rkey, None, True))
        elif not is_record_cid(cid):
            scope.dropped["op cid malformed"] += 1
        else:
            replaces = action == "update" and (did in scope.actors or did in scope.list_owners)
            wanted.append((collection, rkey, cid, replaces))
    if len(ops) > 1 and len({op["path"] for op in ops}) < len(ops):
        scope.dropped["op contradicts itself"] += 1
        return None
    if not wanted:
        return None
    glanced = None
    if len(wanted) == 1 and wanted[0][2] is not None and not wanted[0][3]:
        # Nearly every commit ends here, so what only those need that do not is looked at behind.
        glanced = _glance_at(payload.get("blocks"), did, wanted[0], scope)
        if glanced is not None and glanced[1] is None:
            return None
    found = _read_wanted(payload, did, wanted, scope, glanced)
    return make_commit(seq, did, payload.get("rev"), payload.get("time"), found, scope) if found else None


_Wanted = tuple[str, str, bytes | None, bool]
"""Collection, rkey, CID (None: deletion), and whether an indexed record may stand there already."""


_Glanced = tuple[bytes, "Op | None"]
"""What looked like a record's block, and what it amounts to if it is."""


def _glance_at(car: object, did: str, wanted: _Wanted, scope: Scope) -> _Glanced | None:
    """A look at a new record where it most likely stands, held against no hash.

    It may be something else, so nothing may follow from it but to pass the record over, where it amounts to None.
    Whatever is of use, may stand where something indexed stands or looks odd (None) is then read properly.
    """
    collection, rkey, cid, _ = wanted
    if type(car) is not bytes or cid is None:
        return None
    block = likely_block(car, cid)
    try:
        op = _judge(collection, rkey, cid, block, did, scope)
    except RecordError:
        return None
    if op is None and may_stand(collection, rkey, did, scope):
        return None
    return block, op


def concerns(collection: str, did: str, subject: object, scope: Scope) -> bool:
    """Whether it is a follow or block of an account of a community, or a block by one."""
    return (type(subject) is str and subject in scope.accounts) or (collection == BLOCK and did in scope.accounts)


def may_stand(collection: str, rkey: str, did: str, scope: Scope) -> bool:
    """Whether a post of this name may be indexed, or is awaited."""
    return collection == POST and did in scope.actors and f"at://{did}/{POST}/{rkey}" in scope.posts


def _subject(record: dict[str, Any]) -> str:
    """The URI of what a like or repost is of; empty when it has none."""
    subject = record.get("subject")
    uri = subject.get("uri") if type(subject) is dict else None
    return uri if type(uri) is str else ""


def _read_wanted(
    payload: dict[str, Any], did: str, wanted: list[_Wanted], scope: Scope, glanced: _Glanced | None
) -> list[Op]:
    blocks: dict[bytes, bytes] = {}
    cids = {cid for _, _, cid, _ in wanted if cid is not None}
    if cids:
        root, car = payload.get("commit"), payload.get("blocks")
        if type(car) is not bytes or type(root) is not bytes:
            scope.dropped["commit malformed"] += 1
            return []
        try:
            blocks = read_blocks(car, root, cids)
        except CarError as error:
            scope.dropped[str(error)] += 1
            return []
    found: list[Op] = []
    read: dict[tuple[str, bytes | str], Op | None] = {}
    for collection, rkey, cid, replaces in wanted:
        if cid is None:
            found.append(Delete(collection, rkey))
        else:
            # One block may stand under two hundred paths: it is read once, or a small commit could cost minutes.
            key = collection, rkey if collection in OURS else cid
            op = read[key] if key in read else _read_put(collection, rkey, cid, blocks[cid], did, scope, glanced)
            read[key] = op
            if op is not None:
                found.append(op if op.rkey == rkey else replace(op, rkey=rkey))
                if type(op) is PutPost and op.matches:
                    # A whole thread may come as one commit: what answers this post may be the next operation.
                    scope.posts.add(f"at://{did}/{POST}/{rkey}")
            elif collection == LIST:
                continue  # a list that is made or changed: who is on it is said by its items
            elif replaces or may_stand(collection, rkey, did, scope):
                # What is indexed of this path is no longer what stands there.
                found.append(Delete(collection, rkey))
    return found


def make_commit(
    seq: int, did: str, rev: object, time: object, found: list[Op], scope: Scope, *, signed: bool = True
) -> Commit | None:
    """A commit of these operations; None when nothing of it can be used. Counts why."""
    if type(rev) is not str or not _REV.fullmatch(rev) or not _DID.fullmatch(did):
        scope.dropped["commit malformed"] += 1
        return None
    if rev > scope.latest_rev:
        scope.dropped["rev in the future"] += 1
        return None
    ops = [op for op in found if _RKEY.fullmatch(op.rkey)]
    if len(ops) < len(found):
        scope.dropped["path malformed"] += len(found) - len(ops)
    return Commit(seq, did, rev, time if type(time) is str else "", ops, signed) if ops else None


def _read_put(
    collection: str, rkey: str, cid: bytes, block: bytes, did: str, scope: Scope, glanced: _Glanced | None
) -> Op | None:
    """The operation that a created or changed record amounts to, or None when the index has no use for it."""
    try:
        if glanced is None or glanced[0] != block or collection in OURS:
            return judge(collection, rkey, cid, block, did, scope)
        if glanced[1] is not None:
            check_data_model(read_record(block))
        return glanced[1]
    except RecordError as error:
        scope.dropped[str(error)] += 1
        return None


def judge(collection: str, rkey: str, cid: bytes, block: bytes, did: str, scope: Scope) -> Op | None:
    """What a record that is proven to be one amounts to; None when the index has no use for it. Raises RecordError,
    unless it is one of ours: its author is told then what is wrong with it.
    """
    try:
        op = _judge(collection, rkey, cid, block, did, scope)
        if op is not None:
            # What was glanced at and is kept must be what the data model wants.
            check_data_model(read_record(block))
    except RecordError as error:
        if collection not in OURS:
            raise
        return RefusedRecord(collection, rkey, cid, INVALID, reason(str(error)))
    return op


def _judge(collection: str, rkey: str, cid: bytes, block: bytes, did: str, scope: Scope) -> Op | None:
    """What a record amounts to by a glance; None when the index has no use for it. Raises RecordError."""
    return amounts_to(collection, rkey, cid, block, glance(block), did, scope)


def amounts_to(
    collection: str, rkey: str, cid: bytes, block: bytes, record: dict[str, Any], did: str, scope: Scope
) -> Op | None:
    """What a decoded record amounts to, were it proven; None when the index has no use for it. Raises RecordError."""
    op: Op | None = None
    if kind := ENGAGEMENTS.get(collection):
        if (uri := _subject(record)) in scope.posts:
            op = PutEngagement(kind, rkey, uri)
    elif collection == POST:
        post = read_post(record)
        if post is None:
            raise RecordError("post invalid")
        revision, matches = scope.matcher.revision, scope.matcher.match(did, post)
        parent = post.parent if post.parent in scope.posts else None
        quote = post.quote if post.quote in scope.posts else None
        joins = scope.matcher.joined_by(post) if scope.matcher.joins else ()
        stands = may_stand(collection, rkey, did, scope)
        calls: tuple[int, ...] = ()
        if post.mentions and scope.matcher.calls and scope.decides(did):
            calls = scope.matcher.called_by(post)
        if matches or parent or quote or joins or stands or calls:
            op = PutPost(rkey, cid, block, post, matches, parent, quote, joins, stands, revision, calls)
    elif collection == LIST_ITEM:
        listed, member = record.get("list"), record.get("subject")
        if type(listed) is str and listed in scope.lists and type(member) is str and _DID.fullmatch(member):
            op = PutListItem(rkey, listed, member)
    elif collection in OURS or (collection in RELATIONS and concerns(collection, did, record.get("subject"), scope)):
        try:
            said = read_said(scope.catalog, did, collection, rkey, read_record(block))
        except RecordRefusedError as refused:
            if collection in OURS:
                return RefusedRecord(collection, rkey, cid, refused.name, reason(str(refused)))
            raise RecordError(f"record refused: {refused.name}") from None
        op = PutRecord(collection, rkey, cid, said)
    if op is not None and record.get("$type") != collection:
        raise RecordError("record is not of its collection")
    return op
