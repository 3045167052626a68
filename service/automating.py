"""What the web process does for automatic labels, beside serving: it holds posts against the rules of `labels.toml`,
and reads other labelers. Without rules and inputs there is nothing of this.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from labeler.ages import Ages
from labeler.automation import Automation
from labeler.foreign import ForeignLabels
from labeler.labels_file import LabelsFile
from labeler.labels_in_force import LabelsInForce
from models import foreign_labels
from models.commits import CommitWatch
from models.database import writing
from service.config import Config
from service.lasting import lasting

LOOK_SECONDS = 0.1
"""How long a post can go unnoticed."""
AGES_SECONDS = 1.0
EXPIRY_SECONDS = 5.0
FORGET_PIECE = 200


@asynccontextmanager
async def automating(
    config: Config,
    database: APSWDatabase,
    session: aiohttp.ClientSession,
    declared: LabelsInForce,
    clock: Callable[[], float],
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Work in the background for as long as this is open. `session`: guarded; `clock`: seconds. What it gives ends the
    work, and begins it with what is declared now; not to be cancelled. Raises errors of the database.
    """
    async with AsyncExitStack() as running:

        async def begin() -> None:
            await running.aclose()
            await running.enter_async_context(_working(config, database, session, declared.file, clock))

        await begin()
        yield begin


@asynccontextmanager
async def _working(
    config: Config,
    database: APSWDatabase,
    session: aiohttp.ClientSession,
    declared: LabelsFile,
    clock: Callable[[], float],
) -> AsyncIterator[None]:
    # One thread with a connection of its own: nothing of this may hold up the event loop, which serves the feeds.
    thread = ThreadPoolExecutor(1, "label-rules")

    async def in_thread(work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    watch = CommitWatch(config.database)
    automation = Automation(database, declared.labelers, declared.rules, declared.inputs, clock)
    tasks: list[asyncio.Task[NoReturn]] = []
    try:
        await in_thread(automation.begin)
        if declared.rules or declared.inputs:
            work = _work(config, database, watch, session, declared, clock, automation, in_thread)
            tasks += [asyncio.create_task(one) for one in work]
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await in_thread(database.close)
        thread.shutdown()
        watch.close()


def _work(
    config: Config,
    database: APSWDatabase,
    watch: CommitWatch,
    session: aiohttp.ClientSession,
    declared: LabelsFile,
    clock: Callable[[], float],
    automation: Automation,
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
) -> list[Coroutine[Any, Any, NoReturn]]:
    """What is to be done, each for ever."""
    ages = Ages(database, session, config.plc_url.rstrip("/"), in_thread, clock)

    behind = True

    async def look() -> float:
        nonlocal behind
        behind = watch.any() or behind
        while behind:
            behind = await in_thread(automation.step)
        return LOOK_SECONDS

    async def ask() -> float:
        return 0.0 if await ages.step() else AGES_SECONDS

    def end_expired() -> int:
        with writing(database) as connection:
            return automation.acts.end_expired(connection, int(clock() * 1000))

    gone_after = ""

    def forget_gone() -> None:
        nonlocal gone_after
        with writing(database) as connection:
            gone_after = foreign_labels.forget_gone(connection, gone_after, FORGET_PIECE) or ""

    async def expire() -> float:
        if await in_thread(end_expired):
            return 0.0
        await in_thread(forget_gone)
        return EXPIRY_SECONDS

    foreign = [
        ForeignLabels(
            database, session, config.plc_url, config.egress_allow, one, values_of(declared, one.did),
            automation.acts, in_thread, clock,
        )
        for one in declared.inputs
    ]  # fmt: skip
    work = [lasting("rules", look)] + [lasting("labels of others", one.run) for one in foreign]
    if any(rule.younger_than is not None for rule in declared.rules):
        work.append(lasting("ages", ask))
    if foreign:
        work.append(lasting("expiry", expire))
    return work


def values_of(declared: LabelsFile, did: str) -> frozenset[str]:
    """The values of another labeler that anything is done about."""
    found: set[str] = set()
    for one in declared.inputs:
        if one.did == did:
            found |= {*one.hide, *one.queue, *one.adopt}
    return frozenset(found | {val for rule in declared.rules for src, val in rule.labels if src == did})
