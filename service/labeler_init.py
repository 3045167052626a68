"""`communities labeler init`: makes the signing key, and brings it and the endpoint into the account's DID document.

It looks at what is there and does what is missing, so it can be run again at any time. Nothing but the two entries is
changed, and what the PDS has signed is compared with what was asked for before it is submitted.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field

from labeler import identity, rotation
from labeler.signing_key import KeyRing, did_key, generate
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

HELP = (
    "Make the labeler's signing key, if there is none, and bring it (#atproto_label) and the endpoint"
    " (#atproto_labeler) into the DID document of the labeler's account, through its PDS: that sends a code by mail,"
    " with which the command is run again. Needs the account's main password. Everything else in the document stays as"
    " it is. This changes the account for good: take one that does nothing else."
)


@dataclass
class Outcome:
    """What was found and done, for people and for machines. `next`: what is left to do."""

    labeler: str
    key: str = ""
    made: bool = False
    changes: list[str] = field(default_factory=list)
    done: bool = False
    next: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    sign_in_arguments(parser)
    parser.add_argument("--token", metavar="CODE", help="the code that the PDS has sent by mail for this change")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    replace = "also where the document has another key or endpoint for labels, which is lost then"
    parser.add_argument("--replace", action="store_true", help=replace)


def run(config: Config, args: argparse.Namespace) -> int:
    """Do what is missing; 0: all is in place, or a code was sent."""
    declared, ring, directory = chosen(config, args), key_ring(config), Directory(config)
    outcome = Outcome(declared.did)
    key = _key(config, declared, ring, outcome, keep=not args.dry_run)
    if key is not None:
        outcome.key = key.public
    if not declared.did.startswith("did:plc:"):
        _by_hand(declared, key, directory, outcome)
    else:
        _through_pds(config, args, declared, key, directory, outcome)
    if outcome.done and key is not None and not args.dry_run:
        _activate(config, declared, key)
    _report(args, outcome)
    return 0 if outcome.done or outcome.next else 1


def _key(config: Config, declared: Declared, ring: KeyRing, outcome: Outcome, *, keep: bool) -> KeyRow | None:
    """The key that is to stand in the document: the active one, else a new one; None in a dry run without any."""
    if not keep and not config.database.exists():
        return None
    with opened(config, readonly=not keep) as database, key_faults():
        labeler = labelers.find(sql(database), declared.did)
        if labeler is not None and (paused := rotation.held(sql(database), labeler)):
            raise CommandError(f"{paused.public} is being replaced; go on with `communities labeler rotate-key`")
        found = None
        if labeler is not None:
            found = labelers.active_key(sql(database), labeler) or rotation.successor(sql(database), labeler)
        if found is not None:
            ring.open(declared.did, found)  # a key that cannot be opened must not come into the document
            return found
        if not keep:
            return None
        key = ring.given or generate()
        sealed = ring.keep(key, declared.did)
        with writing(database) as connection:
            labeler = labelers.enter(connection, declared.did)
            row = rotation.begin(connection, labeler, did_key(key), sealed, time.time_ns() // 1000)
        outcome.made = True
        return row


def _by_hand(declared: Declared, key: KeyRow | None, directory: Directory, outcome: Outcome) -> None:
    """A did:web is a file on its host, which only its owner can change."""
    if key is None:
        outcome.next = "run without --dry-run to make the key"
        return
    outcome.done = directory.shows(declared.did, key.public, declared.endpoint, 0)
    if not outcome.done:
        entries = identity.document_entries(declared.did, key.public, declared.endpoint)
        outcome.changes = [json.dumps(entries, indent=2)]
        outcome.next = f"put these entries into the document of {declared.did}, then run this command again"


def _through_pds(
    config: Config,
    args: argparse.Namespace,
    declared: Declared,
    key: KeyRow | None,
    directory: Directory,
    outcome: Outcome,
) -> None:
    state = directory.state(declared.did)
    try:
        change = identity.change_of(state, key.public if key else "a new key", declared.endpoint)
    except ValueError as error:
        raise CommandError(f"{config.plc_url}/{declared.did}/data: {error}; check COMMUNITIES_PLC_URL") from error
    if change is None:
        outcome.done = True
        return
    outcome.changes = list(change.lines)
    if change.replaces and not args.replace:
        raise CommandError(
            "the DID document has another key or endpoint for labels already:\n"
            + "\n".join(f"  {line}" for line in change.lines)
            + "\nIf no other labeler works with this account any more, run with --replace. To go on with the key that"
            " stands there, give it in COMMUNITIES_LABELER_KEY; to change a key of ours, use `labeler rotate-key`"
        )
    if args.dry_run or key is None:
        outcome.next = "run without --dry-run to change it"
        return
    with sign_in_as(config, args, declared) as session:
        token = args.token
        if not token:
            request_code(session)
            outcome.next = (
                "read the code that the PDS has sent to the account's e-mail address, and run again: --token CODE"
            )
            if args.json or not sys.stdin.isatty():
                return
            token = input("The PDS has sent a code to the account's e-mail address. The code: ").strip()
        submit(session, signed_operation(session, token, state, change))
    if not directory.shows(declared.did, key.public, declared.endpoint, DIRECTORY_SECONDS):
        raise CommandError(
            f"{config.plc_url} does not show the change after {DIRECTORY_SECONDS:.0f} s; run the command again later"
        )
    outcome.done, outcome.next = True, ""


def _activate(config: Config, declared: Declared, key: KeyRow) -> None:
    with opened(config) as database, writing(database) as connection:
        labeler = labelers.enter(connection, declared.did)
        if labelers.active_key(connection, labeler) is None:
            rotation.switch(connection, labeler, None, key.id)


def _report(args: argparse.Namespace, outcome: Outcome) -> None:
    if args.json:
        print(json.dumps(vars(outcome), indent=2, ensure_ascii=False))
        return
    if outcome.made:
        print(f"A signing key was made: {outcome.key}")
    if outcome.done:
        print(f"{outcome.labeler} has the key {outcome.key} and the endpoint in its DID document.")
        print("Next: start the service (communities run), then `communities labeler publish`.")
    else:
        print("\n".join(outcome.changes))
        print(f"Next: {outcome.next}")
