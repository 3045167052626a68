"""What the whole index must be: an independent, naive reading of what people did.

    oracle = Oracle((Rule("python", tags=("python",)),))
    oracle.put(did, "app.bsky.feed.post/1", cid, {"text": "", "tags": ["python"], ...}, at=now)
    oracle.verdict(seen).clean

It is told every deed when it is done, never a frame, and keeps everything in dictionaries. It shares no code with the
service. What a stream can be trusted to bring is *required*. What is true, but was said before the index could know
that it matters (a like of a post that entered a community later), is *allowed*: replays and whole repositories may
bring it. Everything else is wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

POST, LIKE, REPOST = "app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.repost"
ITEM = "app.bsky.graph.listitem"
KINDS = ("like", "repost", "reply", "quote")
DAY = 86_400_000_000
OPTED_OUT = {"nofeed", "private"}
KEY_BEFORE = 10_000
"""Microseconds by which a post's key may be older than its event."""

Edge = tuple[str, str, str]
"""DID, kind, rkey of a like, repost, reply or quote."""


@dataclass(frozen=True)
class Rule:
    """A community as its file declares it, as far as histories need it."""

    slug: str
    tags: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass
class Seen:
    """An index as somebody found it. `feeds` are what readers get, the newest first; the rest is everything stored."""

    feeds: dict[str, list[str]] = field(default_factory=dict)
    posts: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """URI -> CID, and likes, reposts, replies, quotes as counted."""
    items: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """Slug, URI -> evidences."""
    edges: dict[Edge, str] = field(default_factory=dict)
    """-> URI of the post."""
    lists: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Owner, rkey -> list, member."""
    accounts: dict[str, tuple[bool, str | None]] = field(default_factory=dict)
    """DID -> active, and as what it is not."""


@dataclass
class Verdict:
    """Differences, each in words. `early` are none: true, but more than the stream alone would have brought."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the index is what it must be."""
        return not (self.lost or self.doubled or self.resurrected or self.wrong)

    def __str__(self) -> str:
        said = [f"{name}: {what}" for name, found in vars(self).items() for what in found[:10]]
        return "\n".join(said) or "equal"


@dataclass
class _Post:
    did: str
    cid: str
    sort_at: int
    earliest: int
    """Where it may stand if its events were missed: where another stood under its key, or when the first of them was
    made, whether that was of any interest or not.
    """
    places: dict[str, frozenset[str]]


