"""`communities labeler rotate-key`: from one signing key to the next, in steps that can be done again.

What `labeler.rotation` does to the rows, and between its steps the DID document. Publishing pauses only from the
submission until the directory shows the new key (or from the start, with --pause, when the old key is in wrong hands).
Nothing tells consumers of a new key: they look at the DID document again when a signature does not fit.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from playhouse.apsw_ext import APSWDatabase

from labeler import identity, rotation
from labeler.rotation import RotationError
from labeler.signing_key import KeyRing, Signer, did_key, generate
from labeler.vocabulary import Declared
from models import labelers
from models.database import sql, writing
from models.labelers import KeyRow
from service.cli import CommandError
from service.config import Config
from service.labeler_account import (
    DIRECTORY_SECONDS,
    Directory,
    chosen,
    key_faults,
    key_ring,
    opened,
    request_code,
    sign_in_arguments,
    sign_in_as,
    signed_operation,
    submit,
)
from service.pds import PdsError

HELP = (
    "Bring a new signing key into use: it is made, brought into the DID document (as init does: a code comes by mail),"
    " used from then on, and everything that stands is signed anew, with the same times and numbers. Can be run again"
    " at any time and goes on where it stopped. --abandon goes back to the old key while the document still has it."
)
BATCH = 200
"""Labels that are signed anew in one transaction: about 30 ms, in which others wait to write."""


@dataclass
class Outcome:
    """What was done. `state`: code-sent, by-hand, abandoned or done."""

    labeler: str
    state: str = ""
    old: str = ""
    new: str = ""
    signed: int = 0
    faults: list[int] = field(default_factory=list)
    forgotten: int = 0
    next: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    sign_in_arguments(parser)
    parser.add_argument("--token", metavar="CODE", help="the code that the PDS has sent by mail for this change")
    parser.add_argument("--pause", action="store_true", help="publish nothing from now on until the new key is in use")
    parser.add_argument("--abandon", action="store_true", help="go back to the old key")


def run(config: Config, args: argparse.Namespace) -> int:
    """Take the steps that are left; 0: done, or a code was sent."""
    declared, ring, directory = chosen(config, args), key_ring(config), Directory(config)
    outcome = Outcome(declared.did)
    with opened(config) as database, key_faults():
        labeler = labelers.find(sql(database), declared.did)
        if labeler is None or not labelers.keys(sql(database), labeler):
            raise CommandError(f"{declared.did} has no key yet; run `communities labeler init`")
        try:
            if args.abandon:
                _abandon(database, declared, labeler, directory, outcome)
            elif _switch(config, args, declared, labeler, ring, database, directory, outcome):
                _sign_anew(args, declared, labeler, ring, database, outcome)
        except RotationError as error:
            raise CommandError(str(error)) from error
    if args.json:
        print(json.dumps(vars(outcome), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_for_people(outcome)))
    return 1 if outcome.faults else 0


def _current(database: APSWDatabase, labeler: int) -> KeyRow | None:
    """The key that is to be replaced: active, or held already."""
    return labelers.active_key(sql(database), labeler) or rotation.held(sql(database), labeler)


def _abandon(database: APSWDatabase, declared: Declared, labeler: int, directory: Directory, outcome: Outcome) -> None:
    old, new = _current(database, labeler), rotation.successor(sql(database), labeler)
    if old is None or new is None:
        raise CommandError("no new key is on its way; there is nothing to abandon")
    if directory.shows(declared.did, new.public, declared.endpoint, 0):
        raise CommandError("the DID document has the new key already; run `labeler rotate-key` to go on with it")
    with writing(database) as connection:
        if rotation.held(connection, labeler):
            rotation.resume(connection, labeler, old.id)
        labelers.drop_new(connection, new.id)
    outcome.state, outcome.old, outcome.new = "abandoned", old.public, new.public


def _switch(
    config: Config,
    args: argparse.Namespace,
    declared: Declared,
    labeler: int,
    ring: KeyRing,
    database: APSWDatabase,
    directory: Directory,
    outcome: Outcome,
) -> bool:
    """Bring a new key into use, or go on with one that was begun; False: something is left to do by people."""
    old, new = _current(database, labeler), rotation.successor(sql(database), labeler)
    if new is None and not args.token and not args.pause and rotation.progress(sql(database), labeler).left:
        return True  # an earlier run was stopped while it signed anew
    if old is None:
        raise CommandError("no key is in use yet; run `communities labeler init`")
    if new is None:
        key = ring.given if ring.given and did_key(ring.given) != old.public else generate()
        sealed = ring.keep(key, declared.did)
        with writing(database) as connection:
            new = rotation.begin(connection, labeler, did_key(key), sealed, time.time_ns() // 1000)
    ring.open(declared.did, new)  # what cannot be opened again must not come into the document
    outcome.old, outcome.new = old.public, new.public
    if args.pause and rotation.held(sql(database), labeler) is None:
        with writing(database) as connection:
            rotation.hold(connection, labeler, old.id)
    if not directory.shows(declared.did, new.public, declared.endpoint, 0):
        if not declared.did.startswith("did:plc:"):
            outcome.state = "by-hand"
            entries = identity.document_entries(declared.did, new.public, declared.endpoint)
            outcome.next = f"put these into the document of {declared.did} in place of the old, then run this again:\n"
            outcome.next += json.dumps(entries, indent=2)
            return False
        if not _change_document(config, args, declared, labeler, old, new, database, directory, outcome):
            return False
    with writing(database) as connection:
        rotation.switch(connection, labeler, old.id, new.id)
    return True


def _change_document(
    config: Config,
    args: argparse.Namespace,
    declared: Declared,
    labeler: int,
    old: KeyRow,
    new: KeyRow,
    database: APSWDatabase,
    directory: Directory,
    outcome: Outcome,
) -> bool:
    state = directory.state(declared.did)
    change = identity.change_of(state, new.public, declared.endpoint)
    if change is None:
        return directory.shows(declared.did, new.public, declared.endpoint, DIRECTORY_SECONDS)
    with sign_in_as(config, args, declared) as session:
        token = args.token
        if not token:
            request_code(session)
            outcome.state = "code-sent"
            outcome.next = (
                "read the code that the PDS has sent to the account's e-mail address; run again: --token CODE"
            )
            if args.json or not sys.stdin.isatty():
                return False
            token = input("The PDS has sent a code to the account's e-mail address. The code: ").strip()
        operation = signed_operation(session, token, state, change)
        paused = rotation.held(sql(database), labeler) is not None
        if not paused:
            with writing(database) as connection:
                rotation.hold(connection, labeler, old.id)
        try:
            submit(session, operation)
        except PdsError:
            # It may have come through all the same. Only what the directory says decides which key may sign.
            if not directory.shows(declared.did, new.public, declared.endpoint, 0):
                # What was paused before, as a key in wrong hands is, stays paused.
                if not paused and directory.shows(declared.did, old.public, declared.endpoint, 0):
                    with writing(database) as connection:
                        rotation.resume(connection, labeler, old.id)
                raise
    if directory.shows(declared.did, new.public, declared.endpoint, DIRECTORY_SECONDS):
        return True
    raise CommandError(
        f"{config.plc_url} does not show the new key after {DIRECTORY_SECONDS:.0f} s. Labels wait until it does: run"
        " the command again, or go back with --abandon"
    )


def _sign_anew(
    args: argparse.Namespace,
    declared: Declared,
    labeler: int,
    ring: KeyRing,
    database: APSWDatabase,
    outcome: Outcome,
) -> None:
    row = labelers.active_key(sql(database), labeler)
    if row is None:
        raise CommandError("no key is in use; look at `communities labeler status`")
    outcome.new = row.public
    signer = Signer(labeler, declared.did, row.id, ring.open(declared.did, row))
    left = rotation.progress(sql(database), labeler).left
    shown = 0.0
    while True:
        with writing(database) as connection:
            done = rotation.resign_some(connection, signer, BATCH)
        if not done:
            break
        outcome.signed += done
        if time.monotonic() - shown > 1:
            shown = time.monotonic()
            print(f"signed anew: {outcome.signed:,} of {left:,}", file=sys.stderr, flush=True)
    outcome.faults = rotation.faults_of_sample(sql(database), labeler)
    if outcome.faults:
        outcome.next = "labels with a bad signature stand; put back a backup or report this, the old key was kept"
        return
    with writing(database) as connection:
        outcome.forgotten = rotation.forget_old(connection, labeler)
    outcome.state = "done"


def _for_people(outcome: Outcome) -> Any:
    if outcome.state == "abandoned":
        yield f"The new key {outcome.new} was dropped; {outcome.old} signs."
    elif outcome.state == "done":
        yield f"{outcome.labeler} signs with {outcome.new}."
        yield f"{outcome.signed:,} labels were signed anew, and a sample verified."
        yield f"Secrets of old keys that were deleted: {outcome.forgotten}"
        yield "Next: communities labeler doctor"
    elif outcome.faults:
        yield f"Signatures that do not verify, by seq: {', '.join(map(str, outcome.faults[:20]))}"
    if outcome.next:
        yield f"Next: {outcome.next}"
