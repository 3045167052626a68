"""Random histories of labels, held against a model of what people decided that knows no tables, orders or numbers.

Whoever hears the stream, from its beginning or live, minding versions or not, ends with what the model says.
"""

import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labeler.retract import Selection, retract
from labeler.seq import JUMP
from models.database import sql, writing
from tests.label_site import CIDS, LabelSite, Row, fold, post

VALUES = ("spam", "gore")
POSTS = (post(1), post(1), post(1), post(2))
ACTORS = ("did:plc:a", "did:plc:b", "rule:x")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

labelers = st.sampled_from((1, 1, 1, 2))
uris, cids, values, actors = map(st.sampled_from, (POSTS, CIDS, VALUES, ACTORS))
some_values = st.lists(values, min_size=1, max_size=2)
ends = st.none() | st.integers(1, 30)
batches = st.sampled_from(("", "", "b1", "b2"))


@dataclass(frozen=True)
class Meant:
    """That somebody wants a label, until when, and in which batch."""

    exp: int | None
    actor: str
    batch: str


class Model:
    """What is meant to hold, by labeler, subject, version and value."""

    def __init__(self) -> None:
        self.meant: dict[tuple[int, str, str, str], Meant] = {}

    def holds(self, key: tuple[int, str, str, str], now: int) -> bool:
        meant = self.meant.get(key)
        return meant is not None and (meant.exp is None or meant.exp > now)

    def add(self, key: tuple[int, str, str, str], meant: Meant, now: int) -> bool:
        if self.holds(key, now) and self.meant[key].exp == meant.exp:
            return False
        self.meant[key] = meant
        return True

    def remove(self, labeler: int, uri: str, val: str, now: int) -> bool:
        keys = [key for key in self.meant if (key[0], key[1], key[3]) == (labeler, uri, val)]
        if not any(self.holds(key, now) for key in keys):
            return False
        for key in keys:
            del self.meant[key]
        return True

    def retract(self, labeler: int, now: int, **by: str) -> int:
        ((name, value),) = by.items()
        keys = [
            key
            for key, meant in self.meant.items()
            if key[0] == labeler and getattr(meant, name) == value and self.holds(key, now)
        ]
        for key in keys:
            del self.meant[key]
        return len(keys)

    def expire(self, now: int, labeler: int) -> None:
        self.meant = {key: meant for key, meant in self.meant.items() if key[0] != labeler or self.holds(key, now)}

    def held(self, now: int) -> set[tuple[int, str, str, str]]:
        return {key for key in self.meant if self.holds(key, now)}


