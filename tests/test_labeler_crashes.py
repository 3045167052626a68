"""Real processes that publish: killed at every place, two at once, woken by what another has committed."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labeler.issue import Wanted, issue
from labeler.publishing import LOCK, Publishing
from labeler.seq import FILE
from models.database import open_database, sql, writing
from tests.label_child import LABELER, signers
from tests.label_site import Row, Vocabulary, fold, post, rows
from tests.service_process import PATIENCE

ROOT = Path(__file__).parents[1]
VOCABULARY = Vocabulary(LABELER)


class Scene:
    """The process that decides, on a file of its own, and a subscriber who hears everything."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = open_database(path)
        self.heard: list[Row] = []
        self.meant: set[tuple[int, str, str, str]] = set()
        self.children: list[subprocess.Popen[bytes]] = []
        with writing(self.database) as connection:
            connection.execute("INSERT INTO labeler (id, did) VALUES (1, ?)", (LABELER,))
            connection.execute("INSERT INTO label_key (labeler, public, state, at) VALUES (1, 'k', 'active', 1)")

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.label_child", str(self.path), *options],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.children.append(child)
        return child

    def issue(self, number: int, *, add: bool = True, exp: int | None = None) -> None:
        values: dict[str, tuple[str, ...]] = {"add" if add else "remove": ("spam",)}
        wanted = Wanted(1, LABELER, post(number), actor="cli", exp=exp, **values)  # type: ignore[arg-type]
        with writing(self.database) as connection:
            issue(connection, VOCABULARY, wanted, int(time.time() * 1000))
        key = (1, post(number), "", "spam")
        (self.meant.add if add else self.meant.discard)(key)

    def hear(self) -> list[Row]:
        """What is new; nothing that was heard is ever different or given a number twice."""
        fresh = rows(sql(self.database), self.heard[-1].seq if self.heard else 0)
        by_seq = {row.seq: row for row in self.heard}
        for row in fresh:
            assert row.seq not in by_seq
            assert all(old.cts < row.cts for old in self.heard if old.uri == row.uri)
        self.heard += fresh
        assert all(by_seq.get(row.seq, row) == row for row in rows(sql(self.database)))
        return fresh

    def waiting(self) -> int:
        return int(sql(self.database).execute("SELECT count(*) FROM label_outbox").fetchone()[0])

    def until(self, what: str, check: Callable[[], object]) -> None:
        end = time.monotonic() + 30 * PATIENCE
        while not check():
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.hear()
            time.sleep(0.002)

    def settle(self) -> None:
        self.until("everything to be published", lambda: not self.waiting())
        self.hear()
        now = int(time.time() * 1000)
        assert fold(self.heard, now) == fold(rows(sql(self.database)), now) == self.meant

    def end(self, child: "subprocess.Popen[bytes]") -> bytes:
        out, _ = child.communicate(timeout=30 * PATIENCE)
        return out


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "communities.db")
    yield made
    for child in made.children:
        if child.poll() is None:
            child.kill()
        if child.stdin is not None and not child.stdin.closed:
            child.communicate()
    made.database.close()


