"""`communities labeler status`: how each labeler stands, from the database."""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from communities.toml_file import DeclarationError
from labeler import rotation
from labeler.labels_file import read_labels
from labeler.vocabulary import Declared
from models import labelers
from models.database import Connection, sql
from service.config import Config
from service.label_subscribers import Told, lines, of_labeler, read_subscribers
from service.labeler_account import opened

HELP = (
    "Show how each labeler stands: its key, what was published, what waits and for how long, how far a change of key"
    " has come, and who reads the labels. Exit code 1 when a labeler that is declared has no key in use."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Print it."""
    declared = [one for one in read_labels(config.labels).labelers if args.did in ("", one.did)]
    if not declared:
        raise DeclarationError(f"{config.labels}: declares no labeler" + (f" {args.did}" if args.did else ""))
    with opened(config, readonly=True) as database:
        now = time.time()
        told = read_subscribers(sql(database), now)
        found = [standing(sql(database), one, of_labeler(told, one.did), int(now * 1000)) for one in declared]
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join("\n".join(_for_people(one, of_labeler(told, one["did"]))) for one in found))
    return 0 if all(one["key"] for one in found) else 1


def standing(connection: Connection, declared: Declared, told: Told | None, now: int) -> dict[str, Any]:
    """How a labeler stands. `told`: of its subscribers; `now`: milliseconds."""
    labeler = labelers.find(connection, declared.did)
    keys = [] if labeler is None else labelers.keys(connection, labeler)
    active = next((key.public for key in keys if key.state == labelers.ACTIVE), None)
    progress = None if labeler is None else rotation.progress(connection, labeler)
    waiting = [] if labeler is None else labelers.waiting(connection, labeler)
    return {
        "did": declared.did,
        "endpoint": declared.endpoint,
        "values": len(declared.values),
        "key": active,
        "keys": [{"public": key.public, "state": key.state, "stored": key.secret is not None} for key in keys],
        "paused": any(key.state == labelers.HELD for key in keys),
        "seq": 0 if labeler is None else labelers.last_seq(connection, labeler),
        "waiting": [
            {"priority": one.priority, "labels": one.labels, "oldestSeconds": max(0, now - one.oldest) // 1000}
            for one in waiting
        ],
        "heldBack": {} if labeler is None else labelers.held_back(connection, labeler),
        "signedWithOlderKeys": progress.left if progress else 0,
        "subscribers": list(told.subscribers) if told and told.current else None,
    }


def _for_people(one: Mapping[str, Any], told: Told | None) -> Iterator[str]:
    yield f"labeler      {one['did']}\nendpoint     {one['endpoint']}"
    yield f"key          {one['key'] or 'none in use: run `communities labeler init`'}"
    for key in one["keys"]:
        if key["state"] != labelers.ACTIVE:
            yield f"  {key['state']:<10} {key['public']}"
    if one["paused"]:
        yield "paused       a new key is on its way: go on with `communities labeler rotate-key`"
    yield f"last seq     {one['seq']:,}"
    for waiting in one["waiting"]:
        yield (
            f"waiting      {waiting['labels']:,} of priority {waiting['priority']},"
            f" the oldest for {waiting['oldestSeconds']:,} s"
        )
    if not one["waiting"]:
        yield "waiting      nothing"
    for value, count in one["heldBack"].items():
        yield f"held back    {count:,} {value}: labels.toml does not declare it; declare it again, or take them back"
    if one["signedWithOlderKeys"]:
        yield f"to sign anew {one['signedWithOlderKeys']:,}"
    for number, line in enumerate(lines(told) if told else ()):
        yield f"  {line}" if number else f"subscribers  {line}"
