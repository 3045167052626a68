"""`communities run`: the embedded default. Supervises an ingest and a web process, so that catching up on the network
never slows a reader. A process that ends is started again, with growing pauses; one that cannot start because
something must be mended by a person ends the whole.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from communities.declaration import read_declaration
from firehose.waiting import pause
from models.database import open_database
from service import logs
from service.config import Config
from service.env_file import ConfigError

HELP = "Run the service: an ingest process and a web process, watched over. Stop it with Ctrl-C or SIGTERM."

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
STEADY_SECONDS = 60.0
STOP_SECONDS = 25.0
CANNOT_START = 2
EXAMPLE = Path(__file__).with_name("communities.example.toml")

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Supervise until told to stop."""
    logs.configure(config.log_level, "run", as_json=args.json)
    ensure_rules(config)
    read_declaration(config.rules)
    open_database(config.database).close()  # whatever is wrong with it is said once, here
    passed = ["--env-file", str(args.env_file)] if args.env_file else []
    return asyncio.run(_supervise(passed + (["--json"] if args.json else [])))


def ensure_rules(config: Config) -> None:
    """On the first start there is no rules file: begin with the example communities. Later a file that is not there was
    lost or misnamed: examples in its place would take the operator's communities, and their slugs, away.
    """
    if config.rules.exists():
        return
    if config.database.exists():
        raise ConfigError(
            f"{config.rules} does not exist, and this is no first start: {config.database} does. Put the file back, or"
            " say by COMMUNITIES_RULES where it is"
        )
    try:
        config.rules.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EXAMPLE, config.rules)
    except OSError as error:
        raise ConfigError(f"{config.rules} does not exist, and no example can be written there: {error}") from error
    log.info("%s did not exist: it now holds example communities; edit it at any time", config.rules)


async def _supervise(arguments: list[str]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    watches = [asyncio.create_task(_watch(name, arguments, stop)) for name in ("ingest", "serve")]
    codes = await asyncio.gather(*watches)
    return max(codes)


async def _watch(name: str, arguments: list[str], stop: asyncio.Event) -> int:
    """Keep one process running until `stop`; returns its last exit code."""
    loop = asyncio.get_running_loop()
    wait = FIRST_PAUSE
    while True:
        began = loop.time()
        # -P: a folder of the working directory that happens to be called `models` must not shadow ours.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "service", name, "--supervised", *arguments, stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            return await _stop(name, process, ended)
        code = ended.result()
        if code == CANNOT_START:
            log.error("%s cannot start; stopping", name)
            stop.set()
            return code
        wait = FIRST_PAUSE if loop.time() - began > STEADY_SECONDS else min(wait * 2, LONGEST_PAUSE)
        log.error("%s ended with code %s; starting it again in %.0f s", name, code, wait)
        await pause(stop, wait)
        if stop.is_set():
            return 0


async def _stop(name: str, process: Process, ended: asyncio.Task[int]) -> int:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
    except TimeoutError:
        log.error("%s did not stop in %.0f s; it is killed (it resumes from its last commit)", name, STOP_SECONDS)
        process.kill()
        code = await ended
    # By our own signal, before it could mind signals: it had not begun.
    return 0 if code in (0, -signal.SIGTERM) else 1
