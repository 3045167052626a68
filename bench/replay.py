"""The stream that the ingest benchmark replays: a file of WebSocket frames ready to be sent, and what must come of it.

Every frame is another one: signed commits of many accounts, with rising seqs and revs, nothing repeated. What the
database must hold in the end is counted here by a naive model that shares no code with the service.
"""

import json
import struct
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import libipld

from models.database import Connection
from tests.world.stream import Stream

CHUNK = 1 << 20
POST = "app.bsky.feed.post"
KINDS = {"app.bsky.feed.like": "likes", "app.bsky.feed.repost": "reposts"}


@dataclass(frozen=True, slots=True)
class Replay:
    """A stream on disk. `chunks` are the sizes of the pieces it is sent in, each of whole frames; `rows` what the
    database must hold at its end.
    """

    file: str
    frames: int
    share: float
    mean_bytes: int
    kinds: dict[str, int]
    chunks: list[int]
    rows: dict[str, int]


COUNTS = {
    "likes": "SELECT coalesce(sum(likes), 0) FROM post",
    "reposts": "SELECT coalesce(sum(reposts), 0) FROM post",
    "replies": "SELECT coalesce(sum(replies), 0) FROM post",
    "quotes": "SELECT coalesce(sum(quotes), 0) FROM post",
    "actors": "SELECT count(*) FROM actor",
    "posts": "SELECT count(*) FROM post",
    "feed items": "SELECT count(*) FROM feed_item",
    "engagement": "SELECT count(*) FROM engagement",
}


def check_rows(connection: Connection, replay: Replay) -> None:
    """Hold a database against the model: every frame was read, nothing dropped, every row is there.

    Raises AssertionError.
    """
    found = {name: connection.execute(query).fetchone()[0] for name, query in COUNTS.items()}
    assert found == replay.rows, f"the database holds {found}, not {replay.rows}"
    (text,) = connection.execute("SELECT report FROM process WHERE name = 'ingest'").fetchone()
    said: dict[str, Any] = json.loads(text)
    assert said["events"] == {"#commit": replay.frames}, said["events"]
    assert not said["dropped"], said["dropped"]


def write_replay(folder: Path, frames: int, share: float, communities: int, accounts: int) -> Replay:
    """Write `frames` frames, of whose posts `share` match one of `communities`, into a file of `folder`."""
    model = Model(communities)
    file = folder / f"stream-{share:g}.bin"
    stream = Stream(1, communities=communities, match_share=share, accounts=accounts)
    chunks: list[int] = []
    size = total = 0
    with file.open("wb") as out:
        for frame in islice(stream.frames(), frames):
            model.apply(frame)
            message = _message(frame)
            out.write(message)
            total += len(frame)
            size += len(message)
            if size >= CHUNK:
                chunks.append(size)
                size = 0
    replay = Replay(str(file), frames, share, total // frames, dict(model.kinds), [*chunks, size], model.rows())
    file.with_suffix(".json").write_text(json.dumps(asdict(replay)), encoding="utf-8")
    return replay


def read_replay(file: Path) -> Replay:
    """What `write_replay` wrote beside `file`."""
    return Replay(**json.loads(file.with_suffix(".json").read_text(encoding="utf-8")))


def _message(frame: bytes) -> bytes:
    """An unmasked binary WebSocket message (RFC 6455, 5.2)."""
    size = len(frame)
    if size < 126:
        return struct.pack("!BB", 0x82, size) + frame
    if size < 1 << 16:
        return struct.pack("!BBH", 0x82, 126, size) + frame
    return struct.pack("!BBQ", 0x82, 127, size) + frame


class Model:
    """What a reader of the stream must have stored, the slow and obvious way."""

    def __init__(self, communities: int) -> None:
        self.kinds: Counter[str] = Counter()
        self._tags = {f"community{number}" for number in range(communities)}
        self._posts: dict[str, set[str]] = {}
        self._edges: dict[tuple[str, str], str] = {}
        self._actors: set[str] = set()

    def apply(self, frame: bytes) -> None:
        """Take one commit."""
        _, payload = libipld.decode_dag_cbor_multi(frame)
        _, blocks = libipld.decode_car(payload["blocks"])
        for op in payload["ops"]:
            uri = f"at://{payload['repo']}/{op['path']}"
            collection = op["path"].partition("/")[0]
            self.kinds[f"{op['action']} {collection.rpartition('.')[2]}"] += 1
            if op["action"] == "delete":
                self._delete(uri)
            elif self._put(uri, collection, blocks[op["cid"]]):
                self._actors.add(payload["repo"])

    def _put(self, uri: str, collection: str, record: dict[str, Any]) -> bool:
        if kind := KINDS.get(collection):
            return self._edge(uri, kind, record["subject"]["uri"])
        if collection != POST:
            return False
        if matching := self._tags & hashtags(record):
            self._posts[uri] = matching
        replied = self._edge(uri, "replies", record.get("reply", {}).get("parent", {}).get("uri"))
        embed = record.get("embed", {})
        quoted = self._edge(uri, "quotes", embed["record"]["uri"] if "record" in embed else None)
        return bool(matching) or replied or quoted

    def _edge(self, uri: str, kind: str, subject: str | None) -> bool:
        if subject not in self._posts:
            return False
        self._edges[uri, kind] = subject
        return True

    def _delete(self, uri: str) -> None:
        for kind in ("likes", "reposts", "replies", "quotes"):
            self._edges.pop((uri, kind), None)
        if self._posts.pop(uri, None):
            self._edges = {edge: subject for edge, subject in self._edges.items() if subject != uri}

    def rows(self) -> dict[str, int]:
        """How many rows of each table, and the sum of each count of engagement (each account once per post)."""
        counts = dict.fromkeys(("likes", "reposts", "replies", "quotes"), 0)
        for kind, _, _ in {(kind, uri.split("/")[2], subject) for (uri, kind), subject in self._edges.items()}:
            counts[kind] += 1
        return counts | {
            "actors": len(self._actors),
            "posts": len(self._posts),
            "feed items": sum(map(len, self._posts.values())),
            "engagement": len(self._edges),
        }


def hashtags(record: dict[str, Any]) -> set[str]:
    """The tags of a post's facets and of its `tags`, as they are written."""
    features = [feature for facet in record.get("facets", ()) for feature in facet["features"]]
    return {feature["tag"] for feature in features if "tag" in feature} | set(record.get("tags", ()))
