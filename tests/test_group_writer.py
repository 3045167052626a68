"""Writes that go together: each is whole or not at all, and none is told of before it is on the disk."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import peewee
import pytest

from models.database import Connection, open_database, sql, writing
from models.group import MOST, GroupWriter
from tests.service_process import PATIENCE


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Any]:
    opened = open_database(tmp_path / "communities.db")
    yield opened
    opened.close()


def put(name: str, value: str = "x") -> Any:
    """Store something of the service's own."""

    def act(connection: Connection) -> str:
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (name, value))
        return name

    return act


class Gate:
    """A write that waits until it is let go: what is wanted meanwhile goes together with the next commit."""

    def __init__(self, writer: GroupWriter, before: Any = None) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self._before = before
        self._future = writer.submit(self._wait)
        assert self._begun.wait(PATIENCE)

    def _wait(self, connection: Connection) -> bool:
        if self._before:
            self._before(connection)
        self._begun.set()
        return self._go.wait(PATIENCE)

    def open(self) -> None:
        self._go.set()
        assert self._future.result(PATIENCE)


def names(database: Any) -> list[str]:
    return [name for (name,) in sql(database).execute("SELECT key FROM meta WHERE value = 'x' ORDER BY key")]


def test_each_is_whole_or_not_at_all_and_all_go_with_one_commit(database: Any) -> None:
    commits: list[int] = []

    def count(connection: Connection) -> None:
        connection.set_commit_hook(lambda: commits.append(1) or False)  # type: ignore[attr-defined]

    def half(connection: Connection) -> None:
        put("half")(connection)
        raise KeyError("half")

    writer = GroupWriter(database, "writer")
    gate = Gate(writer, count)
    futures = [writer.submit(put(f"n{number:02}")) for number in range(10)]
    futures.insert(5, writer.submit(half))
    gate.open()
    assert isinstance(futures.pop(5).exception(PATIENCE), KeyError)
    assert [future.result(PATIENCE) for future in futures] == [f"n{number:02}" for number in range(10)]
    assert names(database) == [f"n{number:02}" for number in range(10)]
    assert len(commits) == 2, "what waited for the first commit went with the second"
    writer.close()


def test_a_commit_that_fails_is_told_to_all(database: Any) -> None:
    writer = GroupWriter(database, "writer")

    def fail(connection: Connection) -> None:
        connection.set_commit_hook(lambda: True)  # type: ignore[attr-defined]

    gate = Gate(writer)
    futures = [writer.submit(fail), writer.submit(put("a"))]
    gate.open()
    for future in futures:
        assert isinstance(future.exception(PATIENCE), (apsw.Error, peewee.PeeweeException))
    assert names(database) == []
    writer.close()


def test_an_error_that_ends_the_transaction_undoes_all(database: Any) -> None:
    writer = GroupWriter(database, "writer")

    def ends(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        raise apsw.FullError("the disk is full")

    gate = Gate(writer)
    futures = [writer.submit(put("a")), writer.submit(ends), writer.submit(put("b"))]
    gate.open()
    for future in futures:
        assert future.exception(PATIENCE) is not None
    assert writer.submit(put("c")).result(PATIENCE) == "c" and names(database) == ["c"]
    writer.close()


def test_who_has_gone_away_is_not_written_for_and_the_rest_is_at_the_end(database: Any) -> None:
    writer = GroupWriter(database, "writer")
    gate = Gate(writer)
    gone, stays = writer.submit(put("gone")), [writer.submit(put(f"n{number:03}")) for number in range(2 * MOST)]
    assert gone.cancel()
    gate.open()
    writer.close()
    assert all(future.done() for future in stays)
    assert len(names(database)) == 2 * MOST and "gone" not in names(database)


def test_another_writer_is_waited_for(database: Any) -> None:
    writer = GroupWriter(database, "writer")
    with writing(database) as connection:
        future = writer.submit(put("later"))
        put("first")(connection)
        assert not future.done()
    assert future.result(PATIENCE) == "later" and names(database) == ["first", "later"]
    writer.close()
