"""Operations of commits as the index takes them, and what decides which of them it takes (firehose/triage.py)."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Set
from dataclasses import dataclass, field

from communities.matching import Joins, Match, Matcher
from communities.post import Post
from communities.records import OURS, RELATIONS, Said, SubmissionRecord
from firehose.known import Known
from firehose.verify import Verified
from xrpc.lexicon import Catalog

LIKE, REPOST, REPLY, QUOTE = 1, 2, 3, 4
POST = "app.bsky.feed.post"
LIST, LIST_ITEM = "app.bsky.graph.list", "app.bsky.graph.listitem"
ENGAGEMENTS = {"app.bsky.feed.like": LIKE, "app.bsky.feed.repost": REPOST}
LISTS = frozenset((LIST, LIST_ITEM))
WATCHED = frozenset((POST, *LISTS, *ENGAGEMENTS, *OURS, *RELATIONS))
"""Collections whose records can matter."""
SELDOM = LISTS | RELATIONS
"""Of these, those that matter of few accounts or none (`Scope.cares`)."""

PUTS = ("create", "update")
POST_URI = re.compile(r"at://(did:[a-z]{1,20}:[A-Za-z0-9._:%-]{1,500})/app\.bsky\.feed\.post/([A-Za-z0-9._~:-]{1,512})")


@dataclass(slots=True)
class PutPost:
    """A post was created or changed. `matches` may be empty: then only what it answers or quotes may matter, or that it
    was submitted, or approved by a moderator (`stands`: it may be, or be indexed already).
    """

    rkey: str
    cid: bytes
    block: bytes
    post: Post
    matches: list[Match]
    parent: str | None
    quote: str | None
    joins: tuple[Joins, ...] = ()
    stands: bool = False
    revision: int = 0
    """That of the matcher which has found `matches`."""
    calls: tuple[int, ...] = ()
    """Communities that it may command something, by the account to which it is addressed."""


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
class PutRecord:
    """A record that shapes communities was written."""

    collection: str
    rkey: str
    cid: bytes
    said: Said


@dataclass(slots=True)
class RefusedRecord:
    """A record of ours was written that has no effect for what it says: the name of the fault, and the reason for
    people, as `faults.reason` makes it.
    """

    collection: str
    rkey: str
    cid: bytes
    name: str
    why: str


@dataclass(slots=True)
class Delete:
    """A record is gone, or is no longer valid, which is the same."""

    collection: str
    rkey: str


Op = PutPost | PutEngagement | PutListItem | PutRecord | RefusedRecord | Delete


@dataclass(slots=True)
class Commit:
    """The operations of one commit that matter. `time` is what the stream says, informal.

    `signed`: whether it came as the account signed it; `proof`: what that was found to say.
    """

    seq: int
    did: str
    rev: str
    time: str
    ops: list[Op]
    signed: bool = True
    proof: Verified | None = None

    @property
    def makes_members(self) -> bool:
        """Whether it puts anybody on a list that a rule names; the rules believe that at once (`Scope.expect`)."""
        return any(type(op) is PutListItem for op in self.ops)


def _nobody(_: str) -> None:
    pass


def _never(_: str) -> bool:
    return False


@dataclass(slots=True)
class Scope:
    """What is being looked for: the rules, what the index may hold; the counts of what was dropped by reason; and who
    wants to hear of what concerns no row.
    """

    posts: Known
    actors: Known
    matcher: Matcher = field(default_factory=Matcher)
    lists: Set[str] = frozenset()
    list_owners: Container[str] = frozenset()
    full: Container[str] = frozenset()
    """Accounts whose every commit is followed: members, owners."""
    first: Container[str] = frozenset()
    """Of these, those whose repositories are read before all others: those that nobody can name from afar."""
    declared: Known = field(default_factory=Known)
    """The at-uris of records that shape communities."""
    accounts: Collection[str] = frozenset()
    """Accounts of communities: whoever follows or blocks one, or is blocked by one, means something by it."""
    catalog: Catalog = field(default_factory=lambda: Catalog(()))
    """The lexicons that records of communities are held against."""
    decides: Callable[[str], bool] = _never
    """Whether an account may have a role in which it decides for a community: its posts can be commands."""
    latest_rev: str = "zzzzzzzzzzzzz"
    dropped: Counter[str] = field(default_factory=Counter)
    on_identity: Callable[[str], None] = _nobody
    """Called with each DID whose document may have changed."""
    on_doubt: Callable[[str], None] = _nobody
    """Called with the URI of each list that a source without proofs says was changed."""

    @property
    def wanted(self) -> frozenset[str]:
        """Collections whose records can matter now."""
        return WATCHED if self.accounts else WATCHED - RELATIONS

    def cares(self, collection: str, did: str) -> bool:
        """Whether a record of a collection of SELDOM can matter in the repository of `did`."""
        return did in self.list_owners if collection in LISTS else bool(self.accounts)

    def expect(self, commit: "Commit") -> None:
        """Look for what follows from a commit from the next event on, before it is stored."""
        self.actors.add(commit.did)
        for op in commit.ops:
            if type(op) is PutPost and op.matches:
                self.posts.add(f"at://{commit.did}/{POST}/{op.rkey}")
            elif isinstance(op, PutRecord | RefusedRecord):
                self.declared.add(f"at://{commit.did}/{op.collection}/{op.rkey}")
                if type(op) is PutRecord and type(op.said) is SubmissionRecord:
                    self.posts.add(op.said.post)
            elif type(op) is PutListItem and op.list.startswith(f"at://{commit.did}/"):
                # A new member's next post may be the very next event.
                self.matcher.add_list_member(op.list, op.subject)
