"""`communities serve`: the web process alone."""

import argparse
import asyncio
import logging

from models.database import DatabaseMovedError
from service import logs
from service.config import Config
from service.env_file import ConfigError
from service.process import run_until_stopped, settle, while_in_place

HELP = "Serve the feeds from the database, until stopped."

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--supervised` is for `communities run`."""
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(config: Config, args: argparse.Namespace) -> int:
    """Serve until told to stop. Raises DatabaseMovedError when the database is no longer the one that is served."""
    from service.wiring import serving

    logs.configure(config.log_level, "web", as_json=args.json)

    async def serve(stop: asyncio.Event) -> None:
        async with serving(config) as (door, side, database):
            settle()
            here = f"http://{config.listen_host}:{door.port}/xrpc"
            log.info("serving %s on port %d, metrics on port %d", config.did, door.port, side.port)
            log.info("which feeds there are: curl %s/app.bsky.feed.describeFeedGenerator", here)
            try:
                await while_in_place(database, stop)
            except DatabaseMovedError as error:
                log.error("stopping: %s", error)  # in good order, which takes a moment
                raise
            log.info("stopping")

    try:
        run_until_stopped(serve, supervised=args.supervised)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.listen_host}:{config.listen_port} and {config.metrics_host}:"
            f"{config.metrics_port}: {error}. Does the service run already? Otherwise set"
            " COMMUNITIES_LISTEN_PORT and COMMUNITIES_METRICS_PORT to free ports, and the HOST of each to an address of"
            " this machine."
        ) from error
    return 0
