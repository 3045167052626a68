"""The moment of the database that requests share: until somebody commits, or its time is over."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feedgen.feeds import SNAPSHOT_SECONDS, Feeds
from models.commits import CommitWatch
from models.database import open_database, sql, writing


class Timer:
    """`call_later` and `call_soon` in the test's hands."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.next: list[Callable[[], None]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Note the call."""
        self.due.append((seconds, call))

    def soon(self, call: Callable[[], None]) -> None:
        """The same of what the next turn of the loop does."""
        self.next.append(call)

    def turn(self) -> None:
        """The next turn of the loop."""
        while self.next:
            self.next.pop()()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that exists."""
    database = open_database(tmp_path / "communities.db")
    database.close()
    return tmp_path / "communities.db"


def test_one_moment_until_a_commit_or_until_its_time_is_over(path: Path) -> None:
    reader, writer, timer = open_database(path), open_database(path), Timer()
    watch = CommitWatch(path)
    feeds = Feeds(sql(reader), "did:web:x.example", watch, timer.later, timer.soon)

    def kept() -> int:
        timer.turn()
        feeds.refresh()
        found: int = sql(reader).execute("SELECT count(*) FROM meta").fetchone()[0]
        return found

    before, version = kept(), feeds.version
    assert kept() == before and feeds.version == version and len(timer.due) == 1
    with writing(writer) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('a', '1')")
    assert sql(reader).execute("SELECT count(*) FROM meta").fetchone()[0] == before  # nobody has asked yet
    assert kept() == before + 1 and feeds.version != version and len(timer.due) == 1
    seconds, end = timer.due.pop()
    assert seconds == SNAPSHOT_SECONDS
    end()
    with writing(reader):  # the moment is over: the connection is free
        pass
    assert kept() == before + 1 and len(timer.due) == 1
    feeds.close()
    watch.close()
    reader.close()
    writer.close()


def test_who_is_answered_in_one_turn_sees_one_moment_for_one_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer, watch, timer = open_database(path), open_database(path), CommitWatch(path), Timer()
    feeds, looks = Feeds(sql(reader), "did:web:x.example", watch, timer.later, timer.soon), [0]
    look = watch.any

    def counted() -> bool:
        looks[0] += 1
        return look()

    monkeypatch.setattr(watch, "any", counted)
    before = feeds.refresh()
    with writing(writer) as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('a', '1')")
    assert [feeds.refresh() for _ in range(3)] == [before] * 3 and looks == [1]
    timer.turn()
    assert feeds.refresh() != before and looks == [2]
    timer.due[0][1]()  # its time is over within a turn: what is asked then has a moment again
    assert not sql(reader).in_transaction
    feeds.refresh()
    assert sql(reader).in_transaction
    feeds.close()
    watch.close()
    reader.close()
    writer.close()


def test_the_timer_comes_after_the_end(path: Path) -> None:
    database, watch, timer = open_database(path), CommitWatch(path), Timer()
    feeds = Feeds(sql(database), "did:web:x.example", watch, timer.later, timer.soon)
    feeds.refresh()
    feeds.close()
    watch.close()
    database.close()
    timer.due[0][1]()
