"""What the index has a use for of one whole, verified repository."""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from mmap import mmap

from communities.faults import TOO_LARGE
from communities.records import OURS
from firehose.car import MAX_RECORD
from firehose.known import Known
from firehose.ops import (
    POST,
    QUOTE,
    REPLY,
    SELDOM,
    WATCHED,
    Op,
    PutEngagement,
    PutListItem,
    PutPost,
    PutRecord,
    RefusedRecord,
    Scope,
)
from firehose.records import RecordError
from firehose.repo import read_repo
from firehose.times import sort_micros, tid, tid_micros
from firehose.triage import is_rkey, judge
from xrpc.key import PublicKey

MOST_POSTS = 50_000
MOST_SAID, MOST_RELATIONS = 2000, 10_000
MOST_ENGAGEMENTS = 200_000
MOST_LATE, MOST_LATE_OF_OTHERS = 10_000, 1_000
"""Of one account, the newest. Somebody may have filled his repository with nothing else, to fill our memory. What is
about posts that are not here stays in the database for a while: of accounts that are not followed there is less.
"""
LONGEST_URI = 300
"""Of a post that is not here and is remembered: room for every name of a host."""


@dataclass(slots=True)
class Snapshot:
    """The state of a repository at `rev`. `data`: root of its tree; times are microseconds.

    `event_at` says when each post of `puts` was written, as far as its key tells. `keys` are the keys of all posts,
    of those too that are of no use; `told` collections and keys of all that is said of communities, `said` some of it,
    if it is too much. `late`: likes, reposts, replies and quotes that may be of a post which is still to come, and are
    to be noted unless it is here.
    """

    did: str
    rev: str
    data: bytes
    records: int = 0
    puts: list[PutPost] = field(default_factory=list)
    event_at: list[int] = field(default_factory=list)
    engagements: list[PutEngagement] = field(default_factory=list)
    members: list[PutListItem] = field(default_factory=list)
    said: list[PutRecord | RefusedRecord] = field(default_factory=list)
    told: set[tuple[str, str]] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    late: list[PutEngagement] = field(default_factory=list)

    def trim(self) -> None:
        """Keep the newest MOST_POSTS posts, in their order."""
        if len(self.puts) > MOST_POSTS:
            newest = sorted(range(len(self.puts)), key=self.event_at.__getitem__)[-MOST_POSTS:]
            newest.sort()
            self.puts = [self.puts[at] for at in newest]
            self.event_at = [self.event_at[at] for at in newest]

    def trim_late(self, most: int) -> None:
        """Keep the newest of `late`."""
        self.late.sort(key=lambda op: op.rkey)
        del self.late[:-most]

    def posts(self) -> Iterator[str]:
        """URIs of the posts that belong to communities."""
        return (f"at://{self.did}/{POST}/{put.rkey}" for put in self.puts if put.matches)


_POSTS = f"/{POST}"


class _Wanted(Known):
    """The posts that are here, which are those that are known and those found in this repository (what answers them
    stands behind them), and those that may still come.

    The filter itself belongs to another thread.
    """

    __slots__ = ("_known", "_oldest", "_since", "also", "authors", "brings_its_own", "itself", "lately")

    def __init__(self, known: Known, authors: Container[str], itself: str, oldest: int, stream_at: int) -> None:
        super().__init__()
        self.also: set[str] = set()
        self.authors = authors
        """Accounts whose repositories bring their posts, if the stream does not."""
        self.itself, self.brings_its_own = itself, True
        """The account whose repository it is, and whether what is read may still be about posts of its own."""
        self.lately = False
        """Whether what is looked at was written when the stream had not come so far: it may be about any post."""
        self._known = known
        self._oldest = oldest
        self._since = tid(stream_at)

    def __contains__(self, key: str | None) -> bool:
        return self.here(key) or (key is not None and self.may_come(key))

    def here(self, key: str | None) -> bool:
        """Whether a post may be here already."""
        return key in self.also or key in self._known

    def is_late(self, rkey: str) -> bool:
        """Whether a record was written when the stream had not come so far, as its key tells."""
        return len(rkey) == 13 and rkey >= self._since

    def may_come(self, uri: str) -> bool:
        """Whether a post may still be admitted, as far as its URI tells."""
        place, _, rkey = uri.rpartition("/")
        if len(uri) > LONGEST_URI or not place.endswith(_POSTS):
            return False
        if self.lately or self.is_late(rkey):
            return True
        author = place[5 : -len(_POSTS)]
        brought = self.brings_its_own if author == self.itself else author in self.authors
        return brought and not 0 < tid_micros(rkey) < self._oldest


