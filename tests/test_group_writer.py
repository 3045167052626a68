"""Writes that go together: each is whole or not at all, and none is told of before it is on the disk."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
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


def names(database: Any) -> list[str]:
    return [name for (name,) in sql(database).execute("SELECT key FROM meta WHERE value = 'x' ORDER BY key")]


def test_each_is_whole_or_not_at_all_and_all_go_with_one_commit(database: Any) -> None:
    commits: list[int] = []
    gate = threading.Event()

    def wait(connection: Connection) -> None:
        connection.set_commit_hook(lambda: commits.append(1) or False)  # type: ignore[attr-defined]
        assert gate.wait(PATIENCE)

    def half(connection: Connection) -> None:
        put("half")(connection)
        raise KeyError("half")

    writer = GroupWriter(database, "writer")
    first = writer.submit(wait)
    futures = [writer.submit(put(f"n{number:02}")) for number in range(10)]
    futures.insert(5, writer.submit(half))
    gate.set()
    first.result(PATIENCE)
    assert isinstance(futures.pop(5).exception(PATIENCE), KeyError)
    assert [future.result(PATIENCE) for future in futures] == [f"n{number:02}" for number in range(10)]
    assert names(database) == [f"n{number:02}" for number in range(10)]
    assert len(commits) == 2, "what waited for the first commit went with the second"
    writer.close()


def test_a_commit_that_fails_is_told_to_all(database: Any) -> None:
    writer = GroupWriter(database, "writer")

    def fail(connection: Connection) -> None:
        connection.set_commit_hook(lambda: True)  # type: ignore[attr-defined]

    gate = threading.Event()
    waiting = writer.submit(lambda _: gate.wait(PATIENCE))
    futures = [writer.submit(fail), writer.submit(put("a"))]
    gate.set()
    assert waiting.result(PATIENCE)
    for future in futures:
        assert isinstance(future.exception(PATIENCE), apsw.Error)
    assert names(database) == []
    writer.close()


def test_an_error_that_ends_the_transaction_undoes_all(database: Any) -> None:
    writer = GroupWriter(database, "writer")

    def ends(connection: Connection) -> None:
        connection.execute("ROLLBACK")
        raise apsw.FullError("the disk is full")

    gate = threading.Event()
    waiting = writer.submit(lambda _: gate.wait(PATIENCE))
    futures = [writer.submit(put("a")), writer.submit(ends), writer.submit(put("b"))]
    gate.set()
    assert waiting.result(PATIENCE)
    for future in futures:
        assert future.exception(PATIENCE) is not None
    assert writer.submit(put("c")).result(PATIENCE) == "c" and names(database) == ["c"]
    writer.close()


def test_who_has_gone_away_is_not_written_for_and_the_rest_is_at_the_end(database: Any) -> None:
    writer = GroupWriter(database, "writer")
    gate = threading.Event()
    waiting = writer.submit(lambda _: gate.wait(PATIENCE))
    gone, stays = writer.submit(put("gone")), [writer.submit(put(f"n{number:03}")) for number in range(2 * MOST)]
    assert gone.cancel()
    gate.set()
    writer.close()
    assert waiting.result(0) and all(future.done() for future in stays)
    assert len(names(database)) == 2 * MOST and "gone" not in names(database)


def test_another_writer_is_waited_for(database: Any) -> None:
    writer = GroupWriter(database, "writer")
    with writing(database) as connection:
        future = writer.submit(put("later"))
        put("first")(connection)
        assert not future.done()
    assert future.result(PATIENCE) == "later" and names(database) == ["first", "later"]
    writer.close()