class History(RuleBasedStateMachine):
    """Labeler 1 negates what expires, labeler 2 does not."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.path = Path(self.folder.name) / "communities.db"
        self.site = LabelSite(self.path, fast=True)
        self.model = Model()
        self.heard: list[Row] = []
        self.copies: list[tuple[Path, Model, int]] = []
        self.highest = 0
        self.floor = 0

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.site.database.close()
            self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        assert self.site.rows() == []

    @property
    def now(self) -> int:
        return self.site.clock.now

    # What people do

    @rule(
        labeler=labelers, uri=uris, cid=cids, vals=some_values, actor=actors, batch=batches, ends=ends
    )  # fmt: skip
    def add(self, labeler: int, uri: str, cid: str, vals: list[str], actor: str, batch: str, ends: int | None) -> None:
        exp = None if ends is None else self.now + ends
        issued = self.site.issue(uri, *vals, labeler=labeler, cid=cid, actor=actor, batch=batch, exp=exp)
        meant = Meant(exp, actor, batch)
        changed = {val for val in vals if self.model.add((labeler, uri, cid, val), meant, self.now)}
        assert set(issued.added) == changed and (issued.event is None) == (not changed)

    @rule(labeler=labelers, uri=uris, cid=cids, vals=some_values, batch=batches)
    def remove(self, labeler: int, uri: str, cid: str, vals: list[str], batch: str) -> None:
        issued = self.site.remove(uri, *vals, labeler=labeler, cid=cid, batch=batch)
        changed = {val for val in set(vals) if self.model.remove(labeler, uri, val, self.now)}
        assert set(issued.removed) == changed and (issued.event is None) == (not changed)

    @rule(labeler=labelers, by=st.sampled_from(("actor", "batch")), which=st.integers(0, 2), limit=st.integers(1, 5))
    def take_back(self, labeler: int, by: str, which: int, limit: int) -> None:
        value = ACTORS[which] if by == "actor" else ("b1", "b2", "b3")[which]
        wanted = self.model.retract(labeler, self.now, **{by: value})
        for expected in (wanted, 0):
            after: int | None = 0
            count = 0
            while after is not None:
                with writing(self.site.database) as connection:
                    selection = Selection(**{by: value})  # type: ignore[arg-type]
                    piece = retract(
                        connection, labeler, selection, "did:plc:admin", "admin", self.now, after=after, limit=limit
                    )
                after, count = piece.after, count + piece.labels
            assert count == expected

    # What happens

    @rule(millis=st.integers(-20, 20))
    def time_passes(self, millis: int) -> None:
        """Also backwards, but not over the end of a label: whether it was published, or negated, then decides whether
        it comes back.
        """
        ends = [meant.exp for meant in self.model.meant.values() if meant.exp is not None]
        if not any(self.now + millis < end <= self.now for end in ends):
            self.site.clock.now += millis

    @rule()
    def expire(self) -> None:
        self.site.expire()
        self.model.expire(self.now, 1)

    @rule()
    def publish(self) -> None:
        self.site.publisher.step()
        self.hear()

    @rule(labeler=labelers)
    def another_key(self, labeler: int) -> None:
        self.site.new_key(labeler)

    @rule(in_order=st.booleans())
    def restart(self, in_order: bool) -> None:
        self.site.close(in_order=in_order)
        self.site.open()

    @rule()
    def another_publisher_takes_over(self) -> None:
        self.site.publisher = self.site.another_publisher()
        self.site.publisher.take_turn()

    @precondition(lambda self: len(self.copies) < 2)
    @rule()
    def copy(self) -> None:
        path = Path(self.folder.name) / f"copy-{len(self.copies)}.db"
        sql(self.site.database).execute("VACUUM INTO ?", (str(path),))
        self.copies.append((path, deepcopy(self.model), self.highest))

    @precondition(lambda self: self.copies)
    @rule(which=st.integers(0, 1), in_order=st.booleans())
    def put_back(self, which: int, in_order: bool) -> None:
        """The database is an older copy; the file beside it is not."""
        path, model, known = self.copies[which % len(self.copies)]
        self.site.close(in_order=in_order)
        for old in self.path.parent.glob("communities.db*"):
            old.unlink()
        self.path.write_bytes(path.read_bytes())
        self.site.open()
        for number, signer in self.site.signers.items():
            with writing(self.site.database) as connection:
                connection.execute("DELETE FROM label_key WHERE id = ?", (signer.key_id,))
                connection.execute("UPDATE label_key SET state = 'retired' WHERE labeler = ?", (number,))
                row = (signer.key_id, number, signer.key.public_key.format().hex())
                connection.execute("INSERT INTO label_key VALUES (?, ?, ?, NULL, 'active', 1)", row)
        self.model = deepcopy(model)
        if self.highest > known:
            self.floor = known + JUMP
        self.heard = self.site.rows()

    # What must be true

    def hear(self) -> None:
        """A subscriber who is always there."""
        for row in self.site.rows(self.highest):
            assert row.seq > max(self.highest, self.floor)
            earlier = [old for old in self.heard if (old.labeler, old.uri, old.val) == (row.labeler, row.uri, row.val)]
            assert all(old.cts < row.cts for old in earlier)
            assert not row.neg or any(old.cid == row.cid and not old.neg for old in earlier), "nobody had heard of it"
            self.heard.append(row)
            self.highest = row.seq

    @invariant()
    def what_was_published_stays_as_it_was(self) -> None:
        heard = {row.seq: row for row in self.heard}
        assert all(heard[row.seq] == row for row in self.site.rows() if row.seq <= self.highest)
        assert len(heard) == len(self.heard)

    def settle(self) -> None:
        """Everything is published that is to be."""
        self.expire()
        while self.site.publisher.step():
            self.hear()
        assert self.site.count("label_outbox") == 0
        wanted = self.model.held(self.now)
        told = self.site.rows()
        assert fold(told, self.now) == fold(self.heard, self.now) == wanted
        without = {(labeler, uri, "", val) for labeler, uri, _, val in wanted if labeler == 1}
        for said in (told, self.heard, sorted(self.heard, key=lambda row: row.cts)):
            mine = [row for row in said if row.labeler == 1]
            assert fold(mine, self.now, by_version=False) == without
        self.site.check_signatures()
        for row in told:
            event: Any = self.site.connection.execute(
                "SELECT uri, added, removed, actor FROM label_event WHERE id = ?", (row.event,)
            ).fetchone()
            assert event[0] == row.uri and row.val in event[2 if row.neg else 1].split() and event[3]

    @rule()
    def come_to_rest(self) -> None:
        self.settle()


History.TestCase.settings = settings(max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck))
TestHistory = History.TestCase
