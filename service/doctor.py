"""`communities doctor`: looks at the service from outside, as the network does, and says what to mend.

Every check has its own deadline, and none can stop another: what it raises is a finding too. They run at the
same time and are printed in order.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp

from communities.declaration import read_declaration
from communities.toml_file import DeclarationError
from service import checks_feeds, checks_identity, checks_machine
from service.checkup import Finding, Patient, fail, warn
from service.config import Config
from xrpc.egress import BlockedAddress, egress_session

HELP = "check from outside that the service works: names, certificate, records, feeds, tokens, clock, disk"


P = TypeVar("P", bound=Patient)
"""Whom a check examines."""


@dataclass(frozen=True)
class Check(Generic[P]):
    """A named check: what it runs, the seconds it may take, and what to do when it cannot be carried out.

    `only_warns`: it asks somebody else's server, whose trouble is no fault of the service.
    """

    name: str
    run: Callable[[P], Awaitable[Finding]]
    seconds: float
    fix: str
    only_warns: bool = False


_REACH = "see whether the service runs and can be reached from here"
CHECKS: tuple[Check[Patient], ...] = (
    Check("configuration", checks_identity.configuration, 5, "correct the settings"),
    Check("dns", checks_identity.dns, 10, "see whether this machine can resolve names"),
    Check("tls", checks_identity.tls, 10, _REACH),
    Check("did", checks_identity.did_document, 10, _REACH),
    Check("describe", checks_feeds.describe, 10, _REACH),
    Check("records", checks_identity.records, 30, "see whether the publisher's DID and PDS can be reached"),
    Check("skeleton", checks_feeds.skeleton, 60, _REACH),
    Check("signed", checks_feeds.signed, 30, "mend what the message says, then run this check again"),
    Check("tampered", checks_feeds.tampered, 10, _REACH),
    Check("appview", checks_identity.appview, 60, "see whether COMMUNITIES_APPVIEW_URL can be reached", True),
    Check("clock", checks_machine.clock, 15, "compare the clocks by hand"),
    Check("ingest", checks_machine.ingest, 10, _REACH),
    Check("disk", checks_machine.disk, 10, "run this where the service runs"),
    Check("database", checks_machine.database, 20, "run this where the service runs"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    names = [check.name for check in CHECKS]
    only = f"only these checks: {', '.join(names)}"
    url = "ask the service here, e.g. http://127.0.0.1:3000, instead of at its public name"
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=only)
    parser.add_argument("--url", type=local_url, help=url)


def local_url(text: str) -> str:
    """The address of a service, as an argument of a command."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as http://127.0.0.1:3000")
    return text.rstrip("/")


def run(config: Config, args: argparse.Namespace) -> int:
    """Examine; 0 when no check failed, 1 otherwise."""
    checks = [check for check in CHECKS if not args.only or check.name in args.only]
    findings = asyncio.run(_examine(config, checks, args.url, None if args.json else print_finding))
    if args.json:
        print(json.dumps([{"check": name} | asdict(found) for name, found in findings], indent=2, ensure_ascii=False))
    failed = [name for name, finding in findings if finding.status == "fail"]
    if failed:
        print(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


async def _examine(
    config: Config,
    checks: Sequence[Check[Patient]],
    url: str | None,
    show: Callable[[str, Finding], None] | None,
) -> list[tuple[str, Finding]]:
    try:
        communities, undeclared = read_declaration(config.rules), ""
    except DeclarationError as error:
        communities, undeclared = (), str(error)
    asked = url or config.endpoint
    allow = config.egress_allow
    if url or config.endpoint.startswith("http:"):  # named by the operator, or this machine itself
        allow = (*allow, urlsplit(asked).hostname or "")
    async with egress_session(allow) as session:
        patient = Patient(config, communities, undeclared, asked, url is not None, session)
        return await examine(checks, patient, show)


async def examine(
    checks: Sequence[Check[P]], patient: P, show: Callable[[str, Finding], None] | None
) -> list[tuple[str, Finding]]:
    """Carry the checks out at the same time; `show` is given each finding, in their order."""
    findings: list[tuple[str, Finding]] = []
    running = [(check.name, asyncio.create_task(carry_out(check, patient))) for check in checks]
    try:
        for number, (name, task) in enumerate(running, 1):
            _progress(f"[{number}/{len(running)}] {name} ...")
            finding = await task
            _progress("")
            findings.append((name, finding))
            if show:
                show(name, finding)
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)
    return findings


async def carry_out(check: Check[P], patient: P) -> Finding:
    """Run one check to its deadline; whatever it raises becomes a failure."""
    judge = warn if check.only_warns else fail
    try:
        async with asyncio.timeout(check.seconds):
            return await check.run(patient)
    except TimeoutError:
        return judge(f"no answer within {check.seconds:g} s", check.fix)
    except aiohttp.ClientConnectorError as error:
        seen = f"cannot connect to {error.host}:{error.port}: {error.os_error}"
        if isinstance(error.os_error, BlockedAddress):
            allow = f"for development only: add {error.host} to COMMUNITIES_EGRESS_ALLOW"
            return judge(seen, f"{check.fix}; {allow}")
        return judge(seen, check.fix)
    except Exception as error:
        return judge(str(error) or type(error).__name__, check.fix)


def print_finding(name: str, finding: Finding) -> None:
    """A finding for people."""
    print(f"{finding.status:<7} {name:<13} {finding.seen}")
    if finding.fix:
        print(f"{'':<21} -> {finding.fix}")
    sys.stdout.flush()


def _progress(text: str) -> None:
    """Show what is being waited for, on a terminal only; nothing is left of it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
