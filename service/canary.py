"""The standing canary: now and then a post is labelled, and it is looked whether the AppView shows the label.

What `communities labeler canary` does once, done every few hours for each labeler that declares the value. How it went
stands in the log, in the process row `canary`, and in `/metrics`.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from playhouse.apsw_ext import APSWDatabase

from labeler.vocabulary import Declared
from models.database import MACHINE_FAULTS, Connection, DatabaseError, open_database, writing
from service.cli import CommandError
from service.config import Config
from service.labeler_canary import Outcome, issue_or_take_back, watch
from service.status import family

log = logging.getLogger(__name__)

PROCESS = "canary"
FIRST_SECONDS = 120.0
"""Behind the start; by then the service is reachable."""
STEP_SECONDS = 300.0
"""How long each step may take."""


async def keep_watching(
    config: Config, declared: Callable[[], Sequence[Declared]], first: float = FIRST_SECONDS
) -> None:
    """Try every `canary_hours`, until cancelled; never, if no post is named. `declared`: the labelers as they are
    declared now; `first`: seconds before the first time.
    """
    if not config.canary_post or not declared():
        return
    await asyncio.sleep(first)
    while True:
        try:
            outcomes = [
                await try_once(config, one)
                for one in declared()
                if config.canary_value in one.values and not config.canary_post.startswith(f"at://{one.did}/")
            ]
            await asyncio.to_thread(_store, config, outcomes)
        except (DatabaseError, *MACHINE_FAULTS) as error:
            log.error("the canary could not be let out: %s", error)  # the next one may
        except Exception:
            log.exception("the canary could not be let out: a fault of ours")
        await asyncio.sleep(config.canary_hours * 3600)


async def try_once(config: Config, declared: Declared, seconds: float = STEP_SECONDS) -> Outcome:
    """Label the post, look, and take it back. Each step may take so many seconds."""
    post, value = config.canary_post, config.canary_value

    def decide(add: bool) -> None:
        issue_or_take_back(config, declared, post, value, add)

    try:
        outcome = await watch(config, declared, post, value, decide, seconds)
    except CommandError as error:
        outcome = Outcome(declared.did, post, value, missing=str(error))
    if outcome.missing:
        log.error("canary: labels of %s are not shown: %s", declared.did, outcome.missing)
    return outcome


def _store(config: Config, outcomes: Sequence[Outcome]) -> None:
    database: APSWDatabase = open_database(config.database)
    try:
        with writing(database) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO process (name, at, report) VALUES (?, unixepoch('subsec') * 1000000, ?)",
                (PROCESS, json.dumps([asdict(one) for one in outcomes])),
            )
    finally:
        database.close()


def last(connection: Connection) -> list[dict[str, Any]]:
    """How it went the last time, by labeler; empty before the first."""
    row = connection.execute("SELECT report FROM process WHERE name = ?", (PROCESS,)).fetchone()
    return list(json.loads(row[0])) if row else []


def render_canary(outcomes: Sequence[dict[str, Any]]) -> str:
    """The text for `/metrics`."""
    well = [({"labeler": one["labeler"]}, int(not one["missing"])) for one in outcomes]
    took = [
        ({"labeler": one["labeler"], "step": step}, one[f"{step}_seconds"])
        for one in outcomes
        for step in ("sent", "shown", "gone")
        if one[f"{step}_seconds"] is not None
    ]
    families = [
        family("communities_label_canary_up", "gauge", "Whether a label was shown, and went, the last time.", well),
        family("communities_label_canary_seconds", "gauge", "How long that took.", took),
    ]
    return "".join(f"{line}\n" for lines in families for line in lines)
