"""`communities labeler doctor`: looks at a labeler from outside, as clients and AppViews do, and says what to mend."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import urlsplit

from communities.declaration import read_declaration
from communities.toml_file import DeclarationError
from labeler import rotation
from labeler.labels_file import read_labels
from labeler.vocabulary import Declared
from models import labelers
from models.database import DatabaseError, sql
from service import checks_labeler, checks_machine
from service.checks_labeler import LabelPatient
from service.checkup import Finding
from service.config import Config
from service.doctor import Check, examine, local_url, print_finding
from service.labeler_account import opened
from xrpc.egress import egress_session

HELP = (
    "Check from outside every link between a decision and a label that is shown: file, key, DID document, certificate,"
    " record, WebSocket, signature, queryLabels, clock. Each finding says what to do. Exit code 1 if a check failed."
)
_REACH = "see whether the service runs and can be reached from here under the labeler's public name"
CHECKS: tuple[Check[LabelPatient], ...] = (
    Check("vocabulary", checks_labeler.vocabulary, 5, "correct the file of labels"),
    Check("key", checks_labeler.key, 20, "run this where the service runs"),
    Check("document", checks_labeler.document, 15, "see whether COMMUNITIES_PLC_URL can be reached"),
    Check("endpoint", checks_labeler.endpoint, 20, _REACH),
    Check("metadata", checks_labeler.metadata, 15, _REACH),
    Check("stream", checks_labeler.stream, 30, _REACH),
    Check("record", checks_labeler.record, 20, "see whether the account's PDS can be reached"),
    Check("appview", checks_labeler.appview, 20, "see whether COMMUNITIES_APPVIEW_URL can be reached", True),
    Check("clock", checks_machine.clock, 15, "compare the clocks by hand"),
)
BEFORE_THE_RECORD = frozenset(("key", "document", "endpoint", "metadata", "stream"))
"""What must be good before a record may send clients to the server."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the action."""
    names = [check.name for check in CHECKS]
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"only these checks: {', '.join(names)}"
    )
    url = "ask the service here, e.g. http://127.0.0.1:3000, instead of at the labeler's public name"
    parser.add_argument("--url", type=local_url, help=url)


def run(config: Config, args: argparse.Namespace) -> int:
    """Examine; 0 when no check failed, 1 otherwise."""
    declared = [one for one in read_labels(config.labels).labelers if args.did in ("", one.did)]
    if not declared:
        raise DeclarationError(f"{config.labels}: declares no labeler" + (f" {args.did}" if args.did else ""))
    checks = [check for check in CHECKS if not args.only or check.name in args.only]
    told, failed = [], 0
    for one in declared:
        if not args.json and len(declared) > 1:
            print(f"labeler {one.did}")
        findings = asyncio.run(_examine(config, one, checks, args.url, quiet=args.json))
        told += [{"labeler": one.did, "check": name} | asdict(finding) for name, finding in findings]
        names = [name for name, finding in findings if finding.status == "fail"]
        failed += len(names)
        if names:
            said = f"{one.did}: {len(names)} of {len(findings)} checks failed: {', '.join(names)}"
            print(said, file=sys.stderr)
    if args.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    return 1 if failed else 0


def examine_server(config: Config, declared: Declared) -> list[tuple[str, Finding]]:
    """What is in the way of publishing the record."""
    checks = [check for check in CHECKS if check.name in BEFORE_THE_RECORD]
    findings = asyncio.run(_examine(config, declared, checks, None, quiet=True))
    return [(name, finding) for name, finding in findings if finding.status == "fail"]


async def _examine(
    config: Config, declared: Declared, checks: Sequence[Check[LabelPatient]], url: str | None, *, quiet: bool
) -> list[tuple[str, Finding]]:
    try:
        communities = read_declaration(config.rules)
    except DeclarationError:
        communities = ()
    active, held, last, known, unread = None, None, 0, None, ""
    try:
        with opened(config, readonly=True) as database:
            connection = sql(database)
            known = frozenset(row[0] for row in connection.execute("SELECT slug FROM community"))
            if labeler := labelers.find(connection, declared.did):
                active, held = labelers.active_key(connection, labeler), rotation.held(connection, labeler)
                last = labelers.last_seq(connection, labeler)
    except DatabaseError as error:
        unread = str(error)
    asked = url or declared.endpoint
    allow = config.egress_allow
    if url or asked.startswith("http:"):  # named by the operator, or this machine itself
        allow = (*allow, urlsplit(asked).hostname or "")
    async with egress_session(allow) as session:
        patient = LabelPatient(
            config, communities, "", asked, url is not None, session, declared, active, held, last, known, unread
        )
        return await examine(checks, patient, None if quiet else print_finding)
