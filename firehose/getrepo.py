"""`com.atproto.sync.getRepo`: a whole repository from its host, into a file (B2-B5)."""

import asyncio
from typing import IO
from urllib.parse import quote

import aiohttp

from firehose.standing import by_error
from firehose.times import now_micros
from xrpc.egress import read_error

MOST_BYTES, MOST_BYTES_OF_OTHERS = 1 << 29, 1 << 27
"""Of a repository, and of one whose account is not followed: anybody may have his own read, and a large one that is
made for it takes several times as much memory.
"""
FETCH_SECONDS = 300.0
"""For one repository, however slowly it comes (B5)."""
PARKED_SECONDS, LONGEST_PARK = 60.0, 3600.0
"""How long a host is left alone that says "too many requests": without saying for how long, and at most."""


class ResyncError(Exception):
    """The repository cannot be read now; the message says why. `lasting`: trying again soon is of no use."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


class Gone(Exception):
    """The host says that the account is not active; `status` is how."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Parked(Exception):
    """The host wants to be left alone for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the host asks to wait {seconds:.0f} s")
        self.seconds = seconds


async def fetch_repo(session: aiohttp.ClientSession, did: str, host: str, file: IO[bytes], *, most: int) -> None:
    """Write the repository of `did` into `file`, as the CAR of `most` bytes at most that its `host` (an origin) gives.

    Raises ResyncError, Gone or Parked.
    """
    url = f"{host}/xrpc/com.atproto.sync.getRepo?did={quote(did, safe='')}"
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            session.get(
                url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
            ) as answer,
        ):
            if answer.status != 200:
                await _refuse(answer, host)
            size = 0
            async for chunk in answer.content.iter_chunked(1 << 16):
                size += len(chunk)
                if size > most:
                    raise ResyncError(f"it is larger than {most >> 20} MB", lasting=True)
                file.write(chunk)
    except TimeoutError:
        raise ResyncError(f"{host} took longer than {FETCH_SECONDS:.0f} s") from None
    except (aiohttp.ClientError, OSError) as fault:
        raise ResyncError(f"{host} could not be reached ({type(fault).__name__})") from fault
    file.flush()
    if not size:
        raise ResyncError(f"{host} sent nothing")


async def _refuse(answer: aiohttp.ClientResponse, host: str) -> None:
    """Say what an answer other than a repository means. Always raises."""
    if answer.status == 429:
        raise Parked(_retry_after(answer))
    if (standing := by_error(answer.status, await read_error(answer))) and standing.status:
        raise Gone(standing.status)
    raise ResyncError(f"{host} answered {answer.status}")


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Seconds that a 429 asks for."""
    for name in ("Retry-After", "RateLimit-Reset"):
        text = answer.headers.get(name, "")
        if text.isascii() and text.isdecimal():
            seconds = float(text[:12])
            if seconds > 1e9:  # RateLimit-Reset of the reference server is a time, not a span
                seconds -= now_micros() / 1e6
            return min(max(seconds, 1.0), LONGEST_PARK)
    return PARKED_SECONDS
