"""What the web process does beside serving goes on, whatever becomes of a piece of it."""

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from models.database import DatabaseMovedError, open_database, sql
from service import lasting
from tests.ozone_site import desk
from tests.service_process import PATIENCE


async def until_done(work: Callable[[], Any], done: asyncio.Event, **more: Any) -> None:
    """Let it last until something was reached."""
    task = asyncio.create_task(lasting.lasting("the work", work, **more))
    try:
        await asyncio.wait_for(done.wait(), 10 * PATIENCE)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "said", "traced"),
    [
        (apsw.BusyError("database is locked"), "the work: the database cannot be used now, trying again", False),
        (DatabaseMovedError("the file was replaced"), "the work: the database cannot be used now, trying again", False),
        (ValueError("what nobody had thought of"), "the work: a fault of ours, trying again", True),
    ],
)
async def test_no_fault_ends_it(
    fault: Exception, said: str, traced: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def waiting(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("service.lasting.asyncio.sleep", waiting)
    done, calls = asyncio.Event(), 0

    async def work() -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise fault
        if calls == 3:
            done.set()
        return 7.0

    await until_done(work, done, first=3.0)
    again = lasting.FAULT_SECONDS if traced else lasting.RETRY_SECONDS
    assert waits[:3] == [3.0, 7.0, again]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and said in record.getMessage() and bool(record.exc_info) is traced
    assert str(fault) in caplog.text


async def test_it_ends_when_it_is_cancelled_while_it_works() -> None:
    begun = asyncio.Event()

    async def work() -> float:
        begun.set()
        await asyncio.Event().wait()
        return 0.0

    await until_done(work, begun)


async def test_a_thread_has_a_connection_of_its_own_and_closes_it(tmp_path: Path) -> None:
    database = open_database(tmp_path / "communities.db")
    outside, closed = sql(database), threading.Event()
    with lasting.own_thread(database, "test") as in_thread:
        inside = await in_thread(sql, database)
        assert inside is not outside and (await in_thread(threading.current_thread)).name.startswith("test")
        close = database.close

        def closing() -> bool:
            found: bool = close()
            closed.set()
            return found

        database.close = closing
    assert await asyncio.to_thread(closed.wait, 10 * PATIENCE)
    with pytest.raises(apsw.ConnectionClosedError):
        inside.execute("SELECT 1")
    outside.execute("SELECT 1")
    close()


def test_the_service_goes_on_ending_what_is_over_behind_a_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, calls = threading.Event(), 0

    def end(*_: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > 2:
            again.set()
        return 1 // 0

    monkeypatch.setattr("service.lasting.FAULT_SECONDS", 0.0)
    monkeypatch.setattr("service.ending.end_once", end)
    with desk(tmp_path):
        assert again.wait(10 * PATIENCE)
