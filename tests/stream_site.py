"""Published labels in a real database, the web app over it, and subscribers that read its stream.

As a program, `python -m tests.stream_site DATABASE LABELER COUNT`, it is another process that publishes: one label a
transaction, the number of each on standard output once it is committed.
"""

import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import coincurve
import libipld
from aiohttp import WSMsgType
from cbrrr import decode_dag_cbor
from multidict import CIMultiDict
from yarl import URL

from labeler.frames import ERROR_HEADER, INFO_HEADER, LABELS_HEADER
from labeler.label import Label, sign
from labeler.publishing import LOCK
from labeler.signing_key import did_key
from labeler.subscriber import LIMITS, Limits
from models import labelers
from models.database import Connection, open_database, sql, writing
from models.lock import only_one
from service.config import Config
from service.wiring import serving
from tests.didnet import plc
from tests.feed_site import make_config

KEY = coincurve.PrivateKey(b"\x01" * 32)
PUBLIC = did_key(KEY)
FIRST, SECOND = plc(700), plc(701)
FIRST_HOST, SECOND_HOST = "labels.example.org", "second.example.org:8443"
QUERY = "com.atproto.label.queryLabels"
STREAM = "com.atproto.label.subscribeLabels"
START = 1_700_000_000_000


def declaration(*dids_and_hosts: tuple[str, str]) -> str:
    """A labels.toml."""
    return "".join(
        f"""
[[labeler]]
did = "{did}"
endpoint = "https://{host}"
[[labeler.label]]
value = "spoiler"
severity = "inform"
blurs = "content"
default_setting = "warn"
adult_only = false
[labeler.label.locales.en]
name = "Spoiler"
description = "Tells how a story ends."
"""
        for did, host in dids_and_hosts
    )


TWO = declaration((FIRST, FIRST_HOST), (SECOND, SECOND_HOST))


def publish(connection: Connection, labels: Iterable[Label], step: int = 1) -> list[int]:
    """Publish as the publisher does, inside a write: each takes the next `seq` (or one `step` further), and the
    place of what it replaces.
    """
    (next_seq,) = connection.execute("SELECT next FROM label_head").fetchone()
    seqs = []
    for label in labels:
        number = labelers.enter(connection, label.src)
        did = label.uri if label.uri.startswith("did:") else label.uri[5:].partition("/")[0]
        said = (label.uri, label.cid, label.val, label.neg, label.cts, label.exp)
        connection.execute(
            "INSERT OR REPLACE INTO label VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1, ?)",
            (next_seq, number, did, *said, sign(KEY, label)),
        )
        seqs.append(next_seq)
        next_seq += step
    connection.execute("UPDATE label_head SET next = ?", (seqs[-1] + 1,))
    return seqs


def label(number: int, src: str = FIRST, **more: Any) -> Label:
    """One of many labels, each of another subject."""
    uri = f"at://{plc(number % 97)}/app.bsky.feed.post/p{number}"
    return Label(src, uri, "", "spoiler", False, START + number)._replace(**more)


class Labels:
    """A database of labels, written as by another process."""

    def __init__(self, config: Config, *, key: bool = True) -> None:
        """With `key` the first labeler gets its own."""
        self.config = config
        self.database = open_database(config.database)
        self.connection = sql(self.database)
        if key:
            self._give_key()

    def _give_key(self) -> None:
        with writing(self.database) as connection:
            key = labelers.add_key(connection, labelers.enter(connection, FIRST), PUBLIC, None, 1)
            labelers.change_state(connection, key, labelers.NEW, labelers.ACTIVE)

    def publish(self, *labels: Label, step: int = 1) -> list[int]:
        """Publish them in one transaction; their `seq`s."""
        with writing(self.database) as connection:
            return publish(connection, labels, step)

    def fill(self, count: int, first: int = 0) -> list[int]:
        """Publish so many different labels."""
        return self.publish(*(label(first + number) for number in range(count)))

    def run(self, statement: str, *bindings: Any) -> list[Any]:
        """Any statement."""
        with writing(self.database) as connection:
            return connection.execute(statement, bindings).fetchall()

    def rows(self, src: str = FIRST, after: int = 0) -> list[tuple[int, bytes]]:
        """What stands, in order."""
        return self.run(
            "SELECT seq, signed FROM label WHERE labeler = (SELECT id FROM labeler WHERE did = ?) AND seq > ?"
            " ORDER BY seq",
            src,
            after,
        )


