"""What the index has a use for of one whole, verified repository."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from mmap import mmap

from firehose.known import Known
from firehose.ops import ENGAGEMENTS, POST, SELDOM, WATCHED, PutEngagement, PutListItem, PutPost, PutRecord, Scope
from firehose.records import RecordError
from firehose.repo import read_repo
from firehose.times import sort_micros, tid_micros
from firehose.triage import is_rkey, judge
from xrpc.key import PublicKey

MOST_POSTS = 50_000
MOST_SAID = 2000
MOST_ENGAGEMENTS = 200_000
MOST_LATE = 10_000
"""Of one account, the newest. Somebody may have filled his repository with nothing else, to fill our memory."""


@dataclass(slots=True)
class Snapshot:
    """The state of a repository at `rev`. `data`: root of its tree; times are microseconds.

    `event_at` says when each post of `puts` was written, as far as its key tells. `keys` are the keys of all posts,
    of those too that are of no use. `late`: collection and key, and CID, of what was written so lately that the stream
    may still have to bring what it is about.
    """

    did: str
    rev: str
    data: bytes
    records: int = 0
    puts: list[PutPost] = field(default_factory=list)
    event_at: list[int] = field(default_factory=list)
    engagements: list[PutEngagement] = field(default_factory=list)
    members: list[PutListItem] = field(default_factory=list)
    said: list[PutRecord] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    late: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def trim(self) -> None:
        """Keep the newest MOST_POSTS posts, in their order."""
        if len(self.puts) > MOST_POSTS:
            newest = sorted(range(len(self.puts)), key=self.event_at.__getitem__)[-MOST_POSTS:]
            newest.sort()
            self.puts = [self.puts[at] for at in newest]
            self.event_at = [self.event_at[at] for at in newest]

    def posts(self) -> Iterator[str]:
        """URIs of the posts that belong to communities."""
        return (f"at://{self.did}/{POST}/{put.rkey}" for put in self.puts if put.matches)


_EDGED = frozenset((POST, *ENGAGEMENTS))


class _Own(Known):
    """The posts that are known, and those found in this repository: what answers them stands behind them.

    The filter itself belongs to another thread.
    """

    __slots__ = ("_known", "also")

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.also: set[str] = set()
        self._known = known

    def __contains__(self, key: str | None) -> bool:
        return key in self.also or key in self._known


def read_snapshot(car: bytes | mmap, did: str, key: PublicKey, scope: Scope, oldest: int, stream_at: int) -> Snapshot:
    """Read the repository export `car`. Posts written before `oldest` are left out. `stream_at`: how far the stream has
    come. Both are microseconds. Raises RepoError.
    """
    repo = read_repo(car, did, key, scope.latest_rev)
    found = Snapshot(did, repo.rev, repo.data)
    own = _Own(scope.posts)
    scope = replace(scope, posts=own)
    now = tid_micros(scope.latest_rev)
    for path, cid, block in repo.records():
        found.records += 1
        collection, _, rkey = path.partition("/")
        if collection not in WATCHED or not is_rkey(rkey):
            continue
        if collection == POST:
            found.keys.add(rkey)
        elif collection in SELDOM and not scope.cares(collection, did):
            continue
        if collection in _EDGED and len(found.late) < MOST_LATE and tid_micros(rkey) >= stream_at:
            found.late[collection, rkey] = cid
        try:
            op = judge(collection, rkey, cid, block, did, scope)
        except RecordError:
            continue
        if type(op) is PutPost:
            written = tid_micros(rkey) or sort_micros(op.post.created_at, now)
            written = min(written, now)
            if written >= oldest:
                if op.matches:
                    own.also.add(f"at://{did}/{POST}/{rkey}")
                op.post.record = {}  # it was judged; the block is kept
                found.puts.append(op)
                found.event_at.append(written)
                if len(found.puts) >= 2 * MOST_POSTS:
                    found.trim()
        elif type(op) is PutEngagement:
            found.engagements.append(op)
            if len(found.engagements) >= 2 * MOST_ENGAGEMENTS:
                del found.engagements[:-MOST_ENGAGEMENTS]
        elif type(op) is PutRecord:
            if len(found.said) < MOST_SAID:
                found.said.append(op)
        elif type(op) is PutListItem and op.list.startswith(f"at://{did}/"):
            found.members.append(op)
    found.trim()
    del found.engagements[:-MOST_ENGAGEMENTS]
    return found
