"""Checks of `communities doctor` on the machine: clocks, how far ingest has come, disk and database."""

import asyncio
import shutil
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from models.database import open_database, sql
from service.checkup import Finding, Patient, fail, ok, summed, warn

SKEW_WARNING, SKEW_FAILURE = 5, 60
"""Seconds. A token is refused 5 s after its end, or when it was issued more than 60 s ahead."""
LAG_WARNING, LAG_FAILURE = 60, 600
"""Seconds since the last event that was committed."""
DISK_WARNING, DISK_FAILURE = 2 << 30, 512 << 20
"""Free bytes."""


async def clock(patient: Patient) -> Finding:
    """The clocks of this machine and of the service agree with the network's, or tokens are refused."""
    reference = f"{patient.config.plc_url}/_health"
    offset = await _offset(patient, reference)
    if offset is None and (pds := await _publisher_pds(patient)):
        reference = f"{pds}/xrpc/_health"
        offset = await _offset(patient, reference)
    if offset is None:
        return warn(f"{reference} gave no date to compare with", "compare the clocks by hand")
    service = await _offset(patient, f"{patient.url}/xrpc/_health")
    found = []
    for name, skew in (("this machine", -offset), ("the service", None if service is None else service - offset)):
        if skew is None:
            found.append(warn(f"{name} gave no date", "see whether the service runs"))
        elif abs(skew) > SKEW_WARNING:
            judge = fail if abs(skew) > SKEW_FAILURE else warn
            where = "ahead" if skew > 0 else "behind"
            found.append(judge(f"the clock of {name} is {abs(skew):.0f} s {where}", "synchronise it (NTP)"))
    return summed(f"within {SKEW_WARNING} s of {reference}", found)


async def _publisher_pds(patient: Patient) -> str | None:
    try:
        return await patient.publisher_pds()
    except (aiohttp.ClientError, OSError, ValueError):  # the check records tells it; here it is a second choice
        return None


async def _offset(patient: Patient, url: str) -> float | None:
    """The seconds by which the clock there is ahead of ours, to about one; None when it does not say."""
    before = time.time()
    try:
        async with asyncio.timeout(4):
            answer = await patient.get(url)
        there = parsedate_to_datetime(answer.date).timestamp()
    except (aiohttp.ClientError, OSError, ValueError):
        return None
    # A Date header has whole seconds, cut off.
    return there + 0.5 - (before + time.time()) / 2


async def ingest(patient: Patient) -> Finding:
    """The event stream is read, and the index is not behind."""
    answer = await patient.get(f"{patient.url}/xrpc/_health")
    if answer.status != 200 or not isinstance(answer.body, dict):
        return fail(answer.problem(), "see whether the service runs and the proxy passes /xrpc/ to it")
    health = answer.body
    source, state = health.get("source"), health.get("state")
    log = f"see the log of `communities ingest`, and whether {source} works"
    if health.get("cursor") is None:
        fix = "see whether `communities ingest` (or `run`) is running, and its log"
        return fail(f"nothing was read yet from {source} ({state})", fix)
    found = []
    if state != "reading":
        found.append(warn(f"it is not reading: {state}", log))
    if health.get("rulesFault"):
        found.append(fail(f"the rules are not in use: {health['rulesFault']}", "correct COMMUNITIES_RULES"))
    age = _age(health)
    if age is None:
        found.append(warn("the age of the last event is unknown", log))
    elif age > LAG_WARNING:
        judge = fail if age > LAG_FAILURE else warn
        found.append(judge(f"the last event is {age:.0f} s old", log))
    return summed(f"at {health['cursor']} of {source}, {age or 0:.1f} s behind", found)


def _age(health: dict[str, Any]) -> float | None:
    """Seconds since the last event that was committed: as the service counts, else by our own clock."""
    lag = health.get("lagSeconds")
    if isinstance(lag, int | float):
        return float(lag)
    try:
        moment = datetime.fromisoformat(str(health.get("lastEventAt")))
    except ValueError:
        return None
    return time.time() - (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


async def disk(patient: Patient) -> Finding:
    """There is room for the database to grow."""
    folder = patient.config.data
    if not folder.is_dir():
        fix = "run this where the service runs, or set COMMUNITIES_DATA as there"
        return fail(f"{folder.absolute()}: there is no such folder", fix)
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    seen = f"{usage.free / (1 << 30):.1f} of {usage.total / (1 << 30):.1f} GiB free at {folder.absolute()}"
    fix = "free some space, or shorten COMMUNITIES_RETENTION_DAYS"
    if usage.free < DISK_FAILURE:
        return fail(seen, fix)
    return warn(seen, fix) if usage.free < DISK_WARNING else ok(seen)


async def database(patient: Patient) -> Finding:
    """The database opens, has this version's schema, and can be read."""
    path = patient.config.database

    def read() -> int:
        opened = open_database(path, readonly=True)
        try:
            return int(sql(opened).execute("SELECT count(*) FROM community").fetchone()[0])
        finally:
            opened.close()

    return ok(f"{path}: {await asyncio.to_thread(read)} communities, {path.stat().st_size / (1 << 20):.1f} MiB")
