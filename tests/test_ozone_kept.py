"""What is kept of others' answers: for how long, how much, and what happens while it is being asked for."""

import asyncio

import pytest

from ozone.kept import Kept


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_good_for_its_time_alone() -> None:
    clock = Clock()
    kept: Kept[str, int | None] = Kept(10.0, 100, clock)
    kept.put("a", None)
    assert "a" in kept and kept.get("a") is None and "b" not in kept
    for now, good in ((109.9, True), (110.0, False), (99.0, False)):
        clock.now = now
        assert ("a" in kept) is good


def test_what_is_kept_for_longest_goes_when_it_is_too_much() -> None:
    kept: Kept[str, str] = Kept(10.0, 10, Clock(), len)
    for key, value in (("a", "xxxx"), ("b", "xxxx"), ("a", "yyyy"), ("c", "xx"), ("d", "xx")):
        kept.put(key, value)
    assert [kept.get(key) for key in "abcd"] == ["yyyy", None, "xx", "xx"] and len(kept) == 3
    kept.put("e", "x" * 11)
    assert len(kept) == 0, "what is too heavy is not kept"
    kept.put("f", "x" * 10)
    assert kept.get("f") == "x" * 10


async def test_many_ask_once_and_whoever_gives_up_takes_nothing_away() -> None:
    kept: Kept[str, int] = Kept(10.0, 100, Clock())
    go, asked = asyncio.Event(), []

    async def ask() -> int:
        asked.append(1)
        await go.wait()
        return 7

    waiting = [asyncio.create_task(kept.fetch("a", ask)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    go.set()
    assert await asyncio.gather(*waiting[1:]) == [7] * 4 and asked == [1]
    assert await kept.fetch("a", ask) == 7 and asked == [1]
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(10.0, 100, Clock())

    async def fail() -> int:
        raise ValueError("no")

    async def answer() -> int:
        return 7

    failed = await asyncio.gather(*(kept.fetch("a", fail) for _ in range(3)), return_exceptions=True)
    assert [type(fault) for fault in failed] == [ValueError] * 3 and "a" not in kept
    assert await kept.fetch("a", answer) == 7


async def test_closing_gives_up_what_is_asked_for() -> None:
    kept: Kept[str, int] = Kept(10.0, 100, Clock())
    never = asyncio.Event()

    async def ask() -> int:
        await never.wait()
        return 7

    waiting = asyncio.create_task(kept.fetch("a", ask))
    await asyncio.sleep(0)
    await kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
