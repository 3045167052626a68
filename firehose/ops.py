"""Which operations of a commit can matter to the index, read as far as that takes and no further.

Most commits concern nothing that is indexed; they cost a look at each operation's path and, for likes and posts, one
small record. What remains is a `Commit` with the few operations that the database has to see. Pure: no I/O, every
branch returns a value or counts a named reason.

Values come from anybody, so each is checked before it is used; one bad path or record drops that operation alone, a
commit that contradicts itself is dropped whole (com.atproto.sync.subscribeRepos#commit).
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from communities.matching import Match, Matcher
from communities.post import Post, read_post
from firehose.car import CarError, is_record_cid, likely_block, read_blocks
from firehose.known import Known
from firehose.records import RecordError, check_data_model, glance, read_record

MAX_OPS = 200
LIKE, REPOST, REPLY, QUOTE = 1, 2, 3, 4
POST = "app.bsky.feed.post"
LIST, LIST_ITEM = "app.bsky.graph.list", "app.bsky.graph.listitem"
ENGAGEMENTS = {"app.bsky.feed.like": LIKE, "app.bsky.feed.repost": REPOST}
_LISTS = frozenset((LIST, LIST_ITEM))
_WATCHED = frozenset((POST, *_LISTS, *ENGAGEMENTS))

_DID = re.compile(r"did:(?:plc:[a-z2-7]{24}|web:[A-Za-z0-9.%-]{1,253})")
_RKEY = re.compile(r"(?!\.\.?$)[A-Za-z0-9._~:-]{1,512}")
_PUTS = ("create", "update")
_REV = re.compile(r"[2-7a-j][2-7a-z]{12}")
POST_URI = re.compile(r"at://(did:[a-z]{1,20}:[A-Za-z0-9._:%-]{1,500})/app\.bsky\.feed\.post/([A-Za-z0-9._~:-]{1,512})")


@dataclass(slots=True)
class PutPost:
    """A post was created or changed. `matches` may be empty: then only what it answers or quotes may matter."""

    rkey: str
    cid: bytes
    block: bytes
    post: Post
    matches: list[Match]
    parent: str | None
    quote: str | None


@dataclass(slots=True)
class PutEngagement:
    """A like or repost of a post that may be indexed."""

    kind: int
    rkey: str
    subject: str


@dataclass(slots=True)
class PutListItem:
    """An account was put on a list that a rule names."""

    rkey: str
    list: str
    subject: str


@dataclass(slots=True)
class Delete:
    """A record is gone, or is no longer valid, which is the same."""

    collection: str
    rkey: str


Op = PutPost | PutEngagement | PutListItem | Delete


@dataclass(slots=True)
class Commit:
    """The operations of one commit that matter. `time` is what the stream says, informal."""

    seq: int
    did: str
    rev: str
    time: str
    ops: list[Op]


@dataclass(slots=True)
class Scope:
    """What is being looked for: the rules, what the index may hold, and the counts of what was dropped by reason."""

    posts: Known
    actors: Known
    matcher: Matcher = field(default_factory=Matcher)
    lists: frozenset[str] = frozenset()
    list_owners: frozenset[str] = frozenset()
    latest_rev: str = "zzzzzzzzzzzzz"
    dropped: Counter[str] = field(default_factory=Counter)


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
    cids: set[bytes] = set()
    for op in ops:
        if type(op) is not dict or type(path := op.get("path")) is not str:
            scope.dropped["op malformed"] += 1
            return None
        action, cid = op.get("action"), op.get("cid")
        if action != "delete" if cid is None else action not in _PUTS:
            scope.dropped["op contradicts itself"] += 1
            return None
        collection, _, rkey = path.partition("/")
        if collection not in _WATCHED or (collection in _LISTS and did not in scope.list_owners):
            continue
        if cid is None:
            # Deletions are looked at only for accounts that rows may point to.
            if did in scope.actors or did in scope.list_owners:
                wanted.append((collection, rkey, None, True))
        elif not is_record_cid(cid):
            scope.dropped["op cid malformed"] += 1
        else:
            cids.add(cid)
            replaces = action == "update" and (did in scope.actors or did in scope.list_owners)
            wanted.append((collection, rkey, cid, replaces))
    if len(ops) > 1 and len({op["path"] for op in ops}) < len(ops):
        scope.dropped["op contradicts itself"] += 1
        return None
    # Nearly every commit ends here, so what only those need that do not is looked at behind.
    if not wanted or (len(wanted) == 1 and _is_useless(payload.get("blocks"), did, *wanted[0], scope)):
        return None
    found = _read_wanted(payload, did, wanted, cids, scope)
    return _commit(payload, seq, did, found, scope) if found else None


_Wanted = tuple[str, str, bytes | None, bool]
"""Collection, rkey, CID (None: deletion), and whether an indexed record may stand there already."""


def _is_useless(
    car: object, did: str, collection: str, rkey: str, cid: bytes | None, replaces: bool, scope: Scope
) -> bool:
    """Whether a glance at the record, where it most likely stands, shows that the index has no use for it.

    What is glanced at may be something else and is held against no hash, so nothing may follow but to pass over it:
    whatever is of use, replaces something or looks odd is then read properly.
    """
    if cid is None or replaces or type(car) is not bytes:
        return False
    try:
        record = glance(likely_block(car, cid))
    except RecordError:
        return False
    if record.get("$type") != collection:
        return False
    if collection in ENGAGEMENTS:
        return _subject(record) not in scope.posts
    if collection == POST and not (did in scope.actors and f"at://{did}/{POST}/{rkey}" in scope.posts):
        post = read_post(record)
        return post is not None and not (
            scope.matcher.match(did, post) or post.parent in scope.posts or post.quote in scope.posts
        )
    return False


def _subject(record: dict[str, Any]) -> str:
    """The URI of what a like or repost is of; empty when it has none."""
    subject = record.get("subject")
    uri = subject.get("uri") if type(subject) is dict else None
    return uri if type(uri) is str else ""


def _read_wanted(payload: dict[str, Any], did: str, wanted: list[_Wanted], cids: set[bytes], scope: Scope) -> list[Op]:
    blocks: dict[bytes, bytes] = {}
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
    read: dict[tuple[str, bytes], Op | None] = {}
    for collection, rkey, cid, replaces in wanted:
        if cid is None:
            found.append(Delete(collection, rkey))
        else:
            # One block may stand under two hundred paths: it is read once, or a small commit could cost minutes.
            key = collection, cid
            op = read[key] if key in read else _read_put(collection, rkey, cid, blocks[cid], did, scope)
            read[key] = op
            if op is not None:
                found.append(op if op.rkey == rkey else replace(op, rkey=rkey))
            elif collection == LIST:
                continue  # a list that is made or changed: who is on it is said by its items
            elif replaces or (
                collection == POST and did in scope.actors and f"at://{did}/{POST}/{rkey}" in scope.posts
            ):
                # What is indexed of this path is no longer what stands there.
                found.append(Delete(collection, rkey))
    return found


def _commit(payload: dict[str, Any], seq: int, did: str, found: list[Op], scope: Scope) -> Commit | None:
    rev, time = payload.get("rev"), payload.get("time")
    if type(rev) is not str or not _REV.fullmatch(rev) or not _DID.fullmatch(did):
        scope.dropped["commit malformed"] += 1
        return None
    if rev > scope.latest_rev:
        scope.dropped["rev in the future"] += 1
        return None
    ops = [op for op in found if _RKEY.fullmatch(op.rkey)]
    if len(ops) < len(found):
        scope.dropped["path malformed"] += len(found) - len(ops)
    return Commit(seq, did, rev, time if type(time) is str else "", ops) if ops else None


def _read_put(collection: str, rkey: str, cid: bytes, block: bytes, did: str, scope: Scope) -> Op | None:
    """The operation that a created or changed record amounts to, or None when the index has no use for it."""
    try:
        record = glance(block)
        if collection == POST:
            post = read_post(record)
            if post is None:
                scope.dropped["post invalid"] += 1
                return None
            matches = scope.matcher.match(did, post)
            parent = post.parent if post.parent is not None and post.parent in scope.posts else None
            quote = post.quote if post.quote is not None and post.quote in scope.posts else None
            if not (matches or parent or quote):
                return None
            _check_kept(record, collection, block)
            return PutPost(rkey, cid, block, post, matches, parent, quote)
        if kind := ENGAGEMENTS.get(collection):
            uri = _subject(record)
            if uri in scope.posts:
                _check_kept(record, collection, block)
                return PutEngagement(kind, rkey, uri)
            return None
        if collection == LIST_ITEM:
            listed, member = record.get("list"), record.get("subject")
            if type(listed) is str and listed in scope.lists and type(member) is str and _DID.fullmatch(member):
                _check_kept(record, collection, block)
                return PutListItem(rkey, listed, member)
    except RecordError as error:
        scope.dropped[str(error)] += 1
    return None


def _check_kept(record: dict[str, Any], collection: str, block: bytes) -> None:
    """Raise RecordError unless what was glanced at is a record of its collection as the data model wants it."""
    if record.get("$type") != collection:
        raise RecordError("record is not of its collection")
    check_data_model(read_record(block))
