"""Writes of many callers in one transaction: each is whole or not at all by itself, and all wait for one commit.

A commit waits for the disk, which takes longer than what callers do. While one is under way others come, and go
together with the next.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import apsw
from playhouse.apsw_ext import APSWDatabase

from models.database import Connection, writing

T = TypeVar("T")

MOST = 64
"""Writes that go together."""


class _Wanted(NamedTuple):
    """A write, and who waits for it."""

    act: Callable[[Connection], Any]
    future: "Future[Any]"


class GroupWriter:
    """A thread that writes, on a connection of its own, what others want to have written."""

    def __init__(self, database: APSWDatabase, name: str) -> None:
        self._database = database
        self._wanted: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, act: Callable[[Connection], T]) -> "Future[T]":
        """Have something written. The future has its result when that is committed, or what it raised: then nothing of
        it is. `act` is called in an immediate transaction, which it must not end.
        """
        future: Future[T] = Future()
        self._wanted.put(_Wanted(act, future))
        return future

    def close(self) -> None:
        """Write what is wanted, and end."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            found = self._wanted.get()
            batch: list[_Wanted] = []
            while found is not None:
                if found.future.set_running_or_notify_cancel():
                    batch.append(found)
                if len(batch) == MOST or self._wanted.empty():
                    break
                found = self._wanted.get()
            ended = found is None
            if batch:
                self._write(batch)
        self._database.close()

    def _write(self, batch: list[_Wanted]) -> None:
        done: list[tuple[_Wanted, Any, BaseException | None]] = []
        try:
            with writing(self._database) as connection:
                done.extend((one, *_whole(connection, one.act)) for one in batch)
        except BaseException as error:  # nothing is committed, of none of them
            for one in batch:
                one.future.set_exception(error)
            return
        for one, result, fault in done:
            if fault is None:
                one.future.set_result(result)
            else:
                one.future.set_exception(fault)


def _whole(connection: Connection, act: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
    """What an act gives, or what it raises, of which nothing is left then. Raises what ends the whole transaction."""
    connection.execute("SAVEPOINT one")
    try:
        result = act(connection)
    except Exception as error:  # whatever it is, it is told to who waits for it
        if isinstance(error, apsw.Error) and not _is_open(connection):
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return None, error
    connection.execute("RELEASE one")
    return result, None


def _is_open(connection: Connection) -> bool:
    """Whether the transaction is there still: SQLite itself may have ended it."""
    return bool(getattr(connection, "in_transaction", True))
