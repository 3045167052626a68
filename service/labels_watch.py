"""What the web process does about changes of `labels.toml` while it runs: it takes them up, and tells how that went."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

from firehose.waiting import pause
from labeler.labels_in_force import LabelsInForce
from models.database import MACHINE_FAULTS, Connection, DatabaseError, open_database, writing
from service.config import Config
from service.status import gauge

log = logging.getLogger(__name__)

SECONDS = 1.0
"""From one look at the file to the next."""
PROCESS = "labels.toml"
"""The row of table `process` that says why a changed file is not in force."""


async def keep_in_force(
    config: Config, declared: LabelsInForce, again: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Take up the file whenever it changes, until `stop`. `again` begins what must be begun anew then."""
    begun, told = declared.file, (declared.file, declared.fault)
    while not stop.is_set():
        await pause(stop, SECONDS)
        try:
            await asyncio.to_thread(declared.refresh)
            if declared.file != begun:
                await again()
                begun = declared.file
            if (now := (declared.file, declared.fault)) != told:
                # This commit also wakes the publisher: what it holds back may be declared now.
                await asyncio.to_thread(_store, config, declared.fault)
                told = now
        except (DatabaseError, *MACHINE_FAULTS) as error:
            log.error("a change of labels.toml is not wholly in force yet, trying again: %s", error)
        except Exception:
            log.exception("a change of labels.toml cannot be taken up: a fault of ours, trying again")


def _store(config: Config, fault: str) -> None:
    with closing(open_database(config.database)) as database, writing(database) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO process (name, at, report) VALUES (?, ?, ?)",
            (PROCESS, int(time.time() * 1_000_000), json.dumps({"fault": fault})),
        )


def forget_fault(connection: Connection) -> None:
    """The file was read anew, at a start. Call inside a write."""
    connection.execute("DELETE FROM process WHERE name = ?", (PROCESS,))


def labels_fault(connection: Connection) -> str | None:
    """Why `labels.toml` as it is now is not in force; None: it is, as far as the running service knows."""
    row = connection.execute("SELECT report FROM process WHERE name = ?", (PROCESS,)).fetchone()
    return (json.loads(row[0])["fault"] or None) if row else None


def render_fault(declared: LabelsInForce) -> str:
    """The text for `/metrics`; nothing where nothing is declared."""
    if not declared.fault and not declared.labelers():
        return ""
    about = "Whether labels.toml was changed and cannot be in force."
    return "".join(f"{line}\n" for line in gauge("communities_labels_fault", about, bool(declared.fault)))
