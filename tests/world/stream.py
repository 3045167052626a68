"""A long, realistic piece of the network's event stream, for benchmarks.

The shares are those of the public network: likes, then posts, reposts, follows and a little of everything
else. Every frame is a signed commit to a repository of realistic depth, so that it has the size and the number of
tree nodes of real ones (measured on 148 real commits: 5.5 kB, 8.5 nodes). All of it follows from the arguments.
"""

import hashlib
import random
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

from cbrrr import CID

from tests.world import frames, mst
from tests.world.clock import iso, tid
from tests.world.keys import make_did, make_key
from tests.world.repo import Repo, Write
from tests.world.text import facets
from tests.world.words import sentence

DAY = 86_400_000_000
EVENTS_PER_SECOND = 350
POST, LIKE, REPOST = "app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.repost"
FOLLOW, BLOCK, PROFILE = "app.bsky.graph.follow", "app.bsky.graph.block", "app.bsky.actor.profile"
DEPTHS = (2_000, 5_000, 10_000, 20_000, 30_000, 60_000)
HISTORY = {LIKE: 0.60, REPOST: 0.12, POST: 0.15, FOLLOW: 0.10, BLOCK: 0.03}
OTHER_TAGS = (
    "art",
    "photography",
    "caturday",
    "写真",
    "nowplaying",
    "news",
    "gamedev",
    "wetter",
    "fotografia",
)


