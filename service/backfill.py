"""`communities backfill`: have whole repositories read now, and watch."""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from communities.members import intern_actor
from firehose.in_force import InForce
from models.database import Connection, open_database, sql, writing
from models.lock import LockError
from models.repos import GIVEN_UP, SYNCED, ask
from service.cli import CommandError, UsageError
from service.config import Config
from xrpc.syntax import is_did

HELP = (
    "Read the whole repository of an account from its own host, or those of a community's owner and members, and make"
    " the index equal to it. A running ingest does it; without one this command does. Ctrl-C stops watching: a running"
    " ingest goes on. Exit code 1 if any repository could not be read."
)
POLL_SECONDS = 0.3
DONE, GONE, FAILED, WAITING = "done", "not active", "failed", "waiting"
_BAR = 30


@dataclass(frozen=True, slots=True)
class Account:
    """How far it is with one account; `why` is its fault."""

    did: str
    outcome: str
    why: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whose."""
    parser.add_argument("target", metavar="DID|COMMUNITY", help="an account, or the slug of a community")


def run(config: Config, args: argparse.Namespace) -> int:
    """Ask for it, wait, and say what came of it."""
    database = open_database(config.database)
    try:
        with writing(database) as connection:
            dids = _whom(connection, args.target)
            _ask(connection, dids)
        accounts = asyncio.run(_watch(config, sql(database), dids, quiet=args.json))
    finally:
        database.close()
    outcomes = Counter(account.outcome for account in accounts)
    if args.json:
        lines = [{"did": account.did, "outcome": account.outcome, "why": account.why} for account in accounts]
        print(json.dumps({"accounts": lines, "outcomes": dict(outcomes)}, indent=2))
    else:
        for account in accounts:
            if account.outcome != DONE:
                print(f"{account.did}  {account.outcome}{': ' if account.why else ''}{account.why}")
        print(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items())))
    return 1 if outcomes[FAILED] else 0


def _whom(connection: Connection, target: str) -> list[str]:
    if target.startswith("did:"):
        if not is_did(target):
            raise UsageError(f"{target}: no DID")
        return [target]
    row = connection.execute("SELECT id, owner FROM community WHERE slug = ? AND declared = 1", (target,)).fetchone()
    if row is None:
        raise CommandError(f"{target}: no such community in the database; is it declared, and did ingest run since?")
    number, owner = row
    in_force = InForce(connection)
    in_force.load()
    members = in_force.matcher.authors
    dids = {did for did, places in members.items() if any(community == number for community, _ in places)}
    if not (dids := dids | ({owner} if owner else set())):
        raise CommandError(f"{target}: it has neither an owner nor members whose repositories could be read")
    return sorted(dids)


def _ask(connection: Connection, dids: Sequence[str]) -> None:
    """Let the repositories be due. Call inside a write."""
    for did in dids:
        ask(connection, intern_actor(connection, did), "asked for", at_once=True)


def _standing(connection: Connection, did: str) -> Account:
    row = connection.execute(
        "SELECT r.state, r.tries, r.why, a.active, a.status FROM actor a LEFT JOIN repo r ON r.actor = a.id"
        " WHERE a.did = ?",
        (did,),
    ).fetchone()
    if row is None or row[0] in (None, SYNCED):
        return Account(did, DONE)
    state, tries, why, active, status = row
    if not active:
        return Account(did, GONE, status or "")
    if tries or state in GIVEN_UP:
        return Account(did, FAILED, why)
    return Account(did, WAITING, why)


async def _watch(config: Config, connection: Connection, dids: Sequence[str], *, quiet: bool) -> list[Account]:
    from service.wiring import run_resync

    stop = asyncio.Event()
    working = asyncio.create_task(run_resync(config, stop))
    shown = not quiet and sys.stderr.isatty()
    began = time.monotonic()
    waiting = list(dids)
    found: dict[str, Account] = {}
    try:
        while waiting:
            if working.done() and not isinstance(working.exception(), LockError | None):
                working.result()
            for account in (_standing(connection, did) for did in waiting):
                if account.outcome != WAITING:
                    found[account.did] = account
            waiting = [did for did in waiting if did not in found]
            if shown:
                print(f"\r{_bar(len(found), len(dids), time.monotonic() - began)}", end="", file=sys.stderr, flush=True)
            if waiting:
                await asyncio.sleep(POLL_SECONDS)
    finally:
        stop.set()
        await asyncio.gather(working, return_exceptions=True)
        if shown:
            print(file=sys.stderr)
    return [found[did] for did in dids]


def _bar(done: int, of: int, seconds: float) -> str:
    filled = _BAR * done // of
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done:,} of {of:,} repositories, {seconds:.0f} s"