POINTS = [
    ("labeler.seq:SeqFile.write", "before", 1),
    ("labeler.seq:SeqFile.write", "after", 1),
    ("labeler.seq:Turn.__init__", "after", 1),
    ("labeler.publisher:Publisher._due", "after", 1),
    ("labeler.publisher:sign", "after", 2),
    ("labeler.seq:Turn.take", "before", 1),
    ("labeler.seq:Turn.take", "after", 1),
    ("labeler.publisher:Publisher._publish", "after", 1),
    ("labeler.publisher:writing", "left", 1),
    ("labeler.publisher:Publisher.step", "after", 2),
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0].partition(':')[2]} {point[1]}")
def test_s158_killed_anywhere_nothing_is_lost_or_said_twice(
    scene: Scene, tmp_path: Path, point: tuple[str, str, int]
) -> None:
    """Between commit and anything else it is all there; before the commit, nothing of it."""
    first = scene.start()
    for number in range(1, 4):
        scene.issue(number)
    scene.settle()
    first.communicate(timeout=30 * PATIENCE)
    scene.issue(2, add=False)
    for number in range(4, 9):
        scene.issue(number)
    mark = tmp_path / "mark"
    mark.touch()
    name, when, call = point
    child = scene.start("--point", name, "--when", when, "--call", str(call), "--mark", str(mark))
    assert child.wait(30 * PATIENCE) == -signal.SIGKILL and not mark.exists(), "it was not reached"
    scene.hear()
    assert len(scene.heard) + scene.waiting() == 9, "what waits was not published, and the other way round"
    scene.issue(9)
    last = scene.start()
    scene.settle()
    last.communicate(timeout=30 * PATIENCE)
    assert (tmp_path / FILE).read_text() == f"next {scene.heard[-1].seq + 1}\n"
    assert len(scene.heard) == 3 + 1 + 6, "each once"


def test_s158_killed_at_random_moments_while_labels_come_and_go(scene: Scene) -> None:
    rng = random.Random(158)
    child = scene.start()
    for _ in range(8):
        for _ in range(rng.randrange(5, 60)):
            number = rng.randrange(1, 30)
            scene.issue(number, add=rng.random() < 0.6)
            scene.hear()
        child.kill()
        child.communicate()
        scene.hear()
        child = scene.start()
    scene.settle()


def test_s164_of_two_processes_one_publishes_and_the_other_takes_over(scene: Scene) -> None:
    first = scene.start()
    scene.issue(1)
    scene.settle()
    second = scene.start()
    for number in range(2, 40):
        scene.issue(number)
    scene.settle()
    assert [row.seq for row in scene.heard] == list(range(1, 40)), "no turn changed hands"
    first.kill()
    first.communicate()
    scene.issue(40)
    scene.settle()
    assert scene.heard[-1].seq > 1_000_000
    assert b"stopped" in scene.end(second)


@contextmanager
def publishing(scene: Scene) -> Iterator[Publishing]:
    stop = threading.Event()
    made = Publishing(scene.path, signers, lambda connection: {1})
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join(30 * PATIENCE)
        assert not thread.is_alive()


def test_a_thread_publishes_what_another_connection_commits_and_what_expires(scene: Scene) -> None:
    with publishing(scene) as thread:
        scene.issue(1)
        scene.settle()
        scene.until("its state", lambda: thread.state == "publishing" and thread.counts["published"] == 1)
        scene.issue(2, exp=int(time.time() * 1000) + 300)
        scene.until("its label", lambda: len(scene.heard) == 2)
        scene.until("its end", lambda: scene.heard[-1].neg)
        assert (thread.counts["expired"], thread.counts["faults"]) == (1, 0)
    assert thread.state == "stopped"
    assert scene.path.with_name(LOCK).exists() and scene.path.with_name(FILE).read_text() == "next 4\n"


def test_a_thread_goes_on_when_the_machine_does_again(scene: Scene) -> None:
    """A file of numbers that is damaged, and then mended: it waits, says why, and goes on."""
    scene.path.with_name(FILE).write_text("damaged")
    with publishing(scene) as thread:
        scene.until("the fault", lambda: "damaged" in thread.state)
        scene.issue(1)
        scene.path.with_name(FILE).unlink()
        scene.settle()
        assert thread.counts["faults"] >= 1


def test_s164_a_thread_whose_turn_was_taken_stops(scene: Scene) -> None:
    from labeler.seq import jump

    with publishing(scene) as thread:
        scene.issue(1)
        scene.settle()
        above = jump(scene.database, 10)
        scene.issue(2)
        scene.until("its stop", lambda: "another process" in thread.state)
        assert scene.waiting() == 1
    with publishing(scene):
        scene.settle()
    assert scene.heard[-1].seq == above
