"""The moment of the database that requests share: until somebody commits, or its time is over."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feedgen.feeds import SNAPSHOT_SECONDS, Feeds
from models.commits import CommitWatch
from models.database import open_database, sql, writing


class Timer:
    """`call_later` in the test's hands."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Note the call."""
        self.due.append((seconds, call))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that exists."""
    database = open_database(tmp_path / "communities.db")
    database.close()
    return tmp_path / "communities.db"


def test_one_moment_until_a_commit_or_until_its_time_is_over(path: Path) -> None:
    reader, writer, timer = open_database(path), open_database(path), Timer()
    watch = CommitWatch(path)
    feeds = Feeds(sql(reader), "did:web:x.example", watch, timer.later)

    def kept() -> int:
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


def test_the_timer_comes_after_the_end(path: Path) -> None:
    database, watch, timer = open_database(path), CommitWatch(path), Timer()
    feeds = Feeds(sql(database), "did:web:x.example", watch, timer.later)
    feeds.refresh()
    feeds.close()
    watch.close()
    database.close()
    timer.due[0][1]()
