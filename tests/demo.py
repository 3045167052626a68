"""`make demo`: the real service on a simulated network, to be tried without the internet.

A dozen accounts write on a simulated PDS, a simulated relay sends their commits, and `communities run` makes feeds
of them. Prints `curl` lines once each was seen to answer. Ends on Ctrl-C, or with --once after the first checks.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.demo_town import Town
from tests.service_process import PATIENCE, Service
from tests.world import World

START_SECONDS = 60.0


class DemoError(Exception):
    """The demonstration did not come up."""


@dataclass(frozen=True)
class Place:
    """Something to ask for: what it is, its URL, and whether an answer is a good one."""

    what: str
    url: str
    good: Callable[[Any], bool]


def places(service: Service, publisher: str) -> list[Place]:
    """What can be asked of the service."""
    feed = f"{service.url}/xrpc/app.bsky.feed.getFeedSkeleton?feed=at://{publisher}/app.bsky.feed.generator/"

    def holds_posts(answer: Any) -> bool:
        return bool(answer["feed"]) and all(item["post"].startswith("at://did:plc:") for item in answer["feed"])

    return [
        Place("Posts with #gardening", feed + "garden", holds_posts),
        Place("Posts with #python or about the standard library, no replies", feed + "python", holds_posts),
        Place("Posts of the reading circle's members", feed + "circle", holds_posts),
        Place(
            "Which feeds there are",
            f"{service.url}/xrpc/app.bsky.feed.describeFeedGenerator",
            lambda answer: len(answer["feeds"]) == 4,  # one for each community, and everything
        ),
        Place(
            "Who the service is",
            f"{service.url}/.well-known/did.json",
            lambda answer: answer["id"].startswith("did:web:localhost"),
        ),
        Place(
            "How it is doing",
            f"{service.url}/xrpc/_health",
            lambda answer: isinstance(answer["cursor"], int),
        ),
    ]


def check_alive(service: Service) -> None:
    """DemoError, with the service's last words, when it has ended by itself."""
    try:
        service.alive()
    except AssertionError as error:
        raise DemoError(str(error)) from error


async def wait_good(http: ClientSession, service: Service, place: Place, deadline: float) -> None:
    """Ask until the answer is a good one; DemoError at the deadline (of time.monotonic) or when the service ends."""
    last: object = None
    while time.monotonic() < deadline:
        check_alive(service)
        try:
            async with http.get(place.url) as answer:
                last = await answer.text()
                if answer.status == 200 and place.good(json.loads(last)):
                    return
        except (ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            last = last or error
        await asyncio.sleep(0.1)
    raise DemoError(f"{place.what}: no good answer from {place.url}; the last was {last}\n{service.log_tail()}")


async def chatter(town: Town, service: Service, pace: float, quiet: asyncio.Event) -> None:
    """Something happens every `pace` seconds as long as the service lives; printed unless `quiet` is set."""
    while True:
        check_alive(service)
        line = town.step()
        if not quiet.is_set():
            print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)
        await asyncio.sleep(pace)


async def demonstrate(folder: Path, *, once: bool, pace: float, stop: asyncio.Event) -> None:
    """Run everything in `folder` until `stop` is set; raises DemoError."""
    async with World(seed=1) as world:
        town = Town(world, seed=1)
        service = Service(
            folder,
            town.rules,
            source=world.relay_url,
            plc_url=world.plc_url,
            pds_url=world.pds_url,
            egress_allow="127.0.0.1,localhost",
            publisher_did=town.host.did,
        )
        print("Starting a network of thirteen accounts and the service ...", flush=True)
        service.start()
        quiet = asyncio.Event()
        quiet.set()
        town.open()
        talk = asyncio.create_task(chatter(town, service, pace, quiet))
        ended = asyncio.create_task(stop.wait())
        shown = asyncio.create_task(show(service, town.host.did))
        try:
            await asyncio.wait({ended, shown, talk}, return_when=asyncio.FIRST_COMPLETED)
            if talk.done() and not stop.is_set():
                await talk
            if not stop.is_set():
                await shown
                if once:
                    return
                print(f"\nLog of the service: {service.log}\nThe network goes on until Ctrl-C:\n", flush=True)
                quiet.clear()
                await asyncio.wait({ended, talk}, return_when=asyncio.FIRST_COMPLETED)
                if talk.done() and not stop.is_set():
                    await talk
        finally:
            for task in (talk, shown, ended):
                task.cancel()
            await asyncio.gather(talk, shown, ended, return_exceptions=True)
            await asyncio.to_thread(end, service)


async def show(service: Service, publisher: str) -> None:
    """Print each place as a curl line once it has answered well."""
    deadline = time.monotonic() + START_SECONDS * PATIENCE
    async with ClientSession(timeout=ClientTimeout(total=5)) as http:
        for place in places(service, publisher):
            await wait_good(http, service, place, deadline)
            print(f'\n# {place.what}\ncurl "{place.url}"', flush=True)


def end(service: Service) -> None:
    """Stop the service; DemoError unless it ends well. Ctrl-C in a terminal reaches it too, hence the second code."""
    if service.process is not None:
        service.signal(signal.SIGTERM)
        code = service.wait_exit()
        if code not in (0, 128 + signal.SIGINT):
            raise DemoError(f"The service ended with code {code}:\n{service.log_tail()}")


async def run(*, once: bool, pace: float) -> int:
    """The whole demonstration; returns the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="communities-demo-") as folder:
        try:
            await demonstrate(Path(folder), once=once, pace=pace, stop=stop)
        except DemoError as error:
            print(error, file=sys.stderr)
            return 1
    print("\nStopped." if not once else "\nEvery line above was checked.", flush=True)
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end as soon as every printed line was checked")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds from one event to the next (default 1)")
    arguments = parser.parse_args()
    return asyncio.run(run(once=arguments.once, pace=arguments.pace))


if __name__ == "__main__":
    sys.exit(main())