def yesterday() -> int:
    """The last midnight but one, in microseconds: recent, the same all day, and never in the future."""
    return (time.time_ns() // 1000 // DAY - 1) * DAY


class Options(TypedDict, total=False):
    """What may be chosen about a stream.

    `match_share` of the posts carry a hashtag `community0` .. `community{communities - 1}`, low numbers more often.
    `start` is the time of the first event in microseconds since 1970 (default: `yesterday()`), `depths` the sizes of
    the repositories that accounts start from.
    """

    communities: int
    match_share: float
    accounts: int
    start: int
    depths: Sequence[int]


class Stream:
    """An endless stream; see the module and Options. `repos` are the accounts with their keys."""

    def __init__(self, seed: int, **options: Unpack[Options]) -> None:
        accounts = options.get("accounts", 2000)
        self._rng = random.Random(f"stream {seed}")
        self._communities = options.get("communities", 1000)
        self._match_share = options.get("match_share", 0.05)
        self._now = options.get("start", yesterday())
        depths = [self._past(size) for size in options.get("depths", DEPTHS)]
        self.repos = [self._repo(f"{seed} {number}", depths) for number in range(accounts)]
        self._strangers = [make_did(f"{seed} stranger {number}") for number in range(accounts)]
        self._posts: deque[dict[str, Any]] = deque(maxlen=5000)
        self._matching: deque[dict[str, Any]] = deque(maxlen=2000)
        self._mine: dict[str, deque[str]] = {repo.did: deque(maxlen=20) for repo in self.repos}
        self._kinds: list[tuple[float, Callable[[Repo], Write]]] = [
            (0.55, self._like),
            (0.15, self._post),
            (0.12, self._repost),
            (0.10, self._follow),
            (0.01, self._block),
            (0.02, self._profile),
            (0.05, self._delete),
        ]

    def frames(self, seq: int = 1) -> Iterator[bytes]:
        """Frames from this seq on."""
        weights, makers = zip(*self._kinds, strict=True)
        while True:
            self._now += max(1, int(self._rng.expovariate(EVENTS_PER_SECOND) * 1e6))
            # A few accounts write much more than the rest.
            repo = self.repos[int(len(self.repos) * self._rng.random() ** 2)]
            write: Write = self._rng.choices(makers, weights)[0](repo)
            payload = repo.commit([write], tid(self._now, seq & 1023))
            repo.records.clear()
            if write.action == "create":
                self._written(repo, write, payload["ops"][0]["cid"])
            yield frames.message("#commit", payload | {"seq": seq, "time": iso(self._now + 80_000)})
            seq += 1

    # Repositories as they were before the stream

    def _cid(self) -> CID:
        return CID(CID.CIDV1_DAG_CBOR_SHA256_32_PFX + self._rng.randbytes(32))

    def _past(self, size: int) -> mst.Node:
        """A tree of this many records of the last two years."""
        collections = self._rng.choices(list(HISTORY), list(HISTORY.values()), k=size)
        entries = {
            f"{collection}/{tid(self._now - self._rng.randrange(DAY, 700 * DAY))}": self._cid()
            for collection in collections
        }
        return mst.build(entries | {f"{PROFILE}/self": self._cid()})

    def _repo(self, seed: str, depths: list[mst.Node]) -> Repo:
        repo = Repo(make_did(seed), make_key("k256", seed), self._rng.choice(depths))
        repo.rev = tid(self._now - self._rng.randrange(1, DAY))
        return repo

    # What accounts do

    def _written(self, repo: Repo, write: Write, cid: CID) -> None:
        self._mine[repo.did].append(write.path)
        if write.path.startswith(POST) and write.record:
            post = {"uri": f"at://{repo.did}/{write.path}", "cid": cid.encode()}
            root = write.record.get("reply", {}).get("root", post)
            found = any(tag.startswith("community") for tag in _tags(write.record))
            (self._matching if found else self._posts).append({"ref": post, "root": root})

    def _target(self) -> dict[str, Any]:
        """A post to answer: of this stream, a matching one now and then, or one never heard of."""
        dice = self._rng.random()
        if dice < 0.4 and self._posts:
            return self._rng.choice(self._posts)
        if dice < 0.4 + self._match_share and self._matching:
            return self._rng.choice(self._matching)
        rkey = tid(self._now - self._rng.randrange(DAY))
        ref = {"uri": f"at://{self._rng.choice(self._strangers)}/{POST}/{rkey}", "cid": self._cid().encode()}
        return {"ref": ref, "root": ref}

    def _create(self, collection: str, record: dict[str, Any]) -> Write:
        created = self._now - self._rng.randrange(50_000, 3_000_000)
        path = f"{collection}/{tid(self._now, self._rng.randrange(32))}"
        return Write("create", path, {"$type": collection, "createdAt": iso(created)} | record)

    def _like(self, repo: Repo) -> Write:
        return self._create(LIKE, {"subject": self._target()["ref"]})

    def _repost(self, repo: Repo) -> Write:
        return self._create(REPOST, {"subject": self._target()["ref"]})

    def _follow(self, repo: Repo) -> Write:
        return self._create(FOLLOW, {"subject": self._rng.choice(self._strangers)})

    def _block(self, repo: Repo) -> Write:
        return self._create(BLOCK, {"subject": self._rng.choice(self._strangers)})

    def _profile(self, repo: Repo) -> Write:
        value = {"$type": PROFILE, "displayName": repo.did[8:14], "description": sentence(self._rng)[1]}
        return Write("update", f"{PROFILE}/self", value)

    def _delete(self, repo: Repo) -> Write:
        """Something that this account wrote in the stream, or a like if there is nothing."""
        mine = self._mine[repo.did]
        return Write("delete", mine.popleft()) if mine else self._like(repo)

    def _post(self, repo: Repo) -> Write:
        language, text = sentence(self._rng)
        record: dict[str, Any] = {"langs": [language]}
        dice = self._rng.random()
        if dice < self._match_share:
            tag = f"community{int(self._communities * self._rng.random() ** 2)}"
            if self._rng.random() < 0.15:
                record["tags"] = [tag]
            else:
                text += f" #{tag}"
        elif dice < self._match_share + 0.1:
            text += f" #{self._rng.choice(OTHER_TAGS)}"
        if found := facets(text, {}):
            record["facets"] = found
        if self._rng.random() < 0.4:
            target = self._target()
            record["reply"] = {"root": target["root"], "parent": target["ref"]}
        elif embed := self._embed():
            record["embed"] = embed
        return self._create(POST, {"text": text} | record)

    def _embed(self) -> dict[str, Any] | None:
        dice = self._rng.random()
        if dice < 0.3:
            blob = {"$type": "blob", "ref": self._blob(), "mimeType": "image/jpeg", "size": 500_000}
            image = {"alt": sentence(self._rng)[1], "image": blob, "aspectRatio": {"width": 4, "height": 3}}
            return {"$type": "app.bsky.embed.images", "images": [image]}
        if dice < 0.45:
            title, about = sentence(self._rng)[1], sentence(self._rng)[1]
            uri = f"https://news.example/{self._rng.randrange(10**9)}"
            external = {"uri": uri, "title": title, "description": about}
            return {"$type": "app.bsky.embed.external", "external": external}
        if dice < 0.55:
            return {"$type": "app.bsky.embed.record", "record": self._target()["ref"]}
        return None

    def _blob(self) -> CID:
        return CID(CID.CIDV1_RAW_SHA256_32_PFX + self._rng.randbytes(32))


def _tags(record: Any) -> list[str]:
    features = [feature for facet in record.get("facets", ()) for feature in facet["features"]]
    return [*record.get("tags", ()), *(feature["tag"] for feature in features if "tag" in feature)]


def realistic_frames(count: int, seed: int, **options: Unpack[Options]) -> list[bytes]:
    """The first `count` frames of a Stream, with seqs from 1."""
    return list(islice(Stream(seed, **options).frames(), count))


def cached_frames(folder: Path, count: int, seed: int, **options: Unpack[Options]) -> list[bytes]:
    """`realistic_frames`, kept in a file of `folder`: per frame its length (u32, little-endian), then the frame."""
    options.setdefault("start", yesterday())
    key = hashlib.sha256(repr((count, seed, sorted(options.items()))).encode()).hexdigest()[:16]
    file = folder / f"frames-{count}-{key}.bin"
    if not file.exists():
        made = realistic_frames(count, seed, **options)
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        with partial.open("wb") as out:
            for frame in made:
                out.write(struct.pack("<I", len(frame)) + frame)
        partial.replace(file)
        return made
    raw = file.read_bytes()
    found = []
    at = 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found