class Oracle:
    """See the module. Times are microseconds."""

    def __init__(self, rules: Sequence[Rule], max_age: int = 7 * DAY) -> None:
        self.rules = rules
        self.records: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {}
        """DID -> path -> CID and value: all that exists in the network."""
        self.posts: dict[str, _Post] = {}
        self.edges: dict[Edge, str] = {}
        self.lists: dict[tuple[str, str], tuple[str, str]] = {}
        self.standing: dict[str, tuple[bool, str | None]] = {}
        self._max_age = max_age
        self._stood: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._turn = 0
        self._put: dict[tuple[str, str], int] = {}
        self._left: dict[str, int] = {}
        """In the order of `_turn`: when a record was last written (DID, path), and when a post left the index."""

    # What people do

    def put(self, did: str, path: str, cid: str, record: Mapping[str, Any], at: int) -> None:
        """A record was created or changed."""
        self.records.setdefault(did, {})[path] = cid, record
        self._turn += 1
        self._put[did, path] = self._turn
        self._made.setdefault(uri_of(did, path), at - KEY_BEFORE)
        if self.active(did):
            self._take(did, path, at)

    def delete(self, did: str, path: str) -> None:
        """A record was deleted."""
        self.records.get(did, {}).pop(path, None)
        collection, rkey = path.split("/")
        if collection == POST:
            self._drop(uri_of(did, path))
        if collection == ITEM and self.lists.pop((did, rkey), None) is not None:
            self._regard()
        for kind in KINDS:
            if collection == _collection(kind):
                self.edges.pop((did, kind, rkey), None)

    def stands(self, did: str, active: bool, status: str | None = None) -> None:
        """An account is active or not. One that was deleted leaves nothing."""
        self.standing[did] = active, None if active else status
        if not active and status == "deleted":
            self.records.pop(did, None)
            for uri in [uri for uri, post in self.posts.items() if post.did == did]:
                self._drop(uri)
            self.edges = {edge: uri for edge, uri in self.edges.items() if edge[0] != did}

    def reread(self, did: str, records: Mapping[str, tuple[str, Mapping[str, Any]]], at: int) -> None:
        """The whole repository of an account was read: what it holds is known, and nothing else is there."""
        for path in self.records.get(did, {}).keys() - records.keys():
            self.delete(did, path)
        self.records[did] = dict(records)
        required = dict(self.edges)
        for path in sorted(records, key=lambda path: not path.startswith(POST)):
            self._take(did, path, at)
        for edge in [edge for edge in self.edges if edge[0] == did]:
            _, kind, rkey = edge
            uri, path = self.edges[edge], f"{_collection(kind)}/{rkey}"
            # It may have been read before the post left and came again; nothing told of it then.
            if required.get(edge) != uri and self._left.get(uri, -1) >= self._put.get((did, path), 0):
                del self.edges[edge]

    # What follows

    def active(self, did: str) -> bool:
        """Whether an account is to be seen."""
        return self.standing.get(did, (True, None))[0]

    def places(self, did: str, record: Mapping[str, Any]) -> dict[str, frozenset[str]]:
        """The communities that a post belongs to, with the reasons."""
        tags = {tag.lower() for tag in record.get("tags", ())}
        for facet in record.get("facets", ()):
            tags |= {feature["tag"].lower() for feature in facet["features"] if "tag" in feature}
        if tags & OPTED_OUT:
            return {}
        text = str(record["text"]).lower()
        found = {}
        for rule in self.rules:
            reasons = {f"hashtag:{tag}" for tag in rule.tags if tag in tags}
            reasons |= {f"keyword:{phrase}" for phrase in rule.phrases if f" {phrase} " in f" {text} "}
            reasons |= {f"list:{uri}" for uri in rule.lists if (uri, did) in self.lists.values()}
            reasons |= {f"member:{member}" for member in rule.members if member == did}
            if reasons and not tags & set(rule.without):
                found[rule.slug] = frozenset(reasons)
        return found

    def _take(self, did: str, path: str, at: int) -> None:
        _, record = self.records[did][path]
        collection, rkey = path.split("/")
        if collection == POST:
            self._take_post(did, path, at)
        elif collection == ITEM and self._named(did, str(record["list"])):
            self.lists[did, rkey] = record["list"], record["subject"]
            self._regard()
        for kind, uri in _said(collection, record).items():
            self.edges.pop((did, kind, rkey), None)
            if uri in self.posts:
                self.edges[did, kind, rkey] = uri

    def _named(self, owner: str, uri: str) -> bool:
        """Whether a rule names this list, and it is this owner's: nobody else adds to it."""
        return uri.startswith(f"at://{owner}/") and any(uri in rule.lists for rule in self.rules)

    def _take_post(self, did: str, path: str, at: int) -> None:
        cid, record = self.records[did][path]
        uri, places = uri_of(did, path), self.places(did, record)
        held = self.posts.get(uri)
        sort_at = held.sort_at if held else sorted_at(record, at)
        made = self._made.get(uri, at - KEY_BEFORE) if sort_at == at else sort_at
        # Also if it is in no community yet: what waits for keys is held against the rules of when it is stored.
        earliest = self._stood.setdefault(uri, made)
        if not places or (held is None and sort_at < at - self._max_age):
            self._drop(uri)
        else:
            self.posts[uri] = _Post(did, cid, sort_at, min(earliest, made), places)

    def _drop(self, uri: str) -> None:
        """A post leaves the index, and what was said of it is forgotten."""
        if self.posts.pop(uri, None) is not None:
            self._turn += 1
            self._left[uri] = self._turn
        self.edges = {edge: about for edge, about in self.edges.items() if about != uri}

    def _regard(self) -> None:
        """A list may have changed: stored posts are held against the rules anew."""
        for uri, post in list(self.posts.items()):
            _, record = self.records[post.did][uri.removeprefix(f"at://{post.did}/")]
            post.places = self.places(post.did, record)
            if not post.places:
                self._drop(uri)

    # What must be there, and what may

    def feed(self, slug: str) -> list[str]:
        """What readers of a community get, the newest first."""
        shown = [uri for uri, post in self.posts.items() if slug in post.places and self.active(post.did)]
        return sorted(shown, key=lambda uri: -self.posts[uri].sort_at)

    def index(self) -> Seen:
        """The index as it must be."""
        counts = self._counted(self.edges)
        return Seen(
            {rule.slug: self.feed(rule.slug) for rule in self.rules},
            {uri: (post.cid, counts[uri]) for uri, post in self.posts.items()},
            {(slug, uri): why for uri, post in self.posts.items() for slug, why in post.places.items()},
            dict(self.edges),
            dict(self.lists),
            dict(self.standing),
        )

    def _counted(self, edges: Mapping[Edge, str]) -> defaultdict[str, tuple[int, ...]]:
        """By post: the accounts that are active, each once a kind, by KINDS."""
        who = {(uri, kind, did) for (did, kind, _), uri in edges.items() if self.active(did)}
        counts = Counter((uri, kind) for uri, kind, _ in who)
        found = {uri: tuple(counts[uri, kind] for kind in KINDS) for uri, _ in counts}
        return defaultdict(lambda: (0, 0, 0, 0), found)

    def _existing(self, uri: str) -> tuple[str, Mapping[str, Any]] | None:
        did, _, path = uri.removeprefix("at://").partition("/")
        return self.records.get(did, {}).get(path)

    def _post_allowed(self, uri: str) -> bool:
        found = self._existing(uri)
        return found is not None and bool(self.places(_did(uri), found[1]))

    def _edge_allowed(self, edge: Edge, uri: str, seen: Seen) -> bool:
        did, kind, rkey = edge
        found = self.records.get(did, {}).get(f"{_collection(kind)}/{rkey}")
        return found is not None and _said(_collection(kind), found[1]).get(kind) == uri and uri in seen.posts

    def verdict(self, seen: Seen) -> Verdict:
        """What is different in `seen` from what it must be."""
        verdict, must, rows = Verdict(), self.index(), self._counted(seen.edges)
        for uri in must.posts.keys() - seen.posts.keys():
            verdict.lost.append(f"post {uri}")
        for uri, (cid, counts) in seen.posts.items():
            found = self._existing(uri)
            if uri not in must.posts:
                (verdict.early if self._post_allowed(uri) else verdict.resurrected).append(f"post {uri}")
            if found is not None and found[0] != cid:
                verdict.wrong.append(f"post {uri} is not as it was last written")
            for kind, said, true in zip(KINDS, counts, rows[uri], strict=True):
                if said != true:
                    (verdict.doubled if said > true else verdict.lost).append(f"{uri}: {said} {kind}s, {true} rows")
        self._judge_edges(must, seen, verdict)
        self._judge_items(must, seen, verdict)
        self._judge_feeds(must, seen, verdict)
        verdict.lost += [f"list item {key}" for key in must.lists.keys() - seen.lists.keys()]
        verdict.resurrected += [f"list item {key}" for key in seen.lists.keys() - must.lists.keys()]
        common = must.lists.keys() & seen.lists.keys()
        verdict.wrong += [f"list item {key}" for key in common if must.lists[key] != seen.lists[key]]
        for did, held in seen.accounts.items():
            if held != (right := must.accounts.get(did, (True, None))):
                verdict.wrong.append(f"{did} is {right} and is held for {held}")
        return verdict

    def _judge_edges(self, must: Seen, seen: Seen, verdict: Verdict) -> None:
        for edge in must.edges.keys() - seen.edges.keys():
            verdict.lost.append(f"{edge} of {must.edges[edge]}")
        for edge, uri in seen.edges.items():
            if must.edges.get(edge) == uri:
                continue
            if self._edge_allowed(edge, uri, seen):
                verdict.early.append(f"{edge} of {uri}")
            else:
                (verdict.wrong if edge in must.edges else verdict.resurrected).append(f"{edge} of {uri}")

    def _judge_items(self, must: Seen, seen: Seen, verdict: Verdict) -> None:
        verdict.lost += [f"{uri} in {slug}" for slug, uri in must.items.keys() - seen.items.keys()]
        for (slug, uri), why in seen.items.items():
            found = self._existing(uri)
            right = self.places(_did(uri), found[1]).get(slug) if found else None
            if right is None:
                verdict.resurrected.append(f"{uri} in {slug}")
            elif right != why:
                verdict.wrong.append(f"{uri} is in {slug} for {sorted(why)}, not for {sorted(right)}")

    def _judge_feeds(self, must: Seen, seen: Seen, verdict: Verdict) -> None:
        for slug, feed in seen.feeds.items():
            right = must.feeds[slug]
            verdict.lost += [f"{uri} from the feed {slug}" for uri in right if uri not in feed]
            verdict.doubled += [f"{uri} in the feed {slug}" for uri, times in Counter(feed).items() if times > 1]
            for uri in dict.fromkeys(feed):
                if not self.active(_did(uri)) or not self._post_allowed(uri):
                    verdict.resurrected.append(f"{uri} in the feed {slug}")
            if not self._in_order([uri for uri in feed if uri in right]):
                verdict.wrong.append(f"the order of {slug}")

    def _in_order(self, feed: Sequence[str]) -> bool:
        """Whether there are times, for each post one at which it may stand, that fall from each to the next."""
        last = max((self.posts[uri].sort_at for uri in feed), default=0)
        for uri in feed:
            last = min(last, self.posts[uri].sort_at)
            if last < self.posts[uri].earliest:
                return False
        return True


def uri_of(did: str, path: str) -> str:
    """The at-uri of a record."""
    return f"at://{did}/{path}"


def _did(uri: str) -> str:
    return uri.removeprefix("at://").partition("/")[0]


def sorted_at(record: Mapping[str, Any], at: int) -> int:
    """Where a post stands: when it says it was written, unless that is later than its event or no time at all."""
    try:
        said = int(datetime.fromisoformat(record["createdAt"]).timestamp() * 1000) * 1000
    except ValueError:
        return at
    return said if 0 < said <= at else at


def _collection(kind: str) -> str:
    return {"like": LIKE, "repost": REPOST}.get(kind, POST)


def _said(collection: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """Kind -> the post that a record is about; None where it could be about one, and is not."""
    if collection == POST:
        embed = record.get("embed", {})
        quoted = embed["record"]["uri"] if embed.get("$type") == "app.bsky.embed.record" else None
        return {"reply": record.get("reply", {}).get("parent", {}).get("uri"), "quote": quoted}
    for kind in ("like", "repost"):
        if collection == _collection(kind):
            return {kind: record["subject"]["uri"]}
    return {}
