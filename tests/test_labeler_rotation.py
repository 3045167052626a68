"""Signing anew in the database: bounded pieces, nothing but the signature changes, whatever the history of keys was."""

from pathlib import Path
from tempfile import TemporaryDirectory

import coincurve
from cbrrr import decode_dag_cbor
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler import rotation
from labeler.label import Label, check, sign
from labeler.signing_key import Signer, did_key, generate
from models import labelers
from models.database import open_database, sql, writing
from tests.didnet import plc
from tests.labeler_site import insert
from xrpc.key import parse_did_key

LABELS = st.builds(
    Label,
    src=st.just(plc(1)),
    uri=st.sampled_from([plc(2), f"at://{plc(3)}/app.bsky.feed.post/3k"]),
    cid=st.sampled_from(["", "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae"]),
    val=st.sampled_from(["spoiler", "spam", "!warn"]),
    neg=st.booleans(),
    cts=st.integers(0, 4_000_000_000_000),
    exp=st.none() | st.integers(0, 4_000_000_000_000),
)


@settings(max_examples=40)
@given(
    written=st.lists(st.tuples(LABELS, st.integers(0, 2)), max_size=12, unique_by=lambda one: one[0][1:4]),
    piece=st.integers(1, 5),
)
def test_signing_anew(written: list[tuple[Label, int]], piece: int) -> None:

    with TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "communities.db")
        keys = [generate() for _ in range(3)]
        with writing(database) as connection:
            labeler, other = labelers.enter(connection, plc(1)), labelers.enter(connection, plc(9))
            rows = []
            for key in keys:
                old = labelers.active_key(connection, labeler)
                row = rotation.begin(connection, labeler, did_key(key), b"sealed", 5)
                rotation.switch(connection, labeler, old.id if old else None, row.id)
                rows.append(row.id)
            theirs = rotation.begin(connection, other, did_key(keys[0]), b"sealed", 5).id
            for seq, (label, which) in enumerate(written, 1):
                insert(connection, seq * 7, labeler, rows[which], label, sign(keys[which], label))
            foreign = Label(plc(9), plc(2), "", "spam", neg=False, cts=1)
            insert(connection, 1000, other, theirs, foreign, sign(keys[0], foreign))
        before = read(database)
        signer = Signer(labeler, plc(1), rows[2], keys[2])
        left = sum(which != 2 for _, which in written)
        assert rotation.progress(sql(database), labeler) == (left, len(written))
        while True:
            with writing(database) as connection:
                done = rotation.resign_some(connection, signer, piece)
            assert done == min(piece, left)
            left -= done
            assert rotation.progress(sql(database), labeler).left == left
            if not done:
                break
        assert read(database) == before
        for seq, signed in sql(database).execute("SELECT seq, signed FROM label WHERE labeler = ?", (labeler,)):
            assert check(signed, parse_did_key(did_key(keys[2]))), seq
        (theirs_now,) = sql(database).execute("SELECT signed FROM label WHERE seq = 1000").fetchone()
        assert theirs_now == sign(keys[0], foreign), "another labeler's labels are not ours to sign"
        assert rotation.faults_of_sample(sql(database), labeler) == []
        with writing(database) as connection:
            assert rotation.forget_old(connection, labeler) == 2
            assert rotation.forget_old(connection, labeler) == 0
        assert [(key.state, key.secret) for key in labelers.keys(sql(database), labeler)] == [
            ("retired", None), ("retired", None), ("active", b"sealed"),
        ]  # fmt: skip
        database.close()


def read(database: object) -> list[object]:
    """All of the labels but the signatures, and which key made them."""
    found: list[object] = []
    for *row, signed in sql(database).execute(  # type: ignore[arg-type]
        "SELECT seq, labeler, did, uri, cid, val, neg, cts, exp, event, signed FROM label ORDER BY seq"
    ):
        label = decode_dag_cbor(signed)
        assert isinstance(label, dict)
        found.append((row, {name: value for name, value in label.items() if name != "sig"}))
    return found


def test_a_secret_stays_while_anything_stands_that_it_signed(tmp_path: Path) -> None:
    database = open_database(tmp_path / "communities.db")
    first, second = coincurve.PrivateKey(), coincurve.PrivateKey()
    with writing(database) as connection:
        labeler = labelers.enter(connection, plc(1))
        old = rotation.begin(connection, labeler, did_key(first), b"sealed", 5)
        assert rotation.begin(connection, labeler, did_key(second), b"other", 5) == old, "one new key at a time"
        rotation.switch(connection, labeler, None, old.id)
        label = Label(plc(1), plc(2), "", "spam", neg=False, cts=1)
        insert(connection, 1, labeler, old.id, label, sign(first, label))
        new = rotation.begin(connection, labeler, did_key(second), b"other", 6)
        rotation.switch(connection, labeler, old.id, new.id)
        assert rotation.forget_old(connection, labeler) == 0
        assert rotation.faults_of_sample(connection, labeler) == [1]
        assert rotation.resign_some(connection, Signer(labeler, plc(1), new.id, second)) == 1
        assert rotation.forget_old(connection, labeler) == 1
    database.close()