def read_snapshot(car: bytes | mmap, did: str, key: PublicKey, scope: Scope, oldest: int, stream_at: int) -> Snapshot:
    """Read the repository export `car`. Posts written before `oldest` are left out. `stream_at`: how far the stream has
    come. Both are microseconds. Raises RepoError.
    """
    repo = read_repo(car, did, key, scope.latest_rev)
    found = Snapshot(did, repo.rev, repo.data)
    most_late = MOST_LATE if did in scope.full else MOST_LATE_OF_OTHERS
    posts = _Wanted(scope.posts, scope.full, did, oldest, stream_at)
    scope = replace(scope, posts=posts)
    now = tid_micros(scope.latest_rev)
    said: Counter[bool] = Counter()
    for path, cid, block in repo.records():
        collection, _, rkey = path.partition("/")
        if block is None and collection not in OURS:
            continue  # as if it were not there
        found.records += 1
        if collection not in WATCHED or not is_rkey(rkey):
            continue
        if collection == POST:
            found.keys.add(rkey)
        elif collection in SELDOM and not scope.cares(collection, did):
            continue
        posts.lately = posts.is_late(rkey)
        # Its own posts stand behind its likes, and before what answers them.
        posts.brings_its_own = collection != POST
        try:
            op = _judge(collection, rkey, cid, block, did, scope)
        except RecordError:
            continue
        edges: list[tuple[int, str | None]] = []
        if type(op) is PutPost:
            written = tid_micros(rkey) or sort_micros(op.post.created_at, now)
            written = min(written, now)
            if written >= oldest:
                edges = [(REPLY, op.parent), (QUOTE, op.quote)]
                if op.matches:
                    posts.also.add(f"at://{did}/{POST}/{rkey}")
                if op.matches or op.stands or op.joins or posts.here(op.parent) or posts.here(op.quote):
                    op.post.record = {}  # it was judged; the block is kept
                    found.puts.append(op)
                    found.event_at.append(written)
                    if len(found.puts) >= 2 * MOST_POSTS:
                        found.trim()
        elif type(op) is PutEngagement:
            edges = [(op.kind, op.subject)]
            if posts.here(op.subject):
                found.engagements.append(op)
            if len(found.engagements) >= 2 * MOST_ENGAGEMENTS:
                del found.engagements[:-MOST_ENGAGEMENTS]
        elif isinstance(op, PutRecord | RefusedRecord):
            found.told.add((collection, rkey))
            ours = collection in OURS
            said[ours] += 1
            if said[ours] <= (MOST_SAID if ours else MOST_RELATIONS):
                found.said.append(op)
        elif type(op) is PutListItem and op.list.startswith(f"at://{did}/"):
            found.members.append(op)
        found.late += [PutEngagement(kind, rkey, uri) for kind, uri in edges if uri is not None and posts.may_come(uri)]
        if len(found.late) >= 2 * most_late:
            found.trim_late(most_late)
    found.trim()
    found.trim_late(most_late)
    del found.engagements[:-MOST_ENGAGEMENTS]
    return found


def _judge(collection: str, rkey: str, cid: bytes, block: bytes | None, did: str, scope: Scope) -> Op | None:
    """As `judge`; without a block: of a record of ours that is too large to be one."""
    if block is not None:
        return judge(collection, rkey, cid, block, did, scope)
    return RefusedRecord(collection, rkey, cid, TOO_LARGE, f"it is larger than {MAX_RECORD:,} bytes")
