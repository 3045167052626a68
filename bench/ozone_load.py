"""A load generator for calls that are signed one by one: some connections, each of which asks again when it has the
answer. Nothing is looked into before all are there.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
from yarl import URL


class Question(NamedTuple):
    """A request, ready to be sent, and what says of the answer's JSON what is wrong with it (empty: nothing).

    `path` begins with a slash and is encoded. With a `body` it is a POST.
    """

    path: str
    token: str
    fault: Callable[[Any], str]
    body: bytes | None = None


class Answered(NamedTuple):
    """So many answers, how many of them a second, and how long they took, in milliseconds; and what each took of the
    processor, in milliseconds, of every process that `spent` tells of.
    """

    answers: int
    rate: float
    p50: float
    p99: float
    spent: tuple[float, ...] = ()


Spent = Callable[[], tuple[float, ...]]
"""Seconds of the processor that the measured have used until now."""


async def ask(
    url: str, questions: Sequence[Question], connections: int, seconds: float, spent: Spent = tuple
) -> Answered:
    """Ask all of them once, or as many as are answered before so many seconds have passed. Raises AssertionError when
    an answer is not 200, or not what it must be.
    """
    times: list[float] = []
    answers: list[tuple[Question, int, bytes]] = []
    upcoming = iter([(question, *_prepared(url, question)) for question in questions])
    connector = aiohttp.TCPConnector(limit=connections)
    # No compression is asked for: it would be the measured one's time, and none of its work.
    headers = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=False) as session:

        async def caller(until: float) -> None:
            for question, target, own in upcoming:
                began = time.perf_counter()
                async with session.request(
                    "GET" if question.body is None else "POST", target, data=question.body, headers=own
                ) as answer:
                    body = await answer.read()
                ended = time.perf_counter()
                times.append(ended - began)
                answers.append((question, answer.status, body))
                if ended > until:
                    return

        before, began = spent(), time.perf_counter()
        await asyncio.gather(*(caller(began + seconds) for _ in range(connections)))
        took, after = time.perf_counter() - began, spent()
    for question, status, body in answers:
        if status != 200:
            raise AssertionError(f"{question.path}: {status} {body[:300]!r}")
        if fault := question.fault(json.loads(body)):
            raise AssertionError(f"{question.path}: {fault}: {body[:300]!r}")
    times.sort()
    return Answered(
        len(times),
        len(times) / took,
        times[len(times) // 2] * 1000,
        times[int(len(times) * 0.99)] * 1000,
        tuple((end - start) * 1000 / len(times) for start, end in zip(before, after, strict=True)),
    )


def _prepared(url: str, question: Question) -> tuple[URL, dict[str, str]]:
    headers = {"Authorization": f"Bearer {question.token}"}
    if question.body is not None:
        headers["Content-Type"] = "application/json"
    return URL(url + question.path, encoded=True), headers


async def one(url: str, question: Question) -> Any:
    """The answer to one question, which must be what it must be."""
    kept: list[Any] = []

    def fault(answer: Any) -> str:
        kept.append(answer)
        return question.fault(answer)

    await ask(url, [question._replace(fault=fault)], 1, 0)
    return kept[0]
