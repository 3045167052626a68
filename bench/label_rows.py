"""The labels that the benchmarks of labels issue, store and ask for: the same for ours and for the peer.

Subjects are posts of accounts in no order, as they come to a labeler; every second label names a version.
"""

import hashlib
import random
from base64 import b32encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cbrrr import encode_dag_cbor

from labeler.label import Label, fields, timestamp
from models import labelers
from models.database import open_database, writing

PER_ACCOUNT = 10
VERSIONS = tuple("bafyrei" + letter * 52 for letter in "abcdefg")
VALUES = ("spam", "spoiler", "off-topic", "graphic")
KEY = b"\x01" * 32
START = 1_750_000_000_000
HOST = "labels.example.org"
_INSERT = (
    "INSERT INTO label (seq, labeler, did, uri, cid, val, neg, cts, exp, label_key, event, signed)"
    " VALUES (?, ?, ?, ?, ?, ?, 0, ?, NULL, ?, ?, ?)"
)


def did(number: int) -> str:
    """A did:plc for each number; they begin with all letters alike."""
    return "did:plc:" + b32encode(hashlib.sha256(number.to_bytes(8, "big")).digest()[:15]).decode().lower()


LABELER = did(0)


def uri(account: int, number: int) -> str:
    """A post."""
    return f"at://{did(account)}/app.bsky.feed.post/3m{number:011d}"


class Row(NamedTuple):
    """A label, and its signature."""

    label: Label
    signature: bytes


def rows(count: int) -> Iterator[Row]:
    """So many labels. Signatures are made up: who serves labels does not look at them."""
    rng = random.Random(13)
    accounts = [did(number) for number in range(1, max(2, count // PER_ACCOUNT + 1))]
    for number in range(count):
        subject = f"at://{rng.choice(accounts)}/app.bsky.feed.post/3m{number:011d}"
        cid = VERSIONS[number % len(VERSIONS)] if number % 2 else ""
        label = Label(LABELER, subject, cid, VALUES[number % len(VALUES)], False, START + number)
        yield Row(label, rng.randbytes(64))


def declaration() -> str:
    """A labels.toml that declares the labeler."""
    head = f'[[labeler]]\ndid = "{LABELER}"\nendpoint = "https://{HOST}"\n'
    return head + "".join(
        f'[[labeler.label]]\nvalue = "{value}"\nseverity = "inform"\nblurs = "content"\ndefault_setting = "warn"\n'
        f'adult_only = false\n[labeler.label.locales.en]\nname = "{value}"\ndescription = "{value}"\n'
        for value in VALUES
    )


def peer_rows(count: int) -> Iterator[tuple[Any, ...]]:
    """As the peer's table has them."""
    for label, signature in rows(count):
        yield (label.src, label.uri, label.cid or None, label.val, 0, timestamp(label.cts), None, signature)


def fill(path: Path, count: int) -> list[str]:
    """Write the labels into our database, as published; the subjects in the order of their `seq`s."""
    database = open_database(path)
    subjects = []
    try:
        connection = database.connection()
        connection.execute("PRAGMA synchronous = off")
        connection.execute("PRAGMA cache_size = -1000000")
        with writing(database) as connection:
            labeler = labelers.enter(connection, LABELER)

            def stored() -> Iterator[tuple[Any, ...]]:
                for seq, (label, signature) in enumerate(rows(count), 1):
                    signed = encode_dag_cbor({**fields(label), "sig": signature})
                    subjects.append(label.uri)
                    subject = label.uri[5:].partition("/")[0]
                    yield (seq, labeler, subject, label.uri, label.cid, label.val, label.cts, 1, seq, signed)

            connection.executemany(_INSERT, stored())
            connection.execute("UPDATE label_head SET next = ?", (count + 1,))
        database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()
    return subjects
