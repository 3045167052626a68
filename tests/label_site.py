"""A database with labelers, their keys, a clock that the test sets, and subscribers who fold what was published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import coincurve
from cbrrr import decode_dag_cbor

from labeler.expiry import Expiry
from labeler.issue import Issued, Wanted, issue
from labeler.label import check
from labeler.pacing import Pace
from labeler.publisher import Publisher
from labeler.signing_key import Signer
from models.database import Connection, open_database, sql, writing
from tests.didnet import plc
from xrpc.key import PublicKey

START = 1_700_000_000_000
MODERATOR = "did:plc:moderatormoderatormodera"
CIDS = (
    "",
    "bafyreigaybpqtvuxgfqkhntmslwtqvnrhxhc4jbdm3vb6bvnpvm2vksbmy",
    "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae",
)


def post(number: int) -> str:
    """The at-uri of a post."""
    return f"at://{plc(number)}/app.bsky.feed.post/3kabcdefgh2{'abcdefghijklmnopqrstuvwxyz'[number % 26]}2"


@dataclass(frozen=True)
class Definition:
    default_setting: str = "warn"


@dataclass(frozen=True)
class Vocabulary:
    """What a labeler may issue, as `labels.toml` would say it."""

    did: str
    definitions: Mapping[str, Definition] = field(
        default_factory=lambda: {
            "spam": Definition(),
            "spoiler": Definition("ignore"),
            "gore": Definition("hide"),
        }
    )
    system: frozenset[str] = frozenset()

    @property
    def values(self) -> frozenset[str]:
        return frozenset(self.definitions) | self.system


class Clock:
    """Stands where the test puts it; milliseconds."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now / 1000


class Row(NamedTuple):
    """A published label as a subscriber reads it."""

    seq: int
    labeler: int
    uri: str
    cid: str
    val: str
    neg: int
    cts: int
    exp: int | None
    label_key: int
    event: int
    signed: bytes


def rows(connection: Connection, after: int = 0) -> list[Row]:
    """What a subscriber with a cursor reads."""
    return list(
        map(
            Row._make,
            connection.execute(f"SELECT {', '.join(Row._fields)} FROM label WHERE seq > ? ORDER BY seq", (after,)),
        )
    )


def fold(said: Iterable[Row], now: int, *, by_version: bool = True) -> set[tuple[int, str, str, str]]:
    """The labels that hold for somebody who heard this; without `by_version`, for one who does not mind the cid."""
    last: dict[tuple[int, str, str, str], Row] = {}
    for row in said:
        last[row.labeler, row.uri, row.cid if by_version else "", row.val] = row
    return {key for key, row in last.items() if not row.neg and (row.exp is None or row.exp > now)}


class LabelSite:
    """Labelers 1 and 2 with a key each, on a file; `open` after `close` is a restart."""

    def __init__(self, path: Path, pace: Pace | None = None, *, fast: bool = False) -> None:
        self.path = path
        self.clock = Clock()
        self.pace = pace or Pace.unlimited()
        self.fast = fast
        self.vocabularies = {number: Vocabulary(plc(1000 + number)) for number in (1, 2)}
        self.keys: dict[int, coincurve.PrivateKey] = {}
        self.signers: dict[int, Signer] = {}
        self.open()
        with writing(self.database) as connection:
            for number, vocabulary in self.vocabularies.items():
                connection.execute("INSERT INTO labeler (id, did) VALUES (?, ?)", (number, vocabulary.did))
        for number in self.vocabularies:
            self.new_key(number)

    def open(self) -> None:
        self.database = open_database(self.path)
        self.publisher = self.another_publisher()
        self.expiry = Expiry(self.database)
        if self.fast:
            sql(self.database).execute("PRAGMA synchronous = off")

    def close(self, *, in_order: bool = True) -> None:
        """Stop; not `in_order`: as a killed process would, with nothing said to anybody."""
        if in_order:
            self.publisher.close()
        self.database.close()

    def another_publisher(self) -> Publisher:
        return Publisher(self.database, lambda: self.signers, self.pace, self.clock, signing=60.0)

    @property
    def connection(self) -> Connection:
        return sql(self.database)

    def new_key(self, labeler: int) -> Signer:
        """Another key signs from now on."""
        key = coincurve.PrivateKey()
        with writing(self.database) as connection:
            connection.execute("UPDATE label_key SET state = 'retired' WHERE labeler = ?", (labeler,))
            (number,) = connection.execute(
                "INSERT INTO label_key (labeler, public, state, at) VALUES (?, ?, 'active', 1) RETURNING id",
                (labeler, key.public_key.format().hex()),
            ).fetchall()[0]
        self.keys[number] = key
        self.signers[labeler] = Signer(labeler, self.vocabularies[labeler].did, number, key)
        return self.signers[labeler]

    def wanted(self, uri: str, labeler: int = 1, **more: Any) -> Wanted:
        more.setdefault("actor", MODERATOR)
        return Wanted(labeler, self.vocabularies[labeler].did, uri, **more)

    def issue(self, uri: str, *add: str, labeler: int = 1, **more: Any) -> Issued:
        with writing(self.database) as connection:
            return issue(
                connection, self.vocabularies[labeler], self.wanted(uri, labeler, add=add, **more), self.clock.now
            )

    def remove(self, uri: str, *values: str, labeler: int = 1, **more: Any) -> Issued:
        with writing(self.database) as connection:
            wanted = self.wanted(uri, labeler, remove=values, **more)
            return issue(connection, self.vocabularies[labeler], wanted, self.clock.now)

    def publish(self) -> int:
        """Everything that may go."""
        count = 0
        while published := self.publisher.step():
            count += published
        return count

    def expire(self, negating: tuple[int, ...] = (1,)) -> None:
        while self.expiry.step(self.clock.now, negating) is not None:
            pass

    def rows(self, after: int = 0) -> list[Row]:
        return rows(self.connection, after)

    def said(self) -> list[tuple[str, str, int]]:
        """Version, value and negation of what was published, in its order."""
        return [(row.cid, row.val, row.neg) for row in self.rows()]

    def waiting(self) -> list[tuple[str, str, int]]:
        query = "SELECT cid, val, neg FROM label_outbox ORDER BY priority, id"
        return self.connection.execute(query).fetchall()

    def count(self, table: str) -> int:
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def check_signatures(self) -> None:
        """Every published label is signed by the key that is noted beside it, and says what its row says."""
        for row in self.rows():
            public = self.keys[row.label_key].public_key
            assert check(row.signed, PublicKey("ES256K", public.format(compressed=False), public))
            said: Any = decode_dag_cbor(row.signed)
            assert (said["uri"], said.get("cid", ""), said["val"], said.get("neg", False)) == (
                row.uri,
                row.cid,
                row.val,
                row.neg,
            )
            assert said["src"] == self.vocabularies[row.labeler].did and ("exp" in said) == (row.exp is not None)
