"""A folder in which `communities label` works: a database with a community and posts, and a labels.toml."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import coincurve
import pytest
from cbrrr import encode_dag_cbor

from communities.refs import cid_text
from labeler.pacing import Pace
from labeler.publisher import Publisher
from labeler.signing_key import Signer, did_key
from models import labelers
from models.database import open_database, sql, writing
from service.cli import main
from tests.civic_posts import a_cid
from tests.didnet import plc

LABELER, OTHER = plc(700), plc(701)
AUTHOR = plc(5)
POST = f"at://{AUTHOR}/app.bsky.feed.post/3k"
KEY = coincurve.PrivateKey(b"\x01" * 32)
LABELS = f"""
[[labeler]]
did = "{LABELER}"
endpoint = "https://labels.example.org"
system = ["!warn"]

[[labeler.label]]
value = "spam"
severity = "alert"
blurs = "content"
default_setting = "hide"
locales.en = {{name = "Spam", description = "Unwanted."}}

[[labeler.label]]
value = "spoiler"
severity = "inform"
blurs = "content"
locales.en = {{name = "Spoiler", description = "Tells the end."}}
"""
SECOND = f"""
[[labeler]]
did = "{OTHER}"
endpoint = "https://other.example.org"
communities = ["birds"]

[[labeler.label]]
value = "owl"
severity = "inform"
blurs = "none"
locales.en = {{name = "Owl", description = "An owl."}}
"""


class Scene:
    """The folder, its database and its command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.labels(LABELS)
        with closing(open_database(self.path)) as database, writing(database) as connection:
            for number, slug in enumerate(("birds", "frogs"), 1):
                connection.execute(
                    "INSERT INTO community (id, slug, name, description, rule, declared)"
                    " VALUES (?, ?, '', '', '{}', 1)",
                    (number, slug),
                )

    @property
    def path(self) -> Path:
        return self.folder / "data" / "communities.db"

    def labels(self, text: str) -> None:
        """Let labels.toml be this."""
        (self.folder / "labels.toml").write_text(text)

    def sql(self, statement: str, *bindings: Any) -> list[Any]:
        with closing(open_database(self.path)) as database, writing(database) as connection:
            return connection.execute(statement, bindings).fetchall()

    def label(self, *words: str, code: int = 0) -> str:
        """Run `communities label`, which must end with this code; returns what it says on both streams."""
        assert main(["label", *words]) == code, self.capsys.readouterr()
        said = self.capsys.readouterr()
        return said.out + said.err

    def json(self, *words: str, code: int = 0) -> list[Any]:
        """The same as JSON, a value a line."""
        assert main(["label", *words, "--json"]) == code, self.capsys.readouterr()
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]

    def holds(self, subject: str) -> set[str]:
        """The values that hold."""
        return {one["value"] for one in self.json("list", subject, "--labeler", LABELER)}

    def publish(self) -> int:
        """Sign and publish what waits, as the service does."""
        with closing(open_database(self.path)) as database:
            with writing(database) as connection:
                number = labelers.enter(connection, LABELER)
                key = labelers.active_key(connection, number)
                if key is None:
                    new = labelers.add_key(connection, number, did_key(KEY), None, 1)
                    labelers.change_state(connection, new, "new", "active")
                    key = labelers.active_key(connection, number)
                assert key is not None
            signer = Signer(number, LABELER, key.id, KEY)
            publisher = Publisher(database, lambda: {number: signer}, Pace.unlimited())
            count = 0
            while done := publisher.step():
                count += done
            publisher.close()
        return count

    def stream(self) -> list[tuple[str, str, int]]:
        """What was published: value, cid, neg; by `seq`."""
        return [tuple(row) for row in self.sql("SELECT val, cid, neg FROM label ORDER BY seq")]

    def post(self, rkey: str, text: str, did: str = AUTHOR, slug: str = "birds", **more: Any) -> str:
        """A stored post in a community; returns its URI."""
        record = record_of(text, more.pop("record", {}))
        data = encode_dag_cbor(record)
        at = more.pop("at", 1_790_000_000_000_000)
        with closing(open_database(self.path)) as database, writing(database) as connection:
            connection.execute("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", (did,))
            (actor,) = connection.execute("SELECT id FROM actor WHERE did = ?", (did,)).fetchone()
            cid = cid_bytes(text)
            row = connection.execute(
                "INSERT INTO post (actor, rkey, cid, record, sort_at, event_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (actor, rkey) DO UPDATE SET cid = excluded.cid, record = excluded.record RETURNING id",
                (actor, rkey, cid, data, at, at),
            ).fetchall()[0]
            uri = f"at://{did}/app.bsky.feed.post/{rkey}"
            connection.execute(
                "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence)"
                " SELECT id, 0, ?, ?, ?, '' FROM community WHERE slug = ? ON CONFLICT DO NOTHING",
                (at, row[0], uri, slug),
            )
        return uri


def record_of(text: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """A post record."""
    return {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-09-21T00:00:00.000Z", **more}


def cid_bytes(text: str) -> bytes:
    """The CID of a version."""
    from communities.refs import read_cid

    found = read_cid(a_cid(text))
    assert found is not None
    return found


def version(text: str) -> str:
    """The same as text."""
    return cid_text(cid_bytes(text))


def rows(database_path: Path, statement: str) -> list[Any]:
    with closing(open_database(database_path, readonly=True)) as database:
        return sql(database).execute(statement).fetchall()
