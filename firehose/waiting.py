"""Waiting that ends when the process is told to stop."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep for so long, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def unless(stop: asyncio.Event, opening: Awaitable[T]) -> T | None:
    """What is waited for, or None when `stop` was set before: a server that never answers must not delay a stop."""
    opened, stopped = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((opened, stopped), return_when=asyncio.FIRST_COMPLETED)
        return opened.result() if opened.done() else None
    finally:
        for one in (opened, stopped):
            one.cancel()
        await asyncio.gather(opened, stopped, return_exceptions=True)
