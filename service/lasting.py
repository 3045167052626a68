"""What the web process does beside serving: pieces of work, each again and again, in threads with connections of their
own. What they are about is in the database, so a restart forgets nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from playhouse.apsw_ext import APSWDatabase

from models.database import MACHINE_FAULTS, DatabaseError

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Behind a fault of the machine or of the database's file, which may be over then."""
FAULT_SECONDS = 30.0
"""Behind a fault of ours, which goes into the log each time."""


class InThread(Protocol):
    """Runs a function in the thread."""

    async def __call__(self, work: Callable[..., Any], *given: Any) -> Any:
        """What the function returns, or raises."""


@contextmanager
def own_thread(database: APSWDatabase, name: str) -> Iterator[InThread]:
    """One thread, in which the database has a connection of its own: waiting for another writer may not hold up the
    event loop. At the end the thread ends what it does, closes the connection, and is not waited for.
    """
    thread = ThreadPoolExecutor(1, name)

    async def in_thread(work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *given)

    try:
        yield in_thread
    finally:
        thread.submit(database.close)
        thread.shutdown(wait=False)


async def lasting(what: str, work: Callable[[], Awaitable[float]], first: float = 0.0) -> NoReturn:
    """Do a piece of work again and again, as many seconds later as it says, until cancelled: no fault ends it. `what`:
    how the log names it; `first`: seconds before the first time.
    """
    wait = first
    while True:
        await asyncio.sleep(wait)
        try:
            wait = await work()
        except (DatabaseError, *MACHINE_FAULTS) as error:
            log.error("%s: the database cannot be used now, trying again: %s", what, error)
            wait = RETRY_SECONDS
        except Exception:
            log.exception("%s: a fault of ours, trying again", what)
            wait = FAULT_SECONDS
