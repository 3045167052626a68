"""What the web process does for labelers: it publishes their labels, serves them, and tells how they stand.

Nothing of this is there, or costs anything, when no labeler is declared.
"""

import asyncio
import json
import logging
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import peewee
from aiohttp import web
from playhouse.apsw_ext import APSWDatabase

from labeler import doors
from labeler.labels_in_force import LabelsInForce
from labeler.pacing import Pace
from labeler.publishing import Publishing
from labeler.rotation import resign_some
from labeler.signing_key import KeyFaultError, KeyRing, signers
from labeler.subscriber import LIMITS, Limits
from labeler.vocabulary import Declared
from models import labelers
from models.commits import CommitWatch
from models.database import Connection, open_database, sql, writing
from service.config import Config
from service.env_file import ConfigError
from service.label_subscribers import PROCESS, TOLD_SECONDS
from xrpc.peer import Proxies
from xrpc.server import Query

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
_OLDER = "SELECT 1 FROM label WHERE label_key IN (SELECT id FROM label_key WHERE labeler = ? AND id != ?) LIMIT 1"


class Labelling:
    """The labelers of this process: their doors, and what publishes for them."""

    def __init__(self, database: APSWDatabase, served: doors.LabelDoors, publishing: Publishing) -> None:
        self.doors = served
        self.publishing = publishing
        self._database = database
        # Writing may have to wait for the ingest process; it waits in this thread, on the thread's own connection.
        self._beside = ThreadPoolExecutor(1, "labels report")

    def report(self) -> dict[str, Any]:
        """How the labelers stand, and the publisher."""
        return self.doors.report() | {"publisher": {"state": self.publishing.state, **self.publishing.counts}}

    async def waiting(self) -> dict[str, list[labelers.Waiting]]:
        """What waits to be published, by the labeler's DID."""
        return await asyncio.get_running_loop().run_in_executor(self._beside, self._waiting)

    def _waiting(self) -> dict[str, list[labelers.Waiting]]:
        return {one.did: labelers.waiting(sql(self._database), one.id) for one in self.doors.labelers}

    async def keep_reporting(self, clock: Callable[[], float]) -> None:
        """Tell other processes every few seconds, if anything has changed, and now and then that we are here."""
        last, told = None, 0.0
        while True:
            try:
                report = self.report()
            except apsw.Error as error:  # it may be over the next time
                log.warning("how labelers stand cannot be read: %s", error)
            else:
                if report != last or time.monotonic() - told >= TOLD_SECONDS:
                    await asyncio.get_running_loop().run_in_executor(self._beside, self._write, report, clock())
                    last, told = report, time.monotonic()
            await asyncio.sleep(REPORT_SECONDS)

    def _write(self, report: Mapping[str, Any], now: float) -> None:
        try:
            with writing(self._database) as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO process (name, at, report) VALUES (?, ?, ?)",
                    (PROCESS, int(now * 1_000_000), json.dumps(report)),
                )
        except (apsw.Error, peewee.PeeweeException) as error:
            log.warning("how labelers stand could not be stored: %s", error)

    def close(self, now: float) -> None:
        """Say how they stand at the end: nobody reads here any more."""
        self._beside.submit(self._write, self.report(), now).result()
        self._beside.submit(self._database.close).result()
        self._beside.shutdown()

    def open_doors(self, app: web.Application) -> list[Query]:
        """The methods, for `mount`. To the app is added what is not a method, and that subscribers are sent away before
        it ends.
        """
        app.router.add_get(doors.METADATA, self.doors.metadata)

        async def shutdown(_: web.Application) -> None:
            await self.doors.stream.shutdown()

        app.on_shutdown.append(shutdown)
        return self.doors.methods()


def warn_of_lost(connection: Connection, path: Path, declared: Sequence[Declared]) -> None:
    """Say in the log which labelers this service was and is not any more: their file may be lost or misnamed."""
    for did in sorted({*labelers.every(connection)} - {one.did for one in declared}):
        why = "does not declare it" if path.exists() else "does not exist"
        log.warning("%s was a labeler of this service, and %s %s: its labels are not served", did, path, why)


@asynccontextmanager
async def labelling(
    config: Config,
    declared: LabelsInForce,
    clock: Callable[[], float] = time.time,
    limits: Limits = LIMITS,
) -> AsyncIterator[Labelling | None]:
    """What declared labelers need, for as long as they are served; None without one.

    Raises ConfigError and DatabaseError.
    """
    if not declared.labelers():
        yield None
        return
    # Its own connection: feeds keep a moment of theirs open, and labels are to be seen as soon as they are there.
    database = open_database(config.database)
    watch = CommitWatch(config.database)
    try:
        with writing(database) as connection:
            identities = doors.know(connection, declared.labelers())
        proxies = Proxies(config.trusted_proxies)
        limits = replace(limits, total=min(limits.total, _open_files() // 2))
        served = doors.LabelDoors(sql(database), identities, watch, proxies, limits=limits, clock=clock)
        labels = Labelling(database, served, _publishing(config, declared, identities, clock))
        stop = threading.Event()
        publisher = threading.Thread(target=labels.publishing.run, args=(stop,), name="publisher")
        publisher.start()
        reporting = asyncio.create_task(labels.keep_reporting(clock))
        try:
            yield labels
        finally:
            stop.set()
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            await asyncio.to_thread(publisher.join)
            labels.close(clock())
    finally:
        watch.close()
        database.close()


def _open_files() -> int:
    """How many files and connections this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def _publishing(
    config: Config, declared: LabelsInForce, identities: Sequence[doors.Identity], clock: Callable[[], float]
) -> Publishing:
    try:
        ring = KeyRing(config.labeler_passphrase, config.labeler_key)
    except KeyFaultError as error:
        raise ConfigError(str(error)) from error
    said: set[str] = set()

    def note(did: str, error: KeyFaultError) -> None:
        if str(error) not in said:
            said.add(str(error))
            log.error("labels of %s wait: %s", did, error)

    def signing(connection: Any) -> Any:
        return signers(connection, declared.labelers(), ring, note)

    def beside(database: APSWDatabase) -> bool:
        """After a new key: sign a piece of what stands anew."""
        for signer in signing(sql(database)).values():
            if sql(database).execute(_OLDER, (signer.labeler, signer.key_id)).fetchone():
                with writing(database) as connection:
                    return resign_some(connection, signer) > 0
        return False

    numbers = {one.did: one.id for one in identities}

    def negating(_: Any) -> set[int]:
        return {numbers[one.did] for one in declared.labelers() if one.negate_expired}

    def values() -> dict[int, Collection[str]]:
        return {numbers[did]: values for did, values in declared.values().items()}

    return Publishing(
        config.database,
        signing,
        negating,
        pace=Pace.times(config.label_pace),
        clock=clock,
        beside=beside,
        values=values,
    )
