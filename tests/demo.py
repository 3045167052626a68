"""`make demo`: the real service on a simulated network, to be tried without the internet.

A dozen accounts write on a simulated PDS, a simulated relay sends their commits, and `communities run` makes
communities of them: three of the operator's file, and one that is founded by a record, joined by records, and looked
after by a moderator. Prints `curl` lines once each was seen to answer. Ends on Ctrl-C, or with --once after the first
checks.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.demo_places import Place, places, queue, service_did
from tests.demo_town import Town
from tests.service_process import PATIENCE, Service
from tests.world import World

START_SECONDS = 60.0


class DemoError(Exception):
    """The demonstration did not come up."""


def check_alive(service: Service) -> None:
    """DemoError, with the service's last words, when it has ended by itself."""
    try:
        service.alive()
    except AssertionError as error:
        raise DemoError(str(error)) from error


async def ask(http: ClientSession, place: Place) -> tuple[bool, Any]:
    """Whether the answer is a good one, and what it is, or what went wrong."""
    headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
    try:
        async with http.get(place.url, headers=headers) as answer:
            found = json.loads(await answer.text())
            return answer.status == 200 and bool(place.good(found)), found
    except (ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
        return False, error


async def wait_good(http: ClientSession, service: Service, place: Place, deadline: float) -> None:
    """Ask until the answer is a good one; DemoError at the deadline (of time.monotonic) or when the service ends."""
    last: object = None
    while time.monotonic() < deadline:
        check_alive(service)
        good, last = await ask(http, place)
        if good:
            return
        await asyncio.sleep(0.1)
    raise DemoError(f"{place.what}: no good answer from {place.url}; the last was {last}\n{service.log_tail()}")


async def wait_reading(world: World, service: Service) -> None:
    """Until the service reads the relay: what people did before that it would have to be told of (`backfill`)."""
    deadline = time.monotonic() + START_SECONDS * PATIENCE
    while not world.relay.sessions:
        check_alive(service)
        if time.monotonic() > deadline:
            raise DemoError(f"The service does not read the relay.\n{service.log_tail()}")
        await asyncio.sleep(0.05)


async def moderate(http: ClientSession, town: Town, service: Service) -> str | None:
    """The moderator lets in what has waited longest, if more than one post waits, by the call that clients make for
    people; returns what happened in a line.
    """
    good, answer = await ask(http, queue(service, town))
    waiting = answer["feed"] if good else []
    if len(waiting) < 2:
        return None
    uri, cid = waiting[0]["post"], waiting[0]["feedContext"].split()[1]
    method = "social.communities.decide"
    token = town.moderator.service_jwt(f"{service_did(service)}#communities", method)
    subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid}
    body = {"community": "birds", "action": "approve", "subject": subject}
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with http.post(f"{service.url}/xrpc/{method}", json=body, headers=headers) as decided:
            # Its author may have edited or deleted it since.
            return f"{town.moderator.name}, who moderates, lets in {uri}" if decided.status == 200 else None
    except (ClientError, TimeoutError):
        return None


async def chatter(town: Town, service: Service, pace: float, quiet: asyncio.Event) -> None:
    """Something happens every `pace` seconds as long as the service lives; printed unless `quiet` is set."""
    async with ClientSession(timeout=ClientTimeout(total=5)) as http:
        for number in itertools.count():
            check_alive(service)
            line = (number % 10 == 9 and await moderate(http, town, service)) or town.step()
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
        print("Starting a network of fourteen accounts and the service ...", flush=True)
        service.start()
        quiet = asyncio.Event()
        quiet.set()
        await wait_reading(world, service)
        town.found()
        town.open()
        talk = asyncio.create_task(chatter(town, service, pace, quiet))
        ended = asyncio.create_task(stop.wait())
        shown = asyncio.create_task(show(service, town))
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


async def show(service: Service, town: Town) -> None:
    """Print each place as a curl line once it has answered well; before that the first post is let in that waits."""
    deadline = time.monotonic() + START_SECONDS * PATIENCE
    async with ClientSession(timeout=ClientTimeout(total=5)) as http:
        while not await moderate(http, town, service):
            check_alive(service)
            if time.monotonic() > deadline:
                raise DemoError(f"No post could be approved.\n{service.log_tail()}")
            await asyncio.sleep(0.1)
        for place in places(service, town):
            await wait_good(http, service, place, deadline)
            print(f"\n# {place.what}\n{place.line}", flush=True)


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