def configure(folder: Path, text: str = TWO, **settings: str) -> Config:
    """The configuration of a site that declares labelers."""
    path = folder / "labels.toml"
    path.write_text(text, encoding="utf-8")
    given = {"labels": str(path), "labeler_key": KEY.to_hex(), "plc_url": "http://localhost:1"}
    return make_config(folder, **(given | settings))


@contextmanager
def labels_in(config: Config) -> Iterator[Labels]:
    """The database of a site, whose own publisher waits meanwhile: we are another process that publishes."""
    labels = Labels(config)
    with closing(labels.database), only_one(config.database.with_name(LOCK)):
        yield labels


class Message(NamedTuple):
    """A message of the stream. `kind`: #labels, #info, error, close; `size`: of the message."""

    kind: str
    said: dict[str, Any]
    data: bytes = b""

    @property
    def seq(self) -> int:
        """The number of a message of labels."""
        assert self.kind == "#labels", self
        seq: int = self.said["seq"]
        return seq


def read_message(data: bytes) -> Message:
    """A message of CBOR: read by two libraries, which must agree."""
    header, payload = libipld.decode_dag_cbor_multi(data)
    kinds = {LABELS_HEADER: "#labels", INFO_HEADER: "#info", ERROR_HEADER: "error"}
    begin = next(one for one in kinds if data.startswith(one))
    assert decode_dag_cbor(begin) == header
    assert decode_dag_cbor(data[len(begin) :]) == payload
    assert "$type" not in payload
    return Message(kinds[begin], payload, data)


class Subscriber:
    """A client of the stream."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def next(self) -> Message:
        """The next message, or the close with its code."""
        message = await self.ws.receive(timeout=30)
        if message.type is WSMsgType.BINARY:
            return read_message(message.data)
        if message.type is WSMsgType.TEXT:
            said = message.json()
            if said["$type"] == "error":
                return Message("error", said)
            return Message("#" + said["payload"]["$type"].partition("#")[2], said["payload"])
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING), message
        return Message("close", {"code": self.ws.close_code})

    async def take(self, count: int) -> list[Message]:
        """So many messages of labels."""
        taken = [await self.next() for _ in range(count)]
        assert all(one.kind == "#labels" for one in taken), taken[-1]
        return taken

    async def rows(self, count: int) -> list[tuple[int, bytes]]:
        """So many rows, as they stand in the database."""
        found = []
        for one in await self.take(count):
            (said,) = one.said["labels"]
            found.append((one.seq, one.data))
            assert said["ver"] == 1 and len(said["sig"]) == 64
        return found


class Site:
    """The web app, and clients of it."""

    def __init__(self, client: aiohttp.ClientSession, port: int, metrics_port: int) -> None:
        self.client = client
        self.port = port
        self.metrics_port = metrics_port

    def url(self, method: str) -> str:
        """Of a method."""
        return f"http://127.0.0.1:{self.port}/xrpc/{method}"

    async def ask(self, query: str, host: str = FIRST_HOST, **headers: str) -> tuple[int, Any]:
        """GET queryLabels with a raw query string: status and body."""
        given = CIMultiDict({"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
        async with self.client.get(URL(f"{self.url(QUERY)}?{query}", encoded=True), headers=given) as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            return answer.status, await answer.json()

    @asynccontextmanager
    async def subscriber(
        self, cursor: str | int | None = None, host: str = FIRST_HOST, headers: Mapping[str, str] = {}, **options: Any
    ) -> AsyncIterator[Subscriber]:
        """One who reads the stream."""
        query = "" if cursor is None else f"?cursor={cursor}"
        given = {"Host": host, **headers}
        async with self.client.ws_connect(self.url(STREAM) + query, headers=given, max_msg_size=0, **options) as ws:
            yield Subscriber(ws)


@asynccontextmanager
async def served(config: Config, limits: Limits = LIMITS) -> AsyncIterator[Site]:
    """The app over the database of `config`."""
    connector = aiohttp.TCPConnector(limit=0)
    async with serving(config, limits=limits) as (door, side, _), aiohttp.ClientSession(connector=connector) as client:
        yield Site(client, door.port, side.port)


def main(path: str, src: str, count: str) -> None:
    """Publish in a process of its own."""
    with closing(open_database(Path(path))) as database:
        for number in range(int(count)):
            with writing(database) as connection:
                (seq,) = publish(connection, [label(1_000_000 + number, src)])
            print(seq, flush=True)
            time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
